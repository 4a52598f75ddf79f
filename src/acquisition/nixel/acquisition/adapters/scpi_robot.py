"""The robot, and what only a simulated scanner can do, on a DAQ's control connection."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import model_validator

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.scpi_daq import ScpiDaqAdapter
from nixel.acquisition.adapters.scpi_daq_settings import OnScpiDaq
from nixel.acquisition.devices import DeviceError, HasProperties, Property, PropertyTable
from nixel.acquisition.quantities import Metre
from nixel.acquisition.settings import Row

if TYPE_CHECKING:
    from nixel.acquisition.adapters.scpi import ScpiConnection
    from nixel.acquisition.collision import Geometry

__all__ = ["ADAPTER", "ScpiRobot", "ScpiRobotAdapter", "ScpiSimulation"]

_TOLERANCE = 1e-5  # m


class ScpiRobot(OnScpiDaq):
    """A robot that moves the calibration sample, spoken to over its DAQ's control connection."""

    adapter: Literal["scpi-robot"]
    home: Annotated[tuple[Metre, Metre], Row]
    travel: Annotated[tuple[Metre, Metre], Row]

    @model_validator(mode="after")
    def _home_is_reachable(self) -> ScpiRobot:
        low, high = self.travel
        if not low < high:
            raise ValueError("travel: expected the lower end first")
        if not all(low <= axis <= high for axis in self.home):
            raise ValueError(f"home: expected a position within travel, {low:g} m to {high:g} m")
        return self


class ScpiRobotAdapter(HasProperties):
    """A robot that moves the calibration sample in the plane.

    Its properties tell where it is; it is moved by `move` alone.

    Parameters
    ----------
    device : ScpiRobot
    control : ScpiConnection
        Of the DAQ that it shares a connection with.
    name : str
        The device's name in the instrument.
    geometry : Geometry, optional
        What stands around it: a move that would come too near to something is refused.
    """

    def __init__(
        self,
        device: ScpiRobot,
        control: ScpiConnection,
        name: str = "robot",
        geometry: Geometry | None = None,
    ) -> None:
        self._device, self._control, self._geometry = device, control, geometry
        self.name, self.where = name, f"{name} on {control.where}"
        self.axes: tuple[str, ...] = ("x", "y")
        self.travel = dict.fromkeys(self.axes, device.travel)
        self._table = PropertyTable(self.where)
        for axis in self.axes:
            position = Property(
                f"position_{axis}", "number", "m", f"where its {axis} axis is", read_only=True
            )
            self._table.add(position, functools.partial(self._coordinate, axis))

    def _coordinate(self, axis: str) -> float:
        return self.position()[axis]

    def open(self) -> None:
        """Hear it say where it is; the connection is its DAQ's."""
        self.position()

    def close(self) -> None:
        """Leave it where it is; the connection is its DAQ's."""

    def halt(self) -> None:
        """Do nothing: a move is over before it is answered."""

    def move(self, **position: float) -> None:
        """Move axes to positions in m and be there.

        Raises
        ------
        DeviceError
            The position is out of reach or the way there comes too near to something (nothing moves then), or the
            robot is elsewhere afterwards.
        """
        here = self.position()
        if unknown := [axis for axis in position if axis not in here]:
            raise DeviceError(
                "moving the robot",
                where=self.where,
                expected=f"the axes {', '.join(self.axes)}",
                found=", ".join(unknown),
                remedy="Choose among those.",
            )
        x, y = (here | position).values()
        low, high = self._device.travel
        if not (low <= x <= high and low <= y <= high):
            raise DeviceError(
                "moving the robot",
                where=self.where,
                expected=f"a position within {low:g} m to {high:g} m",
                found=f"({x:g}, {y:g}) m",
                remedy="Choose a smaller field of view.",
            )
        if self._geometry is not None:
            self._geometry.check_move((here["x"], here["y"]), (x, y), self.where)
        self._control.command(f"ROBot:MOVe {x!r},{y!r}")
        reached = self.position()
        if max(abs(reached["x"] - x), abs(reached["y"] - y)) > _TOLERANCE:
            raise DeviceError(
                "moving the robot",
                where=self.where,
                expected=f"({x:g}, {y:g}) m",
                found=f"({reached['x']:g}, {reached['y']:g}) m",
                remedy="Look whether the robot is blocked, and move it home.",
            )

    def home(self) -> None:
        """Move to the home position."""
        x, y = self._device.home
        self.move(x=x, y=y)

    def position(self) -> dict[str, float]:
        """Return the position of each axis in m."""
        answer = self._control.query("ROBot:POSition?")
        try:
            x, y = map(float, answer.split(","))
        except ValueError:
            raise DeviceError(
                "ROBot:POSition?",
                where=self.where,
                expected="two numbers",
                found=repr(answer),
                remedy="Check that the address belongs to this kind of device.",
            ) from None
        return {"x": x, "y": y}


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


def _make(name: str, settings: ScpiRobot, around: Surroundings) -> ScpiRobotAdapter:
    daq = around.devices[settings.daq]
    assert isinstance(daq, ScpiDaqAdapter)  # checked with the instrument
    scanner = around.instrument.scanner
    return ScpiRobotAdapter(settings, daq.control, name, scanner.geometry if scanner else None)


ADAPTER = Adapter(ScpiRobot, _make)
