"""The virtual surveillance unit as a process of its own, whose every move is stamped where it happens.

The wire is the one that the safety daemon has in the field: `SurveillanceUnit` behind `SerialLine`, a pseudo-terminal.
What is added is the heartbeat of a data acquisition, a hand that makes a fault when it is told to, and a time stamp
(`time.monotonic`, one clock for all processes of a machine) on every fault, on the first answer that carries it, and on
every move of the relay.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.sensors import RESTORED, Sensors
from nixel.acquisition.virtual.surveillance import SerialLine, SurveillanceUnit

if TYPE_CHECKING:
    from collections.abc import Iterable

# What the hand can do: the answer that the fault shows in.
FAULTS = {"contact": "GET:DIGITAL", "temperature": "GET:ANALOG"}
_CONTACT, _SENSOR, _HOT = "door", "coil-1", "90"  # degC
_BEAT = 0.1  # s between two changes of the heartbeat of the data acquisition
_PRIORITY = 20  # above the daemon's own: a unit is a processor that no host can delay


@dataclass(frozen=True, slots=True)
class Stamp:
    """Something that happened at the unit.

    Attributes
    ----------
    at
        When [s, monotonic].
    what
        "fault", "answered" (the first answer that carries it), "on", "off" or "cleared".
    why
        The unit's reason, for "off".
    """

    at: float
    what: str
    why: str = ""


class Unit:
    """Starts the unit's process and hears its stamps.

    Parameters
    ----------
    link
        Where the serial line is to be found.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self._heard: queue.SimpleQueue[Stamp] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(link)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.wait_for("cleared", 10.0)

    def tell(self, word: str) -> None:
        """Make one of `FAULTS`, or "clear" it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def wait_for(self, what: str, timeout: float) -> tuple[Stamp, list[Stamp]]:
        """Wait for a stamp; give it and those that came before it, or raise TimeoutError."""
        before: list[Stamp] = []
        deadline = time.monotonic() + timeout
        while True:
            try:
                stamp = self._heard.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                msg = f"the unit said no {what!r} within {timeout:g} s, only {[s.what for s in before]}"
                raise TimeoutError(msg) from None
            if stamp.what == what:
                return stamp, before
            before.append(stamp)

    def so_far(self) -> list[Stamp]:
        """Give the stamps that nobody has waited for."""
        found: list[Stamp] = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._heard.get_nowait())
        return found

    def close(self) -> None:
        """End the unit."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._heard.put(Stamp(**json.loads(line)))


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
            _say("answered")
        return reply

    def hand(self, words: Iterable[str]) -> None:
        _say("cleared")
        for word in words:
            if word == "clear":
                self._fault = ""
                self._do()
                _say("cleared")
            else:
                # Stamped first: what the daemon is charged with can only be too long.
                _say("fault")
                self._fault = word
                self._do()
                self._answered = False

    def _do(self) -> None:
        with self._lock:
            self._felt.set_contacts((_CONTACT,), closed=self._fault != "contact")
            self._felt.set_fault(_SENSOR, _HOT if self._fault == "temperature" else RESTORED)

    def _moved(self, on: bool, reason: str) -> None:
        _say("on" if on else "off", reason)


def _say(what: str, why: str = "") -> None:
    text = json.dumps({"at": time.monotonic(), "what": what, "why": why})
    # One write for each line, so that the two threads do not mix theirs.
    os.write(1, f"{text}\n".encode())


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
