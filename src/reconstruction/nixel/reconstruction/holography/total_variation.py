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
            primal = _primal(picture, ahead_down, ahead_right)
            # The operator's norm is at most sqrt(8).
            primal *= 1 / 8
            new_down = primal[1:, :] - primal[:-1, :]
            new_down += ahead_down
            new_right = primal[:, 1:] - primal[:, :-1]
            new_right += ahead_right
            _limit(xp, new_down, new_right, self._weight)
            quicker = (1 + math.sqrt(1 + 4 * pace * pace)) / 2
            ahead_down = _beyond(down, new_down, (pace - 1) / quicker)
            ahead_right = _beyond(right, new_right, (pace - 1) / quicker)
            down, right, pace = new_down, new_right, quicker
        self._dual = (down, right)
        return _primal(picture, down, right)


def _beyond(last: Array, new: Array, share: float) -> Array:
    """New point and a share of the way that led to it."""
    if not share:
        return new
    result = new - last
    result *= share
    result += new
    return result


def _primal(picture: Array, down: Array, right: Array) -> Array:
    """Picture that belongs to a dual: b - D^T p, the weight being in the dual."""
    result = namespace(picture).asarray(picture, copy=True)
    result[1:, :] -= down
    result[:-1, :] += down
    result[:, 1:] -= right
    result[:, :-1] += right
    return result


def _limit(xp: Array, down: Array, right: Array, radius: float) -> None:
    """Bring the dual of each pixel into the ball of this radius, in place."""
    # The last row has no neighbour below, the last column none to its right.
    inside = _length(xp, down[:, :-1], right[:-1, :])
    inside = 1 / _at_least_one(xp, inside / radius)
    down[:, :-1] *= inside
    right[:-1, :] *= inside
    down[:, -1:] /= _at_least_one(xp, xp.abs(down[:, -1:]) / radius)
    right[-1:, :] /= _at_least_one(xp, xp.abs(right[-1:, :]) / radius)


def _length(xp: Array, first: Array, second: Array) -> Array:
    squared = xp.real(first) ** 2
    for part in (xp.imag(first), xp.real(second), xp.imag(second)):
        squared += part * part
    return xp.sqrt(squared)


def _at_least_one(xp: Array, values: Array) -> Array:
    return xp.where(values > 1, values, xp.ones_like(values))
