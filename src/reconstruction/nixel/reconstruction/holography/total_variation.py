"""Total variation of complex pictures."""

from __future__ import annotations

import math

from nixel.physics.arrays import Array, namespace


class TotalVariation:
    """Proximal map of the isotropic total variation of complex pictures of one shape.

    It solves min_x 1/2 |x - b|^2 + weight * sum sqrt(|dx/dy|^2 + |dx/dx|^2), differences between neighbours,
    none across the edge, by the fast gradient projection on the dual. The dual is kept between calls: in an
    outer iteration the next picture is much like the last, and few inner steps are enough.

    Parameters
    ----------
    weight
        Of the total variation, positive, in the unit of the picture.
    steps
        Inner iterations of a call.

    References
    ----------
    Beck, Teboulle, "Fast gradient-based algorithms for constrained total variation image denoising and
    deblurring problems", IEEE Trans. Image Processing 18, 2419 (2009).
    """

    def __init__(self, weight: float, steps: int) -> None:
        self._weight = weight
        self._steps = steps
        self._dual: tuple[Array, Array] | None = None

    def __call__(self, picture: Array) -> Array:
        """Smoothed picture, complex, of the same shape."""
        xp = namespace(picture)
        if self._dual is None:
            self._dual = (xp.zeros_like(picture[1:, :]), xp.zeros_like(picture[:, 1:]))
        down, right = ahead_down, ahead_right = self._dual
        pace = 1.0
        for _ in range(self._steps):
            primal = self._primal(picture, ahead_down, ahead_right)
            # The operator's norm is at most sqrt(8).
            new_down = ahead_down + (primal[1:, :] - primal[:-1, :]) / (8 * self._weight)
            new_right = ahead_right + (primal[:, 1:] - primal[:, :-1]) / (8 * self._weight)
            _limit(xp, new_down, new_right)
            quicker = (1 + math.sqrt(1 + 4 * pace * pace)) / 2
            share = (pace - 1) / quicker
            ahead_down = new_down + share * (new_down - down)
            ahead_right = new_right + share * (new_right - right)
            down, right, pace = new_down, new_right, quicker
        self._dual = (down, right)
        return self._primal(picture, down, right)

    def _primal(self, picture: Array, down: Array, right: Array) -> Array:
        """Picture that belongs to a dual: b - weight D^T p."""
        xp = namespace(picture)
        result = xp.asarray(picture, copy=True)
        result[1:, :] -= self._weight * down
        result[:-1, :] += self._weight * down
        result[:, 1:] -= self._weight * right
        result[:, :-1] += self._weight * right
        return result


def _limit(xp: Array, down: Array, right: Array) -> None:
    """Bring the dual of each pixel into the unit ball, in place."""
    # The last row has no neighbour below, the last column none to its right.
    squared = xp.real(down[:, :-1]) ** 2 + xp.imag(down[:, :-1]) ** 2
    squared += xp.real(right[:-1, :]) ** 2 + xp.imag(right[:-1, :]) ** 2
    inside = 1 / xp.sqrt(_at_least_one(xp, squared))
    down[:, :-1] *= inside
    right[:-1, :] *= inside
    down[:, -1:] /= _at_least_one(xp, xp.abs(down[:, -1:]))
    right[-1:, :] /= _at_least_one(xp, xp.abs(right[-1:, :]))


def _at_least_one(xp: Array, values: Array) -> Array:
    return xp.where(values > 1, values, xp.ones_like(values))
