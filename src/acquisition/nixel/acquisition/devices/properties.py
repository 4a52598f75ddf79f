"""Properties of devices: what can be read from one and written to it, with type, unit and range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nixel.acquisition.devices.errors import DeviceError
from nixel.acquisition.quantities import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Kind", "Property", "PropertyTable", "Value", "from_text", "to_text"]

Kind = Literal["integer", "number", "boolean", "text", "bytes"]
Value = int | float | bool | str | bytes

_TYPES: dict[Kind, type] = {"integer": int, "number": float, "boolean": bool, "text": str, "bytes": bytes}
_WORDS = {
    "true": True,
    "on": True,
    "yes": True,
    "1": True,
    "false": False,
    "off": False,
    "no": False,
    "0": False,
}


@dataclass(frozen=True)
class Property:
    """What a property is.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and underscores.
    kind : {"integer", "number", "boolean", "text", "bytes"}
    unit : str
        SI, as ``"m/s"``; empty for what has none.
    description : str
        One sentence for a person.
    minimum, maximum : float, optional
        Both included; of numbers only.
    choices : tuple of str
        What a text may be; empty for any.
    read_only : bool
    """

    name: str
    kind: Kind
    unit: str = ""
    description: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False

    @property
    def expected(self) -> str:
        """What may be written, in words."""
        unit = f" {self.unit}" if self.unit else ""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind in ("text", "bytes", "boolean"):
            return {"text": "a text", "bytes": "bytes", "boolean": "true or false"}[self.kind]
        noun = "an integer" if self.kind == "integer" else "a number"
        low, high = self.minimum, self.maximum
        if low is None and high is None:
            return f"{noun}{f' of{unit}' if unit else ''}"
        if high is None:
            return f"{noun} of at least {low:g}{unit}"
        return (
            f"{noun} of at most {high:g}{unit}" if low is None else f"{noun} from {low:g} to {high:g}{unit}"
        )

    def accept(self, value: object) -> Value:
        """Return a value as this property holds it.

        Parameters
        ----------
        value : object
            An integer is accepted as a number; nothing else is converted.

        Raises
        ------
        ValueError
            It is of another type or out of range; the message says what was expected and found.
        """
        if self.kind == "number" and type(value) is int:
            value = float(value)
        if type(value) is not _TYPES[self.kind]:
            raise ValueError(f"expected {self.expected}, found {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"expected {self.expected}, found {value!r}")
        if isinstance(value, int | float) and self.kind != "boolean":
            below = self.minimum is not None and value < self.minimum
            if below or (self.maximum is not None and value > self.maximum):
                raise ValueError(f"expected {self.expected}, found {value:g}")
        if self.choices and value not in self.choices:
            raise ValueError(f"expected {self.expected}, found {value!r}")
        assert isinstance(value, int | float | bool | str | bytes)
        return value


def from_text(prop: Property, text: str) -> Value:
    """Read a value as a person writes it: ``"2 ms"`` for a property in s, ``on``, ``12``.

    Raises
    ------
    ValueError
        It is no such value (`nixel.acquisition.quantities.QuantityError` for a quantity).
    """
    if prop.kind == "text":
        return prop.accept(text)
    if prop.kind == "bytes":
        try:
            return prop.accept(bytes.fromhex(text))
        except ValueError:
            raise ValueError(f"expected bytes as hexadecimal digits, found {text!r}") from None
    if prop.kind == "boolean":
        if text.lower() not in _WORDS:
            raise ValueError(f"expected true or false, found {text!r}")
        return _WORDS[text.lower()]
    if prop.unit:
        value: float = parse(text, prop.unit)
    else:
        try:
            value = int(text) if prop.kind == "integer" else float(text)
        except ValueError:
            raise ValueError(f"expected {prop.expected}, found {text!r}") from None
    if prop.kind == "integer":
        if value != int(value):
            raise ValueError(f"expected {prop.expected}, found {text!r}")
        value = int(value)
    return prop.accept(value)


def to_text(prop: Property, value: Value) -> str:
    """Write a value for a person, with its unit; `from_text` reads it again."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    text = repr(value) if isinstance(value, float) else str(value)
    return f"{text} {prop.unit}" if prop.unit else text


class PropertyTable:
    """The properties of one device, with what reads and writes them.

    An adapter fills one and hands it on as `HasProperties` does, so that what is unknown, read-only, of another
    type or out of range is refused in the same words everywhere, before the device hears of it.

    Parameters
    ----------
    where : str
        The device and its address, for errors.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._entries: dict[str, tuple[Property, Callable[[], Value], Callable[[Value], None] | None]] = {}

    def add(
        self, prop: Property, read: Callable[[], Value], write: Callable[..., None] | None = None
    ) -> None:
        """Add a property.

        Parameters
        ----------
        prop : Property
        read : callable
            Asks the device itself: what was written last is no reading.
        write : callable, optional
            Takes the value; left out exactly for what is read-only.
        """
        if prop.read_only != (write is None):
            raise ValueError(f"{prop.name}: a property is either read-only or has what writes it")
        if prop.name in self._entries:
            raise ValueError(f"{prop.name}: there is a property of this name already")
        self._entries[prop.name] = (prop, read, write)

    def extend(self, properties: Iterable[tuple[Property, Callable[[], Value]]]) -> None:
        """Add several that are read-only."""
        for prop, read in properties:
            self.add(prop, read)

    @property
    def properties(self) -> tuple[Property, ...]:
        """What there is, in the order of its adding."""
        return tuple(prop for prop, _, _ in self._entries.values())

    def get(self, name: str) -> Value:
        """Read a property from the device.

        Raises
        ------
        DeviceError
            There is no such property, or the device does not answer or answers nonsense.
        """
        prop, read, _ = self._entry(name, "reading")
        value = read()
        if prop.kind == "number" and type(value) is int:
            value = float(value)
        if type(value) is not _TYPES[prop.kind]:
            kind = Property(name, prop.kind, prop.unit).expected
            raise self._error(f"reading {name}", kind, repr(value), "Check that it is this kind of device.")
        return value

    def set(self, name: str, value: object) -> None:
        """Write a property to the device.

        Raises
        ------
        DeviceError
            There is no such property, it is read-only, the value is refused, or the device does not take it.
            Nothing was changed by what is refused.
        """
        prop, _, write = self._entry(name, "setting")
        if write is None:
            raise self._error(
                f"setting {name}", "a property that can be written", "one that is read-only", ""
            )
        try:
            accepted = prop.accept(value)
        except ValueError as error:
            _, _, found = str(error).rpartition(", found ")
            raise self._error(f"setting {name}", prop.expected, found, "Nothing was changed.") from None
        write(accepted)

    def _entry(
        self, name: str, what: str
    ) -> tuple[Property, Callable[[], Value], Callable[[Value], None] | None]:
        if name not in self._entries:
            known = ", ".join(self._entries) or "none"
            raise self._error(f"{what} {name}", f"one of its properties ({known})", f"{name!r}", "")
        return self._entries[name]

    def _error(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(
            what, where=self._where, expected=expected, found=found, remedy=remedy or "Choose another."
        )


class HasProperties:
    """A device whose properties are those of its `_table`, as `nixel.acquisition.devices.Device` wants them."""

    _table: PropertyTable

    @property
    def properties(self) -> tuple[Property, ...]:
        """What there is, in the order of the table."""
        return self._table.properties

    def get(self, name: str) -> Value:
        """Read a property; as `PropertyTable.get`."""
        return self._table.get(name)

    def set(self, name: str, value: Value) -> None:
        """Write a property; as `PropertyTable.set`."""
        self._table.set(name, value)
