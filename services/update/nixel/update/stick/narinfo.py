"""A narinfo: what a binary cache knows of one store path, in lines of `Key: value`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.update import hashes

if TYPE_CHECKING:
    from nixel.update.manifest.model import Entry, File

_STORE = "/nix/store/"
_CACHE = "cache/"
_ONCE = ("StorePath", "URL", "Compression", "FileHash", "FileSize", "NarHash", "NarSize", "References")
_PERHAPS = ("Deriver", "CA", "System")
_SIGNATURE = "Sig"


@dataclass(frozen=True, slots=True)
class Narinfo:
    """What a narinfo says.

    Attributes
    ----------
    path
        The store path.
    url
        Its archive, below the cache's folder.
    file_hash, file_size
        SHA-256 (bytes) and size (bytes) of the archive as it is stored, compressed with xz.
    nar_hash, nar_size
        The same of the archive itself; the hash as `sha256:` in Nix's base 32.
    references
        The store paths that it names, sorted.
    ca
        Its content address, if it has one.
    signatures
        Each `name:base64`.
    """

    path: str
    url: str
    file_hash: bytes
    file_size: int
    nar_hash: str
    nar_size: int
    references: tuple[str, ...]
    ca: str | None
    signatures: tuple[str, ...]


def parse(content: bytes) -> Narinfo:
    """Read a narinfo.

    Parameters
    ----------
    content
        Its bytes.

    Returns
    -------
    Narinfo
        What it says.

    Raises
    ------
    ValueError
        If it is none, says something twice, or says something that is not known here.
    """
    text = content.decode("ascii")
    if not text.endswith("\n"):
        raise ValueError("its last line does not end")
    found: dict[str, str] = {}
    signatures = []
    for line in text[:-1].split("\n"):
        key, separator, value = line.partition(": ")
        if not separator or not value.isprintable():
            raise ValueError(f"{line[:100]!r} is no line of the form `Key: value`")
        if key == _SIGNATURE:
            signatures.append(value)
        elif key in found or key not in _ONCE + _PERHAPS:
            raise ValueError(f"{key[:100]!r} is there twice, or is not known")
        else:
            found[key] = value
    lacking = [key for key in _ONCE if key not in found]
    if lacking:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    if found["Compression"] != "xz":
        raise ValueError(f"its archive is compressed with {found['Compression'][:20]!r}, not xz")
    return Narinfo(
        path=found["StorePath"],
        url=found["URL"],
        file_hash=hashes.parse(found["FileHash"]),
        file_size=_number(found["FileSize"]),
        nar_hash=hashes.canonical(hashes.parse(found["NarHash"])),
        nar_size=_number(found["NarSize"]),
        references=tuple(sorted(_STORE + each for each in found["References"].split())),
        ca=found.get("CA"),
        signatures=tuple(signatures),
    )


def render(entry: Entry, archive: File, signature: str) -> bytes:
    """Write a narinfo.

    Parameters
    ----------
    entry
        What a manifest says of the path.
    archive
        Its archive on the stick.
    signature
        Over the entry's fingerprint.

    Returns
    -------
    bytes
        As Nix writes it, without the derivation that made the path.
    """
    references = " ".join(each.removeprefix(_STORE) for each in entry.references)
    lines = [
        f"StorePath: {entry.path}",
        f"URL: {archive.name.removeprefix(_CACHE)}",
        "Compression: xz",
        f"FileHash: {hashes.canonical(bytes.fromhex(archive.sha256))}",
        f"FileSize: {archive.size}",
        f"NarHash: {entry.nar_hash}",
        f"NarSize: {entry.nar_size}",
        f"References: {references}",
        f"Sig: {signature}",
        *([] if entry.ca is None else [f"CA: {entry.ca}"]),
    ]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def differences(narinfo: Narinfo, entry: Entry, archive: File) -> list[str]:
    """Compare a narinfo with what a manifest says of its path.

    Parameters
    ----------
    narinfo
        From the stick.
    entry
        From the manifest.
    archive
        The path's archive there.

    Returns
    -------
    list of str
        In what they differ.
    """
    pairs = {
        "StorePath": (narinfo.path, entry.path),
        "URL": (_CACHE + narinfo.url, archive.name),
        "FileHash": (narinfo.file_hash.hex(), archive.sha256),
        "FileSize": (narinfo.file_size, archive.size),
        "NarHash": (narinfo.nar_hash, entry.nar_hash),
        "NarSize": (narinfo.nar_size, entry.nar_size),
        "References": (narinfo.references, entry.references),
        "CA": (narinfo.ca, entry.ca),
    }
    return [key for key, (found, expected) in pairs.items() if found != expected]


def _number(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 19:
        raise ValueError(f"{text[:100]!r} is no size")
    return int(text)
