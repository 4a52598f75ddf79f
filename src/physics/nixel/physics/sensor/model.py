"""The linear sensor model of EMVA standard 1288."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.arrays import check_workers
from nixel.physics.blocks import blocks, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from nixel.physics.sensor.bayer import Bayer

    Signal = float | NDArray[np.float64]

_BLOCK_PIXELS = 1 << 18
_QUANTISATION = 1 / 12  # DN^2, of rounding to whole numbers


@dataclass(frozen=True)
class Sensor:
    """Image sensor whose signal is linear in the light: EMVA standard 1288, release 4.0, linear model.

    A pixel collects Poisson-distributed electrons, of mean eta mu_p + mu_I t, from mu_p photons on average
    and from the dark current mu_I over the exposure time t, up to its full well. Reading adds normally
    distributed noise. The gain K turns electrons into digital numbers, on top of an offset; they are rounded
    and cut to the bits there are. Below saturation

        mean      mu_y = K (mu_I t + eta mu_p) + offset,
        variance  sigma_y^2 = K^2 (sigma_d^2 + mu_I t) + 1/12 + K^2 eta mu_p.

    The rounding noise is 1/12 as long as the noise before is about half a digital number or more.

    Parameters
    ----------
    quantum_efficiency : float or mapping of str to float
        eta, electrons per photon on the pixel's area, 0 to 1; with a Bayer mosaic one for each of "R", "G" and
        "B", at the wavelength of the light.
    gain : float
        K, the system's overall gain, DN per electron.
    dark_noise : float
        sigma_d, of reading in the dark, electrons, standard deviation; without the shot noise of the dark
        current.
    dark_current : float
        mu_I, electrons per second.
    offset : float
        Digital number without light and dark current (black level), DN.
    bit_depth : int
        1 to 16; the largest digital number is 2^bit_depth - 1.
    full_well : float
        Electrons that a pixel holds; infinity where the digital numbers end first.
    prnu : float
        Photo-response non-uniformity: standard deviation of the pixels' quantum efficiency over its mean.
    dsnu : float
        Dark-signal non-uniformity: standard deviation of the pixels' offsets, electrons.
    pattern_seed : int
        Which sensor of its kind: decides its fixed pattern of `prnu` and `dsnu`.
    bayer : Bayer, optional
        Colour filters. None: monochrome.
    shape : tuple of int, optional
        Rows and columns of the sensor; what `expose` takes may be smaller.
    pixel_size : float, optional
        Pitch of its pixels, metres.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    EMVA standard 1288, Standard for Characterization of Image Sensors and Cameras,
    release 4.0 Linear (2021), chapters 2 to 4.
    """

    quantum_efficiency: float | Mapping[str, float]
    gain: float
    dark_noise: float
    dark_current: float = 0.0
    offset: float = 0.0
    bit_depth: int = 12
    full_well: float = math.inf
    prnu: float = 0.0
    dsnu: float = 0.0
    pattern_seed: int = 0
    bayer: Bayer | None = None
    shape: tuple[int, int] | None = None
    pixel_size: float | None = None

    def __post_init__(self) -> None:
        efficiency = self.quantum_efficiency
        if isinstance(efficiency, (int, float)):
            values = {"quantum_efficiency": efficiency}
        elif self.bayer is None or set(efficiency) != {"R", "G", "B"}:
            raise ValueError(
                "quantum_efficiency: expected one number, or with a Bayer mosaic one for each of R, G and B, "
                f"found {efficiency!r}"
            )
        else:
            values = {f"quantum_efficiency of {colour}": value for colour, value in efficiency.items()}
        for name, value in values.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name}: expected 0 to 1 electron per photon, found {value!r}")
        if not (math.isfinite(self.gain) and self.gain > 0):
            raise ValueError(f"gain: expected a positive, finite number of DN/e-, found {self.gain!r}")
        for name, unit in (
            ("dark_noise", "e-"),
            ("dark_current", "e-/s"),
            ("offset", "DN"),
            ("prnu", "of the mean"),
            ("dsnu", "e-"),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: expected 0 or more ({unit}), finite, found {value!r}")
        if self.bit_depth not in range(1, 17):
            raise ValueError(f"bit_depth: expected 1 to 16 bits, found {self.bit_depth!r}")
        if not self.full_well > 0:
            raise ValueError(f"full_well: expected a positive number of e-, found {self.full_well!r}")
        if self.offset >= self.largest:
            raise ValueError(f"offset: expected less than {self.largest} DN, found {self.offset!r}")
        if self.shape is not None and (len(self.shape) != 2 or min(self.shape) < 1):
            raise ValueError(f"shape: expected rows and columns, each at least 1, found {self.shape!r}")
        if self.pixel_size is not None and not (math.isfinite(self.pixel_size) and self.pixel_size > 0):
            raise ValueError(
                f"pixel_size: expected a positive, finite number in m, found {self.pixel_size!r}"
            )

    @property
    def largest(self) -> int:
        """Largest digital number."""
        return int(2**self.bit_depth - 1)

    @property
    def saturation_capacity(self) -> float:
        """Electrons, those of the dark current included, from which on the signal no longer grows."""
        return min(self.full_well, (self.largest - self.offset) / self.gain)

    def efficiency(self, colour: str | None = None) -> float:
        """Quantum efficiency of a colour's pixels; of all pixels where they are alike.

        Raises
        ------
        ValueError
            If the pixels differ and no colour, or another than "R", "G" and "B", is given.
        """
        if isinstance(self.quantum_efficiency, (int, float)):
            return float(self.quantum_efficiency)
        if colour is None or colour not in self.quantum_efficiency:
            raise ValueError(f"colour: expected R, G or B, found {colour!r}")
        return float(self.quantum_efficiency[colour])

    def mean(self, photons: ArrayLike, *, exposure_time: float = 0.0, colour: str | None = None) -> Signal:
        """Mean digital number for a mean number of photons per pixel, DN, saturation left aside."""
        return self.gain * self._electrons(photons, exposure_time, colour) + self.offset

    def variance(
        self, photons: ArrayLike, *, exposure_time: float = 0.0, colour: str | None = None
    ) -> Signal:
        """Temporal variance of the digital number, DN^2, saturation left aside."""
        electrons = self._electrons(photons, exposure_time, colour)
        return self.gain**2 * (self.dark_noise**2 + electrons) + _QUANTISATION

    def snr(self, photons: ArrayLike, *, exposure_time: float = 0.0, colour: str | None = None) -> Signal:
        """Signal above the dark signal over its temporal standard deviation, saturation left aside."""
        light: Signal = self.gain * self.efficiency(colour) * np.asarray(photons, dtype=np.float64)
        return light / np.sqrt(self.variance(photons, exposure_time=exposure_time, colour=colour))

    def fixed_pattern(self, shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What differs from pixel to pixel and stays the same from exposure to exposure.

        Parameters
        ----------
        shape
            Rows and columns. Another shape has another pattern, not a part of this one.

        Returns
        -------
        response : ndarray, float32, (y, x)
            Relative quantum efficiency, of mean 1, not below 0.
        dark : ndarray, float32, (y, x)
            Dark signal beyond the mean, electrons.
        """
        response, dark = (
            np.random.default_rng([self.pattern_seed, which]).standard_normal(shape, dtype=np.float32)
            for which in (0, 1)
        )
        response *= np.float32(self.prnu)
        response += 1
        dark *= np.float32(self.dsnu)
        return np.maximum(response, 0, out=response), dark

    def expose(
        self,
        photons: NDArray[np.floating[Any]],
        *,
        exposure_time: float = 0.0,
        seed: int | np.random.SeedSequence | np.random.Generator,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.unsignedinteger[Any]]:
        """Record one frame, or several.

        Parameters
        ----------
        photons
            Mean number of photons on each pixel during the exposure, (..., y, x), float32 or float64, 0 or
            more. One frame for each of the leading axes; `numpy.broadcast_to` makes many frames of one scene.
        exposure_time
            For the dark current, seconds.
        seed
            The same seed gives the same frames. A generator is drawn from: two calls with it differ.
        workers
            Threads; the result does not depend on them.
        progress
            Called with (blocks of pixels done, blocks in all).

        Returns
        -------
        ndarray, (..., y, x)
            Digital numbers, uint8 for up to 8 bits, otherwise uint16.

        Raises
        ------
        ValueError
            If photons are no float array of two dimensions or more, are negative or not finite, or the
            exposure time is negative or not finite, or workers is below 1.
        """
        photons = np.asarray(photons)
        check_workers(workers)
        self._check_exposure_time(exposure_time)
        if photons.ndim < 2 or photons.size == 0:
            raise ValueError(f"photons: expected a non-empty (..., y, x) array, found shape {photons.shape}")
        if photons.dtype not in (np.float32, np.float64):
            raise ValueError(f"photons: expected float32 or float64, found {photons.dtype}")
        if not (photons.min() >= 0 and photons.max() < math.inf):
            raise ValueError("photons: expected 0 or more and finite on each pixel, found otherwise")
        shape = (photons.shape[-2], photons.shape[-1])
        efficiency = self._efficiency_map(shape)
        pattern = self.fixed_pattern(shape) if self.prnu or self.dsnu else None
        frames = np.empty(photons.shape, np.uint8 if self.bit_depth <= 8 else np.uint16)

        height = max(1, _BLOCK_PIXELS // shape[1])
        parts = [
            (*frame, rows) for frame in np.ndindex(*photons.shape[:-2]) for rows in blocks(shape[0], height)
        ]
        # A generator of its own for each block, so that the order of the threads does not matter.
        generators = np.random.default_rng(seed).spawn(len(parts))

        def read(number: int) -> None:
            block, generator = parts[number], generators[number]
            rows: slice = block[-1]
            light = photons[block] * efficiency[rows]
            if pattern is not None:
                light *= pattern[0][rows]
            signal = generator.poisson(light + self.dark_current * exposure_time).astype(np.float64)
            np.minimum(signal, self.full_well, out=signal)
            if self.dark_noise:
                signal += self.dark_noise * generator.standard_normal(signal.shape)
            if pattern is not None:
                signal += pattern[1][rows]
            signal *= self.gain
            signal += self.offset
            np.rint(signal, out=signal)
            frames[block] = np.clip(signal, 0, self.largest, out=signal)

        for done, _ in enumerate(in_order(read, range(len(parts)), workers), start=1):
            if progress is not None:
                progress(done, len(parts))
        return frames

    def _electrons(self, photons: ArrayLike, exposure_time: float, colour: str | None) -> Signal:
        """Mean number of electrons, of the light and of the dark current."""
        self._check_exposure_time(exposure_time)
        light: Signal = self.efficiency(colour) * np.asarray(photons, dtype=np.float64)
        return light + self.dark_current * exposure_time

    def _efficiency_map(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Mean quantum efficiency of each pixel, (y, x)."""
        if self.bayer is None or isinstance(self.quantum_efficiency, (int, float)):
            return np.broadcast_to(np.float64(self.efficiency()), shape)
        return self.bayer.spread(self.quantum_efficiency, shape)

    @staticmethod
    def _check_exposure_time(exposure_time: float) -> None:
        if not (math.isfinite(exposure_time) and exposure_time >= 0):
            raise ValueError(f"exposure_time: expected 0 s or more, finite, found {exposure_time!r}")
