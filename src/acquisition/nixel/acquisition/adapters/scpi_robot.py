"""The robot, and what only a simulated scanner can do, on a DAQ's control connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.acquisition.devices import DeviceError

if TYPE_CHECKING:
    from nixel.acquisition.adapters.scpi import ScpiConnection
    from nixel.acquisition.instrument import ScpiRobot

__all__ = ["ScpiRobotAdapter", "ScpiSimulation"]

_TOLERANCE = 1e-5  # m


class ScpiRobotAdapter:
    """A robot that moves the calibration sample in the plane.

    Parameters
    ----------
    device : ScpiRobot
    control : ScpiConnection
        Of the DAQ that it shares a connection with.
    """

    def __init__(self, device: ScpiRobot, control: ScpiConnection) -> None:
        self._device, self._control = device, control

    def move(self, x: float, y: float) -> None:
        """Move to a position in m and be there.

        Raises
        ------
        DeviceError
            The position is out of reach (nothing moves then), or the robot is elsewhere afterwards.
        """
        low, high = self._device.travel
        if not (low <= x <= high and low <= y <= high):
            raise DeviceError(
                "moving the robot",
                where=self._control.where,
                expected=f"a position within {low:g} m to {high:g} m",
                found=f"({x:g}, {y:g}) m",
                remedy="Choose a smaller field of view.",
            )
        self._control.command(f"ROBot:MOVe {x!r},{y!r}")
        reached = self.position()
        if max(abs(reached[0] - x), abs(reached[1] - y)) > _TOLERANCE:
            raise DeviceError(
                "moving the robot",
                where=self._control.where,
                expected=f"({x:g}, {y:g}) m",
                found=f"({reached[0]:g}, {reached[1]:g}) m",
                remedy="Look whether the robot is blocked, and move it home.",
            )

    def home(self) -> None:
        """Move to the home position."""
        self.move(*self._device.home)

    def position(self) -> tuple[float, float]:
        """Return the position (x, y) in m."""
        answer = self._control.query("ROBot:POSition?")
        try:
            x, y = map(float, answer.split(","))
        except ValueError:
            raise DeviceError(
                "ROBot:POSition?",
                where=self._control.where,
                expected="two numbers",
                found=repr(answer),
                remedy="Check that the address belongs to this kind of device.",
            ) from None
        return x, y


class ScpiSimulation:
    """The simulation subsystem of a simulated scanner.

    Parameters
    ----------
    control : ScpiConnection
    """

    def __init__(self, control: ScpiConnection) -> None:
        self._control = control

    def begin(self, seed: int) -> None:
        """Begin a session: its clock, drift and noise as after power-on, with this seed."""
        self._control.command(f"SIMulation:SEED {seed}")

    def remove_sample(self) -> None:
        """Leave the bore empty."""
        self._control.command("SIMulation:SAMPle EMPTY")

    def insert_phantom(self, name: str) -> None:
        """Put a phantom into the bore.

        Raises
        ------
        DeviceError
            There is no phantom of that name; the error lists those there are.
        """
        self._control.command(f"SIMulation:SAMPle PHANTOM {name}")

    def insert_delta(self, size: tuple[float, float, float]) -> None:
        """Put a delta sample of that size (x, y, z) in m on the robot."""
        self._control.command("SIMulation:SAMPle DELTA " + ",".join(map(repr, size)))
