"""The V4L2 adapter without a camera: its numbers against the kernel's header, and what it plans to set."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from nixel.acquisition.adapters.v4l2 import V4l2Camera
from nixel.acquisition.adapters.v4l2_settings import V4l2
from nixel.acquisition.cameras import v4l2_uapi as uapi
from nixel.acquisition.cameras.raw import FORMATS, fourcc
from nixel.acquisition.cameras.v4l2_controls import (
    ControlError,
    automatics_off,
    exposure_of,
    gain_of,
    named,
)
from nixel.acquisition.cameras.v4l2_node import Control, Filled, Layout
from nixel.acquisition.devices import DeviceError
from nixel.acquisition.instrument import InstrumentError, load_instrument

STRUCTURES = {
    "v4l2_capability": uapi.Capability,
    "v4l2_fmtdesc": uapi.FormatDescription,
    "v4l2_pix_format": uapi.PixelFormat,
    "v4l2_plane_pix_format": uapi.PlaneFormat,
    "v4l2_pix_format_mplane": uapi.PlanarFormat,
    "v4l2_plane": uapi.Plane,
    "v4l2_format": uapi.Format,
    "v4l2_requestbuffers": uapi.RequestBuffers,
    "v4l2_buffer": uapi.Buffer,
    "v4l2_streamparm": uapi.StreamParameters,
    "v4l2_frmsizeenum": uapi.FrameSize,
    "v4l2_frmivalenum": uapi.FrameInterval,
    "v4l2_query_ext_ctrl": uapi.QueryExtControl,
    "v4l2_ext_control": uapi.ExtControl,
    "v4l2_ext_controls": uapi.ExtControls,
}
# What the kernel's structure calls a field that ours calls otherwise, or has inside another.
RENAMED = {
    ("v4l2_streamparm", "capability"): "parm.capture.capability",
    ("v4l2_streamparm", "capturemode"): "parm.capture.capturemode",
    ("v4l2_streamparm", "timeperframe"): "parm.capture.timeperframe",
    ("v4l2_streamparm", "extendedmode"): "parm.capture.extendedmode",
    ("v4l2_streamparm", "readbuffers"): "parm.capture.readbuffers",
    ("v4l2_streamparm", "reserved"): "parm.capture.reserved",
    ("v4l2_frmsizeenum", "values"): "discrete",
    ("v4l2_frmivalenum", "values"): "discrete",
    ("v4l2_ext_control", "of"): "value",
}


def numbers(space):
    """Integers of a class, less what Python keeps in it."""
    return {
        name: value
        for name, value in vars(space).items()
        if isinstance(value, int) and not name.startswith("_")
    }


NUMBERS = {
    **{f"VIDIOC_{name}": value for name, value in numbers(uapi.ioctls).items()},
    **{f"V4L2_CID_{name}": value for name, value in numbers(uapi.Cid).items()},
    **{f"V4L2_CAP_{name}": value for name, value in numbers(uapi.Capture).items()},
    "V4L2_BUF_FLAG_ERROR": uapi.BufferFlag.ERROR,
    "V4L2_BUF_FLAG_TIMESTAMP_MASK": uapi.BufferFlag.TIMESTAMP_MASK,
    "V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC": uapi.BufferFlag.TIMESTAMP_MONOTONIC,
    "V4L2_BUF_FLAG_TSTAMP_SRC_MASK": uapi.BufferFlag.SOURCE_MASK,
    "V4L2_BUF_FLAG_TSTAMP_SRC_SOE": uapi.BufferFlag.SOURCE_START_OF_EXPOSURE,
    "V4L2_BUF_TYPE_VIDEO_CAPTURE": uapi.BUF_TYPE_VIDEO_CAPTURE,
    "V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE": uapi.BUF_TYPE_VIDEO_CAPTURE_MPLANE,
    "V4L2_MEMORY_MMAP": uapi.MEMORY_MMAP,
    "V4L2_FIELD_NONE": uapi.FIELD_NONE,
    "V4L2_CAP_TIMEPERFRAME": uapi.CAP_TIMEPERFRAME,
    "V4L2_CTRL_TYPE_INTEGER": uapi.ControlType.INTEGER,
    "V4L2_CTRL_TYPE_BOOLEAN": uapi.ControlType.BOOLEAN,
    "V4L2_CTRL_TYPE_MENU": uapi.ControlType.MENU,
    "V4L2_CTRL_TYPE_BUTTON": uapi.ControlType.BUTTON,
    "V4L2_CTRL_TYPE_INTEGER64": uapi.ControlType.INTEGER64,
    "V4L2_CTRL_TYPE_BITMASK": uapi.ControlType.BITMASK,
    "V4L2_CTRL_TYPE_INTEGER_MENU": uapi.ControlType.INTEGER_MENU,
    "V4L2_CTRL_FLAG_DISABLED": uapi.ControlType.DISABLED,
    "V4L2_CTRL_FLAG_READ_ONLY": uapi.ControlType.READ_ONLY,
    "V4L2_CTRL_FLAG_WRITE_ONLY": uapi.ControlType.WRITE_ONLY,
    "V4L2_CTRL_FLAG_NEXT_CTRL": uapi.ControlType.NEXT,
    "V4L2_EXPOSURE_MANUAL": 1,
    **{
        f"V4L2_PIX_FMT_{name}": fourcc(layout.code)
        for name, layout in FORMATS.items()
    },
}  # fmt: skip


def test_structures_and_numbers_are_those_of_the_kernels_header(tmp_path):
    compiler = shutil.which("gcc") or shutil.which("cc")
    header = [compiler or "", "-E", "-include", "linux/videodev2.h", "-x", "c", "/dev/null"]
    if compiler is None or subprocess.run(header, capture_output=True, check=False).returncode:
        pytest.skip("no C compiler or no linux/videodev2.h on this machine (Debian: gcc, linux-libc-dev)")
    lines, ours = [], {}
    for name, structure in STRUCTURES.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        ours[name] = ctypes.sizeof(structure)
        for field, *_ in structure._fields_:
            theirs = RENAMED.get((name, field), field)
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof(struct {name}, {theirs}));')
            ours[f"{name}.{field}"] = getattr(structure, field).offset
    for name, value in NUMBERS.items():
        lines.append(f'printf("{name} %lu\\n", (unsigned long)(unsigned int){name});')
        ours[name] = value
    program = tmp_path / "numbers.c"
    head = "#include <linux/videodev2.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n"
    program.write_text(head + "\n".join(lines) + "\nreturn 0; }\n")
    subprocess.run([compiler, str(program), "-o", str(tmp_path / "numbers")], check=True)
    told = subprocess.run([str(tmp_path / "numbers")], capture_output=True, text=True, check=True).stdout
    theirs = {name: int(value) for name, value in (line.split() for line in told.splitlines())}
    assert ours == theirs


# --- what is set ---


def control(cid, name, low, high, default=0, kind=uapi.ControlType.INTEGER, flags=0):
    return Control(cid, name, low, high, 1, default, kind, flags)


# As the kernel's driver for the IMX219 has them, in its 1640 x 1232 mode.
IMX219 = (
    control(uapi.Cid.EXPOSURE, "exposure", 4, 1759, 1600),
    control(uapi.Cid.HBLANK, "horizontal_blanking", 1808, 1808, 1808, flags=uapi.ControlType.READ_ONLY),
    control(
        uapi.Cid.PIXEL_RATE, "pixel_rate", 182400000, 182400000, 182400000, uapi.ControlType.INTEGER64, 4
    ),
    control(uapi.Cid.ANALOGUE_GAIN, "analogue_gain", 0, 232),
    control(uapi.Cid.DIGITAL_GAIN, "digital_gain", 256, 4095, 256),
)
WEBCAM = (
    control(uapi.Cid.EXPOSURE_AUTO, "auto_exposure", 0, 3, 3, uapi.ControlType.MENU),
    control(uapi.Cid.EXPOSURE_ABSOLUTE, "exposure_time_absolute", 3, 2047, 250),
    control(uapi.Cid.AUTO_WHITE_BALANCE, "white_balance_automatic", 0, 1, 1, uapi.ControlType.BOOLEAN),
    control(uapi.Cid.AUTOGAIN, "gain_automatic", 0, 1, 1, uapi.ControlType.BOOLEAN),
    control(uapi.Cid.GAIN, "gain", 0, 100, 10),
    control(0x00981999, "lens_shading_correction", 0, 1, 1, uapi.ControlType.BOOLEAN),
)


def value(found):
    return {IMX219[1]: 1808, IMX219[2]: 182400000}[found]


def test_an_exposure_in_rows_takes_the_rows_time_from_the_driver():
    exposure = exposure_of(IMX219, value, 1640, None)
    # 3448 clocks of 182.4 MHz a row: 18.904 us.
    assert exposure.unit == pytest.approx(18.9035e-6, rel=1e-5)
    assert exposure.plan(2e-3).value == 106
    assert exposure_of(IMX219, value, 1640, 1e-5).plan(2e-3).value == 200
    with pytest.raises(ControlError, match=r"7\.561e-05 s to 0\.03325 s"):
        exposure.plan(0.1)
    with pytest.raises(ControlError, match="set line_time"):
        exposure_of(IMX219[:1], value, 1640, None)


def test_an_exposure_in_time_needs_no_rows():
    assert exposure_of(WEBCAM, value, 640, None).plan(2e-3).value == 20
    assert exposure_of((), value, 640, None) is None


def test_what_adapts_by_itself_is_switched_off():
    planned = {each.control.name: each.value for each in automatics_off(WEBCAM)}
    assert planned == {
        "auto_exposure": 1,
        "white_balance_automatic": 0,
        "gain_automatic": 0,
        "lens_shading_correction": 0,
    }
    assert [(each.control.name, each.value) for each in automatics_off(IMX219)] == [("digital_gain", 256)]


def test_gain_is_the_analogue_one_where_there_is_one():
    assert gain_of(IMX219).name == "analogue_gain"
    assert gain_of(WEBCAM).name == "gain"
    assert gain_of(()) is None


def test_a_control_is_set_by_its_name_and_within_its_range():
    assert named(WEBCAM, "gain", 100).value == 100
    with pytest.raises(ControlError, match="0 to 100, found 101"):
        named(WEBCAM, "gain", 101)
    with pytest.raises(ControlError, match="horizontal_blanking"):  # which is read-only
        named(IMX219, "horizontal_blanking", 1808)


# --- settings ---


def settings(**more):
    return V4l2(**{"adapter": "v4l2", "path": "/dev/video9", "format": "SRGGB10", "shape": (8, 8), **more})


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"format": "YUYV"}, "expected one of SRGGB8"),
        ({"shape": (1, 8)}, "expected rows and columns"),
        ({"gain": 2.0}, "needs the sensor"),
        ({"gain": 2.0, "sensor": "imx219", "gain_code": 3}, "never both"),
        ({"exposure": "0 s"}, "more than zero"),
        ({"path": "video0"}, "path"),
    ],
)
def test_settings_that_make_no_sense_are_refused(more, says):
    with pytest.raises(ValidationError, match=says):
        settings(**more)


def test_an_exposure_beyond_the_microscopes_limit_is_refused(tmp_path):
    shipped = Path(load_instrument.__code__.co_filename).parent / "instruments/virtual-microscope.toml"
    text = shipped.read_text().replace('exposure = "2 ms"', 'exposure = "101 ms"', 1)
    camera = (
        'adapter = "virtual-camera"\npath = "/run/nixel-virtual-microscope/microscope"\nsensor = "imx219"'
    )
    assert camera in text
    for adapter in (
        camera,
        'adapter = "v4l2"\npath = "/dev/video0"\nformat = "SRGGB10P"\nshape = [2464, 3280]\nsensor = "imx219"',
    ):
        path = tmp_path / "mine.toml"
        path.write_text(text.replace(camera, adapter))
        with pytest.raises(InstrumentError, match=r"devices\.camera\.exposure: found 0\.101 s.*0\.1 s"):
            load_instrument(path)


def test_where_there_is_no_camera_is_told_with_what_there_is(tmp_path):
    with pytest.raises(DeviceError, match=r"no such device file; there are .*Connect it"):
        V4l2Camera(settings(path="/dev/no-such-camera")).open()
    with pytest.raises(DeviceError, match="no video device"):
        V4l2Camera(settings(path="/dev/null")).open()
    camera = V4l2Camera(settings())
    with pytest.raises(DeviceError, match="open device"):
        camera.start()
    with pytest.raises(DeviceError, match="a camera that runs"):
        camera.frame(0.1)
    camera.stop()
    camera.close()


@pytest.mark.parametrize(
    ("sequences", "numbers", "lost"),
    [
        ((0, 1, 2), [0, 1, 2], 0),
        ((2, 3, 7), [2, 3, 7], 5),
        (
            (2**32 - 2, 2**32 - 1, 0, 2),
            [0, 1, 2, 4],
            1,
        ),  # a count that was not begun with the stream, and goes round
        ((0, 1, 1, 2, 5), [0, 1, 2, 3, 6], 2),  # one that comes twice
        ((10, 11, 0, 1), [10, 11, 12, 13], 10),  # one that begins anew
    ],
)
def test_numbers_go_on_whatever_the_driver_counts(sequences, numbers, lost):
    class Node:
        def give_back(self, buffer):
            pass

    camera = V4l2Camera(settings())
    camera._layout = Layout(fourcc("RG10"), 8, 8, 16, 128)
    frames = [
        camera._frame(Node(), Filled(0, memoryview(bytes(128)), sequence, 1.0, 0)) for sequence in sequences
    ]
    assert [frame.number for frame in frames] == numbers
    assert camera.lost == lost
