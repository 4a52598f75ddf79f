"""The shipped simulated scanner: each of its interlocks trips, switches the amplifier off and says why."""

import subprocess
import sys
import time
import tomllib

import pytest

from nixel.acquisition.adapters.scpi import ScpiConnection
from nixel.acquisition.instrument_file import path_of
from nixel.imaging.virtual_bench import VirtualBench

SCANNER = "virtual-scanner"


@pytest.fixture(scope="module")
def bench():
    with VirtualBench(SCANNER) as running:
        yield running


@pytest.fixture(scope="module")
def front_panel(bench):
    with ScpiConnection(bench.endpoints["daq.control"], 5.0, "scanner") as control:
        yield control


def wait_until(what, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def sensor(name, value):
    return f"SIM:SENS {name},{value}", f"SIM:SENS {name},RESTORE"


# Which interlock: what a hand does to trip it, how that is undone, and what the safety daemon says of it.
TRIPS = {
    "emergency-stop": ("SIM:ESTOP ON", "SIM:ESTOP OFF", "the emergency stop is pulled"),
    "coil-temperature": ("SIM:TEMP 75", "SIM:TEMP 22", "at or above its limit of 60 degC"),
    "coil-temperature-2": (*sensor("coil-2", 61), "at or above its limit of 60 degC"),
    "coil-temperature-agreement": (*sensor("coil-2", 30), "differ by"),
    "coil-temperature-rate": ("SIM:TEMP 40", "SIM:TEMP 22", "degC/s upwards"),
    "amplifier-temperature": (*sensor("amplifier-1", 76), "at or above its limit of 75 degC"),
    "amplifier-temperature-2": (*sensor("amplifier-2", 76), "at or above its limit of 75 degC"),
    "amplifier-temperature-agreement": (*sensor("amplifier-2", 31), "differ by"),
    "amplifier-temperature-rate": (*sensor("amplifier-1", 28), "degC/s upwards"),
    "coolant-flow": ("SIM:COOL OFF", "SIM:COOL ON", "at or below its limit of 2 l/min"),
    "coolant-level": (*sensor("level", 29), "at or below its limit of 30 percent"),
    "over-current-x": (*sensor("current-x", 38.5), "at or above its limit of 38 A"),
    "over-current-y": (*sensor("current-y", -38.5), "at or above its limit of 38 A"),
    "over-field-x": (*sensor("current-x", 37.7), "is 0.01508 T, at or above its limit of 0.015 T"),
    "over-field-y": (*sensor("current-y", 37.7), "is 0.01508 T, at or above its limit of 0.015 T"),
    "pns-x": (*sensor("current-x", 36.6), "at or above its limit of 2250 T/s"),
    "pns-y": (*sensor("current-y", 36.5), "at or above its limit of 2380 T/s"),
    "sar-x": (*sensor("current-x", 37.0), "at or above its limit of 0.072 W/kg"),
    "sar-y": (*sensor("current-y", 37.0), "at or above its limit of 0.081 W/kg"),
    "bore": ("SIM:CONT bore,OFF", "SIM:CONT bore,ON", "something reaches into the bore"),
    "door": ("SIM:CONT door,OFF", "SIM:CONT door,ON", "the door is open"),
    "amplifier-fault": ("SIM:CONT amplifier,OFF", "SIM:CONT amplifier,ON", "reports a fault"),
    "daq-heartbeat": ("SIM:HEAR OFF", "SIM:HEAR ON", "has not changed for 2000 ms"),
}


def test_each_interlock_of_the_file_is_tripped_below():
    tables = tomllib.loads(path_of(SCANNER).read_text())
    assert set(TRIPS) == set(tables["safety"]["interlocks"])


def message(bench, name):
    return {each.name: each.message for each in bench.safety.status().interlocks}[name]


def trip(bench, front_panel, hand):
    """Switch the amplifier on, let a hand do something, and return the causes of the fault that follows."""
    bench.arm()
    with bench.safety.lease("a test") as lease:
        lease.enable("amplifier")
        wait_until(lambda: bench.safety.status().outputs == {"amplifier": True})
        wait_until(lambda: front_panel.query("RP:TR:READ?") == "1")
        front_panel.command(hand)
        wait_until(lambda: bench.safety.status().state == "FAULT")
        wait_until(lambda: front_panel.query("RP:TR:READ?") == "0")
        return {cause.name: cause.message for cause in bench.safety.status().causes}


@pytest.mark.parametrize(("name", "hand", "back", "says"), [(name, *how) for name, how in TRIPS.items()])
def test_an_interlock_switches_the_amplifier_off_and_says_why(bench, front_panel, name, hand, back, says):
    causes = trip(bench, front_panel, hand)
    front_panel.command(back)
    assert says in causes[name]


@pytest.mark.parametrize(
    ("name", "channel"),
    [("coil-temperature", "coil-1"), ("coolant-flow", "flow"), ("over-current-y", "current-y")],
)
def test_a_sensor_that_breaks_switches_the_amplifier_off(bench, front_panel, name, channel):
    causes = trip(bench, front_panel, f"SIM:SENS {channel},BREAK")
    front_panel.command(f"SIM:SENS {channel},RESTORE")
    assert "gives no number; is the sensor connected?" in causes[name]


@pytest.mark.parametrize(("name", "channel"), [("coil-temperature-2", "coil-2"), ("coolant-level", "level")])
def test_a_sensor_that_freezes_switches_the_amplifier_off(bench, front_panel, name, channel):
    causes = trip(bench, front_panel, f"SIM:SENS {channel},FREEZE")
    front_panel.command(f"SIM:SENS {channel},RESTORE")
    assert "it is frozen" in causes[name]


def test_one_channel_of_the_emergency_stop_is_enough_and_must_then_be_proven(bench, front_panel):
    causes = trip(bench, front_panel, "SIM:CONT emergency-stop-2,OFF")
    assert "digital:1 has tripped and digital:0 has not" in causes["emergency-stop"]
    time.sleep(0.7)
    front_panel.command("SIM:CONT emergency-stop-2,ON")
    wait_until(lambda: "trip both together" in message(bench, "emergency-stop"))
    front_panel.command("SIM:ESTOP ON")
    time.sleep(0.2)
    front_panel.command("SIM:ESTOP OFF")
    bench.arm()


def test_after_its_start_nothing_but_the_start_is_a_cause():
    with VirtualBench(SCANNER) as fresh:
        fresh.safety.wait_until_healthy(10)
        assert [cause.name for cause in fresh.safety.status().causes] == ["start"]


def simulate(bench, *what):
    command = [
        sys.executable,
        "-m",
        "nixel.imaging",
        "simulate",
        *what,
        "--at",
        bench.endpoints["daq.control"],
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("hand", "back", "name"),
    [
        (("contact", "door", "open"), ("contact", "door", "close"), "door"),
        (("coolant", "stop"), ("coolant", "start"), "coolant-flow"),
        (("heartbeat", "stop"), ("heartbeat", "start"), "daq-heartbeat"),
        (("sensor", "coil-1", "break"), ("sensor", "coil-1", "restore"), "coil-temperature"),
        (("sensor", "level", "10"), ("sensor", "level", "restore"), "coolant-level"),
    ],
)
def test_a_hand_at_the_command_line(bench, hand, back, name):
    def healthy():
        return {each.name: each.healthy for each in bench.safety.status().interlocks}[name]

    bench.safety.wait_until_healthy(10)
    done = simulate(bench, *hand)
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: not healthy())
    assert simulate(bench, *back).returncode == 0
    wait_until(healthy)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (("contact", "door", "kick"), "expected open or close, found 'kick'"),
        (("contact", "window", "open"), "emergency-stop-1, emergency-stop-2, bore, door"),
        (("sensor", "flow", "melt"), "expected break, freeze, restore or a finite number"),
        (("sensor", "nose", "break"), "coil-1, coil-2, amplifier-1"),
        (("coolant", "boil"), "expected stop or start"),
    ],
)
def test_what_no_hand_can_do_is_refused(bench, what, says):
    done = simulate(bench, *what)
    assert done.returncode == 2
    assert says in done.stderr
