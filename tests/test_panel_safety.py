"""The safety daemon over a virtual panel: real processes, real sockets, and the light's relay as the witness."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import time

import pytest

from nixel.acquisition.virtual.panel import HOLD
from nixel.safety.client import SafetyClient, SafetyRefused, SafetyUnavailable

PERIOD = 0.01
INSTRUMENT = """
[instrument]
name = "bench"

[safety]
rate = "100 Hz"
lease = "500 ms"

[safety.gpio]
adapter = "virtual-gpio"
path = "/nowhere/panel"
simulated = true
charge_pump = 27

[safety.gpio.inputs]
5 = { pull = "up", active = "low" }
6 = { pull = "up", active = "high" }
13 = { pull = "up", active = "low" }
16 = { pull = "none", active = "high" }
19 = { pull = "none", active = "high" }
26 = { pull = "up", active = "high" }

[safety.gpio.outputs]
17 = { active = "high", readback = 26 }

[safety.interlocks.lid]
kind = "two-channel"
sources = ["gpio:5", "gpio:6"]
healthy = [true, true]
discrepancy = "200 ms"
max_age = "250 ms"
message = "the lid is open"

[safety.interlocks.key]
kind = "boolean"
source = "gpio:13"
healthy = true
max_age = "250 ms"
message = "the key is off"

[safety.interlocks.emission-indicator]
kind = "boolean"
source = "gpio:16"
healthy = true
max_age = "250 ms"
message = "the emission indicator is broken"

[safety.interlocks.light-current]
kind = "boolean"
source = "gpio:19"
healthy = true
max_age = "250 ms"
message = "the light draws too much current"

[safety.outputs.light]
sink = "gpio:17"
gated_by = ["lid", "key", "emission-indicator", "light-current"]
"""


class Panel:
    """The panel's process and a hand at it."""

    def __init__(self, path):
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nixel.acquisition.virtual.panel_server", "--socket", str(path)],
            stdout=subprocess.PIPE,
        )
        assert json.loads(self.process.stdout.readline())["panel"] == str(path)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("r")

    def ask(self, request):
        self.socket.sendall(f"{request}\n".encode())
        return self.lines.readline().removesuffix("\n")

    def hand(self, what):
        assert self.ask(f"HAND {what}") == "OK"

    def state(self):
        return dict(field.split("=") for field in self.ask("STATE").split()[1:])

    def on(self):
        return self.state()["relay"] == "1"

    def end(self):
        self.lines.close()
        self.socket.close()
        self.process.kill()
        self.process.communicate()


