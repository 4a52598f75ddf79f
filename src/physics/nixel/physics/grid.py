"""Regular grids of voxels, centred on the origin."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """A regular grid in the plane, centred on the origin.

    Parameters
    ----------
    shape : tuple of int
        Voxels (ny, nx).
    field_of_view : tuple of float
        Extent (y, x) in m, from outer edge to outer edge.
    thickness : float
        Of the slice, in m.

    Raises
    ------
    ValueError
        If a number is not positive.
    """

    shape: tuple[int, int]
    field_of_view: tuple[float, float]
    thickness: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueError(f"shape: expected at least one voxel an axis, found {self.shape}")
        if not min(*self.field_of_view, self.thickness) > 0:
            raise ValueError(
                "field_of_view, thickness: expected positive lengths in m, "
                f"found {self.field_of_view}, {self.thickness}"
            )

    @property
    def spacing(self) -> tuple[float, float]:
        """Voxel size (y, x) in m."""
        return self.field_of_view[0] / self.shape[0], self.field_of_view[1] / self.shape[1]

    @property
    def voxel_volume(self) -> float:
        """In m^3."""
        return self.spacing[0] * self.spacing[1] * self.thickness

    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Voxel centres along y, shape (ny,), and along x, shape (nx,), in m."""
        y, x = (
            (np.arange(count, dtype=np.float64) - (count - 1) / 2) * step
            for count, step in zip(self.shape, self.spacing, strict=True)
        )
        return y, x

    def positions(self) -> NDArray[np.float64]:
        """Voxel centres, shape (voxels, 2), columns x and y in m, voxels in C order of (y, x)."""
        y, x = np.meshgrid(*self.axes(), indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=-1)

    def refined(self, factor: int) -> "Grid":
        """The same field of view with `factor` times as many voxels an axis."""
        return Grid((self.shape[0] * factor, self.shape[1] * factor), self.field_of_view, self.thickness)
