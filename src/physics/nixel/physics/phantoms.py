"""Phantoms with known concentration, defined on the continuum, so that any grid can sample them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nixel.physics.grid import Grid, centres

Array = NDArray[np.floating[Any]]
Concentration = Callable[[Array, Array, Array], Array]

DILUTION_FACTOR = 1.5


@dataclass(frozen=True)
class Phantom:
    """A distribution of iron in space.

    Parameters
    ----------
    name : str
    concentration : callable
        (x, y, z) in m, any common shape, to mol(Fe)/m^3 (equal to mmol/l) of that shape.
    """

    name: str
    concentration: Concentration

    def rasterise(self, grid: Grid, *, oversampling: int = 8) -> NDArray[np.float64]:
        """Mean concentration of each voxel.

        Parameters
        ----------
        grid : Grid
            One in the plane shows the plane z = 0.
        oversampling : int
            Points an axis over which a voxel is averaged.

        Returns
        -------
        array of float64, the grid's shape
            In mol(Fe)/m^3.

        Raises
        ------
        ValueError
            If oversampling is below one.
        """
        if oversampling < 1:
            raise ValueError(f"oversampling: expected one point an axis or more, found {oversampling!r}")
        flat = len(grid.shape) == 2
        points = (1 if flat else oversampling, oversampling, oversampling)
        shape, extent = (
            ((1, *grid.shape), (1.0, *grid.field_of_view)) if flat else (grid.shape, grid.field_of_view)
        )
        z, y, x = (
            centres(count * each, length) for count, length, each in zip(shape, extent, points, strict=True)
        )
        yy, xx = (axis.ravel() for axis in np.meshgrid(y, x, indexing="ij"))
        means = np.zeros(shape)
        for index, height in enumerate(z):  # a plane at a time, to keep the memory small
            values = np.asarray(self.concentration(xx, yy, np.full(xx.shape, height)), dtype=np.float64)
            fine = values.reshape(shape[1], oversampling, shape[2], oversampling)
            means[index // points[0]] += fine.mean(axis=(1, 3)) / points[0]
        return means.reshape(grid.shape)


def cylinder(
    radius: float, length: float, concentration: float, centre: Sequence[float] = (0.0, 0.0, 0.0)
) -> Phantom:
    """Build a cylinder along z.

    Parameters
    ----------
    radius, length : float
        In m.
    concentration : float
        In mol(Fe)/m^3.
    centre : sequence of float
        (x, y, z) in m.

    Raises
    ------
    ValueError
        If a length is not positive or the concentration is negative.
    """
    _check(concentration, radius=radius, length=length)
    cx, cy, cz = centre

    def inside(x: Array, y: Array, z: Array) -> Array:
        within = (np.hypot(x - cx, y - cy) < radius) & (np.abs(z - cz) < length / 2)
        return np.where(within, float(concentration), 0.0)

    return Phantom("cylinder", inside)


def cuboid(size: Sequence[float], concentration: float, centre: Sequence[float] = (0.0, 0.0, 0.0)) -> Phantom:
    """Build a box with edges along the axes.

    Parameters
    ----------
    size : sequence of float
        (x, y, z) in m.
    concentration : float
        In mol(Fe)/m^3.
    centre : sequence of float
        (x, y, z) in m.

    Raises
    ------
    ValueError
        If a length is not positive or the concentration is negative.
    """
    _check(concentration, size=min(size))

    def inside(x: Array, y: Array, z: Array) -> Array:
        within = np.ones(np.broadcast(x, y, z).shape, dtype=bool)
        for axis, middle, extent in zip((x, y, z), centre, size, strict=True):
            within &= np.abs(axis - middle) < extent / 2
        return np.where(within, float(concentration), 0.0)

    return Phantom("cuboid", inside)


def together(name: str, parts: Sequence[Phantom]) -> Phantom:
    """Join phantoms: the sum of their concentrations.

    Parameters
    ----------
    name : str
    parts : sequence of Phantom
    """

    def total(x: Array, y: Array, z: Array) -> Array:
        result: Array = np.zeros(np.broadcast(x, y, z).shape)
        for part in parts:
            result = result + part.concentration(x, y, z)
        return result

    return Phantom(name, total)


def dilution_series(
    count: int = 8, *, first: float = 100.0, factor: float = DILUTION_FACTOR
) -> NDArray[np.float64]:
    """Concentrations of a dilution series, 100 to 5.85 mol/m^3 by default.

    Parameters
    ----------
    count : int
    first : float
        In mol(Fe)/m^3.
    factor : float
        From each to the next.

    Returns
    -------
    array of float64, shape (count,)
        In mol(Fe)/m^3.

    Raises
    ------
    ValueError
        If count is below one or the others are not positive.
    """
    if count < 1 or not (math.isfinite(first) and first > 0 and math.isfinite(factor) and factor > 0):
        raise ValueError(
            "dilution_series: expected a count of one or more, a positive concentration and factor, "
            f"found {count!r}, {first!r}, {factor!r}"
        )
    return first / np.power(float(factor), np.arange(count, dtype=np.float64))


def _check(concentration: float, **lengths: float) -> None:
    if not (math.isfinite(concentration) and concentration >= 0):
        raise ValueError(f"concentration: expected zero or more in mol(Fe)/m^3, found {concentration!r}")
    for name, length in lengths.items():
        if not (math.isfinite(length) and length > 0):
            raise ValueError(f"{name}: expected a positive length in m, found {length!r}")


def _stenosis(x: Array, y: Array, z: Array) -> Array:
    """A round vessel of 4 mm that narrows to 1.6 mm, bends, and has a side branch; 100 mol/m^3 within."""
    centre = 2.0e-3 * np.sin(x / 5.0e-3)
    half_width = 2.0e-3 - 1.2e-3 * np.exp(-(((x - 0.5e-3) / 1.8e-3) ** 2))
    vessel = (np.hypot(y - centre, z) < half_width) & (np.abs(x) < 8.0e-3)
    along = (x - 3.0e-3) * 0.5 + (y - 1.0e-3) * -0.866
    across = (x - 3.0e-3) * 0.866 + (y - 1.0e-3) * 0.5
    branch = (along > 0) & (along < 8.0e-3) & (np.hypot(across, z) < 1.1e-3)
    return np.where(vessel | branch, 100.0, 0.0)


def _dots(x: Array, y: Array, z: Array) -> Array:
    """Five round samples of 3 mm: four of falling concentration around one in the centre."""
    total = np.zeros(np.broadcast(x, y, z).shape)
    for cx, cy, value in ((0, 0, 100), (5.5, 5.5, 100), (-5.5, 5.5, 75), (-5.5, -5.5, 50), (5.5, -5.5, 25)):
        distance = np.hypot(np.hypot(x - cx * 1e-3, y - cy * 1e-3), z)
        total += np.where(distance < 1.5e-3, float(value), 0.0)
    return total


def _dilution() -> Phantom:
    """Eight rods of 3 mm on a circle of 14 mm, each diluted by 1.5 from the one before."""
    angles = 2 * np.pi * np.arange(8) / 8
    return together(
        "dilution",
        [
            cylinder(1.5e-3, 10e-3, float(value), (7e-3 * math.cos(angle), 7e-3 * math.sin(angle), 0.0))
            for angle, value in zip(angles, dilution_series(), strict=True)
        ],
    )


def _cubes() -> Phantom:
    """Eight cubes of 2 mm at the corners of 12 mm x 12 mm x 6 mm, each diluted by 1.5 from the one before.

    This is the layout of the concentration phantom of Knopp et al., "OpenMPIData", Data in Brief 28 (2020) 104971.
    """
    corners = [(x, y, z) for z in (-3e-3, 3e-3) for y in (-6e-3, 6e-3) for x in (-6e-3, 6e-3)]
    return together(
        "dilution-cubes",
        [
            cuboid((2e-3,) * 3, float(value), corner)
            for corner, value in zip(corners, dilution_series(), strict=True)
        ],
    )


# Those with iron in the plane z = 0, which a grid in the plane shows.
PHANTOMS: dict[str, Concentration] = {
    "stenosis": _stenosis,
    "dots": _dots,
    "dilution": _dilution().concentration,
    "plateau": cuboid((10e-3, 10e-3, 10e-3), 50.0).concentration,
    "cylinder": cylinder(4e-3, 12e-3, 100.0).concentration,
}
# Those that only a volume shows.
VOLUME_PHANTOMS: dict[str, Concentration] = {"dilution-cubes": _cubes().concentration}


def phantom(name: str) -> Phantom:
    """Return the phantom of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    known = PHANTOMS | VOLUME_PHANTOMS
    try:
        return Phantom(name, known[name])
    except KeyError:
        raise ValueError(f"phantom: expected one of {', '.join(known)}, found {name!r}") from None
