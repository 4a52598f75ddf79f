"""The wire of a simulated serial device: a pseudo-terminal that can be unplugged, plugged in again, and disturbed.

What is behind the wire is a `Machine`, which knows its protocol and no file, socket or process; `run` makes a program
of one. A hand at the wire speaks on the program's standard input, one line a request, each answered by a line of JSON
on its standard output::

    unplug           the path is gone and the line dead; the machine has lost its power
    plug             the same path is there again, and the machine comes up
    garbage          the next bytes that the machine sends arrive as others
    cut              what the machine sends next arrives half, and nothing after it until it is asked again
    slow SECONDS     from now on everything arrives so much later
    silent           from now on nothing arrives; slow 0 ends it
    anything else    is for the machine
"""

from __future__ import annotations

import argparse
import json
import math
import os
import select
import signal
import sys
import time
import tty
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["HandError", "LineMachine", "Machine", "Terminal", "parser", "run", "serve_lines"]

_TICK = 0.01  # s between two looks at a machine that is busy
_LONGEST_REQUEST = 256


class HandError(Exception):
    """A hand asked for what cannot be; the text says why."""


class Machine(Protocol):
    """What is behind the wire. Times are in s and never go back."""

    @property
    def busy(self) -> bool:
        """Whether it may say something by itself soon."""

    def power_on(self, now: float) -> bytes:
        """Come up, and return what it says then."""

    def receive(self, data: bytes, now: float) -> bytes:
        """Take what was sent, and return what it says."""

    def tick(self, now: float) -> bytes:
        """Return what it says by itself."""

    def hand(self, words: Sequence[str]) -> str:
        """Do what a hand does, and return how it is now.

        Raises
        ------
        HandError
        """


class LineMachine:
    """A machine that answers lines and nothing else.

    Parameters
    ----------
    answer : callable
        From a line without its end to the answer without its end, or None for no answer.
    hand : callable, optional
        From the words of a hand's request to how things are then.
    """

    busy = False

    def __init__(
        self, answer: Callable[[str], str | None], hand: Callable[[Sequence[str]], str] | None = None
    ) -> None:
        self._answer, self._hand, self._received = answer, hand, b""

    def power_on(self, now: float) -> bytes:  # noqa: ARG002 (a protocol)
        """Come up silently."""
        self._received = b""
        return b""

    def receive(self, data: bytes, now: float) -> bytes:  # noqa: ARG002
        """Answer every whole line."""
        self._received += data
        *lines, self._received = self._received.split(b"\n")
        if len(self._received) > _LONGEST_REQUEST:
            self._received = b""
        answers = (self._answer(line.decode("ascii", "replace").strip()) for line in lines)
        return b"".join(f"{answer}\r\n".encode() for answer in answers if answer is not None)

    def tick(self, now: float) -> bytes:  # noqa: ARG002
        """Say nothing by itself."""
        return b""

    def hand(self, words: Sequence[str]) -> str:
        """Hand it on."""
        if self._hand is None:
            raise HandError(f"found {' '.join(words)!r}; expected what every wire understands")
        return self._hand(words)


class Terminal:
    """A pseudo-terminal at a path of its own.

    Parameters
    ----------
    link : Path
        A symbolic link of this name is made to the terminal; one that is there already is replaced.

    Raises
    ------
    OSError
        The link cannot be made, or something else is there.
    """

    def __init__(self, link: Path) -> None:
        if link.exists() and not link.is_symlink():
            raise FileExistsError(17, "something that is no symbolic link is in the way", str(link))
        self._link = link
        # The slave stays open here, so that the line outlives a client's closing it.
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        fresh = link.with_name(f".{link.name}.{os.getpid()}")
        fresh.symlink_to(self.path)
        fresh.replace(link)

    def close(self) -> None:
        """Remove the link, if it is still ours, and close the terminal."""
        if self._link.is_symlink() and str(self._link.readlink()) == self.path:
            self._link.unlink()
        os.close(self.master)
        os.close(self._slave)


