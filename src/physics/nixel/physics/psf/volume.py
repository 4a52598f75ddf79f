"""The grid of a point spread function: which of its samples differ, and how the others follow from them.

The centre lies at (n - 1)/2 on each axis, so that a plane is symmetric about both of its axes. Only samples at
distinct radii (or, for pixels, in distinct places of one octant or quadrant) are computed.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.blocks import in_order
from nixel.physics.checks import check_positive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Volume:
    """Shape, spacing and dtype of a result, checked.

    Parameters
    ----------
    shape : tuple of int
        Planes, rows and columns.
    spacing : tuple of float
        Metres between planes, rows and columns.
    dtype : numpy.dtype
        float32 or float64.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    dtype: np.dtype[Any]

    @property
    def stage(self) -> NDArray[np.float64]:
        """Stage position of each plane, metres, symmetric about zero."""
        planes = self.shape[0]
        return self.spacing[0] * (np.arange(planes, dtype=np.float64) - (planes - 1) / 2)

    @property
    def last_stage(self) -> float:
        """Largest stage position, metres."""
        return self.spacing[0] * (self.shape[0] - 1) / 2


def check_volume(shape: Sequence[int], spacing: Sequence[float], dtype: DTypeLike) -> Volume:
    """Check what describes a grid.

    Parameters
    ----------
    shape
        Three lengths of one or more.
    spacing
        Three distances in metres; or two, of planes and of pixels.
    dtype
        float32 or float64.

    Returns
    -------
    Volume

    Raises
    ------
    ValueError
        If one of them is something else.
    """
    try:
        lengths = tuple(operator.index(length) for length in shape)
    except TypeError:
        lengths = ()
    if len(lengths) != 3 or min(lengths) < 1:
        raise ValueError(f"shape: expected three lengths (z, y, x) of 1 or more, found {shape!r}")
    try:
        distances = tuple(spacing)
    except TypeError:
        distances = ()
    if len(distances) not in (2, 3):
        raise ValueError(f"spacing: expected distances (z, y, x) or (z, xy) in m, found {spacing!r}")
    dz, dy, dx = (check_positive("spacing", distance, "m") for distance in (*distances[:2], distances[-1]))
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise ValueError(f"dtype: expected float32 or float64, found {dtype!r}") from None
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype: expected float32 or float64, found {found}")
    return Volume((lengths[0], lengths[1], lengths[2]), (dz, dy, dx), found)


@dataclass(frozen=True)
class Samples:
    """The distinct samples of a plane.

    Parameters
    ----------
    y, x : ndarray, float64, (distinct,)
        Where one representative of each lies, metres from the centre, not negative.
    index : ndarray, intp, ((rows + 1) // 2, columns)
        Which of them each sample of the plane's lower half equals, from the middle row down.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    index: NDArray[np.intp]

    @property
    def radii(self) -> NDArray[np.float64]:
        """Distance of each representative from the centre, metres."""
        return np.hypot(self.y, self.x)


def distinct_samples(volume: Volume, *, by: str) -> Samples:
    """Find the samples that differ in a plane of known symmetry.

    Parameters
    ----------
    volume
        Its shape and spacing.
    by
        "radius": all at one radius are equal; "octant": equal under flips and, for square pixels, under exchange
        of x and y; "quadrant": under flips only.

    Returns
    -------
    Samples
    """
    (_, rows, columns), (_, dy, dx) = volume.shape, volume.spacing
    # Twice the distance from the centre in pixels, an integer.
    a = np.arange(rows % 2 ^ 1, rows, 2)[:, None]
    b = np.arange(columns % 2 ^ 1, columns, 2)[None, :]
    key: NDArray[Any]
    if by == "radius":
        key = a**2 + b**2 if dy == dx else np.square(a * dy) + np.square(b * dx)
    elif by == "octant" and dy == dx:
        key = np.maximum(a, b) * max(rows, columns) + np.minimum(a, b)
    else:
        key = a * columns + b
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    quadrant = inverse.reshape(key.shape)
    y, x = np.unravel_index(first, key.shape)
    across = np.abs(2 * np.arange(columns) - (columns - 1)) // 2
    index = np.ascontiguousarray(quadrant[:, across], dtype=np.intp)
    return Samples(a[y, 0] * (dy / 2), b[0, x] * (dx / 2), index)


def run(
    tasks: Sequence[Callable[[], None]], workers: int, progress: Callable[[int, int], None] | None
) -> None:
    """Do independent tasks in so many threads, and tell of each that is done."""
    for done, _ in enumerate(in_order(lambda task: task(), tasks, workers), 1):
        if progress is not None:
            progress(done, len(tasks))


def fill(
    volume: Volume,
    samples: Samples,
    values: NDArray[np.float64],
    *,
    workers: int,
) -> NDArray[Any]:
    """Spread the values of distinct samples over the grid, and scale the largest to one.

    Parameters
    ----------
    volume
        The result's grid.
    samples
        The distinct ones.
    values : ndarray, float64, (planes, distinct)
        Their values; overwritten.
    workers
        Threads.

    Returns
    -------
    ndarray, (planes, rows, columns)
    """
    values /= values.max()
    scaled = values.astype(volume.dtype, copy=False)
    result = np.empty(volume.shape, volume.dtype)
    half = volume.shape[1] // 2

    def spread(plane: int) -> None:
        # With mode="clip" NumPy writes to `out` itself; every index is valid.
        np.take(scaled[plane], samples.index, out=result[plane, half:], mode="clip")
        result[plane, :half] = result[plane, : -half - 1 : -1]

    run([partial(spread, plane) for plane in range(volume.shape[0])], workers, None)
    return result
