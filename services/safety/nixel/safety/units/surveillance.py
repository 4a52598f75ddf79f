"""The thread that talks to the surveillance unit, so that the control loop never waits on a serial line."""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TYPE_CHECKING, Protocol

from nixel.safety.units.survbox import PARTING, PARTING_IN_NEED, Demand, Link, Timing
from nixel.safety.units.survbox_replies import LinkError
from nixel.safety.units.unit import RETRY, Command, UnitError, View
from nixel.safety.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.safety.units.unit import Waker

SINK = "ac"


class Port(Protocol):
    """An opened serial line that never blocks."""

    def fileno(self) -> int:
        """Give the file descriptor."""
        ...

    def close(self) -> None:
        """Close the line."""
        ...


def open_serial(path: str) -> Port:
    """Open a serial line at 115200 baud, 8N1, for ourselves alone.

    Parameters
    ----------
    path
        The device, or a pseudo-terminal.

    Returns
    -------
    Port
        Opened, its input flushed.

    Raises
    ------
    OSError
        If it cannot be opened or is in use.
    """
    import serial  # here, so that the daemon is ready before it is loaded

    port: Port = serial.Serial(path, baudrate=115200, timeout=0, write_timeout=0, exclusive=True)
    return port


class Surveillance:
    """A surveillance unit on a serial line, in a thread of its own.

    A `nixel.safety.units.unit.Unit`. A line that cannot be opened is tried again for ever.

    Parameters
    ----------
    path
        The serial device.
    timing
        The pace of the link.
    opener, clock
        How to open the line and read the time.
    news
        Woken when everything has been asked anew while the relay is to be on.
    """

    def __init__(
        self,
        path: str,
        timing: Timing,
        opener: Callable[[str], Port] = open_serial,
        clock: Callable[[], float] = time.monotonic,
        news: Waker | None = None,
    ) -> None:
        self.name = "surveillance"
        self._news = news
        self.path = path
        self.view = View()
        self._timing = timing
        self._opener = opener
        self._clock = clock
        self._demand = Demand()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = False
        self._thread = Worker(self._run, "surveillance")

    def start(self) -> None:
        """Begin to talk to the unit."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.running

    def command(self, command: Command) -> None:
        """Hand over what the control loop wants; returns at once.

        Parameters
        ----------
        command
            The newest; an unchanged one costs nothing.
        """
        demand = Demand(SINK in command.on, command.permitted, command.beats)
        if demand != self._demand:
            self._demand = demand
            os.eventfd_write(self._wake, 1)

    def close(self, timeout: float) -> None:
        """Switch the relay off and end the thread.

        Parameters
        ----------
        timeout
            How long to wait for that [s].

        Raises
        ------
        UnitError
            If the unit has not confirmed it by then.
        """
        self.command(Command())
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(timeout)
        if self._thread.is_alive():
            what = f"has not confirmed within {timeout * 1e3:.0f} ms that its relay is off"
            msg = f"the surveillance unit at {self.path} {what}; its own watchdog drops it"
            raise UnitError(msg)

    # --- in the thread ---

    def _run(self) -> None:
        while not self._stopping:
            try:
                port = self._opener(self.path)
            except OSError as error:
                why = os.strerror(error.errno) if error.errno else str(error)
                self._fail(f"cannot be opened: {why}")
                self._sleep(RETRY)
                continue
            parting = PARTING_IN_NEED
            try:
                self._converse(port.fileno())
                parting = PARTING
            except LinkError as error:
                self._fail(str(error))
            except OSError as error:
                self._fail(f"was lost ({error.strerror or error}); is it unplugged?")
            finally:
                # Whatever broke, a unit that still listens must not keep its relay on.
                with contextlib.suppress(OSError):
                    os.write(port.fileno(), parting)
                port.close()
            self._sleep(RETRY)

    def _converse(self, line: int) -> None:
        """Keep the link going until it breaks or the daemon ends."""
        link = Link(self._timing, self._clock())
        demanded, either = select.poll(), select.poll()
        demanded.register(self._wake, select.POLLIN)
        either.register(self._wake, select.POLLIN)
        either.register(line, select.POLLIN)
        while not (self._stopping and link.quiet()):
            now = self._clock()
            link.demand(self._demand)
            known = link.rounds
            frames = link.poll(now)
            if frames:
                _write(line, frames)
            if self._news is not None and link.rounds != known and self._demand.on:
                self._news.wake()
            gathering = link.gathering(now)
            woken = demanded.poll(gathering * 1e3) if gathering > 0.0 else []
            for descriptor, _ in woken or either.poll(max(0.0, link.next_time(now) - gathering) * 1e3):
                if descriptor == self._wake:
                    self._drain()
                else:
                    self._take(link, line)

    def _take(self, link: Link, line: int) -> None:
        # A write to an unplugged line succeeds; only a read tells.
        data = os.read(line, 4096)
        if not data:
            msg = "was lost (its line closed); is it unplugged?"
            raise LinkError(msg)
        link.feed(data)
        if link.readings and link.readings is not self.view.readings:
            self.view = View(link.readings)

    def _fail(self, text: str) -> None:
        # The old readings stay, and grow stale by themselves.
        self.view = View(self.view.readings, f"the surveillance unit at {self.path} {text}")

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _sleep(self, seconds: float) -> None:
        deadline = self._clock() + seconds
        while not self._stopping and (left := deadline - self._clock()) > 0:
            select.select([self._wake], [], [], left)
            self._drain()


def _write(line: int, frames: bytes) -> None:
    try:
        written = os.write(line, frames)
    except BlockingIOError:
        written = 0
    if written != len(frames):
        msg = "does not take what is sent to it; is its line blocked?"
        raise LinkError(msg)
