"""The libcamera adapter on a stand-in for libcamera's program. No real camera has been tried."""

from __future__ import annotations

import contextlib
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nixel.acquisition.adapters.libcamera import Libcamera, LibcameraCamera
from nixel.acquisition.cameras import cam
from nixel.acquisition.cameras.raw import FORMATS
from nixel.acquisition.devices import Camera, DeviceError

SHAPE = (60, 88)
STAND_IN = Path(__file__).with_name("stand_in_cam.py")


@pytest.fixture
def make(tmp_path):
    with contextlib.ExitStack() as stack:

        def made(misbehaviour="none", **more):
            program = tmp_path / misbehaviour
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} {misbehaviour} "$@"\n')
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            settings = {"command": str(program), "shape": SHAPE, "exposure": "2 ms", "gain": 2.0, **more}
            camera = LibcameraCamera(Libcamera(adapter="libcamera", **settings))
            stack.callback(camera.close)
            return camera

        yield made


def expected(number, shape=SHAPE):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y + x + number) % 1024


def test_frames_come_whole_and_are_numbered_from_the_first_that_has_the_exposure(make):
    camera = make()
    assert isinstance(camera, Camera)
    assert (camera.shape, camera.bits, camera.pattern) == (SHAPE, 10, "RGGB")
    camera.open()
    assert camera.get("exposure") == pytest.approx(2e-3)
    assert camera.get("gain") == pytest.approx(2.0)
    camera.start()
    frames = [camera.frame(5.0) for _ in range(30)]
    # The stand-in's own number is in its pixels; its first four frames have another exposure.
    first = int(frames[0].pixels[0, 0])
    assert first >= 5
    for frame in frames:
        np.testing.assert_array_equal(frame.pixels, expected(first + frame.number))
    assert [frame.number for frame in frames] == list(range(30))
    assert camera.get("lost") == 0
    assert frames[-1].time - frames[0].time == pytest.approx(29 / 60, abs=1e-3)
    assert abs(frames[-1].time - time.monotonic()) < 5.0
    camera.stop()
    camera.start()
    assert camera.frame(5.0).number == 0


def test_lost_frames_are_counted(make):
    camera = make("loses")
    camera.open()
    camera.start()
    numbers = [camera.frame(5.0).number for _ in range(20)]
    assert camera.get("lost") == 5
    assert numbers[-1] == 24


@pytest.mark.parametrize(
    ("misbehaviour", "more", "says"),
    [
        ("none", {"camera": "7"}, "Camera 7 not found"),
        ("none", {"format": "SRGGB12P"}, "disallowed by --strict-formats"),
        ("adapts", {}, "found ExposureTime 33000"),
        ("none", {"command": "no-such-program"}, "nixpkgs: libcamera"),
        ("none", {"command": "/bin/false"}, "cam ended with 1"),
    ],
)
def test_a_camera_that_cannot_is_found_when_it_is_opened(make, misbehaviour, more, says):
    camera = make(misbehaviour, **more)
    with pytest.raises(DeviceError, match=says):
        camera.open()
    with pytest.raises(DeviceError):
        camera.frame(0.1)


@pytest.mark.parametrize(
    ("misbehaviour", "says"),
    [
        ("ends", "frontend has timed out"),
        ("drifts", "ExposureTime 33000"),
        ("short", "expected 60 rows of at least 110 bytes"),
        ("silent", "one within 2 s, found none"),
    ],
)
def test_what_goes_wrong_under_way_is_told(make, misbehaviour, says):
    camera = make(misbehaviour)
    camera.open()
    camera.start()
    with pytest.raises(DeviceError, match=says):
        [camera.frame(2.0) for _ in range(100)]
    camera.close()


def test_full_frames_come_faster_than_a_run_needs(make):
    shape = (1232, 1640)
    camera = make(shape=shape)
    camera.open()
    camera.start()
    wanted = [expected(number, shape) for number in range(4)]
    best = 0.0
    for _ in range(4):
        began = time.monotonic()
        frames = [camera.frame(10.0) for _ in range(5)]
        best = max(best, 5 * 1232 * 2050 / (time.monotonic() - began) / 1e6)
        for frame in frames:
            assert (frame.pixels == wanted[frame.pixels[0, 0]]).all()
    print(f"full frames through the pipe: {best:.0f} MB/s")
    assert best > 30


def test_the_size_of_a_frame_tells_its_stride():
    layout = FORMATS["SRGGB10P"]
    assert cam.stride_of(layout, (2464, 3280), 2464 * 4100) == 4100
    assert cam.stride_of(layout, (2464, 3280), 2464 * 4128) == 4128
    assert cam.stride_of(layout, (2464, 3280), 2464 * 4128 + 1024) == 4128  # to a whole page
    with pytest.raises(ValueError, match="found 100 bytes"):
        cam.stride_of(layout, (2464, 3280), 100)


def test_lines_are_read_as_libcamera_writes_them():
    line = "12345.000678 (29.97 fps) cam0-stream0 seq: 000017 bytesused: 10171392"
    found = cam.describe(line)
    assert (found.sequence, found.size) == (17, 10171392)
    assert found.time == pytest.approx(12345.000678)
    assert cam.describe("cam0: Capture until user interrupts by SIGINT") is None
    assert cam.metadata("\tExposureTime = 1999") == ("ExposureTime", "1999")
    assert cam.metadata("ExposureTime = 1999") is None
    names = {name: cam.libcamera_name(FORMATS[name]) for name in ("SRGGB10P", "SBGGR12", "Y10", "GREY")}
    assert names == {"SRGGB10P": "SRGGB10_CSI2P", "SBGGR12": "SBGGR12", "Y10": "R10", "GREY": "R8"}
