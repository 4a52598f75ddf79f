"""Denoising by total variation: the proximal operator that FISTA takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nixel.physics.arrays import Array, namespace

if TYPE_CHECKING:
    from collections.abc import Sequence


def differences(image: Array, axes: int) -> list[Array]:
    """Forward differences along each of the first `axes` axes, zero at the far edge, in the shape of the image."""
    xp = namespace(image)
    found = []
    for axis in range(axes):
        inner = _cut(image, axis, 1, None) - _cut(image, axis, None, -1)
        found.append(xp.concat([inner, xp.zeros_like(_cut(image, axis, -1, None))], axis=axis))
    return found


def divergence(fields: Sequence[Array]) -> Array:
    """Adjoint of `differences`, negated."""
    xp = namespace(*fields)
    total = None
    for axis, field in enumerate(fields):
        inner = _cut(field, axis, None, -1)
        zero = xp.zeros_like(_cut(field, axis, -1, None))
        share = xp.concat([inner, zero], axis=axis) - xp.concat([zero, inner], axis=axis)
        total = share if total is None else total + share
    return total


def total_variation(image: Array, axes: int) -> Array:
    """Isotropic total variation over the first `axes` axes: the sum of the gradient's magnitude."""
    xp = namespace(image)
    magnitude = xp.sqrt(_squares(differences(image, axes)))
    return xp.sum(magnitude, axis=tuple(range(axes)))


class TotalVariationDenoiser:
    """min over x of 1/2 ||x - b||^2 + w TV(x), if wished over x >= 0, by fast gradient projection on the dual.

    It begins where the last call ended: for the sequence of images of an outer iteration a few steps are enough.

    Parameters
    ----------
    axes : int
        How many leading axes of the image are space.
    iterations : int
        Steps of a call.
    non_negative : bool

    References
    ----------
    Beck and Teboulle, IEEE Trans. Image Process. 18 (2009) 2419.
    """

    def __init__(self, axes: int, iterations: int, *, non_negative: bool) -> None:
        self._axes, self._iterations, self._non_negative = axes, iterations, non_negative
        self._dual: list[Array] | None = None

    def __call__(self, image: Array, weight: Array) -> Array:
        """Denoise.

        Parameters
        ----------
        image : array of float
            Space first; further axes are images of their own.
        weight : array of float
            w, zero or more, that broadcasts to the further axes.

        Returns
        -------
        array of float, the shape of `image`
        """
        xp = namespace(image)
        if not bool(xp.any(weight > 0)):
            return self._projected(image)
        # A weight of zero needs no dual: the step is as for one, and the product with the weight vanishes.
        divisor = xp.where(weight > 0, weight, xp.ones_like(weight)) * (4.0 * self._axes)
        dual = self._dual or [xp.zeros_like(image) for _ in range(self._axes)]
        ahead, momentum = dual, 1.0
        for _ in range(self._iterations):
            estimate = self._projected(image + weight * divergence(ahead))
            moved = [a + d / divisor for a, d in zip(ahead, differences(estimate, self._axes), strict=True)]
            magnitude = xp.sqrt(_squares(moved))
            scale = xp.maximum(magnitude, xp.ones_like(magnitude))
            before, dual = dual, [field / scale for field in moved]
            following = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
            share = (momentum - 1.0) / following
            ahead = [new + share * (new - old) for new, old in zip(dual, before, strict=True)]
            momentum = following
        self._dual = dual
        return self._projected(image + weight * divergence(dual))

    def _projected(self, image: Array) -> Array:
        if not self._non_negative:
            return image
        xp = namespace(image)
        return xp.maximum(image, xp.zeros_like(image))


def _squares(fields: Sequence[Array]) -> Array:
    total = fields[0] ** 2
    for field in fields[1:]:
        total = total + field**2
    return total


def _cut(image: Array, axis: int, start: int | None, stop: int | None) -> Array:
    return image[(slice(None),) * axis + (slice(start, stop), ...)]
