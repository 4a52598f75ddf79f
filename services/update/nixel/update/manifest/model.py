"""A manifest as a value, and its one spelling in bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.update.identity import Identity

FORMAT = 1
# What the signature covers begins so: a signature over anything else by the same key is none over a manifest.
PREFIX = b"nixel-update manifest 1\n"
MOST_BYTES = 64 * 1024 * 1024
MOST_SIGNATURE_BYTES = 4096
MOST_NARINFO_BYTES = 1024 * 1024
MOST_PATHS = 200_000


@dataclass(frozen=True, slots=True)
class Info:
    """What a store knows of one of its paths.

    Attributes
    ----------
    path
        The store path.
    nar_hash
        SHA-256 of its archive, as `sha256:` in Nix's base 32.
    nar_size
        Size of its archive in bytes.
    references
        The store paths that it names, sorted.
    ca
        Its content address, if it has one.
    signatures
        Those that the store keeps.
    """

    path: str
    nar_hash: str
    nar_size: int
    references: tuple[str, ...]
    ca: str | None
    signatures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A file of the stick, pinned.

    Attributes
    ----------
    name
        Below the stick's folder, with `/`.
    sha256
        Of its content, 64 hexadecimal digits.
    size
        In bytes.
    """

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A store path that the system needs.

    Attributes
    ----------
    path
        The store path.
    nar_hash
        SHA-256 of its archive, as `sha256:` in Nix's base 32.
    nar_size
        Size of its archive in bytes.
    references
        The store paths that it names, sorted; itself perhaps among them.
    ca
        Its content address; `None` if only a signature vouches for it.
    present
        Whether it is left out because the machine has it already.
    narinfo, nar
        Its two files on a stick; `None` if it is present, or comes another way.
    """

    path: str
    nar_hash: str
    nar_size: int
    references: tuple[str, ...]
    ca: str | None
    present: bool = False
    narinfo: File | None = None
    nar: File | None = None

    @property
    def fingerprint(self) -> bytes:
        """What a signature of the path covers, as Nix defines it."""
        references = ",".join(self.references)
        return f"1;{self.path};{self.nar_hash};{self.nar_size};{references}".encode()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A system for one host, with everything it consists of.

    Attributes
    ----------
    product, host
        For which machines it is.
    made
        When, in s since 1970.
    made_by
        By which program.
    note
        What its maker says about it; one line.
    system
        The store path of its toplevel.
    identity
        Whose it says it is, from `nixel/system.json`.
    since
        The store path of the system whose paths are left out; `None` if none are.
    files
        The other files of the stick that are pinned.
    paths
        Everything that the system needs, by path.
    description
        What it brings, for telling a person what changes.
    """

    product: str
    host: str
    made: int
    made_by: str
    note: str
    system: str
    identity: Identity
    since: str | None
    files: tuple[File, ...]
    paths: tuple[Entry, ...]
    description: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Describe it as plain data.

        Returns
        -------
        dict
            Fit for JSON.
        """
        return {
            "format": FORMAT,
            "product": self.product,
            "host": self.host,
            "made": self.made,
            "made_by": self.made_by,
            "note": self.note,
            "system": {"path": self.system, "identity": self.identity.as_json()},
            "since": self.since,
            "files": {each.name: {"sha256": each.sha256, "size": each.size} for each in self.files},
            "paths": [_entry(each) for each in self.paths],
            "description": dict(self.description),
        }

    def encode(self) -> bytes:
        """Write it in its one spelling.

        Returns
        -------
        bytes
            Canonical JSON: sorted keys, no spaces, ASCII, a newline at the end.
        """
        return encode(self.as_json())


def encode(found: object) -> bytes:
    """Write plain data as canonical JSON.

    Parameters
    ----------
    found
        Fit for JSON.

    Returns
    -------
    bytes
        Its one spelling.

    Raises
    ------
    ValueError
        On a number that JSON does not have.
    """
    text = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode() + b"\n"


def _entry(entry: Entry) -> dict[str, Any]:
    def file(each: File | None) -> dict[str, Any] | None:
        return None if each is None else {"name": each.name, "sha256": each.sha256, "size": each.size}

    return {
        "path": entry.path,
        "nar_hash": entry.nar_hash,
        "nar_size": entry.nar_size,
        "references": list(entry.references),
        "ca": entry.ca,
        "present": entry.present,
        "narinfo": file(entry.narinfo),
        "nar": file(entry.nar),
    }
