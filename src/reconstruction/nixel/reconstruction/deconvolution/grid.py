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

from nixel.physics.arrays import Array, namespace, rfftn
from nixel.reconstruction.deconvolution.checks import transferred

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    """Half spectrum of the point spread function, with its centre at index zero of the grid."""
    xp = namespace(image)
    placed = xp.zeros(grid.shape, dtype=image.dtype, device=array_api_compat.device(image))
    placed[tuple(slice(k) for k in grid.psf)] = transferred(psf, image)
    axes = tuple(range(len(grid.shape)))
    placed = xp.roll(placed, tuple(-(k // 2) for k in grid.psf), axis=axes)
    return rfftn(placed, None, axes, workers=workers)


def visibility(psf: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Share of the light of each point of the grid that falls into the image: the adjoint blur of ones.

    It is the sum of the point spread function over the window as seen from the point, from its cumulative sums:
    free of the rounding errors of a transform, which would be divided by.
    """
    if grid.boundary == "periodic":
        return np.ones(grid.shape)
    result = psf
    # The last axis first: the first axis, along which everything is contiguous, is left for when the array is large.
    for axis in reversed(range(psf.ndim)):
        n, k, length = grid.image[axis], grid.psf[axis], grid.shape[axis]
        sums = np.zeros((*result.shape[:axis], k + 1, *result.shape[axis + 1 :]))
        np.cumsum(result, axis=axis, out=sums[(slice(None),) * axis + (slice(1, None),)])
        index = np.arange(length)
        place = np.where(index < n + grid.after[axis], index, index - length)
        result = sums.take(np.clip(n - place + k // 2, 0, k), axis=axis)
        result -= sums.take(np.clip(k // 2 - place, 0, k), axis=axis)
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
