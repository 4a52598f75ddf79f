"""What happens at a simulated device, stamped where it happens and heard by the measuring program.

Stamps are lines of JSON on the device's standard output; all processes of a machine have one clock, `time.monotonic`.
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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stamp:
    """Something that happened at the device.

    Attributes
    ----------
    at
        When [s, monotonic].
    what
        "ready", "fault", "answered" (the first answer that carries it), "on", "off" or "cleared".
    why
        The device's reason, for "off".
    """

    at: float
    what: str
    why: str = ""


class Device:
    """A simulated device in a process of its own, whose stamps are heard.

    Parameters
    ----------
    link
        Where the daemon finds it.
    command
        What runs it, after the interpreter. A first line that is no stamp says that it is ready.

    Attributes
    ----------
    faults
        What `tell` can make, by name.
    """

    faults: tuple[str, ...] = ()

    def __init__(self, link: Path, command: Sequence[str]) -> None:
        self.link = link
        self._heard: queue.SimpleQueue[Stamp] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.wait_for("ready", 10.0)

    def wiring(self) -> list[str]:
        """Give the daemon's arguments that lead to it."""
        raise NotImplementedError

    def tell(self, word: str) -> None:
        """Make one of `faults`, or "clear" it."""
        raise NotImplementedError

    def end(self) -> None:
        """Ask the process to end."""
        raise NotImplementedError

    def wait_for(self, what: str, timeout: float) -> tuple[Stamp, list[Stamp]]:
        """Wait for a stamp; give it and those that came before it, or raise TimeoutError."""
        before: list[Stamp] = []
        deadline = time.monotonic() + timeout
        while True:
            try:
                stamp = self._heard.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                msg = f"the device said no {what!r} within {timeout:g} s, only {[s.what for s in before]}"
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
        """End the device."""
        self.end()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            said = json.loads(line)
            self._heard.put(Stamp(**said) if "what" in said else Stamp(time.monotonic(), "ready"))


def say(what: str, why: str = "") -> None:
    """Stamp something that happens now."""
    text = json.dumps({"at": time.monotonic(), "what": what, "why": why})
    # One write for each line, so that two threads do not mix theirs.
    os.write(1, f"{text}\n".encode())
