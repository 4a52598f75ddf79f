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
    """

    image: tuple[int, ...]
    psf: tuple[int, ...]
    boundary: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the transforms, and so of the estimate."""
        if self.boundary == "periodic":
            return self.image
        last = len(self.image) - 1
        return tuple(
            # A single sample needs no transform, and so no good length.
            n if n == k == 1 and axis != last else scipy.fft.next_fast_len(n + k - 1, real=axis == last)
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
    last = psf.ndim - 1
    for axis in reversed(range(psf.ndim)):
        k, length = grid.psf[axis], grid.shape[axis]
        shape = (*result.shape[:axis], length, *result.shape[axis + 1 :])
        placed = xp.zeros(shape, dtype=result.dtype, device=array_api_compat.device(image))
        before = (slice(None),) * axis
        placed[(*before, slice(k - k // 2), ...)] = result[(*before, slice(k // 2, k), ...)]
        if k > 1:
            placed[(*before, slice(length - k // 2, length), ...)] = result[(*before, slice(k // 2), ...)]
        transform = rfftn if axis == last else fftn
        result = transform(placed, None, (axis,), workers=workers)
    return result


def weights(
    psf: NDArray[np.float64], grid: Grid, dtype: type[np.floating[Any]]
) -> tuple[NDArray[Any], float]:
    """One over the share of the light of each point of the grid that falls into the image.

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
    weights : ndarray, shape of the grid
        Zero where the share is below 0.1 %.
    seen : float
        Sum of the shares that are not below it.
    """
    if grid.boundary == "periodic":
        return np.ones(grid.shape, dtype), float(np.prod(grid.shape))
    sums = psf
    # The first axis last: what is large by then is worked on a plane at a time.
    for axis in reversed(range(psf.ndim)):
        zero = np.zeros((*sums.shape[:axis], 1, *sums.shape[axis + 1 :]))
        sums = np.concatenate([zero, np.cumsum(sums, axis=axis)], axis=axis)
        n, k, length = grid.image[axis], grid.psf[axis], grid.shape[axis]
        index = np.arange(length)
        place = np.where(index < n + grid.after[axis], index, index - length)
        end, begin = np.clip(n - place + k // 2, 0, k), np.clip(k // 2 - place, 0, k)
        if axis:
            sums = sums.take(end, axis=axis) - sums.take(begin, axis=axis)
    result = np.empty(grid.shape, dtype)
    seen = 0.0
    for plane, last, first in zip(result, end, begin, strict=True):
        share = sums[last] - sums[first]
        share[share < _LEAST_SEEN] = 0
        seen += float(share.sum())
        np.divide(1, share, out=share, where=share > 0)
        plane[...] = share
    return result, seen


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
