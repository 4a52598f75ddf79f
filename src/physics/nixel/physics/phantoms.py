"""Phantoms with known concentration, defined on the continuous plane, so that any grid can sample them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nixel.physics.grid import Grid

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Phantom:
    """A distribution of iron in the plane.

    Parameters
    ----------
    name : str
    concentration : callable
        (x, y) in m, any common shape, to mol(Fe)/m^3 of that shape.
    """

    name: str
    concentration: Callable[[Array, Array], Array]

    def rasterise(self, grid: Grid, *, oversampling: int = 8) -> NDArray[np.float64]:
        """Mean concentration of each voxel.

        Parameters
        ----------
        grid : Grid
        oversampling : int
            Points an axis over which a voxel is averaged.

        Returns
        -------
        array of float64, shape (ny, nx)
            In mol(Fe)/m^3.
        """
        fine = grid.refined(oversampling)
        x, y = fine.positions().T
        values = np.asarray(self.concentration(x, y), dtype=np.float64)
        ny, nx = grid.shape
        means: NDArray[np.float64] = values.reshape(ny, oversampling, nx, oversampling).mean(axis=(1, 3))
        return means


def _stenosis(x: Array, y: Array) -> Array:
    """A vessel of 4 mm that narrows to 1.6 mm, bends, and has a side branch; 100 mol/m^3 within."""
    centre = 2.0e-3 * np.sin(x / 5.0e-3)
    half_width = 2.0e-3 - 1.2e-3 * np.exp(-(((x - 0.5e-3) / 1.8e-3) ** 2))
    vessel = (np.abs(y - centre) < half_width) & (np.abs(x) < 8.0e-3)
    along = (x - 3.0e-3) * 0.5 + (y - 1.0e-3) * -0.866
    across = (x - 3.0e-3) * 0.866 + (y - 1.0e-3) * 0.5
    branch = (along > 0) & (along < 8.0e-3) & (np.abs(across) < 1.1e-3)
    return np.where(vessel | branch, 100.0, 0.0)


def _dots(x: Array, y: Array) -> Array:
    """Five round samples of 3 mm: four of falling concentration around one in the centre."""
    total = np.zeros(np.broadcast(x, y).shape)
    for cx, cy, value in ((0, 0, 100), (5.5, 5.5, 100), (-5.5, 5.5, 75), (-5.5, -5.5, 50), (5.5, -5.5, 25)):
        total += np.where(np.hypot(x - cx * 1e-3, y - cy * 1e-3) < 1.5e-3, float(value), 0.0)
    return total


PHANTOMS: dict[str, Callable[[Array, Array], Array]] = {"stenosis": _stenosis, "dots": _dots}


def phantom(name: str) -> Phantom:
    """Return the phantom of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    try:
        return Phantom(name, PHANTOMS[name])
    except KeyError:
        raise ValueError(f"phantom: expected one of {', '.join(PHANTOMS)}, found {name!r}") from None
