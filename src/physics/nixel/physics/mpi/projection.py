"""Projection trajectories: a field-free line that is swept across itself, and turned."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nixel.physics.checks import check_all_positive
from nixel.physics.mpi.fields import check_divider
from nixel.physics.mpi.selection import FieldFreeLine, SteppedLine, check_angles, step_at

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ProjectionDrive:
    """A field-free line swept across itself, A sin(w t) along its normal, at one angle after the other.

    Each angle is a segment, measured in its steady state. The line is at rest at each angle; `line` gives its
    selection field.

    Parameters
    ----------
    base_frequency : float
        Sampling frequency in Hz.
    divider : int
        The sweep's frequency is base_frequency / divider.
    amplitude : float
        In T.
    angles : tuple of float
        Between the line and the x axis, in rad.
    periods : int
        Of the sweep, an angle.
    axes : int
        2 for positions in the plane, 3 in space.

    Raises
    ------
    ValueError
        If a number is not positive or there is no angle.
    """

    base_frequency: float
    divider: int
    amplitude: float
    angles: tuple[float, ...]
    periods: int = 1
    axes: int = 2

    def __post_init__(self) -> None:
        check_all_positive(base_frequency=self.base_frequency, amplitude=self.amplitude, periods=self.periods)
        check_divider("divider", self.divider)
        check_angles(self.angles)
        _check_line_axes(self.axes)

    @property
    def segments(self) -> int:
        """Angles, each measured for itself."""
        return len(self.angles)

    @property
    def samples(self) -> int:
        """Samples of the whole."""
        return self.divider * self.periods * len(self.angles)

    @property
    def _dwell(self) -> float:
        return self.divider * self.periods / self.base_frequency

    def line(self, strength: float) -> SteppedLine:
        """Selection field that belongs to this drive; `strength` of its gradient in T/m."""
        return SteppedLine(strength, self.angles, self._dwell)

    def times(self) -> NDArray[np.float64]:
        """Sampling instants of one period, shape (samples,), in s."""
        return np.arange(self.samples) / self.base_frequency

    def _normal(self, times: Array) -> NDArray[np.float64]:
        return line_normal(np.asarray(self.angles)[step_at(times, self._dwell, self.segments)])[
            :, : self.axes
        ]

    def field(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Field at `times` (s), shape (samples, axes), in T."""
        omega = 2.0 * np.pi * self.base_frequency / self.divider
        return self.amplitude * np.sin(omega * np.asarray(times))[:, None] * self._normal(times)

    def field_rate(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Time derivative of the field at `times` (s), shape (samples, axes), in T/s."""
        omega = 2.0 * np.pi * self.base_frequency / self.divider
        return self.amplitude * omega * np.cos(omega * np.asarray(times))[:, None] * self._normal(times)


@dataclass(frozen=True)
class RotatingDrive:
    """A field-free line that turns evenly while it is swept across itself, A sin(w t) along its normal.

    Parameters
    ----------
    base_frequency : float
        Sampling frequency in Hz.
    divider : int
        The sweep's frequency is base_frequency / divider.
    rotation_divider : int
        The line turns base_frequency / rotation_divider times a second.
    amplitude : float
        In T.
    axes : int
        2 for positions in the plane, 3 in space.

    Raises
    ------
    ValueError
        If a number is not positive.

    References
    ----------
    Knopp et al., Inverse Problems 27 (2011) 095004 (Fourier slice theorem of the field-free line).
    """

    base_frequency: float
    divider: int
    rotation_divider: int
    amplitude: float
    axes: int = 2

    def __post_init__(self) -> None:
        check_all_positive(base_frequency=self.base_frequency, amplitude=self.amplitude)
        check_divider("divider", self.divider)
        check_divider("rotation_divider", self.rotation_divider)
        _check_line_axes(self.axes)

    @property
    def segments(self) -> int:
        """One: it is measured as a whole."""
        return 1

    @property
    def samples(self) -> int:
        """Samples of the whole: the least common multiple of the dividers."""
        return math.lcm(self.divider, self.rotation_divider)

    def line(self, strength: float) -> FieldFreeLine:
        """Selection field that belongs to this drive; `strength` of its gradient in T/m."""
        return FieldFreeLine(strength, 0.0, self.base_frequency / self.rotation_divider)

    def times(self) -> NDArray[np.float64]:
        """Sampling instants of one period, shape (samples,), in s."""
        return np.arange(self.samples) / self.base_frequency

    def field(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Field at `times` (s), shape (samples, axes), in T."""
        sweep, turn = self._phases(times)
        return self.amplitude * np.sin(sweep)[:, None] * line_normal(turn)[:, : self.axes]

    def field_rate(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Time derivative of the field at `times` (s), shape (samples, axes), in T/s."""
        sweep, turn = self._phases(times)
        omega, rotation = (
            2.0 * np.pi * self.base_frequency / divider for divider in (self.divider, self.rotation_divider)
        )
        along = -line_normal(turn - np.pi / 2)  # d n / d angle = -(cos, sin, 0)
        return (
            self.amplitude
            * (
                omega * np.cos(sweep)[:, None] * line_normal(turn) + rotation * np.sin(sweep)[:, None] * along
            )[:, : self.axes]
        )

    def _phases(self, times: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        base = 2.0 * np.pi * self.base_frequency * np.asarray(times, dtype=np.float64)
        return base / self.divider, base / self.rotation_divider


def _check_line_axes(axes: int) -> None:
    if axes not in (2, 3):
        raise ValueError(f"axes: expected 2 or 3, found {axes!r}")


def line_normal(angles: Array) -> NDArray[np.float64]:
    """Normal (-sin a, cos a, 0) of a line at angle a (rad), shape (angles, 3)."""
    angles = np.asarray(angles, dtype=np.float64)
    return np.stack([-np.sin(angles), np.cos(angles), np.zeros_like(angles)], axis=-1)
