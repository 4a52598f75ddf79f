"""Trajectories: where the field-free point or line is, and how it moves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nixel.physics.mpi.fields import Drive
from nixel.physics.mpi.projection import line_normal
from nixel.physics.mpi.selection import FieldFreeLine, Selection, SteppedLine, gradient_matrix

Array = NDArray[np.floating[Any]]


def field_free_point(
    drive: Drive, selection: Selection, times: Array, *, focus: Sequence[float] = ()
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position and velocity of the field-free point, r = -G^-1 (B_D + B_F).

    Of a field-free line: of its point closest to the origin (in space, of the plane through the line across z).

    Parameters
    ----------
    drive : Drive
    selection : Selection
        Its gradient in T/m.
    times : array of float, shape (samples,)
        In s.
    focus : sequence of float, one an axis, optional
        Focus field in T.

    Returns
    -------
    position : array of float64, shape (samples, axes)
        In m.
    velocity : array of float64, shape (samples, axes)
        In m/s; of a line that turns, only of its sweep.

    Raises
    ------
    ValueError
        If a time is not finite, or the gradient or the focus field does not fit the drive's axes.
    """
    times = sample_times(times)
    inverse = np.linalg.pinv(gradient_matrix(selection, times, drive.axes), rcond=1e-9)
    offset = drive.field(times) + focus_vector(focus, drive.axes)
    position = -np.einsum("...ij,...j->...i", inverse, offset)
    return position, -np.einsum("...ij,...j->...i", inverse, drive.field_rate(times))


def field_free_line(
    drive: Drive, line: FieldFreeLine | SteppedLine, times: Array, *, focus: Sequence[float] = ()
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Angle, offset and speed of a field-free line in the plane z = 0.

    The line is where n.r = offset, with the normal n = (-sin a, cos a): offset = -n.(B_D + B_F)/G.

    Parameters
    ----------
    drive : Drive
        With two axes or more.
    line : FieldFreeLine or SteppedLine
    times : array of float, shape (samples,)
        In s.
    focus : sequence of float, one an axis, optional
        Focus field in T.

    Returns
    -------
    angle : array of float64, shape (samples,)
        Between the line and the x axis, in rad.
    offset : array of float64, shape (samples,)
        From the origin, in m.
    speed : array of float64, shape (samples,)
        Time derivative of the offset, that of a turning line included, in m/s.

    Raises
    ------
    ValueError
        If a time is not finite, or the focus field does not fit the drive's axes.
    """
    times = sample_times(times)
    angles = line.angles(times)
    normal, back = (line_normal(angles - turn)[:, : drive.axes] for turn in (0.0, np.pi / 2))
    field = drive.field(times) + focus_vector(focus, drive.axes)
    turning = 2.0 * np.pi * line.rotation_frequency if isinstance(line, FieldFreeLine) else 0.0
    offset = -np.sum(field * normal, axis=1) / line.strength
    # dn/da = -n(a - pi/2)
    rate = np.sum(drive.field_rate(times) * normal, axis=1) - turning * np.sum(field * back, axis=1)
    return angles, offset, -rate / line.strength


def sample_times(times: Array) -> NDArray[np.float64]:
    """Times as an array of shape (samples,), in s.

    Raises
    ------
    ValueError
        If they have another rank, or one is not finite.
    """
    found = np.asarray(times, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(
            f"times: expected finite numbers in s, shape (samples,), found shape {found.shape}, or NaN"
        )
    return found


def focus_vector(focus: Sequence[float], axes: int) -> NDArray[np.float64]:
    """Focus field as an array of shape (axes,), in T; zero where none is given.

    Raises
    ------
    ValueError
        If it has another number of components or one is not finite.
    """
    if len(focus) == 0:
        return np.zeros(axes)
    vector = np.asarray(focus, dtype=np.float64)
    if vector.shape != (axes,) or not np.isfinite(vector).all():
        raise ValueError(f"focus: expected {axes} finite components in T, found {focus!r}")
    return vector
