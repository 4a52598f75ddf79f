"""Multi-patch imaging: focus fields move the field-free point from patch to patch."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nixel.physics.mpi.fields import Drive, DriveField
from nixel.physics.mpi.induction import Progress, signal
from nixel.physics.mpi.particles import Particles
from nixel.physics.mpi.receive import ReceiveCoils
from nixel.physics.mpi.selection import Selection, gradient_matrix

Array = NDArray[np.floating[Any]]


def focus_for(gradient: Selection, centre: Array) -> NDArray[np.float64]:
    """Focus field that moves the field-free point from the origin to `centre`, B_F = -G r.

    Parameters
    ----------
    gradient : selection field or diagonal
        At rest, in T/m.
    centre : array of float, shape (axes,) or (patches, axes)
        In m.

    Returns
    -------
    array of float64, the shape of `centre`
        In T.

    Raises
    ------
    ValueError
        If the gradient does not fit the axes or does not stand still.
    """
    centre = np.asarray(centre, dtype=np.float64)
    matrix = gradient_matrix(gradient, np.zeros(1), centre.shape[-1])
    if matrix.ndim != 2:
        raise ValueError("gradient: expected a selection field that stands still, found one that turns")
    return -centre @ matrix.T


def patch_centres(
    drive: DriveField, gradient: Selection, counts: Sequence[int], *, overlap: float = 0.0
) -> NDArray[np.float64]:
    """Centres of a regular arrangement of patches around the origin.

    Parameters
    ----------
    drive : DriveField
        A patch is as large as its trajectory, 2 A / |g| along each axis.
    gradient : selection field or diagonal
        Of a field-free point, in T/m.
    counts : sequence of int, one an axis (x, y, z)
        Patches along each axis.
    overlap : float
        Part of a patch's length that neighbours share, zero or more and less than one.

    Returns
    -------
    array of float64, shape (patches, axes)
        In m; x runs fastest.

    Raises
    ------
    ValueError
        If counts do not fit the axes, or overlap is out of its range.
    """
    if len(counts) != drive.axes or min(counts) < 1:
        raise ValueError(f"counts: expected one or more for each of {drive.axes} axes, found {counts!r}")
    if not (math.isfinite(overlap) and 0 <= overlap < 1):
        raise ValueError(f"overlap: expected zero or more and less than one, found {overlap!r}")
    slopes = np.abs(np.diag(gradient_matrix(gradient, np.zeros(1), drive.axes)))
    pitch = 2.0 * np.abs(drive.amplitudes) / slopes * (1.0 - overlap)
    places = [(np.arange(count) - (count - 1) / 2) * step for count, step in zip(counts, pitch, strict=True)]
    grid = np.meshgrid(*reversed(places), indexing="ij")
    return np.stack([axis.ravel() for axis in reversed(grid)], axis=-1)


def multi_patch_signal(
    concentration: Array,
    positions: Array,
    drive: Drive,
    gradient: Selection,
    particles: Particles,
    centres: Array,
    *,
    coils: ReceiveCoils | None = None,
    voxel_volume: float = 1e-9,
    workers: int = 1,
    memory: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Voltage of each patch, its focus field on and settled.

    Parameters
    ----------
    concentration, positions, drive, gradient, particles, coils, voxel_volume, workers, memory
        As for `signal`.
    centres : array of float, shape (patches, axes)
        In m.
    progress : callable, optional
        Told patches done, patches in all.

    Returns
    -------
    array of float64, shape (patches, channels, samples)
        In V.

    Raises
    ------
    ValueError
        As for `signal`, or if centres have another shape.
    """
    centres = np.asarray(centres, dtype=np.float64)
    if centres.ndim != 2 or centres.shape[1] != drive.axes or len(centres) == 0:
        raise ValueError(f"centres: expected shape (patches, {drive.axes}) in m, found {centres.shape}")
    frames = []
    for number, focus in enumerate(focus_for(gradient, centres), start=1):
        frames.append(
            signal(
                concentration, positions, drive, gradient, particles,
                coils=coils, voxel_volume=voxel_volume, focus=focus.tolist(), workers=workers, memory=memory,
            )
        )  # fmt: skip
        if progress is not None:
            progress(number, len(centres))
    return np.stack(frames)
