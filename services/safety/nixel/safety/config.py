"""The `[safety]` table of an instrument file: read, checked strictly, turned into what the daemon needs."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nixel.safety.declared import LONGEST_AGE
from nixel.safety.model import (
    CLOCK,
    DEVICE_KIND,
    READBACK_KIND,
    START,
    Boolean,
    Config,
    Direction,
    Limit,
    Output,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nixel.safety.model import Interlock

ADAPTERS = ("serial-surveillance",)
SINKS = ("ac",)
# Units that a limit may be given in; the value is compared in the unit in which the source gives it.
LIMIT_UNITS = ("degC", "K", "A", "V", "W", "T", "T/s", "Hz", "bar", "l/min", "mm", "percent")

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_SOURCE = re.compile(r"(analog|digital):(0|[1-9][0-9]?)")
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*)?")
_TIME = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
_RATE = {"Hz": 1.0, "kHz": 1e3}
_RESERVED = (START, CLOCK, DEVICE_KIND, READBACK_KIND, "surveillance", "server")


class ConfigError(Exception):
    """The instrument file is not what it must be; the text says where, what was found and what to write."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the daemon takes from an instrument file.

    Attributes
    ----------
    file
        Where it was read from.
    core
        What the pure logic needs.
    path
        The serial line of the surveillance unit.
    simulated
        Whether that unit is a virtual one.
    operator_group
        The group whose members may arm and reset; empty for none.
    """

    file: Path
    core: Config
    path: str
    simulated: bool
    operator_group: str


def load(file: Path) -> Instrument:
    """Read the `[safety]` table of an instrument file.

    Parameters
    ----------
    file
        The instrument's TOML file.

    Returns
    -------
    Instrument
        Complete and consistent.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or its `[safety]` table is not exactly as described.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        msg = (
            f"{file}: cannot be read: {error.strerror}. Name an instrument file that exists and is readable."
        )
        raise ConfigError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{file}: is not text in UTF-8 (byte {error.start}). Name an instrument file in TOML."
        raise ConfigError(msg) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{file}: is not valid TOML: {error}. Correct the line that it names."
        raise ConfigError(msg) from error
    return parse(document, file)


def parse(document: Mapping[str, Any], file: Path) -> Instrument:
    """Check the `[safety]` table of a parsed instrument file.

    Parameters
    ----------
    document
        The whole document; only its `safety` table is looked at.
    file
        Its name, for messages.

    Returns
    -------
    Instrument
        Complete and consistent.

    Raises
    ------
    ConfigError
        As `load` does.
    """
    safety = _Table(file, "", dict(document)).table("safety")
    safety.only(("rate", "lease", "operator_group", "surveillance", "interlocks", "outputs"))
    rate = safety.quantity("rate", _RATE, "100 Hz", low=10.0, high=1000.0)
    period = 1.0 / rate
    lease = safety.quantity("lease", _TIME, "500 ms", low=3 * period, high=10.0)
    unit = safety.table("surveillance")
    unit.only(("adapter", "path", "simulated"))
    unit.choice("adapter", ADAPTERS)
    interlocks = tuple(_interlock(table, period) for table in safety.tables("interlocks"))
    outputs = tuple(_output(table, interlocks, period) for table in safety.tables("outputs"))
    _check_wiring(safety, interlocks, outputs)
    return Instrument(
        file=file,
        core=Config(period, lease, interlocks, outputs),
        path=unit.text("path"),
        simulated=unit.boolean("simulated", default=False),
        operator_group=safety.text("operator_group", default=""),
    )


def _interlock(table: _Table, period: float) -> Interlock:
    name = table.name()
    if table.choice("kind", ("limit", "boolean")) == "boolean":
        table.only(("kind", "source", "healthy", "max_age", "message"))
        return Boolean(
            name,
            table.source("digital"),
            table.boolean("healthy"),
            table.quantity("max_age", _TIME, "150 ms", low=2 * period, high=LONGEST_AGE),
            table.text("message", default=""),
        )
    table.only(("kind", "source", "unit", "trip", "warn", "direction", "max_age", "message"))
    unit = table.choice("unit", LIMIT_UNITS)
    trip = table.quantity("trip", {unit: 1.0}, f"60 {unit}")
    warn = table.quantity("warn", {unit: 1.0}, f"50 {unit}") if table.has("warn") else None
    direction = Direction(table.choice("direction", tuple(Direction), default=Direction.ABOVE))
    if warn is not None and (warn >= trip if direction is Direction.ABOVE else warn <= trip):
        side = "below" if direction is Direction.ABOVE else "above"
        raise table.wrong("warn", f"a level {side} trip = {trip:g} {unit}, so that it warns before it trips")
    return Limit(
        name,
        table.source("analog"),
        unit,
        trip,
        table.quantity("max_age", _TIME, "150 ms", low=2 * period, high=LONGEST_AGE),
        warn,
        direction,
        table.text("message", default=""),
    )


