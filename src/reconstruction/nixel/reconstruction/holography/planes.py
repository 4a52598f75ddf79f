"""The field at the sample and what it makes of itself in the recorded planes, for arrays of any library."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import array_api_compat
import numpy as np
import scipy.fft

from nixel.physics.arrays import Array, fftn, ifftn, like, namespace
from nixel.physics.optics import transfer_function

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nixel.reconstruction.holography.geometry import Optics

_AXES = (-2, -1)


class Planes:
    """A wave on a grid that is larger than the camera, at the sample and at each recorded plane.

    What the camera does not see around its window is reconstructed with the rest: it has its share in the
    fringes, and to take it as empty would make the window's edge diffract.

    Parameters
    ----------
    shape
        Rows and columns of the camera's window.
    distances
        From the sample to each recorded plane, metres.
    optics
        Wavelength, pixel size and index.
    margin
        Pixels around the window, at least.
    example
        A real array: the library, the device and the precision to work with.
    workers
        Threads of the Fourier transforms.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        distances: Sequence[float],
        optics: Optics,
        *,
        margin: int,
        example: Array,
        workers: int,
    ) -> None:
        self.xp = namespace(example)
        self.dtype = self.xp.complex64 if example.dtype == self.xp.float32 else self.xp.complex128
        self.grid = (
            scipy.fft.next_fast_len(shape[0] + 2 * margin),
            scipy.fft.next_fast_len(shape[1] + 2 * margin),
        )
        top, left = ((whole - inner) // 2 for whole, inner in zip(self.grid, shape, strict=True))
        self.inside = (slice(top, top + shape[0]), slice(left, left + shape[1]))
        self._workers = workers
        width = np.complex64 if self.dtype == self.xp.complex64 else np.complex128
        self.transfers = [
            like(transfer_function(self.grid, distance, dtype=width, **optics), example)
            for distance in distances
        ]

    def embed(self, window: Array, around: complex = 0.0) -> Array:
        """Put the camera's window into the grid, with `around` everywhere else."""
        device = array_api_compat.device(window)
        grid = self.xp.full(self.grid, around, dtype=self.dtype, device=device)
        grid[self.inside] = self.xp.astype(window, self.dtype)
        return grid

    def spectrum(self, field: Array) -> Array:
        """Fourier transform of a field on the grid."""
        return fftn(field, None, _AXES, workers=self._workers)

    def field(self, spectrum: Array) -> Array:
        """Field on the grid of its Fourier transform, which is used up."""
        return ifftn(spectrum, _AXES, workers=self._workers, overwrite=True)

    def impose(self, spectrum: Array, plane: int, amplitude: Array) -> tuple[Array, float]:
        """Give the wave the recorded amplitude in one plane: the projection onto what the camera saw.

        It is a step of length one along the negative gradient of half the squared misfit, too.

        Parameters
        ----------
        spectrum
            Of the field at the sample, complex, as the grid.
        plane
            Which of the distances.
        amplitude
            Square root of the recorded intensity, real, as the window.

        Returns
        -------
        array, float
            Spectrum of the new field at the sample, and the squared misfit of the old one's amplitude.
        """
        xp = self.xp
        wave = self.field(spectrum * self.transfers[plane])
        seen = wave[self.inside]
        magnitude = xp.abs(seen)
        # A wave of zero has no phase to keep: it stays zero.
        smallest = float(xp.finfo(magnitude.dtype).smallest_normal)
        scale = amplitude / xp.where(magnitude > smallest, magnitude, xp.ones_like(magnitude))
        difference = magnitude - amplitude
        misfit = float(xp.sum(difference * difference))
        wave[self.inside] = seen * scale
        result = self.spectrum(wave)
        result *= xp.conj(self.transfers[plane])
        return result, misfit


def default_margin(shape: tuple[int, int], reach: float, pixel_size: float) -> int:
    """Pixels around the window that diffract into it: the reach, but at most half the window's longer side."""
    return min(math.ceil(reach / pixel_size), max(shape) // 2)


def amplitude_of(hologram: Array) -> Array:
    """Square root of an intensity; what noise has made negative is dark."""
    xp = namespace(hologram)
    return xp.sqrt(xp.where(hologram > 0, hologram, xp.zeros_like(hologram)))


def check_margin(margin: int) -> None:
    """Refuse what is not a number of pixels.

    Raises
    ------
    ValueError
        If it is not an integer of 0 or more.
    """
    if not isinstance(margin, (int, np.integer)) or margin < 0:
        raise ValueError(f"margin: expected 0 or more pixels, found {margin!r}")


def check_holograms(name: str, holograms: Array, dimensions: int) -> None:
    """Refuse what is not a finite float array of so many dimensions.

    Raises
    ------
    ValueError
        If it is not.
    """
    axes = {2: "(y, x)", 3: "(plane, y, x)"}[dimensions]
    xp = namespace(holograms)
    if holograms.ndim != dimensions or 0 in holograms.shape:
        raise ValueError(f"{name}: expected a non-empty {axes} array, found shape {tuple(holograms.shape)}")
    if holograms.dtype not in (xp.float32, xp.float64):
        raise ValueError(f"{name}: expected float32 or float64, found {holograms.dtype}")
    if not bool(xp.all(xp.isfinite(holograms))):
        raise ValueError(f"{name}: expected finite values, found NaN or infinity")
