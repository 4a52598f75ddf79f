"""A manifest from bytes; whatever is not exactly one is refused.

The bytes are parsed after their signature was found good; the limits here hold for a maker's mistakes all the same.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from nixel.update import hashes, identity
from nixel.update.manifest.model import FORMAT, MOST_NARINFO_BYTES, MOST_PATHS, Entry, File, Manifest
from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

README, CACHE_INFO = "README.txt", "cache/nix-cache-info"
STORE_PATH = re.compile(rf"/nix/store/([{hashes.DIGITS}]{{32}})-[0-9a-zA-Z+._?=-]{{1,211}}")
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAR = re.compile(rf"cache/nar/[{hashes.DIGITS}]{{52}}\.nar\.xz")
_CA = re.compile(rf"(text|fixed(:r|:git)?):[a-z0-9]+:[{hashes.DIGITS}]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST = 2**63 - 1
_MOST_TEXT = 1000
_KEYS = (
    "format",
    "product",
    "host",
    "made",
    "made_by",
    "note",
    "system",
    "since",
    "files",
    "paths",
    "description",
)
_ENTRY_KEYS = ("path", "nar_hash", "nar_size", "references", "ca", "present", "narinfo", "nar")


def parse(content: bytes, where: str) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    content
        Its bytes, at most `MOST_BYTES`; their signature is somebody else's matter.
    where
        Where they were found, for the message.

    Returns
    -------
    Manifest
        That these bytes, and no others, spell.

    Raises
    ------
    Refusal
        If it is not exactly one of the format that is known here.
    """
    reader = _Reader(where)
    try:
        found = json.loads(content)
        json.dumps(
            found, ensure_ascii=False, allow_nan=False
        ).encode()  # as text and numbers that can be shown
    except RecursionError as error:
        raise reader.refuse("nested too deeply", "a manifest") from error
    except ValueError as error:
        raise reader.refuse(str(error)[:200], "JSON") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise Refusal(
            f"{where} is no manifest of format {FORMAT}, the one known here.",
            "Write the stick again, with a nixel-update as old as this machine's if it is a newer one's.",
        )
    made = reader.manifest(found)
    # One meaning has one spelling: keys that are there twice, 1.0 for 1 and whatever else was read over end here.
    if made.encode() != content:
        raise reader.refuse(
            "other bytes than it would be written with", "a manifest as nixel-update writes it"
        )
    return made


def narinfo_name(path: str) -> str:
    """Where a stick keeps what is known of a store path.

    Parameters
    ----------
    path
        A store path.

    Returns
    -------
    str
        The file's name below the stick's folder.
    """
    return f"cache/{path[len('/nix/store/') :][:32]}.narinfo"


