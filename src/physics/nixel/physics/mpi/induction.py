"""The MPI signal equation: from particles in a moving field to the voltage in a coil."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import constants

from nixel.physics.arrays import check_workers
from nixel.physics.blocks import in_order
from nixel.physics.checks import check_all_positive
from nixel.physics.mpi.fields import Drive
from nixel.physics.mpi.particles import Particles
from nixel.physics.mpi.receive import ReceiveCoils, settle_ends
from nixel.physics.mpi.selection import Selection, gradient_matrix, gradient_rate_matrix
from nixel.physics.mpi.trajectories import focus_vector
from nixel.physics.threads import linear_algebra_threads

Array = NDArray[np.floating[Any]]
Progress = Callable[[int, int], None]

# Working memory of one thread unless told otherwise: what a processor's caches like.
_MEMORY = 16 * 2**20


class Induction:
    """Everything that the induced voltage depends on but the positions, prepared once.

    Parameters
    ----------
    drive, gradient, particles, coils, voxel_volume, focus
        As for `system_function`.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite.
    """

    def __init__(
        self,
        drive: Drive,
        gradient: Selection,
        particles: Particles,
        coils: ReceiveCoils | None = None,
        *,
        voxel_volume: float = 1e-9,
        focus: Sequence[float] = (),
    ) -> None:
        check_all_positive(voxel_volume=voxel_volume)
        self.drive, self.particles, self.coils = drive, particles, coils or ReceiveCoils()
        times = drive.times()
        self._scale = -constants.mu_0 * voxel_volume
        self._offset = np.ascontiguousarray((drive.field(times) + focus_vector(focus, drive.axes)).T)
        self._offset_rate = np.ascontiguousarray(drive.field_rate(times).T)
        self._gradient = gradient_matrix(gradient, times, drive.axes)
        self._gradient_rate = gradient_rate_matrix(gradient, times, drive.axes)

    def check(self, positions: Array) -> NDArray[np.float64]:
        """Positions as float64.

        Raises
        ------
        ValueError
            If there are none, their shape does not fit the drive's axes or one is not finite.
        """
        places = np.asarray(positions, dtype=np.float64)
        axes = self.drive.axes
        if places.ndim != 2 or places.shape[1] != axes or len(places) == 0:
            raise ValueError(f"positions: expected shape (voxels, {axes}) in m, found {places.shape}")
        if not np.isfinite(places).all():
            raise ValueError("positions: expected finite numbers in m, found NaN or infinity")
        return places

    def parts(self, voxels: int, memory: int | None) -> list[slice]:
        """Runs of voxels that are evaluated together, such that their working arrays fit into `memory` bytes.

        Raises
        ------
        ValueError
            If memory is not positive.
        """
        if memory is not None and memory <= 0:
            raise ValueError(f"memory: expected a positive number of bytes, found {memory!r}")
        each = 8 * self.drive.samples * (3 * self.drive.axes + len(self.coils.sensitivities) + 8)
        count = max(1, (memory or _MEMORY) // each)
        return [slice(start, min(start + count, voxels)) for start in range(0, voxels, count)]

    def voltage(self, positions: Array) -> NDArray[np.float64]:
        """Induced voltage of unit concentration, before relaxation and the receive chain.

        Parameters
        ----------
        positions : array of float64, shape (voxels, axes)
            In m, checked.

        Returns
        -------
        array of float64, shape (channels, voxels, samples)
            In V per mol(Fe)/m^3.
        """
        axes = range(self.drive.axes)
        shift = self._shift(self._gradient, positions)
        components = [self._offset[axis] + shift[axis] for axis in axes]
        rates = [self._offset_rate[axis][None] for axis in axes]
        if self._gradient_rate is not None:
            turning = self._shift(self._gradient_rate, positions)
            rates = [rates[axis] + turning[axis] for axis in axes]
        square = components[0] ** 2
        along = components[0] * rates[0]
        for component, rate in zip(components[1:], rates[1:], strict=True):
            square += component**2
            along += component * rate
        first, second = self.particles.response(np.sqrt(square, out=square))
        along *= second
        sensitivity = self.coils.sensitivity(positions)
        result = np.zeros((len(sensitivity), *square.shape))
        for axis, (component, rate) in enumerate(zip(components, rates, strict=True)):
            if not sensitivity[:, :, axis].any():
                continue
            component *= along
            component += first * rate
            for channel, seen in enumerate(sensitivity[:, :, axis]):
                if seen.any():
                    result[channel] += component * (self._scale * seen)[:, None]
        return result

    @staticmethod
    def _shift(gradient: Array, positions: Array) -> list[NDArray[np.float64]]:
        """G r of each axis, shape (voxels, 1) where G stands still, else (voxels, samples)."""
        if gradient.ndim == 2:
            moved = positions @ gradient.T
            return [np.ascontiguousarray(column)[:, None] for column in moved.T]
        return [positions @ gradient[:, axis].T for axis in range(gradient.shape[1])]

    @property
    def segment_samples(self) -> int:
        """Samples of one segment."""
        return self.drive.samples // self.drive.segments

    def frequencies(self) -> NDArray[np.float64]:
        """Frequencies of a segment's Fourier coefficients, shape (segment samples // 2 + 1,), in Hz."""
        frequencies = np.fft.rfftfreq(self.segment_samples, 1.0 / self.drive.base_frequency)
        return np.asarray(frequencies, dtype=np.float64)

    def chain(self) -> NDArray[np.complex128] | None:
        """What relaxation and receive chain multiply the coefficients with; None if nothing.

        Returns
        -------
        array of complex128, shape (channels, segment samples // 2 + 1), or None
        """
        if self.particles.relaxation_time == 0.0 and self.coils.is_ideal:
            return None
        frequencies = self.frequencies()
        chain = self.coils.transfer_functions(frequencies) * self.particles.delay(frequencies)
        return settle_ends(chain, self.segment_samples)

    def received(self, voltage: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relaxation and receive chain, applied to a voltage of shape (channels, ..., samples)."""
        chain = self.chain()
        if chain is None:
            return voltage
        shape = voltage.shape
        segments = voltage.reshape(*shape[:-1], self.drive.segments, self.segment_samples)
        factor = chain.reshape(len(chain), *(1,) * (segments.ndim - 2), chain.shape[1])
        filtered = np.fft.irfft(np.fft.rfft(segments, axis=-1) * factor, n=self.segment_samples, axis=-1)
        return np.asarray(filtered.reshape(shape), dtype=np.float64)


@linear_algebra_threads(1)  # of each of the `workers`
def system_function(
    positions: Array,
    drive: Drive,
    gradient: Selection,
    particles: Particles,
    *,
    coils: ReceiveCoils | None = None,
    voxel_volume: float = 1e-9,
    focus: Sequence[float] = (),
    dtype: DTypeLike = np.float64,
    workers: int = 1,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Array:
    """Voltage that unit concentration in each voxel induces during one period.

    The whole result is held; `system_matrix` gives the spectra of chosen frequencies only.

    Parameters
    ----------
    positions : array of float, shape (voxels, axes)
        Voxel centres in m.
    drive : Drive
        With as many axes.
    gradient : selection field, or sequence of float, at least one an axis
        Diagonal of the selection field's gradient in T/m; the field-free point is at the origin.
    particles : Particles
    coils : ReceiveCoils, optional
        Two ideal ones of 1000/m, along x and y, by default.
    voxel_volume : float
        In m^3.
    focus : sequence of float, one an axis, optional
        Focus field in T.
    dtype : dtype
        Of the result; the model is evaluated in float64.
    workers : int
        Threads, those of the linear algebra with them; the result does not depend on their number.
    memory : int, optional
        Bytes of working arrays a thread, beside the result; 16 MiB by default, never less than one voxel takes.
    progress : callable, optional
        Told voxels done, voxels in all.

    Returns
    -------
    array, shape (channels, samples, voxels)
        In V per mol(Fe)/m^3.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite.
    """
    check_workers(workers)
    model = Induction(drive, gradient, particles, coils, voxel_volume=voxel_volume, focus=focus)
    positions = model.check(positions)
    result = np.empty((len(model.coils.sensitivities), drive.samples, len(positions)), dtype=dtype)

    def evaluate(part: slice) -> slice:
        received = model.received(model.voltage(positions[part]))
        result[:, :, part] = np.moveaxis(received, 1, -1)
        return part

    for part in in_order(evaluate, model.parts(len(positions), memory), workers):
        if progress is not None:
            progress(part.stop, len(positions))
    return result


@linear_algebra_threads(1)  # of each of the `workers`
def signal(
    concentration: Array,
    positions: Array,
    drive: Drive,
    gradient: Selection,
    particles: Particles,
    *,
    coils: ReceiveCoils | None = None,
    voxel_volume: float = 1e-9,
    focus: Sequence[float] = (),
    workers: int = 1,
    memory: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Voltage that a distribution of particles induces during one period, without noise.

    Parameters
    ----------
    concentration : array of float, shape (voxels,)
        Of iron in each voxel, in mol/m^3.
    positions, drive, gradient, particles, coils, voxel_volume, focus, workers, memory
        As for `system_function`.
    progress : callable, optional
        Told voxels done, voxels in all; those without iron do not count.

    Returns
    -------
    array of float64, shape (channels, samples)
        In V.

    Raises
    ------
    ValueError
        If shapes do not fit or a value is not finite.
    """
    check_workers(workers)
    model = Induction(drive, gradient, particles, coils, voxel_volume=voxel_volume, focus=focus)
    positions = model.check(positions)
    concentration = np.asarray(concentration, dtype=np.float64)
    if concentration.shape != (len(positions),):
        raise ValueError(f"concentration: expected shape ({len(positions)},), found {concentration.shape}")
    if not np.isfinite(concentration).all():
        raise ValueError("concentration: expected finite numbers in mol/m^3, found NaN or infinity")
    filled = concentration != 0.0
    weights, places = concentration[filled], positions[filled]
    total = np.zeros((len(model.coils.sensitivities), drive.samples))

    def evaluate(part: slice) -> tuple[slice, NDArray[np.float64]]:
        return part, weights[part] @ model.voltage(places[part])

    for part, voltage in in_order(evaluate, model.parts(len(weights), memory), workers):
        total += voltage
        if progress is not None:
            progress(part.stop, len(weights))
    return model.received(total)
