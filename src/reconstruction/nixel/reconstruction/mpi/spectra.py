"""Spectra of periodic frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    Raises
    ------
    ValueError
        If there are no samples, or a value is not a finite real number.
    """
    frames = np.asarray(frames)
    if (
        frames.ndim < 1
        or frames.shape[-1] == 0
        or frames.dtype.kind not in "iuf"
        or not np.isfinite(frames).all()
    ):
        raise ValueError(
            f"frames: expected finite real values of shape (..., samples), found {frames.dtype} of shape "
            f"{frames.shape}, or NaN or infinity among them"
        )
    transformed = np.fft.rfft(frames, axis=-1, norm="forward")
    return transformed.astype(np.result_type(frames.dtype, np.complex64), copy=False)


def without_leakage(frames: Array) -> Array:
    """Frames in which little is left of what does not repeat with their period.

    A drift, or a frequency that is no harmonic of the period, does not end a frame where it began: in the spectrum of
    the single frame it leaks into all harmonics, falling off with the first power of the distance. Here each frame is
    joined with its neighbours, weighted with a Hann window over the three, and folded onto one period: leakage falls
    off with the third power. What repeats with the period is unchanged, because the three thirds of the window add
    up to one. The first and the last frame have one neighbour, and a window over two.

    Neighbouring frames share a third and more of their noise afterwards, and a moving object is averaged over the
    window.

    Parameters
    ----------
    frames : array of float, shape (frames, ..., samples)
        One after the other without a gap; at least two.

    Returns
    -------
    array, the shape and precision of `frames`

    Raises
    ------
    ValueError
        If there are fewer than two frames, or a value is not a finite floating-point number.

    References
    ----------
    Harris, Proc. IEEE 66 (1978) 51.
    """
    frames = np.asarray(frames)
    if frames.ndim < 2 or len(frames) < 2:
        raise ValueError(
            f"frames: expected shape (frames, ..., samples) with two frames or more, found {frames.shape}"
        )
    if frames.dtype.kind != "f" or not np.isfinite(frames).all():
        raise ValueError(
            f"frames: expected finite floating-point values, found {frames.dtype}, NaN or infinity"
        )
    samples = frames.shape[-1]
    result = np.empty_like(frames)
    three = _hann(3, samples, frames.dtype)
    for index in range(1, len(frames) - 1):
        result[index] = three[0] * frames[index - 1] + three[1] * frames[index] + three[2] * frames[index + 1]
    two = _hann(2, samples, frames.dtype)
    for index, neighbours in ((0, frames[:2]), (len(frames) - 1, frames[-2:])):
        result[index] = two[0] * neighbours[0] + two[1] * neighbours[1]
    return result


def _hann(periods: int, samples: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Weights (periods, samples) of a periodic Hann window, which add up to one over the periods."""
    angle = 2.0 * np.pi * np.arange(periods * samples) / (periods * samples)
    return ((1.0 - np.cos(angle)) / periods).astype(dtype).reshape(periods, samples)
