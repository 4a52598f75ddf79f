"""The event log: JSON lines, only ever appended to, by a thread that the control loop never waits for."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from nixel.safety.realtime import give_way

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nixel.safety.model import Event

CAPACITY = 4096


class EventLog:
    """An append-only file of events.

    Parameters
    ----------
    path
        The file, made if it does not exist; `None` keeps nothing.

    Raises
    ------
    OSError
        If the file cannot be opened for appending.
    """

    def __init__(self, path: Path | None) -> None:
        self.dropped = 0
        self._path = path
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._queue: deque[tuple[float, Event]] = deque()
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
        """Write what is left and end the thread.

        Parameters
        ----------
        timeout
            How long to wait for that [s].
        """
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        give_way()
        complained = False
        while True:
            self._wake.wait()
            self._wake.clear()
            stopping = self._stopping
            try:
                self._write()
                complained = False
            except OSError as error:
                # The disk may come back; the safety of the instrument does not depend on it.
                if not complained:
                    print(
                        f"nixel-safetyd: the event log {self._path} cannot be written: {error}",
                        file=sys.stderr,
                    )
                complained = True
            if stopping:
                return

    def _write(self) -> None:
        lines = []
        while self._queue:
            lines.append(line(*self._queue.popleft()))
        if self.dropped:
            lost, self.dropped = self.dropped, 0
            lines.append(
                json.dumps({"kind": "lost", "text": f"{lost} events came too fast to be written"}) + "\n"
            )
        if lines and self._file is not None:
            os.write(self._file, "".join(lines).encode())
            os.fsync(self._file)


def line(wall: float, event: Event) -> str:
    """Write an event as one line of JSON.

    Parameters
    ----------
    wall
        When it happened [s since 1970, UTC].
    event
        The event.

    Returns
    -------
    str
        With the newline.
    """
    record = {
        "time": stamp(wall),
        "monotonic": round(event.time, 6),
        "kind": event.kind,
        "text": event.text,
        "details": {key: finite(value) for key, value in event.details.items()},
    }
    return json.dumps(record, ensure_ascii=False) + "\n"


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
