"""The robot of a scanner's run: the stage that moves the calibration sample, each move checked before it is made.

Its coordinates are the scanner's, in which the geometry is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.acquisition.adapters.scpi_robot import ScpiRobot
from nixel.acquisition.devices import DeviceError, Stage

if TYPE_CHECKING:
    from nixel.acquisition.collision import Geometry
    from nixel.acquisition.opened import OpenDevices

__all__ = ["Robot", "robot_of"]

_AXES = ("x", "y")


class Robot:
    """Moves a stage, whichever adapter it has, and nothing before the way is checked.

    Parameters
    ----------
    stage : Stage
        With the axes x and y.
    geometry : Geometry, optional
        What stands around it.
    has_home : bool
        Whether its home is a position that it moves to and checks the way, rather than a search for switches.
    """

    def __init__(self, stage: Stage, geometry: Geometry | None, *, has_home: bool) -> None:
        self.stage, self._geometry, self._has_home = stage, geometry, has_home
        self._began = stage.position()

    def move(self, x: float, y: float) -> None:
        """Move the sample to (x, y) in m and be there.

        Raises
        ------
        DeviceError
            The way there comes too near to something, or the place is out of reach (nothing has moved then), or the
            stage failed.
        """
        if self._geometry is not None:
            here = self.stage.position()
            self._geometry.check_move((here["x"], here["y"]), (x, y), self.stage.where)
        self.stage.move(x=x, y=y)

    def home(self) -> None:
        """Bring it to its home position, or back to where it was: a search for its switches is no way that is checked.

        Raises
        ------
        DeviceError
            As `move`.
        """
        if self._has_home:
            self.stage.home()
        else:
            self.move(self._began["x"], self._began["y"])


def robot_of(devices: OpenDevices) -> Robot:
    """Return the robot of a scanner: the stage that ``scanner.robot`` names, or the only one.

    Raises
    ------
    DeviceError
        There is none, there are several and none is named, or what is named is no stage with the axes x and y.
    """
    instrument = devices.instrument
    scanner, stages = instrument.scanner, devices.every(Stage)
    assert scanner is not None
    name = scanner.robot if scanner.robot is not None or len(stages) != 1 else next(iter(stages))
    stage = stages.get(name) if name is not None else None
    if stage is None or not set(_AXES) <= set(stage.axes):
        found = "none"
        if stage is not None:
            found = f"{name} with the axes {', '.join(stage.axes)}"
        elif name is not None:
            found = f"{name}, which is no stage"
        elif stages:
            found = f"{', '.join(stages)}, and none of them named"
        raise DeviceError(
            "choosing the robot",
            where=f"instrument {instrument.name}",
            expected="a stage with the axes x and y that moves the calibration sample",
            found=found,
            remedy="Name it in the instrument file: scanner.robot.",
        )
    return Robot(stage, scanner.geometry, has_home=isinstance(instrument.devices.get(stage.name), ScpiRobot))
