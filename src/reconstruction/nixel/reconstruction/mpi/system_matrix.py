"""From frames to a picture: background, frequency selection, weighting, solution."""

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from nixel.reconstruction.mpi.kaczmarz import Kaczmarz

Array = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]


def spectra(frames: Array) -> Complex:
    """Fourier coefficients of periodic frames.

    Parameters
    ----------
    frames : array of float, shape (..., samples)

    Returns
    -------
    array of complex, shape (..., samples // 2 + 1)
        In the frames' unit and precision: the coefficient of exp(2 pi i k t / T).
    """
    frames = np.asarray(frames)
    transformed = np.fft.rfft(frames, axis=-1, norm="forward")
    return transformed.astype(np.result_type(frames.dtype, np.complex64), copy=False)


def background_at(
    background: NDArray[np.inexact[Any]], background_times: Array, times: Array
) -> NDArray[np.inexact[Any]]:
    """Background at the times of the frames, linear between the means of neighbouring background blocks.

    Frames that were taken in one go (no frame of `times` between them) make one block; averaging over it keeps
    its noise low, interpolation between blocks follows a drift. Outside the blocks the nearest one holds.

    Parameters
    ----------
    background : array, shape (background frames, ...)
    background_times : array of float, shape (background frames,)
        Any unit, ascending.
    times : array of float, shape (frames,)
        In the same unit.

    Returns
    -------
    array, shape (frames, ...)

    Raises
    ------
    ValueError
        If there is no background frame or the times do not fit.
    """
    background = np.asarray(background)
    when, times = np.asarray(background_times, dtype=float), np.asarray(times, dtype=float)
    if len(background) == 0 or when.shape != (len(background),):
        raise ValueError(
            f"background: expected one time for each frame, found {when.shape} for {len(background)}"
        )
    block = np.searchsorted(np.sort(times), when)
    labels = np.unique(block)
    means = np.stack([background[block == label].mean(axis=0) for label in labels])
    centres = np.array([when[block == label].mean() for label in labels])
    upper = np.clip(np.searchsorted(centres, times), 0, len(labels) - 1)
    lower = np.clip(upper - 1, 0, len(labels) - 1)
    gap = centres[upper] - centres[lower]
    share = np.where(gap > 0, (times - centres[lower]) / np.where(gap > 0, gap, 1.0), 1.0)
    share = np.clip(share, 0.0, 1.0).astype(background.real.dtype)
    share = share.reshape((-1,) + (1,) * (background.ndim - 1))
    result: NDArray[np.inexact[Any]] = means[lower] * (1 - share) + means[upper] * share
    return result


Frames = TypeVar("Frames", bound=NDArray[np.inexact[Any]])


def without_drift(background: Frames) -> Frames:
    """Noise of background frames, freed of a drift that is slow against the time between them.

    Parameters
    ----------
    background : array, shape (background frames, ...)
        In the order of time; at least three.

    Returns
    -------
    array, shape (background frames - 1, ...)
        Differences of neighbours over the root of two: noise of the frames' own standard deviation.

    Raises
    ------
    ValueError
        If there are fewer than three frames.

    References
    ----------
    von Neumann et al., Ann. Math. Stat. 12 (1941) 153.
    """
    if len(background) < 3:
        raise ValueError(f"background: expected at least three frames, found {len(background)}")
    root = np.asarray(np.sqrt(2.0), dtype=background.real.dtype)
    return cast("Frames", np.diff(background, axis=0) / root)


def signal_to_noise(matrix: Complex, background: Complex) -> NDArray[np.float64]:
    """Signal-to-noise ratio of each frequency of a calibration, as MPIFiles computes it.

    Parameters
    ----------
    matrix : array of complex, shape (positions, channels, frequencies)
        Background-corrected.
    background : array of complex, shape (background frames, channels, frequencies)
        At least two.

    Returns
    -------
    array of float64, shape (channels, frequencies)
        Mean magnitude over the positions divided by the background's standard deviation.

    Raises
    ------
    ValueError
        If there are fewer than two background frames or the shapes differ.
    """
    if len(background) < 2 or matrix.shape[1:] != background.shape[1:]:
        raise ValueError(
            f"background: expected at least two frames of shape {matrix.shape[1:]}, found {background.shape}"
        )
    noise = np.sqrt(np.mean(np.abs(background - background.mean(axis=0)) ** 2, axis=0, dtype=np.float64))
    mean = np.mean(np.abs(matrix), axis=0, dtype=np.float64)
    result: NDArray[np.float64] = np.divide(mean, noise, out=np.zeros_like(mean), where=noise > 0)
    return result


