"""Reconstruction from a field-free line: projections, filtered back-projection, and one model of all angles.

The line runs along (cos a, sin a) and is swept along its normal n = (-sin a, cos a). All particles on it answer
together, so that the signal along the normal, divided by the speed, is a line integral of the concentration, blurred
by L'(xi) alone: unlike the point's, that point spread function has one dimension, a finite sum and a known spectrum,
2 pi |k| / (exp(pi |k|) - 1), which can be divided out as far as the noise allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.fft
from scipy import constants

from nixel.reconstruction.mpi.kaczmarz import Kaczmarz
from nixel.reconstruction.mpi.xspace import checked_axes, checked_real, reconstruct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nixel.physics.mpi import Particles


def projections(
    signal: NDArray[Any],
    angles: NDArray[Any],
    offsets: NDArray[Any],
    speeds: NDArray[Any],
    axis: NDArray[Any],
    *,
    gradient: float,
    particles: Particles,
    sensitivity: float,
    minimum_speed: float = 0.1,
    recover_dc: bool = True,
) -> NDArray[np.floating[Any]]:
    """Line integrals of the concentration, blurred by the particles' response.

    Parameters
    ----------
    signal : array of float, shape (angles, channels, samples) or (angles, fields, channels, samples)
        Voltage at each angle, in V, channels x and y (a third one is not used) of equal sensitivity; with an axis of
        fields, of each partial field of view.
    angles : array of float, shape (angles,)
        Between the line and the x axis, in rad.
    offsets, speeds : array of float, shape (angles, samples) or (angles, fields, samples)
        Distance of the line from the origin along its normal, in m, and its rate, in m/s.
    axis : array of float, shape (offsets,)
        Where the line integrals are wanted: evenly spaced offsets in m, all of them swept over.
    gradient : float
        Across the line, in T/m.
    particles : Particles
        For the unit of the result.
    sensitivity : float
        Of the receive coils, p = H/I, in 1/m.
    minimum_speed : float
        As in `nixel.reconstruction.mpi.xspace.velocity_compensated`.
    recover_dc : bool
        Find the constant of each (partial) field of view that was filtered out with the fundamental, so that nothing
        is at the ends of the axis.

    Returns
    -------
    array of float, shape (angles, offsets)
        Concentration integrated along the line and through the slice, in mol/m, convolved along the offset with
        L'(xi) of unit sum. In the signal's precision.

    Raises
    ------
    ValueError
        If shapes do not fit, an array is not float32 or float64 or not finite, a number is not positive, or an offset
        is not swept over.

    References
    ----------
    Knopp, Erbe, Sattel, Biederer, Buzug, "A Fourier slice theorem for magnetic particle imaging using a field-free
    line", Inverse Problems 27 (2011) 095004; Konkle et al., IEEE Trans. Med. Imaging 32 (2013) 338.
    """
    signal, angles = checked_real("signal", signal), checked_real("angles", angles, 1)
    offsets, speeds = checked_real("offsets", offsets), checked_real("speeds", speeds)
    for name, value in (("gradient", gradient), ("sensitivity", sensitivity)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a positive number, found {value!r}")
    if signal.ndim not in (3, 4) or len(signal) != len(angles) or signal.shape[-2] not in (2, 3):
        raise ValueError(
            f"signal: expected shape ({len(angles)}, [fields,] 2 or 3 channels, samples), found {signal.shape}"
        )
    expected = (*signal.shape[:-2], signal.shape[-1])
    for name, values in (("offsets", offsets), ("speeds", speeds)):
        if values.shape != expected:
            raise ValueError(f"{name}: expected shape {expected}, found {values.shape}")
    wanted = checked_axes([axis], 1)[0]
    around = tuple(range(1, offsets.ndim))
    first, last = float(offsets.min(axis=around).max()), float(offsets.max(axis=around).min())
    if wanted[0] < first or wanted[-1] > last:
        raise ValueError(
            f"axis: expected offsets that the line sweeps over at every angle, {first:g} to {last:g} m, found "
            f"{wanted[0]:g} to {wanted[-1]:g} m"
        )
    across = np.stack([-np.sin(angles), np.cos(angles)]).astype(signal.dtype)
    along = np.einsum("ca,a...ct->a...t", across, signal[..., :2, :])
    shape = (len(angles), -1, 1, signal.shape[-1])
    # dM/dt = M_s beta L'(xi) G ds/dt, and the sum of L'(xi) over s is 2 / (beta G).
    unit = 2 * constants.mu_0 * sensitivity * particles.magnetisation_per_iron / gradient
    rows = []
    for of_angle, places, rates in zip(
        along.reshape(shape), np.swapaxes(offsets.reshape(shape), -1, -2), np.swapaxes(speeds.reshape(shape), -1, -2),
        strict=True,
    ):  # fmt: skip
        found = reconstruct(
            of_angle,
            places,
            rates,
            [axis],
            gradient=[gradient],
            minimum_speed=minimum_speed,
            recover_dc=recover_dc,
        )
        rows.append(found.image)
    result = np.stack(rows) / np.asarray(unit, dtype=signal.dtype)
    if np.isnan(result).any():
        raise ValueError(
            "axis: expected cells with at least one sample each, found some without: choose wider ones, or leave out "
            "the ends of the sweep, where the line is slow"
        )
    return result


def filtered_back_projection(
    sinogram: NDArray[Any],
    angles: NDArray[Any],
    axis: NDArray[Any],
    axes: Sequence[NDArray[Any]],
    *,
    blur: float | None = None,
    regularisation: float = 1e-2,
    window: Literal["ramp", "hann"] = "hann",
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.floating[Any]]:
    """Picture whose line integrals the projections are.

    Parameters
    ----------
    sinogram : array of float, shape (angles, offsets)
        Line integrals, as `projections`.
    angles : array of float, shape (angles,)
        Between the line and the x axis, in rad; over half a turn, not necessarily even or in order.
    axis : array of float, shape (offsets,)
        Evenly spaced offsets along the normal (-sin a, cos a), in m.
    axes : sequence of array of float
        Centres of the picture's cells along y and x in m, evenly spaced.
    blur : float, optional
        Width of xi = 1, that is k T / (m G), in m: the projections are freed of the particles' L'(xi). None: as they
        are.
    regularisation : float
        Of that division: spectrum H is divided out as H / (H^2 + regularisation), H(0) = 1; the noise's power relative
        to the signal's.
    window : {"hann", "ramp"}
        Taper of the ramp filter up to the sampling limit of the offsets, or none.
    progress : callable, optional
        Called with (angles done, angles in all).

    Returns
    -------
    array of float, shape (y, x)
        In the sinogram's unit per m, and its precision. Cells beyond the ends of the axis at some angle are wrong.

    Raises
    ------
    ValueError
        If shapes do not fit, an array is not float32 or float64 or not finite, or a number is not positive.

    References
    ----------
    Kak, Slaney, Principles of Computerized Tomographic Imaging, IEEE Press 1988, chapter 3 (the ramp's samples);
    Knopp et al., Inverse Problems 27 (2011) 095004.
    """
    sinogram, angles = checked_real("sinogram", sinogram, 2), checked_real("angles", angles, 1)
    offsets = checked_axes([axis], 1)[0]
    y, x = checked_axes(axes, 2)
    if sinogram.shape != (len(angles), len(offsets)):
        raise ValueError(f"sinogram: expected shape {(len(angles), len(offsets))}, found {sinogram.shape}")
    if blur is not None and not (math.isfinite(blur) and blur > 0):
        raise ValueError(f"blur: expected a positive length in m or None, found {blur!r}")
    if not (math.isfinite(regularisation) and regularisation > 0):
        raise ValueError(f"regularisation: expected a positive number, found {regularisation!r}")
    if window not in ("hann", "ramp"):
        raise ValueError(f"window: expected hann or ramp, found {window!r}")
    step = offsets[1] - offsets[0]
    length = scipy.fft.next_fast_len(2 * len(offsets), real=True)
    response = _ramp(length, step)
    frequencies = np.fft.rfftfreq(length, step)
    if window == "hann":
        response *= 0.5 + 0.5 * np.cos(2 * math.pi * frequencies * step)
    if blur is not None:
        spectrum = langevin_spectrum(frequencies * blur)
        response *= (1 + regularisation) * spectrum / (spectrum**2 + regularisation)
    filtered = scipy.fft.irfft(scipy.fft.rfft(sinogram, length, axis=1) * response, length, axis=1)
    weights = _shares(angles)
    picture = np.zeros((len(y), len(x)))
    for number, (angle, weight) in enumerate(zip(angles, weights, strict=True)):
        place = np.cos(angle) * y[:, None] - np.sin(angle) * x
        picture += weight * np.interp(place, offsets, filtered[number, : len(offsets)], left=0.0, right=0.0)
        if progress is not None:
            progress(number + 1, len(angles))
    return picture.astype(sinogram.dtype, copy=False)


def langevin_spectrum(frequency: NDArray[Any]) -> NDArray[np.float64]:
    """Fourier transform of L'(xi) / 2, which has unit sum.

    Parameters
    ----------
    frequency : array of float, any shape
        In cycles per unit of xi.

    Returns
    -------
    array of float64, the shape of `frequency`
        x / (exp(x) - 1) with x = 2 pi^2 |frequency|: 1 at zero.
    """
    x = 2 * math.pi**2 * np.abs(np.asarray(frequency, dtype=np.float64))
    return np.divide(x, np.expm1(np.minimum(x, 700.0)), out=np.ones_like(x), where=x > 0)


def _ramp(length: int, step: float) -> NDArray[np.float64]:
    """Spectrum of the band-limited ramp, from its samples in space: |frequency| itself would shift the mean."""
    number = np.arange(length)
    number = np.minimum(number, length - number)
    kernel = np.zeros(length)
    odd = number % 2 == 1
    kernel[odd] = -1 / (math.pi * number[odd]) ** 2
    kernel[0] = 0.25
    return np.asarray(scipy.fft.rfft(kernel).real / step)


def _shares(angles: NDArray[Any]) -> NDArray[np.float64]:
    """Share of half a turn that each angle stands for: half the gaps to its neighbours."""
    turned = np.mod(np.asarray(angles, dtype=np.float64), math.pi)
    order = np.argsort(turned)
    gaps = np.diff(turned[order], append=turned[order[0]] + math.pi)
    shares = np.empty(len(angles))
    shares[order] = (gaps + np.roll(gaps, 1)) / 2
    return shares


@dataclass(frozen=True)
class JointReconstruction:
    """All angles in one regularised least-squares system, prepared once, applied to any number of frames.

    Frequencies below the band, with the fundamental, are simply left out: nothing needs to be recovered. What the
    angles have in common, the picture, is solved for together, so that few angles, uneven ones, or a line that turns
    while it sweeps are no different.

    Parameters
    ----------
    rows : array of int, shape (rows, 3)
        Channel, angle and frequency of each row.
    weights : array of float, shape (rows,)
    solver : Kaczmarz
        Of the weighted rows.
    shape : tuple of int
        (channels, angles, frequencies) of the measurements.
    """

    rows: NDArray[np.intp]
    weights: NDArray[np.floating[Any]]
    solver: Kaczmarz
    shape: tuple[int, int, int]

    @classmethod
    def prepare(
        cls,
        matrix: NDArray[Any],
        frequencies: NDArray[Any],
        noise: NDArray[Any] | float,
        *,
        band: tuple[float, float],
        threshold: float = 1.0,
        relative_lambda: float = 1e-2,
        workers: int = 1,
    ) -> JointReconstruction:
        """Choose and weight the rows.

        Parameters
        ----------
        matrix : array of complex, shape (channels, angles, frequencies, voxels)
            Spectra of a unit sample in each voxel at each angle, as `nixel.physics.mpi.system_matrix` returns them for
            a drive of several segments.
        frequencies : array of float, shape (frequencies,)
            In Hz.
        noise : float or array of float that broadcasts to (channels, angles, frequencies)
            Standard deviation of the measured coefficients, in the unit of a unit sample's signal.
        band : tuple of float
            Lowest and highest frequency in Hz.
        threshold : float
            Rows are left out whose root mean square over the voxels is below so many times the noise.
        relative_lambda, workers
            As in `Kaczmarz`.

        Raises
        ------
        ValueError
            If shapes do not fit, values are not finite, noise is not positive, or no row is left.
        """
        matrix, frequencies = np.asarray(matrix), np.asarray(frequencies, dtype=np.float64)
        if matrix.ndim != 4 or not np.iscomplexobj(matrix) or matrix.size == 0:
            raise ValueError(
                "matrix: expected complex values of shape (channels, angles, frequencies, voxels), found "
                f"{matrix.dtype} {matrix.shape}"
            )
        if frequencies.shape != matrix.shape[2:3]:
            raise ValueError(f"frequencies: expected shape {matrix.shape[2:3]}, found {frequencies.shape}")
        deviation = np.broadcast_to(np.asarray(noise, dtype=np.float64), matrix.shape[:3])
        if not (np.isfinite(deviation).all() and (deviation > 0).all()):
            raise ValueError("noise: expected positive finite numbers, found others")
        strength = np.linalg.norm(matrix, axis=-1) / math.sqrt(matrix.shape[-1])
        inside = (frequencies >= band[0]) & (frequencies <= band[1])
        rows = np.argwhere((strength >= threshold * deviation) & inside)
        if len(rows) == 0:
            best = float(np.max((strength / deviation)[..., inside], initial=0.0))
            raise ValueError(
                f"expected at least one row between {band[0]:g} and {band[1]:g} Hz with a signal of {threshold:g} "
                f"times its noise, found none (the best has {best:.3g}): lower the threshold"
            )
        chosen = deviation[tuple(rows.T)]
        weights = (chosen.min() / chosen).astype(matrix.real.dtype)
        solver = Kaczmarz(matrix[tuple(rows.T)] * weights[:, None], relative_lambda, workers=workers)
        return cls(rows, weights, solver, matrix.shape[:3])

    def apply(
        self,
        measured: NDArray[Any],
        iterations: int = 50,
        *,
        non_negative: bool = True,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.floating[Any]]:
        """Concentration in units of the sample that the matrix is for.

        Parameters
        ----------
        measured : array of complex, shape (channels, angles, frequencies) or (frames, channels, angles, frequencies)
        iterations : int
            Sweeps over all rows.
        non_negative : bool
            Keep every voxel at zero or above.
        workers, progress
            As in `Kaczmarz.solve`.

        Returns
        -------
        array of float, shape (voxels,) or (frames, voxels)

        Raises
        ------
        ValueError
            If the shape does not fit or a value is not finite.
        """
        measured = np.asarray(measured)
        if measured.shape[-3:] != self.shape or measured.ndim not in (3, 4):
            raise ValueError(f"measured: expected shape ([frames,] {self.shape}), found {measured.shape}")
        channel, angle, frequency = self.rows.T
        u = np.ascontiguousarray((measured[..., channel, angle, frequency] * self.weights).T)
        found = self.solver.solve(
            u, iterations, real=True, non_negative=non_negative, workers=workers, progress=progress
        )
        return np.asarray(found).T
