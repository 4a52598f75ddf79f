"""X-space reconstruction: the signal, divided by the speed of the field-free point, put where that point was.

What comes out is the concentration convolved with a point spread function that the particles and the gradient set, not
the concentration itself: along the motion it is L'(xi), across it L(xi)/xi, which falls off as slowly as 1/|x|. Nothing
needs to be calibrated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.threads import linear_algebra_threads
from nixel.reconstruction.mpi.partial_fields import gather, recover

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class XSpaceImage:
    """A picture and what is known about it.

    Parameters
    ----------
    image : array of float, shape (y, x) or (z, y, x)
        Concentration convolved with the point spread function; NaN where no sample fell.
    weight : array of float64, of the same shape
        Sum of the weights of the samples in each cell.
    offsets : array of float64, shape (fields, components)
        What was added of each lost component to each partial field of view; no components without DC recovery.
    """

    image: NDArray[np.floating[Any]]
    weight: NDArray[np.float64]
    offsets: NDArray[np.float64]


def velocity_compensated(
    signal: NDArray[Any],
    velocity: NDArray[Any],
    *,
    gradient: Sequence[float] | None = None,
    minimum_speed: float = 0.1,
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Project the signal on the velocity of the field-free point and divide it by the speed.

    The voltage is u = k h G v with a positive symmetric h: dB/dt = -G v at the field-free point. With the gradient,
    u is projected on G v and divided by |G v|, which makes the value at a point source's place independent of the
    direction of motion, and keeps the sign where the gradient's components differ in sign. In a gradient that is the
    same along all axes this is the projection on v itself.

    Parameters
    ----------
    signal : array of float, shape (..., channels, samples)
        Voltage of one receive channel an axis, x first, in V, of equal sensitivity (divide it out if it is not).
    velocity : array of float, shape (..., samples, axes)
        Of the field-free point, columns x, y, z, in m/s.
    gradient : sequence of float, one an axis, optional
        Diagonal of the selection field's gradient in T/m; one for all axes if left out.
    minimum_speed : float
        Samples slower than this share of the fastest one get the weight zero.

    Returns
    -------
    values : array of float, shape (..., samples)
        In V s/T with the gradient, V s/m without; zero where the weight is.
    weights : array of float, shape (..., samples)
        Squared speed: the inverse variance of the values for white noise, up to a factor.

    Raises
    ------
    ValueError
        If shapes do not fit, an array is not float32 or float64 or not finite, a component of the gradient is zero, or
        nothing moves.

    References
    ----------
    Goodwill, Conolly, "Multidimensional x-space magnetic particle imaging", IEEE Trans. Med. Imaging 30 (2011) 1581.
    """
    signal, velocity = checked_real("signal", signal), checked_real("velocity", velocity)
    expected = (*signal.shape[:-2], *signal.shape[:-3:-1])
    if signal.ndim < 2 or velocity.shape != expected:
        raise ValueError(
            f"velocity: expected shape (..., samples, axes) = {expected} for a signal of shape {signal.shape}, "
            f"found {velocity.shape}"
        )
    axes = velocity.shape[-1]
    components = np.ones(axes) if gradient is None else np.asarray(gradient, dtype=np.float64)
    if components.shape != (axes,) or not (np.isfinite(components).all() and components.all()):
        raise ValueError(f"gradient: expected {axes} numbers other than zero in T/m, found {gradient!r}")
    if not 0 < minimum_speed < 1:
        raise ValueError(f"minimum_speed: expected a share between 0 and 1, found {minimum_speed!r}")
    rate = velocity * components.astype(velocity.dtype)
    squared = np.einsum("...ta,...ta->...t", rate, rate)
    if not squared.max() > 0:
        raise ValueError("velocity: expected a field-free point that moves, found zero everywhere")
    moving = squared >= minimum_speed**2 * squared.max()
    along = np.einsum("...at,...ta->...t", signal, rate)
    values = np.divide(along, squared, out=np.zeros_like(along), where=moving)
    return values, np.where(moving, squared, squared.dtype.type(0))


