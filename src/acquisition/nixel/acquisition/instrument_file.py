"""Reading instrument files, and saying what is wrong with them in the words of the file."""

from __future__ import annotations

import difflib
import os
import tomllib
import types
import typing
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import ErrorDetails

__all__ = ["InstrumentError", "Problem", "path_of", "read_toml", "shipped_instruments", "validate"]

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: at which dotted key, what was found, what was expected."""

    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        if not self.found:
            return f"{self.key}: {self.expected}"
        return f"{self.key}: found {self.found}; expected {self.expected}"


class InstrumentError(ValueError):
    """An instrument file that cannot be used, with everything that is wrong with it."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(f"{source} is not a valid instrument: " + ". ".join(map(str, problems)) + ".")


def _folder() -> Path:
    return Path(str(resources.files("nixel.acquisition") / "instruments"))


def shipped_instruments() -> list[str]:
    """Names of the instruments that are shipped with nixel, sorted."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def path_of(name_or_path: str | Path) -> Path:
    """Path of a shipped instrument's file, or of the file that is named.

    Raises
    ------
    InstrumentError
        There is no shipped instrument of that name.
    """
    text = os.fspath(name_or_path)
    if text in shipped_instruments():
        return _folder() / f"{text}.toml"
    if isinstance(name_or_path, str) and os.sep not in text and not text.endswith(".toml"):
        raise InstrumentError(
            repr(text),
            [Problem("name", "no such instrument", f"{', '.join(shipped_instruments())} or a .toml file")],
        )
    return Path(name_or_path)


def read_toml(name_or_path: str | Path) -> tuple[dict[str, Any], str]:
    """Read a shipped instrument's tables, or a file's.

    Parameters
    ----------
    name_or_path : str or path

    Returns
    -------
    tables : dict
    source : str
        The file, as messages name it.

    Raises
    ------
    InstrumentError
        There is no such instrument, or the file cannot be read or is not TOML.
    """
    path = path_of(name_or_path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), str(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InstrumentError(str(path), [Problem("file", reason, "a readable file")]) from error
    except UnicodeDecodeError as error:
        found = f"a byte at {error.start} that is not UTF-8"
        raise InstrumentError(str(path), [Problem("file", found, "TOML in UTF-8")]) from error
    except tomllib.TOMLDecodeError as error:
        raise InstrumentError(str(path), [Problem("file", f"no TOML ({error})", "TOML")]) from error


def validate(model: type[_Model], tables: dict[str, Any], source: str) -> _Model:
    """Validate tables against a model and say all that is wrong in one error.

    Raises
    ------
    InstrumentError
    """
    try:
        return model.model_validate(tables)
    except ValidationError as error:
        raise InstrumentError(source, [_problem(model, detail) for detail in error.errors()]) from error


def _problem(model: type[BaseModel], detail: ErrorDetails) -> Problem:
    names, table = _walk(model, detail["loc"])
    kind, message = detail["type"], detail["msg"]
    found = _shown(detail["input"])
    if kind == "extra_forbidden":
        known = sorted(table)
        near = difflib.get_close_matches(names[-1], known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return Problem(".".join(names), "an unknown key" + hint, f"one of {', '.join(known)}")
    key = ".".join(names) or "file"
    if kind == "missing":
        return Problem(key, "nothing", "this key")
    if kind == "quantity":
        return Problem(key, "", message)
    if kind == "value_error":
        inner, colon, rest = message.removeprefix("Value error, ").partition(": ")
        if colon and " " not in inner.replace(", ", ","):
            return Problem(".".join([*names, inner]), "", rest)
        return Problem(key, found, message.removeprefix("Value error, ").removeprefix("expected "))
    if kind == "union_tag_invalid":
        context = detail.get("ctx", {})
        return Problem(f"{key}.adapter", f'"{context.get("tag")}"', f"one of {context.get('expected_tags')}")
    if kind == "union_tag_not_found":
        return Problem(f"{key}.adapter", "nothing", "the name of an adapter")
    message = message.removeprefix("Input should be ")
    return Problem(key, found, message[:1].lower() + message[1:])


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """All models that an annotation mentions: optional ones, the members of a union, the values of a dict."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, dict):
        for argument in typing.get_args(annotation):
            yield from _models(argument)


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], set[str]]:
    """Follow pydantic's location to the dotted key in the file and the keys known in its table.

    Pydantic's location holds the tag of a discriminated union too, which the file does not.
    """
    names: list[str] = []
    current = table = [model]
    free_key = False
    for part in location:
        tagged = [m for m in current if _tag(m) == part]
        if tagged and not free_key:
            current = tagged
            continue
        table = current
        names.append(str(part))
        fields = [] if free_key else [m.model_fields[part] for m in current if part in m.model_fields]
        free_key = any(typing.get_origin(field.annotation) is dict for field in fields)
        if fields:
            current = [m for field in fields for m in _models(field.annotation)]
    return names, {name for m in table for name in m.model_fields}


def _tag(model: type[BaseModel]) -> object:
    field = model.model_fields.get("adapter")
    arguments = typing.get_args(field.annotation) if field else ()
    return arguments[0] if arguments else None
