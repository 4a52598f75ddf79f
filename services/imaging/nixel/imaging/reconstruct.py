"""From a measurement file and a calibration file to the numbers of a picture: one function of its inputs."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nixel.acquisition.formats.mdf import Grid, Mdf, MdfError, read_mdf
from nixel.imaging.errors import UserError
from nixel.imaging.parameters import ReconstructionParameters
from nixel.reconstruction.mpi import SystemMatrixReconstruction, background_at, without_drift


@dataclass(frozen=True)
class Reconstructed:
    """A picture's numbers.

    Parameters
    ----------
    pixels : array of float32, shape (frames, y, x)
        Concentration of iron in mol/m^3.
    grid : Grid
        Of its voxels.
    scan : Mdf
        What it shows.
    """

    pixels: NDArray[np.float32]
    grid: Grid
    scan: Mdf

    @property
    def pixels_sha256(self) -> str:
        """Hash of the numbers with their shape and type."""
        header = f"{self.pixels.dtype.str}{self.pixels.shape}".encode()
        return hashlib.sha256(header + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()


def corrected(mdf: Mdf) -> tuple[NDArray[Any], NDArray[Any]]:
    """Background-corrected foreground spectra and all background frames, in the order of time.

    Both have the shape (frames, channels, frequencies).
    """
    measurement = mdf.measurement
    if measurement is None:
        raise MdfError(f"{mdf.path}: expected measured data, found none")
    spectra = measurement.spectra()[:, 0]
    empty = measurement.is_background
    # Frames may be stored by place on the grid; the drift of the background goes with their place in time.
    order = measurement.frame_permutation
    times = np.arange(len(spectra), dtype=float) if order is None else order.astype(float)
    if not empty.any():
        raise UserError(
            f"{mdf.path}: expected background frames, found none: measure again with background_frames of 1 or "
            "more (3 or more for a calibration)."
        )
    by_time = np.flatnonzero(empty)[np.argsort(times[empty])]
    background = spectra[by_time]
    drifting = background_at(background, times[by_time], times[~empty])
    return spectra[~empty] - drifting, background


def reconstruct(measurement: Path, calibration: Path, parameters: ReconstructionParameters) -> Reconstructed:
    """Reconstruct a scan with a calibration.

    The same files and parameters give the same bits: one thread, so that no sum depends on how it was split.

    Parameters
    ----------
    measurement, calibration : Path
        MDF files of the same scanner settings.
    parameters : ReconstructionParameters

    Returns
    -------
    Reconstructed

    Raises
    ------
    MdfError, UserError
        If a file is not what it should be, or the two do not belong together.
    """
    scan, matrix = read_mdf(measurement), read_mdf(calibration)
    if matrix.calibration is None:
        raise MdfError(f"{calibration}: expected a calibration, found a {matrix.kind}")
    check_together(scan, matrix)
    with threadpool_limits(1):
        system, background = corrected(matrix)
        measured, _ = corrected(scan)
        frequencies = np.fft.rfftfreq(scan.setting.samples, 1.0 / scan.setting.base_frequency)
        try:
            prepared = SystemMatrixReconstruction.prepare(
                system,
                without_drift(background),
                frequencies,
                threshold=parameters.snr_threshold,
                band=(parameters.lowest_frequency, parameters.highest_frequency),
                relative_lambda=parameters.relative_lambda,
            )
        except ValueError as error:
            raise UserError(f"{calibration}: {error}") from error
        relative = prepared.apply(measured, parameters.iterations)
    grid = matrix.calibration.grid
    pixels = relative * iron_per_voxel(matrix, grid.voxel_volume)
    images = np.ascontiguousarray(pixels.reshape(len(pixels), *grid.shape), dtype=np.float32)
    return Reconstructed(images, grid, scan)


def check_together(scan: Mdf, matrix: Mdf) -> None:
    """Refuse a calibration that was taken with other settings than the scan."""
    for name in ("base_frequency", "dividers", "drive_field", "gradient", "samples", "channels"):
        ours, theirs = getattr(scan.setting, name), getattr(matrix.setting, name)
        if ours != theirs:
            raise UserError(
                f"{scan.path} and {matrix.path} do not belong together: expected the calibration's {name} to be "
                f"{ours}, found {theirs}. Calibrate with the settings of the scan."
            )


def iron_per_voxel(matrix: Mdf, voxel_volume: float) -> float:
    """Concentration in mol/m^3 of a voxel that holds as much iron as the calibration sample."""
    assert matrix.calibration is not None
    tracer, delta = matrix.labels.tracer, matrix.calibration.delta_sample_size
    known = tracer is not None and math.isfinite(tracer.concentration)
    if not known or delta is None or tracer is None:
        raise UserError(
            f"{matrix.path}: expected the concentration and size of the calibration sample, found none: without them "
            "a picture has no unit."
        )
    return tracer.concentration * 1e3 * math.prod(delta) / voxel_volume
