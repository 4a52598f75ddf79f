"""The kernel's Video for Linux interface, version 2: the structures and numbers of ``linux/videodev2.h`` used here.

Written from the kernel's documentation (Documentation/userspace-api/media/v4l) for 64-bit Linux; a test compares
sizes, offsets and numbers with the C header.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, Union, c_char, c_int32, c_int64, c_long, c_uint8, c_uint16, c_uint32, sizeof

__all__ = [
    "Buffer",
    "BufferFlag",
    "Capability",
    "Capture",
    "Cid",
    "ControlType",
    "ExtControl",
    "ExtControls",
    "Format",
    "FormatDescription",
    "FrameInterval",
    "FrameSize",
    "PlanarFormat",
    "Plane",
    "QueryExtControl",
    "RequestBuffers",
    "StreamParameters",
    "ioctls",
]

BUF_TYPE_VIDEO_CAPTURE, BUF_TYPE_VIDEO_CAPTURE_MPLANE = 1, 9
MEMORY_MMAP = 1
FIELD_ANY, FIELD_NONE = 0, 1
CAP_TIMEPERFRAME = 0x1000


class Capture:
    """``V4L2_CAP_...``: what a device can do."""

    VIDEO_CAPTURE = 0x00000001
    VIDEO_CAPTURE_MPLANE = 0x00001000
    STREAMING = 0x04000000
    IO_MC = 0x20000000
    DEVICE_CAPS = 0x80000000


class BufferFlag:
    """``V4L2_BUF_FLAG_...``."""

    ERROR = 0x00000040
    TIMESTAMP_MASK = 0x0000E000
    TIMESTAMP_MONOTONIC = 0x00002000
    SOURCE_MASK = 0x00070000
    SOURCE_START_OF_EXPOSURE = 0x00010000


class ControlType:
    """``V4L2_CTRL_TYPE_...`` of what a number can be written to, and ``V4L2_CTRL_FLAG_...``."""

    INTEGER, BOOLEAN, MENU, BUTTON, INTEGER64 = 1, 2, 3, 4, 5
    BITMASK, INTEGER_MENU = 8, 9
    DISABLED, READ_ONLY, VOLATILE, WRITE_ONLY = 0x1, 0x4, 0x80, 0x40
    NEXT = 0x80000000


class Cid:
    """``V4L2_CID_...``: the controls that this adapter knows the meaning of."""

    AUTO_WHITE_BALANCE = 0x0098090C
    EXPOSURE = 0x00980911  # in lines, of a raw sensor
    AUTOGAIN = 0x00980912
    GAIN = 0x00980913
    EXPOSURE_AUTO = 0x009A0901
    EXPOSURE_ABSOLUTE = 0x009A0902  # in 100 us
    EXPOSURE_AUTO_PRIORITY = 0x009A0903
    WIDE_DYNAMIC_RANGE = 0x009A0915
    ISO_SENSITIVITY_AUTO = 0x009A0918
    HBLANK = 0x009E0902
    ANALOGUE_GAIN = 0x009E0903
    PIXEL_RATE = 0x009F0902
    DIGITAL_GAIN = 0x009F0905


class Capability(Structure):
    """``struct v4l2_capability``."""

    _fields_ = (
        ("driver", c_char * 16),
        ("card", c_char * 32),
        ("bus_info", c_char * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class FormatDescription(Structure):
    """``struct v4l2_fmtdesc``."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_char * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class PixelFormat(Structure):
    """``struct v4l2_pix_format``."""

    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("bytesperline", c_uint32),
        ("sizeimage", c_uint32),
        ("colorspace", c_uint32),
        ("priv", c_uint32),
        ("flags", c_uint32),
        ("ycbcr_enc", c_uint32),
        ("quantization", c_uint32),
        ("xfer_func", c_uint32),
    )


class PlaneFormat(Structure):
    """``struct v4l2_plane_pix_format``."""

    _pack_ = 1
    _fields_ = (("sizeimage", c_uint32), ("bytesperline", c_uint32), ("reserved", c_uint16 * 6))


class PlanarFormat(Structure):
    """``struct v4l2_pix_format_mplane``."""

    _pack_ = 1
    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("colorspace", c_uint32),
        ("plane_fmt", PlaneFormat * 8),
        ("num_planes", c_uint8),
        ("flags", c_uint8),
        ("ycbcr_enc", c_uint8),
        ("quantization", c_uint8),
        ("xfer_func", c_uint8),
        ("reserved", c_uint8 * 7),
    )


class _FormatOf(Union):
    # Beside them there are formats with pointers, which align the union to eight bytes.
    _fields_ = (
        ("pix", PixelFormat),
        ("pix_mp", PlanarFormat),
        ("raw", c_uint8 * 200),
        ("_align", ctypes.c_void_p),
    )


class Format(Structure):
    """``struct v4l2_format``."""

    _fields_ = (("type", c_uint32), ("fmt", _FormatOf))


class RequestBuffers(Structure):
    """``struct v4l2_requestbuffers``."""

    _fields_ = (
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("flags", c_uint8),
        ("reserved", c_uint8 * 3),
    )


