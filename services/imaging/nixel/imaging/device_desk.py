"""Who has the instrument's devices: a run, or those who look at them between runs.

Between runs the devices are open only while somebody looks, and a moment longer, so that other programs can have them.
While a run has them they are read through the run's own connections, and nothing is set.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.held import HeldDevices
from nixel.acquisition.instrument import Instrument
from nixel.acquisition.opened import OpenDevices, Opening, open_devices
from nixel.acquisition.readings import DeviceReading, PropertyRefusedError, read_open
from nixel.imaging.device_answers import (
    ChangeAnswer,
    DevicesAnswer,
    busy_answer,
    change_answer,
    devices_answer,
)
from nixel.imaging.device_turn import Turn
from nixel.imaging.hub import Hub

FRESH = 0.5  # s for which what was read is told again rather than read again
LINGER = 5.0  # s for which the devices stay open after they were looked at
_OPENING = 0.5  # s for which a look waits while a run opens its devices
_PATIENCE = 30.0  # s that a run waits for a device to answer whoever looks at it
_POLL = 0.02
_LONG_AGO = -1e9


@dataclass
class _Loan:
    """The devices as lent to a run; None while it opens or closes them."""

    who: str
    devices: OpenDevices | None = None


class DeviceDesk:
    """Lends the devices to runs, and shows them to whoever asks.

    Parameters
    ----------
    instrument : nixel.acquisition.instrument.Instrument
    changed : callable
        Told of each property that was set.
    """

    def __init__(
        self, instrument: Instrument, changed: Callable[[ChangeAnswer], None] = lambda _: None
    ) -> None:
        self.hub = Hub()
        self._instrument = instrument
        self._changed = changed
        self._turn = Turn()
        self._held: HeldDevices | None = None
        self._loan: _Loan | None = None
        self._looking = threading.Lock()
        self._newest: DevicesAnswer | None = None
        self._told: dict[str, Any] | None = None
        self._looked = self._polled = self._used = _LONG_AGO
        self._wake = threading.Condition()
        self._intervals: list[float] = []
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="devices", daemon=True)

    # --- runs ---

    @contextmanager
    def lent_to(self, who: str) -> Iterator[Opening]:
        """Lend the devices to a run for the block, which opens them by what it is given.

        Raises
        ------
        DeviceError
            A device does not answer who looks at it, nor fail.
        """
        with self._turn.claimed(_PATIENCE) as mine:
            if not mine:
                raise DeviceError(
                    "lending the devices",
                    where=f"instrument {self._instrument.name}",
                    expected=f"every device to answer or fail within {_PATIENCE:g} s",
                    found="one that does neither",
                    remedy="`nixel devices list` shows which; restart the imaging service.",
                )
            self._close()
            self._loan = _Loan(who)
        try:
            yield self._open_for_run
        finally:
            self._lend(None)

    @contextmanager
    def _open_for_run(self, instrument: Instrument) -> Iterator[OpenDevices]:
        assert self._loan is not None  # only ever called within `lent_to`
        who = self._loan.who
        with open_devices(instrument) as devices:
            self._lend(_Loan(who, devices))
            try:
                yield devices
            finally:
                # Before they are closed: nobody reads a device that is being closed.
                self._lend(_Loan(who))

    def _lend(self, loan: _Loan | None) -> None:
        with self._turn.claimed(_PATIENCE):
            self._loan = loan

    # --- looking ---

    def look(self, age: float = FRESH) -> DevicesAnswer:
        """Return every device, read at most `age` seconds ago.

        Parameters
        ----------
        age : float
        """
        with self._looking:
            if self._newest is None or time.monotonic() - self._looked > age:
                self._newest = self._read()
                self._looked = self._used = time.monotonic()
                # Whatever anybody is told, all who watch are: what they have is never older.
                self._tell(self._newest)
            answer = self._newest
        self._think()
        return answer

    def _read(self) -> DevicesAnswer:
        deadline = time.monotonic() + _OPENING
        while True:
            readings: tuple[DeviceReading, ...] | None = None
            with self._turn.looking() as interrupted:
                loan, taken = self._loan, datetime.now(UTC)
                if loan is None:
                    self._held = self._held or HeldDevices(self._instrument)
                    readings = self._held.read(interrupted)
                elif loan.devices is not None:
                    readings = read_open(loan.devices, interrupted)
                elif time.monotonic() > deadline:
                    return busy_answer(self._instrument, taken, loan.who)
            if readings is not None:
                return devices_answer(self._instrument, readings, taken, loan.who if loan else "")
            time.sleep(_POLL)

    def set(self, device: str, name: str, text: str) -> ChangeAnswer:
        """Set a property between runs, and read it back.

        Parameters
        ----------
        device, name : str
        text : str
            The value as a person writes it.

        Raises
        ------
        PropertyRefusedError
            There is no such device or property, it is read-only, the value is none of its values, or a run has the
            devices. Nothing was changed.
        DeviceError
            The device failed, or holds another value afterwards.
        """
        with self._turn.looking():
            if self._loan is not None:
                raise PropertyRefusedError(
                    "busy",
                    f"{device}.{name} is not set: {self._loan.who} has the devices until it ends. Nothing was changed.",
                )
            self._held = self._held or HeldDevices(self._instrument)
            made = change_answer(device, self._held.change(device, name, text))
            # What was read before is not so any more.
            self._looked = self._polled = _LONG_AGO
            self._used = time.monotonic()
        self._changed(made)
        self._think()
        return made

    # --- watching ---

    @contextmanager
    def watched(self, interval: float) -> Iterator[None]:
        """Look every so many seconds for the block, and publish what has changed to the hub, topic ``devices``."""
        with self._wake:
            self._intervals.append(interval)
        self._think()
        try:
            yield
        finally:
            with self._wake:
                self._intervals.remove(interval)
            self._think()

    def start(self) -> None:
        """Begin to look when somebody watches."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and close what is open."""
        self._ending = True
        self._think()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)
        self._rest()

    def _think(self) -> None:
        """Have the thread see anew what there is to do."""
        with self._wake:
            self._wake.notify_all()

    def _work(self) -> None:
        while True:
            with self._wake:
                if self._ending:
                    return
                wait = self._until_due()
                if wait is None or wait > 0:
                    self._wake.wait(wait)
                    continue
                interval = min(self._intervals, default=None)
            if interval is None:
                self._rest()
            else:
                self._polled = time.monotonic()
                self.look(min(FRESH, interval / 2))

    def _until_due(self) -> float | None:
        """Seconds until there is something to do; None for nothing."""
        now = time.monotonic()
        if self._intervals:
            return min(self._intervals) - (now - self._polled)
        return None if self._held is None else LINGER - (now - self._used)

    def _tell(self, answer: DevicesAnswer) -> None:
        content = answer.model_dump(mode="json", exclude={"taken_at"})
        if content != self._told:
            self._told = content
            self.hub.publish("devices", answer.model_dump(mode="json"))

    def _rest(self) -> None:
        """Close the devices, if nobody has looked meanwhile."""
        with self._looking:
            if self._ending or time.monotonic() - self._used >= LINGER:
                with self._turn.claimed(_PATIENCE) as mine:
                    if mine:
                        self._close()

    def _close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()
