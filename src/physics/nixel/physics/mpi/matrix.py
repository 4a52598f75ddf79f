"""System matrices: the spectra of each voxel's signal, at chosen frequencies only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import DTypeLike, NDArray

from nixel.physics.arrays import check_workers
from nixel.physics.blocks import in_order
from nixel.physics.mpi.fields import Drive
from nixel.physics.mpi.induction import Induction, Progress
from nixel.physics.mpi.particles import Particles
from nixel.physics.mpi.receive import ReceiveCoils
from nixel.physics.mpi.selection import Selection
from nixel.physics.threads import linear_algebra_threads

Array = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]


@linear_algebra_threads(1)  # of each of the `workers`
def system_matrix(
    positions: Array,
    drive: Drive,
    gradient: Selection,
    particles: Particles,
    *,
    frequencies: NDArray[np.integer[Any]] | Sequence[int] | None = None,
    coils: ReceiveCoils | None = None,
    voxel_volume: float = 1e-9,
    focus: Sequence[float] = (),
    dtype: DTypeLike = np.complex128,
    out: Complex | None = None,
    workers: int = 1,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Complex:
    """Fourier coefficients of the voltage that unit concentration in each voxel induces.

    The coefficient of exp(2 pi i k t / T) in one period (of a segment, where the drive has several), divided by
    the number of samples (`numpy.fft.rfft` with ``norm="forward"``). Voxels are evaluated a few at a time: the
    time samples of all of them are never held.

    Parameters
    ----------
    positions : array of float, shape (voxels, axes)
        Voxel centres in m.
    drive, gradient, particles, coils, voxel_volume, focus
        As for `system_function`.
    frequencies : array of int, optional
        Which coefficients: their numbers, shape (frequencies,), for every channel and segment; or rows (channel,
        number), shape (rows, 2); or rows (channel, segment, number), shape (rows, 3). All by default.
    dtype : dtype
        Complex, of the result; the model is evaluated in float64. complex64 halves a large matrix.
    out : array of complex, optional
        Written to and returned, such as a memory-mapped file for a matrix larger than the memory.
    workers : int
        Threads; the result does not depend on their number.
    memory : int, optional
        Bytes of working arrays a thread, beside the result; 16 MiB by default, never less than one voxel takes.
    progress : callable, optional
        Told voxels done, voxels in all.

    Returns
    -------
    array of complex
        In V per mol(Fe)/m^3. For rows, shape (rows, voxels); else (channels, frequencies, voxels), or (channels,
        segments, frequencies, voxels) of a drive with more than one segment.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, a frequency does not exist, or dtype is not complex.
    """
    check_workers(workers)
    model = Induction(drive, gradient, particles, coils, voxel_volume=voxel_volume, focus=focus)
    positions = model.check(positions)
    channels, bins = len(model.coils.sensitivities), model.segment_samples // 2 + 1
    if np.dtype(dtype).kind != "c":
        raise ValueError(f"dtype: expected complex64 or complex128, found {np.dtype(dtype)}")
    wanted = None if frequencies is None else np.asarray(frequencies)
    limits = _limits(wanted, channels, drive.segments, bins)
    if limits is not None and wanted is not None:
        shape: tuple[int, ...] = (len(wanted),)
    else:
        segments = (drive.segments,) if drive.segments > 1 else ()
        shape = (channels, *segments, bins if wanted is None else len(wanted))
    if out is None:
        out = np.empty((*shape, len(positions)), dtype=dtype)
    elif out.shape != (*shape, len(positions)) or not np.iscomplexobj(out):
        raise ValueError(
            f"out: expected complex values of shape {(*shape, len(positions))}, found {out.dtype} {out.shape}"
        )
    chain = model.chain()

    def evaluate(part: slice) -> tuple[slice, Complex]:
        voltage = model.voltage(positions[part])
        voltage = voltage.reshape(channels, -1, drive.segments, model.segment_samples)
        spectra = scipy.fft.rfft(voltage, axis=-1, norm="forward", overwrite_x=True)
        if limits is not None and wanted is not None:
            segment = wanted[:, 1] if wanted.shape[1] == 3 else 0
            chosen = spectra[wanted[:, 0], :, segment, wanted[:, -1]]
            if chain is not None:
                chosen *= chain[wanted[:, 0], wanted[:, -1]][:, None]
            return part, chosen
        if wanted is not None:
            spectra = spectra[..., wanted]
        if chain is not None:
            factor = chain if wanted is None else chain[:, wanted]
            spectra *= factor[:, None, None, :]
        return part, np.moveaxis(spectra, 1, -1).reshape(*shape, part.stop - part.start)

    for part, spectra in in_order(evaluate, model.parts(len(positions), memory), workers):
        out[..., part] = spectra
        if progress is not None:
            progress(part.stop, len(positions))
    return out


def _limits(wanted: NDArray[Any] | None, channels: int, segments: int, bins: int) -> tuple[int, ...] | None:
    """Check the choice of frequencies; how many of each there are if it is one of rows, else None."""
    if wanted is None:
        return None
    if wanted.dtype.kind not in "iu" or wanted.ndim not in (1, 2) or wanted.size == 0:
        raise ValueError(
            f"frequencies: expected integers of shape (frequencies,), (rows, 2) or (rows, 3), found {wanted.dtype} "
            f"{wanted.shape}"
        )
    if wanted.ndim == 1:
        limits: tuple[int, ...] = (bins,)
    elif wanted.shape[1] == 3:
        limits = (channels, segments, bins)
    elif wanted.shape[1] == 2 and segments == 1:
        limits = (channels, bins)
    else:
        raise ValueError(
            "frequencies: expected rows (channel, number), or (channel, segment, number) of a drive with segments, "
            f"found shape {wanted.shape} and {segments} segments"
        )
    if (wanted < 0).any() or (wanted >= np.asarray(limits)).any():
        raise ValueError(
            f"frequencies: expected numbers of zero or more below {limits}, found one that is not"
        )
    return None if wanted.ndim == 1 else limits
