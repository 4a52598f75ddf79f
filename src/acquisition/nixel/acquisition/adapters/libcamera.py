"""A camera through libcamera: its own program ``cam`` streams raw frames into a pipe.

libcamera configures the media graph of a Raspberry Pi's camera, which the bare V4L2 adapter does not. Raw frames come
from before the image signal processor: no lens shading, no white balance, no denoising has touched them.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.cameras import cam
from nixel.acquisition.cameras.raw import FORMATS, unpack
from nixel.acquisition.devices import DeviceError, Frame, HasProperties, Property, PropertyTable
from nixel.acquisition.quantities import Hertz, Second
from nixel.acquisition.settings import DeviceSettings, Row

if TYPE_CHECKING:
    from nixel.acquisition.settings import InstrumentTables

__all__ = ["ADAPTER", "Libcamera", "LibcameraCamera"]

_STARTING = 20.0  # s
_SETTLING = 30  # frames until the sensor has taken exposure and gain; it takes about four
_TOLERANCE = 0.02  # of exposure and gain, which sensors have in steps
_SLICE = 0.1  # s
_CHUNK = 1 << 20  # bytes


class Libcamera(DeviceSettings):
    """A camera through libcamera."""

    addresses = ("command", "camera")

    adapter: Literal["libcamera"]
    command: str = "cam"
    camera: str = "1"
    format: str = "SRGGB10P"
    shape: Annotated[tuple[int, int], Row]
    exposure: Second
    gain: float = Field(ge=1.0)
    rate: Hertz | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Libcamera:
        if self.format not in FORMATS:
            raise ValueError(f"format: found {self.format!r}; expected one of {', '.join(FORMATS)}")
        if not self.exposure > 0 or (self.rate is not None and not self.rate > 0) or min(self.shape) < 2:
            raise ValueError("exposure, rate, shape: expected more than zero")
        return self

    def check(self, name: str, instrument: InstrumentTables) -> None:
        """Expect an exposure within the instrument's limit."""
        limits = instrument.microscope.limits if instrument.microscope is not None else None
        if limits is not None and self.exposure > limits.exposure:
            raise ValueError(
                f"devices.{name}.exposure: found {self.exposure:g} s; expected at most "
                f"microscope.limits.exposure, {limits.exposure:g} s"
            )


