"""Momentum: the same steps, fewer of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.physics.arrays import Array


def iterate(
    step: Callable[[Array], tuple[Array, float]],
    start: Array,
    iterations: int,
    *,
    acceleration: bool,
    progress: Callable[[int, int], None] | None,
) -> Array:
    """Repeat a step, each from a point that the last two results point to.

    The momentum is Nesterov's, t = (1 + sqrt(1 + 4 t^2)) / 2, and starts anew wherever the misfit has grown:
    the problem is not convex, and momentum may overshoot.

    Parameters
    ----------
    step
        Takes a point and returns the next, and the misfit of the point it was given.
    start
        First point.
    iterations
        Steps.
    acceleration
        False: plain repetition.
    progress
        Called with (steps done, steps in all).

    Returns
    -------
    array
        The last step's result.

    References
    ----------
    Beck, Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems", SIAM J.
    Imaging Sciences 2, 183 (2009). O'Donoghue, Candès, "Adaptive restart for accelerated gradient schemes",
    Found. Comput. Math. 15, 715 (2015).
    """
    current = point = start
    pace, last = 1.0, math.inf
    for done in range(iterations):
        following, misfit = step(point)
        if not acceleration or misfit > last:
            pace, point = 1.0, following
        else:
            quicker = (1 + math.sqrt(1 + 4 * pace * pace)) / 2
            point = following - current
            point *= (pace - 1) / quicker
            point += following
            pace = quicker
        current, last = following, misfit
        if progress is not None:
            progress(done + 1, iterations)
    return current
