"""Background: what the receive coils see without particles, and how it drifts."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nixel.physics.mpi.fields import DriveField

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Drift:
    """Relative change of the background with time: warming up, a trend, and a random walk.

    factor(t) = 1 + warm_up (1 - exp(-t / warm_up_time)) + trend t + walk W(t), with W the Wiener process.

    Parameters
    ----------
    warm_up : float
        Relative.
    warm_up_time : float
        In s.
    trend : float
        In 1/s.
    walk : float
        Standard deviation after one second, in 1/sqrt(s).
    seed : int
        Of the random walk.

    Raises
    ------
    ValueError
        If the warm-up time is not positive, the walk is negative or a number is not finite.
    """

    warm_up: float = 0.0
    warm_up_time: float = 20.0
    trend: float = 0.0
    walk: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        numbers = (self.warm_up, self.warm_up_time, self.trend, self.walk)
        if not all(map(math.isfinite, numbers)) or self.warm_up_time <= 0 or self.walk < 0:
            raise ValueError(
                "expected finite numbers, warm_up_time above zero and walk of zero or more, found "
                f"warm_up {self.warm_up}, warm_up_time {self.warm_up_time}, trend {self.trend}, walk {self.walk}"
            )

    def factor(self, times: Array) -> NDArray[np.float64]:
        """Factor of the background.

        Parameters
        ----------
        times : array of float, shape (frames,)
            In s since the start, zero or more, ascending.

        Returns
        -------
        array of float64, shape (frames,)

        Raises
        ------
        ValueError
            If times are negative or do not ascend.
        """
        times = np.asarray(times, dtype=np.float64)
        steps = np.diff(times, prepend=0.0)
        if times.ndim != 1 or not (steps >= 0).all():
            raise ValueError("times: expected ascending numbers of zero or more in s")
        walk = np.cumsum(np.random.default_rng(self.seed).standard_normal(len(times)) * np.sqrt(steps))
        return np.asarray(
            1.0 - self.warm_up * np.expm1(-times / self.warm_up_time) + self.trend * times + self.walk * walk
        )


@dataclass(frozen=True)
class FeedThrough:
    """Direct feed-through of the drive field and its harmonics into the receive coils.

    Parameters
    ----------
    harmonics : tuple of float
        Amplitude in V at 1, 2, ... times the drive frequency of the channel's own axis.
    crosstalk : float
        Those of the other axes, relative to the own.
    drift : Drift

    Raises
    ------
    ValueError
        If a number is not finite.
    """

    harmonics: tuple[float, ...]
    crosstalk: float = 0.2
    drift: Drift = Drift()

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.harmonics, self.crosstalk))):
            raise ValueError(
                f"harmonics, crosstalk: expected finite numbers, found {self.harmonics}, {self.crosstalk}"
            )

    def voltage(self, drive: DriveField, channels: int) -> NDArray[np.float64]:
        """One period, before drift.

        Parameters
        ----------
        drive : DriveField
        channels : int

        Returns
        -------
        array of float64, shape (channels, samples)
            In V; only harmonics of the drive frequencies, each with a phase of its own.
        """
        times = drive.times()
        result = np.zeros((channels, len(times)))
        for channel in range(channels):
            for axis, frequency in enumerate(drive.frequencies):
                if drive.amplitudes[axis] == 0.0:
                    continue
                coupling = 1.0 if axis == channel else self.crosstalk
                for order, amplitude in enumerate(self.harmonics, start=1):
                    phase = 0.7 * order + 1.3 * axis + 0.4 * channel  # any fixed phase will do
                    result[channel] += (
                        coupling * amplitude * np.cos(2.0 * np.pi * order * frequency * times + phase)
                    )
        return result

    def frames(self, drive: DriveField, channels: int, times: Array) -> NDArray[np.float64]:
        """Frames that begin at `times` (s, ascending): array of float64, shape (frames, channels, samples), in V."""
        return self.drift.factor(times)[:, None, None] * self.voltage(drive, channels)
