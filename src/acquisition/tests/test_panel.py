"""The virtual microscope's panel: its parts, its process, and the safety daemon's GPIO unit at its socket."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.virtual import hand, panel_server
from nixel.acquisition.virtual import panel as model
from nixel.acquisition.virtual.panel import HOLD, Panel, PanelError
from nixel.safety.config.units import GpioChip, GpioInput, GpioOutput, Pull
from nixel.safety.units.cpu import hottest
from nixel.safety.units.gpio import Gpio
from nixel.safety.units.gpio_panel import PanelLines
from nixel.safety.units.unit import Command, UnitError

PERIOD = 0.01
LIGHT = frozenset({"gpio:17"})
ME, OTHER = object(), object()


# --- the parts, without a process ---


@pytest.fixture
def panel():
    panel = Panel()
    panel.claim_output(ME, model.LIGHT, False, 1.0)
    panel.claim_output(ME, model.PUMP, False, 1.0)
    for line in (5, 6, 13, 16, 19, 26):
        panel.claim_input(ME, line, "up")
    return panel


def pump(panel, start, stop, every=0.01, level=True):
    for step in range(round((stop - start) / every) + 1):
        panel.drive(ME, model.PUMP, level is (step % 2 == 0), start + step * every)


def test_the_relay_needs_both_its_line_and_a_pump_that_runs(panel):
    panel.drive(ME, model.LIGHT, True, 1.0)
    assert panel.describe(1.5).startswith("relay=0 ")
    panel.drive(ME, model.LIGHT, False, 2.0)
    pump(panel, 2.0, 2.1)
    assert panel.describe(2.1).startswith("relay=0 ")
    panel.drive(ME, model.LIGHT, True, 2.11)
    assert panel.describe(2.11).startswith("relay=1 moved=2.11")


@pytest.mark.parametrize("level", [True, False])
def test_a_pump_that_stands_still_drops_the_relay_at_either_level(panel, level):
    panel.drive(ME, model.LIGHT, True, 1.0)
    pump(panel, 2.0, 2.2, level=level)
    assert panel.next_drop() == pytest.approx(2.2 + HOLD)
    assert panel.describe(2.2 + HOLD).startswith("relay=1 ")
    assert panel.describe(2.2 + HOLD + 1e-6).startswith(f"relay=0 moved={2.2 + HOLD:.6f}")
    assert panel.next_drop() is None
    panel.drive(ME, model.PUMP, level, 9.0)  # driven to where it is: no edge
    assert panel.describe(9.0).startswith("relay=0 ")


def test_a_relay_that_holds_for_longer_drops_later():
    panel = Panel(hold=0.2)
    panel.claim_output(ME, model.LIGHT, False, 0.0)
    panel.claim_output(ME, model.PUMP, False, 0.0)
    panel.drive(ME, model.LIGHT, True, 1.0)
    pump(panel, 2.0, 2.2)
    assert panel.next_drop() == pytest.approx(2.4)
    assert panel.describe(2.399).startswith("relay=1 ")
    assert panel.describe(2.401).startswith("relay=0 moved=2.400000")


@pytest.mark.parametrize("wrong", ["50", "0,2 s", "-1 s", "1 min"])
def test_a_hold_that_is_no_time_is_refused(wrong, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        panel_server.main(["--socket", str(tmp_path / "panel"), f"--hold={wrong}"])
    assert caught.value.code == 2
    assert f"expected a time such as '50 ms' or '0.2 s', found '{wrong}'" in capsys.readouterr().err
    assert not (tmp_path / "panel").exists()


def test_edges_are_counted_and_driving_a_level_again_is_none(panel):
    for level in (True, True, False, False, True):
        panel.drive(ME, model.PUMP, level, 2.0)
    assert " edges=3 " in panel.describe(2.0)


def test_what_a_hand_does_is_seen_at_the_lines(panel):
    rest = {5: False, 6: True, 13: False, 16: True, 19: True, 26: False}
    assert panel.levels(ME, 1.0) == rest
    for part, action, changed in [
        ("lid", "open", {5: True, 6: False}),
        ("lid", "close", {}),
        ("key", "off", {13: True}),
        ("key", "on", {}),
        ("indicator", "break", {16: False}),
        ("indicator", "mend", {}),
        ("current", "0.9", {}),  # the light is off
    ]:
        panel.hand(part, action)
        assert panel.levels(ME, 1.0) == {**rest, **changed}, (part, action)
    panel.drive(ME, model.LIGHT, True, 2.0)
    pump(panel, 2.0, 2.1)
    assert panel.levels(ME, 2.1) == {**rest, 19: False, 26: True}
    panel.hand("current", "0.7")
    assert panel.levels(ME, 2.1)[19], "0.7 A is the limit and allowed"


def test_an_open_contact_reads_what_its_pull_says():
    panel = Panel()
    panel.hand("lid", "open")
    for pull, level in (("up", True), ("down", False), ("none", False)):
        panel.claim_input(ME, 5, pull)
        assert panel.levels(ME, 1.0) == {5: level}


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda panel: panel.claim_input(ME, 17, "up"), "line 17 is none of the inputs 5, 6, 13"),
        (lambda panel: panel.claim_input(ME, 5, "left"), "expected the pull up, down or none, found 'left'"),
        (lambda panel: panel.claim_input(OTHER, 5, "up"), "line 5 belongs to another"),
        (lambda panel: panel.claim_output(OTHER, 17, True, 1.0), "line 17 belongs to another"),
        (lambda panel: panel.claim_output(ME, 5, True, 1.0), "line 5 is none of the outputs 17, 22, 27"),
        (lambda panel: panel.drive(OTHER, 17, True, 1.0), "line 17 is no output of this connection"),
        (lambda panel: panel.drive(ME, 99, True, 1.0), "line 99 is no output of this connection"),
        (lambda panel: panel.hand("lid", "kick"), "expected one of lid open, lid close"),
        (lambda panel: panel.hand("current", "lots"), "expected a current from 0 to 10 A"),
        (lambda panel: panel.hand("current", "nan"), "expected a current from 0 to 10 A"),
        (lambda panel: panel.hand("processor", "45"), "without a simulated processor"),
        (lambda panel: panel.hand("processor", "999"), "expected a temperature from -40 to 150 degC"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(panel, act, says):
    before = (panel.describe(1.0), panel.levels(ME, 1.0))
    with pytest.raises(PanelError, match=says):
        act(panel)
    assert (panel.describe(1.0), panel.levels(ME, 1.0)) == before


def test_released_outputs_stay_as_they_were_and_can_be_had_again(panel):
    panel.drive(ME, model.LIGHT, True, 1.0)
    panel.release(ME)
    assert " light=1 " in panel.describe(1.0)
    assert panel.levels(ME, 1.0) == {}
    panel.claim_output(OTHER, 17, False, 1.0)
    panel.claim_input(OTHER, 5, "up")


# --- its process ---

CHIP = {
    "inputs": (
        GpioInput(5, Pull.UP, active_high=False),
        GpioInput(6, Pull.UP, active_high=True),
        GpioInput(13, Pull.UP, active_high=False),
        GpioInput(16, Pull.NONE, active_high=True),
        GpioInput(19, Pull.NONE, active_high=True),
        GpioInput(26, Pull.UP, active_high=True),
    ),
    "outputs": (GpioOutput(17, active_high=True, readback=26),),
    "charge_pump": 27,
}
MODULE = "nixel.acquisition.virtual.panel_server"


class Process:
    """The panel's process, and a hand at it."""

    def __init__(self, path, *more):
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, "--socket", str(path), *more],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = json.loads(self.process.stdout.readline())
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("r")

    def ask(self, request):
        self.socket.sendall(f"{request}\n".encode())
        return self.lines.readline().removesuffix("\n")

    def state(self):
        return dict(field.split("=") for field in self.ask("STATE").split()[1:])

    def end(self):
        self.lines.close()
        self.socket.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def process(tmp_path):
    process = Process(tmp_path / "panel")
    yield process
    process.end()


