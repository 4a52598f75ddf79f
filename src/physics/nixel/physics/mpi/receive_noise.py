"""Noise of the receive chain: white, or coloured with a given spectral density."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nixel.physics.checks import check_all_positive

Array = NDArray[np.floating[Any]]

# One-sided power spectral density in V^2/Hz: a number (white), or a function of frequency in Hz.
Density = float | Callable[[NDArray[np.float64]], NDArray[np.float64]]


def flicker_density(white: float, corner: float, exponent: float = 1.0) -> Density:
    """Density of an amplifier: white above a corner frequency, rising below it.

    Parameters
    ----------
    white : float
        In V^2/Hz.
    corner : float
        Frequency in Hz at which flicker and white noise are equal.
    exponent : float
        Of the rise, S = white (1 + (corner/f)^exponent). At zero frequency, where that is infinite, the density is
        zero: a mean is drift, not noise.

    Returns
    -------
    callable
        Frequency in Hz to density in V^2/Hz.

    Raises
    ------
    ValueError
        If a number is not positive.
    """
    check_all_positive(white=white, corner=corner, exponent=exponent)

    def density(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
        above = frequencies > 0
        ratio = corner / np.where(above, frequencies, 1.0)
        return np.where(above, white * (1.0 + ratio**exponent), 0.0)

    return density


def tabulated_density(frequencies: Array, densities: Array) -> Density:
    """Density from a table, linear between its frequencies, the nearest value outside them.

    Parameters
    ----------
    frequencies : array of float, shape (n,)
        In Hz, ascending.
    densities : array of float, shape (n,)
        In V^2/Hz.

    Returns
    -------
    callable
        Frequency in Hz to density in V^2/Hz.

    Raises
    ------
    ValueError
        If shapes differ, frequencies do not ascend, or a density is negative or not finite.
    """
    known = np.asarray(frequencies, dtype=np.float64)
    values = np.asarray(densities, dtype=np.float64)
    if known.ndim != 1 or known.size == 0 or known.shape != values.shape or (np.diff(known) <= 0).any():
        raise ValueError(
            f"expected ascending frequencies, each with a density, found shapes {known.shape}, {values.shape}"
        )
    if not (np.isfinite(known).all() and np.isfinite(values).all() and (values >= 0).all()):
        raise ValueError("densities: expected finite numbers of zero or more in V^2/Hz")
    return lambda wanted: np.interp(wanted, known, values)


def spectral_deviation(density: Density, samples: int, sampling_frequency: float) -> NDArray[np.float64]:
    """Standard deviation of the noise of each Fourier coefficient, divided by the number of samples.

    Parameters
    ----------
    density : float or callable
        One-sided, in V^2/Hz.
    samples : int
    sampling_frequency : float
        In Hz.

    Returns
    -------
    array of float64, shape (samples // 2 + 1,)
        In V: the root of the mean square of the magnitude, sqrt(S f_s / (2 samples)). A coefficient is complex
        with half the power in each part, but for that at zero and, for an even number, the last, which are real.

    Raises
    ------
    ValueError
        If samples or sampling frequency is not positive or a density is negative or not finite.
    """
    check_all_positive(samples=samples, sampling_frequency=sampling_frequency)
    frequencies = np.asarray(np.fft.rfftfreq(samples, 1.0 / sampling_frequency), dtype=np.float64)
    power = np.broadcast_to(
        np.asarray(density(frequencies) if callable(density) else density, dtype=np.float64),
        frequencies.shape,
    )
    if not (np.isfinite(power).all() and (power >= 0).all()):
        raise ValueError("density: expected finite numbers of zero or more in V^2/Hz")
    return np.sqrt(power * sampling_frequency / (2.0 * samples))


def spectral_noise(
    deviation: NDArray[np.float64], samples: int, shape: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.complex128]:
    """Fourier coefficients of noise.

    Parameters
    ----------
    deviation : array of float64, shape (samples // 2 + 1,)
        Of `spectral_deviation`.
    samples : int
    shape : tuple of int
        Of the noise but for its last axis.
    generator : numpy.random.Generator

    Returns
    -------
    array of complex128, shape (*shape, samples // 2 + 1)
        In V, as `numpy.fft.rfft` with ``norm="forward"`` gives them.
    """
    parts = generator.standard_normal((*shape, len(deviation), 2))
    parts *= np.sqrt(0.5) * deviation[:, None]
    result: NDArray[np.complex128] = parts.view(np.complex128)[..., 0]
    ends = [0] if samples % 2 else [0, -1]
    result[..., ends] = np.sqrt(2.0) * result[..., ends].real
    return result


def noise(
    shape: tuple[int, ...],
    density: Density,
    sampling_frequency: float,
    *,
    seed: int | np.random.Generator,
) -> NDArray[np.float64]:
    """Gaussian noise with a spectral density, the same for the same seed.

    It is drawn coefficient by coefficient, so that its density is exact at every frequency; it repeats itself with
    the length of the last axis. Noise of several frames that is slower than one of them: draw frames times samples
    at once, and reshape.

    Parameters
    ----------
    shape : tuple of int
        The last axis is time; noise along the others is independent.
    density : float or callable
        One-sided, in V^2/Hz; a number for white noise, whose variance is density times half the sampling frequency.
    sampling_frequency : float
        In Hz.
    seed : int or numpy.random.Generator

    Returns
    -------
    array of float64, shape `shape`
        In V.

    Raises
    ------
    ValueError
        If the shape is empty, the sampling frequency is not positive or a density is negative or not finite.

    References
    ----------
    Timmer and Koenig, Astron. Astrophys. 300 (1995) 707.
    """
    if not shape:
        raise ValueError("shape: expected one axis or more, found none")
    samples = shape[-1]
    deviation = spectral_deviation(density, samples, sampling_frequency)
    generator = np.random.default_rng(seed)
    coefficients = spectral_noise(deviation, samples, shape[:-1], generator)
    return np.asarray(np.fft.irfft(coefficients, n=samples, axis=-1, norm="forward"), dtype=np.float64)
