"""Reading a sequence file's text into tables, whatever of the three languages it is written in."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.acquisition.instrument_file import Problem

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["ENDINGS", "SequenceError", "language_of", "parse_tables", "read_tables"]

ENDINGS = (".json", ".yaml", ".yml", ".toml")
_LARGEST = 2**18  # bytes: a sequence is written by people


class SequenceError(ValueError):
    """A sequence that cannot be run, with everything that is wrong with it; nothing has been done."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(f"{source} is not a sequence to be run: " + ". ".join(map(str, problems)) + ".")


def read_tables(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a sequence file as far as its language goes.

    Parameters
    ----------
    path
        Its ending says the language: ``.json``, ``.yaml``, ``.yml`` or ``.toml``.

    Returns
    -------
    dict
        Its top level, without the key ``$schema``.

    Raises
    ------
    SequenceError
        It cannot be read, is larger than a sequence can be, or is not what its ending says.
    """
    path = Path(path)
    source = str(path)
    language_of(source)
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise SequenceError(
            source, [Problem("file", error.strerror or str(error), "a readable file")]
        ) from error
    return parse_tables(data, source)


def language_of(source: str) -> str:
    """The language that a file's ending says.

    Raises
    ------
    SequenceError
        It is none of `ENDINGS`.
    """
    ending = Path(source).suffix
    language = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML", ".toml": "TOML"}.get(ending.lower())
    if language is None:
        found = f'the ending "{ending}"' if ending else "no ending"
        raise SequenceError(source, [Problem("file", found, f"one of {', '.join(ENDINGS)}")])
    return language


def parse_tables(data: bytes, source: str) -> dict[str, Any]:
    """Read a sequence file's bytes as far as its language goes.

    Parameters
    ----------
    data : bytes
    source : str
        The file's name, whose ending says the language.

    Returns
    -------
    dict
        As `read_tables`.

    Raises
    ------
    SequenceError
        As `read_tables`.
    """
    language = language_of(source)
    if len(data) > _LARGEST:
        found = f"more than {_LARGEST} bytes"
        raise SequenceError(source, [Problem("file", found, "a sequence as people write it")])
    try:
        tables = _parsed(data.decode(), language)
    except UnicodeDecodeError as error:
        found = f"a byte at {error.start} that is not UTF-8"
        raise SequenceError(source, [Problem("file", found, f"{language} in UTF-8")]) from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else _one_line(error)
        raise SequenceError(source, [Problem("file", f"no {language} ({reason})", language)]) from error
    if not isinstance(tables, dict) or not all(isinstance(key, str) for key in tables):
        found = "a list" if isinstance(tables, list) else type(tables).__name__
        raise SequenceError(source, [Problem("file", found, "keys with their values")])
    return {key: value for key, value in tables.items() if key != "$schema"}


def _parsed(text: str, language: str) -> Any:  # noqa: ANN401 (what a file holds)
    if language == "TOML":
        return tomllib.loads(text)
    if language == "JSON":
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    return _yaml(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of a key that is there twice JSON and YAML would keep the last and say nothing.
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key!r} is there twice")
        table[key] = value
    return table


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _yaml(text: str) -> Any:  # noqa: ANN401 (what a file holds)
    import yaml

    try:
        # A small file with references to references can be an endless one; nothing here needs them.
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"a reference *{event.anchor}; write it out")
        _check_once(yaml.compose(text, yaml.SafeLoader))
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(_one_line(error)) from error


def _check_once(node: Any) -> None:  # noqa: ANN401 (a node of YAML)
    import yaml

    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"the key {key!r} is there twice")
        for _, value in node.value:
            _check_once(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_once(value)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:199] + "…"
