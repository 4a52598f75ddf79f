"""What an instrument's devices can do, whatever wire they are on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from nixel.acquisition.devices.properties import Property, Value

__all__ = [
    "Camera",
    "Channel",
    "Chunk",
    "Daq",
    "Device",
    "Frame",
    "Light",
    "PowerSupply",
    "Sensor",
    "Simulation",
    "Stage",
]


@runtime_checkable
class Device(Protocol):
    """What every device is: it opens and closes, and has properties.

    Attributes
    ----------
    name : str
        Its name in the instrument.
    where : str
        Name and address, for errors.
    """

    name: str
    where: str

    def open(self) -> None:
        """Connect, and hear the device answer; a device that failed to open holds nothing.

        Raises
        ------
        DeviceError
        """

    def close(self) -> None:
        """Bring it to rest and disconnect; does nothing when it is closed.

        Raises
        ------
        DeviceError
            It could not be brought to rest; it is disconnected all the same.
        """

    @property
    def properties(self) -> tuple[Property, ...]:
        """What can be read and written, in a fixed order."""

    def get(self, name: str) -> Value:
        """Read a property from the device itself."""

    def set(self, name: str, value: Value) -> None:
        """Write a property; it is the device's when this returns."""


@dataclass(frozen=True)
class Frame:
    """One picture of a camera.

    Parameters
    ----------
    number : int
        The camera's own count since its start; a gap is a lost frame.
    time : float
        When the exposure began, by the machine's monotonic clock, in s.
    pixels : array of unsigned integers, shape (y, x)
        As the sensor gave them.
    """

    number: int
    time: float
    pixels: NDArray[np.unsignedinteger]


@runtime_checkable
class Camera(Device, Protocol):
    """Takes pictures at its own rate, with exposure and gain fixed.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    bits : int
        Of a pixel.
    pattern : str
        Of its colour filters, as ``"RGGB"`` from the first pixel rightwards and down; empty without.
    """

    shape: tuple[int, int]
    bits: int
    pattern: str

    def start(self) -> None:
        """Begin to take pictures."""

    def stop(self) -> None:
        """Take no more."""

    def frame(self, timeout: float) -> Frame:
        """Return the next picture, waiting at most so many seconds.

        Raises
        ------
        DeviceError
            None came in time, or the camera failed.
        """


@runtime_checkable
class Stage(Device, Protocol):
    """Moves something along axes.

    Attributes
    ----------
    axes : tuple of str
        As ``("x", "y")``.
    travel : mapping of str to (float, float)
        The reach of each axis in m.
    """

    axes: tuple[str, ...]
    travel: Mapping[str, tuple[float, float]]

    def move(self, **position: float) -> None:
        """Move axes to positions in m and be there; the other axes stay.

        Raises
        ------
        DeviceError
            Out of reach (nothing moves then), blocked, or elsewhere afterwards.
        """

    def position(self) -> dict[str, float]:
        """Return where each axis is, in m, as the device says."""

    def home(self) -> None:
        """Move to the home position."""

    def halt(self) -> None:
        """Stop a movement at once."""


@runtime_checkable
class Light(Device, Protocol):
    """A source that can be switched."""

    def switch(self, on: bool) -> None:
        """Switch it, and see it switched."""

    def is_on(self) -> bool:
        """Return whether it is on, as the device says."""


@dataclass(frozen=True)
class Channel:
    """A quantity that a sensor measures: its name and SI unit."""

    name: str
    unit: str


@runtime_checkable
class Sensor(Device, Protocol):
    """Measures slow quantities: temperatures, humidity.

    Attributes
    ----------
    channels : tuple of Channel
    """

    channels: tuple[Channel, ...]

    def read(self) -> tuple[float, ...]:
        """Return the value of each channel, freshly measured."""


@runtime_checkable
class PowerSupply(Device, Protocol):
    """A power supply or amplifier with set points, an output switch and measured values."""

    def program(self, voltage: float, current: float) -> None:
        """Set voltage in V and current limit in A, and read them back."""

    def switch(self, on: bool) -> None:
        """Switch its output, and see it switched."""

    def measure(self) -> tuple[float, float]:
        """Return voltage in V and current in A at its output."""


@dataclass(frozen=True)
class Chunk:
    """Samples that follow one another.

    Parameters
    ----------
    first : int
        Index of the first since the acquisition's start.
    codes : array of int16, shape (samples, channels)
    lost, overwritten : int
        Samples missing since the acquisition's start.
    overload : bool
        Whether a code reached the end of the converter's range.
    """

    first: int
    codes: NDArray[np.int16]
    lost: int
    overwritten: int
    overload: bool


@runtime_checkable
class Daq(Device, Protocol):
    """Drives the transmit coils and records the receive coils; closing it ends a transmission that is on."""

    def clock(self) -> datetime:
        """Return the instrument's clock, in UTC."""

    def conversion(self) -> NDArray[np.float64]:
        """Return scale (V per code) and offset (V) of each receive channel, shape (channels, 2)."""

    def configure(self) -> None:
        """Set sampling and drive field as the instrument says."""

    def start(self) -> None:
        """Start an acquisition: the next sample's index is 0."""

    def stop(self) -> None:
        """End the acquisition and the transmission."""

    def ready(self) -> bool:
        """Return whether the amplifier is on, so that the drive field can be."""

    def transmit(self, on: bool) -> None:
        """Switch the drive field."""

    def write_pointer(self) -> int:
        """Return the index of the next sample."""

    def stream(self, first: int, count: int, chunk: int) -> Iterator[Chunk]:
        """Give samples `first` to `first + count` as they come, in chunks."""

    def interrupt(self) -> None:
        """End the transmission and the stream under way, so that another can be asked for."""


@runtime_checkable
class Simulation(Protocol):
    """What only a simulated scanner can do."""

    def begin(self, seed: int) -> None:
        """Begin a session: its clock, drift and noise as after power-on, with this seed."""

    def remove_sample(self) -> None:
        """Leave the bore empty."""

    def insert_phantom(self, name: str) -> None:
        """Put a phantom into the bore."""

    def insert_delta(self, size: tuple[float, float, float]) -> None:
        """Put a delta sample of that size (x, y, z) in m on the robot."""
