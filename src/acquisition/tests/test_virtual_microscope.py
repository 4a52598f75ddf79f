"""The virtual microscope: what its sensor sees, its wire, and the adapters at it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections import deque

import numpy as np
import pytest

from nixel.acquisition.adapters.virtual_microscope import VirtualLightAdapter
from nixel.acquisition.cameras.virtual_client import VirtualMicroscope
from nixel.acquisition.cameras.wire import HEADER_SIZE, Header, Kind, WireError
from nixel.acquisition.devices import Camera, DeviceError, DevicesError, Light
from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.instrument_file import path_of
from nixel.acquisition.opened import open_devices
from nixel.acquisition.virtual.microscope import main
from nixel.acquisition.virtual.microscope_scene import Mode, Scene, modes
from nixel.physics.optics import propagate
from nixel.physics.sensor import imx219

SHAPE = (256, 320)
DISTANCE = 0.6e-3


def small(folder, shape=SHAPE):
    """The shipped instrument with a smaller sensor, so that its holograms take no time."""
    text = path_of("virtual-microscope").read_text()
    assert "shape = [2464, 3280]" in text
    path = folder / "small.toml"
    path.write_text(text.replace("shape = [2464, 3280]", f"shape = {list(shape)}"))
    return path


@pytest.fixture(scope="module")
def optics(tmp_path_factory):
    return load_instrument(small(tmp_path_factory.mktemp("optics"))).microscope


# --- what the sensor sees ---


def test_the_empty_field_is_what_the_sensors_model_says(optics):
    scene, mode, exposure = Scene(optics, 3, 1), modes(SHAPE)[0], 1e-3
    photons = scene.photons(mode, "empty", DISTANCE, exposure)
    frames = [scene.expose(photons, exposure, 2.0, number) for number in range(8)]
    sensor = imx219(optics.wavelength, analogue_gain=2.0)
    middle = np.s_[96:160, 128:192]
    for colour in "RGB":
        for plane, light in zip(
            sensor.bayer.planes(np.array([frame[middle] for frame in frames]), colour),
            sensor.bayer.planes(photons[middle], colour),
            strict=True,
        ):
            mean = sensor.mean(float(light.mean()), exposure_time=exposure, colour=colour)
            assert plane.mean() == pytest.approx(mean, rel=0.01)
            # From frame to frame: its fixed pattern is the same in each.
            noise = np.diff(plane[:8].astype(float), axis=0).var() / 2
            expected = sensor.variance(float(light.mean()), exposure_time=exposure, colour=colour)
            assert noise == pytest.approx(expected, rel=0.05)


def test_light_is_in_proportion_to_the_exposure(optics):
    scene, mode = Scene(optics, 3, 1), modes(SHAPE)[0]
    once, twice = (scene.photons(mode, "particles", DISTANCE, each) for each in (1e-3, 2e-3))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)


def test_the_hologram_comes_into_focus_at_the_samples_distance(optics):
    """Propagated back, it is the most like the sample where the sample is."""
    scene, mode = Scene(optics, 3, 1), modes(SHAPE)[0]
    seen = scene.photons(mode, "particles", DISTANCE, 1e-3) / scene.photons(mode, "empty", DISTANCE, 1e-3)
    truth = np.abs(scene.transmission())

    def likeness(distance):
        field = propagate(
            np.sqrt(seen).astype(np.complex64) - 1,
            -distance,
            wavelength=optics.wavelength,
            pixel_size=optics.pixel_size,
        )
        return np.corrcoef(np.abs(field + 1).ravel(), truth.ravel())[0, 1]

    distances = DISTANCE * np.array([0.7, 0.9, 1.0, 1.1, 1.3])
    found = [likeness(distance) for distance in distances]
    assert np.argmax(found) == 2, found
    assert found[2] > 0.8


def test_a_binned_mode_has_the_mean_of_each_colours_four_and_a_crop_is_the_middle(optics):
    scene = Scene(optics, 3, 1)
    full = scene.photons(Mode(SHAPE, False, 1.0), "particles", DISTANCE, 1e-3)
    binned = scene.photons(Mode((128, 160), True, 1.0), "particles", DISTANCE, 1e-3)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        plane = full[row::2, column::2]
        four = plane.reshape(64, 2, 80, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(binned[row::2, column::2], four, rtol=1e-5)
    crop = scene.photons(Mode((100, 120), False, 1.0), "particles", DISTANCE, 1e-3)
    np.testing.assert_array_equal(crop, full[78:178, 100:220])


def test_the_modes_are_those_of_the_kernels_driver():
    found = {mode.shape: mode.binned for mode in modes((2464, 3280))}
    assert found == {(2464, 3280): False, (1232, 1640): True, (1080, 1920): False, (480, 640): True}


# --- the wire ---


def test_a_header_is_read_as_it_was_written():
    header = Header(Kind.FRAME, 10_000_000, 2**40, 12345.678, 7)
    assert Header.unpack(header.pack()) == header
    assert len(header.pack()) == HEADER_SIZE
    for wrong in (b"", bytes(HEADER_SIZE), header.pack()[:-1], header.pack().replace(b"\x02", b"\x09", 1)):
        with pytest.raises(WireError):
            Header.unpack(wrong)


class Process:
    def __init__(self, folder, *arguments, instrument=None):
        self.socket = folder / "microscope"
        self.file = instrument or small(folder)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "nixel.acquisition.virtual.microscope", "--socket", str(self.socket)),
                *("--instrument", str(self.file), "--workers", "1", "--exit-with-parent", *arguments),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = json.loads(self.process.stdout.readline())
        address = str(self.socket)
        self.instrument = load_instrument(self.file).with_endpoints(
            {"camera.path": address, "light.path": address}
        )

    def connect(self):
        client = VirtualMicroscope(str(self.socket), "the microscope")
        client.open()
        return client

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def microscope(tmp_path_factory):
    started = Process(tmp_path_factory.mktemp("microscope"), "--seed", "5")
    yield started
    started.close()


@pytest.fixture
def client(microscope):
    connection = microscope.connect()
    connection.request("set", control="light", value=False)
    for control, value in (
        ("exposure", 2e-3),
        ("gain", 1.0),
        ("distance", DISTANCE),
        ("sample", "particles"),
    ):
        connection.request("set", control=control, value=value)
    connection.request("format", format="SRGGB10P", rows=SHAPE[0], columns=SHAPE[1])
    connection.request("set", control="rate", value=15.0)
    yield connection
    connection.close()


def test_it_says_what_there_is(client):
    told = client.request("info")
    assert told["simulated"] is True
    assert told["modes"][0][:2] == list(SHAPE)
    assert told["formats"] == ["SRGGB10P", "SRGGB10"]


def test_a_frame_takes_a_buffer_and_without_one_it_is_lost_and_counted(client):
    client.request("start", buffers=3)
    first = [client.frame(5.0).header for _ in range(3)]
    assert [header.sequence for header in first] == [0, 1, 2]
    assert client.frame(0.5) is None
    client.give_back()
    late = client.frame(5.0).header
    assert late.sequence >= 3 + 0.5 * 15 - 1
    assert late.lost == late.sequence - 3
    assert late.time - first[0].time == pytest.approx(late.sequence / 15, abs=0.001)
    client.request("stop")
    client.request("start", buffers=3)
    assert client.frame(5.0).header.sequence == 0


def test_the_camera_belongs_to_the_one_that_streams(microscope, client):
    client.request("start", buffers=2)
    with contextlib.closing(microscope.connect()) as other:
        for request in (
            {"op": "start", "buffers": 2},
            {"op": "format", "format": "SRGGB10", "rows": SHAPE[0], "columns": SHAPE[1]},
            {"op": "set", "control": "exposure", "value": 1e-3},
        ):
            with pytest.raises(DeviceError, match="another connection is using"):
                other.request(**request)
        other.request("stop")  # of what it did not start: nothing
        assert client.frame(5.0) is not None
        # The stage and the light are anybody's.
        other.request("set", control="distance", value=0.7e-3)
        assert client.request("get", control="distance")["value"] == 0.7e-3
    client.close()
    with contextlib.closing(microscope.connect()) as other:
        deadline = time.monotonic() + 5
        while True:  # until it has heard that the other hung up
            try:
                other.request("start", buffers=2)
                break
            except DeviceError:
                assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"op": "format", "format": "YUYV", "rows": 256, "columns": 320}, "SRGGB10P, SRGGB10"),
        ({"op": "format", "format": "SRGGB10", "rows": 255, "columns": 320}, "256 x 320, 128 x 160"),
        ({"op": "set", "control": "exposure", "value": 0.2}, "an exposure from 1e-06 to 0.1 s"),
        ({"op": "set", "control": "exposure", "value": True}, "not True"),
        ({"op": "set", "control": "gain", "value": 0.5}, "a gain from 1"),
        ({"op": "set", "control": "distance", "value": 1.0}, "a distance from 0.0003 to 0.003 m"),
        ({"op": "set", "control": "sample", "value": "blood"}, "particles, empty"),
        ({"op": "set", "control": "light", "value": 1}, "true or false"),
        ({"op": "set", "control": "lit", "value": True}, "that can be set"),
        ({"op": "get", "control": "colour"}, "the controls exposure, gain"),
        ({"op": "start", "buffers": 0}, "info, format"),
        ({"op": "dance"}, "info, format"),
    ],
)
def test_what_it_has_not_is_refused_in_words_and_changes_nothing(client, request_, says):
    before = {name: client.request("get", control=name) for name in ("exposure", "gain", "distance", "light")}
    with pytest.raises(DeviceError, match=says):
        client.request(**request_)
    assert {name: client.request("get", control=name) for name in before} == before


@pytest.mark.parametrize("rubbish", [b"\n", b"[]\n", b"{" * 5000, b"\xff\xfe\n", b'{"op": "set"}\n'])
def test_rubbish_ends_at_most_its_own_connection(microscope, client, rubbish):
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(microscope.socket))
        other.settimeout(5)
        other.sendall(rubbish)
        stream = other.makefile("rb")
        head = stream.read(HEADER_SIZE)
        assert head == b"" or b'"error": "EINVAL"' in stream.read(Header.unpack(head).size)
    assert client.request("info")["simulated"] is True


def test_a_client_that_takes_no_frames_holds_nobody_else_up(microscope):
    with socket.socket(socket.AF_UNIX) as deaf, contextlib.closing(microscope.connect()) as other:
        deaf.connect(str(microscope.socket))
        deaf.sendall(b'{"op": "start", "buffers": 64}\n')
        time.sleep(1.0)
        began = time.monotonic()
        assert other.request("info")["simulated"] is True
        assert time.monotonic() - began < 2.0
    with contextlib.closing(microscope.connect()) as other:
        deadline = time.monotonic() + 10
        while True:
            try:
                other.request("start", buffers=2)
                break
            except DeviceError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


# --- the adapters ---


def test_the_devices_are_what_their_protocols_say(microscope):
    with open_devices(microscope.instrument, ["camera", "light"]) as devices:
        camera, light = devices.one(Camera), devices.one(Light)
        assert (camera.shape, camera.bits, camera.pattern) == (SHAPE, 10, "RGGB")
        snapshot = devices.snapshot()
        assert snapshot["camera"]["exposure"] == 2e-3
        assert snapshot["camera"]["seed"] == 5
        assert snapshot["light"] == {"on": False}
        assert not light.is_on()


def test_the_camera_is_free_as_soon_as_its_last_user_has_closed_it(microscope):
    for _ in range(40):
        with contextlib.closing(microscope.connect()) as one:
            one.request("start", buffers=64)
            assert one.frame(5.0) is not None


def test_frames_are_dark_until_the_light_is_on(microscope):
    sensor = imx219(532e-9)
    with open_devices(microscope.instrument, ["camera", "light"]) as devices:
        camera, light = devices["camera"], devices["light"]
        camera.start()
        dark = camera.frame(10.0)
        assert dark.pixels.shape == SHAPE
        assert dark.pixels.mean() == pytest.approx(sensor.offset, abs=0.5)
        light.switch(True)
        assert light.is_on()
        lit = next(
            frame for frame in iter(lambda: camera.frame(10.0), None) if frame.time > time.monotonic() - 10
            and frame.pixels.mean() > 100
        )  # fmt: skip
        assert lit.number <= dark.number + 8
        light.switch(False)
        last = [camera.frame(10.0) for _ in range(8)][-1]
        assert last.pixels.mean() == pytest.approx(sensor.offset, abs=0.5)
        assert camera.get("lost") == 0


def test_exposure_and_gain_are_fixed_and_can_be_set_between_frames(microscope):
    def green(camera):
        for _ in range(9):  # those that were under way, and the buffers
            pixels = camera.frame(10.0).pixels
        return pixels[0::2, 1::2].mean() - 64

    with open_devices(microscope.instrument, ["camera", "light"]) as devices:
        camera = devices["camera"]
        devices["light"].switch(True)
        camera.start()
        once = green(camera)
        camera.set("exposure", 1e-3)
        assert camera.get("exposure") == 1e-3
        assert green(camera) == pytest.approx(once / 2, rel=0.02)
        camera.set("gain", 2.0)
        assert green(camera) == pytest.approx(once, rel=0.02)
        with pytest.raises(DeviceError, match="from 1e-06"):
            camera.set("exposure", 0.0)
        with pytest.raises(DeviceError, match=r"0\.1 s"):  # the instrument's limit
            camera.set("exposure", 0.5)
        assert camera.get("exposure") == 1e-3


def test_the_same_seed_gives_the_same_frames(microscope, tmp_path):
    def frames(started):
        with open_devices(started.instrument, ["camera", "light"]) as devices:
            devices["camera"]._wire.request("set", control="distance", value=DISTANCE)
            devices["light"].switch(True)
            devices["camera"].start()
            return {frame.number: frame.pixels for frame in (devices["camera"].frame(10.0) for _ in range(6))}

    again = Process(tmp_path, "--seed", "5")
    one, other = frames(microscope), frames(again)
    again.close()
    common = set(one) & set(other)
    assert common
    for number in common:
        np.testing.assert_array_equal(one[number], other[number])


def test_another_seed_is_another_sample_and_another_noise(optics):
    mode = modes(SHAPE)[0]
    one, other = (Scene(optics, seed, 1) for seed in (1, 2))
    assert (one.transmission() != other.transmission()).any()
    photons = one.photons(mode, "empty", DISTANCE, 1e-3)
    np.testing.assert_array_equal(one.expose(photons, 1e-3, 1.0, 0), one.expose(photons, 1e-3, 1.0, 0))
    assert (one.expose(photons, 1e-3, 1.0, 0) != one.expose(photons, 1e-3, 1.0, 1)).any()
    assert (one.expose(photons, 1e-3, 1.0, 0) != other.expose(photons, 1e-3, 1.0, 0)).any()


def test_a_microscope_that_ends_is_told_and_devices_close_all_the_same(tmp_path):
    started = Process(tmp_path)
    with open_devices(started.instrument, ["camera"]) as devices:
        camera = devices["camera"]
        camera.start()
        camera.frame(10.0)
        started.process.send_signal(signal.SIGKILL)
        started.process.wait()
        with pytest.raises(DeviceError, match="connection that lasts"):
            deque((camera.frame(10.0) for _ in range(20)), maxlen=0)
    with pytest.raises(DevicesError) as caught, open_devices(started.instrument, ["camera", "light"]):
        pass
    assert set(caught.value.failures) == {"camera", "light"}
    assert "Start nixel-virtual-microscope" in str(caught.value)
    started.close()


def test_the_light_needs_the_relay_of_the_panel(tmp_path):
    panel_socket = tmp_path / "panel"
    panel = subprocess.Popen(
        [sys.executable, "-m", "nixel.acquisition.virtual.panel_server", "--socket", str(panel_socket)],
        stdout=subprocess.PIPE,
        text=True,
    )
    panel.stdout.readline()
    started = Process(tmp_path, "--panel", str(panel_socket))
    light = VirtualLightAdapter(started.instrument.devices["light"])
    light.open()
    try:
        with pytest.raises(DeviceError, match=r"relay is off.*hold a lease"):
            light.switch(True)
        assert not light.is_on()
        with socket.socket(socket.AF_UNIX) as daemon:  # as the safety daemon would
            daemon.connect(str(panel_socket))
            lines = daemon.makefile("rw")

            def say(*words):
                lines.write(" ".join(words) + "\n")
                lines.flush()
                assert lines.readline() == "OK\n"

            say("OUT", "17", "1")
            say("OUT", "27", "0")
            level = 0
            deadline = time.monotonic() + 5
            while not light.is_on():
                assert time.monotonic() < deadline
                level ^= 1
                say("SET", "27", str(level))
                with contextlib.suppress(DeviceError):
                    light.switch(True)
        time.sleep(0.2)  # the pump stands still
        assert not light.is_on()
    finally:
        light.close()
        panel.kill()
        panel.wait()
        panel.stdout.close()
    with contextlib.closing(started.connect()) as connection:
        connection.request("set", control="light", value=True)
        assert connection.request("get", control="lit")["value"] is False, "no panel, no power"
    started.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--instrument", "virtual-scanner"], "expected a microscope"),
        (["--seed", "-1"], "zero or more"),
        (["--socket", "/no/such/folder/socket"], "No such file"),
        (["--sample", "hair"], "expected the samples particles, empty and no 'hair'"),
        (["--distance", "1"], "bare number"),
        (["--distance", "5mm"], "expected a distance from 0.0003 to 0.003 m"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_why(tmp_path, capsys, arguments, says):
    assert main(["--socket", str(tmp_path / "s"), *arguments]) == 2
    assert says in capsys.readouterr().err


def test_sample_and_distance_are_what_the_command_line_says(tmp_path):
    started = Process(tmp_path, "--sample", "empty", "--distance", "0.7mm")
    with contextlib.closing(started.connect()) as connection:
        assert connection.request("get", control="sample")["value"] == "empty"
        assert connection.request("get", control="distance")["value"] == pytest.approx(0.7e-3)
    started.close()


def test_it_ends_with_its_parent_and_takes_its_socket_along(tmp_path):
    started = Process(tmp_path)
    assert started.socket.is_socket()
    started.close()
    assert started.process.returncode == 0
    assert not started.socket.exists()