class _Time(Structure):
    _fields_ = (("seconds", c_long), ("microseconds", c_long))


class _Timecode(Structure):
    _fields_ = (
        ("type", c_uint32),
        ("flags", c_uint32),
        ("frames", c_uint8),
        ("seconds", c_uint8),
        ("minutes", c_uint8),
        ("hours", c_uint8),
        ("userbits", c_uint8 * 4),
    )


class _PlaneMemory(Union):
    _fields_ = (("mem_offset", c_uint32), ("userptr", ctypes.c_ulong), ("fd", c_int32))


class Plane(Structure):
    """``struct v4l2_plane``; `bytesused` counts from the plane's begin, `data_offset` bytes before the data too."""

    _fields_ = (
        ("bytesused", c_uint32),
        ("length", c_uint32),
        ("m", _PlaneMemory),
        ("data_offset", c_uint32),
        ("reserved", c_uint32 * 11),
    )


class _Memory(Union):
    _fields_ = (
        ("offset", c_uint32),
        ("userptr", ctypes.c_ulong),
        ("planes", ctypes.POINTER(Plane)),
        ("fd", c_int32),
    )


class Buffer(Structure):
    """``struct v4l2_buffer``."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("timestamp", _Time),
        ("timecode", _Timecode),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("m", _Memory),
        ("length", c_uint32),
        ("reserved2", c_uint32),
        ("request_fd", c_int32),
    )


class Fraction(Structure):
    """``struct v4l2_fract``."""

    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class StreamParameters(Structure):
    """``struct v4l2_streamparm`` of a capture."""

    _fields_ = (
        ("type", c_uint32),
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("timeperframe", Fraction),
        ("extendedmode", c_uint32),
        ("readbuffers", c_uint32),
        ("reserved", c_uint8 * 176),
    )


class FrameSize(Structure):
    """``struct v4l2_frmsizeenum``; discrete: width and height, else minimum, maximum and step of both."""

    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("values", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    )


class FrameInterval(Structure):
    """``struct v4l2_frmivalenum``; discrete: one fraction, else minimum, maximum and step."""

    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("type", c_uint32),
        ("values", Fraction * 3),
        ("reserved", c_uint32 * 2),
    )


class QueryExtControl(Structure):
    """``struct v4l2_query_ext_ctrl``."""

    _fields_ = (
        ("id", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 32),
        ("minimum", c_int64),
        ("maximum", c_int64),
        ("step", ctypes.c_uint64),
        ("default_value", c_int64),
        ("flags", c_uint32),
        ("elem_size", c_uint32),
        ("elems", c_uint32),
        ("nr_of_dims", c_uint32),
        ("dims", c_uint32 * 4),
        ("reserved", c_uint32 * 32),
    )


class _ControlValue(Union):
    _pack_ = 1
    _fields_ = (("value", c_int32), ("value64", c_int64), ("pointer", ctypes.c_void_p))


class ExtControl(Structure):
    """``struct v4l2_ext_control``."""

    _pack_ = 1
    _fields_ = (("id", c_uint32), ("size", c_uint32), ("reserved2", c_uint32), ("of", _ControlValue))


class ExtControls(Structure):
    """``struct v4l2_ext_controls``."""

    _fields_ = (
        ("which", c_uint32),
        ("count", c_uint32),
        ("error_idx", c_uint32),
        ("request_fd", c_int32),
        ("reserved", c_uint32),
        ("controls", ctypes.POINTER(ExtControl)),
    )


def _number(direction: int, number: int, kind: type[Structure | ctypes._SimpleCData[int]]) -> int:
    return direction << 30 | sizeof(kind) << 16 | ord("V") << 8 | number


_WRITE, _READ = 1, 2


class ioctls:  # noqa: N801 (a table of numbers under the kernel's names)
    """``VIDIOC_...``."""

    QUERYCAP = _number(_READ, 0, Capability)
    ENUM_FMT = _number(_READ | _WRITE, 2, FormatDescription)
    G_FMT = _number(_READ | _WRITE, 4, Format)
    S_FMT = _number(_READ | _WRITE, 5, Format)
    REQBUFS = _number(_READ | _WRITE, 8, RequestBuffers)
    QUERYBUF = _number(_READ | _WRITE, 9, Buffer)
    QBUF = _number(_READ | _WRITE, 15, Buffer)
    DQBUF = _number(_READ | _WRITE, 17, Buffer)
    STREAMON = _number(_WRITE, 18, ctypes.c_int)
    STREAMOFF = _number(_WRITE, 19, ctypes.c_int)
    G_PARM = _number(_READ | _WRITE, 21, StreamParameters)
    S_PARM = _number(_READ | _WRITE, 22, StreamParameters)
    G_EXT_CTRLS = _number(_READ | _WRITE, 71, ExtControls)
    S_EXT_CTRLS = _number(_READ | _WRITE, 72, ExtControls)
    ENUM_FRAMESIZES = _number(_READ | _WRITE, 74, FrameSize)
    ENUM_FRAMEINTERVALS = _number(_READ | _WRITE, 75, FrameInterval)
    QUERY_EXT_CTRL = _number(_READ | _WRITE, 103, QueryExtControl)
