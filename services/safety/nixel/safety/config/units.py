"""The devices of the daemon as an instrument file describes them: the surveillance unit and the GPIO chip."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from nixel.safety.config.quantities import TIME
from nixel.safety.core.frozen import dataclass

if TYPE_CHECKING:
    from nixel.safety.config.tables import Table

SERIAL_SURVEILLANCE = "serial-surveillance"
GPIO = "gpio"
VIRTUAL_GPIO = "virtual-gpio"

SURVEILLANCE_KEYS = ("adapter", "path", "simulated")
GPIO_KEYS = ("adapter", "chip", "path", "simulated", "inputs", "outputs", "charge_pump", "hold")

# s for which relays hold without the charge pump: as fast ones do, and so long that a killed daemon is still off within
# a quarter of a second.
_HOLD, _LONGEST_HOLD = 0.05, 0.2
INPUT_KEYS = ("pull", "active")
OUTPUT_KEYS = ("active", "readback")

_LINE = re.compile(r"0|[1-9][0-9]{0,2}")
_CHIP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Pull(StrEnum):
    """The resistor at an input line, which decides what a broken wire reads as."""

    UP = "up"
    DOWN = "down"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SurveillanceUnit:
    """A serial surveillance unit, with the sources `analog:N` and `digital:N` and the sink `ac`.

    Attributes
    ----------
    path
        Its serial line.
    simulated
        Whether it is a virtual one.
    """

    path: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class GpioInput:
    """An input line, the source `gpio:<line>`, which reads true while it is active."""

    line: int
    pull: Pull
    active_high: bool


@dataclass(frozen=True, slots=True)
class GpioOutput:
    """An output line, the sink `gpio:<line>`; the input line `readback` is active while it really is on."""

    line: int
    active_high: bool
    readback: int


@dataclass(frozen=True, slots=True)
class GpioChip:
    """A GPIO chip, real or virtual.

    Attributes
    ----------
    chip
        The number or the name of a real one; `None` for a virtual one.
    path
        The socket of a virtual one; empty for a real one.
    inputs
        Its input lines, those that report outputs included.
    outputs
        Its output lines.
    charge_pump
        The output line that toggles with every tick in which outputs are permitted; `None` for none.
    hold
        For how long the relays surely hold without it [s].
    """

    chip: int | str | None
    path: str
    inputs: tuple[GpioInput, ...]
    outputs: tuple[GpioOutput, ...] = ()
    charge_pump: int | None = None
    hold: float = _HOLD

    @property
    def simulated(self) -> bool:
        """Whether it is a virtual one."""
        return self.chip is None


def surveillance(table: Table) -> SurveillanceUnit:
    """Read `[safety.surveillance]`.

    Raises
    ------
    ConfigError
        If it is not exactly as described.
    """
    table.only(SURVEILLANCE_KEYS)
    table.choice("adapter", (SERIAL_SURVEILLANCE,))
    return SurveillanceUnit(table.text("path"), table.boolean("simulated", default=False))


def gpio(table: Table) -> GpioChip:
    """Read `[safety.gpio]`.

    Raises
    ------
    ConfigError
        If it is not exactly as described, or uses a line twice.
    """
    virtual = table.choice("adapter", (GPIO, VIRTUAL_GPIO)) == VIRTUAL_GPIO
    foreign = "chip" if virtual else "path"
    table.only(tuple(key for key in GPIO_KEYS if key != foreign))
    chip = None if virtual else _chip(table)
    path = table.text("path") if virtual else ""
    if table.boolean("simulated", default=False) is not virtual:
        expected = "true, for a virtual chip must be called so" if virtual else "false, for a real chip"
        raise table.wrong("simulated", expected)
    inputs = tuple(_input(line) for line in table.tables("inputs"))
    outputs = tuple(_output(line) for line in (table.tables("outputs") if table.has("outputs") else ()))
    # Without the pump's relay an output would stay as it is when the daemon is no more.
    pump = table.integer("charge_pump", 0, 999) if outputs or table.has("charge_pump") else None
    _check_lines(table, inputs, outputs, pump)
    hold = table.quantity("hold", TIME, "50 ms", _HOLD, _LONGEST_HOLD) if table.has("hold") else _HOLD
    return GpioChip(chip, path, inputs, outputs, pump, hold)


def _chip(table: Table) -> int | str:
    value = table.content.get("chip")
    if isinstance(value, str) and _CHIP.fullmatch(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise table.wrong("chip", 'the number of a GPIO chip, such as 0, or its name, such as "pinctrl-bcm2711"')


def _line(table: Table) -> int:
    name = table.last
    if not _LINE.fullmatch(name):
        raise table.misnamed("the number of a line, 0 to 999")
    return int(name)


def _input(table: Table) -> GpioInput:
    table.only(INPUT_KEYS)
    line = _line(table)
    # No default for either: they decide whether a broken wire reads as danger.
    pull = Pull(table.choice("pull", tuple(Pull)))
    return GpioInput(line, pull, table.choice("active", ("high", "low")) == "high")


def _output(table: Table) -> GpioOutput:
    table.only(OUTPUT_KEYS)
    line = _line(table)
    active_high = table.choice("active", ("high", "low")) == "high"
    return GpioOutput(line, active_high, table.integer("readback", 0, 999))


def _check_lines(
    table: Table, inputs: tuple[GpioInput, ...], outputs: tuple[GpioOutput, ...], pump: int | None
) -> None:
    """Refuse a line that is used twice, and an output whose report comes from no input of its own."""
    used = {line.line: f"inputs.{line.line}" for line in inputs}
    for output in outputs:
        if output.line in used:
            expected = f"a line that is not {used[output.line]} already"
            raise table.wrong(f"outputs.{output.line}", expected, f"the line {output.line}")
        used[output.line] = f"outputs.{output.line}"
    if pump in used:
        raise table.wrong("charge_pump", f"a line that is not {used[pump]} already")
    reports: dict[int, int] = {}
    for output in outputs:
        key, found = f"outputs.{output.line}.readback", str(output.readback)
        if not used.get(output.readback, "").startswith("inputs."):
            raise table.wrong(key, "the number of one of the inputs, which reports this output", found)
        if output.readback in reports:
            expected = f"an input other than that of outputs.{reports[output.readback]}"
            raise table.wrong(key, expected, found)
        reports[output.readback] = output.line
