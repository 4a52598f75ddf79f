"""From an MDF file alone to an x-space picture: no system matrix, and no unit of concentration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.formats.mdf import Mdf, MdfError, read_mdf
from nixel.acquisition.formats.volumes import Volume
from nixel.imaging.errors import UserError
from nixel.imaging.reconstruct import corrected
from nixel.physics.grid import Grid
from nixel.physics.mpi import DriveField, FieldFreePoint, field_free_point
from nixel.reconstruction.mpi.xspace import reconstruct

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Progress = Callable[[str, int, int], None]


def xspace(
    path: Path, shape: tuple[int, int, int], *, fundamental: bool, progress: Progress
) -> tuple[Volume, bool]:
    """Put the velocity-compensated signal of a scan on the cells of its field of view.

    Parameters
    ----------
    path : Path
        A measurement with a field-free point on a Lissajous trajectory, one receive channel for each of its axes.
    shape : tuple of int
        Planes, rows and columns; they fill the drive field's field of view and a cell around it, where there must be
        no iron. A trajectory in the plane has one plane.
    fundamental : bool
        Whether the drive frequencies are measured; else they are filtered out and found again from that dark edge.
    progress : callable
        Told (what is being done, steps done, steps in all).

    Returns
    -------
    volume : Volume
        Iron convolved with the point spread function, V s/T, of every frame.
    simulated : bool

    Raises
    ------
    MdfError, UserError, ValueError
        If the file is not what it should be, or the field of view has no dark edge.
    """
    scan = read_mdf(path)
    setting = scan.setting
    axes = len(setting.dividers)
    if setting.topology != "FFP" or setting.channels != axes or axes not in (2, 3):
        raise UserError(
            f"{path}: expected a field-free point driven along two or three axes, with a receive channel for each; "
            f"found {setting.topology} driven along {axes} with {setting.channels}"
        )
    if (axes == 2) != (shape[0] == 1):
        raise UserError(
            f"--shape: expected {'one plane' if axes == 2 else 'several planes'} for {path}, found {shape[0]}"
        )
    if min(shape[-axes:]) < 5:
        raise UserError(
            f"--shape: expected five cells or more along each axis that is driven, found {shape[-axes:]}"
        )
    grid = _grid(scan, shape[-axes:])
    drive = DriveField(setting.base_frequency, setting.dividers, setting.drive_field)
    times = np.arange(setting.samples) / setting.base_frequency
    positions, velocity = field_free_point(drive, FieldFreePoint(setting.gradient), times)
    spectra, _ = corrected(scan)
    numbers = [setting.samples // divider for divider in setting.dividers]
    if not fundamental:
        for channel, number in enumerate(numbers):
            spectra[:, channel, number] = 0
    signals = np.fft.irfft(spectra, n=setting.samples, axis=-1)
    lost = None if fundamental else _lost(numbers, setting.samples)
    pictures = []
    for number, signal in enumerate(signals):
        progress("frames", number, len(signals))
        found = reconstruct(
            signal[None],
            positions[None],
            velocity[None],
            grid.axes(),
            gradient=setting.gradient[:axes],
            recover_dc=not fundamental,
            lost=None if lost is None else lost[None],
        )
        # Cells that no sample fell into hold nothing that is known; viewers show zero better than NaN.
        pictures.append(np.nan_to_num(found.image, nan=0.0).reshape(shape))
        progress("frames", number + 1, len(signals))
    data = np.stack(pictures)
    plane = axes == 2
    z, y, x = [grid.thickness, *grid.spacing] if plane else [*grid.spacing]
    first = [float(axis[0]) for axis in grid.axes()]
    start = [0.0, *first] if plane else first
    volume = Volume(
        data if len(data) > 1 else data[0],
        (z, y, x),
        (start[0], start[1], start[2]),
        "X-space signal [V s/T]",
        setting.cycle * setting.averages if len(data) > 1 else None,
    )
    return volume, setting.simulated


def _grid(scan: Mdf, shape: tuple[int, ...]) -> Grid:
    """Cells of the drive field's field of view, and one more around it."""
    setting = scan.setting
    axes = len(shape)
    reach = [2 * a / abs(g) for a, g in zip(setting.drive_field, setting.gradient[:axes], strict=True)][::-1]
    if not all(np.isfinite(reach)) or min(reach) <= 0:
        raise MdfError(f"{scan.path}: expected drive field and gradient along {axes} axes, found others")
    return Grid(shape, tuple(extent * n / (n - 2) for extent, n in zip(reach, shape, strict=True)))


def _lost(numbers: list[int], samples: int) -> NDArray[np.float64]:
    """Cosine and sine of each channel's own drive frequency, shape (components, channels, samples)."""
    lost = np.zeros((2 * len(numbers), len(numbers), samples))
    turns = 2 * np.pi * np.arange(samples) / samples
    for channel, number in enumerate(numbers):
        lost[2 * channel, channel], lost[2 * channel + 1, channel] = (
            np.cos(number * turns),
            np.sin(number * turns),
        )
    return lost