@linear_algebra_threads(1)
def reconstruct(
    signal: NDArray[Any],
    positions: NDArray[Any],
    velocity: NDArray[Any],
    axes: Sequence[NDArray[Any]],
    *,
    gradient: Sequence[float] | None = None,
    minimum_speed: float = 0.1,
    recover_dc: bool = True,
    zero: NDArray[np.bool_] | None = None,
    lost: NDArray[Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> XSpaceImage:
    """X-space picture of one or more partial fields of view, in one to three dimensions.

    Values of `velocity_compensated` are averaged over the cells of the grid: a sample counts for the centres around it
    with its weight times one minus its distance in cells, along each axis. With DC recovery, what the receive filter
    took of each partial field (a constant, if `lost` is not given) is found by least squares over the overlaps, with a
    picture that is zero in `zero`.

    Parameters
    ----------
    signal : array of float, shape (fields, channels, samples)
        Voltage of each partial field of view, in V: one that the drive field covers while the focus field, or the
        sample, rests or moves slowly. A continuous measurement is cut into periods of the drive field.
    positions, velocity : array of float, shape (fields, samples, axes)
        Of the field-free point, columns x, y, z, in m and m/s.
    axes : sequence of array of float
        Centres of the cells along (z,) y, x in m, evenly spaced, at least two each, as `Grid.axes`.
    gradient, minimum_speed
        As in `velocity_compensated`.
    recover_dc : bool
        False: the receive path took nothing.
    zero : array of bool, shape (z, y, x) or (y, x), optional
        Cells where there is nothing; the outermost ones if left out.
    lost : array of float, shape (fields, components, channels, samples), optional
        Signals that the filter took, up to a factor each: for a Lissajous trajectory the fundamental of each axis.
    progress : callable, optional
        Called with (fields done, fields in all).

    Returns
    -------
    XSpaceImage
        In V s/T (V s/m without a gradient) and the precision of the signal.

    Raises
    ------
    ValueError
        If shapes do not fit, an array is not float32 or float64 or not finite, the axes are not evenly spaced, or the
        overlaps and the edge do not determine what was lost.

    References
    ----------
    Goodwill, Conolly, IEEE Trans. Med. Imaging 30 (2011) 1581; Lu et al., ibid. 32 (2013) 1565.
    """
    signal, positions = checked_real("signal", signal, 3), checked_real("positions", positions, 3)
    values, weights = velocity_compensated(signal, velocity, gradient=gradient, minimum_speed=minimum_speed)
    if positions.shape != np.shape(velocity):
        raise ValueError(
            f"positions: expected the velocity's shape {np.shape(velocity)}, found {positions.shape}"
        )
    axes = checked_axes(axes, positions.shape[-1])
    shape = tuple(len(axis) for axis in axes)
    edge = _border(shape) if zero is None else np.asarray(zero)
    if edge.shape != shape or edge.dtype != bool:
        raise ValueError(f"zero: expected booleans of shape {shape}, found {edge.dtype} {edge.shape}")
    if not recover_dc:
        components = np.empty((*values.shape, 0))
    elif lost is None:
        components = np.ones((*values.shape, 1))
    else:
        components = _lost(lost, signal, velocity, gradient, minimum_speed)
    pieces = gather(values, weights, positions, components, axes, progress=progress)
    offsets = recover(pieces, edge.ravel()) if components.shape[-1] else np.empty((len(values), 0))
    mean, weight = pieces.mean(offsets)
    image = np.where(weight > 0, mean, math.nan).astype(signal.dtype)
    return XSpaceImage(image.reshape(shape), weight.reshape(shape), offsets)


def _lost(
    lost: NDArray[Any],
    signal: NDArray[Any],
    velocity: NDArray[Any],
    gradient: Sequence[float] | None,
    minimum_speed: float,
) -> NDArray[np.floating[Any]]:
    """Velocity-compensate each lost component: (fields, samples, components)."""
    lost = checked_real("lost", lost, 4)
    if (lost.shape[0], *lost.shape[2:]) != signal.shape or lost.shape[1] == 0:
        raise ValueError(
            f"lost: expected shape (fields, components, channels, samples) for a signal of shape {signal.shape}, "
            f"found {lost.shape}"
        )
    compensated = [
        velocity_compensated(part, velocity, gradient=gradient, minimum_speed=minimum_speed)[0]
        for part in np.moveaxis(lost, 1, 0)
    ]
    return np.stack(compensated, axis=-1)


def _border(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The outermost cells of a grid."""
    border = np.ones(shape, dtype=bool)
    border[(slice(1, -1),) * len(shape)] = False
    return border


def checked_real(name: str, value: NDArray[Any], rank: int | None = None) -> NDArray[np.floating[Any]]:
    """Refuse what is not a finite, non-empty array of float32 or float64 (of that rank)."""
    array = np.asarray(value)
    if array.dtype not in (np.float32, np.float64):
        raise ValueError(f"{name}: expected float32 or float64, found {array.dtype}")
    if array.size == 0 or (rank is not None and array.ndim != rank):
        raise ValueError(f"{name}: expected a non-empty array of {rank} axes, found shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, found NaN or infinity")
    return array


def checked_axes(axes: Sequence[NDArray[Any]], dimensions: int) -> list[NDArray[np.float64]]:
    """Refuse axes that are not evenly spaced and ascending, one for each column of the positions."""
    found = [np.asarray(axis, dtype=np.float64) for axis in axes]
    if len(found) != dimensions:
        raise ValueError(f"axes: expected {dimensions}, one for each column of positions, found {len(found)}")
    for axis in found:
        steps = np.diff(axis) if axis.ndim == 1 else np.empty(0)
        if not (len(steps) and steps.min() > 0 and np.allclose(steps, steps[0], rtol=1e-6, atol=0)):
            raise ValueError(
                "axes: expected at least two evenly spaced, ascending centres each, in m, found otherwise"
            )
    return found
