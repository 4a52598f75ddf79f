"""Enough of varlink's interface language to hold a description against what a service does."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(r"\s*(?:#[^\n]*\n\s*)*(->|\[string\]|\[\]|[A-Za-z][A-Za-z0-9_.-]*|[?():,])")


@dataclass
class Interface:
    """Types are names, ("list" | "map" | "maybe", type), ("enum", names) or ("struct", {name: type})."""

    name: str
    types: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)

    def wrong(self, kind: Any, value: Any, where: str = "") -> list[str]:
        """Say where a value is not of a type; nothing if it is."""
        match kind:
            case ("maybe", inner):
                return [] if value is None else self.wrong(inner, value, where)
            case ("list", inner) if isinstance(value, list):
                return [w for i, item in enumerate(value) for w in self.wrong(inner, item, f"{where}[{i}]")]
            case ("map", inner) if isinstance(value, dict):
                return [w for key, item in value.items() for w in self.wrong(inner, item, f"{where}[{key}]")]
            case ("enum", names):
                return [] if value in names else [f"{where}: {value!r} is none of {names}"]
            case ("struct", fields) if isinstance(value, dict):
                extra = [f"{where}.{name} is not described" for name in value.keys() - fields.keys()]
                missing = [
                    f"{where}.{name} is missing"
                    for name, inner in fields.items()
                    if name not in value and inner[0] != "maybe"
                ]
                inside = [
                    w
                    for name in fields.keys() & value.keys()
                    for w in self.wrong(fields[name], value[name], f"{where}.{name}")
                ]
                return extra + missing + inside
            case "object":
                return []
            case "bool" | "int" | "string" | "float":
                numbers = (int, float)
                accepted = {"bool": bool, "int": int, "string": str, "float": numbers}[kind]
                good = isinstance(value, accepted) and isinstance(value, bool) == (kind == "bool")
                return [] if good else [f"{where}: {value!r} is no {kind}"]
            case str() if kind in self.types:
                return self.wrong(self.types[kind], value, where)
        return [f"{where}: {value!r} is no {kind}"]


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            assert found, f"no varlink: {text[at : at + 40]!r}"
            self.tokens.append(found.group(1))
            at = found.end()

    def next(self, *expected: str) -> str:
        token = self.tokens.pop(0)
        assert not expected or token in expected, (token, expected)
        return token

    def kind(self) -> Any:
        match self.tokens[0]:
            case "?":
                self.next()
                return ("maybe", self.kind())
            case "[]":
                self.next()
                return ("list", self.kind())
            case "[string]":
                self.next()
                return ("map", self.kind())
            case "(":
                return self.group()
        return self.next()

    def group(self) -> Any:
        self.next("(")
        fields: dict[str, Any] = {}
        while self.tokens[0] != ")":
            name = self.next()
            assert name not in fields, name
            fields[name] = None
            if self.tokens[0] == ":":
                self.next()
                fields[name] = self.kind()
            if self.next(",", ")") == ")":
                break
        else:
            self.next(")")
        if fields and all(kind is None for kind in fields.values()):
            return ("enum", tuple(fields))
        return ("struct", fields)


def parse(text: str) -> Interface:
    """Read a description."""
    reader = _Reader(text)
    reader.next("interface")
    read = Interface(reader.next())
    while reader.tokens:
        what, name = reader.next("type", "method", "error"), reader.next()
        if what == "method":
            asked = reader.group()
            reader.next("->")
            read.methods[name] = (asked, reader.group())
        else:
            (read.types if what == "type" else read.errors)[name] = reader.group()
    return read
