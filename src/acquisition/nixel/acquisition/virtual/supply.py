"""``nixel-virtual-supply``: a power supply with one output that speaks SCPI on a serial line, and a load behind it.

Headers have their short and long forms, errors the numbers of SCPI-99. Limits are those of the supply; the output
follows the load: constant voltage, or constant current where the load would draw more. Beside what every wire
understands, a hand can::

    load OHM     put another load behind the output
    trip         let its over-current protection switch the output off
"""

from __future__ import annotations

import re
import sys
from collections import deque
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.wire import HandError, LineMachine, parser, run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Supply", "main"]

_IDENTITY = "nixel,virtual-supply,0,1.0"
_QUEUE = 10
_ERRORS = {
    0: "No error", -104: "Data type error", -108: "Parameter not allowed", -109: "Missing parameter",
    -113: "Undefined header", -222: "Data out of range", -350: "Queue overflow",
}  # fmt: skip


def _form(short: str, rest: str = "") -> str:
    return f"{short}(?:{rest})?" if rest else short


_SOURCE = rf":?(?:{_form('SOUR', 'CE')}:)?"
_LEVEL = rf"(?::{_form('LEV', 'EL')})?(?::{_form('IMM', 'EDIATE')})?(?::{_form('AMPL', 'ITUDE')})?"
_HEADERS = {
    name: re.compile(pattern)
    for name, pattern in {
        "*IDN": r"\*IDN", "*RST": r"\*RST", "*CLS": r"\*CLS", "*OPC": r"\*OPC",
        "VOLT": _SOURCE + _form("VOLT", "AGE") + _LEVEL,
        "CURR": _SOURCE + _form("CURR", "ENT") + _LEVEL,
        "OUTP": ":?" + _form("OUTP", "UT") + f"(?::{_form('STAT', 'E')})?",
        "MEAS:VOLT": f":?{_form('MEAS', 'URE')}(?::{_form('SCAL', 'AR')})?:{_form('VOLT', 'AGE')}(?::DC)?",
        "MEAS:CURR": f":?{_form('MEAS', 'URE')}(?::{_form('SCAL', 'AR')})?:{_form('CURR', 'ENT')}(?::DC)?",
        "SYST:ERR": f":?{_form('SYST', 'EM')}:{_form('ERR', 'OR')}(?::NEXT)?",
    }.items()
}  # fmt: skip


class Supply:
    """The supply, without its wire.

    Parameters
    ----------
    voltage, current : float
        Its limits in V and A.
    load : float
        In ohm.
    """

    def __init__(self, voltage: float = 30.0, current: float = 5.0, load: float = 10.0) -> None:
        self.limits = {"VOLT": voltage, "CURR": current}
        self.load = load
        self._errors: deque[int] = deque()
        self._reset()

    def _reset(self) -> None:
        self.levels, self.on = {"VOLT": 0.0, "CURR": 0.1}, False

    def answer(self, line: str) -> str | None:
        """Answer one line; commands have no answer, whatever becomes of them."""
        if not line:
            return None
        header, _, parameter = line.partition(" ")
        query, parameter = header.endswith("?"), parameter.strip()
        known = (name for name, form in _HEADERS.items() if form.fullmatch(header.removesuffix("?").upper()))
        name = next(known, "")
        if not name or (query and name in ("*RST", "*CLS")):
            self._wrong(-113)
            return None
        if query:
            return self._query(name, parameter)
        self._command(name, parameter)
        return None

    def _query(self, name: str, parameter: str) -> str | None:
        if parameter:
            self._wrong(-108)
            return None
        match name:
            case "*IDN":
                return _IDENTITY
            case "*OPC":
                return "1"
            case "OUTP":
                return str(int(self.on))
            case "SYST:ERR":
                number = self._errors.popleft() if self._errors else 0
                return f'{number},"{_ERRORS[number]}"'
            case "VOLT" | "CURR":
                return f"{self.levels[name]:.3f}"
        voltage, current = self.output()
        return f"{voltage if name == 'MEAS:VOLT' else current:.3f}"

    def _command(self, name: str, parameter: str) -> None:
        if name in ("*RST", "*CLS", "*OPC"):
            if parameter:
                self._wrong(-108)
            elif name == "*RST":
                self._reset()
            elif name == "*CLS":
                self._errors.clear()
        elif name not in ("VOLT", "CURR", "OUTP"):
            self._wrong(-113)
        elif not parameter:
            self._wrong(-109)
        elif name == "OUTP":
            if parameter.upper() not in ("ON", "OFF", "0", "1"):
                self._wrong(-104)
            else:
                self.on = parameter.upper() in ("ON", "1")
        else:
            self._level(name, parameter)

    def _level(self, name: str, parameter: str) -> None:
        try:
            value = float(parameter)
        except ValueError:
            self._wrong(-104)
            return
        if 0 <= value <= self.limits[name]:
            self.levels[name] = round(value, 3)
        else:
            self._wrong(-222)

    def output(self) -> tuple[float, float]:
        """Voltage in V and current in A at the output."""
        if not self.on:
            return 0.0, 0.0
        current = min(self.levels["CURR"], self.levels["VOLT"] / self.load)
        return current * self.load, current

    def hand(self, words: Sequence[str]) -> str:
        """Change the load, or trip."""
        match list(words):
            case ["load", ohm] if re.fullmatch(r"\d+(\.\d+)?", ohm) and float(ohm) > 0:
                self.load = float(ohm)
            case ["trip"]:
                self.on = False
            case _:
                raise HandError(f"found {' '.join(words)!r}; expected load OHM or trip")
        return "ok"

    def _wrong(self, number: int) -> None:
        if len(self._errors) == _QUEUE:
            self._errors[-1] = -350
        else:
            self._errors.append(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulated supply until it is told to end.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; `sys.argv` by default.

    Returns
    -------
    int
        Exit status.
    """
    name = "nixel-virtual-supply"
    command = parser(name, __doc__)
    command.add_argument("--load", type=float, default=10.0, help="ohm behind the output")
    options = command.parse_args(arguments)
    supply = Supply(load=options.load)
    return run(LineMachine(supply.answer, supply.hand), options, name)


if __name__ == "__main__":
    sys.exit(main())