class _Reader:
    """Reads plain data, and knows where it is for the message."""

    def __init__(self, where: str) -> None:
        self.where = where

    def refuse(self, found: object, expected: str) -> Refusal:
        return Refusal(f"{self.where}: found {found}, expected {expected}.", "Write the stick again.")

    def wrong(self, key: str, value: object, expected: str) -> NoReturn:
        raise self.refuse(f"{key} = {repr(value)[:100]}", expected)

    def keys(self, found: object, expected: Iterable[str], key: str) -> dict[str, Any]:
        if not isinstance(found, dict) or set(found) != set(expected):
            self.wrong(key, found, f"an object with {', '.join(expected)}")
        return found

    def text(self, key: str, value: object) -> str:
        if not isinstance(value, str) or len(value) > _MOST_TEXT or not value.isprintable():
            self.wrong(key, value, f"one line of at most {_MOST_TEXT} characters")
        return value

    def number(self, key: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
            self.wrong(key, value, "a whole number of at least 0")
        return value

    def match(self, key: str, value: object, pattern: re.Pattern[str], expected: str) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            self.wrong(key, value, expected)
        return value

    def store_path(self, key: str, value: object) -> str:
        return self.match(key, value, STORE_PATH, "a store path below /nix/store")

    def file(self, key: str, name: str, found: object) -> File:
        keyed = self.keys(found, ("sha256", "size"), key)
        digest = self.match(f"{key}.sha256", keyed["sha256"], _SHA256, "64 hexadecimal digits")
        return File(name, digest, self.number(f"{key}.size", keyed["size"]))

    def named_file(self, key: str, found: object) -> File | None:
        if found is None:
            return None
        keyed = self.keys(found, ("name", "sha256", "size"), key)
        name = self.text(f"{key}.name", keyed["name"])
        return self.file(key, name, {"sha256": keyed["sha256"], "size": keyed["size"]})

    def manifest(self, found: dict[str, Any]) -> Manifest:
        self.keys(found, _KEYS, "the manifest")
        system = self.keys(found["system"], ("path", "identity"), "system")
        whose = identity.parse(system["identity"], f"{self.where}: system.identity")
        for word in (whose.product, whose.host, whose.version, whose.revision):
            self.text("system.identity", word)
        self.number("system.identity.date", whose.date)
        files = found["files"]
        if not isinstance(files, dict) or set(files) not in (set(), {README, CACHE_INFO}):
            self.wrong("files", files, f"{README} and {CACHE_INFO}, or none")
        if not isinstance(found["description"], dict):
            self.wrong("description", found["description"], "an object")
        since = found["since"]
        return Manifest(
            product=self.text("product", found["product"]),
            host=self.match("host", found["host"], HOST, "a host's name"),
            made=self.number("made", found["made"]),
            made_by=self.text("made_by", found["made_by"]),
            note=self.text("note", found["note"]),
            system=self.store_path("system.path", system["path"]),
            identity=whose,
            since=None if since is None else self.store_path("since", since),
            files=tuple(self.file(f"files.{name}", name, files[name]) for name in sorted(files)),
            paths=self.paths(found["paths"]),
            description=found["description"],
        )

    def paths(self, found: object) -> tuple[Entry, ...]:
        if not isinstance(found, list) or not 0 < len(found) <= MOST_PATHS:
            size = len(found) if isinstance(found, list) else found
            self.wrong("paths", size, f"a list of 1 to {MOST_PATHS} paths")
        entries = tuple(self.entry(f"paths[{place}]", each) for place, each in enumerate(found))
        names = [each.path for each in entries]
        if any(one >= other for one, other in pairwise(names)):
            self.wrong("paths", "another order", "every path once, sorted")
        if len({name[: len("/nix/store/") + 32] for name in names}) != len(names):
            self.wrong("paths", "two names with one hash", "every path once")
        return entries

    def entry(self, key: str, found: object) -> Entry:
        keyed = self.keys(found, _ENTRY_KEYS, key)
        path = self.store_path(f"{key}.path", keyed["path"])
        references = keyed["references"]
        if not isinstance(references, list) or len(references) > MOST_PATHS:
            self.wrong(f"{key}.references", references, "a list of store paths")
        named = tuple(self.store_path(f"{key}.references", each) for each in references)
        if any(one >= other for one, other in pairwise(named)):
            self.wrong(f"{key}.references", "another order", "every reference once, sorted")
        if not isinstance(keyed["present"], bool):
            self.wrong(f"{key}.present", keyed["present"], "true or false")
        ca = keyed["ca"]
        if ca is not None:
            self.match(f"{key}.ca", self.text(f"{key}.ca", ca), _CA, "a content address")
        narinfo = self.named_file(f"{key}.narinfo", keyed["narinfo"])
        nar = self.named_file(f"{key}.nar", keyed["nar"])
        if narinfo is not None and (narinfo.name != narinfo_name(path) or narinfo.size > MOST_NARINFO_BYTES):
            self.wrong(
                f"{key}.narinfo", narinfo, f"{narinfo_name(path)}, of at most {MOST_NARINFO_BYTES} bytes"
            )
        if nar is not None:
            expected = f"cache/nar/{hashes.base32(bytes.fromhex(nar.sha256))}.nar.xz"
            if not NAR.fullmatch(nar.name) or nar.name != expected:
                self.wrong(f"{key}.nar", nar.name, f"{expected}, as its content has it")
        if (narinfo is None) != (nar is None) or (keyed["present"] and nar is not None):
            self.wrong(key, "one of its two files, or a file of a path that is present", "both or none")
        return Entry(
            path=path,
            nar_hash=self.nar_hash(f"{key}.nar_hash", keyed["nar_hash"]),
            nar_size=self.number(f"{key}.nar_size", keyed["nar_size"]),
            references=named,
            ca=ca,
            present=keyed["present"],
            narinfo=narinfo,
            nar=nar,
        )

    def nar_hash(self, key: str, value: object) -> str:
        expected = "sha256: and 52 digits of Nix's base 32"
        text = self.text(key, value)
        try:
            canonical = hashes.canonical(hashes.parse(text))
        except ValueError:
            self.wrong(key, text, expected)
        if canonical != text:
            self.wrong(key, text, expected)
        return text
