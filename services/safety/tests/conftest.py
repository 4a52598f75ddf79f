"""What the tests of the safety daemon share: a small surveillance unit on a pty, and a real daemon."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
import tty
from typing import TYPE_CHECKING

import pytest

from nixel.safety.client import SafetyClient

if TYPE_CHECKING:
    from pathlib import Path

WATCHDOG = 0.1  # s without RESET:WD after which the unit drops its relay

INSTRUMENT = """
[instrument]
name = "bench"

[safety]
rate = "100 Hz"
lease = "500 ms"

[safety.surveillance]
adapter = "serial-surveillance"
path = "/nowhere/surveillance"
simulated = true

[safety.interlocks.coil-temperature]
kind = "limit"
source = "analog:0"
unit = "degC"
warn = "50 degC"
trip = "60 degC"
sensor = "pt1000-class-b"
part = "insulation-class-f"
max_age = "400 ms"

[safety.interlocks.emergency-stop]
kind = "boolean"
source = "digital:0"
healthy = true
max_age = "400 ms"
message = "emergency stop pressed"

[safety.outputs.amplifier]
sink = "ac"
gated_by = ["coil-temperature", "emergency-stop"]
readback_within = "400 ms"
"""


class Unit:
    """A surveillance unit behind a pseudo-terminal, with its own watchdog on its own relay."""

    def __init__(self) -> None:
        self.analog = ["25.0", "24.0"]
        self.digital = ["1", "1"]
        self.banner = "SURVBOX:3"
        self.silent = False
        self.watchdog = WATCHDOG
        self.relay = False
        self.watched = True
        self.failed = False  # has switched off by itself
        self.cycle = "250"  # us
        self.fed = 0.0
        self.relay_log: list[tuple[float, bool, str]] = []  # when, on or off, why
        self.commands: list[tuple[float, str]] = []
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._plugged = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        self._plugged = False
        self._thread.join(2.0)

    def count(self, command: str) -> int:
        return sum(1 for _, said in tuple(self.commands) if said == command)

    def _run(self) -> None:
        # The real one is a processor of its own; this one must not be held up by a busy machine either.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
        buffer = b""
        while self._plugged:
            ready, _, _ = select.select([self._master], [], [], 0.002)
            now = time.monotonic()
            if ready:
                buffer += os.read(self._master, 4096)
                *frames, buffer = buffer.split(b"#")
                for frame in frames:
                    command = frame.decode().removeprefix("!").removesuffix("*")
                    self.commands.append((now, command))
                    reply = self._answer(command, now)
                    if not self.silent:
                        os.write(self._master, f"{reply}#".encode())
            # After what has come in, so that being held up ourselves does not look like a silent daemon.
            if self.watched and self.relay and now - self.fed > self.watchdog:
                self.failed = True
                self._switch(False, "watchdog")
        self._switch(False, "unplugged")
        os.close(self._slave)
        os.close(self._master)

    def _switch(self, on: bool, why: str) -> None:
        if on != self.relay:
            self.relay = on
            self.relay_log.append((time.monotonic(), on, why))

    def _answer(self, command: str, now: float) -> str:
        match command:
            case "VERSION":
                return self.banner
            case "GET:ANALOG":
                return "ANALOG:" + ";".join(self.analog)
            case "GET:DIGITAL":
                return "DIGITAL:" + ";".join(self.digital)
            case "GET:STATUS":
                return f"STATUS:AC={int(self.relay)};WD={int(self.watched)};SV=1;FAIL={int(self.failed)}"
            case "GET:CYCLETIME":
                return f"CYCLETIME:{self.cycle}"
            case "ENABLE:AC" if self.failed:
                return "NAK:RESET:FAIL first"
            case "ENABLE:AC":
                self._switch(True, command)
            case "DISABLE:AC":
                self._switch(False, command)
            case "ENABLE:WD":
                self.watched = True
            case "DISABLE:WD":
                self.watched = False
            case "RESET:WD":
                self.fed = now
            case "RESET:FAIL":
                self.failed = False
            case "NOTAUS":
                self.failed = True
                self._switch(False, command)
            case "ENABLE:SURVEILLANCE" | "DISABLE:SURVEILLANCE":
                pass
            case _:
                return "NAK:unknown command"
        return "ACK"


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _end_with_us() -> None:
    """Have a daemon end when a run of tests is killed: it would answer on the pseudo-terminals of the next one."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Daemon:
    """A nixel-safetyd process and where it listens."""

    def __init__(self, folder: Path, surveillance: str, instrument: str = INSTRUMENT) -> None:
        self.folder = folder
        self.socket = folder / "safety.sock"
        self.events = folder / "events.jsonl"
        self.file = folder / "instrument.toml"
        self.file.write_text(instrument)
        self.command = [
            *(sys.executable, "-m", "nixel.safety.daemon", "--instrument", str(self.file)),
            *("--socket", str(self.socket), "--surveillance", surveillance, "--events", str(self.events)),
        ]
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_end_with_us,
        )
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline()
        self.client = SafetyClient(self.socket)

    def wait_for(self, what, timeout: float = 3.0):
        """Follow the daemon until `what(status)` holds; fail with the last status if it never does."""
        deadline = time.monotonic() + timeout
        for status in self.client.subscribe():
            if what(status):
                return status
            assert time.monotonic() < deadline, status
        raise AssertionError("the daemon went away")

    def healthy(self) -> None:
        self.wait_for(lambda status: all(i.healthy for i in status.interlocks))

    def armed(self) -> None:
        self.healthy()
        self.client.reset()
        self.client.arm()

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(5)


@pytest.fixture
def unit():
    made = Unit()
    yield made
    made.unplug()


@pytest.fixture
def start_daemon(tmp_path):
    started: list[Daemon] = []

    def start(surveillance: str, instrument: str = INSTRUMENT) -> Daemon:
        folder = tmp_path / f"daemon{len(started)}"
        folder.mkdir()
        started.append(Daemon(folder, surveillance, instrument))
        return started[-1]

    yield start
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.process.kill()
        with contextlib.suppress(ValueError):
            daemon.process.communicate(timeout=5)


@pytest.fixture
def daemon(unit, start_daemon):
    return start_daemon(unit.path)


@pytest.fixture
def instrument_text():
    return INSTRUMENT
