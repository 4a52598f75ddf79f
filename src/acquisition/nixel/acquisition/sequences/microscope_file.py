"""Tables of a microscope's sequence file, as a `useq.MDASequence` or as everything that is wrong with them.

The library ignores keys that it does not know, and of a plan that could be one of several it tells what each of them
lacks. Here a key that is unknown is refused, and a plan is judged as the one that it most resembles.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import useq
from pydantic import BaseModel, ValidationError

from nixel.acquisition.instrument_file import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

__all__ = ["validated"]

_ITEMS: dict[str, type[BaseModel]] = {"channels": useq.Channel, "stage_positions": useq.Position}
_EXPECTED = {
    "channels": "a list of channels, such as [{config: green, exposure: 2}], or of their names",
    "stage_positions": "a list of positions such as {x: 100, y: 200} in µm",
}


def validated(tables: dict[str, Any]) -> tuple[useq.MDASequence | None, list[Problem]]:
    """Validate a sequence.

    Parameters
    ----------
    tables : dict
        As the file has them.

    Returns
    -------
    sequence : useq.MDASequence or None
        None exactly if there are problems.
    problems : list of Problem
    """
    return _sequence(tables, "")


def _sequence(tables: dict[str, Any], prefix: str) -> tuple[useq.MDASequence | None, list[Problem]]:
    known = set(useq.MDASequence.model_fields)
    problems = [_unknown(prefix + key, key, known) for key in tables if key not in known]
    values: dict[str, Any] = {}
    for key, value in tables.items():
        if key not in known or value is None:
            continue
        if key in _ITEMS and not (key == "stage_positions" and isinstance(value, dict)):
            values[key], wrong = _items(key, value, prefix)
        else:
            wrong = _field(key, value, prefix)
            values[key] = value
        problems += wrong
    if problems:
        return None, problems
    try:
        return useq.MDASequence.model_validate(values), []
    except ValidationError as error:
        return None, [_problem(detail, prefix) for detail in error.errors()]


def _items(key: str, value: object, prefix: str) -> tuple[list[Any], list[Problem]]:
    """Channels and positions one by one: the library does not tell which of them is wrong."""
    if not isinstance(value, list):
        return [], [Problem(prefix + key, _shown(value), _EXPECTED[key])]
    model = _ITEMS[key]
    items: list[Any] = []
    problems: list[Problem] = []
    for number, item in enumerate(value):
        where = f"{prefix}{key}.{number}"
        given = item
        if key == "stage_positions" and isinstance(item, list) and 1 <= len(item) <= 3:
            given = dict(zip("xyz", item, strict=False))
        elif key == "channels" and isinstance(item, str):
            given = {"config": item}
        if not isinstance(given, dict):
            problems.append(Problem(where, _shown(item), _EXPECTED[key].partition(",")[0]))
            continue
        inner = given.get("sequence")
        if key == "stage_positions" and isinstance(inner, dict):
            sub, wrong = _sequence(inner, f"{where}.sequence.")
            problems += wrong
            given = {**given, "sequence": sub}
        try:
            made = model.model_validate(given)
        except ValidationError as error:
            problems += [_problem(detail, f"{where}.") for detail in error.errors()]
            continue
        problems += _strangers({**given, "sequence": None}, made, where)
        items.append(made)
    return items, problems


def _field(key: str, value: object, prefix: str) -> list[Problem]:
    """Hold one field against the library's model."""
    try:
        # Alone, so that each field's faults are told although another has some.
        made = getattr(useq.MDASequence.model_validate({key: value}), key)
    except ValidationError as error:
        return [_problem(detail, prefix) for detail in _likeliest(error.errors())]
    except (ArithmeticError, TypeError) as error:
        return [Problem(prefix + key, _shown(value), f"what makes sense ({error})")]
    return list(_strangers(value, made, prefix + key))


def _likeliest(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Of the alternatives that a value might be, keep what the nearest of them lacks."""
    branches: dict[str, list[ErrorDetails]] = {}
    for detail in details:
        names = [str(part) for part in detail["loc"][1:] if _is_model(part)]
        branches.setdefault(names[0] if names else "", []).append(detail)
    if len(branches) < 2:
        return details

    def distance(branch: list[ErrorDetails]) -> tuple[int, int]:
        # A key that is missing speaks against the alternative; a value that is wrong, for it.
        return sum(detail["type"] == "missing" for detail in branch), len(branch)

    return min(branches.values(), key=distance)


def _is_model(part: object) -> bool:
    return isinstance(part, str) and part[:1].isupper()


def _problem(detail: ErrorDetails, prefix: str) -> Problem:
    names = [str(part) for part in detail["loc"] if not _is_model(part)]
    key = prefix + ".".join(names) if names else prefix.rstrip(".") or "file"
    if detail["type"] == "missing":
        return Problem(key, "nothing", "this key")
    message = " ".join(detail["msg"].split()).removeprefix("Value error, ").removeprefix("Input should be ")
    return Problem(key, _shown(detail["input"]), message[:1].lower() + message[1:])


def _strangers(given: object, made: object, where: str) -> Iterator[Problem]:
    """Keys that are in the file and not in what was made of it."""
    if isinstance(given, dict) and isinstance(made, BaseModel):
        known = set(type(made).model_fields)
        for key, value in given.items():
            if key not in known:
                if key != "sequence" or value is not None:
                    yield _unknown(f"{where}.{key}", key, known)
            else:
                yield from _strangers(value, getattr(made, key), f"{where}.{key}")
    elif isinstance(given, list) and isinstance(made, BaseModel) and hasattr(made, "phases"):
        yield from _strangers(given, made.phases, where)
    elif isinstance(given, list) and isinstance(made, list | tuple) and len(given) == len(made):
        for number, (item, model) in enumerate(zip(given, made, strict=True)):
            yield from _strangers(item, model, f"{where}.{number}")


def _unknown(where: str, key: str, known: set[str]) -> Problem:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return Problem(where, f"an unknown key{hint}", f"one of {', '.join(sorted(known))}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
