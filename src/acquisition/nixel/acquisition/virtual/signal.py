"""The virtual scanner's receive signal: a pure function of seed, commands and sample index.

A code is the sum of the particles' signal, the direct feed-through of the drive field (a few harmonics,
drifting slowly) and white noise, rounded to the converter's 16 bits. Noise is drawn from a counter-based
generator (Philox; Salmon et al., SC 2011) keyed by the seeds and the acquisition's number, with the period
as counter: any sample can be computed without those before it, and never depends on when it was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nixel.physics.grid import Grid
from nixel.physics.mpi import DriveField, Particles, signal
from nixel.physics.phantoms import phantom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.acquisition.instrument import Scanner

__all__ = [
    "NOISE_CODES",
    "VOLTS_PER_CODE",
    "Delta",
    "Empty",
    "NamedPhantom",
    "Sample",
    "drift",
    "feed_through",
    "noise_key",
    "particle_signal",
    "quantise",
]

VOLTS_PER_CODE = 40e-3 / 32768  # full scale is 40 mV
NOISE_CODES = 4.0  # standard deviation of one sample
DELTA_CONCENTRATION = 100.0  # mol(Fe)/m^3

# The phantom is simulated on voxels of 0.25 mm, which no reconstruction's grid shares (no inverse crime).
_FINE = Grid((96, 96), (24e-3, 24e-3))
_DELTA_POINTS = 4
_FEED_THROUGH_CODES = (
    1500.0,
    120.0,
    60.0,
    25.0,
    10.0,
)  # of the harmonics 1, 2, ... of the channel's own axis
_CROSSTALK = 0.2
_DRIFT, _DRIFT_TIME = 0.02, 20.0  # relative; s


@dataclass(frozen=True)
class Empty:
    """Nothing in the bore."""

    def __str__(self) -> str:
        return "EMPTY"


@dataclass(frozen=True)
class NamedPhantom:
    """A phantom, fixed in the centre of the bore."""

    name: str

    def __str__(self) -> str:
        return f"PHANTOM {self.name}"


@dataclass(frozen=True)
class Delta:
    """The calibration sample on the robot: a box of `size` (x, y, z) in m."""

    size: tuple[float, float, float]

    def __str__(self) -> str:
        return "DELTA " + ",".join(map(repr, self.size))


Sample = Empty | NamedPhantom | Delta


def particle_signal(
    sample: Sample, robot: tuple[float, float], scanner: Scanner, amplitudes: tuple[float, ...]
) -> NDArray[np.float64]:
    """One period of the particles' signal.

    Parameters
    ----------
    sample : Sample
    robot : tuple of float
        The robot's position (x, y) in m; only a delta sample moves with it.
    scanner : Scanner
    amplitudes : tuple of float
        Of the drive field's axes in T.

    Returns
    -------
    array of float64, shape (channels, samples)
        In codes.
    """
    empty = np.zeros((scanner.receive_channels, scanner.samples_per_period))
    if isinstance(sample, Empty) or not any(amplitudes):
        return empty
    if isinstance(sample, NamedPhantom):
        grid = _FINE
        positions = grid.positions()
        concentration = phantom(sample.name).rasterise(grid).ravel()
    else:
        width, height, thickness = sample.size
        grid = Grid((_DELTA_POINTS, _DELTA_POINTS), (height, width), thickness)
        positions = grid.positions() + np.asarray(robot)
        concentration = np.full(len(positions), DELTA_CONCENTRATION)
    volts = signal(
        concentration,
        positions,
        DriveField(scanner.base_frequency, scanner.dividers, amplitudes),
        scanner.gradient,
        Particles(),
        voxel_volume=grid.voxel_volume,
    )
    return volts[: scanner.receive_channels] / VOLTS_PER_CODE


def feed_through(scanner: Scanner, amplitudes: tuple[float, ...]) -> NDArray[np.float64]:
    """One period of what the receive coils pick up from the drive field itself.

    Parameters
    ----------
    scanner : Scanner
    amplitudes : tuple of float
        Of the drive field's axes in T.

    Returns
    -------
    array of float64, shape (channels, samples)
        In codes, before drift; only harmonics of the drive frequencies.
    """
    instants = np.arange(scanner.samples_per_period)
    result = np.zeros((scanner.receive_channels, scanner.samples_per_period))
    for channel in range(scanner.receive_channels):
        for axis, (divider, amplitude) in enumerate(zip(scanner.dividers, amplitudes, strict=True)):
            coupling = (1.0 if axis == channel else _CROSSTALK) * amplitude / scanner.drive_field[axis]
            for order, codes in enumerate(_FEED_THROUGH_CODES, start=1):
                phase = 0.7 * order + 1.3 * axis + 0.4 * channel  # any fixed phase will do
                result[channel] += coupling * codes * np.cos(2 * np.pi * order * instants / divider + phase)
    return result


def drift(time: float) -> float:
    """Factor of the feed-through at a time in s since the session's start: warming up by 2 %."""
    return 1.0 + _DRIFT * float(-np.expm1(-time / _DRIFT_TIME))


def noise_key(device_seed: int, session_seed: int, acquisition: int) -> NDArray[np.uint64]:
    """Key of one acquisition's noise, shape (2,)."""
    sequence = np.random.SeedSequence((device_seed, session_seed, acquisition))
    return np.asarray(sequence.generate_state(2, np.uint64), dtype=np.uint64)


def quantise(
    particles: NDArray[np.float32],
    through: NDArray[np.float32],
    factor: float,
    key: NDArray[np.uint64],
    period: int,
) -> tuple[NDArray[np.int16], bool]:
    """Codes of one period.

    Parameters
    ----------
    particles, through : array of float32, shape (samples, channels)
        In codes.
    factor : float
        Of the feed-through: its drift.
    key : array of uint64, shape (2,)
    period : int
        Number of the period since the acquisition's start.

    Returns
    -------
    codes : array of int16, shape (samples, channels)
    overload : bool
        Whether a code reached the end of the range.
    """
    counter = np.array([0, period, 0, 0], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
    codes = generator.standard_normal(particles.shape, dtype=np.float32)
    codes *= np.float32(NOISE_CODES)
    codes += particles
    codes += np.float32(factor) * through
    np.rint(codes, out=codes)
    overload = bool(np.abs(codes).max() > 32767)
    if overload:
        np.clip(codes, -32768, 32767, out=codes)
    return codes.astype(np.int16), overload
