"""A V4L2 device file: its formats, its controls, and frames through memory that the kernel shares with us.

Everything here raises OSError as the kernel does; the adapter turns that into words.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import re
import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nixel.acquisition.cameras import v4l2_uapi as uapi
from nixel.acquisition.cameras.v4l2_uapi import BufferFlag, Capture, ControlType, ioctls

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Control", "Filled", "Layout", "VideoNode"]

_MOST = 1024  # of anything that a driver lists


@dataclass(frozen=True)
class Control:
    """A control of a driver, with a number as its value.

    Parameters
    ----------
    id : int
    name : str
        The driver's, in lower case with underscores, as ``v4l2-ctl`` writes it.
    minimum, maximum, step, default : int
    kind : int
    flags : int
    """

    id: int
    name: str
    minimum: int
    maximum: int
    step: int
    default: int
    kind: int
    flags: int

    @property
    def writable(self) -> bool:
        """Whether it can be set."""
        return not self.flags & (ControlType.READ_ONLY | ControlType.DISABLED)


class Layout(NamedTuple):
    """What a device sends: the four characters as a number, rows, columns, bytes a row and bytes a frame.

    `pieces` is in how many pieces of memory a frame lies; `stride` and `size` are those of the first.
    """

    pixelformat: int
    rows: int
    columns: int
    stride: int
    size: int
    pieces: int = 1


class Filled(NamedTuple):
    """A buffer that holds a frame until it is given back.

    `sequence` is the driver's own count of 32 bits, `time` by its clock in s.
    """

    buffer: int
    data: memoryview
    sequence: int
    time: float
    flags: int


class VideoNode:
    """An open device file.

    Parameters
    ----------
    path : str
        A video node, or a sensor's own (``/dev/v4l-subdev0``), which has controls alone.

    Notes
    -----
    A driver has either the kernel's older interface, in which a frame is one piece of memory, or the newer one, in
    which it is an array of them ("planes"; of one, for a raw frame). `capability` finds out which.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._buffers: list[mmap.mmap] = []
        self._type = uapi.BUF_TYPE_VIDEO_CAPTURE

    def close(self) -> None:
        """Give everything back; the kernel ends a stream with it."""
        for buffer in self._buffers:
            buffer.close()
        self._buffers = []
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # --- what it is ---

    def capability(self) -> tuple[str, str, int]:
        """Return driver, card, and what this node of it can do."""
        told = uapi.Capability()
        self._call(ioctls.QUERYCAP, told)
        whole = told.capabilities
        able = told.device_caps if whole & Capture.DEVICE_CAPS else whole
        if able & Capture.VIDEO_CAPTURE_MPLANE and not able & Capture.VIDEO_CAPTURE:
            self._type = uapi.BUF_TYPE_VIDEO_CAPTURE_MPLANE
        return told.driver.decode(errors="replace"), told.card.decode(errors="replace"), able

    def formats(self) -> list[int]:
        """Return the pixel formats that it offers."""
        found = []
        for index in range(_MOST):
            asked = uapi.FormatDescription(index=index, type=self._type)
            if not self._listed(ioctls.ENUM_FMT, asked):
                break
            found.append(int(asked.pixelformat))
        return found

    def sizes(self, pixelformat: int) -> list[tuple[int, int]]:
        """Return rows and columns of the sizes that it lists one by one; none where it takes ranges."""
        found = []
        for index in range(_MOST):
            asked = uapi.FrameSize(index=index, pixel_format=pixelformat)
            if not self._listed(ioctls.ENUM_FRAMESIZES, asked) or asked.type != 1:
                break
            found.append((int(asked.values[1]), int(asked.values[0])))
        return found

    def set_format(self, pixelformat: int, rows: int, columns: int) -> Layout:
        """Ask for a format; return what the driver made of it."""
        asked = uapi.Format(type=self._type)
        self._call(ioctls.G_FMT, asked)
        if self._type == uapi.BUF_TYPE_VIDEO_CAPTURE_MPLANE:
            planar = asked.fmt.pix_mp
            planar.width, planar.height, planar.pixelformat = columns, rows, pixelformat
            planar.field, planar.num_planes, planar.plane_fmt = uapi.FIELD_NONE, 1, (uapi.PlaneFormat * 8)()
            self._call(ioctls.S_FMT, asked)
            first = planar.plane_fmt[0]
            return Layout(
                planar.pixelformat,
                planar.height,
                planar.width,
                first.bytesperline,
                first.sizeimage,
                planar.num_planes,
            )
        pix = asked.fmt.pix
        pix.width, pix.height, pix.pixelformat = columns, rows, pixelformat
        pix.field, pix.bytesperline, pix.sizeimage = uapi.FIELD_NONE, 0, 0
        self._call(ioctls.S_FMT, asked)
        return Layout(pix.pixelformat, pix.height, pix.width, pix.bytesperline, pix.sizeimage)

    def intervals(self, layout: Layout) -> list[tuple[int, int]]:
        """Return the frame intervals that it lists one by one, or the shortest of a range, as fractions of s."""
        found = []
        for index in range(_MOST):
            asked = uapi.FrameInterval(
                index=index, pixel_format=layout.pixelformat, width=layout.columns, height=layout.rows
            )
            if not self._listed(ioctls.ENUM_FRAMEINTERVALS, asked):
                break
            found.append((int(asked.values[0].numerator), int(asked.values[0].denominator)))
            if asked.type != 1:
                break
        return found

    def set_interval(self, numerator: int, denominator: int) -> tuple[int, int] | None:
        """Ask for a frame interval; return what it made of it, `None` where it has no such thing."""
        asked = uapi.StreamParameters(type=self._type)
        try:
            self._call(ioctls.G_PARM, asked)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                return None
            raise
        if not asked.capability & uapi.CAP_TIMEPERFRAME:
            return None
        asked.timeperframe.numerator, asked.timeperframe.denominator = numerator, denominator
        self._call(ioctls.S_PARM, asked)
        return int(asked.timeperframe.numerator), int(asked.timeperframe.denominator)

    # --- controls ---

    def controls(self) -> Iterator[Control]:
        """Give the controls whose value is a number."""
        asked = uapi.QueryExtControl(id=ControlType.NEXT)
        numbers = (
            ControlType.INTEGER,
            ControlType.BOOLEAN,
            ControlType.MENU,
            ControlType.INTEGER64,
            ControlType.BITMASK,
            ControlType.INTEGER_MENU,
        )
        for _ in range(_MOST):
            if not self._listed(ioctls.QUERY_EXT_CTRL, asked):
                return
            if asked.type in (*numbers, ControlType.BUTTON) and not asked.flags & ControlType.DISABLED:
                name = re.sub(r"[^a-z0-9]+", "_", asked.name.decode(errors="replace").lower()).strip("_")
                limits = (asked.minimum, asked.maximum, asked.step, asked.default_value)
                yield Control(asked.id, name, *limits, asked.type, asked.flags)
            asked.id |= ControlType.NEXT

    def control(self, control: Control) -> int:
        """Read a control from the driver."""
        with_value, held = self._one(control, 0)
        self._call(ioctls.G_EXT_CTRLS, with_value)
        return int(held.of.value64 if control.kind == ControlType.INTEGER64 else held.of.value)

    def set_control(self, control: Control, value: int) -> None:
        """Write a control."""
        with_value, _held = self._one(control, value)
        self._call(ioctls.S_EXT_CTRLS, with_value)

    # --- frames ---

    def request_buffers(self, count: int) -> int:
        """Map buffers of the kernel and hand them to the driver; return how many it gave."""
        asked = uapi.RequestBuffers(count=count, type=self._type, memory=uapi.MEMORY_MMAP)
        self._call(ioctls.REQBUFS, asked)
        for index in range(asked.count):
            buffer, plane = self._buffer(index)
            self._call(ioctls.QUERYBUF, buffer)
            length, offset = (
                (buffer.length, buffer.m.offset) if plane is None else (plane.length, plane.m.mem_offset)
            )
            self._buffers.append(
                mmap.mmap(self._descriptor, length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=offset)
            )
        for index in range(asked.count):
            self.give_back(index)
        return int(asked.count)

    def release_buffers(self) -> None:
        """Unmap the buffers and free them."""
        for buffer in self._buffers:
            buffer.close()
        self._buffers = []
        asked = uapi.RequestBuffers(count=0, type=self._type, memory=uapi.MEMORY_MMAP)
        self._call(ioctls.REQBUFS, asked)

    def stream(self, on: bool) -> None:
        """Start or end the stream; ending takes every buffer back from the driver."""
        self._call(ioctls.STREAMON if on else ioctls.STREAMOFF, ctypes.c_int(self._type))

    def wait(self, timeout: float) -> bool:
        """Return whether a frame is there, or an error is, within so many seconds."""
        if self._descriptor < 0:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout) * 1e3))

    def take(self) -> Filled | None:
        """Take a filled buffer from the driver; `None` if there is none yet."""
        buffer, plane = self._buffer(0)
        try:
            self._call(ioctls.DQBUF, buffer)
        except BlockingIOError:
            return None
        stamp = buffer.timestamp.seconds + buffer.timestamp.microseconds * 1e-6
        if buffer.flags & BufferFlag.TIMESTAMP_MASK != BufferFlag.TIMESTAMP_MONOTONIC:
            stamp = time.monotonic()
        begin, end = (0, buffer.bytesused) if plane is None else (plane.data_offset, plane.bytesused)
        data = memoryview(self._buffers[buffer.index])[begin:end]
        return Filled(buffer.index, data, int(buffer.sequence), stamp, int(buffer.flags))

    def give_back(self, index: int) -> None:
        """Let the driver fill a buffer again."""
        self._call(ioctls.QBUF, self._buffer(index)[0])

    # --- the kernel ---

    def _buffer(self, index: int) -> tuple[uapi.Buffer, uapi.Plane | None]:
        """What a buffer is spoken of with, and its plane where it has one."""
        buffer = uapi.Buffer(index=index, type=self._type, memory=uapi.MEMORY_MMAP)
        if self._type != uapi.BUF_TYPE_VIDEO_CAPTURE_MPLANE:
            return buffer, None
        plane = uapi.Plane()
        buffer.m.planes, buffer.length = ctypes.pointer(plane), 1
        return buffer, plane

    def _one(self, control: Control, value: int) -> tuple[uapi.ExtControls, uapi.ExtControl]:
        held = uapi.ExtControl(id=control.id)
        if control.kind == ControlType.INTEGER64:
            held.of.value64 = value
        else:
            held.of.value = value
        return uapi.ExtControls(which=0, count=1, controls=ctypes.pointer(held)), held

    def _listed(self, request: int, argument: ctypes.Structure) -> bool:
        """Ask for the next of a list; a driver ends it with EINVAL, and says ENOTTY where it keeps none."""
        try:
            self._call(request, argument)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
                return False
            raise
        return True

    def _call(self, request: int, argument: ctypes.Structure | ctypes.c_int) -> None:
        fcntl.ioctl(self._descriptor, request, argument)