class LibcameraCamera(HasProperties):
    """The camera.

    Parameters
    ----------
    settings : Libcamera
    name : str
        The device's name in the instrument.
    """

    def __init__(self, settings: Libcamera, name: str = "camera") -> None:
        self._settings, self.name = settings, name
        self.where = f"{name}, libcamera's camera {settings.camera}"
        self._raw = FORMATS[settings.format]
        self.shape, self.bits, self.pattern = settings.shape, self._raw.bits, self._raw.pattern
        self._lock = threading.RLock()
        self._program: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._fifo = -1
        self._bytes, self._text = bytearray(), b""
        self._frames: collections.deque[cam.Described] = collections.deque()
        self._latest: cam.Described | None = None
        self._words: collections.deque[str] = collections.deque(maxlen=8)
        self._first, self._next, self._lost = 0, 0, 0
        self._values: dict[str, str] = {}
        self._asked = {"ExposureTime": settings.exposure * 1e6, "AnalogueGain": settings.gain}
        self._settled, self._wrong = False, ""
        self._table = PropertyTable(self.where)
        lost = Property("lost", "integer", description="frames lost since its start", read_only=True)
        self._table.add(lost, lambda: self._lost)
        exposure = Property("exposure", "number", "s", "of the latest frame, by its metadata", read_only=True)
        self._table.add(exposure, lambda: self._told("ExposureTime") * 1e-6)
        gain = Property(
            "gain", "number", "", "analogue, of the latest frame, by its metadata", read_only=True
        )
        self._table.add(gain, lambda: self._told("AnalogueGain"))

    def open(self) -> None:
        """Take frames until exposure and gain are as asked, so that a camera that cannot is found here.

        Raises
        ------
        DeviceError
            There is no such program or camera, or it has no such format, exposure or gain.
        """
        self._program = shutil.which(self._settings.command)
        if self._program is None:
            raise self._error(
                "opening", f"libcamera's program {self._settings.command}", "none",
                "Install libcamera (nixpkgs: libcamera), or name the program with command.",
            )  # fmt: skip
        self.start()
        self.stop()

    def close(self) -> None:
        """Stop."""
        self.stop()
        self._program = None

    def start(self) -> None:
        """Begin to take frames; the count begins with the first that has the exposure and gain asked for."""
        with self._lock:
            if self._program is None:
                raise self._error("starting", "an open device", "a closed one", "Open it.")
            if self._process is not None:
                return
            try:
                self._spawn(self._program)
                self._settle()
            except BaseException:
                self.stop()
                raise

    def _spawn(self, program: str) -> None:
        settings = self._settings
        self._folder = tempfile.TemporaryDirectory(prefix="nixel-cam-")
        folder = Path(self._folder.name)
        fifo, controls = folder / "frames", folder / "controls.yaml"
        os.mkfifo(fifo, 0o600)
        controls.write_text(cam.script(settings.exposure, settings.gain, settings.rate), encoding="ascii")
        # Open for writing, too: `cam` opens and closes it for every frame, which would end the stream else.
        self._fifo = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # more than this user may have
            fcntl.fcntl(self._fifo, fcntl.F_SETPIPE_SZ, _CHUNK)
        self._bytes, self._text, self._latest = bytearray(), b"", None
        self._settled, self._wrong = False, ""
        self._frames.clear()
        self._words.clear()
        try:
            self._process = subprocess.Popen(
                [program, *cam.arguments(settings.camera, self._raw, self.shape, fifo, controls)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise self._error(
                "starting", "a program", error.strerror or str(error), "Check command in the instrument file."
            ) from error
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    def _settle(self) -> None:
        """Leave out the frames that the sensor took before it had heard of exposure and gain."""
        deadline = time.monotonic() + _STARTING
        wrong = ""
        for _ in range(_SETTLING):
            found = self._wait(deadline, complete=True)
            if found is None:
                break
            wrong = self._deviation(found.metadata)
            if not wrong:
                self._first = self._next = found.sequence + 1
                self._lost, self._settled = 0, True
                return
        expected = f"an exposure of {self._settings.exposure:g} s at a gain of {self._settings.gain:g}"
        said = " / ".join(self._words)
        remedy = f"cam said: {said}" if said else "Check the camera with `cam --list`."
        raise self._error("starting", expected, wrong or "no frame", remedy)

    def _deviation(self, told: dict[str, str]) -> str:
        """Say what is not as asked; empty if all is."""
        for name, expected in self._asked.items():
            try:
                found = float(told[name])
            except (KeyError, ValueError):
                return f"no {name} among the frame's metadata"
            if abs(found - expected) > _TOLERANCE * expected:
                return f"{name} {found:g}"
        return ""

    def stop(self) -> None:
        """Take no more frames; ends the program."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None:
                self._end(process)
            if self._fifo >= 0:
                os.close(self._fifo)
                self._fifo = -1
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 3.0
        with contextlib.suppress(OSError):
            process.send_signal(signal.SIGINT)
        # It hears of that only when the frame that it is writing is written.
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                os.read(self._fifo, _CHUNK)
            with contextlib.suppress(OSError):
                assert process.stdout is not None
                process.stdout.read(_CHUNK)
            time.sleep(1e-3)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def frame(self, timeout: float) -> Frame:
        """Return the next frame.

        Raises
        ------
        DeviceError
            None came in time, the program ended, or exposure or gain are no longer as asked.
        """
        deadline = time.monotonic() + timeout
        found = None
        while found is None:
            with self._lock:
                if self._process is None:
                    raise self._error(
                        "reading a frame", "a camera that runs", "one that does not", "Start it."
                    )
                found = self._wait(min(deadline, time.monotonic() + _SLICE), complete=False)
                if self._wrong:
                    raise self._error(
                        "reading a frame", "the exposure and gain that were set", self._wrong, "Start anew."
                    )
                if found is not None:
                    return self._unpacked(found)
            if time.monotonic() >= deadline:
                raise self._error("reading a frame", f"one within {timeout:g} s", "none", "Check its cable.")
        raise AssertionError

    def _unpacked(self, found: cam.Described) -> Frame:
        self._lost += found.sequence - self._next
        self._next = found.sequence + 1
        try:
            with memoryview(self._bytes) as view:
                stride = cam.stride_of(self._raw, self.shape, found.size)
                pixels = unpack(view[: found.size], self._raw, self.shape, stride)
        except ValueError as error:
            raise self._error(
                "reading a frame", "a whole one", str(error), "Check shape and format."
            ) from error
        finally:
            del self._bytes[: found.size]
        return Frame(found.sequence - self._first, found.time, pixels)

    def _wait(self, deadline: float, *, complete: bool) -> cam.Described | None:
        """Return the next frame that is there whole; with `complete` after its metadata, and without its bytes."""
        assert self._process is not None
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        while True:
            # A frame's metadata is there when the next one's line is.
            if len(self._frames) > (1 if complete else 0) and len(self._bytes) >= self._frames[0].size:
                found = self._frames.popleft()
                if complete:
                    del self._bytes[: found.size]
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            readable, _, _ = select.select([self._fifo, output], [], [], left)
            if self._fifo in readable:
                with contextlib.suppress(BlockingIOError):
                    self._bytes += os.read(self._fifo, _CHUNK)
            if output in readable:
                heard = os.read(output, _CHUNK)
                if not heard:
                    code = self._process.wait()
                    said = " / ".join(self._words) or "nothing"
                    raise self._error(
                        "reading a frame",
                        "a program that runs",
                        f"that cam ended with {code}",
                        f"cam said: {said}",
                    )
                self._hear(heard)

    def _hear(self, heard: bytes) -> None:
        *lines, self._text = (self._text + heard).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            frame, value = cam.describe(text), cam.metadata(text)
            if frame is not None:
                self._frames.append(frame)
                self._latest = frame
            elif value is not None and self._latest is not None:
                self._latest.metadata[value[0]] = self._values[value[0]] = value[1]
                if self._settled and value[0] in self._asked:
                    told = {name: str(each) for name, each in self._asked.items()} | {value[0]: value[1]}
                    self._wrong = self._wrong or self._deviation(told)
            elif text.strip():
                self._words.append(text.strip())

    def _told(self, name: str) -> float:
        try:
            return float(self._values[name])
        except (KeyError, ValueError):
            raise self._error(
                f"reading {name}", "a frame's metadata with it", "none", "Open the device."
            ) from None

    def _error(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=remedy)


def _make(name: str, settings: Libcamera, _around: Surroundings) -> LibcameraCamera:
    return LibcameraCamera(settings, name)


ADAPTER = Adapter(Libcamera, _make)
