"""Which units an instrument has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.safety.survbox import Timing
from nixel.safety.surveillance import Surveillance
from nixel.safety.units import Units

if TYPE_CHECKING:
    from nixel.safety.config import Instrument


def fitted(instrument: Instrument, surveillance: str | None = None) -> Units:
    """Make the units of an instrument, not started yet.

    Parameters
    ----------
    instrument
        What is guarded.
    surveillance
        The serial line of its surveillance unit, if it is another one than the file names.

    Returns
    -------
    Units
        In the order of their start.
    """
    return Units([Surveillance(surveillance or instrument.path, _timing(instrument))])


def _timing(instrument: Instrument) -> Timing:
    core = instrument.core
    shortest = min(
        *(interlock.max_age for interlock in core.interlocks),
        *(output.readback_within for output in core.outputs),
    )
    return Timing(reply=shortest, active=core.period, idle=max(core.period, shortest / 4))
