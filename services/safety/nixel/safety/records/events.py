"""The event log: what happened, kept by a thread that the control loop never waits for.

How the lines are sealed, and what that shows, stands in `chain`; the files in `logfile`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from nixel.safety.core.frozen import dataclass
from nixel.safety.core.model import Event, Mode
from nixel.safety.realtime import give_way
from nixel.safety.records.event_json import as_json, record, stamp
from nixel.safety.records.logfile import LogFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

CAPACITY = 4096
REMEMBERED = 512  # events that are told without reading the disk
CHORES = 8
RETRY = 1.0  # s between two attempts to write to a disk that takes nothing


@dataclass(frozen=True, slots=True)
class Past:
    """What the log tells without reading the disk.

    Attributes
    ----------
    events
        Oldest first, as the log has them.
    earlier
        Whether there are older ones that it does not tell.
    latest
        The hash of the last line on disk; empty while that is not known.
    lost
        How many events could not be kept since the start.
    problem
        Why nothing can be written at present; empty if it can.
    """

    events: tuple[dict[str, Any], ...]
    earlier: bool
    latest: str
    lost: int
    problem: str


class EventLog:
    """An append-only file of sealed events, and the last of them in memory.

    A log that is there already is gone on with, after whatever its last line is: a whole one, one that a power
    cut tore (which is then reported by an event of kind "torn"), or one of a daemon that did not seal (whose lines
    are sealed as they stand).

    Parameters
    ----------
    path
        The file, made if it does not exist; `None` keeps nothing but what is in memory.

    Raises
    ------
    OSError
        If the file cannot be opened for reading and appending, or another daemon writes to it.
    """

    def __init__(self, path: Path | None) -> None:
        self.problem = ""
        self._file = None if path is None else LogFile(path)
        self._queue: deque[tuple[float, Event]] = deque()
        self._recent: deque[tuple[float, Event]] = deque(maxlen=REMEMBERED)
        self._before: tuple[dict[str, Any], ...] = ()  # what earlier daemons wrote last
        self._chores: deque[Callable[[], Event]] = deque()
        self._batch: list[tuple[float, Event]] = []
        self._lost: dict[int, int] = {}  # by thread, so that no count is ever lost itself
        self._told = 0
        self._latest = ""
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    # --- for the other threads ---

    @property
    def lost(self) -> int:
        """How many events could not be kept since the start."""
        return sum(tuple(self._lost.values()))

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, events: Iterable[Event]) -> None:
        """Hand events over; returns at once, and counts what a full queue cannot take.

        Parameters
        ----------
        events
            In order.
        """
        offset = time.time() - time.monotonic()
        for event in events:
            entry = (offset + event.time, event)
            self._recent.append(entry)
            if len(self._queue) < CAPACITY:
                self._queue.append(entry)
            else:
                self._lose(1)
        self._wake.set()

    def hand(self, chore: Callable[[], Event]) -> bool:
        """Hand over something else that is to be written to the disk; returns at once.

        Parameters
        ----------
        chore
            Does it, in the log's thread and after the events that are there, and gives the event that records it.

        Returns
        -------
        bool
            Whether there was room for it.
        """
        if len(self._chores) >= CHORES:
            return False
        self._chores.append(chore)
        self._wake.set()
        return True

    def past(self, since: str, limit: int, most: int) -> Past:
        """Tell the last events, without reading the disk.

        Parameters
        ----------
        since
            Only what happened after this time (as `stamp` writes it); everything if empty.
        limit
            How many at most; of more, the newest.
        most
            Their longest JSON [bytes], about.

        Returns
        -------
        Past
            As of now.
        """
        recent = tuple(self._recent)  # in one step of the interpreter, whatever the loop puts in meanwhile
        told: list[dict[str, Any]] = []
        events: list[dict[str, Any] | tuple[float, Event]] = [*self._before, *recent]
        earlier = len(recent) == REMEMBERED or bool(self._before)
        while events:
            entry = events.pop()
            event = entry if isinstance(entry, dict) else as_json(*entry)
            most -= len(str(event))
            if since and str(event.get("time", "")) <= since:
                earlier = False
                break
            if len(told) == limit or most < 0:
                earlier = True
                break
            told.append(event)
        return Past(tuple(reversed(told)), earlier, self._latest, self.lost, self.problem)

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
            self._file.close()
            self._file = None

    def _lose(self, count: int) -> None:
        mine = threading.get_ident()
        self._lost[mine] = self._lost.get(mine, 0) + count

    # --- in the thread ---

    def _run(self) -> None:
        give_way()
        self._remember()
        while True:
            self._wake.wait(RETRY if self._batch else None)
            self._wake.clear()
            stopping = self._stopping
            self._try_to_write()
            while self._chores:
                self._do(self._chores.popleft())
                self._try_to_write()
            if stopping:
                self._part()
                return

    def _remember(self) -> None:
        try:
            if self._file is not None:
                self._before = tuple(self._file.tail()[-REMEMBERED:])
        except OSError as error:
            _say(f"the event log cannot be read: {error}")

    def _try_to_write(self) -> None:
        try:
            self._write()
            self.problem = ""
        except OSError as error:
            # The disk may come back; the safety of the instrument does not depend on it.
            if not self.problem:
                _say(f"the event log cannot be written: {error}")
            self.problem = f"{error.strerror or error}"
        except Exception as error:  # noqa: BLE001  whatever it is, the events after these must be kept
            _say(f"{len(self._batch)} events cannot be written: {error!r}")
            self._lose(len(self._batch))
            self._batch.clear()

    def _write(self) -> None:
        while self._queue and len(self._batch) < CAPACITY:
            self._batch.append(self._queue.popleft())
        lost = self.lost
        if lost > self._told and not self._queue:
            text = f"{lost - self._told} events came too fast to be written"
            details: dict[str, str | float | bool | None] = {"events": lost - self._told}
            self._told = lost
            self._batch.append((time.time(), Event(time.monotonic(), "lost", text, details)))
        if not self._batch or self._file is None:
            self._batch.clear()
            return
        first = not self._latest
        self._file.append([record(wall, event) for wall, event in self._batch])
        self._latest = self._file.latest
        # Where the journal goes, another log has the hash: lines cut off the end are missed there.
        if first:
            _say(f"the event log {self._file.path} goes on; its latest hash is {self._latest}")
        for wall, event in self._batch:
            if event.kind == "transition" and event.details.get("new") == Mode.FAULT:
                _say(f"with the trip at {stamp(wall)} the event log's latest hash is {self._latest}")
        self._batch.clear()

    def _do(self, chore: Callable[[], Event]) -> None:
        try:
            event = chore()
        except Exception as error:  # noqa: BLE001  whatever it is, the log must go on
            event = Event(time.monotonic(), "recording", f"a recording failed: {error!r}", {})
        self.put((event,))

    def _part(self) -> None:
        left = len(self._batch) + len(self._queue)
        if left:
            _say(f"the event log ends without its last {left} events: {self.problem}")
        elif self._latest and self._file is not None:
            _say(f"the event log {self._file.path} ends with the hash {self._latest}")


def _say(text: str) -> None:
    print(f"nixel-safetyd: {text}", file=sys.stderr, flush=True)
