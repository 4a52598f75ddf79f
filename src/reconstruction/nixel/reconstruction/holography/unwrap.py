"""Phase without its jumps of 2 pi."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from nixel.physics.arrays import check_workers
from nixel.physics.threads import linear_algebra_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_TURN = 2 * np.pi
_TOLERANCE = 1e-6  # relative residual of the conjugate gradients
_MOST_INNER = 50
_SOFTENING = 0.05  # radians per pixel: below it a disagreement counts squared, above it as it is


@linear_algebra_threads(1)  # of each of the `workers`
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

    Notes
    -----
    The picture is solved as a whole: a wrong turn in one tile would be a step to the next. It takes about 80 bytes a
    pixel beside the phase in single precision and 110 in double: 0.6 and 0.9 GiB for 2464 x 3280.

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
    trust = None if weights is None else _check_weights(weights, phase)

    # In the phase's own precision, as there are many of them; sums and solutions are in double precision.
    down, right = (_wrap(np.diff(phase, axis=axis)) for axis in (0, 1))
    trust_down: NDArray[Any] | float = 1.0
    trust_right: NDArray[Any] | float = 1.0
    if trust is not None:
        # A difference is worth no more than the lesser of its two ends.
        trust_down = np.minimum(trust[1:], trust[:-1]) ** 2
        trust_right = np.minimum(trust[:, 1:], trust[:, :-1]) ** 2
    solver = _Poisson(phase.shape, workers)
    weight_down, weight_right = trust_down, trust_right
    solution = np.zeros(phase.shape)
    for done in range(iterations + 1):
        if done:
            weight_down = _reweighted(np.diff(solution, axis=0), down, trust_down)
            weight_right = _reweighted(np.diff(solution, axis=1), right, trust_right)
        solver.solve(down, right, weight_down, weight_right, solution)
        if progress is not None:
            progress(done + 1, iterations + 1)
    del down, right, trust_down, trust_right, weight_down, weight_right

    # The solution's constant is free: take the one that agrees with the phases modulo a turn.
    pointers = np.exp(1j * (phase - solution))
    solution += np.angle(np.sum(pointers if trust is None else trust * pointers))
    del pointers
    solution -= phase
    result = _TURN * np.rint(solution / _TURN)
    result += phase
    result -= _TURN * np.ceil((np.median(result) - np.pi) / _TURN)
    return result.astype(phase.dtype)


def _check_weights(weights: NDArray[Any], phase: NDArray[Any]) -> NDArray[Any]:
    """Weights of the phase's dtype, at most 1."""
    trust = np.asarray(weights, dtype=phase.dtype)
    if trust.shape != phase.shape or not np.isfinite(trust).all() or (trust < 0).any() or not trust.any():
        raise ValueError(
            f"weights: expected finite values of 0 or more, some positive, of shape {phase.shape}, "
            f"found shape {trust.shape} or other values"
        )
    result: NDArray[Any] = trust / trust.max()
    return result


def _wrap(values: NDArray[Any]) -> NDArray[Any]:
    """Bring angles into [-pi, pi]."""
    turns = np.rint(values / values.dtype.type(_TURN))
    turns *= values.dtype.type(_TURN)
    turns -= values
    result: NDArray[Any] = np.negative(turns, out=turns)
    return result


def _reweighted(found: NDArray[Any], given: NDArray[Any], trust: NDArray[Any] | float) -> NDArray[Any]:
    """Weights that turn squared disagreement into disagreement, in the dtype of what is given."""
    found -= given
    np.abs(found, out=found)
    found += _SOFTENING
    np.divide(_SOFTENING, found, out=found)
    found *= trust
    return found.astype(given.dtype)


class _Poisson:
    """Least-squares pictures from differences between neighbours, free at the edges."""

    def __init__(self, shape: tuple[int, int], workers: int) -> None:
        self._workers = workers
        rows, columns = (4 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2 for n in shape)
        self._rows, self._columns = rows, columns

    def _unweighted(self, right_side: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve D^T D x = b with mean 0."""
        spectrum = scipy.fft.dctn(right_side, type=2, workers=self._workers)
        spectrum[0, 0] = 0.0
        for row, eigenvalue in enumerate(self._rows):
            # The mean is free, and its eigenvalue 0.
            spectrum[row] /= np.maximum(eigenvalue + self._columns, np.finfo(np.float64).tiny)
        result: NDArray[np.float64] = scipy.fft.idctn(
            spectrum, type=2, workers=self._workers, overwrite_x=True
        )
        return result

    def solve(
        self,
        down: NDArray[Any],
        right: NDArray[Any],
        weight_down: NDArray[Any] | float,
        weight_right: NDArray[Any] | float,
        solution: NDArray[np.float64],
    ) -> None:
        """Minimise the weighted squared disagreement by preconditioned conjugate gradients, from `solution` on.

        In place. With equal weights the first step is the solution.
        """

        def normal(picture: NDArray[np.float64]) -> NDArray[np.float64]:
            result = np.zeros_like(picture)
            for axis, weight in ((0, weight_down), (1, weight_right)):
                difference = np.diff(picture, axis=axis)
                difference *= weight
                _add_adjoint(result, difference, axis)
            return result

        residual = np.zeros_like(solution)
        _add_adjoint(residual, weight_down * down, 0)
        _add_adjoint(residual, weight_right * right, 1)
        enough = _TOLERANCE * float(np.linalg.norm(residual))
        residual -= normal(solution)
        direction = np.zeros_like(solution)
        last = 1.0
        for step in range(_MOST_INNER):
            if float(np.linalg.norm(residual)) <= enough:
                break
            guess = self._unweighted(residual)
            product = float(np.vdot(residual, guess))
            direction *= product / last if step else 0.0
            direction += guess
            del guess
            last = product
            image = normal(direction)
            length = product / float(np.vdot(direction, image))
            image *= length
            residual -= image
            np.multiply(direction, length, out=image)
            solution += image


def _add_adjoint(result: NDArray[np.float64], difference: NDArray[Any], axis: int) -> None:
    """Add the adjoint of taking differences along one axis, in place."""
    if axis == 0:
        result[1:] += difference
        result[:-1] -= difference
    else:
        result[:, 1:] += difference
        result[:, :-1] -= difference
