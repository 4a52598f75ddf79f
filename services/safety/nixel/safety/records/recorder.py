"""The black box: the last seconds of everything, in memory, and on the disk after a trip.

The loop writes each tick into a ring that is made once and never grows. With a trip the ring's last `BEFORE` seconds
are handed to the event log's thread, which writes them at once, for the power may go next, and again with what
followed when `AFTER` more seconds have passed. The file comes under its name only when all of it is on the disk.
"""

from __future__ import annotations

import dataclasses
import math
import time
from array import array
from collections import deque
from typing import TYPE_CHECKING, Any

from nixel.safety.core.kinds import KINDS
from nixel.safety.core.model import Event, Mode, RenewLease
from nixel.safety.records.event_json import finite, stamp
from nixel.safety.records.recording import STATES, Header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nixel.safety.core.model import AnyRequest, Config, Reading, State
    from nixel.safety.records.events import EventLog
    from nixel.safety.records.recordings import Folder

BEFORE = 30.0  # s
AFTER = 2.0  # s
SPARE = 3.0  # s that the log's thread has to take a copy before the ring comes round
MOST_MEMORY = 4 * 1024 * 1024  # bytes; a faster loop of a larger instrument keeps fewer seconds
AGAIN = 100  # ticks without news that wait to be written, at most
NOTES = 500  # events, and as many requests, that are kept for the recording

_FIXED = 3
_MODES = {mode: float(STATES.index(mode)) for mode in Mode}


class Ring:
    """The newest rows of numbers, in memory that is taken once.

    Parameters
    ----------
    rows, width
        How many of how many numbers.
    """

    def __init__(self, rows: int, width: int) -> None:
        self.rows = rows
        self.width = width
        self.count = 0  # rows ever written
        self.data = array("d", bytes(8 * rows * width))

    def begin(self) -> int:
        """Give where the next row begins in `data`; it counts when `count` is raised."""
        return self.count % self.rows * self.width

    def repeat(self, times: Sequence[float]) -> None:
        """Write the last row again, once for each of these first numbers."""
        data, width, place = self.data, self.width, (self.count - 1) % self.rows * self.width
        for moment in times:
            last, place = place, self.begin()
            data[place : place + width] = data[last : last + width]
            data[place] = moment
            self.count += 1

    def copy(self, first: int, end: int) -> array[float] | None:
        """Copy rows.

        Parameters
        ----------
        first, end
            Of all rows ever written, the one after the last excluded.

        Returns
        -------
        array or None
            Row after row; `None` if the first has been written over.
        """
        width = self.width
        begin, stop = first % self.rows * width, end % self.rows * width
        if end == first:
            found = array("d")
        elif begin < stop:
            found = self.data[begin:stop]
        else:
            found = self.data[begin:] + self.data[:stop]
        return found if self.count - first < self.rows else None


@dataclasses.dataclass(slots=True)
class _Trip:
    """A trip whose recording is not complete yet."""

    row: int
    time: float
    before: str
    cause: str
    message: str
    name: str


