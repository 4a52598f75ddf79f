"""What an instrument's devices can do, whatever wire they are on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Chunk", "Daq", "DeviceError", "Robot", "Simulation"]


class DeviceError(RuntimeError):
    """A device that cannot be reached, or does not do what was asked of it.

    Parameters
    ----------
    what : str
        What was being done.
    where : str
        The device and its address.
    expected, found : str
    remedy : str
        What the reader can do.
    """

    def __init__(self, what: str, *, where: str, expected: str, found: str, remedy: str) -> None:
        self.what, self.where, self.expected, self.found, self.remedy = what, where, expected, found, remedy
        super().__init__(f"{where}: {what} failed: expected {expected}, found {found}. {remedy}")


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
class Daq(Protocol):
    """Drives the transmit coils and records the receive coils."""

    def open(self) -> None:
        """Connect."""

    def close(self) -> None:
        """Disconnect; a transmission that is on ends."""

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


@runtime_checkable
class Robot(Protocol):
    """Moves the calibration sample."""

    def move(self, x: float, y: float) -> None:
        """Move to a position in m and be there."""

    def position(self) -> tuple[float, float]:
        """Return the position (x, y) in m."""


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
