"""What the iterations of both paths share: the problem, its start, and the extrapolation's strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.physics.arrays import Array, namespace
from nixel.reconstruction.deconvolution.checks import transferred

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nixel.reconstruction.deconvolution.grid import Grid

Progress = Callable[[int, int], None]

# The gradient's direction fades below this share of the mean.
_SMALLEST_GRADIENT = 1e-3


@dataclass(frozen=True)
class Problem:
    """An image to deconvolve, prepared.

    Parameters
    ----------
    image : array
        Counts.
    background : float or array of the image's shape
    psf : ndarray, float64
        Of sum 1.
    weights : array, shape of the grid
        One over how much of each point the image sees; zero where the estimate stays dark.
    start : float
        Uniform start, positive.
    regularisation : float
        Strength of the total variation.
    grid : Grid
    """

    image: Array
    background: Array | float
    psf: NDArray[np.float64]
    weights: Array
    start: float
    regularisation: float
    grid: Grid

    @property
    def least(self) -> float:
        """What is added to the expected counts before they are divided by: the size of the transforms' errors.

        Light cannot be negative, rounding errors can: the iterations take the magnitude of what they transform.
        """
        xp = namespace(self.image)
        precision = xp.finfo(self.image.dtype)
        return max(float(precision.eps) * float(xp.max(self.image)), float(precision.smallest_normal))

    def joined(self) -> list[Array]:
        """Where the next sample is a neighbour in space, as `variation_factor` takes it for the whole grid."""
        smallest = _SMALLEST_GRADIENT * self.start
        return [transferred(values / smallest, self.image) for values in self.grid.joined()]


def momentum(product: float, square: float) -> float:
    """How far to extrapolate: the projection of the last correction on the one before, between 0 and 1.

    References
    ----------
    Biggs, Andrews, Appl. Opt. 36 (1997) 1766, eq. 10.
    """
    return min(max(product / square, 0.0), 1.0) if square > 0 else 0.0
