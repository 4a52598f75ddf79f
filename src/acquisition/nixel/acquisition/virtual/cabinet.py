"""The virtual scanner's cabinet: its surveillance unit in a process of its own, and the sensors that it reads.

The unit is a piece of hardware that no computation can delay, so it shares neither interpreter nor lock with the
simulation of the signal. The two talk over a socket pair, a line a message: the scanner says what it transmits, that
it is alive, and what a hand at the front panel does, the last answered with ``DONE`` or ``ERROR``; the unit says when
its gate moves. Unlike the wire that it stands for, such a message takes time: before the scanner acts upon the gate it
lets the unit answer once more, after which it has heard all that the unit said before.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from nixel.acquisition.virtual.sensors import CHAIN, Sensors
from nixel.acquisition.virtual.surveillance import WATCHDOG_TIME, SerialLine, SurveillanceUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Cabinet", "main"]

_PATIENCE = 10.0  # s
_PRIORITY = 20  # above the safety daemon's own: hardware does not wait for a program


class Cabinet:
    """The scanner's side: starts the unit's process, passes on what it feels, hears its gate.

    Parameters
    ----------
    link : Path
        Symbolic link that is made to the unit's serial line.
    gate : callable
        Told (on, reason) whenever the gate of the amplifier moves; from a thread.
    watchdog : float, optional
        How long after it was last fed the unit's watchdog closes the gate [s].

    Raises
    ------
    OSError
        The link cannot be made.
    """

    def __init__(
        self, link: Path, gate: Callable[[bool, str], None], watchdog: float = WATCHDOG_TIME
    ) -> None:
        self._gate = gate
        self._lock = threading.Lock()
        self._open: frozenset[str] = frozenset()
        self._beating, self._level = True, True
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", __name__, "--link", str(link), "--fd", str(theirs.fileno())),
                    *("--watchdog", str(watchdog)),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._socket = ours
        self._thread = threading.Thread(target=self._listen, name="cabinet", daemon=True)
        self._thread.start()
        try:
            answer = self._done.get(timeout=_PATIENCE)
        except queue.Empty:
            answer = "it did not become ready"
        if answer != "DONE":
            self.close()
            raise OSError(0, answer)

    @property
    def chain_closed(self) -> bool:
        """Whether the emergency-stop chain is closed."""
        return self._open.isdisjoint(CHAIN)

    def set_emergency_stop(self, pulled: bool) -> None:
        """Open or close both channels of the emergency-stop chain; opening it closes the gate at once."""
        self._set_contacts(CHAIN, not pulled)

    def set_contact(self, name: str, closed: bool) -> None:
        """Open or close a contact.

        Raises
        ------
        ValueError
            There is no such contact.
        """
        self._set_contacts((name,), closed)

    def set_fault(self, name: str, fault: str) -> None:
        """Break, freeze or restore a sensor, or let it give one number; see `Sensors.set_fault`.

        Raises
        ------
        ValueError
            There is no such sensor or fault.
        """
        self._tell(f"SENSOR {name} {fault}")

    def set_temperature(self, temperature: float) -> None:
        """Put the coil at a temperature in degC, from which the model goes on."""
        self._tell(f"TEMPERATURE {temperature!r}")

    def set_coolant(self, flowing: bool) -> None:
        """Start or stop the coolant's pump."""
        self._tell(f"COOLANT {int(flowing)}")

    def set_heartbeat(self, beating: bool) -> None:
        """Let the scanner's heartbeat go on or stop."""
        self._beating = beating

    def settle(self) -> None:
        """Return when every move of the gate until now has been told.

        The unit answers on its serial line without waiting for the scanner, so a client that was told there that
        the gate is open may be here first.
        """
        try:
            self._tell("SETTLE")
        except OSError:
            # The unit has gone and its gate with it, which is the last thing that the listener tells.
            self._thread.join(_PATIENCE)

    def transmit(self, power: float, currents: Sequence[float]) -> None:
        """Say what is transmitted: power relative to the nominal one, amplitude of each axis' current in A."""
        self._say("TRANSMIT", power, *currents)

    def beat(self) -> None:
        """Say that the scanner is alive; to be called again and again."""
        if self._beating:
            self._level = not self._level
            self._say("BEAT", int(self._level))

    def close(self) -> None:
        """End the unit; its gate closes with it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        self._socket.close()

    def _tell(self, message: str) -> None:
        with self._lock:
            try:
                self._socket.sendall(f"{message}\n".encode())
                answer = self._done.get(timeout=_PATIENCE)
            except (OSError, queue.Empty) as error:
                raise OSError(0, "the surveillance unit's process has gone") from error
        if answer.startswith("ERROR "):
            raise ValueError(answer.removeprefix("ERROR "))

    def _set_contacts(self, names: Sequence[str], closed: bool) -> None:
        self._tell(f"CONTACT {int(closed)} {' '.join(names)}")
        self._open = self._open.difference(names) if closed else self._open.union(names)

    def _say(self, *words: str | float) -> None:
        # Not waited for: the scanner says it under the very lock that the gate's next move may be waiting for.
        with contextlib.suppress(OSError):
            self._socket.sendall(f"{' '.join(map(str, words))}\n".encode())

    def _listen(self) -> None:
        with contextlib.suppress(OSError), self._socket.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                kind, _, rest = line.rstrip("\n").partition(" ")
                if kind == "GATE":
                    on, _, reason = rest.partition(" ")
                    self._gate(on == "1", reason)
                else:
                    self._done.put(line.rstrip("\n"))
        self._gate(False, "the surveillance unit is gone")


class _Unit:
    """The unit's side: the real thing's behaviour, with sensors that feel the transmission."""

    def __init__(self, link: Path, answers: TextIO, watchdog: float) -> None:
        self._answers = answers
        self._saying = threading.Lock()
        self._sensors = Sensors(time.monotonic)
        self._unit = SurveillanceUnit(self._moved, self._sensors, watchdog)
        self._line = SerialLine(self._unit, link)

    def serve(self, messages: TextIO) -> None:
        """Work until the scanner hangs up."""
        stop = threading.Event()
        thread = threading.Thread(target=self._line.serve, args=(stop,))
        thread.start()
        self.say("DONE")
        with contextlib.suppress(OSError):
            for line in messages:
                self._obey(line.split())
        stop.set()
        thread.join()
        self._line.close()

    def say(self, message: str) -> None:
        """Tell the scanner; one that has hung up ends this process soon anyway."""
        with self._saying, contextlib.suppress(OSError):
            self._answers.write(f"{message}\n")
            self._answers.flush()

    def _moved(self, on: bool, reason: str) -> None:
        self.say(f"GATE {int(on)} {reason}")

    def _obey(self, words: list[str]) -> None:
        match words:
            case ["TRANSMIT", power, *currents]:
                self._sensors.transmit(float(power), [float(current) for current in currents])
            case ["BEAT", level]:
                self._unit.set_contacts(("heartbeat",), level == "1")
            case _:
                self.say(self._handle(words))

    def _handle(self, words: list[str]) -> str:
        """Do what a hand at the front panel does, and answer."""
        try:
            match words:
                case ["CONTACT", closed, *names]:
                    self._unit.set_contacts(names, closed == "1")
                case ["SENSOR", name, fault]:
                    self._sensors.set_fault(name, fault)
                case ["TEMPERATURE", temperature]:
                    self._sensors.set_temperature(float(temperature))
                case ["COOLANT", flowing]:
                    self._sensors.set_coolant(flowing == "1")
                case ["SETTLE"]:
                    pass  # the answer is all
                case _:
                    return f"ERROR found {words}, which is nothing that a hand does"
        except ValueError as error:
            return f"ERROR {error}"
        return "DONE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the unit until the scanner hangs up; started by `Cabinet` alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--link", type=Path, required=True)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--watchdog", type=float, required=True)
    options = parser.parse_args(arguments)
    sys.setswitchinterval(5e-4)
    # Hardware keeps its time whatever a computer does beside it.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    with (
        socket.socket(fileno=options.fd) as connection,
        connection.makefile("r", encoding="utf-8") as messages,
        connection.makefile("w", encoding="utf-8") as answers,
    ):
        try:
            unit = _Unit(options.link, answers, options.watchdog)
        except OSError as error:
            answers.write(f"{error.strerror or error}\n")
            return 2
        unit.serve(messages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
