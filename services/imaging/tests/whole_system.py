"""What the whole-system tests share: a simulated bench, and the imaging service as a process around it."""

import re
import socket
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from nixel.acquisition.instrument_file import path_of
from nixel.imaging.cli.serve import listen
from nixel.imaging.client import ServiceClient
from nixel.imaging.errors import UserError
from nixel.imaging.processes import Child
from nixel.imaging.virtual_bench import VirtualBench

INSTRUMENT = "virtual-scanner"
# A matrix that takes a second and still gives a picture.
SMALL_CALIBRATION = {"grid": [5, 5], "averages": 4, "background_frames": 4, "seed": 1}


def patient(name):
    """The text of a shipped instrument's file, with a safety daemon that forgives a machine that stands still.

    A test machine may be a guest of a host that is busy, which then stops it as a whole for longer than a daemon may
    stand still. What is asked here is not how fast the daemon is: the tests that ask that take the shipped file.
    """
    text, ages = re.subn(r'(?m)^max_age = "(?:150|250) ms"', 'max_age = "500 ms"', path_of(name).read_text())
    text, rates = re.subn(r'(?m)^rate = "100 Hz".*\n', r"\g<0>deadlines = { limit = 50 }\n", text)
    text, pumps = re.subn(r"(?m)^charge_pump = 27.*\n", r'\g<0>hold = "200 ms"\n', text)
    text, outputs = re.subn(r"(?m)^gated_by = ", 'readback_within = "500 ms"\n\\g<0>', text)
    assert ages >= 4
    assert outputs == 1
    assert rates == 1
    assert pumps == (name == "virtual-microscope")
    return text


@contextmanager
def patient_bench(name=INSTRUMENT):
    """A bench around such a safety daemon, and around a surveillance unit that waits for it as long."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{name}.toml")
        file.write_text(patient(name))
        with VirtualBench(str(file), watchdog="500 ms") as bench:
            yield bench


class Control:
    """A second SCPI connection to the virtual scanner, as somebody at its front panel."""

    def __init__(self, address):
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self._socket.makefile("r", encoding="ascii")

    def ask(self, line):
        self._socket.sendall(line.encode() + b"\n")
        return self._lines.readline().strip()

    def close(self):
        self._lines.close()
        self._socket.close()


class Service:
    """The imaging service, a process of its own that can be killed and started again on the same folder."""

    def __init__(self, bench, data: Path, instrument=INSTRUMENT):
        self._bench, self._instrument = bench, str(instrument)
        self.data = data
        self._starts = 0
        self._listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.client = ServiceClient(self.url)
        self.child = None

    def start(self):
        self._starts += 1
        descriptor = self._listener.fileno()
        endpoints = [f"--endpoint={key}={address}" for key, address in self._bench.endpoints.items()]
        self.child = Child(
            "imaging service",
            "nixel.imaging",
            [
                *(
                    "serve",
                    "--instrument",
                    self._instrument,
                    "--safety-socket",
                    str(self._bench.safety_socket),
                ),
                *("--data", str(self.data), "--fd", str(descriptor), *endpoints),
            ],
            log=self._bench.runtime / f"imaging-{self._starts}.log",
            pass_fds=(descriptor,),
        )
        deadline = time.monotonic() + 30
        while True:
            assert self.child.process.poll() is None, self.child.words()
            try:
                self.client.get("/status")
            except UserError:
                assert time.monotonic() < deadline, self.child.words()
                time.sleep(0.05)
            else:
                return self

    def arm(self):
        """Reset and arm the bench's safety daemon."""
        self._bench.arm()

    def kill(self):
        """SIGKILL; the caller wants to know when."""
        self.child.process.kill()
        killed = time.monotonic()
        self.child.process.wait()
        self.child.stop()
        return killed

    def close(self):
        if self.child is not None:
            self.child.stop()
        self._listener.close()


def wait_until(condition, timeout=20.0, what="the condition"):
    """Poll until the condition holds, and return what it returned."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout:g} s"
        time.sleep(0.002)
    return value
