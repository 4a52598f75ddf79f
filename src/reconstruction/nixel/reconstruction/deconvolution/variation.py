"""Total variation as a factor of the Richardson-Lucy iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.physics.arrays import Array, namespace

if TYPE_CHECKING:
    from collections.abc import Sequence


def variation_factor(planes: Array, joined: Sequence[Array], strength: float) -> Array:
    """Compute 1 / (1 - strength div(grad x / |grad x|)), with which the iteration's step is multiplied.

    Forward differences make the gradient, backward ones the divergence, so that one is minus the adjoint of the other.

    Parameters
    ----------
    planes : array, shape (m + 2, ...)
        The m planes for which the factor is wanted, between the one before and the one after them.
    joined : sequence of array
        For each axis, broadcastable to the planes: 1 / smallest where the next sample is a neighbour in space, 0
        where it is not. Along the first axis m + 1 entries, from the plane before on. Below `smallest` the gradient's
        direction fades: |grad x| is sqrt(grad x . grad x + smallest^2), and here in its units.
    strength : float
        The regularisation; below 1 / (2 axes) the factor is positive.

    Returns
    -------
    array, shape (m, ...)

    References
    ----------
    Dey et al., Microsc. Res. Tech. 69 (2006) 260, eq. 13; Rudin, Osher, Fatemi, Physica D 60 (1992) 259.
    """
    xp = namespace(planes)
    here = planes[:-1, ...]
    gradient = [(planes[1:, ...] - here) * joined[0]]
    gradient += [(xp.roll(here, -1, axis=axis) - here) * joined[axis] for axis in range(1, planes.ndim)]
    norm = gradient[0] * gradient[0] + 1
    for part in gradient[1:]:
        norm = norm + part * part
    scale = -strength / xp.sqrt(norm)
    along = gradient[0] * scale
    result = along[1:, ...] - along[:-1, ...] + 1
    for axis in range(1, planes.ndim):
        along = gradient[axis][1:, ...] * scale[1:, ...]
        result = result + along - xp.roll(along, 1, axis=axis)
    return 1 / result
