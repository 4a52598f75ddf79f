"""Coils of circular loops: their field per unit current at any place."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ellipe, ellipk

from nixel.physics.checks import check_all_positive
from nixel.physics.threads import linear_algebra_threads

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class CircularLoop:
    """A thin circular loop.

    Parameters
    ----------
    radius : float
        In m.
    centre : tuple of float
        (x, y, z) in m.
    normal : tuple of float
        Direction of the axis (x, y, z), any length.
    turns : float

    Raises
    ------
    ValueError
        If the radius is not positive, a number is not finite or the normal is zero.

    References
    ----------
    Smythe, Static and Dynamic Electricity, 3rd ed. (1968), section 7.10.
    """

    radius: float
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    normal: tuple[float, float, float] = (0.0, 0.0, 1.0)
    turns: float = 1.0

    def __post_init__(self) -> None:
        check_all_positive(radius=self.radius)
        numbers = (*self.centre, *self.normal, self.turns)
        if not all(map(math.isfinite, numbers)) or not any(self.normal):
            raise ValueError(
                f"centre, normal, turns: expected finite numbers and a direction, found {numbers}"
            )

    @linear_algebra_threads(1)
    def field_per_current(self, positions: Array) -> NDArray[np.float64]:
        """Magnetic field per unit current, H/I.

        Parameters
        ----------
        positions : array of float, shape (voxels, 3)
            In m; on the wire itself the field is infinite.

        Returns
        -------
        array of float64, shape (voxels, 3)
            In 1/m.
        """
        axis = np.asarray(self.normal, dtype=np.float64)
        axis /= np.linalg.norm(axis)
        relative = np.asarray(positions, dtype=np.float64) - np.asarray(self.centre)
        height = relative @ axis
        across = relative - height[:, None] * axis
        distance = np.linalg.norm(across, axis=-1)
        a = self.radius
        far, near = (a + distance) ** 2 + height**2, (a - distance) ** 2 + height**2
        m = 4.0 * a * distance / far
        first, second = ellipk(m), ellipe(m)
        common = self.turns / (2.0 * np.pi * np.sqrt(far))
        along = common * (first + (a**2 - distance**2 - height**2) / near * second)
        # height/distance (-K + (a^2 + r^2 + z^2)/near E) tends to zero on the axis.
        off_axis = distance > 1e-9 * a
        safe = np.where(off_axis, distance, 1.0)
        radial = common * height / safe * (-first + (a**2 + distance**2 + height**2) / near * second)
        radial = np.where(off_axis, radial, 0.0)
        result: NDArray[np.float64] = along[:, None] * axis + (radial / safe)[:, None] * across
        return result
