"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["sha256_file", "whole_file"]

_BLOCK = 1 << 20


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the name of a part file that becomes `path` when the block ends without an error.

    The part stands in the same folder under a name that begins with a dot and ends with ``.part``. It is
    forced to the disk and renamed, and the folder is forced to the disk too. A crash leaves at most a part,
    which the next attempt at the same name replaces; an error leaves nothing.

    Parameters
    ----------
    path : Path
        Of the file that is to be.

    Yields
    ------
    Path
        Of the part.

    Raises
    ------
    FileExistsError
        There is a file already: datasets are never overwritten.
    OSError
        The folder cannot be written.
    """
    if path.exists():
        raise FileExistsError(17, "there is a file already, and datasets are never overwritten", str(path))
    if not path.parent.is_dir():
        raise NotADirectoryError(20, "there is no such folder", str(path.parent))
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        _force(part)
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _force(path.parent)


def _force(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
