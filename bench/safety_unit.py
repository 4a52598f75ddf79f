"""The virtual surveillance unit as a process of its own, whose every move is stamped where it happens.

The wire is the one that the safety daemon has in the field: `SurveillanceUnit` behind `SerialLine`, a pseudo-terminal.
What is added is the heartbeat of a data acquisition, a hand that makes a fault when it is told to, and a time stamp
(`time.monotonic`, one clock for all processes of a machine) on every fault, on the first answer that carries it, and on
every move of the relay.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from safety_stamps import Device, say

from nixel.acquisition.virtual.sensors import RESTORED, Sensors
from nixel.acquisition.virtual.surveillance import SerialLine, SurveillanceUnit

if TYPE_CHECKING:
    from collections.abc import Iterable

# What the hand can do: the answer that the fault shows in.
FAULTS = {"contact": "GET:DIGITAL", "temperature": "GET:ANALOG"}
_CONTACT, _SENSOR, _HOT = "door", "coil-1", "90"  # degC
_BEAT = 0.1  # s between two changes of the heartbeat of the data acquisition
_PRIORITY = 20  # above the daemon's own: a unit is a processor that no host can delay


class Unit(Device):
    """Starts the unit's process and hears its stamps.

    Parameters
    ----------
    link
        Where the serial line is to be found.
    """

    faults = tuple(FAULTS)

    def __init__(self, link: Path) -> None:
        super().__init__(link, [__file__, str(link)])

    def wiring(self) -> list[str]:
        """Give the daemon's arguments that lead to it."""
        return ["--surveillance", str(self.link)]

    def tell(self, word: str) -> None:
        """Make one of `faults`, or "clear" it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Ask the process to end."""
        assert self._process.stdin is not None
        self._process.stdin.close()


class _Stamped(SurveillanceUnit):
    """The unit of the virtual scanner, all its sensors included, with the hand."""

    def __init__(self) -> None:
        self._felt = Sensors(time.monotonic)
        super().__init__(self._moved, self._felt)
        self._fault = ""
        self._answered = True

    def answer(self, request: str, now: float) -> str:
        self._felt.set_contacts(("heartbeat",), closed=int(time.monotonic() / _BEAT) % 2 == 0)
        fault = self._fault
        reply = super().answer(request, now)
        if not self._answered and FAULTS.get(fault) == request:
            self._answered = True
            say("answered")
        return reply

    def hand(self, words: Iterable[str]) -> None:
        say("ready")
        for word in words:
            if word == "clear":
                self._fault = ""
                self._do()
                say("cleared")
            else:
                # Stamped first: what the daemon is charged with can only be too long.
                say("fault")
                self._fault = word
                self._do()
                self._answered = False

    def _do(self) -> None:
        with self._lock:
            self._felt.set_contacts((_CONTACT,), closed=self._fault != "contact")
            self._felt.set_fault(_SENSOR, _HOT if self._fault == "temperature" else RESTORED)

    def _moved(self, on: bool, reason: str) -> None:
        say("on" if on else "off", reason)


def main(link: Path) -> None:
    """Be the unit until standard input ends."""
    sys.setswitchinterval(5e-4)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    unit = _Stamped()
    line = SerialLine(unit, link)
    stop = threading.Event()
    thread = threading.Thread(target=line.serve, args=(stop,))
    thread.start()
    unit.hand(word.strip() for word in sys.stdin)
    stop.set()
    thread.join()
    line.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