class Recorder:
    """The black box as the control loop sees it; nothing here waits, and a tick without news leaves no garbage.

    Parameters
    ----------
    config
        What is guarded.
    instrument, simulated
        Its name, and whether any of its devices is a virtual one.
    folder
        Where recordings go.
    log
        Its thread writes them, and it has an event of each.
    """

    def __init__(
        self,
        config: Config,
        instrument: str,
        simulated: bool,
        folder: Folder,
        log: EventLog,
    ) -> None:
        self._config = config
        self._instrument = instrument
        self._simulated = simulated
        self._folder = folder
        self._log = log
        guards = (source for guard in config.interlocks for source in guard.sources)
        readbacks = (f"readback:{output.sink}" for output in config.outputs)
        self._sources = tuple(dict.fromkeys((*guards, *readbacks)))
        self._outputs = tuple(output.name for output in config.outputs)
        width = _FIXED + len(self._outputs) + 2 * len(self._sources)
        wanted = math.ceil((BEFORE + AFTER + SPARE) / config.period)
        self._ring = Ring(min(wanted, MOST_MEMORY // (8 * width)), width)
        share = self._ring.rows / wanted
        self._after = round(AFTER / config.period * share)
        self._before = round(BEFORE / config.period * share)
        self._seen: Mapping[str, Reading] | None = None
        self._on: frozenset[str] = frozenset()
        self._missed = 0
        self._again: list[
            float
        ] = []  # times of ticks that found what the last row says, and are not written yet
        self._events: deque[Event] = deque(maxlen=NOTES)
        self._requests: deque[tuple[float, AnyRequest]] = deque(maxlen=NOTES)
        self._mode: Mode = Mode.FAULT  # as the daemon comes up
        self._trip: _Trip | None = None

    def record(
        self,
        state: State,
        now: float,
        missed: int,
        readings: Mapping[str, Reading],
        requests: Sequence[AnyRequest],
        events: Sequence[Event],
    ) -> None:
        """Record a tick; returns at once.

        Parameters
        ----------
        state
            After the tick.
        now
            Its time [s].
        missed
            Deadlines missed since the start.
        readings, requests
            What went into it; the same mapping is taken to hold the same readings.
        events
            What came out of it.
        """
        # At rest nine ticks of ten are such; written at once with the next other one, they take a tenth of the time.
        if (
            readings is self._seen
            and state.on is self._on
            and state.mode is self._mode
            and missed == self._missed
            and not events
            and not requests
        ):
            self.repeat(now)
            return
        self._catch_up()
        ring = self._ring
        data, place = ring.data, ring.begin()
        data[place] = now
        data[place + 1] = _MODES[state.mode]
        data[place + 2] = missed
        place += _FIXED
        for name in self._outputs:
            data[place] = name in state.on
            place += 1
        self._put(place, readings)
        ring.count += 1
        self._seen, self._on, self._missed = readings, state.on, missed
        if events:
            self._events.extend(events)
        for request in requests:
            if not isinstance(request, RenewLease):
                self._requests.append((now, request))
        if self._trip is not None or state.mode is not self._mode:
            self._look_for_a_trip(state, now)

    def repeat(self, now: float) -> None:
        """Record a tick that is the last one again; returns at once.

        Parameters
        ----------
        now
            Its time [s].
        """
        self._again.append(now)
        if self._trip is not None or len(self._again) >= AGAIN:
            self._catch_up()
            self._end_of_trip()

    def _catch_up(self) -> None:
        if self._again:
            self._ring.repeat(self._again)
            self._again.clear()

    def _put(self, place: int, readings: Mapping[str, Reading]) -> None:
        """Write values and times; a time stays the same while an age does not, so that a row can be copied."""
        data = self._ring.data
        for source in self._sources:
            reading = readings.get(source)
            if reading is None:
                data[place] = data[place + 1] = math.nan
            else:
                data[place] = math.nan if reading.value is None else reading.value
                data[place + 1] = reading.time
            place += 2

    def close(self) -> None:
        """Hand over what is not complete yet, as the daemon ends."""
        self._catch_up()
        self._finish()

    def _look_for_a_trip(self, state: State, now: float) -> None:
        if state.mode is Mode.FAULT and self._mode is not Mode.FAULT:
            self._finish()  # an earlier one, if any
            cause = state.causes[0]
            row = self._ring.count - 1
            name = self._folder.name(time.time())
            self._trip = _Trip(row, now, str(self._mode), cause.name, cause.text, name)
            self._write(self._trip, complete=False)
        else:
            self._end_of_trip()
        self._mode = state.mode

    def _end_of_trip(self) -> None:
        if self._trip is not None and self._ring.count - self._trip.row > self._after:
            self._finish()

    def _finish(self) -> None:
        trip, self._trip = self._trip, None
        if trip is not None:
            self._write(trip, complete=True)

    def _write(self, trip: _Trip, *, complete: bool) -> None:
        end = self._ring.count
        first = max(0, trip.row - self._before)
        wall = time.time() - time.monotonic()

        def chore() -> Event:
            return self._save(trip, first, end, wall, complete=complete)

        if not self._log.hand(chore):
            text = f"the recording of {trip.cause} is lost: too many wait for the disk"
            self._log.put((Event(time.monotonic(), "recording", text, {"cause": trip.cause}),))

    # --- in the thread that may wait ---

    def _save(self, trip: _Trip, first: int, end: int, wall: float, *, complete: bool) -> Event:
        data = self._ring.copy(first, end)
        details: dict[str, str | float | bool | None] = {"file": trip.name, "cause": trip.cause}
        if data is None:
            text = f"the recording of {trip.cause} came too late and is lost"
            return Event(time.monotonic(), "recording", text, details)
        header = self._header(trip, data, wall, complete=complete)
        try:
            details["sha256"] = self._folder.save(trip.name, header, self._rows(data, trip.time))
        except OSError as error:
            text = f"the recording of {trip.cause} cannot be written: {error.strerror or error}"
            return Event(time.monotonic(), "recording", text, details)
        what = "with what followed" if complete else "up to the trip"
        return Event(time.monotonic(), "recording", f"recorded {trip.cause} in {trip.name}, {what}", details)

    def _rows(self, data: array[float], trip: float) -> Iterator[array[float]]:
        width, first = self._ring.width, _FIXED + len(self._outputs) + 1
        for begin in range(0, len(data), width):
            values = data[begin : begin + width]
            for place in range(first, width, 2):
                values[place] = values[0] - values[place]
            values[0] -= trip
            yield values

    def _header(self, trip: _Trip, data: array[float], wall: float, *, complete: bool) -> Header:
        began, ended = data[0], data[-self._ring.width]
        events = [event for event in tuple(self._events) if began <= event.time <= ended]
        requests = [entry for entry in tuple(self._requests) if began <= entry[0] <= ended]
        return Header(
            trip=stamp(trip.time + wall),
            cause=trip.cause,
            message=trip.message,
            before=trip.before,
            instrument=self._instrument,
            simulated=self._simulated,
            rate=1.0 / self._config.period,
            complete=complete,
            sources=self._sources,
            outputs=self._outputs,
            interlocks=tuple(described(self._config)),
            events=tuple(
                {"t": round(event.time - trip.time, 6), "kind": event.kind, "text": event.text}
                for event in events
            ),
            requests=tuple(
                {"t": round(when - trip.time, 6), "text": _asked(request)} for when, request in requests
            ),
            rows=len(data) // self._ring.width,
        )


def described(config: Config) -> list[dict[str, Any]]:
    """Describe the interlocks as a recording's header does.

    Parameters
    ----------
    config
        Of the instrument.

    Returns
    -------
    list of dict
        Each with what it was declared with, its kind in one word, and its sources.
    """
    found = []
    for guard in config.interlocks:
        said = {
            name: finite(value) if isinstance(value, float) else value
            for name, value in dataclasses.asdict(guard).items()
            if name not in ("source", "sources", "shown_in")
        }
        found.append({**said, "kind": KINDS[type(guard)].word, "sources": list(guard.sources)})
    return found


def _asked(request: AnyRequest) -> str:
    said = {
        name: value
        for name, value in dataclasses.asdict(request).items()
        if name not in ("client", "number") and value not in (None, "")
    }
    words = [f"{name} {value}" for name, value in said.items()]
    return f"{type(request).__name__} of client {request.client}" + (f": {', '.join(words)}" if words else "")
