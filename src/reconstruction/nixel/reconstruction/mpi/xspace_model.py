"""X-space measurements as a system of equations: the point spread function is known, so it can be divided out.

An x-space picture of more than one dimension is not the concentration blurred a little: across the motion the point
spread function falls off as 1/|x| only, and a disc becomes a dome in a haze. As equations for the concentration, to be
solved by `FISTA` with a total variation, `CGNR` or `Kaczmarz`, the same samples give the disc.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import constants

from nixel.physics.mpi.langevin import langevin_curvature, langevin_over_xi
from nixel.physics.threads import linear_algebra_threads
from nixel.reconstruction.mpi.partial_fields import Pieces, gather
from nixel.reconstruction.mpi.xspace import checked_axes, checked_real, velocity_compensated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nixel.physics.mpi import Particles

# Evaluations of the point spread function at a time: bounds the memory to some 100 MB.
_TOGETHER = 1 << 20


@linear_algebra_threads(1)
def equations(
    signal: NDArray[Any],
    positions: NDArray[Any],
    velocity: NDArray[Any],
    axes: Sequence[NDArray[Any]],
    *,
    gradient: Sequence[float],
    particles: Particles,
    sensitivity: float,
    thickness: float | None = None,
    minimum_speed: float = 0.1,
    lost_dc: bool = True,
    oversampling: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.complexfloating[Any, Any]], NDArray[np.complexfloating[Any, Any]]]:
    """Matrix and right-hand side whose solution is the concentration on the grid.

    A row is a cell as one partial field of view sees it, the mean of the samples around it, times the root of its
    weight, so that white noise in the voltage is about equal in all rows. What the receive filter took, a constant of
    each partial field, is projected out of both sides: it need not be recovered, and nothing is assumed of the edge.

    Parameters
    ----------
    signal, positions, velocity, axes, minimum_speed
        As for `nixel.reconstruction.mpi.xspace.reconstruct`; two or three axes. The grid must hold all particles.
    gradient : sequence of float, one an axis
        Diagonal of the selection field's gradient in T/m.
    particles : Particles
    sensitivity : float
        Of the receive coils, p = H/I, in 1/m.
    thickness : float, optional
        Of the slice, in m; needed with two axes.
    lost_dc : bool
        False: the receive path took nothing.
    oversampling : int
        Points an axis over which the point spread function is averaged in each cell.
    progress : callable, optional
        Called with (rows done, rows in all).

    Returns
    -------
    matrix : array of complex, shape (rows, cells)
        Real numbers, complex because the solvers want that; complex64 for float32, complex128 for float64.
    measured : array of complex, shape (rows,)
        For a concentration in mol/m^3.

    Raises
    ------
    ValueError
        If shapes do not fit, an array is not float32 or float64 or not finite, or a number is not positive.

    References
    ----------
    Goodwill, Conolly, IEEE Trans. Med. Imaging 30 (2011) 1581 (the point spread function); Konkle et al., PLoS ONE 10
    (2015) e0140137 (the picture as a convex problem).
    """
    signal, positions = checked_real("signal", signal, 3), checked_real("positions", positions, 3)
    found = checked_axes(axes, positions.shape[-1])
    if len(found) not in (2, 3) or (len(found) == 2 and thickness is None):
        raise ValueError(
            f"axes: expected three, or two and a thickness, found {len(found)} and {thickness!r}"
        )
    for name, value in (("sensitivity", sensitivity), ("thickness", 1.0 if thickness is None else thickness)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a positive number, found {value!r}")
    if oversampling < 1:
        raise ValueError(f"oversampling: expected one point an axis or more, found {oversampling!r}")
    values, weights = velocity_compensated(signal, velocity, gradient=gradient, minimum_speed=minimum_speed)
    if positions.shape != np.shape(velocity):
        raise ValueError(
            f"positions: expected the velocity's shape {np.shape(velocity)}, found {positions.shape}"
        )
    slopes = np.asarray(gradient, dtype=np.float64)
    rate = np.asarray(velocity, dtype=np.float64) * slopes
    speed = np.sqrt(np.einsum("fta,fta->ft", rate, rate))[..., None]
    direction = np.divide(rate, speed, out=np.zeros_like(rate), where=speed > 0)
    dimensions = rate.shape[-1]
    # Means over each cell of where the samples are and of how they move: b b^T, in which the response is linear.
    moving = (direction[..., :, None] * direction[..., None, :]).reshape(*values.shape, -1)
    pieces = gather(values, weights, positions, np.concatenate([positions, moving], axis=-1), found)
    places, motions = pieces.lost[:, :dimensions], pieces.lost[:, dimensions:]
    volume = math.prod(axis[1] - axis[0] for axis in found) * (1.0 if thickness is None else thickness)
    scale = constants.mu_0 * sensitivity * volume * particles.magnetisation_per_iron * particles.xi_per_tesla
    matrix = np.empty((len(places), pieces.cells))
    points = _points(found, oversampling)
    together = max(1, _TOGETHER // (pieces.cells * len(points[0])))
    for start in range(0, len(places), together):
        part = slice(start, start + together)
        xi = (points - places[part, None, None]) * (slopes * particles.xi_per_tesla)
        tensor = motions[part].reshape(-1, dimensions, dimensions)
        along = np.einsum("evpi,eij,evpj->evp", xi, tensor, xi, optimize=True)
        size = np.sqrt(np.einsum("evpi,evpi->evp", xi, xi))
        # L' x^ x^ + (L/xi)(1 - x^ x^) = L/xi + curvature x x: smooth at zero.
        matrix[part] = (langevin_over_xi(size) + langevin_curvature(size) * along).mean(axis=-1) * scale
        if progress is not None:
            progress(min(start + together, len(places)), len(places))
    root = np.sqrt(pieces.weight)
    matrix *= root[:, None]
    measured = pieces.value * root
    if lost_dc:
        _project_out(pieces, root, matrix, measured)
    dtype = np.result_type(signal.dtype, np.complex64)
    return matrix.astype(dtype), measured.astype(dtype)


def _points(axes: Sequence[NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    """Points in each cell, shape (cells, points, axes): columns x, y, z in m."""
    centres = np.stack([each.ravel() for each in np.meshgrid(*axes, indexing="ij")][::-1], axis=-1)
    within = (np.arange(count) - (count - 1) / 2) / count
    inner = np.meshgrid(*(within * (axis[1] - axis[0]) for axis in axes), indexing="ij")
    points: NDArray[np.float64] = centres[:, None] + np.stack([each.ravel() for each in inner][::-1], axis=-1)
    return points


def _project_out(
    pieces: Pieces, root: NDArray[np.float64], matrix: NDArray[np.float64], measured: NDArray[np.float64]
) -> None:
    """Take the constant of each partial field out of its equations, in place."""
    # Entries are in the order of their fields.
    bounds = np.searchsorted(pieces.field, np.arange(pieces.fields + 1))
    for start, stop in itertools.pairwise(bounds):
        part = slice(start, stop)
        unit = root[part] / math.sqrt(max(float(pieces.weight[part].sum()), 1e-300))
        matrix[part] -= np.outer(unit, unit @ matrix[part])
        measured[part] -= unit * (unit @ measured[part])