def select_frequencies(
    snr: Array, frequencies: Array, *, threshold: float, band: tuple[float, float]
) -> NDArray[np.intp]:
    """Indices (channel, frequency) that carry signal.

    Parameters
    ----------
    snr : array of float, shape (channels, frequencies)
    frequencies : array of float, shape (frequencies,)
        In Hz.
    threshold : float
        Smallest signal-to-noise ratio.
    band : tuple of float
        Lowest and highest frequency in Hz.

    Returns
    -------
    array of int, shape (rows, 2)

    Raises
    ------
    ValueError
        If nothing is left.
    """
    inside = (np.asarray(frequencies) >= band[0]) & (np.asarray(frequencies) <= band[1])
    selected = np.argwhere((np.asarray(snr) >= threshold) & inside)
    if len(selected) == 0:
        best = float(np.max(snr[:, inside], initial=0.0))
        raise ValueError(
            f"expected at least one frequency between {band[0]:g} and {band[1]:g} Hz with a signal-to-noise ratio "
            f"of {threshold:g}, found none (the best has {best:.3g}): lower the threshold or calibrate with more "
            "averages"
        )
    return selected


@dataclass(frozen=True)
class SystemMatrixReconstruction:
    """Reconstruction with a calibration's system matrix, prepared once, applied to any number of frames.

    Parameters
    ----------
    selection : array of int, shape (rows, 2)
        Channel and frequency of each row.
    weights : array of float, shape (rows,)
    solver : Kaczmarz
        Of the weighted rows.
    """

    selection: NDArray[np.intp]
    weights: Array
    solver: Kaczmarz

    @classmethod
    def prepare(
        cls,
        matrix: Complex,
        background: Complex,
        frequencies: Array,
        *,
        threshold: float = 3.0,
        band: tuple[float, float] = (30e3, 1.25e6),
        relative_lambda: float = 1e-2,
    ) -> "SystemMatrixReconstruction":
        """Select and weight rows.

        A row is divided by the noise of its frequency (whitening), so that the least-squares solution is the
        most likely one for Gaussian noise; the drive frequencies, which the scanner itself feeds through, lie
        below the band.

        Parameters
        ----------
        matrix : array of complex, shape (voxels, channels, frequencies)
            Background-corrected signal of a unit sample in each voxel.
        background : array of complex, shape (background frames, channels, frequencies)
        frequencies : array of float, shape (frequencies,)
            In Hz.
        threshold, band
            As in `select_frequencies`.
        relative_lambda : float
            As in `Kaczmarz`.

        Raises
        ------
        ValueError
            If shapes do not fit or no frequency is left.
        """
        snr = signal_to_noise(matrix, background)
        selection = select_frequencies(snr, frequencies, threshold=threshold, band=band)
        channel, frequency = selection.T
        deviation = background - background.mean(axis=0)
        noise = np.sqrt(np.mean(np.abs(deviation) ** 2, axis=0))[channel, frequency]
        weights = (noise.min() / noise).astype(matrix.real.dtype)
        rows = np.ascontiguousarray(matrix[:, channel, frequency].T) * weights[:, None]
        return cls(selection, weights, Kaczmarz(rows, relative_lambda))

    def apply(
        self, measured: Complex, iterations: int = 50, *, non_negative: bool = True
    ) -> NDArray[np.floating[Any]]:
        """Concentration relative to the calibration sample's.

        Parameters
        ----------
        measured : array of complex, shape (frames, channels, frequencies)
            Background-corrected.
        iterations : int
            Sweeps of the solver.
        non_negative : bool

        Returns
        -------
        array of float, shape (frames, voxels)
        """
        channel, frequency = self.selection.T
        u = measured[:, channel, frequency].T * self.weights[:, None]
        return np.asarray(self.solver.solve(u, iterations, non_negative=non_negative).T.real)
