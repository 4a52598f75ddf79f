"""Which frequencies carry signal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]

# Of the reference: how many of the best frequencies tell where the signal is, from which share of its maximum on a
# position belongs to it, and from which multiple of the noise on a frequency's own maximum is trusted.
_BEST = 20
_NEAR_MAXIMUM = 0.9
_TRUSTED = 3.5
_CHUNK_BYTES = 1 << 26


def signal_to_noise(
    matrix: Complex, background: Complex, *, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.float64]:
    """Signal-to-noise ratio of each frequency of a calibration, as the reference implementation MPIFiles defines it.

    The noise is the mean magnitude of the background's deviation from its mean. The signal is taken where there is
    some: the twenty frequencies of a channel with the largest ratio of the median magnitude over all positions to
    the noise tell which positions those are, namely all at which one of the twenty exceeds 0.9 of its maximum. The
    signal is the median magnitude over these positions; where it exceeds 3.5 times the noise, the median over those
    positions at which the frequency itself exceeds 0.9 of its maximum. A frequency without signal has a ratio of
    about one.

    Parameters
    ----------
    matrix : array of complex, shape (positions, channels, frequencies)
        Signal at each position.
    background : array of complex, shape (background frames, channels, frequencies)
        Corrected like the matrix; its mean is subtracted from both. Of a single frame, the magnitude of its value is
        the noise.
    progress : callable, optional
        Called with (channels done, channels in all).

    Returns
    -------
    array of float64, shape (channels, frequencies)
        Dimensionless; zero where there is no noise.

    Raises
    ------
    ValueError
        If there is no background frame or position, the shapes differ, or a value is not finite.

    References
    ----------
    Knopp et al., "MPIFiles.jl", J. Open Source Softw. 4 (2019) 1331.
    """
    matrix, background = np.asarray(matrix), np.asarray(background)
    if matrix.ndim != 3 or matrix.size == 0:
        raise ValueError(f"matrix: expected shape (positions, channels, frequencies), found {matrix.shape}")
    if background.ndim != 3 or len(background) < 1 or matrix.shape[1:] != background.shape[1:]:
        raise ValueError(
            f"background: expected at least one frame of shape {matrix.shape[1:]}, found {background.shape}"
        )
    for name, values in (("matrix", matrix), ("background", background)):
        # A channel at a time: the comparison makes no second matrix.
        if not all(np.isfinite(values[:, channel]).all() for channel in range(values.shape[1])):
            raise ValueError(f"{name}: expected finite values, found NaN or infinity")
    result = np.empty(matrix.shape[1:])
    for channel in range(matrix.shape[1]):
        result[channel] = _one_channel(matrix[:, channel], background[:, channel])
        if progress is not None:
            progress(channel + 1, matrix.shape[1])
    return result


def _one_channel(matrix: Complex, background: Complex) -> NDArray[np.float64]:
    centre = background.mean(axis=0, dtype=np.complex128).astype(background.dtype)
    spread = np.abs(background - centre) if len(background) > 1 else np.abs(background)
    noise = spread.mean(axis=0, dtype=np.float64)
    first, signal = np.empty(len(noise)), np.empty(len(noise))
    chunks = _chunks(matrix)
    for part in chunks:
        first[part] = np.median(np.abs(matrix[:, part] - centre[part]), axis=0)
    best = np.argsort(-_ratio(first, noise), kind="stable")[:_BEST]
    magnitude = np.abs(matrix[:, best])
    there = (magnitude > _NEAR_MAXIMUM * magnitude.max(axis=0)).any(axis=1)
    if not there.any():  # all of these are zero
        there[:] = True
    for part in chunks:
        deviation = np.abs(matrix[:, part] - centre[part])
        signal[part] = np.median(deviation[there], axis=0)
        for column in np.flatnonzero(signal[part] > _TRUSTED * noise[part]):
            values = deviation[:, column]
            signal[part.start + column] = np.median(values[values > _NEAR_MAXIMUM * values.max()])
    return _ratio(signal, noise)


def _chunks(matrix: Complex) -> list[slice]:
    """Frequencies that are looked at together: bounds the memory."""
    step = max(1, _CHUNK_BYTES // (len(matrix) * matrix.itemsize))
    count = matrix.shape[1]
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _ratio(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(signal, noise, out=np.zeros_like(signal), where=noise > 0)


def mixing_orders(dividers: Sequence[int], count: int) -> NDArray[np.int64]:
    """Lowest order in which drive frequencies mix to each frequency.

    Frequency k is k times the repetition rate of the trajectory. It arises as sum_i m_i f_i from the drive
    frequencies f_i; the order is the smallest sum of the |m_i|. The signal falls off with it.

    Parameters
    ----------
    dividers : sequence of int
        Of the base frequency, one an axis that is driven.
    count : int
        How many frequencies, from zero.

    Returns
    -------
    array of int64, shape (count,)

    Raises
    ------
    ValueError
        If there is no divider, one is below one, or count is below one.

    References
    ----------
    Rahmer et al., BMC Med. Imaging 9 (2009) 4.
    """
    if len(dividers) == 0 or any(divider < 1 for divider in dividers):
        raise ValueError(f"dividers: expected integers of 1 or more, found {tuple(dividers)}")
    if count < 1:
        raise ValueError(f"count: expected at least one frequency, found {count!r}")
    period = math.lcm(*dividers)
    steps = [period // divider for divider in dividers]
    # A sum can always be put in an order in which it leaves the range by one step at most.
    margin = max(steps)
    orders = np.full(count + 2 * margin, -1, dtype=np.int64)
    front = np.array([margin])
    orders[front] = 0
    order = 0
    while len(front):
        order += 1
        reached = np.unique(np.concatenate([front + sign * step for step in steps for sign in (-1, 1)]))
        reached = reached[(reached >= 0) & (reached < len(orders))]
        front = reached[orders[reached] < 0]
        orders[front] = order
    return orders[margin : margin + count]


def select_frequencies(
    snr: ArrayLike,
    frequencies: ArrayLike,
    *,
    threshold: float = 0.0,
    band: tuple[float, float] = (0.0, math.inf),
    orders: ArrayLike | None = None,
    max_order: int | None = None,
    best: int | None = None,
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
    orders : array of int, shape (frequencies,), optional
        Mixing order of each frequency, from `mixing_orders`; needed for `max_order`.
    max_order : int, optional
        Highest mixing order.
    best : int, optional
        Of what the other conditions leave, so many with the largest signal-to-noise ratio.

    Returns
    -------
    array of int, shape (rows, 2)
        Ascending by channel, then by frequency.

    Raises
    ------
    ValueError
        If nothing is left, shapes do not fit, max_order lacks orders, or best is below one.
    """
    ratio, hertz = np.asarray(snr, dtype=float), np.asarray(frequencies, dtype=float)
    if ratio.ndim != 2 or hertz.shape != ratio.shape[1:]:
        raise ValueError(
            f"frequencies: expected one for each column of snr, {ratio.shape}, found shape {hertz.shape}"
        )
    if len(band) != 2 or not band[0] < band[1]:
        raise ValueError(f"band: expected the lower frequency in Hz and then the higher, found {band!r}")
    inside = (hertz >= band[0]) & (hertz <= band[1])
    limits = f"between {band[0]:g} and {band[1]:g} Hz"
    if max_order is not None:
        if orders is None or np.shape(orders) != hertz.shape:
            raise ValueError(
                f"orders: expected {len(hertz)} mixing orders for max_order, "
                f"found {None if orders is None else np.shape(orders)}"
            )
        inside &= (np.asarray(orders) >= 0) & (np.asarray(orders) <= max_order)
        limits += f" of mixing order {max_order} or lower"
    selected = np.argwhere((ratio >= threshold) & inside)
    if len(selected) == 0:
        highest = float(np.max(ratio[:, inside], initial=0.0))
        raise ValueError(
            f"expected at least one frequency {limits} with a signal-to-noise ratio "
            f"of {threshold:g}, found none (the best has {highest:.3g}): lower the threshold or calibrate with more "
            "averages"
        )
    if best is None:
        return selected
    if best < 1:
        raise ValueError(f"best: expected at least one frequency, found {best!r}")
    by_ratio = np.argsort(-ratio[tuple(selected.T)], kind="stable")[:best]
    return selected[np.sort(by_ratio)]
