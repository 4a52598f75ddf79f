"""The `[safety]` table of an instrument file: read, checked strictly, turned into what the daemon needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nixel.safety.config import interlocks as interlock_config
from nixel.safety.config import outputs as output_config
from nixel.safety.config import ratings
from nixel.safety.config import units as units_config
from nixel.safety.config.quantities import DATES, FREQUENCY, TIME
from nixel.safety.config.tables import ConfigError, Table, read
from nixel.safety.config.wiring import CPU_TEMPERATURE, Wiring
from nixel.safety.core.declared import Deadlines
from nixel.safety.core.frozen import dataclass
from nixel.safety.core.model import Config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nixel.safety.config.units import GpioChip, SurveillanceUnit

__all__ = ["ConfigError", "Deadlines", "Instrument", "load", "parse"]

KEYS = (
    *("rate", "lease", "operator_group", "deadlines", "surveillance", "gpio"),
    *("proof_interval", "interlocks", "outputs"),
)
DEADLINES_KEYS = ("limit", "window")


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the daemon takes from an instrument file.

    Attributes
    ----------
    file
        Where it was read from.
    core
        What the pure logic needs.
    operator_group
        The group whose members may arm, reset and bypass; empty for none.
    deadlines
        How many missed deadlines are too many.
    surveillance
        The surveillance unit; `None` if there is none.
    gpio
        The GPIO chip; `None` if there is none. There is one of the two at least.
    proof_interval
        The longest time between two proofs of an output [s]; `None` if none is stated.
    """

    file: Path
    core: Config
    operator_group: str
    deadlines: Deadlines
    surveillance: SurveillanceUnit | None
    gpio: GpioChip | None
    proof_interval: float | None = None

    @property
    def simulated(self) -> bool:
        """Whether any of its devices is a virtual one."""
        return any(unit is not None and unit.simulated for unit in (self.surveillance, self.gpio))

    @property
    def cpu_temperature(self) -> bool:
        """Whether an interlock looks at the temperature of the processor."""
        return any(CPU_TEMPERATURE in interlock.sources for interlock in self.core.interlocks)


def load(file: Path, rated: Path | None = None) -> Instrument:
    """Read the `[safety]` table of an instrument file.

    Parameters
    ----------
    file
        The instrument's TOML file.
    rated
        The catalogue of the parts' ratings, which no limit may exceed; the shipped one if `None`.

    Returns
    -------
    Instrument
        Complete and consistent.

    Raises
    ------
    ConfigError
        If a file cannot be read, is not TOML, or is not exactly as described, or a limit is beyond a rating.
    """
    return parse(read(file, "an instrument file"), file, ratings.load(rated))


def parse(document: Mapping[str, Any], file: Path, catalogue: ratings.Catalogue | None = None) -> Instrument:
    """Check the `[safety]` table of a parsed instrument file.

    Parameters
    ----------
    document
        The whole document; only its `safety` table is looked at.
    file
        Its name, for messages.
    catalogue
        The parts' ratings; the shipped ones if `None`.

    Returns
    -------
    Instrument
        Complete and consistent.

    Raises
    ------
    ConfigError
        As `load` does.
    """
    safety = Table(file, "", dict(document)).table("safety")
    safety.only(KEYS)
    period = 1.0 / safety.quantity("rate", FREQUENCY, "100 Hz", low=10.0, high=1000.0)
    lease = safety.quantity("lease", TIME, "500 ms", low=3 * period, high=10.0)
    wiring = _wiring(safety)
    reader = interlock_config.Reader(period, wiring, ratings.load() if catalogue is None else catalogue)
    interlocks = tuple(reader.interlock(table) for table in safety.tables("interlocks"))
    outputs = output_config.outputs(safety, interlocks, wiring, period)
    return Instrument(
        file=file,
        core=Config(period, lease, interlocks, outputs),
        operator_group=safety.text("operator_group", default=""),
        deadlines=_deadlines(safety, period),
        surveillance=wiring.surveillance,
        gpio=wiring.gpio,
        proof_interval=safety.quantity(
            "proof_interval", DATES, "365 d", low=DATES["d"], high=3660 * DATES["d"]
        )
        if safety.has("proof_interval")
        else None,
    )


def _wiring(safety: Table) -> Wiring:
    unit = units_config.surveillance(safety.table("surveillance")) if safety.has("surveillance") else None
    chip = units_config.gpio(safety.table("gpio")) if safety.has("gpio") else None
    if unit is None and chip is None:
        raise safety.wrong("surveillance", "a table [safety.surveillance] or [safety.gpio], or both")
    return Wiring(unit, chip)


def _deadlines(safety: Table, period: float) -> Deadlines:
    if not safety.has("deadlines"):
        table = Table(safety.file, safety.key("deadlines"), {})
    else:
        table = safety.table("deadlines")
    table.only(DEADLINES_KEYS)
    window = table.quantity("window", TIME, "1 s", 10 * period, 10.0) if table.has("window") else 1.0
    # A loop that is late half of the time is not a control loop, whatever the file says.
    most = max(1, int(window / period / 2))
    return Deadlines(table.integer("limit", 1, most, default=min(10, most)), window)
