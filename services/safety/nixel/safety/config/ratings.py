"""The ratings of parts: what a sensor can measure and what a part withstands.

The catalogue belongs to whoever builds the instrument, the instrument file to whoever configures it. So a limit
names its sensor and the part that it protects, and a level beyond the rating of either is refused whatever the
instrument file says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nixel.safety.config.quantities import LEVELS, UNITS
from nixel.safety.config.tables import Table, read
from nixel.safety.core.frozen import dataclass
from nixel.safety.core.model import Direction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.core.model import Limit

SHIPPED = Path(__file__).with_name("ratings.toml")
# A limit in one of these stands between a person or a part and harm: it must say what it protects.
GUARDED = ("degC", "A", "T", "T/s", "W/kg")


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a sensor can measure, from `low` to `high`, in `unit`."""

    unit: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Part:
    """What a part withstands: levels by their units."""

    at_most: Mapping[str, float]
    at_least: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All ratings of one file."""

    file: Path
    sensors: Mapping[str, Sensor]
    parts: Mapping[str, Part]

    def check(self, table: Table, limit: Limit) -> None:
        """Refuse a limit that trips beyond what its sensor can measure or its part withstands.

        Parameters
        ----------
        table
            Where it stands, with the keys `sensor` and `part`.
        limit
            As it was read from there.

        Raises
        ------
        ConfigError
            If it does, or names neither although its unit demands it, or names what has no such rating.
        """
        if table.has("sensor") or limit.unit in GUARDED:
            self._check_sensor(table, limit)
        if table.has("part") or limit.unit in GUARDED:
            self._check_part(table, limit)

    def _check_sensor(self, table: Table, limit: Limit) -> None:
        name = table.content.get("sensor")
        if not isinstance(name, str) or name not in self.sensors:
            raise table.wrong("sensor", f"a sensor of {self.file} ({', '.join(self.sensors)})")
        sensor = self.sensors[name]
        converted = limit.factor != 1.0 or limit.power != 1
        if converted is (sensor.unit == limit.unit):
            # A factor between two values of one unit could only make little of what is much.
            wanted = "no factor and power" if converted else f"a factor that makes {limit.unit} of it"
            found = f"{name}, which measures in {sensor.unit}, for a limit in {limit.unit}"
            raise table.wrong("sensor", wanted, found)
        low, high, at = sensor.low, sensor.high, limit.trip
        if converted:
            low, high = 0.0, max(abs(low), abs(high))
            at = (max(at, 0.0) / limit.factor) ** (1.0 / limit.power)
        if not low <= at <= high:
            reach = f"{sensor.low:g} to {sensor.high:g} {sensor.unit}"
            expected = f"a level that {name} can measure ({reach}, {self.file.name})"
            found = f"{limit.trip:g} {limit.unit}"
            if converted:
                found += f", which {name} reads as {at:g} {sensor.unit}"
            raise table.wrong("trip", expected, found)

    def _check_part(self, table: Table, limit: Limit) -> None:
        name = table.content.get("part")
        above = limit.direction is Direction.ABOVE
        rated = {
            part: levels[limit.unit]
            for part, rating in self.parts.items()
            if limit.unit in (levels := rating.at_most if above else rating.at_least)
        }
        most = "most" if above else "least"
        if not isinstance(name, str) or name not in rated:
            known = ", ".join(rated) or "none there"
            expected = f"a part of {self.file} that withstands at {most} so many {limit.unit} ({known})"
            raise table.wrong("part", expected)
        rating = rated[name]
        if limit.trip > rating if above else limit.trip < rating:
            found = f"{limit.trip:g} {limit.unit}, at which {limit.name} trips"
            withstood = f"what {name} withstands ({rating:g} {limit.unit}, {self.file.name})"
            raise table.wrong("trip", f"at {most} {withstood}", found)


def load(file: Path | None = None) -> Catalogue:
    """Read a catalogue of ratings.

    Parameters
    ----------
    file
        The one of this instrument; the shipped one if `None`.

    Returns
    -------
    Catalogue
        Complete.

    Raises
    ------
    ConfigError
        If it cannot be read, is not TOML, or is not exactly as described.
    """
    file = SHIPPED if file is None else file
    document = Table(file, "", read(file, "a catalogue of ratings"))
    document.only(("sensors", "parts"))
    sensors = {table.last: _sensor(table) for table in document.tables("sensors")}
    return Catalogue(file, sensors, {table.last: _part(table) for table in document.tables("parts")})


def _sensor(table: Table) -> Sensor:
    table.only(("range", "basis"))
    table.text("basis")
    levels = _levels(table, "range")
    if len(levels) != 2 or levels[0][0] != levels[1][0] or not levels[0][1] < levels[1][1]:
        raise table.wrong(
            "range", 'two levels of one unit, the lower first, such as ["-50 degC", "500 degC"]'
        )
    return Sensor(levels[0][0], levels[0][1], levels[1][1])


def _part(table: Table) -> Part:
    table.only(("at_most", "at_least", "basis"))
    table.text("basis")
    read = {key: dict(_levels(table, key)) if table.has(key) else {} for key in ("at_most", "at_least")}
    if not any(read.values()):
        raise table.wrong("at_most", 'levels that it withstands, such as ["120 degC", "30 A"]')
    return Part(**read)


def _levels(table: Table, key: str) -> list[tuple[str, float]]:
    """Read a list of levels, each with its unit."""
    levels = []
    for text in table.texts(key):
        unit = next((unit for unit in UNITS if any(text.endswith(f" {word}") for word in LEVELS[unit])), "")
        if not unit:
            raise table.wrong(key, f'levels with their units, such as "120 degC" (in {", ".join(UNITS)})')
        levels.append((unit, table.measure(key, text, LEVELS[unit], f"120 {unit}")))
    if len(dict(levels)) != len(levels) and key != "range":
        raise table.wrong(key, "one level for each unit")
    return levels
