"""The MPI signal equation: from particles in a moving field to the voltage in a coil."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import constants

from nixel.physics.mpi.fields import DriveField
from nixel.physics.mpi.particles import Particles, langevin_curvature, langevin_over_xi
from nixel.physics.mpi.receive import ReceiveCoils

Array = NDArray[np.floating[Any]]

# Voxels that are evaluated together: bounds the memory of a long trajectory over a fine grid.
_CHUNK = 256


def magnetisation_rate(
    field: Array, field_rate: Array, particles: Particles, *, concentration: float = 1.0
) -> NDArray[np.float64]:
    """Time derivative of the magnetisation of particles that follow the field at once.

    Parameters
    ----------
    field : array of float, shape (..., axes)
        Magnetic flux density in T.
    field_rate : array of float, shape (..., axes)
        Its time derivative in T/s.
    particles : Particles
    concentration : float
        Of iron, in mol/m^3 (equal to mmol/l).

    Returns
    -------
    array of float64, shape (..., axes)
        In A/m/s.
    """
    beta = particles.xi_per_tesla
    xi = beta * np.sqrt(np.sum(field**2, axis=-1))
    along = np.sum(field * field_rate, axis=-1)
    # M = M_s beta (L/xi) B, hence dM/dt = M_s beta [ (L/xi) dB/dt + beta^2 ((L/xi)'/xi) (B.dB/dt) B ]:
    # both factors are smooth at B = 0, which a formula with B/|B| is not.
    scale = concentration * particles.magnetisation_per_iron * beta
    result: NDArray[np.float64] = scale * (
        langevin_over_xi(xi)[..., None] * field_rate
        + (beta**2 * langevin_curvature(xi) * along)[..., None] * field
    )
    return result


def _induced(
    positions: Array,
    drive: DriveField,
    gradient: Sequence[float],
    particles: Particles,
    coils: ReceiveCoils,
    voxel_volume: float,
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield the induced voltage (channels, samples, voxels of the chunk) chunk after chunk."""
    positions = np.asarray(positions, dtype=np.float64)
    axes = len(drive.dividers)
    if positions.ndim != 2 or positions.shape[1] != axes:
        raise ValueError(f"positions: expected shape (voxels, {axes}) in m, found {positions.shape}")
    if len(coils.sensitivities) > axes:
        raise ValueError(
            f"coils: expected at most one channel for each of {axes} axes, found {len(coils.sensitivities)}"
        )
    if len(gradient) < axes:
        raise ValueError(f"gradient: expected at least {axes} components in T/m, found {len(gradient)}")
    if not np.isfinite(positions).all():
        raise ValueError("positions: expected finite numbers in m, found NaN or infinity")
    times = drive.times()
    moving, rate = drive.field(times)[:, None, :], drive.field_rate(times)[:, None, :]
    sensitivity = -constants.mu_0 * voxel_volume * np.asarray(coils.sensitivities)
    for start in range(0, len(positions), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(positions)))
        field = moving + np.asarray(gradient[:axes]) * positions[part]
        rates = magnetisation_rate(field, np.broadcast_to(rate, field.shape), particles)
        yield part, np.moveaxis(rates[..., : len(sensitivity)] * sensitivity, -1, 0)


def system_function(
    positions: Array,
    drive: DriveField,
    gradient: Sequence[float],
    particles: Particles,
    *,
    coils: ReceiveCoils | None = None,
    voxel_volume: float = 1e-9,
    dtype: DTypeLike = np.float64,
) -> Array:
    """Voltage that unit concentration in each voxel induces during one period.

    Parameters
    ----------
    positions : array of float, shape (voxels, axes)
        Voxel centres in m.
    drive : DriveField
        With one divider an axis.
    gradient : sequence of float, at least one an axis
        Diagonal of the selection field's gradient in T/m; the field-free point is at the origin.
    particles : Particles
    coils : ReceiveCoils, optional
        One channel an axis; an ideal one of 1000/m by default.
    voxel_volume : float
        In m^3.
    dtype : dtype
        Of the result; the model is evaluated in float64.

    Returns
    -------
    array, shape (channels, samples, voxels)
        In V per mol(Fe)/m^3.

    Raises
    ------
    ValueError
        If shapes do not fit or a position is not finite.
    """
    coils = coils or ReceiveCoils()
    result = np.empty((len(coils.sensitivities), drive.samples, len(positions)), dtype=dtype)
    for part, induced in _induced(positions, drive, gradient, particles, coils, voxel_volume):
        received = coils.receive(np.moveaxis(induced, 1, -1), drive.base_frequency)
        result[:, :, part] = np.moveaxis(received, -1, 1)
    return result


def signal(
    concentration: Array,
    positions: Array,
    drive: DriveField,
    gradient: Sequence[float],
    particles: Particles,
    *,
    coils: ReceiveCoils | None = None,
    voxel_volume: float = 1e-9,
) -> NDArray[np.float64]:
    """Voltage that a distribution of particles induces during one period, without noise.

    Parameters
    ----------
    concentration : array of float, shape (voxels,)
        Of iron in each voxel, in mol/m^3.
    positions, drive, gradient, particles, coils, voxel_volume
        As for `system_function`.

    Returns
    -------
    array of float64, shape (channels, samples)
        In V.

    Raises
    ------
    ValueError
        If shapes do not fit or a value is not finite.
    """
    coils = coils or ReceiveCoils()
    concentration = np.asarray(concentration, dtype=np.float64)
    if concentration.shape != (len(positions),):
        raise ValueError(f"concentration: expected shape ({len(positions)},), found {concentration.shape}")
    if not np.isfinite(concentration).all():
        raise ValueError("concentration: expected finite numbers in mol/m^3, found NaN or infinity")
    filled = concentration != 0.0
    total = np.zeros((len(coils.sensitivities), drive.samples))
    weights = concentration[filled]
    for part, induced in _induced(
        np.asarray(positions)[filled], drive, gradient, particles, coils, voxel_volume
    ):
        total += induced @ weights[part]
    return np.asarray(coils.receive(total, drive.base_frequency), dtype=np.float64)
