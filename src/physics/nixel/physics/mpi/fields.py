"""Drive fields: sinusoids whose frequencies are integer divisions of one base frequency."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nixel.physics.checks import check_all_positive, check_number


class Drive(Protocol):
    """What moves the field-free region: a homogeneous field that repeats itself.

    A drive of several segments (the lines of a Cartesian scan, the angles of a projection scan) is measured
    segment by segment, each for itself periodic and settled: what filters the signal, and Fourier transforms,
    apply to each segment.
    """

    @property
    def base_frequency(self) -> float:
        """Sampling frequency in Hz."""

    @property
    def axes(self) -> int:
        """Components of the field."""

    @property
    def samples(self) -> int:
        """Samples in one period of the whole."""

    @property
    def segments(self) -> int:
        """Segments of equal length in it, one or more."""

    def times(self) -> NDArray[np.float64]:
        """Sampling instants of one period, shape (samples,), in s."""

    def field(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Field at `times` (s), shape (samples, axes), in T."""

    def field_rate(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Time derivative of the field at `times` (s), shape (samples, axes), in T/s."""


def check_divider(name: str, divider: int) -> None:
    """Refuse a frequency divider below two, which sampling could not resolve.

    Raises
    ------
    ValueError
        With its name.
    """
    if isinstance(divider, bool) or not isinstance(divider, int | np.integer) or divider < 2:
        raise ValueError(f"{name}: expected an integer of 2 or more, found {divider!r}")


@dataclass(frozen=True)
class DriveField:
    """One sinusoid an axis, B_i(t) = A_i sin(2 pi f_base t / d_i + phi_i): a Lissajous trajectory.

    Parameters
    ----------
    base_frequency : float
        Sampling and base frequency in Hz.
    dividers : tuple of int, one an axis
        The axis' frequency is base_frequency / divider.
    amplitudes : tuple of float, one an axis
        In T.
    phases : tuple of float, one an axis, optional
        In rad; zero if empty.

    Raises
    ------
    ValueError
        If the tuples differ in length or hold what is not finite, a divider is below 2 or the base frequency is
        not positive.
    """

    base_frequency: float
    dividers: tuple[int, ...]
    amplitudes: tuple[float, ...]
    phases: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_all_positive(base_frequency=self.base_frequency)
        for name in ("dividers", "amplitudes", "phases"):
            if not hasattr(getattr(self, name), "__len__"):
                raise ValueError(f"{name}: expected one an axis, found {getattr(self, name)!r}")
        if not self.dividers or len(self.amplitudes) != len(self.dividers):
            raise ValueError(
                f"expected one amplitude for each of {len(self.dividers)} dividers, "
                f"found {len(self.amplitudes)}"
            )
        if self.phases and len(self.phases) != len(self.dividers):
            raise ValueError(
                f"expected one phase for each of {len(self.dividers)} dividers, found {len(self.phases)}"
            )
        for divider in self.dividers:
            check_divider("dividers", divider)
        for amplitude in self.amplitudes:
            check_number("amplitudes", amplitude, "T")
        for phase in self.phases:
            check_number("phases", phase, "rad")

    @property
    def axes(self) -> int:
        """Components of the field."""
        return len(self.dividers)

    @property
    def segments(self) -> int:
        """One: a Lissajous trajectory is measured as a whole."""
        return 1

    @property
    def samples(self) -> int:
        """Samples in one period of the trajectory: the least common multiple of the dividers."""
        return math.lcm(*self.dividers)

    @property
    def period(self) -> float:
        """Duration of one period of the trajectory in s (102/96/99 at 2.5 MHz: 21.5424 ms)."""
        return self.samples / self.base_frequency

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Drive frequency of each axis in Hz."""
        return tuple(self.base_frequency / divider for divider in self.dividers)

    def times(self) -> NDArray[np.float64]:
        """Sampling instants of one period, shape (samples,), in s."""
        return np.arange(self.samples) / self.base_frequency

    def _angle(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        phases = np.asarray(self.phases or (0.0,) * len(self.dividers))
        angle: NDArray[np.float64] = (
            2.0 * np.pi * np.asarray(times, dtype=np.float64)[:, None] * np.asarray(self.frequencies) + phases
        )
        return angle

    def field(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Field at `times` (s), shape (samples, axes), in T."""
        result: NDArray[np.float64] = np.asarray(self.amplitudes) * np.sin(self._angle(times))
        return result

    def field_rate(self, times: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Time derivative of the field at `times` (s), shape (samples, axes), in T/s."""
        omega = 2.0 * np.pi * np.asarray(self.frequencies)
        result: NDArray[np.float64] = np.asarray(self.amplitudes) * omega * np.cos(self._angle(times))
        return result
