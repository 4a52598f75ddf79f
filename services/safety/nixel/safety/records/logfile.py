"""The event log on disk: one file that sealed lines are appended to, and the earlier files that it continues.

A file that has grown to `LARGEST` is put aside under the next number (`events.jsonl.000007`) and a new one begins;
of those put aside the newest `KEPT` stay. The first line of the new file is an event of kind "continues" that tells
the number and the last hash of the file before it, so that the chain goes on from file to file. A power cut between
the two steps leaves no file or an empty one, which the next start begins in the same way.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

from nixel.safety.core.model import Event
from nixel.safety.records import chain
from nixel.safety.records.event_json import record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LARGEST = 8 * 1024 * 1024  # bytes of a file before it is put aside
KEPT = 7  # files put aside
WINDOW = 64 * 1024  # bytes from the end in which the last sealed line nearly always stands


class LogFile:
    """A log opened for appending, by one process at a time.

    Parameters
    ----------
    path
        Made if it does not exist.

    Raises
    ------
    OSError
        If it cannot be opened for reading and appending, or another process writes to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.latest = ""  # the hash of the last line that was written
        self._goes_on = (
            False  # whether the next line continues that one; else the file's end is looked at first
        )
        self._file = _open(path)

    def append(self, records: Iterable[str]) -> None:
        """Seal records and write them, after whatever is there already, down to the disk.

        Parameters
        ----------
        records
            JSON objects, each on one line.

        Raises
        ------
        OSError
            If the disk does not take them. Part of them may have got there; the next attempt closes what is torn.
        """
        latest, content = (self.latest, b"") if self._goes_on else self._go_on()
        self._goes_on = False
        for text in records:
            line, latest = chain.seal(latest, text)
            content += line.encode()
        while content:
            content = content[os.write(self._file, content) :]
        os.fsync(self._file)
        self.latest, self._goes_on = latest, True
        if os.fstat(self._file).st_size >= LARGEST:
            self._put_aside()

    def tail(self) -> list[dict[str, Any]]:
        """Read the last events.

        Returns
        -------
        list of dict
            Without their seals, oldest first; those in the last `WINDOW` bytes.
        """
        size = os.fstat(self._file).st_size
        found = []
        for line in os.pread(self._file, WINDOW, max(0, size - WINDOW)).split(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the first may be cut in two, the last may be torn
            if isinstance(event, dict) and isinstance(event.get("kind"), str):
                event.pop(chain.FIELD, None)
                found.append(event)
        return found

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _put_aside(self) -> None:
        """Begin a new file, and drop the oldest of those put aside."""
        aside = put_aside(self.path)
        number = aside[-1][0] + 1 if aside else 1
        self.path.rename(_aside(self.path, number))
        new = _open(self.path)
        os.close(self._file)
        self._file = new
        self._goes_on = False
        for _, old in aside[: max(0, len(aside) + 1 - KEPT)]:
            old.unlink(missing_ok=True)

    def _go_on(self) -> tuple[str, bytes]:
        """Look at the end of the log; give the hash to continue, and what to write before the next event."""
        size = os.fstat(self._file).st_size
        if size == 0:
            return self._begin()
        found = _end(self._file, size)
        if isinstance(found, bytes):
            # Nothing is sealed yet: whatever is there is sealed as it stands.
            closing = b"" if found.endswith(b"\n") else b"\n"
            return chain.fingerprint(found + closing), closing
        if not found.torn:
            return found.digest, found.closing
        text = f"the last line was torn, as a power cut does; {len(found.torn)} bytes of it are left"
        sealed, digest = chain.seal(
            found.digest,
            _said(chain.TORN, text, bytes=len(found.torn), sha256=chain.fingerprint(found.torn)),
        )
        return digest, found.closing + sealed.encode()

    def _begin(self) -> tuple[str, bytes]:
        aside = put_aside(self.path)
        if not aside:
            return chain.NOTHING, b""
        number, before = aside[-1]
        with before.open("rb") as file:
            end = _end(file.fileno(), os.fstat(file.fileno()).st_size)
        digest = "" if isinstance(end, bytes) else end.digest
        text = f"this file continues {before.name}"
        sealed, latest = chain.seal(chain.NOTHING, _said(chain.CONTINUES, text, number=number, hash=digest))
        return latest, sealed.encode()


def put_aside(path: Path) -> list[tuple[int, Path]]:
    """List the files of a log that were put aside.

    Parameters
    ----------
    path
        Of the log.

    Returns
    -------
    list of tuple
        Number and path, oldest first.
    """
    pattern = re.compile(re.escape(path.name) + r"\.([0-9]{6,})")
    found = []
    for each in path.parent.iterdir():
        match = pattern.fullmatch(each.name)
        if match:
            found.append((int(match[1]), each))
    return sorted(found)


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number:06}")


def _said(kind: str, text: str, **details: str | int) -> str:
    return record(time.time(), Event(time.monotonic(), kind, text, details))


def _end(file: int, size: int) -> chain.End | bytes:
    """Give where a file goes on; all that is in it if nothing in it is sealed."""
    window = WINDOW
    while True:
        began = max(0, size - window)
        content = os.pread(file, size - began, began)
        end = chain.end(content)
        if end is not None:
            return end
        if began == 0:
            return content
        window *= 8


def _open(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        # Two writers would each continue the same line. The kernel lets go of the lock when its holder dies.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sync_folder(path.parent)
    except BlockingIOError as error:
        os.close(file)
        raise OSError(errno.EBUSY, "another safety daemon writes to it") from error
    except OSError:
        os.close(file)
        raise
    return file


def sync_folder(folder: Path) -> None:
    """Bring a folder's names down to the disk: a file that is only in the folder's page cache dies with the power.

    Parameters
    ----------
    folder
        Which.

    Raises
    ------
    OSError
        If the disk does not take it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
