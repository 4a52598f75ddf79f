"""A stick's files, read so that nothing on it leads anywhere else: no link is followed, only files are opened."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from nixel.update.manifest.model import File

_BLOCK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to block on a pipe that takes a file's place between the look and the opening.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Folder:
    """The folder of a stick, open; names below it have `/` and no `.` or `..`.

    Parameters
    ----------
    path
        The folder. It may itself be reached by a link.

    Raises
    ------
    Refusal
        If it is no folder, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Refusal(
                f"{path} cannot be opened as a folder: {error.strerror}.", "Name the stick's folder."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def size(self, name: str) -> int:
        """Look how large a file is, without opening it.

        Parameters
        ----------
        name
            Which one.

        Returns
        -------
        int
            Its size in bytes.

        Raises
        ------
        Refusal
            If it is missing, or is anything but a file.
        """
        above = self._above(name)
        try:
            return self._look(above, name).st_size
        finally:
            os.close(above)

    def names(self, name: str) -> list[str]:
        """List a folder.

        Parameters
        ----------
        name
            Which one.

        Returns
        -------
        list of str
            What it holds, sorted; nothing if it is missing.

        Raises
        ------
        Refusal
            If it is anything but a folder.
        """
        try:
            handle = self._above(f"{name}/x")
        except Refusal as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return []
            raise
        try:
            return sorted(os.listdir(handle))  # noqa: PTH208 (a handle, not a path)
        except OSError as error:
            raise self._refuse(name, error) from error
        finally:
            os.close(handle)

    def read(self, name: str, most: int) -> bytes:
        """Read a small file.

        Parameters
        ----------
        name
            Which one.
        most
            How large it may be, in bytes; of a larger one nothing is read.

        Returns
        -------
        bytes
            Its content.

        Raises
        ------
        Refusal
            If it is too large, missing, or anything but a file.
        """
        size = self.size(name)
        if size > most:
            raise Refusal(
                f"{self.path / name} has {size} bytes; at most {most} are taken.",
                "This stick was not written by nixel-update, or is damaged: do not use it.",
            )
        parts: list[bytes] = []
        self._stream(name, size, parts.append)
        return b"".join(parts)

    def check(self, file: File, moved: Callable[[int], None] | None = None) -> None:
        """Check that a file is the one that a manifest pins; it is read in pieces.

        Parameters
        ----------
        file
            What is expected.
        moved
            Told the bytes of each piece.

        Raises
        ------
        Refusal
            If it is another, missing, or no file.
        """
        self.check_size(file)
        digest = hashlib.sha256()

        def take(block: bytes) -> None:
            digest.update(block)
            if moved is not None:
                moved(len(block))

        self._stream(file.name, file.size, take)
        if digest.hexdigest() != file.sha256:
            raise Refusal(
                f"{self.path / file.name} is damaged or was changed: its SHA-256 is {digest.hexdigest()[:16]}…, and "
                f"{file.sha256[:16]}… was expected.",
                "Do not use this stick; have it written again.",
            )

    def check_size(self, file: File) -> None:
        """Check that a file is there and has the size that a manifest pins.

        Parameters
        ----------
        file
            What is expected.

        Raises
        ------
        Refusal
            If not.
        """
        size = self.size(file.name)
        if size != file.size:
            raise Refusal(
                f"{self.path / file.name} is damaged or was changed: it has {size} bytes, and "
                f"{file.size} were expected.",
                "Do not use this stick; have it written again.",
            )

    def _stream(self, name: str, size: int, take: Callable[[bytes], None]) -> None:
        """Read at most one byte more than `size`: a file that grows is another file, not a longer one."""
        above = self._above(name)
        try:
            self._look(above, name)
            handle = os.open(name.rpartition("/")[2], _FILE, dir_fd=above)
        except OSError as error:
            raise self._refuse(name, error) from error
        finally:
            os.close(above)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise self._refuse(name, OSError(errno.ENXIO, os.strerror(errno.ENXIO)))
            left = size + 1
            while left and (block := os.read(handle, min(_BLOCK, left))):
                left -= len(block)
                take(block)
        except OSError as error:
            raise self._refuse(name, error) from error
        finally:
            # What is read once need not push anything else out of memory, and is read from the stick when it is copied.
            with suppress(OSError):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)

    def _above(self, name: str) -> int:
        """Open the folder that holds a name, one step at a time."""
        here = os.dup(self._handle)
        for part in name.split("/")[:-1]:
            assert part not in ("", ".", "..")
            try:
                below = os.open(part, _FOLDER, dir_fd=here)
            except OSError as error:
                raise self._refuse(name, error) from error
            finally:
                os.close(here)
            here = below
        return here

    def _look(self, above: int, name: str) -> os.stat_result:
        try:
            found = os.stat(name.rpartition("/")[2], dir_fd=above, follow_symlinks=False)
        except OSError as error:
            raise self._refuse(name, error) from error
        if not stat.S_ISREG(found.st_mode):
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no file")
            raise Refusal(
                f"{self.path / name} is {kind}, and a file was expected; nothing on a stick leads elsewhere.",
                "Do not use this stick; have it written again.",
            )
        return found

    def _refuse(self, name: str, error: OSError) -> Refusal:
        place = self.path / name
        if isinstance(error, FileNotFoundError):
            return Refusal(f"{place} is missing.", "Have the stick written again.")
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            return Refusal(
                f"On the way to {place} stands a link or a file where a folder was expected.",
                "Do not use this stick; have it written again.",
            )
        return Refusal(
            f"{place} cannot be read: {error.strerror}.", "Plug the stick in again, or take another one."
        )
