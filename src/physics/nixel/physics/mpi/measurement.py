"""Measured frames: the particles' voltage with a drifting background and noise."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nixel.physics.checks import check_all_positive
from nixel.physics.mpi.background import Drift
from nixel.physics.mpi.receive_noise import Density, spectral_deviation, spectral_noise

Array = NDArray[np.floating[Any]]


class EmptyBore:
    """Spectra of frames without particles: background times its drift, and noise.

    The noise of a frame depends on the seed and the frame's number only (Philox, a counter-based generator; Salmon
    et al., SC 2011), so that frames can be computed in any order.

    Parameters
    ----------
    shape : tuple of int
        (channels, samples), or (channels, segments, samples of a segment): spectra are those of the last axis.
    sampling_frequency : float
        In Hz.
    density : float or callable
        One-sided spectral density of the noise in V^2/Hz.
    averages : int
        Periods averaged into a frame.
    background : array of float, as many values as `shape`, or None
        One period in V, before drift.
    seed : int

    Raises
    ------
    ValueError
        If the background does not fit or is not finite, or averages is below one.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        sampling_frequency: float,
        *,
        density: Density = 0.0,
        averages: int = 1,
        background: Array | None = None,
        seed: int = 0,
    ) -> None:
        check_all_positive(averages=averages)
        self._shape, self._samples = shape[:-1], shape[-1]
        period = (shape[0], math.prod(shape[1:]))
        empty = np.zeros(period) if background is None else np.asarray(background, dtype=np.float64)
        if empty.shape != period or not np.isfinite(empty).all():
            raise ValueError(
                f"background: expected finite values of shape {period} in V, found {empty.shape}"
            )
        self._background = np.fft.rfft(empty.reshape(shape), norm="forward")
        # Averaging narrows the band that a coefficient sees, which for any density divides its power.
        self._deviation = spectral_deviation(density, self._samples, sampling_frequency) / math.sqrt(averages)
        self._key = np.random.SeedSequence(seed).generate_state(2, np.uint64)

    def spectrum(self, frame: int, factor: float) -> NDArray[np.complex128]:
        """Fourier coefficients (``norm="forward"``) of the frame of that number, in V.

        Parameters
        ----------
        frame : int
        factor : float
            Of the background.

        Returns
        -------
        array of complex128, the shape with samples // 2 + 1 in place of the samples
        """
        result = factor * self._background
        if self._deviation.any():
            counter = np.array([0, frame, 0, 0], dtype=np.uint64)
            generator = np.random.Generator(np.random.Philox(key=self._key, counter=counter))
            result += spectral_noise(self._deviation, self._samples, self._shape, generator)
        return np.asarray(result, dtype=np.complex128)


def measure(
    voltage: Array,
    sampling_frequency: float,
    *,
    frames: int = 1,
    averages: int = 1,
    density: Density = 0.0,
    background: Array | None = None,
    drift: Drift | None = None,
    start: float = 0.0,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure a voltage that repeats itself: frames with noise and a drifting background.

    Parameters
    ----------
    voltage : array of float, shape (channels, samples)
        One period in V, such as `signal` returns it; zeros for the empty bore.
    sampling_frequency : float
        In Hz.
    frames : int
    averages : int
        Periods averaged into a frame.
    density : float or callable
        One-sided spectral density of the noise in V^2/Hz.
    background : array of float, shape (channels, samples), optional
        One period in V, such as `FeedThrough.voltage`; none by default.
    drift : Drift, optional
        Of the background; none by default.
    start : float
        Of the first frame in s, zero or more.
    seed : int
        Of the noise. Each measurement wants its own.

    Returns
    -------
    frames : array of float64, shape (frames, channels, samples)
        In V.
    times : array of float64, shape (frames,)
        Middle of each frame in s.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite or a number is not positive.
    """
    voltage = np.asarray(voltage, dtype=np.float64)
    if voltage.ndim != 2 or voltage.size == 0 or not np.isfinite(voltage).all():
        raise ValueError(
            f"voltage: expected finite values of shape (channels, samples) in V, found shape {voltage.shape}"
        )
    check_all_positive(frames=frames, sampling_frequency=sampling_frequency)
    samples = voltage.shape[1]
    bore = EmptyBore(
        voltage.shape,
        sampling_frequency,
        density=density,
        averages=averages,
        background=background,
        seed=seed,
    )
    times = start + (np.arange(frames) + 0.5) * averages * samples / sampling_frequency
    factors = (drift or Drift()).factor(times)
    result = np.empty((frames, *voltage.shape))
    for number, factor in enumerate(factors):
        result[number] = np.fft.irfft(bore.spectrum(number, factor), n=samples, norm="forward")
        result[number] += voltage
    return result, times