def _output(table: _Table, interlocks: Iterable[Interlock], period: float) -> Output:
    table.only(("sink", "gated_by", "readback_within"))
    name, sink, gates = table.name(), table.choice("sink", SINKS), table.texts("gated_by")
    known = [interlock.name for interlock in interlocks]
    for gate in gates:
        if gate not in known:
            raise table.wrong("gated_by", f"names of interlocks of this file ({', '.join(known)})")
    if not table.has("readback_within"):
        return Output(name, sink, gates)
    within = table.quantity("readback_within", _TIME, "250 ms", low=2 * period, high=1.0)
    return Output(name, sink, gates, within)


def _check_wiring(safety: _Table, interlocks: Iterable[Interlock], outputs: Iterable[Output]) -> None:
    """Refuse two outputs on one sink, and an interlock that people would trust although it gates nothing."""
    sinks: dict[str, str] = {}
    for output in outputs:
        if output.sink in sinks:
            other = sinks[output.sink]
            key, found = f"outputs.{output.name}.sink", f'"{output.sink}"'
            raise safety.wrong(key, f"a sink other than that of {other!r}", found)
        sinks[output.sink] = output.name
    gating = {gate for output in outputs for gate in output.gated_by}
    for interlock in interlocks:
        if interlock.name not in gating:
            wanted = "to be named in the gated_by of an output; as it is, it gates nothing"
            raise safety.wrong(
                f"interlocks.{interlock.name}", wanted, found="an interlock that no output names"
            )


_MISSING = object()


class _Table:
    """A table of the document, with its place in the file for messages."""

    def __init__(self, file: Path, place: str, content: dict[str, Any]) -> None:
        self.file = file
        self.place = place
        self.content = content

    def key(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def wrong(self, key: str, expected: str, found: str | None = None) -> ConfigError:
        """Make the error of a key: found, expected, what to do."""
        if found is None:
            value = self.content.get(key, _MISSING)
            found = "nothing" if value is _MISSING else _show(value)
        do = "Add the key" if found == "nothing" else "Correct it"
        place = f"{self.file}: {self.key(key)}"
        return ConfigError(f"{place}: found {found}, expected {expected}. {do} and try again.")

    def only(self, known: tuple[str, ...]) -> None:
        for key in self.content:
            if key not in known:
                found = f"a key that does not exist here (value {_show(self.content[key])})"
                raise self.wrong(key, f"one of {', '.join(known)}", found)

    def has(self, key: str) -> bool:
        return key in self.content

    def name(self) -> str:
        name = self.place.rpartition(".")[2]
        if not _NAME.fullmatch(name) or name in _RESERVED:
            expected = "a name of lower-case letters, digits and hyphens that begins with a letter"
            expected += f" and is none of {', '.join(_RESERVED)}"
            msg = f"{self.file}: {self.place}: found the name {name!r}, expected {expected}. Rename it."
            raise ConfigError(msg)
        return name

    def table(self, key: str) -> _Table:
        value = self.content.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, f"a table [{self.key(key)}]")
        return _Table(self.file, self.key(key), value)

    def tables(self, key: str) -> list[_Table]:
        table = self.table(key)
        if not table.content:
            raise self.wrong(key, f"at least one table [{self.key(key)}.NAME]", found="an empty table")
        return [table.table(name) for name in table.content]

    def text(self, key: str, default: str | None = None) -> str:
        value = self.content.get(key, default)
        if not isinstance(value, str) or not (value or default is not None):
            raise self.wrong(key, "a text that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.content.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of one or more texts")
        return tuple(value)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        value = self.content.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        value = self.content.get(key, default)
        if not isinstance(value, str) or value not in known:
            raise self.wrong(key, "one of " + ", ".join(f'"{word}"' for word in known))
        return value

    def source(self, kind: str) -> str:
        value = self.content.get("source")
        match = _SOURCE.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[1] != kind:
            raise self.wrong("source", f'a source of this kind of interlock: "{kind}:0" to "{kind}:99"')
        return match[0]

    def quantity(
        self,
        key: str,
        units: Mapping[str, float],
        example: str,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> float:
        value = self.content.get(key, _MISSING)
        written = f'a quantity with its unit, such as "{example}"'
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise self.wrong(key, written, found=f"the bare number {value}, which has no unit")
        match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise self.wrong(key, written)
        number, unit = float(match[1]), match[2] or ""
        if not unit:
            raise self.wrong(key, written, found=f"{_show(value)}, which has no unit")
        if unit not in units:
            raise self.wrong(
                key, f"{written} (in {', '.join(units)})", found=f"{_show(value)}, in another unit"
            )
        number *= units[unit]
        if not low <= number <= high or not math.isfinite(number):
            base = next(unit for unit, factor in units.items() if factor == 1.0)
            raise self.wrong(key, f"a value from {low:g} to {high:g} {base}")
        return number


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
