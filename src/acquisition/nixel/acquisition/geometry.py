"""Distances between a moving box and what stands in its way, in closed form.

A box that moves along a straight line stays parallel to the axes. Its distance to a convex obstacle is a convex
function of how far it has gone, so that the least one on the way is found exactly, not by looking at points of the way.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Box", "Cylinder", "Tube", "Vector", "least"]

Vector = tuple[float, float, float]

_AXES = {"x": 0, "y": 1, "z": 2}
_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 80  # of the search: 0.618^80 of the way


def least(function: Callable[[float], float], low: float = 0.0, high: float = 1.0) -> tuple[float, float]:
    """Find where a convex function is least.

    Returns
    -------
    place, value : float
    """
    a, b = low, high
    c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_c, at_d = function(c), function(d)
    for _ in range(_STEPS):
        if at_c <= at_d:
            b, d, at_d = d, c, at_c
            c = b - _GOLDEN * (b - a)
            at_c = function(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + _GOLDEN * (b - a)
            at_d = function(d)
    return min(((place, function(place)) for place in (low, c, d, high)), key=lambda found: found[1])


def _crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that has another sign at each end is zero; an end if it has not."""
    at_low = function(low)
    if (at_low > 0) == (function(high) > 0):
        return low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if (function(middle) > 0) == (at_low > 0):
            low = middle
        else:
            high = middle
    return low


def _along(start: Vector, end: Vector, place: float) -> Vector:
    x, y, z = (a + place * (b - a) for a, b in zip(start, end, strict=True))
    return x, y, z


@dataclass(frozen=True)
class Box:
    """A box parallel to the axes, from one corner to the other, in m."""

    low: Vector
    high: Vector

    def moved(self, by: Vector) -> Box:
        """The box elsewhere."""
        a, b, c = (x + y for x, y in zip(self.low, by, strict=True))
        d, e, f = (x + y for x, y in zip(self.high, by, strict=True))
        return Box((a, b, c), (d, e, f))

    def gaps(self, other: Box) -> Vector:
        """How far apart the boxes are along each axis; 0 where they overlap."""
        a, b, c = (
            max(0.0, low - other_high, other_low - high)
            for low, high, other_low, other_high in zip(
                self.low, self.high, other.low, other.high, strict=True
            )
        )
        return a, b, c

    def distance(self, other: Box) -> float:
        """To another box; 0 if they touch."""
        return math.hypot(*self.gaps(other))

    def nearest(self, moving: Box, start: Vector, end: Vector) -> tuple[float, float]:
        """Where on a straight way a moving box comes nearest.

        Parameters
        ----------
        moving : Box
            Relative to its position.
        start, end : tuple of float
            Positions in m.

        Returns
        -------
        place : float
            From 0 at the start to 1 at the end.
        distance : float
            In m; 0 if they touch.
        """
        return least(lambda place: self.distance(moving.moved(_along(start, end, place))))


@dataclass(frozen=True)
class Cylinder:
    """A solid cylinder along an axis.

    Parameters
    ----------
    axis : {"x", "y", "z"}
    centre : tuple of float
        In m.
    radius, length : float
        In m.
    """

    axis: str
    centre: Vector
    radius: float
    length: float

    def distance(self, box: Box) -> float:
        """To a box; 0 if they touch."""
        along, across = _split(self.axis)
        near = math.hypot(
            *(max(0.0, box.low[i] - self.centre[i], self.centre[i] - box.high[i]) for i in across)
        )
        return math.hypot(max(0.0, near - self.radius), _gap(box, along, self.centre, self.length))

    def nearest(self, moving: Box, start: Vector, end: Vector) -> tuple[float, float]:
        """Where on a straight way a moving box comes nearest; see `Box.nearest`."""
        return least(lambda place: self.distance(moving.moved(_along(start, end, place))))


@dataclass(frozen=True)
class Tube:
    """The wall of a bore: open at both ends, and as thick as the room around it.

    Parameters
    ----------
    axis : {"x", "y", "z"}
    centre : tuple of float
        In m.
    radius, length : float
        Of the opening, in m.
    """

    axis: str
    centre: Vector
    radius: float
    length: float

    def distance(self, box: Box) -> float:
        """To a box; 0 if they touch. Before an end it is the greater of the distances along and across the axis."""
        along, _ = _split(self.axis)
        return max(0.0, self._room(box), _gap(box, along, self.centre, self.length))

    def nearest(self, moving: Box, start: Vector, end: Vector) -> tuple[float, float]:
        """Where on a straight way a moving box comes nearest; see `Box.nearest`."""
        along, _ = _split(self.axis)

        def box(place: float) -> Box:
            return moving.moved(_along(start, end, place))

        def excess(place: float) -> float:
            return self._room(box(place)) - _gap(box(place), along, self.centre, self.length)

        # The room across the axis is a concave function of the place and the gap along it is linear between passages:
        # the greater of both is least where one of these parts ends, or where the two are the same.
        places = sorted({0.0, 1.0, *self._passages(moving, start[along], end[along], along)})
        for low, high in list(itertools.pairwise(places)):
            peak, _ = least(lambda place: -excess(place), low, high)
            places += [_crossing(excess, low, peak), _crossing(excess, peak, high)]
        found = [(place, self.distance(box(place))) for place in sorted(places)]
        return min(found, key=lambda place: place[1])

    def _room(self, box: Box) -> float:
        """From the box's farthest corner to the wall; negative beyond it."""
        _, across = _split(self.axis)
        reach = (max(abs(box.low[i] - self.centre[i]), abs(box.high[i] - self.centre[i])) for i in across)
        return self.radius - math.hypot(*reach)

    def _passages(self, moving: Box, start: float, end: float, along: int) -> list[float]:
        """Where the box begins and ceases to be in the tube."""
        if start == end:
            return []
        half = self.length / 2
        edges = (
            self.centre[along] - half - moving.high[along],
            self.centre[along] + half - moving.low[along],
        )
        return [place for place in ((edge - start) / (end - start) for edge in edges) if 0.0 <= place <= 1.0]


def _split(axis: str) -> tuple[int, tuple[int, int]]:
    along = _AXES[axis]
    first, second = (i for i in range(3) if i != along)
    return along, (first, second)


def _gap(box: Box, along: int, centre: Vector, length: float) -> float:
    low, high = centre[along] - length / 2, centre[along] + length / 2
    return max(0.0, box.low[along] - high, low - box.high[along])
