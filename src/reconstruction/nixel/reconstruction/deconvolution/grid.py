"""The grid on which an image is deconvolved, and how much of each of its points the image sees.

The image is the convolution of the object with the point spread function, of which a window was recorded: light from
beyond the window is in it. The object therefore lives on a grid that is longer than the image by the point spread
function's length less one; this is also the length at which a cyclic convolution gives the window's values without
wrapping. The image begins at index zero, what lies before it wraps to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np
import scipy.fft

from nixel.physics.arrays import Array, fftn, namespace, rfftn
from nixel.reconstruction.deconvolution.checks import transferred

if TYPE_CHECKING:
    from numpy.typing import NDArray


# A point of which the image sees less than this is left dark: dividing by so little would amplify rounding errors.
_LEAST_SEEN = 1e-3


@dataclass(frozen=True)
class Grid:
    """Lengths of the image, of the point spread function and of the transforms, an entry an axis.

    Parameters
    ----------
    image, psf
        Their shapes.
    boundary
        "zero-loss": the object goes on beyond the image; "periodic": it repeats with the image.
    halved
        Axis along which the spectrum of real values is stored to the middle only.
    """

    image: tuple[int, ...]
    psf: tuple[int, ...]
    boundary: str
    halved: int

    @property
    def axes(self) -> tuple[int, ...]:
        """All axes, the halved one last, as a transform of real values takes them."""
        return (*(axis for axis in range(len(self.image)) if axis != self.halved), self.halved)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of the transforms along `axes`."""
        return tuple(self.shape[axis] for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the transforms, and so of the estimate."""
        if self.boundary == "periodic":
            return self.image
        return tuple(
            # A single sample needs no transform, and so no good length.
            n if n == k == 1 else scipy.fft.next_fast_len(n + k - 1, real=axis == self.halved)
            for axis, (n, k) in enumerate(zip(self.image, self.psf, strict=True))
        )

    @property
    def after(self) -> tuple[int, ...]:
        """How far beyond the image's end light still reaches it, in samples."""
        return tuple(0 if self.boundary == "periodic" else k // 2 for k in self.psf)

    @property
    def before(self) -> tuple[int, ...]:
        """How far before the image's begin light still reaches it, in samples."""
        return tuple(0 if self.boundary == "periodic" else k - 1 - k // 2 for k in self.psf)

    def joined(self) -> list[NDArray[np.float64]]:
        """For each axis: 1 where the next sample, cyclically, is a neighbour in space, and 0 where it is not.

        Each broadcasts to the grid. The first axis begins with its last sample, and so has one entry more.
        """
        result = []
        for axis, length in enumerate(self.shape):
            values = np.ones(length)
            if self.boundary != "periodic":
                values[[self.image[axis] + self.after[axis] - 1, length - self.before[axis] - 1]] = 0
            if axis == 0:
                values = np.concatenate([values[-1:], values])
            result.append(values.reshape(-1, *(1,) * (len(self.shape) - 1 - axis)))
        return result


def transfer_function(psf: NDArray[np.float64], grid: Grid, image: Array, *, workers: int) -> Array:
    """Half spectrum of the point spread function, with its centre at index zero of the grid.

    An axis is lengthened only when it is transformed: most of the zeros never are.
    """
    xp = namespace(image)
    result = transferred(psf, image)
    for axis in reversed(grid.axes):
        k, length = grid.psf[axis], grid.shape[axis]
        shape = (*result.shape[:axis], length, *result.shape[axis + 1 :])
        placed = xp.zeros(shape, dtype=result.dtype, device=array_api_compat.device(image))
        before = (slice(None),) * axis
        placed[(*before, slice(k - k // 2), ...)] = result[(*before, slice(k // 2, k), ...)]
        if k > 1:
            placed[(*before, slice(length - k // 2, length), ...)] = result[(*before, slice(k // 2), ...)]
        transform = rfftn if axis == grid.halved else fftn
        result = transform(placed, None, (axis,), workers=workers)
    return result


def weights(psf: NDArray[np.float64], grid: Grid, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """One over the share of the light of each point of the grid that falls into the image; below 0.1 % zero.

    The share is the adjoint blur of ones. Here it is the sum of the point spread function over the window as seen from
    the point, from its cumulative sums: free of the rounding errors of a transform, which would be divided by.

    Parameters
    ----------
    psf
        Of sum 1.
    grid
        With the lengths.
    dtype
        Of the weights; the sums are taken in double precision.

    Returns
    -------
    ndarray, shape of the grid
    """
    if grid.boundary == "periodic":
        return np.ones(grid.shape, dtype)
    sums = psf
    # The first axis last: what is large by then is worked on a plane at a time.
    for axis in reversed(range(psf.ndim)):
        n, k, length = grid.image[axis], grid.psf[axis], grid.shape[axis]
        addends = np.moveaxis(sums, axis, 0)
        sums = np.zeros((*sums.shape[:axis], k + 1, *sums.shape[axis + 1 :]))
        totals = np.moveaxis(sums, axis, 0)
        for m in range(k):  # numpy.cumsum is slow along other axes than the last
            np.add(totals[m], addends[m], out=totals[m + 1])
        index = np.arange(length)
        place = np.where(index < n + grid.after[axis], index, index - length)
        end, begin = np.clip(n - place + k // 2, 0, k), np.clip(k // 2 - place, 0, k)
        if axis:
            sums = sums.take(end, axis=axis) - sums.take(begin, axis=axis)
    result = np.empty(grid.shape, dtype)
    for number, (plane, last, first) in enumerate(zip(result, end, begin, strict=True)):
        if number > 0 and (last, first) == (end[number - 1], begin[number - 1]):
            plane[...] = result[number - 1]
        else:
            np.subtract(sums[last], sums[first], out=plane, casting="same_kind")
            plane[plane < _LEAST_SEEN] = np.inf
            np.reciprocal(plane, out=plane)
    return result


def cropped(estimate: Array, grid: Grid) -> Array:
    """Cut out what lies within the image."""
    xp = namespace(estimate)
    return xp.asarray(estimate[tuple(slice(n) for n in grid.image)], copy=True)


def unwrapped(estimate: Array, grid: Grid) -> Array:
    """Bring the estimate with its margins, image + psf - 1 samples along each axis, into the order of space."""
    axes = tuple(range(len(grid.image)))
    rolled: Any = namespace(estimate).roll(estimate, grid.before, axis=axes)
    lengths = (n + b + a for n, b, a in zip(grid.image, grid.before, grid.after, strict=True))
    return rolled[tuple(slice(n) for n in lengths)]
