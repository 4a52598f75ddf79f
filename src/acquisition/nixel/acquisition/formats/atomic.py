"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (a rename survives a power cut only after this).

    Parameters
    ----------
    folder
        An existing folder.

    Raises
    ------
    OSError
        If the folder cannot be opened or synchronised.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def probe_folder(folder: Path) -> None:
    """Find out whether files can be made in a folder, before work is done that would be lost; leaves nothing.

    Parameters
    ----------
    folder
        It need not exist.

    Raises
    ------
    OSError
        If it is missing, not a folder, or cannot be written (a read-only file system, missing rights).
    """
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, replace: bool = True) -> Iterator[Path]:
    """Give a temporary file beside `path` to write to; it takes the name `path` when the block ends well.

    The temporary file exists (empty) when the block begins, so that a folder that cannot be written is known
    before any work is done. On success it is synchronised to the disk and renamed over `path`, replacing a
    file of that name in one step. If the block raises, the temporary file is removed and `path` is as it was
    before. After a crash a hidden ``.NAME.XXXXXXXX.part`` may remain; it is never mistaken for the file.

    Parameters
    ----------
    path
        Where the whole file shall appear. Its folder must exist.
    replace
        Whether a file of that name is replaced; datasets never are.

    Yields
    ------
    Path
        The temporary file, in the same folder (a rename is atomic only within one file system).

    Raises
    ------
    FileExistsError
        If there is a file of that name, and it is not to be replaced.
    OSError
        If the folder does not exist or cannot be written, or the disk is full.
    """
    target = Path(path)
    if not replace and target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    # 0o666 less the umask, as for any new file; mkstemp would leave it readable by its owner alone.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            temporary.replace(target)
        else:
            # A second name fails where a file has come in the meantime; a rename would replace it.
            target.hardlink_to(temporary)
            temporary.unlink()
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replaceable: Collection[str] = ()) -> Iterator[Path]:
    """Give a temporary folder beside `path` to fill; it takes the name `path` when the block ends well.

    All files appear at once or none does. If the block raises, the temporary folder is removed and `path` is
    as it was before.

    Parameters
    ----------
    path
        Where the whole folder shall appear. The folder above it must exist. It may exist if it holds nothing
        but files named in `replaceable`: an earlier result of the same writer.
    replaceable
        Names of files that an existing folder may hold and that are given up for the new ones.

    Yields
    ------
    Path
        The temporary folder. Files are to be written into it with `atomic_write`, which makes them durable.

    Raises
    ------
    FileExistsError
        If `path` is a file, or a folder that holds anything else.
    OSError
        If the folder above does not exist or cannot be written, or the disk is full.
    """
    target = Path(path).resolve()
    if target.exists():
        if not target.is_dir():
            raise FileExistsError(f"{target} exists and is a file")
        foreign = sorted(entry.name for entry in target.iterdir() if entry.name not in replaceable)
        if foreign:
            raise FileExistsError(f"{target} holds other things already ({foreign[0]})")
    mark = secrets.token_hex(4)
    temporary = target.with_name(f".{target.name}.{mark}.part")
    temporary.mkdir()
    try:
        yield temporary
        sync_folder(temporary)
        if target.exists():
            # A folder with files in it cannot be replaced in one step: it steps aside, and back should this
            # fail.
            aside = target.with_name(f".{target.name}.{mark}.old")
            target.rename(aside)
            try:
                temporary.rename(target)
            except OSError:
                aside.rename(target)
                raise
            shutil.rmtree(aside)
        else:
            temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(target.parent)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file; of a folder, that of its files' hashes and names as `sha256sum` lists them, sorted by name.

    Raises
    ------
    OSError
        If something cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        return sha256_file(path)
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    listed = "".join(f"{sha256_file(path / name)}  {name}\n" for name in files)
    return hashlib.sha256(listed.encode()).hexdigest()
