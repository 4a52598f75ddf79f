"""Slow channels beside a run: every sensor of an instrument, read again and again while the run goes on.

A sensor that fails is no reason to end a run. What it should have given is recorded as missing, with the reason, and
before the next reading it is closed and opened again, which is recorded too. Times are of the machine's monotonic
clock; beside a run of a simulated scanner they are of that scanner's clock, and the run can be made again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nixel.acquisition.devices import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from nixel.acquisition.devices import Sensor

__all__ = ["SlowRecorder", "SteppedRecorder", "recorded_in"]

_INTERVAL = 5.0  # s
_PATIENCE = 10.0  # s that a reading may still take when the run is over
_FILE = "environment.jsonl"

_log = logging.getLogger(__name__)


class SlowRecorder:
    """Reads sensors in a thread of its own, within its block.

    Parameters
    ----------
    sensors : mapping of str to Sensor
        Open ones; none is fine.
    interval : float
        Between the beginnings of two rounds, in s. A round is read at the beginning of the block and one at its end.
    clock : callable
        Returns the time in s.
    """

    def __init__(
        self,
        sensors: Mapping[str, Sensor],
        interval: float = _INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not interval > 0:
            raise ValueError(f"interval: expected more than zero, found {interval:g}")
        self._sensors, self._interval, self._clock = dict(sensors), interval, clock
        self._broken: set[str] = set()
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="slow channels", daemon=True)
        self._start = 0.0
        self._records: list[dict[str, Any]] = []
        self._file: Path | None = None

    def __enter__(self) -> SlowRecorder:
        self._begin(datetime.now(UTC))
        if self._sensors:
            self._thread.start()
        return self

    def _begin(self, start: datetime) -> None:
        self._start = self._clock()
        channels = {
            name: [{"name": channel.name, "unit": channel.unit} for channel in sensor.channels]
            for name, sensor in self._sensors.items()
        }
        self._keep({"start": start.isoformat(), "interval": self._interval, "channels": channels})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        if self._sensors:
            self._thread.join(_PATIENCE)
            if self._thread.is_alive():
                what = f"a reading was not over {_PATIENCE:g} s after the run"
                for name in self._sensors:
                    self._keep({"sensor": name, "time": self._now(), "events": [what]})

    def look(self) -> float:
        """Read the sensors if it is time to, and return in how many s it is again: never, for its thread does it."""
        return math.inf

    def keep_in(self, folder: Path) -> None:
        """Keep the record in a folder, from now on reading by reading, so that a crash loses the last one at most.

        Parameters
        ----------
        folder : Path
            Of a recording; `recorded_in` reads it again.
        """
        if not self._sensors:
            return
        with self._lock:
            self._file = folder / _FILE
            self._append(*self._records)

    def result(self) -> dict[str, Any]:
        """Return what has been recorded so far, as plain data.

        Returns
        -------
        dict
            ``start`` (ISO 8601, UTC), ``interval`` (s), and ``sensors``: by name ``channels`` (``name``, ``unit``),
            ``times`` (s since the start), ``values`` (by time, a list in the order of the channels, or None where a
            reading is missing) and ``events`` (``time``, ``what``: why one is missing, or that it was opened again).
        """
        with self._lock:
            return _assembled(self._records)

    def _run(self) -> None:
        rounds = 0
        while True:
            last = self._ending.is_set()
            self._round()
            if last:
                return
            rounds += 1
            # Rounds keep to the interval, and none is made up for: a slow sensor has fewer of them.
            due = self._start + rounds * self._interval - self._clock()
            if due < 0:
                rounds -= int(due // self._interval)
                due %= self._interval
            self._ending.wait(due)

    def _round(self) -> None:
        for name, sensor in self._sensors.items():
            self._read(name, sensor)

    def _read(self, name: str, sensor: Sensor) -> None:
        values: tuple[float, ...] | None = None
        events: list[str] = []
        try:
            if name in self._broken:
                sensor.close()
                sensor.open()
                events.append("it was opened again")
                self._broken.discard(name)
            values = _finite(sensor.read())
        except Exception as error:  # noqa: BLE001 (a sensor of whatever adapter must not end a run)
            self._broken.add(name)
            reason = str(error) if isinstance(error, DeviceError) else f"{type(error).__name__}: {error}"
            events.append(f"no reading: {reason}")
            _log.warning("%s: no reading: %s", name, reason)
        record: dict[str, Any] = {"sensor": name, "time": self._now(), "events": events}
        self._keep({**record, "values": None if values is None else list(values)})

    def _now(self) -> float:
        return round(self._clock() - self._start, 3)

    def _keep(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._records.append(record)
            self._append(record)

    def _append(self, *records: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            with self._file.open("a", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(record)}\n" for record in records)
        except OSError as error:
            # The disk is the recording's to complain of, which needs it more.
            _log.warning("%s: %s", self._file, error.strerror)
            self._file = None


class SteppedRecorder(SlowRecorder):
    """Reads sensors when it is told to look: the clock of a simulated scanner stands still between what is asked of it.

    Parameters
    ----------
    sensors : mapping of str to Sensor
    clock : callable
        Returns the time since the run's start in s.
    start : callable
        Returns the clock's date and time.
    interval : float
        Between two rounds at least, in s.
    """

    def __init__(
        self,
        sensors: Mapping[str, Sensor],
        clock: Callable[[], float],
        start: Callable[[], datetime],
        interval: float = _INTERVAL,
    ) -> None:
        super().__init__(sensors, interval, clock)
        self._date, self._due = start, 0.0

    def __enter__(self) -> SteppedRecorder:
        self._begin(self._date())
        self.look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A run that ends early may end because the scanner does not answer: then there is no last round.
        with contextlib.suppress(DeviceError):
            self._clock()
            self._round()

    def look(self) -> float:
        """Read the sensors if an interval has gone by, and return in how many s the next is over; never without any."""
        if not self._sensors:
            return math.inf
        now = self._clock() - self._start
        if now >= self._due:
            self._round()
            self._due = (now // self._interval + 1) * self._interval
        return self._due - now


def _finite(values: tuple[float, ...]) -> tuple[float, ...]:
    # JSON has no word for what is no number, and a value that is none is no reading.
    if not all(map(math.isfinite, values)):
        raise ValueError(f"expected finite values, found {values}")
    return values


def recorded_in(folder: Path) -> dict[str, Any] | None:
    """Read the record that was kept in a folder; None if there is none.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict or None
        As `SlowRecorder.result`.
    """
    try:
        lines = (folder / _FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            break  # what a crash has cut
    return _assembled(records) if records else None


def _assembled(records: list[dict[str, Any]]) -> dict[str, Any]:
    head, *readings = records
    sensors: dict[str, dict[str, Any]] = {
        name: {"channels": channels, "times": [], "values": [], "events": []}
        for name, channels in head["channels"].items()
    }
    for reading in readings:
        track, moment = sensors[reading["sensor"]], reading["time"]
        track["events"] += [{"time": moment, "what": what} for what in reading["events"]]
        if "values" in reading:
            track["times"].append(moment)
            track["values"].append(reading["values"])
    return {"start": head["start"], "interval": head["interval"], "sensors": sensors}
