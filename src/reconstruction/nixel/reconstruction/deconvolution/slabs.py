"""The Richardson-Lucy iteration on NumPy arrays, in pieces that stay in the cache.

A step is four passes over one half spectrum, which is the only thing that is transformed. Along the first axis it is
taken in columns: transform, multiply by the transfer function, transform back, all in the cache. Along the other axes
it is taken in slabs: transform back, do what is to be done in real space (compare with the image, or correct the
estimate), transform again. What the image does not hold is neither transformed nor stored.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from nixel.reconstruction.deconvolution.problem import Problem, Progress, momentum
from nixel.reconstruction.deconvolution.variation import variation_factor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


# Bytes of a piece: small enough for the caches, large enough for the calls not to count.
_PIECE = 3 << 19


class SlabIteration:
    """The iteration's state and its passes. The pieces, and so the bits, do not depend on the number of threads."""

    def __init__(self, problem: Problem, *, acceleration: bool) -> None:
        grid = problem.grid
        self._problem = problem
        # As long as the grid's rows, with zeros beyond the image: so the ratio is zero there, and all is contiguous.
        self._image = _lengthened(problem.image, grid.shape[-1])
        if isinstance(problem.background, float):
            self._offset = problem.image.dtype.type(problem.background + problem.least)
        else:
            self._offset = _lengthened(problem.background, grid.shape[-1])
            self._offset += self._offset.dtype.type(problem.least)
        self._start = problem.image.dtype.type(problem.start)
        self._estimate: NDArray[Any] = np.multiply(
            problem.weights > 0, self._start, dtype=problem.image.dtype
        )
        self._spectrum = np.empty(problem.transfer.shape, problem.transfer.dtype)
        self._slabs = _pieces(grid.shape[0], self._estimate[0].nbytes)
        self._image_slabs = _pieces(grid.image[0], self._estimate[0].nbytes)
        self._columns = _pieces(
            self._spectrum.shape[1], self._spectrum[:, 0].nbytes, least=_least_columns(grid.shape)
        )
        # The transforms back are not scaled; their scale is in the transfer function.
        scale = problem.image.dtype.type(1 / np.prod(grid.shape, dtype=np.float64))
        self._transfer = [problem.transfer[:, part] * scale for part in self._columns]
        self._strength = self._square = 0.0
        self._joined = problem.joined()
        self._factor = np.empty_like(self._estimate) if problem.regularisation else None
        self._step = np.zeros_like(self._estimate) if acceleration else None
        self._correction = np.zeros_like(self._estimate) if acceleration else None

    def run(self, iterations: int, *, workers: int, progress: Progress | None) -> NDArray[Any]:
        """Take the steps from the start; the estimate on the grid."""
        if workers == 1:
            return self._run(iterations, lambda work, parts: [work(part) for part in parts], progress)
        with ThreadPoolExecutor(workers) as pool:
            return self._run(iterations, lambda work, parts: list(pool.map(work, parts)), progress)

    def _run(
        self,
        iterations: int,
        each: Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]],
        progress: Progress | None,
    ) -> NDArray[Any]:
        columns = range(len(self._columns))
        if iterations:
            each(self._begin, self._slabs)
        for done in range(1, iterations + 1):
            each(self._blur, columns)
            each(self._compare, self._image_slabs)
            each(self._blur_back, columns)
            if self._factor is not None:
                each(self._penalise, self._slabs)
            if self._step is None:
                each(self._correct if done < iterations else self._correct_last, self._slabs)
            else:
                products = each(self._correct_accelerated, self._slabs)
                square = sum(s for _, s in products)
                self._strength = momentum(sum(p for p, _ in products), self._square)
                self._square = square
                if done < iterations:
                    each(self._begin, self._slabs)
            if progress is not None:
                progress(done, iterations)
        return self._estimate

    # The slabs: all axes but the first.

    def _transform(self, part: slice, values: NDArray[Any]) -> None:
        """Store the half spectrum of a slab; `values` may have fewer rows than the grid, the rest being zero."""
        target = self._spectrum[part]
        half = scipy.fft.rfft(values, axis=-1)
        if target.ndim == 2:
            target[...] = half
        elif values.shape[1] == target.shape[1]:
            target[...] = scipy.fft.fft(half, axis=1, overwrite_x=True)
        else:
            target[:, : values.shape[1]] = half
            target[:, values.shape[1] :] = 0
            # Done in place where SciPy can; then this assigns an array to itself, which costs nothing.
            target[...] = scipy.fft.fft(target, axis=1, overwrite_x=True)

    def _transform_back(self, part: slice, rows: int | None) -> NDArray[Any]:
        """Real values of a slab; of its first `rows` rows only, where it has rows. Destroys the spectrum there."""
        source = self._spectrum[part]
        if source.ndim == 3:
            source = scipy.fft.ifft(source, axis=1, overwrite_x=True, norm="forward")[:, :rows]
        return scipy.fft.irfft(source, n=self._estimate.shape[-1], axis=-1, norm="forward")

    def _begin(self, part: slice) -> None:
        self._transform(part, self._point(part))

    def _compare(self, part: slice) -> None:
        """Replace the blurred estimate by the ratio of the image to it; beyond the image by zero."""
        values = self._transform_back(part, self._image.shape[1])
        np.abs(values, out=values)
        values += self._offset if isinstance(self._offset, np.floating) else self._offset[part]
        np.divide(self._image[part], values, out=values)
        self._transform(part, values)

    def _correction_factor(self, part: slice) -> NDArray[Any]:
        factor = self._transform_back(part, None)
        np.abs(factor, out=factor)
        factor *= self._problem.weights[part]
        if self._factor is not None:
            factor *= self._factor[part]
        return factor

    def _correct_last(self, part: slice) -> None:
        self._estimate[part] *= self._correction_factor(part)

    def _correct(self, part: slice) -> None:
        self._correct_last(part)
        self._transform(part, self._estimate[part])

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
        estimate = self._estimate[planes]
        if not self._strength:
            return estimate
        assert self._step is not None
        point = self._step[planes] * estimate.dtype.type(self._strength)
        point += estimate
        return np.maximum(point, 0, out=point)

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
        values = scipy.fft.fft(values, axis=0, overwrite_x=True)
        values *= self._transfer[index].conj()
        spectrum[...] = scipy.fft.ifft(values, axis=0, overwrite_x=True, norm="forward")


def _lengthened(image: NDArray[Any], length: int) -> NDArray[Any]:
    result = np.zeros((*image.shape[:-1], length), image.dtype)
    result[..., : image.shape[-1]] = image
    return result


def _pieces(length: int, each: int, *, least: int = 1) -> list[slice]:
    """Cut `length` entries of `each` bytes into slices of at most a piece, but no less than `least`."""
    step = max(least, _PIECE // each, 1)
    # SciPy transforms four lines at once, and a rest of them one by one.
    step -= step % 4 if step > 4 else 0
    return [slice(first, min(first + step, length)) for first in range(0, length, step)]


def _least_columns(shape: tuple[int, ...]) -> int:
    """In an image, neighbouring columns share a cache line; in a volume, a column is a row of the spectrum."""
    return 16 if len(shape) == 2 else 1
