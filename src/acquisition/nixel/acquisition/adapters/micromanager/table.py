"""Micro-Manager's properties, which are texts with a type, limits and allowed values, as properties of ours."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from nixel.acquisition.devices import Kind, Property, PropertyTable, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

__all__ = ["add_described", "to_property", "unique"]

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")


def unique(name: str, table: PropertyTable) -> str:
    """Return a name as ours are (``"CCDTemperature RO"`` becomes ``"ccd_temperature_ro"``).

    Parameters
    ----------
    name : str
    table : PropertyTable
        A number tells it from the names there.
    """
    taken = {prop.name for prop in table.properties}
    plain = "_".join(part for part in _WORDS.split(name) if part).lower() or "property"
    found, number = plain, 1
    while found in taken:
        number += 1
        found = f"{plain}_{number}"
    return found


def to_property(name: str, described: Mapping[str, Any]) -> Property:
    """Return what a property is.

    Parameters
    ----------
    name : str
        Ours.
    described : mapping
        ``name``, ``type``, ``value`` (None if it cannot be read), ``read_only``, ``limits`` and ``choices`` as the
        worker describes it. Micro-Manager's properties have no unit but the one that their name may tell.
    """
    kind: Kind = described["type"]
    value, choices = described["value"], described["choices"]
    # Some adapters call a number what is none, or is empty until something has been measured.
    if not all(_is_number(text, kind) for text in (value, *choices) if text is not None):
        kind = "text"
    description = f'Micro-Manager\'s "{described["name"]}"'
    read_only = bool(described["read_only"])
    if kind == "text":
        return Property(name, kind, "", description, choices=tuple(choices), read_only=read_only)
    low, high = described["limits"] or (None, None)
    if choices:
        numbers = sorted(float(text) for text in choices)
        low, high = numbers[0], numbers[-1]
        description += f", one of {', '.join(f'{number:g}' for number in numbers)}"
    return Property(name, kind, "", description, low, high, read_only=read_only)


def _is_number(text: str, kind: Kind) -> bool:
    if kind == "text":
        return True
    try:
        number = float(text)
    except ValueError:
        return False
    return kind == "number" or number.is_integer()


def _from_text(kind: Kind, text: str) -> Value:
    if kind == "text" or not _is_number(text, kind):
        return text  # what is no number is refused by the table
    return int(float(text)) if kind == "integer" else float(text)


def add_described(
    table: PropertyTable,
    described: Iterable[Mapping[str, Any]],
    read: Callable[[str], str],
    write: Callable[[str, str], None],
    hidden: Container[str] = (),
) -> None:
    """Add Micro-Manager's properties of a device to a table.

    Parameters
    ----------
    table : PropertyTable
    described : iterable of mapping
        As `to_property` takes them. What cannot be read now is left out, because a snapshot has to hold everything.
    read, write : callable
        They take Micro-Manager's name, and its text.
    hidden : container of str
        Names of Micro-Manager's that the table has in SI units.
    """
    for one in described:
        theirs = one["name"]
        if theirs in hidden or one["value"] is None:
            continue
        prop = to_property(unique(theirs, table), one)
        table.add(
            prop,
            functools.partial(_read, prop.kind, read, theirs),
            None if prop.read_only else functools.partial(_write, one["choices"], write, theirs),
        )


def _read(kind: Kind, read: Callable[[str], str], name: str) -> Value:
    return _from_text(kind, read(name))


def _write(choices: list[str], write: Callable[[str, str], None], name: str, value: Value) -> None:
    text = str(value)
    if not isinstance(value, str):
        # A choice is written as it is spelt: "1.0" is not "1" to every adapter.
        text = next((spelt for spelt in choices if float(spelt) == value), text)
    write(name, text)
