"""A volume: numbers on a regular grid, with the place of the grid in the world.

Axes are (z, y, x), or (frames, z, y, x); z, y and x increase with the index, and coordinates are metres. Files that
speak of a patient are told that x runs to the left, y to the back and z to the head (LPS, as in DICOM and ITK): an
axial slice then stands on the screen as the array does, columns to the right and rows downwards. A file with other axes
is turned when it is read; one whose axes are oblique is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Volume"]

_DTYPES = tuple(
    np.dtype(name) for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
)
_SQUARE = 1e-4  # of a direction's length may point along another axis: what single precision leaves of zero


@dataclass(frozen=True)
class Volume:
    """Numbers on a regular grid.

    Parameters
    ----------
    data : array, shape (z, y, x) or (frames, z, y, x)
        float32, float64 or an integer of 8, 16 or 32 bits.
    spacing : tuple of float
        Metres from voxel to voxel along (z, y, x).
    origin : tuple of float
        Centre of the first voxel (z, y, x) in metres.
    name : str
        What the numbers are, with their unit, such as "Iron [mol/m^3]".
    interval : float, optional
        Seconds from frame to frame.

    Raises
    ------
    ValueError
        If the data is of another rank or dtype or empty, or a number is not what it should be. Complex data is
        refused, because viewers show real numbers: write its amplitude and its phase.
    """

    data: NDArray[Any]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    name: str = ""
    interval: float | None = None

    def __post_init__(self) -> None:
        """Check that this can be written."""
        data = np.asarray(self.data)
        if data.ndim not in (3, 4) or 0 in data.shape:
            raise ValueError(f"data: expected (z, y, x) or (frames, z, y, x), found shape {data.shape}")
        if data.dtype.kind == "c":
            raise ValueError(
                f"data: expected real numbers, found {data.dtype}; write amplitude and phase, each a volume"
            )
        if data.dtype.newbyteorder("=") not in _DTYPES:
            raise ValueError(
                f"data: expected {', '.join(str(d) for d in _DTYPES)}, found {data.dtype}; convert it first"
            )
        for what, values, positive in (("spacing", self.spacing, True), ("origin", self.origin, False)):
            good = len(values) == 3 and all(math.isfinite(v) and (v > 0 or not positive) for v in values)
            if not good:
                kind = "positive lengths" if positive else "lengths"
                raise ValueError(f"{what}: expected three {kind} in m (z, y, x), found {values}")
        if self.interval is not None and not (math.isfinite(self.interval) and self.interval > 0):
            raise ValueError(f"interval: expected a positive time in s, found {self.interval}")
        if any(ord(letter) < 32 for letter in self.name):
            raise ValueError(f"name: expected one line of text, found {self.name!r}")

    @property
    def frames(self) -> NDArray[Any]:
        """The data as (frames, z, y, x)."""
        return self.data if self.data.ndim == 4 else self.data[None]


def turned(
    data: NDArray[Any], directions: NDArray[np.float64], origin: NDArray[np.float64]
) -> tuple[NDArray[Any], tuple[float, float, float], tuple[float, float, float]]:
    """Turn the axes of a file's array to ours.

    Parameters
    ----------
    data : array, shape (a, b, c) or (a, b, c, frames)
        As indexed in the file, fastest first.
    directions : array of float, shape (3, 3)
        In row i, the step (x, y, z) in m, in LPS, from one voxel to the next along the file's axis i.
    origin : array of float, shape (3,)
        Centre of the first voxel (x, y, z) in m, in LPS.

    Returns
    -------
    data : array, shape (z, y, x) or (frames, z, y, x)
        C-ordered, in the machine's byte order.
    spacing, origin : tuple of float
        (z, y, x), m.

    Raises
    ------
    ValueError
        If the axes are oblique, or a step is zero or not finite.
    """
    if not np.isfinite(directions).all() or not np.isfinite(origin).all():
        raise ValueError("expected finite directions and origin, found others")
    along = np.abs(directions).argmax(axis=1)
    lengths = np.linalg.norm(directions, axis=1)
    if (lengths == 0).any():
        raise ValueError("expected steps between voxels, found one of length zero")
    off = np.abs(directions / lengths[:, None])
    off[np.arange(3), along] = 0
    if sorted(along) != [0, 1, 2] or off.max() > _SQUARE:
        raise ValueError(
            "expected axes along x, y and z, found oblique ones; resample the volume in a viewer to straight axes first"
        )
    # Axis i of the file runs along along[i]; ours are z, y, x.
    order = [int(np.flatnonzero(along == axis)[0]) for axis in (2, 1, 0)]
    volume = data.transpose(*([3] if data.ndim == 4 else []), *order)
    start = np.array(origin, dtype=np.float64)
    spacing = []
    for ours, theirs in enumerate(order):
        axis = 2 - ours
        step = float(directions[theirs, axis])
        spacing.append(abs(step))
        if step < 0:
            place = ours - 3
            start[axis] += step * (volume.shape[place] - 1)
            volume = np.flip(volume, place)
    native = np.ascontiguousarray(volume, dtype=volume.dtype.newbyteorder("="))
    z, y, x = start[::-1]
    return native, (spacing[0], spacing[1], spacing[2]), (float(z), float(y), float(x))
