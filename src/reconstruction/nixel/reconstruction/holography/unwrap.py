"""Phase without its jumps of 2 pi."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from nixel.physics.arrays import check_workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_TURN = 2 * np.pi
_TOLERANCE = 1e-6  # relative residual of the conjugate gradients
_MOST_INNER = 50
_SOFTENING = 0.05  # radians per pixel: below it a disagreement counts squared, above it as it is


def unwrap_phase(
    phase: NDArray[Any],
    weights: NDArray[Any] | None = None,
    *,
    iterations: int = 10,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.floating[Any]]:
    """Unwrap a phase: the picture whose differences between neighbours are the nearest to the wrapped ones.

    The differences between neighbours, wrapped into (-pi, pi], are those of the true phase wherever it
    changes by less than half a turn from pixel to pixel. The first solution is that of least squares, by the
    discrete cosine transform where all weigh alike and otherwise by conjugate gradients preconditioned with
    it. Least squares spreads what noise breaks over the whole picture; so it is repeated with weights
    1 / (disagreement + 0.05), which approaches the least sum of absolute disagreements. At last the solution
    is made congruent: every pixel gets the number of whole turns that brings it nearest to the solution.

    Parameters
    ----------
    phase
        Wrapped phase in radians, (y, x), float32 or float64.
    weights
        How far to trust each pixel, 0 or more, (y, x), such as the amplitude; None: all alike. Across pixels
        of weight 0 the phase is interpolated before it is made congruent.
    iterations
        Times that the weights are taken anew; 0: least squares.
    workers
        Threads.
    progress
        Called with (solutions done, solutions in all).

    Returns
    -------
    ndarray, (y, x)
        Radians, of the same dtype: `phase` plus a whole number of turns at each pixel. The whole picture is
        known up to one whole number of turns, chosen so that its median is in (-pi, pi].

    Raises
    ------
    ValueError
        If the phase is not a finite two-dimensional float array of at least 2 x 2, or the weights are not of
        its shape, finite, 0 or more, and somewhere positive.

    References
    ----------
    Ghiglia, Romero, "Robust two-dimensional weighted and unweighted phase unwrapping that uses fast
    transforms and iterative methods", J. Opt. Soc. Am. A 11, 107 (1994); "Minimum Lp-norm two-dimensional
    phase unwrapping", J. Opt. Soc. Am. A 13, 1999 (1996).
    """
    phase = np.asarray(phase)
    if phase.ndim != 2 or min(phase.shape) < 2:
        raise ValueError(f"phase: expected a (y, x) array of at least 2 x 2, found shape {phase.shape}")
    if phase.dtype not in (np.float32, np.float64):
        raise ValueError(f"phase: expected float32 or float64, found {phase.dtype}")
    if not np.isfinite(phase).all():
        raise ValueError("phase: expected finite values, found NaN or infinity")
    check_workers(workers)
    if iterations < 0:
        raise ValueError(f"iterations: expected 0 or more, found {iterations!r}")
    trust = np.ones(phase.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if trust.shape != phase.shape or not np.isfinite(trust).all() or (trust < 0).any() or not trust.any():
        raise ValueError(
            f"weights: expected finite values of 0 or more, some positive, of shape {phase.shape}, "
            f"found shape {trust.shape} or other values"
        )
    trust = trust / trust.max()

    wrapped = phase.astype(np.float64)
    down, right = (_wrap(np.diff(wrapped, axis=axis)) for axis in (0, 1))
    # A difference is worth no more than the lesser of its two ends.
    trust_down = np.minimum(trust[1:], trust[:-1]) ** 2
    trust_right = np.minimum(trust[:, 1:], trust[:, :-1]) ** 2
    solver = _Poisson(phase.shape, workers)
    weight_down, weight_right = trust_down, trust_right
    solution = np.zeros(phase.shape)
    for done in range(iterations + 1):
        if done:
            off_down = np.abs(np.diff(solution, axis=0) - down)
            off_right = np.abs(np.diff(solution, axis=1) - right)
            weight_down = trust_down * (_SOFTENING / (off_down + _SOFTENING))
            weight_right = trust_right * (_SOFTENING / (off_right + _SOFTENING))
        solution = solver.solve(down, right, weight_down, weight_right, solution)
        if progress is not None:
            progress(done + 1, iterations + 1)

    # The solution's constant is free: take the one that agrees with the phases modulo a turn.
    solution += np.angle(np.sum(trust * np.exp(1j * (wrapped - solution))))
    turns = np.rint((solution - wrapped) / _TURN)
    result = wrapped + _TURN * turns
    result -= _TURN * np.ceil((np.median(result) - np.pi) / _TURN)
    return result.astype(phase.dtype)


def _wrap(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring angles into [-pi, pi]."""
    return values - _TURN * np.rint(values / _TURN)


class _Poisson:
    """Least-squares pictures from differences between neighbours, free at the edges."""

    def __init__(self, shape: tuple[int, int], workers: int) -> None:
        self._workers = workers
        rows, columns = (4 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2 for n in shape)
        self._eigenvalues = rows[:, None] + columns[None, :]
        self._eigenvalues[0, 0] = 1.0

    def _unweighted(self, right_side: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve D^T D x = b with mean 0."""
        spectrum = scipy.fft.dctn(right_side, type=2, workers=self._workers)
        spectrum /= self._eigenvalues
        spectrum[0, 0] = 0.0
        result: NDArray[np.float64] = scipy.fft.idctn(
            spectrum, type=2, workers=self._workers, overwrite_x=True
        )
        return result

    def solve(
        self,
        down: NDArray[np.float64],
        right: NDArray[np.float64],
        weight_down: NDArray[np.float64],
        weight_right: NDArray[np.float64],
        start: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Minimise the weighted squared disagreement by preconditioned conjugate gradients.

        With equal weights the first step is the solution.
        """

        def normal(picture: NDArray[np.float64]) -> NDArray[np.float64]:
            return _adjoint(weight_down * np.diff(picture, axis=0), weight_right * np.diff(picture, axis=1))

        wanted = _adjoint(weight_down * down, weight_right * right)
        solution = start
        residual = wanted - normal(solution)
        enough = _TOLERANCE * float(np.linalg.norm(wanted))
        direction = np.zeros_like(solution)
        last = 1.0
        for step in range(_MOST_INNER):
            if float(np.linalg.norm(residual)) <= enough:
                break
            guess = self._unweighted(residual)
            product = float(np.vdot(residual, guess))
            direction = guess + (product / last if step else 0.0) * direction
            last = product
            image = normal(direction)
            length = product / float(np.vdot(direction, image))
            solution = solution + length * direction
            residual = residual - length * image
        return solution


def _adjoint(down: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjoint of taking the differences."""
    result = np.zeros((right.shape[0], down.shape[1]))
    result[1:] += down
    result[:-1] -= down
    result[:, 1:] += right
    result[:, :-1] -= right
    return result
