"""Nix archives: a tree of files in the one order and spelling that a store path's hash is taken of.

The format is that of Dolstra, "The Purely Functional Software Deployment Model" (2006), figure 5.2.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 1 << 18


def archive(place: str | bytes | os.PathLike[str]) -> Iterator[bytes]:
    """Write the archive of a tree.

    Parameters
    ----------
    place
        A file, a link or a folder.

    Yields
    ------
    bytes
        One piece after the other, together `narSize` of them.

    Raises
    ------
    OSError
        If something cannot be read, or is neither file, link nor folder.
    """
    held = bytearray(_word(b"nix-archive-1"))
    for each in _node(os.fsencode(place)):
        held += each
        if len(held) >= _BLOCK:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _node(place: bytes) -> Iterator[bytes]:
    about = os.lstat(place)
    yield _word(b"(") + _word(b"type")
    if stat.S_ISLNK(about.st_mode):
        yield _word(b"symlink") + _word(b"target") + _word(os.readlink(place))  # noqa: PTH115 (a name in bytes)
    elif stat.S_ISREG(about.st_mode):
        executable = about.st_mode & stat.S_IXUSR
        yield _word(b"regular") + (_word(b"executable") + _word(b"") if executable else b"")
        yield from _content(place, about.st_size)
    elif stat.S_ISDIR(about.st_mode):
        yield _word(b"directory")
        for name in sorted(os.listdir(place)):  # noqa: PTH208 (names in bytes)
            yield _word(b"entry") + _word(b"(") + _word(b"name") + _word(name) + _word(b"node")
            yield from _node(place + b"/" + name)
            yield _word(b")")
    else:
        raise OSError(f"{os.fsdecode(place)} is neither file, link nor folder")
    yield _word(b")")


def _content(place: bytes, size: int) -> Iterator[bytes]:
    yield _word(b"contents") + _length(size)
    left = size
    with open(place, "rb") as stream:  # noqa: PTH123 (a name in bytes)
        while left:
            block = stream.read(min(_BLOCK, left))
            if not block:
                raise OSError(f"{os.fsdecode(place)} became shorter while it was read")
            left -= len(block)
            yield block
    yield bytes(-size % 8)


def _word(text: bytes) -> bytes:
    return _length(len(text)) + text + bytes(-len(text) % 8)


def _length(number: int) -> bytes:
    return number.to_bytes(8, "little")
