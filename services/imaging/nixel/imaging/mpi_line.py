"""From an MDF file of a field-free line to a picture, by filtered back-projection: no system matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.mdf import Mdf, MdfError
from nixel.acquisition.formats.volumes import Volume
from nixel.imaging.errors import UserError
from nixel.imaging.mpi_signal import as_induced, scan_spectra
from nixel.physics.grid import centres
from nixel.reconstruction.mpi.ffl import filtered_back_projection, projections

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nixel.imaging.transfer_table import Transfer
    from nixel.physics.mpi import Particles

    Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Projecting:
    """What is known of particles and coils, and how the picture is made.

    Parameters
    ----------
    particles : Particles
    sensitivity : float
        Of the receive coils, p = H/I, in 1/m.
    thickness : float
        Of the slice that the iron is in, m.
    fundamental : bool
        Whether the drive frequency is measured; else it is filtered out and found again from the dark ends.
    deblur : bool
        Whether the projections are freed of the particles' response.
    regularisation : float
        Of that.
    transfer : MeasuredTransfer, tuple of them, or None
        Of the receive path, for all channels or one for each; it is undone.
    """

    particles: Particles
    sensitivity: float
    thickness: float
    fundamental: bool
    deblur: bool
    regularisation: float
    transfer: Transfer = None


def back_projected(scan: Mdf, cells: tuple[int, int], how: Projecting, progress: Progress) -> Volume:
    """Put the line integrals of a scan together.

    Parameters
    ----------
    scan : Mdf
        Its periods are the angles of a line that is swept along its normal.
    cells : tuple of int
        Rows and columns, of the square that every sweep covers.
    how : Projecting
    progress : callable
        Told (what is being done, steps done, steps in all).

    Returns
    -------
    Volume
        Iron in mol/m^3, of every frame.

    Raises
    ------
    MdfError, UserError, ValueError
        If the file is not what it should be.
    """
    setting = scan.setting
    sweeps, gradients = setting.drive_fields, setting.gradients
    if setting.topology == "FFL" and setting.gradients is None and setting.drive_fields is None:
        raise UserError(
            f"{scan.path}: expected a field-free line that rests at each angle, found one period: a line that turns "
            "while it is swept needs a calibration, see nixel mpi reconstruct"
        )
    if setting.topology != "FFL" or sweeps is None or gradients is None or setting.channels < 2:
        raise MdfError(
            f"{scan.path}: expected a field-free line, swept at several angles, with two receive channels; found "
            f"{setting.topology} with {setting.channels} channels"
        )
    strength, amplitude = float(-gradients[0, 2, 2]), float(np.hypot(*sweeps[0, :2]))
    angles = np.arctan2(-sweeps[:, 0], sweeps[:, 1])
    if strength <= 0 or not np.allclose(np.hypot(*sweeps[:, :2].T), amplitude):
        raise MdfError(
            f"{scan.path}: expected the same sweep and the same gradient at every angle, found others"
        )
    phase = (
        2
        * np.pi
        * np.arange(setting.samples)
        * round(setting.samples / setting.dividers[0])
        / setting.samples
    )
    reach = amplitude / strength
    offsets = np.tile(-reach * np.sin(phase), (len(angles), 1))
    rate = 2 * np.pi * setting.base_frequency / setting.dividers[0]
    speeds = np.tile(-reach * rate * np.cos(phase), (len(angles), 1))
    # Slow ends of the sweep are left out; elsewhere a cell is as wide as the longest step between samples.
    most = 0.95 * reach
    count = max(5, int(2 * most / (1.1 * reach * 2 * np.pi / setting.dividers[0])) | 1)
    axis = np.linspace(-most, most, count)
    # The square within the circle that the line reaches at all angles.
    side = 2 * most / np.sqrt(2)
    y, x = (centres(number, side) for number in cells)
    spectra = scan_spectra(scan)
    if spectra.shape[1] != len(angles):
        raise UserError(
            f"{scan.path}: expected a period for each of {len(angles)} angles, found {spectra.shape[1]}"
        )
    if not how.fundamental:
        spectra[..., : round(setting.samples / setting.dividers[0]) + 1] = 0
    signals = np.fft.irfft(spectra, n=setting.samples, axis=-1)
    signals = as_induced(signals, setting.base_frequency, how.transfer)
    blur = 1 / (how.particles.xi_per_tesla * strength) if how.deblur else None
    pictures = []
    for number, signal in enumerate(signals):
        progress("frames", number, len(signals))
        sinogram = projections(
            signal, angles, offsets, speeds, axis,
            gradient=strength, particles=how.particles, sensitivity=how.sensitivity, recover_dc=not how.fundamental,
        )  # fmt: skip
        found = filtered_back_projection(
            sinogram, angles, axis, (y, x), blur=blur, regularisation=how.regularisation
        )
        pictures.append(_as_plane(found, how.thickness))
        progress("frames", number + 1, len(signals))
    data = np.stack(pictures)
    return Volume(
        data if len(data) > 1 else data[0],
        (how.thickness, float(y[1] - y[0]), float(x[1] - x[0])),
        (0.0, float(y[0]), float(x[0])),
        "Iron [mol/m^3]",
        setting.cycle * setting.averages * len(angles) if len(data) > 1 else None,
    )


def _as_plane(iron_per_area: NDArray[Any], thickness: float) -> NDArray[Any]:
    result: NDArray[Any] = iron_per_area[None] / iron_per_area.dtype.type(thickness)
    return result
