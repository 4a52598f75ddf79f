"""From an MDF file alone to an x-space picture of a field-free point: no system matrix, no unit of concentration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.formats.mdf import Mdf, MdfError
from nixel.acquisition.formats.volumes import Volume
from nixel.imaging.errors import UserError
from nixel.imaging.mpi_signal import as_induced, scan_spectra
from nixel.physics.grid import Grid
from nixel.physics.mpi import DriveField, FieldFreePoint, field_free_point
from nixel.reconstruction.mpi.xspace import reconstruct

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nixel.imaging.transfer_table import Transfer

    Progress = Callable[[str, int, int], None]


def xspace(
    scan: Mdf,
    shape: tuple[int, int, int],
    *,
    fundamental: bool,
    transfer: Transfer = None,
    progress: Progress,
) -> Volume:
    """Put the velocity-compensated signal of a scan on the cells of its field of view.

    Parameters
    ----------
    scan : Mdf
        A measurement with a field-free point on a Lissajous trajectory, or on lines along one axis, and one receive
        channel for each of its axes; its periods are patches, or lines, if there are several.
    shape : tuple of int
        Planes, rows and columns; they fill the drive field's field of view, of all patches, and a cell around it, where
        there must be no iron. A trajectory in the plane has one plane.
    fundamental : bool
        Whether the drive frequencies are measured; else they are filtered out and found again from that dark edge.
    transfer : MeasuredTransfer, tuple of them, or None
        Of the receive path, for all channels or one for each; it is undone.
    progress : callable
        Told (what is being done, steps done, steps in all).

    Returns
    -------
    Volume
        Iron convolved with the point spread function, V s/T, of every frame.

    Raises
    ------
    MdfError, UserError, ValueError
        If the file is not what it should be, or the field of view has no dark edge.
    """
    setting = scan.setting
    axes = len(setting.dividers)
    if setting.topology != "FFP" or setting.channels != axes or axes not in (2, 3):
        raise UserError(
            f"{scan.path}: expected a field-free point driven along two or three axes, with a receive channel for "
            f"each; found {setting.topology} driven along {axes} with {setting.channels}"
        )
    if (axes == 2) != (shape[0] == 1):
        raise UserError(
            f"--shape: expected {'one plane' if axes == 2 else 'several planes'} for {scan.path}, found {shape[0]}"
        )
    if min(shape[-axes:]) < 5:
        raise UserError(
            f"--shape: expected five cells or more along each axis that is driven, found {shape[-axes:]}"
        )
    spectra = scan_spectra(scan, frequencies=np.arange(setting.samples // 2 + 1))
    periods = spectra.shape[1]
    focus = np.zeros((periods, 3)) if setting.offset_fields is None else setting.offset_fields
    grid, middle = _grid(scan, shape[-axes:], focus)
    drive = DriveField(setting.base_frequency, setting.dividers, setting.drive_field)
    times = np.arange(setting.samples) / setting.base_frequency
    paths = [
        field_free_point(drive, FieldFreePoint(setting.gradient), times, focus=field[:axes].tolist())
        for field in focus
    ]
    positions, velocity = (np.stack(part) for part in zip(*paths, strict=True))
    numbers = [setting.samples // divider for divider in setting.dividers]
    if not fundamental:
        for channel, number in enumerate(numbers):
            spectra[:, :, channel, number] = 0
    signals = as_induced(np.fft.irfft(spectra, n=setting.samples, axis=-1), setting.base_frequency, transfer)
    # Nothing moves along an axis without a drive field, and its channel counts for nothing.
    driven = {channel: number for channel, number in enumerate(numbers) if setting.drive_field[channel]}
    lost = None if fundamental else np.stack([_lost(driven, len(numbers), setting.samples)] * periods)
    pictures = []
    for number, signal in enumerate(signals):
        progress("frames", number, len(signals))
        found = reconstruct(
            signal,
            positions - middle[:axes],
            velocity,
            grid.axes(),
            gradient=setting.gradient[:axes],
            recover_dc=not fundamental,
            lost=lost,
        )
        # Cells that no sample fell into hold nothing that is known; viewers show zero better than NaN.
        pictures.append(np.nan_to_num(found.image, nan=0.0).reshape(shape))
        progress("frames", number + 1, len(signals))
    data = np.stack(pictures)
    plane = axes == 2
    z, y, x = [grid.thickness, *grid.spacing] if plane else [*grid.spacing]
    first = [float(axis[0]) for axis in grid.axes()]
    start = np.array([0.0, *first] if plane else first) + middle[::-1]
    return Volume(
        data if len(data) > 1 else data[0],
        (z, y, x),
        (float(start[0]), float(start[1]), float(start[2])),
        "X-space signal [V s/T]",
        setting.cycle * setting.averages * periods if len(data) > 1 else None,
    )


def _grid(scan: Mdf, shape: tuple[int, ...], focus: NDArray[np.float64]) -> tuple[Grid, NDArray[np.float64]]:
    """Cells of the drive field's field of view, at all places, and one more around it; and its centre (x, y, z)."""
    setting = scan.setting
    axes = len(shape)
    gradient = np.asarray(setting.gradient)
    reach = 2 * np.asarray(setting.drive_field) / np.abs(gradient[:axes])
    # The field-free point is where the focus field and the gradient cancel.
    centres = -focus / gradient
    middle = (centres.min(axis=0) + centres.max(axis=0)) / 2
    extents = (reach + np.ptp(centres[:, :axes], axis=0))[::-1].tolist()
    if not np.isfinite(extents).all() or min(extents) <= 0:
        raise MdfError(
            f"{scan.path}: expected a field-free point that is moved along {axes} axes by a drive field or a focus "
            "field, found others"
        )
    return Grid(shape, tuple(extent * n / (n - 2) for extent, n in zip(extents, shape, strict=True))), middle


def _lost(numbers: dict[int, int], channels: int, samples: int) -> NDArray[np.float64]:
    """Cosine and sine of each driven channel's own drive frequency, shape (components, channels, samples)."""
    lost = np.zeros((2 * len(numbers), channels, samples))
    turns = 2 * np.pi * np.arange(samples) / samples
    for place, (channel, number) in enumerate(numbers.items()):
        lost[2 * place, channel] = np.cos(number * turns)
        lost[2 * place + 1, channel] = np.sin(number * turns)
    return lost