@pytest.fixture
def chip(process):
    return GpioChip(None, str(process.path), **CHIP)


@pytest.fixture
def gpio(chip):
    unit = Gpio(chip, PERIOD, PERIOD, PanelLines)
    unit.start()
    wait_until(lambda: unit.view.readings)
    yield unit
    with contextlib.suppress(UnitError):
        unit.close(1.0)
    assert not unit.alive()


def wait_until(what, timeout=3.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.0005)


def value(gpio, source):
    return gpio.view.readings[source].value


def tick(gpio, beats, seconds, on=LIGHT):
    """Tick like a loop for a time; give the next beat."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        gpio.command(Command(on, permitted=True, beats=beats))
        beats += 1
        time.sleep(PERIOD)
    return beats


def test_it_says_where_it_listens_and_ends_when_told(tmp_path):
    process = Process(tmp_path / "panel")
    assert process.ready == {"panel": str(tmp_path / "panel"), "pid": process.process.pid}
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(5) == 0
    assert not (tmp_path / "panel").exists()
    process.end()


def test_it_takes_the_place_of_a_dead_one(process, tmp_path):
    process.process.kill()
    process.process.wait()
    assert process.path.exists()
    again = Process(process.path)
    assert again.state()["lid"] == "closed"
    again.end()


@pytest.mark.parametrize("path", ["/nowhere/panel", "file"])
def test_a_socket_that_cannot_be_made_is_one_line_and_status_2(tmp_path, path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", MODULE, "--socket", str(tmp_path / path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nixel-virtual-panel: ")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize(
    "request_", ["", "IN", "IN 5", "IN five up", "OUT 17 2", "SET 17", "HAND", "GET 5", "IN 5555 up", "é 1"]
)
def test_what_it_does_not_know_is_refused_and_the_line_goes_on(process, request_):
    assert process.ask(request_).startswith("ERR expected")
    assert process.state()["relay"] == "0"


def test_who_sends_without_end_or_does_not_read_is_hung_up_on(process):
    for flood in (b"x" * 100_000, b"STATE\n" * 100_000):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(process.path))
            with contextlib.suppress(OSError):
                client.sendall(flood)
            with contextlib.suppress(OSError):
                while client.recv(65536):
                    pass
        assert process.state()["relay"] == "0"


def test_a_simulated_processor_shows_its_temperature_like_the_kernel(tmp_path):
    process = Process(tmp_path / "panel", "--thermal", str(tmp_path / "thermal"))
    assert hottest(tmp_path / "thermal") == 45.0
    assert process.ask("HAND processor 90.5") == "OK"
    assert hottest(tmp_path / "thermal") == 90.5
    process.end()


def test_a_hand_says_what_it_could_not_do(process, tmp_path):
    hand.do(process.path, "lid", "open")
    assert process.state()["lid"] == "open"
    with pytest.raises(DeviceError, match="expected one of lid open"):
        hand.do(process.path, "lid", "kick")
    with pytest.raises(DeviceError, match="No such file or directory"):
        hand.do(tmp_path / "nothing", "lid", "open")


# --- the GPIO unit at its socket ---


def test_a_hand_at_the_panel_is_a_reading(process, gpio):
    assert value(gpio, "gpio:5") is True
    assert value(gpio, "gpio:6") is True
    process.ask("HAND lid open")
    wait_until(lambda: value(gpio, "gpio:5") is False and value(gpio, "gpio:6") is False)
    process.ask("HAND key off")
    wait_until(lambda: value(gpio, "gpio:13") is False)
    process.ask("HAND indicator break")
    wait_until(lambda: value(gpio, "gpio:16") is False)


def test_the_relay_follows_and_the_pump_has_an_edge_a_tick(process, gpio):
    beats = tick(gpio, 1, 0.3)
    assert value(gpio, "readback:gpio:17") is True
    assert process.state()["relay"] == "1"
    wait_until(lambda: int(process.state()["edges"]) == beats - 1, timeout=0.1)
    process.ask("HAND current 0.9")
    wait_until(lambda: value(gpio, "gpio:19") is False, timeout=0.045)
    gpio.command(Command(permitted=True, beats=beats))
    wait_until(lambda: value(gpio, "readback:gpio:17") is False)
    assert process.state()["relay"] == "0"


def test_a_loop_that_stands_still_drops_the_relay(process, gpio):
    tick(gpio, 1, 0.3)
    assert process.state()["relay"] == "1"
    stood = time.monotonic()
    wait_until(lambda: process.state()["relay"] == "0")
    state = process.state()
    assert state["light"] == "1", "nobody switched it off: the pump did"
    assert float(state["moved"]) - stood <= HOLD + 2 * PERIOD
    wait_until(lambda: value(gpio, "readback:gpio:17") is False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_panel_that_goes_or_answers_no_more_is_a_fault_and_its_readings_grow_old(process, gpio, number):
    tick(gpio, 1, 0.2)
    process.process.send_signal(number)
    wait_until(lambda: gpio.view.fault)
    assert gpio.view.fault.startswith(f"the GPIO chip {process.path} ")
    says = "is its process running?" if number is signal.SIGKILL else "has not answered"
    assert says in gpio.view.fault or "cannot be opened" in gpio.view.fault
    stamp = gpio.view.readings["gpio:5"].time
    time.sleep(0.1)
    assert gpio.view.readings["gpio:5"].time == stamp


def test_a_panel_that_comes_back_is_taken_up_again_with_everything_off(process, gpio):
    beats = tick(gpio, 1, 0.2)
    process.process.kill()
    wait_until(lambda: gpio.view.fault)
    again = Process(process.path)
    wait_until(lambda: not gpio.view.fault)
    time.sleep(0.05)
    assert again.state()["light"] == "0"
    tick(gpio, beats, 0.2)
    assert again.state()["relay"] == "1"
    again.end()


def test_lines_that_another_has_are_a_fault_that_says_so(chip, gpio):
    second = Gpio(chip, PERIOD, PERIOD, PanelLines)
    second.start()
    wait_until(lambda: second.view.fault)
    assert "refuses 'OUT 17 0': line 17 belongs to another connection" in second.view.fault
    second.close(1.0)


def test_closing_switches_the_light_off_and_leaves_the_pump_alone(process, gpio):
    beats = tick(gpio, 1, 0.2)
    wait_until(lambda: int(process.state()["edges"]) == beats - 1, timeout=0.1)
    edges = process.state()["edges"]
    gpio.close(1.0)
    state = process.state()
    assert (state["light"], state["relay"], state["edges"]) == ("0", "0", edges)
