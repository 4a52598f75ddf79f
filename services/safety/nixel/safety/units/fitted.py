"""Which units an instrument has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nixel.safety.config.wiring import CPU_TEMPERATURE
from nixel.safety.core.declared import Heartbeat
from nixel.safety.units.cpu import THERMAL, Cpu
from nixel.safety.units.gpio import Gpio, Lines
from nixel.safety.units.survbox import Timing
from nixel.safety.units.surveillance import Surveillance
from nixel.safety.units.unit import Units, Waker

if TYPE_CHECKING:
    from pathlib import Path

    from nixel.safety.config.instrument import Instrument
    from nixel.safety.config.units import GpioChip
    from nixel.safety.core.declared import Config
    from nixel.safety.units.unit import Unit


def fitted(
    instrument: Instrument,
    surveillance: str | None = None,
    panel: str | None = None,
    thermal: Path | None = None,
) -> Units:
    """Make the units of an instrument, not started yet.

    Parameters
    ----------
    instrument
        What is guarded.
    surveillance
        The serial line of its surveillance unit, if it is another one than the file names.
    panel
        The same for the socket of its virtual GPIO chip; a real chip stays as it is.
    thermal
        The same for the folder of a simulated instrument's thermal zones; a real one has the kernel's.

    Returns
    -------
    Units
        In the order of their start.
    """
    core = instrument.core
    units: list[Unit] = []
    news = Waker()
    if instrument.surveillance is not None:
        units.append(Surveillance(surveillance or instrument.surveillance.path, _timing(core), news=news))
    if instrument.gpio is not None:
        chip = instrument.gpio
        if chip.simulated and panel is not None:
            chip = replace(chip, path=panel)
        units.append(
            Gpio(chip, core.period, _idle_of_lines(core), _panel if chip.simulated else _chip, news=news)
        )
    if instrument.cpu_temperature:
        ages = (guard.max_age for guard in core.interlocks if CPU_TEMPERATURE in guard.sources)
        zones = thermal if instrument.simulated and thermal is not None else THERMAL
        units.append(Cpu(_pace(core, min(ages)), zones))
    return Units(units, news)


def _shortest(core: Config) -> float:
    return min(
        *(interlock.max_age for interlock in core.interlocks),
        *(output.readback_within for output in core.outputs),
    )


def _timing(core: Config) -> Timing:
    return Timing(reply=_shortest(core), active=core.period, idle=_idle(core))


def _idle(core: Config) -> float:
    return _pace(core, _shortest(core))


def _pace(core: Config, age: float) -> float:
    # What need not be known in every period is asked three times in the time after which the first would be stale.
    return max(core.period, age / 3)


def _idle_of_lines(core: Config) -> float:
    # A contact that must keep toggling could look as if it stood still to whoever looks too seldom.
    if any(isinstance(guard, Heartbeat) for guard in core.interlocks):
        return core.period
    return _idle(core)


# Both in the unit's own thread, so that neither library delays the start.


def _panel(chip: GpioChip) -> Lines:
    from nixel.safety.units.gpio_panel import PanelLines

    return PanelLines(chip)


def _chip(chip: GpioChip) -> Lines:
    from nixel.safety.units.gpio_chip import ChipLines

    return ChipLines.open(chip)
