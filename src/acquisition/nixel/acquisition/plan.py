"""What a run will take, said before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nixel.acquisition.scanner_tables import Scanner

__all__ = ["Heating", "Plan", "coil_heating"]


@dataclass(frozen=True)
class Heating:
    """How warm a part would become.

    Parameters
    ----------
    part : str
        The one that becomes hottest.
    start, peak : float
        Before the run, and at the hottest, in degC; an estimate.
    """

    part: str
    start: float
    peak: float


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Parameters
    ----------
    duration : float
        In s; an estimate.
    size : int
        Of the measured data in bytes.
    frames : int
        All of them, the scanner's background frames too.
    on_time : float
        The longest time at a stretch that the drive field or the light is on, in s; an estimate.
    duty : float
        The share of the duration that it is on.
    heating : Heating, optional
        None if the instrument file does not say what it takes to estimate it.
    notes : tuple of str
        What the estimate does not count, in sentences.
    """

    duration: float
    size: int
    frames: int
    on_time: float
    duty: float = 0.0
    heating: Heating | None = None
    notes: tuple[str, ...] = ()


def coil_heating(scanner: Scanner, phases: Iterable[tuple[float, bool]]) -> Heating | None:
    """Estimate how warm the drive coils become.

    Each coil is one body with a heat capacity C and a thermal resistance R_th to surroundings of constant temperature,
    C dT/dt = P - (T - T_ambient) / R_th, with P = R I² / 2 while a sine of amplitude I = B / (field per ampere) flows
    in its resistance R, and zero otherwise. Within a phase the solution is an exponential, so nothing is integrated
    numerically. The resistance is taken as constant; of copper it grows by 0.4 % per kelvin.

    Parameters
    ----------
    scanner : Scanner
    phases : iterable of (float, bool)
        Durations in s, and whether the drive field is on, one after the other.

    Returns
    -------
    Heating or None
        Of the hottest coil; None without ``[scanner.thermal]``.
    """
    thermal = scanner.thermal
    if thermal is None:
        return None
    phases = list(phases)
    peaks = [
        _peak(
            phases,
            thermal.ambient,
            resistance * (field / per_ampere) ** 2 / 2 * thermal.thermal_resistance,
            thermal.thermal_resistance * thermal.heat_capacity,
        )
        for field, resistance, per_ampere in zip(
            scanner.drive_field, thermal.coil_resistance, thermal.field_per_ampere, strict=True
        )
    ]
    hottest = max(range(len(peaks)), key=peaks.__getitem__)
    return Heating(f"drive coil {'xyz'[hottest]}", thermal.ambient, peaks[hottest])


def _peak(phases: Sequence[tuple[float, bool]], ambient: float, rise: float, time_constant: float) -> float:
    above = peak = 0.0
    for duration, on in phases:
        final = rise if on else 0.0
        above = final + (above - final) * math.exp(-duration / time_constant)
        # Monotonic within a phase, so its hottest moment is one of its ends.
        peak = max(peak, above)
    return ambient + peak
