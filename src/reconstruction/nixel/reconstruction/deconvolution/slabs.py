"""The Richardson-Lucy iteration on NumPy arrays, in pieces that stay in the cache.

A step is four passes over one half spectrum, which is the only thing that is transformed. Along the first axis it is
taken in columns: transform, multiply by the transfer function, transform back, all in the cache. Along the other axes
it is taken in slabs: transform back, do what is to be done in real space (compare with the image, or correct the
estimate), transform again. What the image does not hold is neither transformed nor stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from nixel.physics.blocks import blocks, crew
from nixel.reconstruction.deconvolution.grid import transfer_function
from nixel.reconstruction.deconvolution.problem import Problem, Progress, momentum
from nixel.reconstruction.deconvolution.variation import variation_factor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


# Bytes of a piece: small enough for the caches, large enough for the calls not to count.
_PIECE = 1 << 21


class SlabIteration:
    """The iteration's state and its passes. The pieces, and so the bits, do not depend on the number of threads."""

    def __init__(self, problem: Problem, *, acceleration: bool, workers: int) -> None:
        grid = problem.grid
        self._problem = problem
        self._image = problem.image
        self._offset = problem.background + problem.image.dtype.type(problem.least)
        self._start = problem.image.dtype.type(problem.start)
        self._workers = workers
        self._estimate: NDArray[Any] = np.empty_like(problem.weights)
        # The transforms back are not scaled; their scale is in the transfer function.
        scaled = problem.psf / np.prod(grid.shape, dtype=np.float64)
        transfer = transfer_function(scaled, grid, problem.image, workers=workers)
        self._columns = _pieces(transfer.shape[1], transfer[:, 0].nbytes, least=_least_columns(grid.shape))
        self._transfer = [transfer[:, part].copy() for part in self._columns]
        # In pieces of its own it is read faster; its memory is taken for what is transformed.
        self._spectrum = transfer
        plane = self._estimate[0].nbytes
        self._slabs, self._image_slabs = _pieces(grid.shape[0], plane), _pieces(grid.image[0], plane)
        self._strength = self._square = 0.0
        self._joined = problem.joined() if problem.regularisation else []
        self._factor = np.empty_like(self._estimate) if problem.regularisation else None
        self._step = np.zeros_like(self._estimate) if acceleration else None
        self._correction = np.zeros_like(self._estimate) if acceleration else None

    def run(self, iterations: int, progress: Progress | None, *, window: bool) -> NDArray[Any]:
        """Take the steps from the start; the estimate on the grid.

        With `window` only the image's planes of it are wanted, and the last step is taken there only.
        """
        last_slabs = self._image_slabs if window else self._slabs
        with crew(self._workers) as mapped:
            self._run(iterations, last_slabs, lambda work, parts: list(mapped(work, parts)), progress)
        return self._estimate

    def _run(
        self,
        iterations: int,
        last_slabs: Sequence[slice],
        each: Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]],
        progress: Progress | None,
    ) -> None:
        columns = range(len(self._columns))
        each(self._light, self._slabs)
        for done in range(1, iterations + 1):
            if done == 1:
                each(self._compare_start, self._image_slabs)
            else:
                each(self._blur, columns)
                each(self._compare, self._image_slabs)
            each(self._blur_back, columns)
            if self._factor is not None:
                each(self._penalise, self._slabs)
            last = done == iterations
            slabs = last_slabs if last else self._slabs
            if self._step is None:
                each(self._correct_last if last else self._correct, slabs)
            else:
                products = each(self._correct_accelerated, slabs)
                square = sum(s for _, s in products)
                self._strength = momentum(sum(p for p, _ in products), self._square)
                self._square = square
                if not last:
                    each(self._begin, slabs)
            if progress is not None:
                progress(done, iterations)

    # The slabs: all axes but the first. The second axis is the halved one. The adjoint blur multiplies by the conjugate
    # of the transfer function; which is to multiply by the transfer function and to transform in the other direction.

    def _transform(self, part: slice, values: NDArray[Any], *, adjoint: bool) -> None:
        """Store the half spectrum of a slab; `values` may be shorter than the grid along a third axis."""
        target = self._spectrum[part]
        halving, other = (scipy.fft.ihfft, scipy.fft.ifft) if adjoint else (scipy.fft.rfft, scipy.fft.fft)
        norm = "forward" if adjoint else "backward"  # whichever does not scale
        half = halving(values, axis=1, norm=norm)
        if target.ndim == 2:
            target[...] = half
        elif values.shape[2] == target.shape[2]:
            target[...] = other(half, axis=2, overwrite_x=True, norm=norm)
        else:
            target[..., : values.shape[2]] = half
            target[..., values.shape[2] :] = 0
            # Done in place where SciPy can; then this assigns an array to itself, which costs nothing.
            target[...] = other(target, axis=2, overwrite_x=True, norm=norm)

    def _transform_back(self, part: slice, length: int, *, adjoint: bool) -> NDArray[Any]:
        """Real values of a slab; if there is a third axis, its first `length`. Destroys the spectrum there."""
        source = self._spectrum[part]
        doubling, other = (scipy.fft.hfft, scipy.fft.fft) if adjoint else (scipy.fft.irfft, scipy.fft.ifft)
        norm = "backward" if adjoint else "forward"
        if source.ndim == 3:
            source = other(source, axis=2, overwrite_x=True, norm=norm)[..., :length]
        values: NDArray[Any] = doubling(source, n=self._estimate.shape[1], axis=1, norm=norm)
        return values

    def _light(self, part: slice) -> None:
        np.multiply(self._problem.weights[part] > 0, self._start, out=self._estimate[part])

    def _begin(self, part: slice) -> None:
        self._transform(part, self._point(part), adjoint=False)

    def _compare_start(self, part: slice) -> None:
        """Store the ratio of the image to the start: a uniform object blurred is itself."""
        values = np.empty(
            (part.stop - part.start, *self._estimate.shape[1:2], *self._image.shape[2:]), self._image.dtype
        )
        values[:, : self._image.shape[1]] = self._start
        self._transform_ratio(part, values)

    def _compare(self, part: slice) -> None:
        """Replace the blurred estimate by the ratio of the image to it."""
        self._transform_ratio(part, self._transform_back(part, self._image.shape[-1], adjoint=False))

    def _transform_ratio(self, part: slice, values: NDArray[Any]) -> None:
        """Store the ratio of the image to expected values, which is zero beyond the image."""
        expected = values[:, : self._image.shape[1]]
        # Light cannot be negative, rounding errors can.
        np.abs(expected, out=expected)
        expected += self._offset if self._offset.ndim == 0 else self._offset[part]
        np.divide(self._image[part], expected, out=expected)
        values[:, self._image.shape[1] :] = 0
        self._transform(part, values, adjoint=True)

    def _correction_factor(self, part: slice) -> NDArray[Any]:
        factor = self._transform_back(part, self._estimate.shape[-1], adjoint=True)
        np.abs(factor, out=factor)
        factor *= self._problem.weights[part]
        if self._factor is not None:
            factor *= self._factor[part]
        return factor

    def _correct_last(self, part: slice) -> None:
        self._estimate[part] *= self._correction_factor(part)

    def _correct(self, part: slice) -> None:
        self._correct_last(part)
        self._transform(part, self._estimate[part], adjoint=False)

    def _correct_accelerated(self, part: slice) -> tuple[float, float]:
        """Correct the extrapolated point; the correction's product with the one before, and with itself."""
        assert self._step is not None
        assert self._correction is not None
        point = self._point(part)
        new = self._correction_factor(part)
        new *= point
        latest = new - point
        latest /= self._start
        product = float(np.multiply(latest, self._correction[part]).sum())
        square = float(np.square(latest).sum())
        self._correction[part] = latest
        np.subtract(new, self._estimate[part], out=self._step[part])
        self._estimate[part] = new
        return product, square

    def _point(self, planes: slice | NDArray[np.int_]) -> NDArray[Any]:
        """Where the next step starts: the estimate, or what it is extrapolated to."""
        estimate: NDArray[Any] = self._estimate[planes]
        if not self._strength:
            return estimate
        assert self._step is not None
        point: NDArray[Any] = self._step[planes] * estimate.dtype.type(self._strength)
        point += estimate
        np.maximum(point, 0, out=point)
        return point

    def _penalise(self, part: slice) -> None:
        """Compute the total variation's factor from the whole point, before any of it is corrected."""
        assert self._factor is not None
        problem = self._problem
        planes = np.arange(part.start - 1, part.stop + 1) % self._estimate.shape[0]
        first, *others = self._joined
        joined = [first[part.start : part.stop + 1], *others]
        self._factor[part] = variation_factor(self._point(planes), joined, problem.regularisation)

    # The columns: the first axis.

    def _blur(self, index: int) -> None:
        spectrum = self._spectrum[:, self._columns[index]]
        values = scipy.fft.fft(spectrum, axis=0)
        values *= self._transfer[index]
        values = scipy.fft.ifft(values, axis=0, overwrite_x=True, norm="forward")
        planes = self._image.shape[0]
        spectrum[:planes] = values[:planes]

    def _blur_back(self, index: int) -> None:
        spectrum = self._spectrum[:, self._columns[index]]
        planes = self._image.shape[0]
        values = np.empty(spectrum.shape, spectrum.dtype)
        values[:planes] = spectrum[:planes]
        values[planes:] = 0
        values = scipy.fft.ifft(values, axis=0, overwrite_x=True, norm="forward")
        values *= self._transfer[index]
        spectrum[...] = scipy.fft.fft(values, axis=0, overwrite_x=True)


def _pieces(length: int, each: int, *, least: int = 1) -> list[slice]:
    """Cut `length` entries of `each` bytes into slices of at most a piece, but no less than `least`."""
    step = max(least, _PIECE // each, 1)
    # SciPy transforms four lines at once, and a rest of them one by one.
    step -= step % 4 if step > 4 else 0
    return blocks(length, step)


def _least_columns(shape: tuple[int, ...]) -> int:
    """In an image, neighbouring columns share a cache line; in a volume, a column is a row of the spectrum."""
    return 16 if len(shape) == 2 else 1
