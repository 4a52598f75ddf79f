"""A safety daemon at a stamped device, and what keeps the machine busy beside it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safety_panel import PanelDevice
from safety_unit import Unit

from nixel.acquisition.instrument_file import path_of
from nixel.safety.client import SafetyClient
from nixel.safety.client.answers import SafetyRefused, SafetyUnavailable
from nixel.safety.client.line import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from safety_stamps import Device

    from nixel.safety.client.answers import Status

BUSY = 2
SUBSCRIBED = 50
_SAYS = 30.0  # s

# Where the lease is set; it is made long, so that a measuring program that is itself held up does not end the output
# before the fault does.
_LEASE = 'lease = "500 ms"'


@dataclass(frozen=True, slots=True)
class Measured:
    """A shipped instrument that is measured.

    Attributes
    ----------
    name
        Of its file.
    output
        The one that trips.
    device
        Starts what its inputs and outputs are wired to.
    """

    name: str
    output: str
    device: Callable[[Path], Device]

    def text(self) -> str:
        """Give its file, all its interlocks included, but for a longer lease."""
        text = path_of(self.name).read_text(encoding="utf-8")
        if text.count(_LEASE) != 1:
            msg = f"the file of {self.name} has not exactly one {_LEASE}"
            raise RuntimeError(msg)
        return text.replace(_LEASE, 'lease = "5 s"')


INSTRUMENTS = {
    "scanner": Measured("virtual-scanner", "amplifier", Unit),
    "microscope": Measured("virtual-microscope", "light", PanelDevice),
}


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
    """A folder with a device in it, at which one daemon after another is started.

    Parameters
    ----------
    folder
        Empty, and removed by whoever made it.
    instrument
        One of `INSTRUMENTS`.
    """

    def __init__(self, folder: Path, instrument: str) -> None:
        self._measured = INSTRUMENTS[instrument]
        self.socket = folder / "safety.sock"
        self.events = folder / "events.jsonl"
        self.said = folder / "said"  # on standard error, by all daemons
        self.client = SafetyClient(self.socket)
        file = folder / "instrument.toml"
        file.write_text(self._measured.text(), encoding="utf-8")
        self.unit = self._measured.device(folder / "line")
        # As it is when it is installed: with the bytecode of everything, which the first start writes.
        self._environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._command = [
            *(sys.executable, "-m", "nixel.safety.daemon", "--instrument", str(file)),
            *("--socket", str(self.socket), *self.unit.wiring()),
            *("--events", str(self.events)),
        ]

    def exec(self) -> subprocess.Popen[str]:
        """Start a daemon and do not wait for it."""
        with self.said.open("a") as said:
            return subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=said, text=True, env=self._environment
            )

    @contextlib.contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[str]]:
        """Run a daemon that is ready, and end it."""
        process = self.exec()
        try:
            assert process.stdout is not None
            if not process.stdout.readline().startswith("ready"):
                msg = f"the safety daemon did not become ready: {self.said.read_text()[-2000:]}"
                raise RuntimeError(msg)
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=10)

    def lease(self) -> Line:
        """Take the lease; the connection that is returned holds it."""
        line = Line(str(self.socket), 2.0)
        try:
            line.call("AcquireLease", name="measurement")
        except (SafetyRefused, SafetyUnavailable):
            line.close()
            raise
        return line

    def energise(self, line: Line) -> None:
        """Reset, arm and enable over a connection that holds the lease."""
        deadline = time.monotonic() + 10
        while True:
            try:
                line.call("Reset")
                break
            except SafetyRefused:
                # The first readings, or those after the fault was cleared, are still under way.
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.002)
        line.call("RenewLease")
        line.call("Arm")
        line.call("Enable", output=self._measured.output)

    def healthy(self) -> Status:
        """Wait until everything is."""
        return self.client.wait_until_healthy()

    def close(self) -> None:
        """End the device."""
        self.unit.close()


@contextlib.contextmanager
def rig(instrument: str = "scanner") -> Iterator[Rig]:
    """Make a rig in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="nixel-safety-") as folder, contextlib.ExitStack() as stack:
        made = Rig(Path(folder), instrument)
        stack.callback(made.close)
        yield made


def progress(count: int, what: str) -> Iterator[int]:
    """Count to `count`, and say on a terminal every now and then how far that is."""
    began = said = time.monotonic()
    for number in range(count):
        yield number
        now = time.monotonic()
        if now - said >= _SAYS and sys.stderr.isatty():
            said = now
            left = (now - began) / (number + 1) * (count - number - 1)
            print(f"{number + 1} of {count} {what}, {left / 60:.0f} min left", file=sys.stderr, flush=True)


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
