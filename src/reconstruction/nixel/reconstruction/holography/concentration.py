"""How concentrated the edges of the back-propagated field are: a quick look at each distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from scipy.signal.windows import tukey

from nixel.physics.optics import padded_shape, transfer_function

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.reconstruction.holography.geometry import Optics

_TAPER = 0.1  # share of the window over which the edges fade, so that they do not diffract
_SIGNIFICANCE = 6.0  # standard deviations
_SURROGATES = 16
_WORTH_A_LOOK = 0.2  # of the highest maximum's height over the median
_MOST_CANDIDATES = 5


class Concentration:
    """The focus criterion of holograms of one shape and optics, with what it needs prepared once."""

    def __init__(self, hologram: NDArray[Any], optics: Optics) -> None:
        rows, columns = hologram.shape
        self._window = np.outer(tukey(rows, _TAPER), tukey(columns, _TAPER)).astype(hologram.dtype)
        self._inside = (slice(rows), slice(columns))
        self._padded = padded_shape((rows, columns))
        self._optics = optics
        self._dtype = np.result_type(hologram.dtype, np.complex64)
        fy = scipy.fft.fftfreq(self._padded[0])[:, None]
        fx = scipy.fft.fftfreq(self._padded[1])[None, :]
        self._gradient = (fx + 1j * fy).astype(self._dtype)

    def spectrum(self, contrast: NDArray[Any]) -> NDArray[Any]:
        """Spectrum of the complex gradient of what the sample adds, (y, x)."""
        result: NDArray[Any] = scipy.fft.fft2(contrast * self._window, s=self._padded)
        result *= self._gradient
        return result

    def transfer(self, distance: float) -> NDArray[Any]:
        """Transfer function that goes back by `distance`."""
        return transfer_function(self._padded, -distance, dtype=self._dtype, **self._optics)

    def __call__(self, spectrum: NDArray[Any], transfer: NDArray[Any]) -> tuple[float, float]:
        """Give <|g|^4> / <|g|^2>^2 and <|g|^3> / <|g|^2>^1.5."""
        field = scipy.fft.ifft2(spectrum * transfer, overwrite_x=True)[self._inside]
        energy = field.real**2 + field.imag**2
        mean = float(energy.mean(dtype=np.float64))
        third = float((energy * np.sqrt(energy)).mean(dtype=np.float64))
        return float((energy * energy).mean(dtype=np.float64)) / mean**2, third / mean**1.5

    def stands_out(self, hologram: NDArray[Any], distance: float, height: float) -> bool:
        """Tell whether holograms of the same spectrum without any focus stay well below this height there."""
        transfer = self.transfer(distance)
        without = [
            self(self.spectrum(surrogate), transfer)[0] for surrogate in surrogates(hologram, _SURROGATES)
        ]
        return height > float(np.mean(without) + _SIGNIFICANCE * np.std(without, ddof=1))


def surrogates(hologram: NDArray[Any], count: int) -> list[NDArray[Any]]:
    """Holograms less their mean, of the same spectrum with random phases: they have no focus."""
    # A fixed seed: the answer must be the same each time, and the phases only need to be unrelated to the
    # object's.
    generator = np.random.default_rng(0)
    magnitude = np.abs(scipy.fft.rfft2(hologram - hologram.mean()))
    phases = (np.angle(scipy.fft.rfft2(generator.standard_normal(hologram.shape))) for _ in range(count))
    return [
        scipy.fft.irfft2(magnitude * np.exp(1j * phase), s=hologram.shape).astype(hologram.dtype)
        for phase in phases
    ]


def candidates(distances: NDArray[np.float64], *curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances of the local maxima of the curves that are worth a closer look, increasing.

    Of neighbouring ones the higher stands for both.
    """
    found: dict[int, float] = {}
    for values in curves:
        inner = values[1:-1]
        maxima = np.flatnonzero((inner >= values[:-2]) & (inner >= values[2:])) + 1
        heights = values[maxima] - np.median(values)
        for index, height in zip(
            maxima.tolist(), heights / max(float(heights.max(initial=0)), 1e-30), strict=True
        ):
            if height >= _WORTH_A_LOOK:
                found[index] = max(found.get(index, 0.0), float(height))
    kept: list[int] = []
    for index in sorted(found, key=lambda i: -found[i]):
        if all(abs(index - other) > 1 for other in kept) and len(kept) < _MOST_CANDIDATES:
            kept.append(index)
    return distances[sorted(kept)]
