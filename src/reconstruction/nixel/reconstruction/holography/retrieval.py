"""The phase that one hologram has lost, from what a sample can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nixel.reconstruction.holography.momentum import iterate
from nixel.reconstruction.holography.planes import amplitude_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.physics.arrays import Array
    from nixel.reconstruction.holography.planes import Planes
    from nixel.reconstruction.holography.total_variation import TotalVariation

    Sample = Literal["any", "absorbing", "phase"]


def retrieve(
    planes: Planes,
    hologram: Array,
    *,
    sample: Sample,
    support: Array | None = None,
    smooth: TotalVariation | None = None,
    iterations: int,
    acceleration: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """Field at the sample, on the whole grid, that is possible and has the recorded amplitude.

    Parameters
    ----------
    planes
        Of one distance.
    hologram
        (y, x), mean about 1.
    sample
        See `reconstruct_single`.
    support
        Boolean, (y, x); None: anywhere.
    smooth
        Proximal map of the total variation; None: none.
    iterations
        Number of them.
    acceleration
        Whether with momentum.
    progress
        Called with (iterations done, iterations in all).

    Returns
    -------
    array, complex
        As the grid.
    """
    xp = planes.xp
    amplitude = amplitude_of(hologram)
    anywhere = None if support is None else xp.real(planes.embed(support)) > 0

    def possible(field: Array) -> Array:
        if smooth is not None:
            field = smooth(field)
        field = _constrain(xp, field, sample)
        if anywhere is not None:
            field = xp.where(anywhere, field, xp.ones_like(field))
        return field

    def step(field: Array) -> tuple[Array, float]:
        spectrum, misfit = planes.impose(planes.spectrum(field), 0, amplitude)
        return possible(planes.field(spectrum)), misfit

    spectrum = planes.spectrum(planes.embed(amplitude, 1.0)) * xp.conj(planes.transfers[0])
    start = possible(planes.field(spectrum))
    return iterate(step, start, iterations, acceleration=acceleration, progress=progress)


def _constrain(xp: Array, field: Array, sample: Sample) -> Array:
    """Nearest transmission that the sample can have."""
    if sample == "absorbing":
        real = xp.real(field)
        real = xp.where(real > 0, real, xp.zeros_like(real))
        real = xp.where(real < 1, real, xp.ones_like(real))
        return xp.astype(real, field.dtype)
    size = xp.abs(field)
    if sample == "any":
        return field / xp.where(size > 1, size, xp.ones_like(size))
    lost = size == 0
    ones = xp.ones_like(size)
    return xp.where(lost, xp.ones_like(field), field / xp.where(lost, ones, size))
