"""Cartesian trajectories: line after line, plane after plane."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nixel.physics.checks import check_all_positive
from nixel.physics.mpi.fields import check_divider
from nixel.physics.mpi.selection import step_at


@dataclass(frozen=True)
class CartesianDrive:
    """A fast sinusoid along one axis, while the others move slowly: line after line, plane after plane.

    With the ``steps`` waveform the slow axes rest during each line, which is a segment of its own: measured in its
    steady state, `periods` of the fast axis long. With ``triangle`` the first slow axis moves evenly there and
    back, over 2 `lines` times `periods` of the fast axis, and the whole is one segment; further slow axes step
    after each way there and back.

    Parameters
    ----------
    base_frequency : float
        Sampling frequency in Hz.
    divider : int
        The fast axis' frequency is base_frequency / divider.
    amplitudes : tuple of float, one an axis
        In T; of a slow axis, the field of its outermost lines (``steps``) or turning points (``triangle``).
    lines : tuple of int, one for each slow axis in the order x, y, z
        With ``triangle`` there is one slow axis.
    fast_axis : int
        0 is x.
    periods : int
        Of the fast axis, a line.
    waveform : {"steps", "triangle"}

    Raises
    ------
    ValueError
        If numbers do not fit together, or are not positive.

    References
    ----------
    Knopp et al., Phys. Med. Biol. 54 (2009) 385 (trajectory analysis).
    """

    base_frequency: float
    divider: int
    amplitudes: tuple[float, ...]
    lines: tuple[int, ...]
    fast_axis: int = 0
    periods: int = 1
    waveform: Literal["steps", "triangle"] = "steps"

    def __post_init__(self) -> None:
        check_all_positive(base_frequency=self.base_frequency, periods=self.periods)
        check_divider("divider", self.divider)
        if not self.amplitudes or not all(map(math.isfinite, self.amplitudes)):
            raise ValueError(f"amplitudes: expected finite numbers in T, found {self.amplitudes}")
        if not 0 <= self.fast_axis < len(self.amplitudes):
            raise ValueError(f"fast_axis: expected 0 to {len(self.amplitudes) - 1}, found {self.fast_axis!r}")
        if len(self.lines) != len(self.amplitudes) - 1 or min(self.lines, default=1) < 1:
            raise ValueError(
                f"lines: expected one number of lines for each of {len(self.amplitudes) - 1} slow axes, "
                f"found {self.lines}"
            )
        if self.waveform not in ("steps", "triangle"):
            raise ValueError(f"waveform: expected steps or triangle, found {self.waveform!r}")
        if self.waveform == "triangle" and len(self.lines) != 1:
            raise ValueError(f"lines: expected one slow axis of a triangle, found {self.lines}")

    @property
    def axes(self) -> int:
        """Components of the field."""
        return len(self.amplitudes)

    @property
    def line_samples(self) -> int:
        """Samples of one line."""
        return self.divider * self.periods

    @property
    def segments(self) -> int:
        """Lines, each measured for itself; one of a triangle."""
        return math.prod(self.lines) if self.waveform == "steps" else 1

    @property
    def samples(self) -> int:
        """Samples of the whole."""
        return self.line_samples * (self.segments if self.waveform == "steps" else 2 * self.lines[0])

    @property
    def period(self) -> float:
        """Duration of the whole in s."""
        return self.samples / self.base_frequency

    def times(self) -> NDArray[np.float64]:
        """Sampling instants of one period, shape (samples,), in s."""
        return np.arange(self.samples) / self.base_frequency

    @property
    def _slow_axes(self) -> list[int]:
        return [axis for axis in range(self.axes) if axis != self.fast_axis]

    def line_fields(self) -> NDArray[np.float64]:
        """Field of the slow axes in each line, shape (segments, axes), in T; zero along the fast axis.

        Lines lie evenly from -amplitude to amplitude; a single one at zero. The first slow axis changes first.
        """
        levels = [
            self.amplitudes[axis] * (np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1))
            for axis, count in zip(self._slow_axes, self.lines, strict=True)
        ]
        result = np.zeros((math.prod(self.lines), self.axes))
        for axis, values in zip(
            self._slow_axes, reversed(np.meshgrid(*reversed(levels), indexing="ij")), strict=True
        ):
            result[:, axis] = values.ravel()
        return result

    def field(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Field at `times` (s), shape (samples, axes), in T."""
        times = np.asarray(times, dtype=np.float64)
        if self.waveform == "steps":
            line = step_at(times, self.line_samples / self.base_frequency, self.segments)
            result = self.line_fields()[line]
        else:
            result = np.zeros((len(times), self.axes))
            phase = np.mod(times / self.period, 1.0)
            result[:, self._slow_axes[0]] = self.amplitudes[self._slow_axes[0]] * (
                1.0 - 4.0 * np.abs(phase - 0.5)
            )
        omega = 2.0 * np.pi * self.base_frequency / self.divider
        result[:, self.fast_axis] = self.amplitudes[self.fast_axis] * np.sin(omega * times)
        return result

    def field_rate(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Time derivative of the field at `times` (s), shape (samples, axes), in T/s.

        At a triangle's turning points it is that of the way that begins there.
        """
        times = np.asarray(times, dtype=np.float64)
        result = np.zeros((len(times), self.axes))
        if self.waveform == "triangle":
            slow = self._slow_axes[0]
            way = step_at(times, self.period / 2, 2)
            result[:, slow] = np.array([4.0, -4.0])[way] * self.amplitudes[slow] / self.period
        omega = 2.0 * np.pi * self.base_frequency / self.divider
        result[:, self.fast_axis] = self.amplitudes[self.fast_axis] * omega * np.cos(omega * times)
        return result
