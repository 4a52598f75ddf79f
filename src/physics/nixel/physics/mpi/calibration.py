"""Calibration as a robot does it: a small sample moved over a grid, the empty bore measured in between."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nixel.physics.checks import check_all_positive
from nixel.physics.grid import Grid
from nixel.physics.mpi.background import Drift
from nixel.physics.mpi.fields import Drive
from nixel.physics.mpi.induction import Progress
from nixel.physics.mpi.matrix import system_matrix
from nixel.physics.mpi.measurement import EmptyBore
from nixel.physics.mpi.particles import Particles
from nixel.physics.mpi.receive import ReceiveCoils
from nixel.physics.mpi.receive_noise import Density
from nixel.physics.mpi.selection import Selection

Array = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class Calibration:
    """What a calibration measures.

    The shapes are those of a drive with one segment; with more, an axis of segments follows the channels.

    Parameters
    ----------
    measured : array of complex, shape (voxels, channels, frequencies)
        Fourier coefficients (``norm="forward"``) with the sample in each voxel, in V; not background-corrected.
    background : array of complex, shape (background frames, channels, frequencies)
        Those of the empty bore, in the order of time, in V.
    times, background_times : array of float64, shape (voxels,), (background frames,)
        Middle of each frame in s.
    numbers : array of int, shape (frequencies,)
        Number of each coefficient.
    frequencies : array of float64, shape (frequencies,)
        Theirs in Hz.
    voxel_concentration : float
        Concentration of a voxel that holds as much iron as the sample, in mol(Fe)/m^3: with it a picture relative
        to the sample has a unit.
    """

    measured: Complex
    background: Complex
    times: NDArray[np.float64]
    background_times: NDArray[np.float64]
    numbers: NDArray[np.intp]
    frequencies: NDArray[np.float64]
    voxel_concentration: float

    def background_at(self, times: Array) -> Complex:
        """Background at any times: linear between the means of visits to the empty bore, outside them the nearest.

        Parameters
        ----------
        times : array of float, shape (frames,)
            In s.

        Returns
        -------
        array of complex, shape (frames, channels, frequencies)
        """
        # Frames of one visit: no frame of the sample between them.
        visit = np.searchsorted(np.sort(self.times), self.background_times)
        labels = np.unique(visit)
        means = np.stack([self.background[visit == label].mean(axis=0) for label in labels])
        centres = np.array([self.background_times[visit == label].mean() for label in labels])
        place = np.interp(times, centres, np.arange(len(centres)))
        before = np.minimum(place.astype(np.intp), len(centres) - 1)
        after = np.minimum(before + 1, len(centres) - 1)
        share = (place - before).reshape(-1, *(1,) * (means.ndim - 1)).astype(means.real.dtype)
        result: Complex = means[before] * (1 - share) + means[after] * share
        return result

    def matrix(self) -> Complex:
        """Background-corrected coefficients, shape (voxels, channels, frequencies), in V."""
        result = self.measured.copy()
        for start in range(0, len(result), 256):
            part = slice(start, start + 256)
            result[part] -= self.background_at(self.times[part])
        return result

    def noise(self) -> NDArray[np.float64]:
        """Standard deviation of a background frame's coefficients, shape (channels, frequencies), in V.

        From differences of neighbours, which a slow drift does not change (von Neumann et al., 1941).

        Raises
        ------
        ValueError
            If there are fewer than three background frames.
        """
        if len(self.background) < 3:
            raise ValueError(f"background: expected three frames or more, found {len(self.background)}")
        steps = np.diff(self.background, axis=0)
        return np.sqrt(np.mean(np.abs(steps) ** 2, axis=0, dtype=np.float64) / 2.0)

    def signal_to_noise(self) -> NDArray[np.float64]:
        """Mean magnitude over the voxels divided by the noise, shape (channels, frequencies); infinite without noise.

        Raises
        ------
        ValueError
            If there are fewer than three background frames.
        """
        noise = self.noise()
        mean = np.zeros(noise.shape)
        for start in range(0, len(self.measured), 256):
            part = slice(start, start + 256)
            corrected = self.measured[part] - self.background_at(self.times[part])
            mean += np.sum(np.abs(corrected), axis=0, dtype=np.float64)
        mean /= len(self.measured)
        result: NDArray[np.float64] = np.full(mean.shape, np.inf)
        return np.divide(mean, noise, out=result, where=noise > 0)


def calibrate(
    grid: Grid,
    drive: Drive,
    gradient: Selection,
    particles: Particles,
    *,
    sample_size: Sequence[float] = (),
    concentration: float = 100.0,
    points: int = 1,
    coils: ReceiveCoils | None = None,
    focus: Sequence[float] = (),
    frequencies: NDArray[np.integer[Any]] | Sequence[int] | None = None,
    averages: int = 1,
    background_every: int = 1,
    background_frames: int = 1,
    density: Density = 0.0,
    background: Array | None = None,
    drift: Drift | None = None,
    move_time: float = 0.1,
    exchange_time: float = 1.0,
    seed: int = 0,
    dtype: DTypeLike = np.complex128,
    workers: int = 1,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Move a small sample over a grid, row by row, and measure the empty bore before, between and after rows.

    Parameters
    ----------
    grid : Grid
        Positions of the sample; as many axes as the drive.
    drive, gradient, particles, coils, focus
        As for `system_function`.
    sample_size : sequence of float, optional
        Box (x, y, z) in m; a voxel by default.
    concentration : float
        Of iron in the sample, in mol/m^3.
    points : int
        Gauss-Legendre nodes an axis over which the sample is integrated; one is its centre.
    frequencies : array of int, shape (frequencies,), optional
        Numbers of the coefficients; all by default. The noise of a coefficient does not depend on the choice.
    averages : int
        Periods averaged into a frame.
    background_every : int
        Rows along x between two visits to the empty bore.
    background_frames : int
        Frames a visit.
    density : float or callable
        One-sided spectral density of the noise in V^2/Hz, as for `noise`.
    background : array of float, shape (channels, samples), optional
        Voltage of the empty bore in one period in V, such as `FeedThrough.voltage`; none by default.
    drift : Drift, optional
        Of the background; none by default.
    move_time, exchange_time : float
        Of the robot to the next position, and of taking the sample out or in, in s.
    seed : int
        Of the noise.
    dtype, workers, memory
        As for `system_matrix`.
    progress : callable, optional
        Told steps done, steps in all: one a voxel and node of the sample, and one more a voxel.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        If numbers do not fit together or are not positive.
    """
    coils = coils or ReceiveCoils()
    check_all_positive(concentration=concentration, points=points)
    check_all_positive(background_every=background_every, background_frames=background_frames)
    if not (min(move_time, exchange_time) >= 0 and math.isfinite(move_time + exchange_time)):
        raise ValueError(
            f"move_time, exchange_time: expected zero or more in s, found {move_time!r}, {exchange_time!r}"
        )
    size = tuple(sample_size) or (*reversed(grid.spacing), grid.thickness)[:3]
    if len(size) != 3 or not all(math.isfinite(length) and length > 0 for length in size):
        raise ValueError(f"sample_size: expected positive lengths (x, y, z) in m, found {sample_size!r}")
    channels, length = len(coils.sensitivities), drive.samples // drive.segments
    segments = (drive.segments,) if drive.segments > 1 else ()
    numbers = np.arange(length // 2 + 1) if frequencies is None else np.asarray(frequencies, dtype=np.intp)
    if numbers.ndim != 1:
        raise ValueError(f"frequencies: expected numbers of shape (frequencies,), found {numbers.shape}")
    bore = EmptyBore(
        (channels, *segments, length),
        drive.base_frequency,
        density=density, averages=averages, background=background, seed=seed,
    )  # fmt: skip

    def told(done: int, steps: int) -> None:
        if progress is not None:  # noise and background are the last step of each voxel
            progress(done, steps + grid.voxels)

    volume = math.prod(size)
    options = {
        "coils": coils, "focus": focus, "frequencies": numbers, "dtype": dtype, "workers": workers, "memory": memory
    }  # fmt: skip
    measured, steps = _sample_spectra(
        grid, (channels, *segments, len(numbers)), size[: drive.axes], points, volume * concentration,
        drive, gradient, particles, told, options,
    )  # fmt: skip
    frame_time = averages * drive.samples / drive.base_frequency
    times, background_times, order = _schedule(
        grid, background_every, background_frames, frame_time, move_time, exchange_time
    )
    all_times = np.concatenate([times, background_times])
    in_time = np.argsort(order)
    factors = np.empty(len(all_times))
    factors[in_time] = (drift or Drift()).factor(all_times[in_time])
    for voxel in range(grid.voxels):
        measured[voxel] += bore.spectrum(int(order[voxel]), factors[voxel])[..., numbers]
        told(steps + voxel + 1, steps)
    empty = [
        bore.spectrum(int(order[index]), factors[index])[..., numbers]
        for index in range(grid.voxels, len(all_times))
    ]
    frames = np.stack(empty).astype(dtype)
    return Calibration(
        measured,
        frames,
        times,
        background_times,
        numbers,
        numbers * drive.base_frequency / length,
        concentration * volume / grid.voxel_volume,
    )


def _sample_spectra(
    grid: Grid,
    shape: tuple[int, ...],
    size: Sequence[float],
    points: int,
    amount: float,
    drive: Drive,
    gradient: Selection,
    particles: Particles,
    progress: Progress,
    options: dict[str, Any],
) -> tuple[Complex, int]:
    """Spectra of a box of `amount` mol of iron at each voxel's centre, (voxels, *shape), and the steps taken."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    places = grid.positions()
    choices = list(itertools.product(range(points), repeat=len(size)))
    steps = len(choices) * len(places)
    total: Complex = np.zeros((len(places), *shape), dtype=options["dtype"])
    for done, choice in enumerate(choices):

        def told(voxels: int, _all: int, before: int = done * len(places)) -> None:
            progress(before + voxels, steps)

        shift = np.array([nodes[index] * extent / 2 for index, extent in zip(choice, size, strict=True)])
        share = math.prod(weights[index] / 2 for index in choice)
        part = total if len(choices) == 1 else np.empty_like(total)
        system_matrix(
            places + shift, drive, gradient, particles,
            voxel_volume=amount * share, out=np.moveaxis(part, 0, -1), progress=told, **options,
        )  # fmt: skip
        if part is not total:
            total += part
    return total, steps


def _schedule(
    grid: Grid, every: int, frames: int, frame_time: float, move_time: float, exchange_time: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """When each voxel and each background frame is measured, and the number of each frame in time."""
    columns = grid.shape[-1]
    rows = grid.voxels // columns
    now, number = 0.0, itertools.count()
    times, background_times = np.empty(grid.voxels), []
    order, background_order = np.empty(grid.voxels, dtype=np.intp), []
    for row in range(rows + 1):
        if row % every == 0 or row == rows:
            now += exchange_time if row else 0.0
            for _ in range(frames):
                background_times.append(now + frame_time / 2)
                background_order.append(next(number))
                now += frame_time
            now += exchange_time
        for voxel in range(row * columns, (row + 1) * columns if row < rows else row * columns):
            times[voxel], order[voxel] = now + frame_time / 2, next(number)
            now += frame_time + move_time
    return times, np.array(background_times), np.concatenate([order, background_order])