class Daemon:
    """A safety daemon over it."""

    def __init__(self, folder, panel, instrument=INSTRUMENT):
        file, self.socket, self.events = folder / "bench.toml", folder / "safety.sock", folder / "events"
        file.write_text(instrument)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "nixel.safety.daemon", "--instrument", str(file)),
                *("--socket", str(self.socket), "--panel", str(panel), "--events", str(self.events)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == f"ready {self.socket}\n"
        self.client = SafetyClient(self.socket)

    def arm(self):
        self.client.wait_until_healthy(5)
        self.client.reset()
        self.client.arm()

    def end(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def panel(tmp_path):
    panel = Panel(tmp_path / "panel")
    yield panel
    panel.end()


@pytest.fixture
def start(tmp_path, panel):
    with contextlib.ExitStack() as stack:

        def start(instrument=INSTRUMENT):
            daemon = Daemon(tmp_path, panel.path, instrument)
            stack.callback(daemon.end)
            return daemon

        yield start


@pytest.fixture
def daemon(start):
    return start()


@pytest.fixture
def lit(daemon, panel):
    """A daemon that has the light on, and who holds the lease."""
    daemon.arm()
    with daemon.client.lease("a picture") as lease:
        lease.enable("light")
        wait_until(panel.on)
        yield lease


def wait_until(what, timeout=3.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


def off_after(panel, began, limit, what):
    wait_until(lambda: not panel.on())
    took = float(panel.state()["moved"]) - began
    print(f"{what} to relay off: {took * 1e3:.1f} ms")
    assert took <= limit


def test_comes_up_latched_then_lights_and_goes_dark(daemon, panel):
    status = daemon.client.status()
    assert (status.state, status.simulated) == ("FAULT", True)
    daemon.arm()
    assert not panel.on()
    with daemon.client.lease("a picture") as lease:
        lease.enable("light")
        wait_until(panel.on)
        time.sleep(1.2)
        lease.check()
        lease.disable("light")
        wait_until(lambda: not panel.on())
    assert daemon.client.status().state == "ARMED"


def test_the_pump_has_an_edge_a_tick_while_armed_and_none_otherwise(daemon, panel):
    def edges_and_ticks():
        return int(panel.state()["edges"]), daemon.client.status().ticks

    daemon.client.wait_until_healthy(5)
    time.sleep(0.2)
    assert panel.state()["edges"] == "0"
    daemon.client.reset()
    time.sleep(0.2)
    assert panel.state()["edges"] == "0"
    daemon.client.arm()
    edges, ticks = edges_and_ticks()
    time.sleep(2.0)
    more_edges, more_ticks = edges_and_ticks()
    # The two are not asked in the same moment.
    assert abs((more_edges - edges) - (more_ticks - ticks)) <= 3
    daemon.client.stop("enough")
    time.sleep(3 * PERIOD)
    edges, _ = edges_and_ticks()
    time.sleep(0.3)
    assert edges_and_ticks()[0] == edges


@pytest.mark.parametrize(
    ("hand", "back", "says"),
    [
        ("lid open", "lid close", "the lid is open"),
        ("key off", "key on", "the key is off"),
        ("indicator break", "indicator mend", "the emission indicator is broken"),
        ("current 0.9", "current 0.3", "the light draws too much current"),
    ],
)
def test_a_hand_at_the_panel_puts_the_light_out(lit, daemon, panel, hand, back, says):
    began = time.monotonic()
    panel.hand(hand)
    off_after(panel, began, 0.1, hand)
    wait_until(lambda: daemon.client.status().state == "FAULT")
    assert says in daemon.client.status().first_cause.message
    panel.hand(back)
    daemon.client.wait_until_healthy(5)
    daemon.client.reset()
    assert daemon.client.status().state == "SAFE"
    assert not panel.on()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_that_is_asked_to_end_puts_the_light_out_first(lit, daemon, panel, number):
    began = time.monotonic()
    daemon.process.send_signal(number)
    off_after(panel, began, 0.1, number.name)
    assert panel.state()["light"] == "0"
    assert daemon.process.wait(5) == 0
    assert "not everything could be switched off" not in daemon.process.stderr.read()


def test_a_daemon_that_is_killed_lets_the_relay_drop_although_its_line_stays_on(lit, daemon, panel, start):
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGKILL)
    off_after(panel, began, HOLD + 2 * PERIOD, "SIGKILL of the daemon")
    daemon.process.wait()
    assert panel.state()["light"] == "1"
    again = start()
    again.client.wait_until_healthy(5)
    assert again.client.status().state == "FAULT"
    assert panel.state()["light"] == "0"
    assert not panel.on()


def test_a_daemon_that_stands_still_lets_the_relay_drop(lit, daemon, panel):
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGSTOP)
    off_after(panel, began, HOLD + 2 * PERIOD, "SIGSTOP of the daemon")
    daemon.process.send_signal(signal.SIGCONT)
    wait_until(lambda: daemon.client.status().state == "FAULT")
    assert "must not pick up again by themselves" in daemon.client.status().first_cause.message
    assert not panel.on()


def test_a_panel_that_is_gone_is_a_fault_that_is_not_simulated_away(lit, daemon, panel):
    panel.process.kill()
    wait_until(lambda: daemon.client.status().state == "FAULT")
    causes = [cause.message for cause in daemon.client.status().causes]
    assert any(f"the GPIO chip {panel.path} " in text for text in causes)
    wait_until(lambda: "cannot be opened" in daemon.client.status().what_to_do)
    with pytest.raises(SafetyRefused, match="cannot be opened"):
        daemon.client.reset()


def test_a_panel_that_stands_still_is_a_fault(lit, daemon, panel):
    panel.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: daemon.client.status().state == "FAULT")
    panel.process.send_signal(signal.SIGCONT)
    wait_until(lambda: not panel.on())


def test_killed_at_random_moments_it_never_leaves_the_light_on(panel, start):
    chance = random.Random(5)
    for _ in range(5):
        daemon = start()
        daemon.arm()
        with contextlib.ExitStack() as stack:
            lease = stack.enter_context(daemon.client.lease("a picture"))
            lease.enable("light")
            time.sleep(chance.uniform(0.0, 0.1))
            began = time.monotonic()
            daemon.process.kill()
            daemon.process.wait()
            held = stack.pop_all()
        with contextlib.suppress(SafetyUnavailable):
            held.close()  # there is nobody left who could end it
        wait_until(lambda: not panel.on())
        assert float(panel.state()["moved"]) <= began + HOLD + 2 * PERIOD
