"""The event log: sealed JSON lines, only ever appended to, by a thread that the control loop never waits for.

How the lines are sealed, and what that shows, stands in `nixel.safety.chain`.
"""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import json
import os
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from nixel.safety import chain
from nixel.safety.model import Event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CAPACITY = 4096
RETRY = 1.0  # s between two attempts to write to a disk that takes nothing
_WINDOW = 64 * 1024  # bytes from the end in which the last sealed line nearly always stands


class EventLog:
    """An append-only file of sealed events.

    A log that is there already is gone on with, after whatever its last line is: a whole one, one that a power
    cut tore (which is then reported by an event of kind "torn"), or one of a daemon that did not seal (whose lines
    are sealed as they stand).

    Parameters
    ----------
    path
        The file, made if it does not exist; `None` keeps nothing.

    Raises
    ------
    OSError
        If the file cannot be opened for reading and appending, or another daemon writes to it.
    """

    def __init__(self, path: Path | None) -> None:
        self.dropped = 0
        self._path = path
        self._file = None if path is None else _open(path)
        self._queue: deque[tuple[float, Event]] = deque()
        self._batch: list[tuple[float, Event]] = []
        self._latest = (
            ""  # the hash that the next line continues; empty until the file's end has been looked at
        )
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        if self._file is not None:
            self._thread.start()

    def put(self, events: Iterable[Event]) -> None:
        """Hand events over; returns at once, and counts what a full queue cannot take.

        Parameters
        ----------
        events
            In order.
        """
        if self._file is None:
            return
        offset = time.time() - time.monotonic()
        for event in events:
            if len(self._queue) >= CAPACITY:
                self.dropped += 1
            else:
                self._queue.append((offset + event.time, event))
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Write what is left, end the thread and let go of the file.

        Parameters
        ----------
        timeout
            How long to wait for that [s].
        """
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._file is not None and not self._thread.is_alive():
            os.close(self._file)
            self._file = None

    # --- in the thread ---

    def _run(self) -> None:
        complained = False
        while True:
            self._wake.wait(RETRY if self._batch else None)
            self._wake.clear()
            stopping = self._stopping
            try:
                self._write()
                complained = False
            except OSError as error:
                # The disk may come back; the safety of the instrument does not depend on it.
                if not complained:
                    _say(f"the event log {self._path} cannot be written: {error}")
                complained = True
                self._latest = ""  # part of a line may have got there
            if stopping:
                if self._latest:
                    _say(f"the event log {self._path} ends with the hash {self._latest}")
                return

    def _write(self) -> None:
        while self._queue and len(self._batch) < CAPACITY:
            self._batch.append(self._queue.popleft())
        if self.dropped and not self._queue:
            lost, self.dropped = self.dropped, 0
            text = f"{lost} events came too fast to be written"
            self._batch.append((time.time(), Event(time.monotonic(), "lost", text, {"events": lost})))
        if not self._batch or self._file is None:
            return
        content, latest = b"", self._latest
        if not latest:  # the first time, and after a write that failed
            latest, content = _go_on(self._file)
        for wall, event in self._batch:
            sealed, latest = chain.seal(latest, record(wall, event))
            content += sealed.encode()
        while content:
            content = content[os.write(self._file, content) :]
        os.fsync(self._file)
        if not self._latest:
            _say(f"the event log {self._path} goes on; its latest hash is {latest}")
        self._latest = latest
        self._batch.clear()


def _open(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        # Two writers would each continue the same line. The kernel lets go of the lock when its holder dies.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise OSError(errno.EBUSY, "another safety daemon writes to it") from error
    return file


def _go_on(file: int) -> tuple[str, bytes]:
    """Look at the end of a log; give the hash to continue, and what to write before the next event."""
    size = os.fstat(file).st_size
    window = _WINDOW
    while True:
        began = max(0, size - window)
        content = os.pread(file, size - began, began)
        end = chain.end(content)
        if end is not None or began == 0:
            break
        window *= 8
    if end is None:
        # Nothing is sealed yet: whatever is there is sealed as it stands.
        closing = b"" if content.endswith(b"\n") or not content else b"\n"
        return chain.fingerprint(content + closing), closing
    if not end.torn:
        return end.digest, end.closing
    details: dict[str, str | float | bool | None] = {
        "bytes": len(end.torn),
        "sha256": chain.fingerprint(end.torn),
    }
    text = f"the last line was torn, as a power cut does; {len(end.torn)} bytes of it are left"
    sealed, digest = chain.seal(
        end.digest, record(time.time(), Event(time.monotonic(), chain.TORN, text, details))
    )
    return digest, end.closing + sealed.encode()


def _say(text: str) -> None:
    print(f"nixel-safetyd: {text}", file=sys.stderr, flush=True)


def record(wall: float, event: Event) -> str:
    """Write an event as JSON, on one line.

    Parameters
    ----------
    wall
        When it happened [s since 1970, UTC].
    event
        The event.

    Returns
    -------
    str
        Without a newline, and not sealed.
    """
    content = {
        "time": stamp(wall),
        "monotonic": round(event.time, 6),
        "kind": event.kind,
        "text": event.text,
        "details": {key: finite(value) for key, value in event.details.items()},
    }
    # A file name that is no UTF-8 must not stop the log.
    return json.dumps(content, ensure_ascii=False).encode(errors="replace").decode()


def stamp(wall: float) -> str:
    """Write a time as ISO 8601 in UTC with milliseconds.

    Parameters
    ----------
    wall
        Seconds since 1970, UTC.

    Returns
    -------
    str
        Such as "2026-01-31T12:00:00.000Z".
    """
    moment = dt.datetime.fromtimestamp(wall, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def finite(value: str | float | bool | None) -> str | float | bool | None:
    """Give `None` for a NaN or an infinity, which JSON has no words for, and anything else as it is.

    Parameters
    ----------
    value
        What is to become JSON.

    Returns
    -------
    str, float, bool or None
        Fit for JSON.
    """
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value
