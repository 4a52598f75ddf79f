"""A table of a TOML document that is read strictly: every mistake is told with file, key, found and expected."""

from __future__ import annotations

import math
import re
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*)?")


class ConfigError(Exception):
    """A file is not what it must be; the text says where, what was found and what to write."""


def read(file: Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    file
        Which one.
    what
        What it is to be, such as "an instrument file".

    Returns
    -------
    dict
        The document.

    Raises
    ------
    ConfigError
        If it cannot be read or is not TOML.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{file}: cannot be read: {error.strerror}. Name {what} that exists and is readable."
        raise ConfigError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{file}: is not text in UTF-8 (byte {error.start}). Name {what} in TOML."
        raise ConfigError(msg) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{file}: is not valid TOML: {error}. Correct the line that it names."
        raise ConfigError(msg) from error


_MISSING = object()


class Table:
    """A table of the document, with its place in the file for messages.

    Parameters
    ----------
    file
        For messages.
    place
        The dotted key of the table; empty for the whole document.
    content
        As TOML gives it.
    """

    def __init__(self, file: Path, place: str, content: dict[str, Any]) -> None:
        self.file = file
        self.place = place
        self.content = content

    @property
    def last(self) -> str:
        """The last part of the table's own key."""
        return self.place.rpartition(".")[2]

    def key(self, key: str) -> str:
        """Give the dotted key of a key of this table."""
        return f"{self.place}.{key}" if self.place else key

    def wrong(self, key: str, expected: str, found: str | None = None) -> ConfigError:
        """Make the error of a key: found, expected, what to do."""
        if found is None:
            value = self.content.get(key, _MISSING)
            found = "nothing" if value is _MISSING else show(value)
        do = "Add the key" if found == "nothing" else "Correct it"
        place = f"{self.file}: {self.key(key)}"
        return ConfigError(f"{place}: found {found}, expected {expected}. {do} and try again.")

    def misnamed(self, expected: str) -> ConfigError:
        """Make the error of this table's own name."""
        return ConfigError(
            f"{self.file}: {self.place}: found the name {self.last!r}, expected {expected}. Rename it."
        )

    def only(self, known: tuple[str, ...]) -> None:
        """Refuse keys that are not known."""
        for key in self.content:
            if key not in known:
                found = f"a key that does not exist here (value {show(self.content[key])})"
                raise self.wrong(key, f"one of {', '.join(known)}", found)

    def has(self, key: str) -> bool:
        """Say whether a key is there."""
        return key in self.content

    def table(self, key: str) -> Table:
        """Read a table."""
        value = self.content.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, f"a table [{self.key(key)}]")
        return Table(self.file, self.key(key), value)

    def tables(self, key: str) -> list[Table]:
        """Read a table of one or more tables."""
        table = self.table(key)
        if not table.content:
            raise self.wrong(key, f"at least one table [{self.key(key)}.NAME]", found="an empty table")
        return [table.table(name) for name in table.content]

    def text(self, key: str, default: str | None = None) -> str:
        """Read a text, which may be empty only where it may be left out."""
        value = self.content.get(key, default)
        if not isinstance(value, str) or not (value or default is not None):
            raise self.wrong(key, "a text that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of one or more texts."""
        value = self.content.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of one or more texts")
        return tuple(value)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """Read a truth value."""
        value = self.content.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def booleans(self, key: str) -> tuple[bool, bool]:
        """Read two truth values."""
        value = self.content.get(key)
        if isinstance(value, list) and len(value) == 2 and all(isinstance(item, bool) for item in value):
            return value[0], value[1]
        raise self.wrong(key, "a list of two truth values, such as [true, false]")

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Read an integer."""
        value = self.content.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise self.wrong(key, f"an integer from {low} to {high}")

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Read a number without a unit, `low` excluded."""
        value = self.content.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and low < value <= high:
            return float(value)
        raise self.wrong(key, f"a number without a unit above {low:g} and up to {high:g}")

    def choice(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        """Read one of several words."""
        value = self.content.get(key, default)
        if not isinstance(value, str) or value not in known:
            raise self.wrong(key, "one of " + ", ".join(f'"{word}"' for word in known))
        return value

    def quantity(
        self,
        key: str,
        units: Mapping[str, float],
        example: str,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> float:
        """Read a quantity with its unit.

        Parameters
        ----------
        key
            Which one.
        units
            The units that it may be written in, and what each is in the one whose factor is 1.
        example
            How it is written, for messages.
        low, high
            The bounds, included.

        Returns
        -------
        float
            In the unit whose factor is 1.

        Raises
        ------
        ConfigError
            If it is a bare number, in another unit or out of bounds.
        """
        return self.measure(key, self.content.get(key, _MISSING), units, example, low, high)

    def measure(
        self,
        key: str,
        value: object,
        units: Mapping[str, float],
        example: str,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> float:
        """Read one value of a key as `quantity` does."""
        written = f'a quantity with its unit, such as "{example}"'
        found = "nothing" if value is _MISSING else show(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise self.wrong(key, written, found=f"the bare number {value}, which has no unit")
        match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise self.wrong(key, written, found)
        number, unit = float(match[1]), match[2] or ""
        if not unit:
            raise self.wrong(key, written, found=f"{found}, which has no unit")
        if unit not in units:
            raise self.wrong(key, f"{written} (in {', '.join(units)})", found=f"{found}, in another unit")
        number *= units[unit]
        if not low <= number <= high or not math.isfinite(number):
            base = next(unit for unit, factor in units.items() if factor == 1.0)
            allowed = f"a value from {low:g} to {high:g} {base}"
            if high == math.inf:
                allowed = (
                    f"a finite value of at least {low:g} {base}"
                    if low > -math.inf
                    else f"a finite value in {base}"
                )
            raise self.wrong(key, allowed, found)
        return number


def show(value: object) -> str:
    """Write a value as TOML would.

    Parameters
    ----------
    value
        Of a TOML document.

    Returns
    -------
    str
        For messages.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
