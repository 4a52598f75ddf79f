"""The shipped simulated microscope: its panel, its safety daemon, and a hand by `nixel simulate`."""

import subprocess
import sys
import time

import pytest

from nixel.acquisition.adapters.virtual_microscope import VirtualCameraAdapter, VirtualLightAdapter
from nixel.acquisition.devices import DeviceError, Sensor, Stage
from nixel.acquisition.opened import open_devices
from nixel.imaging.virtual_bench import VirtualBench
from nixel.safety.client import LeaseLost, SafetyRefused


@pytest.fixture(scope="module")
def bench():
    with VirtualBench("virtual-microscope") as running:
        yield running


def simulate(bench, *what):
    command = [sys.executable, "-m", "nixel.imaging", "simulate", *what, "--panel", str(bench.panel)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def wait_until(what, timeout=5.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_it_comes_up_latched_and_can_be_reset_armed_and_lit(bench):
    assert bench.safety.status().state == "FAULT"
    bench.arm()
    with bench.safety.lease("a picture") as lease:
        lease.enable("light")
        wait_until(lambda: bench.safety.status().outputs == {"light": True})
        time.sleep(0.5)
        lease.check()
    wait_until(lambda: bench.safety.status().outputs == {"light": False})
    assert bench.safety.status().simulated


@pytest.mark.parametrize(
    ("hand", "back", "cause"),
    [
        (("lid", "open"), ("lid", "close"), "lid"),
        (("key", "off"), ("key", "on"), "key"),
        (("indicator", "break"), ("indicator", "mend"), "emission-indicator"),
        (("light-current", "0.9A"), ("light-current", "350mA"), "over-current"),
        (("processor", "90degC"), ("processor", "45degC"), "cpu-temperature"),
    ],
)
def test_what_a_hand_does_puts_the_light_out_and_says_why(bench, hand, back, cause):
    bench.arm()
    with bench.safety.lease("a picture") as lease:
        lease.enable("light")
        wait_until(lambda: bench.safety.status().outputs == {"light": True})
        done = simulate(bench, *hand)
        assert (done.returncode, done.stderr) == (0, "")
        wait_until(lambda: lease.lost)
        with pytest.raises(LeaseLost):
            lease.check()
    status = bench.safety.status()
    assert (status.state, status.outputs, status.first_cause.name) == ("FAULT", {"light": False}, cause)
    if cause != "over-current":  # which flows no more
        with pytest.raises(SafetyRefused, match="cannot reset"):
            bench.safety.reset()
    assert simulate(bench, *back).returncode == 0
    bench.safety.wait_until_healthy(5)
    bench.safety.reset()
    assert bench.safety.status().state == "SAFE"


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (("lid", "kick"), "expected open or close, found 'kick'"),
        (("light-current", "90degC"), "90degC"),
        (("light-current", "99A"), "expected a current from 0 to 10 A"),
    ],
)
def test_what_no_hand_can_do_is_refused(bench, what, says):
    done = simulate(bench, *what)
    assert done.returncode == 2
    assert says in done.stderr


def test_without_a_panel_it_says_how_to_name_one(bench, tmp_path):
    command = [
        sys.executable,
        "-m",
        "nixel.imaging",
        "simulate",
        "lid",
        "open",
        "--panel",
        str(tmp_path / "no"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "name its socket with --panel" in done.stderr


def test_its_sensor_is_where_its_stage_is(bench):
    with open_devices(bench.instrument, ["camera", "stage"]) as devices:
        camera, stage = devices["camera"], devices.one(Stage)
        devices["stage"].set("homed", True)
        assert devices["stage"].get("homed") is True
        # By microscope.focus: the distance is -0.2 mm less the position, and homing ends 0.5 mm below the switch.
        assert camera.get("distance") == pytest.approx(0.3e-3)
        for place, distance in ((-1.2e-3, 1.0e-3), (-3.2e-3, 3.0e-3)):
            stage.move(z=place)
            assert camera.get("distance") == pytest.approx(distance, abs=1e-6)


def test_its_stage_moves_and_its_room_is_measured(bench):
    with open_devices(bench.instrument, ["stage", "environment"]) as devices:
        stage, environment = devices.one(Stage), devices.one(Sensor)
        stage.home()
        stage.move(z=-0.002)
        assert stage.position()["z"] == pytest.approx(-0.002, abs=2e-6)
        with pytest.raises(DeviceError, match=r"expected z from -0.0032 m to -0.0005 m"):
            stage.move(z=-0.0033)
        temperature, humidity = environment.read()
        assert 15 < temperature < 30
        assert 20 < humidity < 70


def test_the_camera_sees_light_exactly_while_a_lease_holds_it(bench):
    bench.arm()
    devices = bench.instrument.devices
    camera = VirtualCameraAdapter(devices["camera"], (480, 640))
    light = VirtualLightAdapter(devices["light"])
    camera.open()
    light.open()
    try:
        camera.start()
        with pytest.raises(DeviceError, match="hold a lease"):
            light.switch(True)
        assert camera.frame(10.0).pixels.mean() < 70, "it is dark"
        with bench.safety.lease("a picture") as lease:
            lease.enable("light")
            wait_until(lambda: bench.safety.status().outputs == {"light": True})
            light.switch(True)
            wait_until(lambda: camera.frame(10.0).pixels.mean() > 150)
            lease.check()
        wait_until(lambda: camera.frame(10.0).pixels.mean() < 70)
        assert not light.is_on()
    finally:
        light.close()
        camera.close()
