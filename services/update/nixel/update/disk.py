"""Changes to a disk that a power cut leaves either undone or done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# What a power cut may leave behind is named so that the next run recognises it.
_BEGIN, _END = ".", ".nixel-new"
_SECTOR = 512


def folder(path: Path, mode: int) -> None:
    """Make sure that a folder is there, with this mode; those above it are made for everybody to pass."""
    for above in reversed(path.parents):
        if not above.is_dir():
            above.mkdir(0o755)
            settle(above.parent)
    if not path.is_dir():
        path.mkdir(mode)
        settle(path.parent)
    if path.stat().st_mode & 0o7777 != mode:
        path.chmod(mode)


def write(path: Path, content: bytes, mode: int | None) -> None:
    """Write a file: whole, on the disk, and never readable by more than `mode` says.

    Parameters
    ----------
    path
        Where; a file that is there is replaced.
    content
        What.
    mode
        Its permissions; `None` on a file system that has none, as that of a boot partition.
    """
    new = path.with_name(_BEGIN + path.name + _END)
    if new.is_symlink() or new.exists():
        new.unlink()
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        _write_all(handle, content)
        if mode is not None:
            os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)
    new.replace(path)
    settle(path.parent)


def link(path: Path, target: str) -> None:
    """Make a symbolic link; what is there is replaced."""
    new = path.with_name(_BEGIN + path.name + _END)
    if new.is_symlink() or new.exists():
        new.unlink()
    new.symlink_to(target)
    new.replace(path)
    settle(path.parent)


def keep_only(where: Path, suffix: str, name: str) -> None:
    """Remove the files of a folder with this suffix but one."""
    for each in sorted(where.iterdir()):
        if each.name.endswith(suffix) and each.name != name and not each.is_dir():
            each.unlink()
    settle(where)


def sweep(where: Path) -> None:
    """Remove what a power cut left half written in a folder, and in those below it."""
    if where.is_dir() and not where.is_symlink():
        for each in sorted(where.iterdir()):
            if each.name.startswith(_BEGIN) and each.name.endswith(_END):
                each.unlink()
            else:
                sweep(each)


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    if path.is_symlink() or path.exists():
        path.unlink()
        settle(path.parent)


def erase(path: Path, mark: bytes) -> None:
    """Overwrite a file in place and remove it.

    Its first sector is overwritten with the mark, and is on the disk before the rest is touched: whenever the power
    goes, the file is whole or is known by its mark.

    Parameters
    ----------
    path
        Which file.
    mark
        At most 512 bytes.
    """
    size = path.stat().st_size
    handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        _write_all(handle, mark.ljust(_SECTOR, b"\n"))
        os.fsync(handle)
        if size > _SECTOR:
            _write_all(handle, b"\n" * (size - _SECTOR))
            os.fsync(handle)
    finally:
        os.close(handle)
    path.unlink()
    settle(path.parent)


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def settle(where: Path) -> None:
    """Have a folder's entries on the disk.

    Parameters
    ----------
    where
        Which folder.
    """
    handle = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