class _Wire:
    """Carries bytes between a machine and a terminal, with the faults of a real wire."""

    def __init__(self, machine: Machine, link: Path) -> None:
        self._machine, self._link = machine, link
        self._due: deque[tuple[float, bytes]] = deque()
        self._delay, self._fault = 0.0, ""
        self._terminal: Terminal | None = None
        self.plug()

    def plug(self) -> None:
        if self._terminal is None:
            self._terminal = Terminal(self._link)
            self._fault = ""
            self._say(self._machine.power_on(time.monotonic()))

    def unplug(self) -> None:
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
            self._due.clear()

    def do(self, words: list[str]) -> str:
        match words:
            case ["unplug"]:
                self.unplug()
            case ["plug"]:
                self.plug()
            case ["garbage" | "cut" as fault]:
                self._fault = fault
            case ["silent"]:
                self._delay = math.inf
            case ["slow", seconds]:
                try:
                    self._delay = float(seconds)
                except ValueError:
                    raise HandError(f"expected a number of s, found {seconds!r}") from None
            case _:
                return self._machine.hand(words)
        return "ok"

    def wait(self, *others: int) -> list[int]:
        """Wait for something to happen; which of the other descriptors can be read."""
        limit = _TICK if self._machine.busy else None
        if self._due:
            limit = min(max(0.0, self._due[0][0] - time.monotonic()), math.inf if limit is None else limit)
        master = [] if self._terminal is None else [self._terminal.master]
        ready, _, _ = select.select([*master, *others], [], [], limit)
        now = time.monotonic()
        if self._terminal is not None:
            if self._terminal.master in ready:
                self._say(self._machine.receive(os.read(self._terminal.master, 1024), now))
            self._say(self._machine.tick(now))
            while self._due and self._due[0][0] <= time.monotonic():
                os.write(self._terminal.master, self._due.popleft()[1])
        return [other for other in others if other in ready]

    def _say(self, data: bytes) -> None:
        if not data or math.isinf(self._delay):
            return
        if self._fault:
            half = data[: max(1, len(data) // 2)].rstrip(b"\r\n")
            data = half if self._fault == "cut" else b"\xff\x00\xa5" + bytes(b ^ 0x80 for b in half) + b"\n"
            self._fault = ""
        self._due.append((time.monotonic() + self._delay, data))


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Make the command line that every simulated serial device has."""
    made = argparse.ArgumentParser(prog=name, description=description)
    made.add_argument("--link", type=Path, required=True, help="symbolic link to its serial line")
    made.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    return made


def run(machine: Machine, options: argparse.Namespace, name: str) -> int:
    """Serve a machine until it is told to end.

    Prints one line of JSON when it is ready, ``{"link": PATH, "pid": NUMBER}``, and one for each request of a hand.

    Parameters
    ----------
    machine : Machine
    options : argparse.Namespace
        Of a command line that `parser` made.
    name : str
        Of the program.

    Returns
    -------
    int
        Exit status: 0, or 2 if the link cannot be made.
    """
    stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.eventfd_write(stop, 1))
    try:
        wire = _Wire(machine, options.link)
    except OSError as error:
        print(f"{name}: --link {options.link}: {error.strerror}", file=sys.stderr)
        return 2
    print(json.dumps({"link": str(options.link), "pid": os.getpid()}), flush=True)
    asked, hands = b"", [0]
    try:
        while stop not in (ready := wire.wait(stop, *hands)):
            if 0 not in ready:
                continue
            data = os.read(0, 4096)
            if not data:
                if options.exit_with_parent:
                    break
                hands = []
            *requests, asked = (asked + data).split(b"\n")
            for request in requests:
                print(json.dumps(_do(wire, request.decode("utf-8", "replace").split())), flush=True)
    finally:
        wire.unplug()
    return 0


def _do(wire: _Wire, words: list[str]) -> dict[str, str]:
    try:
        return {"done": wire.do(words)}
    except (HandError, OSError) as error:
        return {"error": str(error)}


def serve_lines(
    answer: Callable[[str], str | None],
    name: str,
    description: str | None = None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a simulated device that answers lines: the whole program of a simple one.

    Parameters
    ----------
    answer : callable
        From a line to its answer, both without their ends; None for no answer.
    name : str
        Of the program.
    description : str, optional
    arguments : sequence of str, optional
        The command line; `sys.argv` by default.

    Returns
    -------
    int
        Exit status.
    """
    return run(LineMachine(answer), parser(name, description).parse_args(arguments), name)
