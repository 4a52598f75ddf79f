"""Which checks there are: the file that a system's own `nixel/health` hands over."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nixel.update.health.command import Command
from nixel.update.health.http import Http
from nixel.update.health.machine import Clock, Devices, Disk, Units
from nixel.update.health.safety import Safety
from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nixel.update.health.model import Check

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Watched:
    """A check and the time that it is given.

    Attributes
    ----------
    name
        What it is called.
    kind
        Which of the kinds it is.
    check
        What is looked at.
    within
        How long it may take until it is good, in s.
    steady
        For how long it has to be good at a stretch, in s; within that time, too.
    """

    name: str
    kind: str
    check: Check
    within: float
    steady: float


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _whole(value: object) -> bool:
    return isinstance(value, int) and _number(value)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


# Of each kind: what is made of its settings, and for each setting what it has to be and what it is without being set
# (`...`: it has to be set).
_Setting = tuple["Callable[[object], bool]", str, Any]
_KINDS: dict[str, tuple[Callable[..., Check], dict[str, _Setting]]] = {
    "safety": (Safety, {"socket": (_text, "a path", ...)}),
    "http": (
        Http,
        {
            "path": (_text, "a path that begins with /", ...),
            "host": (lambda value: isinstance(value, str), "a name or an address", ""),
            "port": (_whole, "a number", 0),
            "socket": (lambda value: isinstance(value, str), "a path", ""),
            "name": (lambda value: isinstance(value, str), "a name", ""),
            "expect": (lambda value: isinstance(value, dict), "values by key", {}),
        },
    ),
    "devices": (
        lambda paths: Devices(tuple(paths)),
        {"paths": (_texts, "a list of paths", ...)},
    ),
    "units": (
        lambda ignored: Units(tuple(ignored)),
        {"ignored": (_texts, "a list of patterns", [])},
    ),
    "disk": (
        Disk,
        {
            "path": (_text, "a path", ...),
            "free": (_whole, "a number of bytes", ...),
            "writable": (lambda value: isinstance(value, bool), "true or false", True),
        },
    ),
    "clock": (Clock, {"not_before": (_whole, "seconds since 1970", ...)}),
    "command": (
        lambda argv: Command(tuple(argv)),
        {"argv": (lambda value: _texts(value) and bool(value), "a program and its arguments", ...)},
    ),
}


def parse(found: object, where: str) -> tuple[Watched, ...]:
    """Read the checks from plain data.

    Parameters
    ----------
    found
        What the file holds.
    where
        Its name, for the message.

    Returns
    -------
    tuple of Watched
        In the order of their names.

    Raises
    ------
    Refusal
        On another format, an unknown kind or setting, or a value of another kind.
    """
    if (
        not isinstance(found, dict)
        or found.get("format") != FORMAT
        or not isinstance(found.get("checks"), dict)
    ):
        raise _refusal(f"{where} holds no checks of format {FORMAT}.")
    return tuple(_check(name, table, where) for name, table in sorted(found["checks"].items()))


def _check(name: str, table: object, where: str) -> Watched:
    kind = table.get("kind") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(kind, str) or kind not in _KINDS:
        raise _refusal(f"{where}: {name} is of the kind {kind!r}; known are {', '.join(_KINDS)}.")
    make, own = _KINDS[kind]
    settings: dict[str, _Setting] = {
        **own,
        "within": (_number, "a number of seconds", ...),
        "steady": (_number, "a number of seconds", 0),
    }
    unknown = sorted(set(table) - set(settings) - {"kind"})
    if unknown:
        raise _refusal(f"{where}: {name}: {', '.join(unknown)} is no setting of the kind {kind}.")
    values: dict[str, Any] = {key: table.get(key, default) for key, (_, _, default) in settings.items()}
    for key, (right, expected, _) in settings.items():
        if not right(values[key]):
            shown = "not set" if values[key] is ... else repr(values[key])
            raise _refusal(f"{where}: {name}: {key} is {shown}, and {expected} was expected.")
    within, steady = float(values.pop("within")), float(values.pop("steady"))
    return Watched(name, kind, make(**values), within, steady)


def _refusal(what: str) -> Refusal:
    return Refusal(what, "Set nixel.update.checks in its system.")


def read(path: Path) -> tuple[Watched, ...]:
    """Read the checks from a file.

    Parameters
    ----------
    path
        A JSON file.

    Returns
    -------
    tuple of Watched
        In the order of their names.

    Raises
    ------
    Refusal
        If it cannot be read or is wrong.
    """
    return parse(read_json(path), str(path))


def read_json(path: Path) -> object:
    """Read a JSON file.

    Parameters
    ----------
    path
        Which.

    Returns
    -------
    object
        What it holds.

    Raises
    ------
    Refusal
        If it cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refusal(f"{path} cannot be read ({error.strerror}).", "Name a file that is there.") from error
    except ValueError as error:
        raise Refusal(f"{path} is no JSON ({error}).", "Name another file.") from error
