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

from nixel.acquisition.virtual.chain import DriveSum
from nixel.physics.grid import Grid
from nixel.physics.mpi import Particles, signal
from nixel.physics.phantoms import phantom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.acquisition.scanner_tables import Scanner

    Phasors = NDArray[np.complex128]

__all__ = [
    "NOISE_CODES",
    "REFERENCE_VOLTS_PER_CODE",
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
    "quantise_reference",
]

VOLTS_PER_CODE = 40e-3 / 32768  # full scale is 40 mV
NOISE_CODES = 4.0  # standard deviation of one sample
REFERENCE_VOLTS_PER_CODE = 1.0 / 32768  # full scale of a reference channel is 1 V
REFERENCE_NOISE_CODES = 4.0
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
    sample: Sample,
    robot: tuple[float, float],
    scanner: Scanner,
    amplitudes: tuple[float, ...] | Phasors,
    focus: tuple[float, ...] = (),
) -> NDArray[np.float64]:
    """One period of the particles' signal.

    Parameters
    ----------
    sample : Sample
    robot : tuple of float
        The robot's position (x, y) in m; only a delta sample moves with it.
    scanner : Scanner
    amplitudes : tuple of float, or array of complex128, shape (axes, frequencies)
        Of the drive field in T: of each axis at its own frequency, or of each axis at every one.
    focus : tuple of float, optional
        Offset field of each axis in T.

    Returns
    -------
    array of float64, shape (channels, samples)
        In codes.
    """
    empty = np.zeros((scanner.receive_channels, scanner.samples_per_period))
    field = _phasors(amplitudes)
    if isinstance(sample, Empty) or not field.any():
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
        DriveSum(scanner.base_frequency, scanner.dividers, field),
        scanner.gradient,
        Particles(),
        voxel_volume=grid.voxel_volume,
        focus=focus,
    )
    return volts[: scanner.receive_channels] / VOLTS_PER_CODE


def _phasors(amplitudes: tuple[float, ...] | Phasors) -> Phasors:
    values = np.asarray(amplitudes, dtype=np.complex128)
    return np.diag(values) if values.ndim == 1 else values


def feed_through(scanner: Scanner, amplitudes: tuple[float, ...] | Phasors) -> NDArray[np.float64]:
    """One period of what the receive coils pick up from the drive field itself.

    Parameters
    ----------
    scanner : Scanner
    amplitudes : tuple of float, or array of complex128, shape (axes, frequencies)
        Of the drive field in T; what an axis has at the frequencies of others is too little to be seen here.

    Returns
    -------
    array of float64, shape (channels, samples)
        In codes, before drift; only harmonics of the drive frequencies.
    """
    instants, own = np.arange(scanner.samples_per_period), np.diag(_phasors(amplitudes))
    result = np.zeros((scanner.receive_channels, scanner.samples_per_period))
    for channel in range(scanner.receive_channels):
        for axis, (divider, field) in enumerate(zip(scanner.dividers, own, strict=True)):
            coupling = (1.0 if axis == channel else _CROSSTALK) * abs(field) / scanner.drive_field[axis]
            for order, codes in enumerate(_FEED_THROUGH_CODES, start=1):
                phase = 0.7 * order + 1.3 * axis + 0.4 * channel  # any fixed phase will do
                phase += order * np.angle(field)
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


def quantise_reference(
    scanner: Scanner,
    field: Phasors,
    codes_per_tesla: NDArray[np.float64],
    key: NDArray[np.uint64],
    period: int,
    envelope: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int16], bool]:
    """Codes of the reference channels, which see the drive field itself, in one period.

    Parameters
    ----------
    scanner : Scanner
    field : array of complex128, shape (channels, frequencies)
        In T.
    codes_per_tesla : array of float64, shape (channels,)
    key : array of uint64, shape (2,)
    period : int
        Number of the period since the acquisition's start.
    envelope : array of float32, shape (samples, 1), optional
        What the field is multiplied with while it ramps.

    Returns
    -------
    codes : array of int16, shape (samples, channels)
    overload : bool
        Whether a code reached the end of the range.
    """
    drive = DriveSum(scanner.base_frequency, scanner.dividers, field)
    seen = drive.field(drive.times()) * codes_per_tesla
    if envelope is not None:
        seen *= envelope
    # The receive channels' noise has another counter of the same key: neither depends on the other being read.
    counter = np.array([0, period, 1, 0], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
    codes = np.rint(seen + REFERENCE_NOISE_CODES * generator.standard_normal(seen.shape))
    overload = bool(np.abs(codes).max() > 32767)
    return codes.clip(-32768, 32767).astype(np.int16), overload
