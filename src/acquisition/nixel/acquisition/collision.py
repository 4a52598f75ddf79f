"""What stands around a scanner's robot, and whether a move would touch it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import model_validator

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.geometry import Box, Cylinder, Tube
from nixel.acquisition.quantities import Metre
from nixel.acquisition.tables import Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["CollisionError", "Geometry"]

_ROUNDING = 1e-9  # m

Point = Annotated[tuple[Metre, Metre, Metre], Row]


class CollisionError(ValueError):
    """A move that would come too near to something; nothing has moved."""

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        super().__init__(f"expected {expected}, found {found}. {remedy}")


class BoxTable(Table):
    """A box, from its corner of the lowest coordinates to that of the highest."""

    low: Point
    high: Point

    @model_validator(mode="after")
    def _is_box(self) -> BoxTable:
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"high: found {list(self.high)}; expected each above low, {list(self.low)}")
        return self

    def shape(self) -> Box:
        """As a shape."""
        return Box(self.low, self.high)


class ForbiddenBox(BoxTable):
    """``[[scanner.geometry.boxes]]``: where nothing may be."""

    name: str


class RoundTable(Table):
    """What is round: a bore (nothing may leave it) or a solid cylinder (nothing may touch it)."""

    name: str
    axis: Literal["x", "y", "z"]
    centre: Point = (0.0, 0.0, 0.0)
    diameter: Metre
    length: Metre

    @model_validator(mode="after")
    def _has_a_size(self) -> RoundTable:
        if not min(self.diameter, self.length) > 0:
            raise ValueError("diameter, length: expected lengths above zero")
        return self

    def tube(self) -> Tube:
        """As a bore."""
        return Tube(self.axis, self.centre, self.diameter / 2, self.length)

    def solid(self) -> Cylinder:
        """As a cylinder."""
        return Cylinder(self.axis, self.centre, self.diameter / 2, self.length)


class Geometry(Table):
    """``[scanner.geometry]``: what moves and what stands, in the scanner's coordinates.

    The robot's position is that of its sample's centre; the arm's box is relative to it.
    """

    clearance: Metre
    sample: Point
    arm: BoxTable | None = None
    bores: Annotated[tuple[RoundTable, ...], Row] = ()
    cylinders: Annotated[tuple[RoundTable, ...], Row] = ()
    boxes: Annotated[tuple[ForbiddenBox, ...], Row] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Geometry:
        if self.clearance < 0 or not min(self.sample) > 0:
            raise ValueError("clearance, sample: expected lengths of zero or more, and above zero")
        return self

    def _moving(self) -> list[tuple[str, Box]]:
        x, y, z = (size / 2 for size in self.sample)
        moving = [("the sample", Box((-x, -y, -z), (x, y, z)))]
        return [*moving, ("the robot's arm", self.arm.shape())] if self.arm is not None else moving

    def _standing(self) -> list[tuple[str, Box | Cylinder | Tube]]:
        return [
            *((f"the wall of {table.name}", table.tube()) for table in self.bores),
            *((table.name, table.solid()) for table in self.cylinders),
            *((table.name, table.shape()) for table in self.boxes),
        ]

    def check_way(self, start: Sequence[float], end: Sequence[float]) -> None:
        """Refuse a straight move on which anything comes nearer to anything than the clearance.

        Parameters
        ----------
        start, end : sequence of float
            Positions (x, y) or (x, y, z) in m.

        Raises
        ------
        CollisionError
            The message names what would meet what, where and how near.
        """
        a, b = _point(start), _point(end)
        for mover, moving in self._moving():
            for obstacle, standing in self._standing():
                # No distance changes by more than the way's length: most ways need no closer look.
                if standing.distance(moving.moved(a)) - math.dist(a, b) >= self.clearance:
                    continue
                place, distance = standing.nearest(moving, a, b)
                if distance < self.clearance - _ROUNDING:
                    x, y = (p + place * (q - p) for p, q in zip(a[:2], b[:2], strict=True))
                    near = "touch it" if distance <= 0 else f"come within {distance * 1e3:.2f} mm of it"
                    raise CollisionError(
                        f"{mover} at least {self.clearance * 1e3:g} mm away from {obstacle}",
                        f"that it would {near} at {_text((x, y))} on the way from {_text(a)} to {_text(b)}",
                        "Choose positions further inside, or a smaller field of view. "
                        "What stands there is in scanner.geometry of the instrument file.",
                    )

    def check_move(self, start: Sequence[float], end: Sequence[float], where: str) -> None:
        """Refuse a move as `check_way` does, in the words of the device that would make it.

        Parameters
        ----------
        start, end : sequence of float
        where : str
            The device, for the error.

        Raises
        ------
        DeviceError
            Nothing has moved.
        """
        try:
            self.check_way(start, end)
        except CollisionError as error:
            raise DeviceError(
                "moving the robot",
                where=where,
                expected=error.expected,
                found=error.found,
                remedy=f"{error.remedy} Nothing has moved.",
            ) from error

    def check_path(self, points: Iterable[Sequence[float]]) -> None:
        """Refuse a path of straight moves of which one is refused; see `check_way`."""
        before: Sequence[float] | None = None
        for point in points:
            self.check_way(point if before is None else before, point)
            before = point


def _point(position: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = (*map(float, position), 0.0)[:3]
    return x, y, z


def _text(position: Sequence[float]) -> str:
    return f"({position[0] * 1e3:.2f}, {position[1] * 1e3:.2f}) mm"
