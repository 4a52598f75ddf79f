"""The virtual surveillance unit: sensors, a watchdog and the gate of the amplifier, on a serial line.

Requests are ``!COMMAND*#``, answers ``TEXT#``. The unit trusts nobody: it opens the gate only while its
watchdog is fed and its emergency-stop chain is closed, and closes it by itself. What it closed by itself stays
closed until ``RESET:FAIL``. ``DISABLE:SURVEILLANCE`` makes it look on, but for the chain, which is hardware.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.wire import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nixel.acquisition.virtual.sensors import Sensors

__all__ = ["WATCHDOG_TIME", "SerialLine", "SurveillanceUnit"]

WATCHDOG_TIME = 0.1  # s
_TICK = 0.005  # s
_LONGEST_STEP = 0.02  # s that the unit's clock moves between two looks at its line
_LONGEST_REQUEST = 64


class SurveillanceUnit:
    """What the unit does, without its wire.

    Parameters
    ----------
    gate : callable
        Told (on, reason) whenever the gate of the amplifier moves.
    sensors : Sensors
        What it measures; its contacts `emergency-stop-1` and `-2` are the two channels of the chain.
    watchdog : float, optional
        How long after it was last fed the watchdog closes the gate [s].

    Attributes
    ----------
    cycle_time : float
        How long one round of the unit takes, in s; its wire says so.
    """

    def __init__(
        self, gate: Callable[[bool, str], None], sensors: Sensors, watchdog: float = WATCHDOG_TIME
    ) -> None:
        self._gate, self._sensors, self._patience = gate, sensors, watchdog
        self._lock = threading.Lock()
        self._ac = False
        self._watchdog = False
        self._surveillance = True
        self._failed = False
        self._fed: float | None = None
        self.cycle_time = 0.0

    def answer(self, request: str, now: float) -> str:
        """Answer one request at the time `now` in s; both without the wire's marks."""
        with self._lock:
            self._watch(now)
            if request == "VERSION":
                return "SURVBOX:3"
            if request == "GET:ANALOG":
                return "ANALOG:" + ";".join(f"{value:.3f}" for value in self._sensors.analog())
            if request == "GET:DIGITAL":
                return "DIGITAL:" + ";".join(str(int(closed)) for closed in self._sensors.digital())
            if request == "GET:STATUS":
                watched = f"WD={int(self._watchdog)};SV={int(self._surveillance)}"
                return f"STATUS:AC={int(self._ac)};{watched};FAIL={int(self._failed)}"
            if request == "GET:CYCLETIME":
                return f"CYCLETIME:{self.cycle_time * 1e6:.0f}"
            return self._act(request, now)

    def _act(self, request: str, now: float) -> str:
        if request in ("ENABLE:AC", "RESET:FAIL"):
            why_not = self._why_not(request, now)
            if why_not:
                return f"NAK:{why_not}"
        match request:
            case "ENABLE:AC":
                self._move(True, "")
            case "DISABLE:AC":
                self._move(False, "the safety output was disabled")
            case "ENABLE:WD":
                self._watchdog, self._fed = True, None
            case "DISABLE:WD":
                self._watchdog, self._fed = False, None
                self._move(False, "the watchdog was disabled")
            case "RESET:WD":
                self._fed = now
            case "RESET:FAIL":
                self._failed = False
            case "ENABLE:SURVEILLANCE" | "DISABLE:SURVEILLANCE":
                self._surveillance = request == "ENABLE:SURVEILLANCE"
            case "NOTAUS":
                self._fail("the emergency off was asked for")
            case _:
                return "NAK:unknown command"
        return "ACK"

    def _why_not(self, request: str, now: float) -> str:
        """Say why the gate may not open, or the failure not be forgotten; empty if it may."""
        if not self._sensors.chain_closed:
            return "the emergency stop is pulled"
        if request == "RESET:FAIL" or not self._surveillance:
            return ""
        if self._failed:
            return "the unit has switched off by itself; RESET:FAIL first"
        if not self._watchdog:
            return "the watchdog is not enabled"
        if self._fed is None or now - self._fed > self._patience:
            return "the watchdog has not been fed"
        return ""

    def tick(self, now: float) -> None:
        """Close the gate if the watchdog has starved."""
        with self._lock:
            self._watch(now)

    def set_contacts(self, names: Sequence[str], closed: bool) -> None:
        """Open or close contacts; opening the emergency-stop chain closes the gate at once.

        Raises
        ------
        ValueError
            There is no such contact.
        """
        with self._lock:
            self._sensors.set_contacts(names, closed)
            if not self._sensors.chain_closed:
                self._fail("the emergency stop was pulled")

    def _watch(self, now: float) -> None:
        starved = self._fed is None or now - self._fed > self._patience
        if self._ac and self._surveillance and starved:
            self._fail("the watchdog was not fed in time")

    def _fail(self, reason: str) -> None:
        self._failed = True
        self._move(False, reason)

    def _move(self, on: bool, reason: str) -> None:
        if on != self._ac:
            self._ac = on
            self._gate(on, reason)


class SerialLine:
    """A pseudo-terminal behind which a surveillance unit answers.

    Parameters
    ----------
    unit : SurveillanceUnit
    link : Path
        A symbolic link of this name is made to the terminal; one that is there already is replaced.

    Raises
    ------
    OSError
        The link cannot be made, or something else is there.
    """

    def __init__(self, unit: SurveillanceUnit, link: Path) -> None:
        self._unit = unit
        self._terminal = Terminal(link)
        self._master = self._terminal.master

    def serve(self, stop: threading.Event) -> None:
        """Answer until `stop` is set."""
        received, now, last = b"", 0.0, time.monotonic()
        while not stop.is_set():
            ready, _, _ = select.select([self._master], [], [], _TICK)
            # The unit's own clock: a host too busy to run this thread stops the unit as a whole, its watchdog
            # too, and what was sent meanwhile has not come late. For the same reason what has arrived counts
            # first.
            time_now = time.monotonic()
            now += min(time_now - last, _LONGEST_STEP)
            last = time_now
            if ready:
                received += os.read(self._master, 1024)
            while b"#" in received:
                request, _, received = received.partition(b"#")
                os.write(self._master, self._reply(request, now).encode() + b"#")
            if len(received) > _LONGEST_REQUEST:
                received = b""
                os.write(self._master, b"NAK:request too long#")
            self._unit.tick(now)
            self._unit.cycle_time = time.monotonic() - time_now

    def _reply(self, request: bytes, now: float) -> str:
        # Noise before the exclamation mark is what a real line delivers after plugging in.
        _, mark, body = request.rpartition(b"!")
        if not mark or not body.endswith(b"*"):
            return "NAK:syntax"
        return self._unit.answer(body[:-1].decode("ascii", "replace"), now)

    def close(self) -> None:
        """Remove the link, if it is still ours, and close the terminal."""
        self._terminal.close()
