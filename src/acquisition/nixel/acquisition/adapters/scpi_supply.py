"""A power supply that speaks SCPI on a serial line.

After every write its error queue is read until it is empty, and what was set is read back. What must not be energised
without the safety daemon hangs on a relay of the daemon's, between the mains and the supply or behind its output: the
switch in here is the supply's own and no safety function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.serial_line import DevicePath, SerialConnection
from nixel.acquisition.devices import DeviceError, HasProperties, Property, PropertyTable
from nixel.acquisition.quantities import Quantity, Second
from nixel.acquisition.settings import DeviceSettings

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ADAPTER", "ScpiSupply", "ScpiSupplyAdapter"]

_LONGEST_QUEUE = 32  # errors; SCPI asks for a queue of two at least


class ScpiSupply(DeviceSettings):
    """A SCPI power supply on a serial line."""

    adapter: Literal["scpi-supply"]
    path: DevicePath
    baudrate: int = Field(default=9600, ge=300)
    timeout: Second = 1.0
    model: str = ""
    maximum_voltage: Annotated[float, Quantity("V")]
    maximum_current: Annotated[float, Quantity("A")]
    resolution: Annotated[float, Quantity("V")] = 1e-3
    current_resolution: Annotated[float, Quantity("A")] = 1e-3

    addresses = ("path",)

    @model_validator(mode="after")
    def _consistent(self) -> ScpiSupply:
        for name in ("timeout", "maximum_voltage", "maximum_current", "resolution", "current_resolution"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than zero")
        return self


class ScpiSupplyAdapter(HasProperties):
    """A power supply; a `nixel.acquisition.devices.PowerSupply`.

    Parameters
    ----------
    name : str
    settings : ScpiSupply
    """

    def __init__(self, name: str, settings: ScpiSupply) -> None:
        self.name, self._given = name, settings
        self._line = SerialConnection(
            settings.path, name, baudrate=settings.baudrate, timeout=settings.timeout
        )
        self.where, self.identity = self._line.where, ""
        self._table = PropertyTable(self.where)
        add = self._table.add
        add(
            Property("identity", "text", description="what it says it is", read_only=True),
            lambda: self._line.query("*IDN?"),
        )
        for name, unit, header, most, grain in (
            ("voltage", "V", "VOLT", settings.maximum_voltage, settings.resolution),
            ("current", "A", "CURR", settings.maximum_current, settings.current_resolution),
        ):
            add(
                Property(name, "number", unit, f"its {name} limit", minimum=0.0, maximum=most),
                self._reader(f"{header}?"),
                self._setter(header, grain),
            )
            add(
                Property(f"measured_{name}", "number", unit, f"the {name} at its output", read_only=True),
                self._reader(f"MEAS:{header}?"),
            )
        add(Property("output", "boolean", description="its own switch"), self.is_on, self.switch)

    def open(self) -> None:
        """Connect, hear what it is, and forget errors of before; nothing is set.

        Raises
        ------
        DeviceError
            It does not answer, or is another model.
        """
        self._line.open()
        try:
            self.identity = self._line.query("*IDN?")
            if self.identity.count(",") < 3 or self._given.model not in self.identity:
                expected = (
                    f"a supply of the model {self._given.model}" if self._given.model else "an identity"
                )
                raise self._line.wrong("*IDN?", expected, repr(self.identity))
            with self._line.conversation("*CLS"):
                self._line.send("*CLS")
            self._insist("*CLS")
        except DeviceError:
            self._line.close()
            raise

    def close(self) -> None:
        """Switch its output off, see it off, and disconnect.

        Raises
        ------
        DeviceError
            It does not say that it is off.
        """
        if not self._line.is_open:
            return
        try:
            self.switch(False)
        finally:
            self._line.close()

    def program(self, voltage: float, current: float) -> None:
        """Set voltage in V and current limit in A, and read them back.

        Raises
        ------
        DeviceError
            One is beyond the instrument file's limits (nothing is set then), or the supply keeps another value.
        """
        for name, value, most in (
            ("voltage", voltage, self._given.maximum_voltage),
            ("current", current, self._given.maximum_current),
        ):
            if not 0 <= value <= most:
                expected = f"a {name} from 0 to {most:g}"
                raise self._line.wrong("programming", expected, f"{value:g}", "Nothing was set.")
        # The limit that protects comes first.
        self._set("CURR", current, self._given.current_resolution)
        self._set("VOLT", voltage, self._given.resolution)

    def switch(self, on: bool) -> None:
        """Switch its output, and see it switched.

        Raises
        ------
        DeviceError
            The supply refuses, or says otherwise.
        """
        self._write(f"OUTP {'ON' if on else 'OFF'}")
        if self.is_on() != on:
            words = ("off", "on")
            raise self._line.wrong(
                "switching", f"the output {words[on]}", words[not on], "Look at the supply."
            )

    def is_on(self) -> bool:
        """Return whether its output is on, as it says."""
        answer = self._line.query("OUTP?")
        if answer not in ("0", "1", "ON", "OFF"):
            raise self._line.wrong("OUTP?", "0 or 1", repr(answer))
        return answer in ("1", "ON")

    def measure(self) -> tuple[float, float]:
        """Return voltage in V and current in A at its output."""
        return self._number("MEAS:VOLT?"), self._number("MEAS:CURR?")

    def _reader(self, query: str) -> Callable[[], float]:
        return lambda: self._number(query)

    def _setter(self, header: str, grain: float) -> Callable[[float], None]:
        return lambda value: self._set(header, value, grain)

    def _set(self, header: str, value: float, grain: float) -> None:
        self._write(f"{header} {value:.6g}")
        kept = self._number(f"{header}?")
        if abs(kept - value) > grain:
            raise self._line.wrong(header, f"{value:g}", f"{kept:g} read back", "Set what it can hold.")

    def _number(self, query: str) -> float:
        answer = self._line.query(query)
        try:
            return float(answer)
        except ValueError:
            raise self._line.wrong(query, "a number", repr(answer)) from None

    def _write(self, command: str) -> None:
        with self._line.conversation(command):
            self._line.send(command)
            self._insist(command)

    def _insist(self, command: str) -> None:
        """Read the error queue until it is empty.

        Raises
        ------
        DeviceError
            It was not; the errors are the supply's own words.
        """
        errors: list[str] = []
        for _ in range(_LONGEST_QUEUE):
            answer = self._line.query("SYST:ERR?")
            number, comma, _ = answer.partition(",")
            try:
                code = int(number)
            except ValueError:
                comma = ""
            if not comma:
                raise self._line.wrong("SYST:ERR?", 'an error as NUMBER,"TEXT"', repr(answer))
            if code == 0:
                break
            errors.append(answer)
        else:
            errors.append(f"an error queue that is not empty after {_LONGEST_QUEUE}")
        if errors:
            remedy = "The supply said so itself; read back what it holds."
            raise self._line.wrong(command, "no error", "; ".join(errors), remedy)


def _make(name: str, settings: ScpiSupply, _around: Surroundings) -> ScpiSupplyAdapter:
    return ScpiSupplyAdapter(name, settings)


ADAPTER = Adapter(ScpiSupply, _make)
