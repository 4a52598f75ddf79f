"""From a measurement file and a calibration file to the numbers of a picture: one function of its inputs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nixel.acquisition.formats.mdf import Grid, Mdf, MdfError, read_mdf
from nixel.imaging.errors import UserError
from nixel.imaging.mpi_matrix import Choice
from nixel.imaging.mpi_pair import check_together, iron_per_voxel
from nixel.imaging.mpi_signal import at_frequencies, frames_of, kept_frequencies
from nixel.imaging.mpi_volume import Resources, Solving, solve
from nixel.imaging.parameters import ReconstructionParameters
from nixel.reconstruction.mpi import SystemMatrixReconstruction, background_at, without_drift

_TOGETHER = 64  # frames that are solved at once


def _silent(_what: str, _done: int, _total: int) -> None:
    pass


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
    centre : tuple of float
        Of the grid, (x, y, z) in m: patches need not lie around the origin.
    """

    pixels: NDArray[np.float32]
    grid: Grid
    scan: Mdf
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def pixels_sha256(self) -> str:
        """Hash of the numbers with their shape and type."""
        header = f"{self.pixels.dtype.str}{self.pixels.shape}".encode()
        return hashlib.sha256(header + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()


def corrected(mdf: Mdf, frequencies: NDArray[np.int64] | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Background-corrected foreground spectra and all background frames.

    Parameters
    ----------
    mdf : Mdf
    frequencies : array of int64, optional
        Which are wanted, from 0; all that the file has if left out.

    Returns
    -------
    foreground : array of complex, shape (frames, channels, frequencies)
        A calibration's in the order in which x runs fastest, others in the order of the file.
    background : array of complex, shape (frames, channels, frequencies)
        In the order of time.

    Raises
    ------
    MdfError, UserError
        The file has no measured data, no background frames, or not the frequencies.
    """
    measurement, empty, times = frames_of(mdf)
    spectra = at_frequencies(mdf, measurement.spectra()[:, 0], frequencies)
    by_time = np.flatnonzero(empty)[np.argsort(times[empty])]
    background = spectra[by_time]
    drifting = background_at(background, times[by_time], times[~empty])
    foreground = spectra[~empty] - drifting
    if mdf.calibration is not None and mdf.calibration.order != "xyz":
        foreground = foreground[mdf.calibration.by_place()]
    return foreground, background


def reconstruct(measurement: Path, calibration: Path, parameters: ReconstructionParameters) -> Reconstructed:
    """Reconstruct a scan with a calibration.

    The same files and parameters give the same bits: one thread, so that no sum depends on how it was split. The
    patches of a scan become one picture.

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
    if scan.setting.offset_fields is not None:
        return _of_patches(scan, measurement, calibration, parameters)
    with threadpool_limits(1):
        system, background = corrected(matrix)
        kept = kept_frequencies(matrix)
        measured, _ = corrected(scan, kept)
        frequencies = np.fft.rfftfreq(scan.setting.samples, 1.0 / scan.setting.base_frequency)[kept]
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


def _of_patches(
    scan: Mdf, measurement: Path, calibration: Path, parameters: ReconstructionParameters
) -> Reconstructed:
    """Solve all patches jointly, as `nixel mpi reconstruct` does."""
    band = (parameters.lowest_frequency, parameters.highest_frequency)
    solving = Solving(
        method="kaczmarz",
        iterations=parameters.iterations,
        relative_lambda=parameters.relative_lambda,
        l1=0.0,
        total_variation=0.0,
        signed=False,
        choice=Choice(parameters.snr_threshold, band, None, None, "whitening"),
        background="blocks",
        leakage=False,
        frames=_TOGETHER,
    )
    resources = Resources(workers=1, memory=None, scratch=measurement.parent, cluster=None)
    with threadpool_limits(1):
        try:
            volume = solve(measurement, calibration, solving, resources, _silent).volume
        except ValueError as error:
            raise UserError(f"{measurement}, {calibration}: {error}") from error
    planes = np.asarray(volume.data, dtype=np.float32)
    # Frames of one plane, as a calibration in the plane gives them.
    images = np.ascontiguousarray(planes.reshape(-1, *planes.shape[-2:]))
    thickness, *spacing = volume.spacing
    extents = [step * count for step, count in zip(spacing, images.shape[1:], strict=True)]
    grid = Grid((images.shape[1], images.shape[2]), (extents[0], extents[1]), thickness)
    z, y, x = (
        first + (count - 1) / 2 * step
        for first, count, step in zip(volume.origin, (1, *images.shape[1:]), volume.spacing, strict=True)
    )
    return Reconstructed(images, grid, scan, (x, y, z))
