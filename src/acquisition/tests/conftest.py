"""The virtual scanner as a process, and a stand-in for the safety daemon on its serial line."""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time

import pytest

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.instrument import load_instrument
from nixel.safety.client import LeaseLost


class SerialClient:
    """The surveillance unit's line, as a person at a terminal would use it."""

    def __init__(self, path):
        self._file = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self._lock = threading.Lock()

    def send(self, data, timeout=1.0):
        with self._lock:
            os.write(self._file, data)
            answer = b""
            while not answer.endswith(b"#"):
                ready, _, _ = select.select([self._file], [], [], timeout)
                assert ready, f"no answer to {data!r}, only {answer!r}"
                part = os.read(self._file, 100)
                assert part, "the line was hung up"
                answer += part
            return answer.decode()

    def ask(self, command):
        return self.send(f"!{command}*#".encode())

    def close(self):
        os.close(self._file)


class StandInSafety:
    """Does for a test what the safety daemon does: feeds the watchdog and enables the amplifier.

    Its lease is lost with `reason` as soon as the unit reports the amplifier off.
    """

    reason = "the stand-in for the safety daemon saw the amplifier go off"

    def __init__(self, line):
        self.line, self.events = line, []
        self._lost = self._on = False

    @contextlib.contextmanager
    def lease(self, name):
        self.events.append(f"lease {name}")
        self._lost, end = False, threading.Event()
        for command in ("ENABLE:WD", "RESET:FAIL"):
            assert self.line.ask(command) == "ACK#"
        thread = threading.Thread(target=self._feed, args=(end,))
        thread.start()
        try:
            yield self
        finally:
            end.set()
            thread.join()
            self._on = False
            with contextlib.suppress(AssertionError, OSError):
                self.line.ask("DISABLE:WD")
            self.events.append("released")

    def _feed(self, end):
        # As punctual as the daemon that it stands for, which asks for the same.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
        try:
            while not end.wait(0.01):
                self.line.ask("RESET:WD")
                if self._on and "AC=0" in self.line.ask("GET:STATUS"):
                    self._lost = True
        except (AssertionError, OSError):
            self._lost = True  # silence of the line is as good as an open gate

    def enable(self, output):
        self.events.append(f"enable {output}")
        self.line.ask("RESET:WD")
        assert self.line.ask("ENABLE:AC") == "ACK#"
        self._on = True

    def disable(self, output):
        self._on = False
        self.line.ask("DISABLE:AC")

    def check(self):
        if self._lost:
            raise LeaseLost(self.reason)


class VirtualScanner:
    def __init__(self, folder, *arguments):
        self.link = folder / "surveillance"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "nixel.acquisition.virtual.scanner"),
                *("--surveillance-link", str(self.link), "--exit-with-parent", *arguments),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = json.loads(self.process.stdout.readline())
        self.instrument = load_instrument("virtual-scanner").with_endpoints(
            {"daq.control": self.ready["control"], "daq.data": self.ready["data"]}
        )
        self.line = SerialClient(self.link)

    def close(self):
        self.line.close()
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def shared_scanner(tmp_path_factory):
    scanner = VirtualScanner(tmp_path_factory.mktemp("scanner"), "--seed", "7")
    yield scanner
    scanner.close()


@pytest.fixture
def scanner(shared_scanner):
    """The virtual scanner, seed 7, as after power-on but for its coil's temperature."""
    from nixel.acquisition.adapters.scpi import ScpiConnection

    with ScpiConnection(shared_scanner.ready["control"], 5.0, "scanner") as control:
        for command in (
            "SIM:ESTOP 0",
            "SIM:TEMP 22",
            "SIM:SAMP PHANTOM stenosis",
            "ROB:MOV 0,0",
            "SIM:SEED 0",
        ):
            _insist(control, command)
    return shared_scanner


def _insist(control, command):
    """Send a command that the last test's connection, just closed, may still forbid."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return control.command(command)
        except DeviceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@pytest.fixture
def safety(scanner):
    return StandInSafety(scanner.line)


@pytest.fixture
def stand_in_safety():
    """Make a stand-in for the safety daemon on a serial line."""
    return StandInSafety


@pytest.fixture
def new_scanner(tmp_path):
    """Start further virtual scanners, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            folder = tmp_path / f"scanner-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            started = VirtualScanner(folder, *arguments)
            stack.callback(started.close)
            return started

        yield start
