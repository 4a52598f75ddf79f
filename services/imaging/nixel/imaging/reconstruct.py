"""From a measurement file and a calibration file to the numbers of a picture: one function of its inputs."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Reconstructed:
    """A picture's numbers.

    Parameters
    ----------
    pixels : array of float32, shape (frames, y, x)
        Concentration of iron in mol/m^3.
    field_of_view : tuple of float
        (y, x) in m.
    """

    pixels: NDArray[np.float32]
    field_of_view: tuple[float, float]

    @property
    def pixels_sha256(self) -> str:
        """Hash of the numbers with their shape and type."""
        header = f"{self.pixels.dtype.str}{self.pixels.shape}".encode()
        return hashlib.sha256(header + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()
