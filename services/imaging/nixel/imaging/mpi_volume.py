"""From MDF files to a volume of iron, with the solver that is asked for: one function of its inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.mdf import Mdf, MdfError, read_mdf
from nixel.acquisition.formats.volumes import Volume
from nixel.imaging.reconstruct import check_together, corrected, iron_per_voxel
from nixel.reconstruction.mpi import (
    CGNR,
    FISTA,
    Kaczmarz,
    row_norm_weights,
    select_frequencies,
    signal_to_noise,
    whitening_weights,
    without_drift,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Progress = Callable[[str, int, int], None]

METHODS = ("kaczmarz", "cgnr", "fista")
WEIGHTINGS = ("whitening", "row norm", "none")


@dataclass(frozen=True)
class Solving:
    """How a system matrix is solved.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    iterations : int
    relative_lambda : float
        Regularisation relative to the mean energy of a column.
    l1, total_variation : float
        Of FISTA.
    threshold : float
        Smallest signal-to-noise ratio of a frequency.
    band : tuple of float
        Lowest and highest frequency, Hz.
    weighting : str
        One of `WEIGHTINGS`.
    """

    method: str
    iterations: int
    relative_lambda: float
    l1: float
    total_variation: float
    threshold: float
    band: tuple[float, float]
    weighting: str


@dataclass(frozen=True)
class Solved:
    """A volume, and how much of the measurement went into it.

    Parameters
    ----------
    volume : Volume
        Iron in mol/m^3.
    rows : int
        Frequencies of all channels that were used.
    simulated : bool
        Whether any of it comes from a simulation.
    """

    volume: Volume
    rows: int
    simulated: bool


def solve(scan_path: Path, matrix_path: Path, solving: Solving, workers: int, progress: Progress) -> Solved:
    """Reconstruct a scan with a calibration.

    Parameters
    ----------
    scan_path, matrix_path : Path
        MDF files of the same scanner settings.
    solving : Solving
    workers : int
        Threads; the last bits depend on them.
    progress : callable
        Told (what is being done, steps done, steps in all).

    Returns
    -------
    Solved

    Raises
    ------
    MdfError, UserError, ValueError
        If a file is not what it should be, the two do not belong together, or a setting is out of its range.
    """
    scan, matrix = read_mdf(scan_path), read_mdf(matrix_path)
    if matrix.calibration is None:
        raise MdfError(f"{matrix_path}: expected a calibration, found a {matrix.kind}")
    check_together(scan, matrix)
    system, empty = corrected(matrix)
    measured, _ = corrected(scan)
    noise = without_drift(empty)
    snr = signal_to_noise(system, noise)
    channel, frequency = select_frequencies(
        snr, frequencies(matrix), threshold=solving.threshold, band=solving.band
    ).T
    rows = np.ascontiguousarray(system[:, channel, frequency].T)
    if solving.weighting == "whitening":
        weights = whitening_weights(noise[:, channel, frequency])
    else:
        weights = row_norm_weights(rows) if solving.weighting == "row norm" else np.ones(len(rows))
    weights = weights.astype(rows.real.dtype)[:, None]
    rows *= weights
    u = np.ascontiguousarray(measured[:, channel, frequency].T.astype(rows.dtype) * weights)

    def report(done: int, total: int) -> None:
        progress(solving.method, done, total)

    size, field_of_view = matrix.calibration.size[::-1], matrix.calibration.field_of_view[::-1]
    relative = _solved(rows, u, solving, size, workers, report)
    spacing = [extent / count for extent, count in zip(field_of_view, size, strict=True)]
    iron = relative.T * iron_per_voxel(matrix, math.prod(spacing))
    frames = np.ascontiguousarray(iron.reshape(-1, *size), dtype=rows.real.dtype)
    origin = [
        centre - extent / 2 + step / 2
        for centre, extent, step in zip(matrix.calibration.center[::-1], field_of_view, spacing, strict=True)
    ]
    volume = Volume(
        frames if len(frames) > 1 else frames[0],
        (spacing[0], spacing[1], spacing[2]),
        (origin[0], origin[1], origin[2]),
        "Iron [mol/m^3]",
        scan.setting.cycle * scan.setting.averages if len(frames) > 1 else None,
    )
    return Solved(volume, len(rows), scan.setting.simulated or matrix.setting.simulated)


def _solved(
    rows: NDArray[Any],
    u: NDArray[Any],
    solving: Solving,
    size: tuple[int, ...],
    workers: int,
    report: Callable[[int, int], None],
) -> NDArray[Any]:
    options: dict[str, Any] = {"workers": workers, "progress": report}
    if solving.method == "cgnr":
        # The best real solution; it has no other constraint, so that what is negative in it tells of the noise.
        return np.asarray(CGNR(rows, solving.relative_lambda).solve(u, solving.iterations, **options))
    if solving.method == "fista":
        # A single plane has no variation across it.
        grid = tuple(count for count in size if count > 1)
        fista = FISTA(
            rows,
            relative_lambda=solving.relative_lambda,
            l1=solving.l1,
            total_variation=solving.total_variation,
            grid=grid if solving.total_variation else None,
            workers=workers,
        )
        return np.asarray(fista.solve(u, solving.iterations, **options))
    kaczmarz = Kaczmarz(rows, solving.relative_lambda, workers=workers)
    return np.asarray(kaczmarz.solve(u, solving.iterations, **options))


def frequencies(mdf: Mdf) -> NDArray[np.float64]:
    """Frequencies of the coefficients of a file's spectra, in Hz."""
    return np.asarray(
        np.fft.rfftfreq(mdf.setting.samples, 1.0 / mdf.setting.base_frequency), dtype=np.float64
    )


def signal_to_noise_of(path: Path, progress: Progress) -> tuple[Mdf, NDArray[np.float64]]:
    """Signal-to-noise ratio of a calibration, as MPIFiles defines it.

    Parameters
    ----------
    path : Path
        A calibration with background frames.
    progress : callable
        Told (what is being done, steps done, steps in all).

    Returns
    -------
    mdf : Mdf
    snr : array of float64, shape (channels, frequencies)

    Raises
    ------
    MdfError, UserError
        If it is none, or has no background.
    """
    matrix = read_mdf(path)
    if matrix.calibration is None:
        raise MdfError(f"{path}: expected a calibration, found a {matrix.kind}")
    system, empty = corrected(matrix)
    return matrix, signal_to_noise(
        system, without_drift(empty), progress=lambda done, total: progress("channels", done, total)
    )
