"""A camera at a V4L2 device file: raw frames at the sensor's own rate, exposure and gain fixed.

A sensor behind a media graph (a Raspberry Pi's) must have its graph configured before, with ``media-ctl``; its controls
are then those of the sensor's own device file, which ``controls`` names. docs/developer.md has the commands.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.v4l2_properties import add_properties
from nixel.acquisition.adapters.v4l2_settings import V4l2
from nixel.acquisition.cameras.raw import FORMATS, fourcc, unpack
from nixel.acquisition.cameras.v4l2_controls import (
    SENSORS,
    ControlError,
    Exposure,
    Planned,
    automatics_off,
    exposure_of,
    gain_of,
    named,
)
from nixel.acquisition.cameras.v4l2_node import VideoNode
from nixel.acquisition.cameras.v4l2_uapi import BufferFlag, Capture
from nixel.acquisition.devices import DeviceError, Frame, HasProperties, PropertyTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nixel.acquisition.cameras.v4l2_node import Control, Filled, Layout

__all__ = ["ADAPTER", "V4l2", "V4l2Camera"]

_SLICE = 0.1  # s; so long a wait for a frame may keep another thread from stopping the camera
_COUNT = 1 << 32  # a driver's counter has 32 bits
_GONE = (errno.ENODEV, errno.ENXIO, errno.EIO)


class V4l2Camera(HasProperties):
    """The camera.

    Every control of its driver is among its properties.

    Parameters
    ----------
    settings : V4l2
    name : str
        The device's name in the instrument.
    """

    def __init__(self, settings: V4l2, name: str = "camera") -> None:
        self._settings, self.name = settings, name
        self.where = f"{name} at {settings.path}"
        self._raw = FORMATS[settings.format]
        self.shape, self.bits, self.pattern = settings.shape, self._raw.bits, self._raw.pattern
        self._lock = threading.RLock()
        self._node: VideoNode | None = None
        self._sensor: VideoNode | None = None
        self._layout: Layout | None = None
        self._owners: dict[int, VideoNode] = {}
        self._streaming = False
        self.lost = self.damaged = 0
        self._next = 0
        self._first: int | None = None
        self.exposure: Exposure | None = None
        self.gain: Control | None = None
        self.rate: float | None = None
        self.starts_with_exposure = False
        self._table = PropertyTable(self.where)

    # --- opening ---

    def open(self) -> None:
        """Open the device file, settle the format, and fix every control.

        Raises
        ------
        DeviceError
            It is not there, is no such camera, is in use, or takes other values than were asked for.
        """
        with self._lock, self._settled():
            self._node = self._opened(self._settings.path)
            with self._words("asking what it is"):
                driver, card, able = self._node.capability()
            frames = able & (Capture.VIDEO_CAPTURE | Capture.VIDEO_CAPTURE_MPLANE)
            if not frames or not able & Capture.STREAMING:
                raise self._error(
                    "opening", "a device that captures and streams frames", f"{card} ({driver})",
                    "Name the camera's own video node; `v4l2-ctl --list-devices` lists them.",
                )  # fmt: skip
            if self._settings.controls is not None:
                self._sensor = self._opened(self._settings.controls)
            self._layout = self._format()
            self._fix(self._layout.columns)
            self.rate = self._interval(self._layout)
            self._table = PropertyTable(self.where)
            add_properties(self._table, self, driver, card, self._settings.sensor)

    def _opened(self, path: str) -> VideoNode:
        with self._words("opening"):
            return VideoNode(path)

    def _format(self) -> Layout:
        assert self._node is not None
        wanted = fourcc(self._raw.code)
        with self._words("choosing the format"):
            offered = self._node.formats()
            if wanted not in offered:
                known = [name for name, each in FORMATS.items() if fourcc(each.code) in offered]
                found = ", ".join(known) or f"{len(offered)} formats, none of which is raw"
                raise self._error(
                    "choosing the format",
                    self._settings.format,
                    found,
                    "Choose one of those in the instrument file.",
                )
            layout = self._node.set_format(wanted, *self.shape)
            if (layout.pixelformat, layout.rows, layout.columns) != (wanted, *self.shape):
                sizes = ", ".join(f"{rows} x {columns}" for rows, columns in self._node.sizes(wanted))
                found = f"{layout.rows} x {layout.columns}" + (f"; it has {sizes}" if sizes else "")
                raise self._error(
                    "choosing the format",
                    f"{self.shape[0]} x {self.shape[1]} (rows x columns) of {self._settings.format}",
                    found,
                    "Choose one of those, or configure the media graph for it.",
                )
        if layout.pieces != 1:
            raise self._error(
                "choosing the format", "raw frames in one piece of memory", f"frames in {layout.pieces}",
                "Name another video node of this camera.",
            )  # fmt: skip
        return layout

    def _interval(self, layout: Layout) -> float | None:
        assert self._node is not None
        with self._words("setting the frame rate"):
            offered = self._node.intervals(layout)
            if self._settings.rate is None:
                # The full rate: the shortest interval.
                best = min(offered, key=lambda each: each[0] / each[1], default=None)
            else:
                wanted = 1 / self._settings.rate
                near = [each for each in offered if abs(each[0] / each[1] / wanted - 1) < 1e-3]
                if offered and not near:
                    raise self._error(
                        "setting the frame rate",
                        f"{self._settings.rate:g} Hz",
                        ", ".join(f"{below / above:.4g} Hz" for above, below in offered),
                        "Choose one of those.",
                    )
                best = near[0] if near else (1000, round(1000 * self._settings.rate))
            done = None if best is None else self._node.set_interval(*best)
        if done is None:
            if self._settings.rate is None:
                return None
            raise self._error(
                "setting the frame rate", f"{self._settings.rate:g} Hz", "a driver that sets none",
                "Leave rate out, and set vertical_blanking among the fixed controls.",
            )  # fmt: skip
        assert best is not None
        if abs(done[0] * best[1] / (done[1] * best[0]) - 1) > 1e-3:
            raise self._error(
                "setting the frame rate", f"{best[1] / best[0]:.4g} Hz", f"{done[1] / done[0]:.4g} Hz",
                "Choose another rate.",
            )  # fmt: skip
        return done[1] / done[0]

    def _fix(self, columns: int) -> None:
        settings = self._settings
        controls = list(self.controls())
        try:
            self.exposure = exposure_of(controls, self.read, columns, settings.line_time)
            self.gain = gain_of(controls)
            plan = automatics_off(controls)
            plan += [named(controls, name, value) for name, value in settings.fixed.items()]
            if settings.exposure is not None:
                if self.exposure is None:
                    raise ControlError(
                        "exposure", "a control of the exposure time", "none; leave exposure out"
                    )
                plan.append(self.exposure.plan(settings.exposure))
            code = settings.gain_code
            if settings.gain is not None and settings.sensor is not None:
                code = round(SENSORS[settings.sensor] * (1 - 1 / settings.gain))
            if code is not None:
                if self.gain is None:
                    raise ControlError("gain", "a control of the gain", "none; leave gain and gain_code out")
                plan.append(named([self.gain], self.gain.name, code))
        except ControlError as error:
            raise self._error(
                error.what, error.expected, error.found, "Change the instrument file, or name the sensor's own "
                "device file with controls.",
            ) from None  # fmt: skip
        for each in plan:
            self.write(each)

    # --- controls ---

    def controls(self) -> Iterator[Control]:
        """Give the controls of the sensor's device file, then those of the video node that are others."""
        for node in filter(None, (self._sensor, self._node)):
            with self._words("listing its controls"):
                for control in node.controls():
                    if self._owners.setdefault(control.id, node) is node:
                        yield control

    def read(self, control: Control) -> int:
        """Read a control from the driver."""
        with self._lock, self._words(f"reading {control.name}"):
            return self._of(control).control(control)

    def write(self, planned: Planned) -> None:
        """Write a control and read it back.

        Raises
        ------
        DeviceError
            The driver refuses, or has another value then.
        """
        control, value = planned
        with self._lock:
            with self._words(f"setting {control.name}"):
                self._of(control).set_control(control, value)
            found = self.read(control)
        if found != value:
            raise self._error(
                f"setting {control.name}", str(value), str(found), "Choose a value that the driver keeps."
            )

    def _of(self, control: Control) -> VideoNode:
        if control.id not in self._owners:
            raise self._error(f"reaching {control.name}", "an open device", "a closed one", "Open it.")
        return self._owners[control.id]

    # --- frames ---

    def start(self) -> None:
        """Begin to take frames; the count starts at zero."""
        with self._lock:
            if self._node is None:
                raise self._error("starting", "an open device", "a closed one", "Open it.")
            if self._streaming:
                return
            with self._words("starting"):
                self._node.request_buffers(self._settings.buffers)
                try:
                    self._node.stream(True)
                except OSError:
                    self._node.release_buffers()
                    raise
            self._streaming, self._first = True, None
            self._next = self.lost = self.damaged = 0

    def stop(self) -> None:
        """Take no more frames."""
        with self._lock:
            if self._node is None or not self._streaming:
                return
            self._streaming = False
            with self._words("stopping"):
                self._node.stream(False)
                self._node.release_buffers()

    def frame(self, timeout: float) -> Frame:
        """Return the next frame; a damaged one is counted and left out.

        Raises
        ------
        DeviceError
            None came in time, the camera does not run, or it is gone.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            with self._lock:
                if self._node is None or not self._streaming:
                    raise self._error(
                        "reading a frame", "a camera that runs", "one that does not", "Start it."
                    )
                with self._words("reading a frame"):
                    filled = self._node.take()
                    if filled is not None:
                        found = self._frame(self._node, filled)
                        if found is not None:
                            return found
                        continue
                node = self._node
            if left <= 0:
                raise self._error(
                    "reading a frame",
                    f"one within {timeout:g} s",
                    "none",
                    "Check its cable, clock and trigger.",
                )
            with self._words("reading a frame"):
                node.wait(min(left, _SLICE))

    def _frame(self, node: VideoNode, filled: Filled) -> Frame | None:
        """Copy a frame out of its buffer, and give the buffer back, whatever is in it."""
        assert self._layout is not None
        if self._first is None:
            # A count that is far from zero was not begun with the stream.
            self._first = filled.sequence if filled.sequence >= _COUNT // 2 else 0
        # The driver counts on after 2^32 from zero.
        missing = (filled.sequence - self._first - self._next) % _COUNT
        if missing >= _COUNT // 2:
            # It went back: the driver began to count anew, and what that hides nobody can tell.
            self._first, missing = (filled.sequence - self._next) % _COUNT, 0
        number = self._next + missing
        self.lost += missing
        self._next = number + 1
        self.starts_with_exposure = (
            filled.flags & BufferFlag.SOURCE_MASK == BufferFlag.SOURCE_START_OF_EXPOSURE
        )
        try:
            with filled.data:
                if (
                    filled.flags & BufferFlag.ERROR
                    or len(filled.data) < self._raw.line(self.shape[1]) * self.shape[0]
                ):
                    self.damaged += 1
                    return None
                pixels = unpack(filled.data, self._raw, self.shape, self._layout.stride)
        finally:
            node.give_back(filled.buffer)
        return Frame(number, filled.time, pixels)

    # --- closing, and what goes wrong ---

    def close(self) -> None:
        """Stop the stream and close the device file; one that is gone is closed all the same."""
        with self._lock:
            try:
                with contextlib.suppress(DeviceError):
                    self.stop()  # the kernel ends a stream whose device file is closed
            finally:
                for node in filter(None, (self._node, self._sensor)):
                    node.close()
                self._node = self._sensor = self._layout = None
                self._owners, self._streaming = {}, False

    @contextlib.contextmanager
    def _settled(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def _words(self, what: str) -> Iterator[None]:
        """Say what the kernel's error means."""
        try:
            yield
        except OSError as error:
            path = self._settings.path
            found, remedy = (
                error.strerror or str(error),
                "Check the camera, and what the kernel says in its log.",
            )
            if error.errno == errno.ENOENT:
                there = ", ".join(sorted(str(each) for each in Path("/dev").glob("video*"))) or "none"
                found, remedy = (
                    f"no such device file; there are {there}",
                    "Connect it, or name its device file.",
                )
            elif error.errno in (errno.EACCES, errno.EPERM):
                remedy = f"Let this user open {path}: its group is nixel-camera or video."
            elif error.errno == errno.EBUSY:
                found, remedy = (
                    "one that another program is using",
                    "End that program, or name another device file.",
                )
            elif error.errno == errno.ENOTTY:
                found, remedy = "a device file that is no video device", "Name the camera's device file."
            elif error.errno in _GONE:
                found, remedy = "one that is gone (unplugged?)", "Connect it, then start anew."
            raise self._error(what, "a working camera", found, remedy) from error

    def _error(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=remedy)


def _make(name: str, settings: V4l2, _around: Surroundings) -> V4l2Camera:
    return V4l2Camera(settings, name)


ADAPTER = Adapter(V4l2, _make)
