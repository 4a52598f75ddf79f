"""Regular grids of voxels, centred on the origin."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def centres(count: int, extent: float) -> NDArray[np.float64]:
    """Centres of `count` equal cells that fill `extent` around zero, shape (count,), in the extent's unit."""
    return (np.arange(count, dtype=np.float64) - (count - 1) / 2) * (extent / count)


@dataclass(frozen=True)
class Grid:
    """A regular grid in the plane or in space, centred on the origin.

    Parameters
    ----------
    shape : tuple of int
        Voxels (ny, nx), or (nz, ny, nx) of a volume.
    field_of_view : tuple of float
        Extent (y, x), or (z, y, x), in m, from outer edge to outer edge.
    thickness : float
        Of the slice that a grid in the plane stands for, in m; a volume does not use it.

    Raises
    ------
    ValueError
        If there are not two or three axes, or a number is not positive and finite.
    """

    shape: tuple[int, ...]
    field_of_view: tuple[float, ...]
    thickness: float = 1e-3

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3):
            raise ValueError(f"shape: expected voxels (ny, nx) or (nz, ny, nx), found {self.shape}")
        if not all(isinstance(count, int | np.integer) and count >= 1 for count in self.shape):
            raise ValueError(f"shape: expected at least one voxel an axis, found {self.shape}")
        if len(self.field_of_view) != len(self.shape):
            raise ValueError(
                f"field_of_view: expected one extent for each of {len(self.shape)} axes, found {self.field_of_view}"
            )
        lengths = (*self.field_of_view, self.thickness)
        if not all(math.isfinite(length) and length > 0 for length in lengths):
            raise ValueError(
                "field_of_view, thickness: expected positive lengths in m, "
                f"found {self.field_of_view}, {self.thickness}"
            )

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size (y, x), or (z, y, x), in m."""
        return tuple(extent / count for extent, count in zip(self.field_of_view, self.shape, strict=True))

    @property
    def voxels(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def voxel_volume(self) -> float:
        """In m^3."""
        return math.prod(self.spacing) * (self.thickness if len(self.shape) == 2 else 1.0)

    def axes(self) -> tuple[NDArray[np.float64], ...]:
        """Voxel centres along each axis in the order of the shape, (y, x) or (z, y, x), in m."""
        return tuple(
            centres(count, extent) for count, extent in zip(self.shape, self.field_of_view, strict=True)
        )

    def positions(self) -> NDArray[np.float64]:
        """Voxel centres in m, shape (voxels, 2) or (voxels, 3).

        Columns are x, y and, of a volume, z; voxels are in C order of the shape, so that x runs fastest.
        """
        return np.stack(
            [axis.ravel() for axis in reversed(np.meshgrid(*self.axes(), indexing="ij"))], axis=-1
        )

    def refined(self, factor: int) -> "Grid":
        """The same field of view with `factor` times as many voxels an axis."""
        return Grid(tuple(count * factor for count in self.shape), self.field_of_view, self.thickness)
