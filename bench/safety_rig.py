"""A safety daemon at the stamped unit, and what keeps the machine busy beside it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from safety_unit import Unit

from nixel.safety.answers import SafetyRefused, SafetyUnavailable
from nixel.safety.client import SafetyClient
from nixel.safety.line import Line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nixel.safety.answers import Status

BUSY = 2
SUBSCRIBED = 50

# The lease is long, so that a measuring program that is itself held up does not end the output before the fault does.
INSTRUMENT = """
[safety]
rate = "100 Hz"
lease = "5 s"

[safety.surveillance]
adapter = "serial-surveillance"
path = "/nowhere"
simulated = true

[safety.interlocks.coil-temperature]
kind = "limit"
source = "analog:0"
unit = "degC"
warn = "50 degC"
trip = "60 degC"
sensor = "pt1000-class-b"
part = "insulation-class-f"
max_age = "250 ms"

[safety.interlocks.emergency-stop]
kind = "boolean"
source = "digital:0"
healthy = true
max_age = "250 ms"

[safety.interlocks.door]
kind = "boolean"
source = "digital:1"
healthy = true
max_age = "250 ms"

[safety.outputs.amplifier]
sink = "ac"
gated_by = ["coil-temperature", "emergency-stop", "door"]
"""

_SUBSCRIBERS = """
import json, selectors, socket, sys
waiting = selectors.DefaultSelector()
for _ in range(int(sys.argv[2])):
    line = socket.socket(socket.AF_UNIX)
    line.connect(sys.argv[1])
    line.sendall(json.dumps({"method": "io.nixel.Safety.Subscribe", "more": True}).encode() + b"\\n")
    waiting.register(line, selectors.EVENT_READ)
print("subscribed", flush=True)
while True:
    for key, _ in waiting.select():
        key.fileobj.recv(1 << 16)
"""


class Rig:
    """A folder with a unit in it, at which one daemon after another is started.

    Parameters
    ----------
    folder
        Empty, and removed by whoever made it.
    """

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "safety.sock"
        self.events = folder / "events.jsonl"
        self.client = SafetyClient(self.socket)
        file = folder / "instrument.toml"
        file.write_text(INSTRUMENT)
        self.unit = Unit(folder / "line")
        self._command = [
            *(sys.executable, "-m", "nixel.safety.daemon", "--instrument", str(file)),
            *("--socket", str(self.socket), "--surveillance", str(self.unit.link)),
            *("--events", str(self.events)),
        ]

    def exec(self) -> subprocess.Popen[str]:
        """Start a daemon and do not wait for it."""
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)

    @contextlib.contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[str]]:
        """Run a daemon that is ready, and end it."""
        process = self.exec()
        try:
            assert process.stdout is not None
            if not process.stdout.readline().startswith("ready"):
                msg = "the safety daemon did not become ready; its standard error says why"
                raise RuntimeError(msg)
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=10)

    def energise(self) -> Line:
        """Reset, arm, take the lease, enable; the connection that is returned holds the lease."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self.client.reset()
                break
            except SafetyRefused:
                # The first readings, or those after the fault was cleared, are still under way.
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.005)
        self.client.arm()
        line = Line(str(self.socket), 2.0)
        try:
            line.call("AcquireLease", name="measurement")
            line.call("Enable", output="amplifier")
        except (SafetyRefused, SafetyUnavailable):
            line.close()
            raise
        return line

    def healthy(self) -> Status:
        """Wait until everything is."""
        return self.client.wait_until_healthy()

    def close(self) -> None:
        """End the unit."""
        self.unit.close()


@contextlib.contextmanager
def load(socket: Path) -> Iterator[None]:
    """Keep `BUSY` processes computing and `SUBSCRIBED` clients listening."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    listening = subprocess.Popen(
        [sys.executable, "-c", _SUBSCRIBERS, str(socket), str(SUBSCRIBED)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "subscribed\n"
        yield
        assert listening.poll() is None, "the subscribed clients ended"
    finally:
        for process in (*busy, listening):
            process.kill()
            process.communicate()


def realtime() -> bool:
    """Whether this user may have realtime scheduling, as the daemon asks for it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        return False
    return True
