"""The virtual microscope's camera and light, at the socket of ``nixel-virtual-microscope``."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.cameras.raw import FORMATS, unpack
from nixel.acquisition.cameras.virtual_client import VirtualMicroscope
from nixel.acquisition.devices import DeviceError, Frame, HasProperties, Property, PropertyTable
from nixel.acquisition.quantities import Hertz, Second
from nixel.acquisition.settings import DeviceSettings, Row

if TYPE_CHECKING:
    from nixel.acquisition.settings import InstrumentTables

__all__ = ["CAMERA", "LIGHT", "VirtualCamera", "VirtualCameraAdapter", "VirtualLight", "VirtualLightAdapter"]

_SOCKET = "/run/nixel-virtual-microscope/microscope"
_SLICE = 0.1  # s; so long a wait for a frame may keep another thread waiting
_LARGEST_GAIN = 256 / 24  # of the sensor


class VirtualCamera(DeviceSettings):
    """The virtual microscope's camera."""

    addresses = ("path",)

    adapter: Literal["virtual-camera"]
    path: str = Field(default=_SOCKET, pattern=r"^/")
    sensor: Literal["imx219"]
    exposure: Second
    gain: float = Field(ge=1.0, le=_LARGEST_GAIN)
    format: Literal["SRGGB10P", "SRGGB10"] = "SRGGB10P"
    shape: Annotated[tuple[int, int] | None, Row] = None
    rate: Hertz | None = None
    buffers: int = Field(default=8, ge=2, le=32)

    @model_validator(mode="after")
    def _positive(self) -> VirtualCamera:
        if not self.exposure > 0 or (self.rate is not None and not self.rate > 0):
            raise ValueError("exposure, rate: expected more than zero")
        return self

    def check(self, name: str, instrument: InstrumentTables) -> None:
        """Expect a microscope, and an exposure within its limit."""
        if instrument.microscope is None:
            raise ValueError(
                f'devices.{name}.adapter: found "virtual-camera"; expected it in a microscope only'
            )
        limit = instrument.microscope.limits.exposure
        if self.exposure > limit:
            raise ValueError(
                f"devices.{name}.exposure: found {self.exposure:g} s; expected at most "
                f"microscope.limits.exposure, {limit:g} s"
            )


class VirtualLight(DeviceSettings):
    """The virtual microscope's coherent source."""

    addresses = ("path",)

    adapter: Literal["virtual-light"]
    path: str = Field(default=_SOCKET, pattern=r"^/")


class VirtualCameraAdapter(HasProperties):
    """The camera.

    Parameters
    ----------
    settings : VirtualCamera
    shape : tuple of int
        Rows and columns of its frames.
    name : str
        The device's name in the instrument.
    """

    def __init__(self, settings: VirtualCamera, shape: tuple[int, int], name: str = "camera") -> None:
        self._settings, self.name, self.shape = settings, name, shape
        self.where = f"{name} at {settings.path}"
        self._raw = FORMATS[settings.format]
        self.bits, self.pattern = self._raw.bits, self._raw.pattern
        self._wire = VirtualMicroscope(settings.path, self.where)
        self._lock = threading.RLock()
        self._streaming, self._stride, self._next, self._lost = False, 0, 0, 0
        self._table = PropertyTable(self.where)
        self._add("exposure", "s", "of every frame", 1e-6, 1.0)
        self._add("gain", "", "analogue, as a factor", 1.0, _LARGEST_GAIN)
        self._add("rate", "Hz", "frames a second", 1e-3, 1e3)
        for name_, unit, what in (("distance", "m", "from the sample to the sensor"),):
            prop = Property(name_, "number", unit, what, read_only=True)
            self._table.add(prop, lambda: float(self._get("distance")))
        sample = Property("sample", "text", description="what is simulated", read_only=True)
        self._table.add(sample, lambda: str(self._get("sample")))
        seed = Property("seed", "integer", description="of what is simulated", read_only=True)
        self._table.add(seed, lambda: int(self._get("seed")))
        began = Property(
            "time_of_exposure",
            "boolean",
            description="whether a frame's time is that of its exposure's start",
            read_only=True,
        )
        self._table.add(began, lambda: True)
        lost = Property("lost", "integer", description="frames lost since its start", read_only=True)
        self._table.add(lost, lambda: self._lost)

    def _add(self, name: str, unit: str, what: str, low: float, high: float) -> None:
        self._table.add(
            Property(name, "number", unit, what, low, high),
            lambda: float(self._get(name)),
            lambda value: self._set(name, value),
        )

    def _get(self, control: str) -> float | str:
        answer: float | str = self._wire.request("get", control=control)["value"]
        return answer

    def _set(self, control: str, value: float) -> None:
        """Write a control, and read it back."""
        self._wire.request("set", control=control, value=value)
        found = float(self._get(control))
        if abs(found - value) > 1e-6 * abs(value):
            raise self._error(
                f"setting {control}", f"{value:g}", f"{found:g}", "Choose a value that it keeps."
            )

    def open(self) -> None:
        """Connect, settle the format, fix exposure and gain.

        Raises
        ------
        DeviceError
            It cannot be reached, is in use, or has no such format.
        """
        with self._lock:
            self._wire.open()
            try:
                rows, columns = self.shape
                layout = self._wire.request(
                    "format", format=self._settings.format, rows=rows, columns=columns
                )
                self._stride = int(layout["stride"])
                self._set("exposure", self._settings.exposure)
                self._set("gain", self._settings.gain)
                if self._settings.rate is not None:
                    self._set("rate", self._settings.rate)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Stop and disconnect."""
        with self._lock:
            self._streaming = False
            self._wire.close()  # the camera ends what a connection left running

    def start(self) -> None:
        """Begin to take frames; the count starts at zero."""
        with self._lock:
            if not self._streaming:
                self._wire.request("start", buffers=self._settings.buffers)
                self._streaming, self._next, self._lost = True, 0, 0

    def stop(self) -> None:
        """Take no more frames."""
        with self._lock:
            if self._streaming:
                self._streaming = False
                self._wire.request("stop")
                self._wire.discard()

    def frame(self, timeout: float) -> Frame:
        """Return the next frame.

        Raises
        ------
        DeviceError
            None came in time, the camera does not run, or the connection broke.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            with self._lock:
                if not self._streaming:
                    raise self._error(
                        "reading a frame", "a camera that runs", "one that does not", "Start it."
                    )
                received = self._wire.frame(max(0.0, min(left, _SLICE)))
                if received is not None:
                    self._wire.give_back()
                    header = received.header
                    self._lost += header.sequence - self._next
                    self._next = header.sequence + 1
                    return Frame(
                        header.sequence,
                        header.time,
                        unpack(received.data, self._raw, self.shape, self._stride),
                    )
            if left <= 0:
                raise self._error(
                    "reading a frame", f"one within {timeout:g} s", "none", "Wait longer than the exposure."
                )

    def _error(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=remedy)


