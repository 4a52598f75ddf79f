"""What the virtual microscope's sensor sees: a sample in coherent light, and how the sensor reads it. No sockets here.

The sample is a layer of particles, opaque discs and weak phase discs, at random places of the seed's. Its hologram is
that of `nixel.physics.optics.propagate`, sampled at the pixels' centres: the light is not integrated over the pixels.
A binned mode reads the mean of four pixels of one colour, with the noise of one pixel. Every mode has its own fixed
pattern, as `nixel.physics.sensor` makes it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.optics import propagate
from nixel.physics.sensor import imx219

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.acquisition.microscope_tables import Microscope

__all__ = ["SAMPLES", "Mode", "Scene", "modes"]

SAMPLES = ("particles", "empty")
_PHOTONS = (
    3e6  # on a pixel in the middle of the beam in a second: half of green's range in 2 ms at a gain of 1
)
_BEAM = 1.0  # radius at which the intensity is 1/e^2, of the sensor's diagonal
_PARTICLES = 64
_DIAMETERS = (4e-6, 40e-6)
_PHASE = 0.6  # rad, the largest of a phase disc


@dataclass(frozen=True)
class Mode:
    """One way to read the sensor.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of a frame.
    binned : bool
        Whether it is the mean of 2 x 2 pixels of a colour, over twice as many rows and columns.
    rate : float
        The most frames in a second.
    """

    shape: tuple[int, int]
    binned: bool
    rate: float


def modes(shape: tuple[int, int]) -> tuple[Mode, ...]:
    """Return the modes of a sensor of that many rows and columns: those of the kernel's driver for the IMX219.

    The whole sensor, the whole sensor binned, and the middle of it where the sensor is larger than that; the rates
    are those of two lanes.
    """
    rows, columns = shape
    found = [Mode(shape, False, 15.0), Mode((rows // 4 * 2, columns // 4 * 2), True, 30.0)]
    if rows >= 1080 and columns >= 1920:
        found.append(Mode((1080, 1920), False, 30.0))
    if rows >= 960 and columns >= 1280:
        found.append(Mode((480, 640), True, 58.0))
    return tuple(found)


class Scene:
    """The sample, its light and the sensor.

    Parameters
    ----------
    microscope : Microscope
    seed : int
        Of everything random: the same seed shows the same sample and gives the same frames.
    workers : int
        Threads.
    """

    def __init__(self, microscope: Microscope, seed: int, workers: int) -> None:
        self._optics, self._seed, self._workers = microscope, seed, workers
        # A full-size hologram has 32 MB.
        self._intensity = functools.lru_cache(maxsize=2)(self._new_intensity)
        self._transmission = functools.lru_cache(maxsize=1)(self._new_transmission)

    def photons(self, mode: Mode, sample: str, distance: float, exposure: float) -> NDArray[np.float32]:
        """Return the mean number of photons on each pixel of a frame, shape (y, x).

        Parameters
        ----------
        mode : Mode
        sample : str
            Of `SAMPLES`.
        distance : float
            From the sample to the sensor, m.
        exposure : float
            In s.
        """
        full = self._intensity(sample, distance)
        rows, columns = (n * (2 if mode.binned else 1) for n in mode.shape)
        # A whole number of mosaics from the corner, so that a frame's first pixel is a red one.
        top, left = ((n - m) // 4 * 2 for n, m in zip(full.shape, (rows, columns), strict=True))
        seen = full[top : top + rows, left : left + columns]
        if mode.binned:
            # Rows 0 and 2 of four are of one colour, so are rows 1 and 3.
            four = seen.reshape(rows // 4, 2, 2, columns // 4, 2, 2)
            seen = four.mean(axis=(1, 4)).reshape(mode.shape)
        return np.ascontiguousarray(seen * np.float32(_PHOTONS * exposure), dtype=np.float32)

    def expose(
        self, photons: NDArray[np.float32], exposure: float, gain: float, number: int
    ) -> NDArray[np.unsignedinteger[Any]]:
        """Return what the sensor reads, shape (y, x); `number` chooses the noise."""
        sensor = imx219(self._optics.wavelength, analogue_gain=gain, pattern_seed=self._seed)
        noise = np.random.default_rng([self._seed, number])
        return sensor.expose(photons, exposure_time=exposure, seed=noise, workers=self._workers)

    def transmission(self) -> NDArray[np.complex64]:
        """Return the sample's amplitude transmission, shape (y, x) of the whole sensor."""
        return self._transmission()

    def _new_intensity(self, sample: str, distance: float) -> NDArray[np.float32]:
        rows, columns = self._optics.shape
        y, x = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in (rows, columns))
        radius = np.float32(_BEAM * np.hypot(rows, columns))
        beam: NDArray[np.float32] = (
            np.exp(-2 * (y / radius) ** 2)[:, None] * np.exp(-2 * (x / radius) ** 2)[None, :]
        )
        if sample == "empty":
            return beam
        field = propagate(
            self.transmission() - 1,
            distance,
            wavelength=self._optics.wavelength,
            pixel_size=self._optics.pixel_size,
            medium_index=self._optics.medium_index,
            workers=self._workers,
        )
        field += 1  # what the particles leave alone
        intensity: NDArray[np.float32] = (field.real**2 + field.imag**2) * beam
        return intensity

    def _new_transmission(self) -> NDArray[np.complex64]:
        rows, columns = self._optics.shape
        pitch = self._optics.pixel_size
        random = np.random.default_rng(self._seed)
        whole = np.ones((rows, columns), np.complex64)
        largest = min(_DIAMETERS[1], min(rows, columns) * pitch / 4)
        for number in range(_PARTICLES):
            radius = random.uniform(min(_DIAMETERS[0], largest), largest) / 2 / pitch
            centre_y, centre_x = random.uniform(0, rows), random.uniform(0, columns)
            inside = 0.0 if number % 2 else np.exp(1j * random.uniform(0.1, _PHASE))
            top, left = (max(0, int(c - radius) - 2) for c in (centre_y, centre_x))
            part = whole[top : int(centre_y + radius) + 3, left : int(centre_x + radius) + 3]
            y, x = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]]
            # An edge as wide as a pixel, so that a particle is where it is and not where the nearest pixel is.
            covered = np.clip(radius - np.hypot(y - centre_y, x - centre_x) + 0.5, 0, 1)
            part *= 1 + covered * (inside - 1)
        return whole
