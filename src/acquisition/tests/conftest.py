"""The virtual scanner as a process, a stand-in for the safety daemon on its serial line, and vendor plugins."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from importlib import resources
from pathlib import Path

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
    # No test here asks how punctually the unit is fed; a machine may stand still for longer than its usual 100 ms.
    watchdog = 1.0  # s

    def __init__(self, folder, *arguments):
        self.link = folder / "surveillance"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "nixel.acquisition.virtual.scanner"),
                *("--surveillance-link", str(self.link), "--watchdog", f"{self.watchdog} s"),
                *("--exit-with-parent", *arguments),
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
def serial_client():
    """Open the line of a surveillance unit."""
    return SerialClient


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


class VirtualSerial:
    """A simulated serial device, a process of its own; `hand` does what a hand at its wire does."""

    def __init__(self, module, link, *arguments):
        self.link = link
        self.process = subprocess.Popen(
            [*(sys.executable, "-m", module, "--link", str(link), "--exit-with-parent"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = json.loads(self.process.stdout.readline())

    def hand(self, words):
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer["done"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def new_serial(tmp_path):
    """Start simulated serial devices by the name of their module, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start(name, *arguments):
            link = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
            started = VirtualSerial(f"nixel.acquisition.virtual.{name}", link, *arguments)
            stack.callback(started.close)
            return started

        yield start


def _compile(*command):
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        pytest.skip(f"no C compiler ({compiler}) on this machine, so no plugin can be built")
    subprocess.run([compiler, *map(str, command)], check=True)


@pytest.fixture(scope="session")
def plugin_sources():
    """The header of vendor plugins and the examples."""
    return Path(str(resources.files("nixel.acquisition"))) / "plugins" / "sources"


@pytest.fixture(scope="session")
def faulty_plugin(tmp_path_factory, plugin_sources):
    """Build faulty_plugin.c with a fault of that name, once each."""
    folder = tmp_path_factory.mktemp("plugins")
    source = Path(__file__).with_name("faulty_plugin.c")

    def build(fault="NONE", *options):
        library = folder / f"{'-'.join([fault.lower(), *options]).replace('=', '-')}.so"
        if not library.exists():
            flags = ("-std=c11", "-D_GNU_SOURCE", "-g", "-fPIC", "-shared", "-w", f"-DFAULT={fault}")
            _compile(*flags, *options, f"-I{plugin_sources / 'include'}", "-o", library, source)
        return library

    return build


@pytest.fixture(scope="session")
def example_plugin(tmp_path_factory, plugin_sources):
    """Build the example thermometer in ``"c"`` or ``"rust"``, once each."""
    built = {}

    def build(language):
        if language not in built:
            folder = tmp_path_factory.mktemp(language)
            built[language] = {"c": in_c, "rust": in_rust}[language](folder)
        return built[language]

    def in_c(folder):
        library = folder / "thermometer.so"
        source = plugin_sources / "example-c" / "thermometer.c"
        _compile(
            *("-std=c11", "-g", "-fPIC", "-shared", f"-I{plugin_sources / 'include'}", "-o", library, source)
        )
        return library

    def in_rust(folder):
        if shutil.which("cargo") is None:
            pytest.skip("no cargo on this machine, so no plugin in Rust can be built")
        crate = folder / "crate"
        shutil.copytree(
            plugin_sources / "example-rust", crate, ignore=shutil.ignore_patterns("target", "*.nix")
        )
        cargo = ("cargo", "build", "--quiet", "--offline", "--locked", "--release", "--target-dir")
        subprocess.run([*cargo, str(folder / "target")], cwd=crate, check=True)
        return folder / "target" / "release" / "libnixel_plugin_example.so"

    return build