class VirtualLightAdapter(HasProperties):
    """The source: its own switch, behind a relay that only the safety daemon energises.

    Parameters
    ----------
    settings : VirtualLight
    name : str
        The device's name in the instrument.
    """

    def __init__(self, settings: VirtualLight, name: str = "light") -> None:
        self.name = name
        self.where = f"{name} at {settings.path}"
        self._wire = VirtualMicroscope(settings.path, self.where)
        self._open = False
        self._table = PropertyTable(self.where)
        shining = Property("on", "boolean", description="whether light falls on the sample", read_only=True)
        self._table.add(shining, self.is_on)

    def open(self) -> None:
        """Connect; the source is switched off.

        Raises
        ------
        DeviceError
            It cannot be reached.
        """
        self._wire.open()
        try:
            self._wire.request("set", control="light", value=False)
        except BaseException:
            self._wire.close()
            raise
        self._open = True

    def close(self) -> None:
        """Switch it off and disconnect.

        Raises
        ------
        DeviceError
            It did not hear that it shall go off.
        """
        if self._open:
            self._open = False
            try:
                self._wire.request("set", control="light", value=False)
            finally:
                self._wire.close()

    def switch(self, on: bool) -> None:
        """Switch it, and see it switched.

        Raises
        ------
        DeviceError
            It has no power, because no lease of the safety daemon has enabled it; then it stays off.
        """
        self._wire.request("set", control="light", value=on)
        if self.is_on() == on:
            return
        self._wire.request("set", control="light", value=False)
        raise DeviceError(
            f"switching {'on' if on else 'off'}",
            where=self.where,
            expected="a source with power" if on else "a source that is dark",
            found="one whose relay is off" if on else "one that shines",
            remedy="Arm the safety daemon, and hold a lease that enables the light."
            if on
            else "Stop the light at the safety daemon.",
        )

    def is_on(self) -> bool:
        """Whether light falls on the sample, as the microscope says."""
        return bool(self._wire.request("get", control="lit")["value"])


def _make_camera(name: str, settings: VirtualCamera, around: Surroundings) -> VirtualCameraAdapter:
    assert around.instrument.microscope is not None  # checked with the instrument
    return VirtualCameraAdapter(settings, settings.shape or around.instrument.microscope.shape, name)


def _make_light(name: str, settings: VirtualLight, _around: Surroundings) -> VirtualLightAdapter:
    return VirtualLightAdapter(settings, name)


CAMERA = Adapter(VirtualCamera, _make_camera)
LIGHT = Adapter(VirtualLight, _make_light)
