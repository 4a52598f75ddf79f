"""What the scanner receives without a sample, and how it drifts."""

from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Frames = TypeVar("Frames", bound=NDArray[np.inexact[Any]])


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
        If there are fewer than three frames, or a value is not finite.

    References
    ----------
    von Neumann et al., Ann. Math. Stat. 12 (1941) 153.
    """
    if np.ndim(background) < 1 or len(background) < 3:
        raise ValueError(f"background: expected at least three frames, found shape {np.shape(background)}")
    if not np.isfinite(background).all():
        raise ValueError("background: expected finite values, found NaN or infinity")
    root = np.asarray(np.sqrt(2.0), dtype=background.real.dtype)
    return cast("Frames", np.diff(background, axis=0) / root)


def without_background(
    frames: Frames,
    background: Frames,
    *,
    times: Array | None = None,
    background_times: Array | None = None,
) -> Frames:
    """Frames less the background: its mean, or, where times are given, what it was at the time of each frame.

    Parameters
    ----------
    frames : array, shape (frames, ...)
        Signals or spectra.
    background : array, shape (background frames, ...)
        In the same unit.
    times, background_times : array of float, shapes (frames,) and (background frames,), optional
        Both or none; as for `background_at`.

    Returns
    -------
    array, shape (frames, ...)

    Raises
    ------
    ValueError
        If there is no background frame, the shapes do not fit, a value is not finite, or one of the times is missing.
    """
    if len(background) == 0 or background.shape[1:] != frames.shape[1:]:
        raise ValueError(
            f"background: expected frames of shape {frames.shape[1:]}, at least one, found {background.shape}"
        )
    if not np.isfinite(frames).all() or not np.isfinite(background).all():
        raise ValueError("frames, background: expected finite values, found NaN or infinity")
    if times is None and background_times is None:
        return cast("Frames", frames - background.mean(axis=0))
    if times is None or background_times is None or np.shape(times) != (len(frames),):
        raise ValueError(
            f"times: expected one for each of {len(frames)} frames, and background_times, "
            f"found {np.shape(times) if times is not None else None}"
        )
    return cast("Frames", frames - background_at(background, background_times, times))
