"""How well a distance explains a hologram: the cost of the best sample that would have made it from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.reconstruction.holography.geometry import Optics, diffraction_reach
from nixel.reconstruction.holography.momentum import iterate
from nixel.reconstruction.holography.planes import Planes, amplitude_of, default_margin
from nixel.reconstruction.holography.total_variation import TotalVariation

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARIATION = 0.02  # weight, in units of the illuminating wave
# Weight and steps: first coarse shapes, then their detail. From the first weight on 0.1 or less, the retrieval of
# a disc that delays by half a turn ends in a picture of rings.
_COARSE_TO_FINE = ((0.3, 30), (0.1, 20), (VARIATION, 20))
_RELAXATION = 0.95
_POLISH = 20
_INNER_STEPS = 3


@dataclass(frozen=True)
class Explanation:
    """A sample that explains a hologram.

    Attributes
    ----------
    distance
        Of the sample, metres.
    wave
        At the camera, with the recorded amplitude and the retrieved phase, complex, (y, x).
    misfit
        Half the squared misfit of the amplitude, summed over the pixels.
    variation
        Weighted total variation of the sample inside the window.
    """

    distance: float
    wave: NDArray[np.complexfloating[Any, Any]]
    misfit: float
    variation: float

    @property
    def cost(self) -> float:
        """What is minimised: misfit and variation."""
        return self.misfit + self.variation


def explain(light: NDArray[Any], distance: float, optics: Optics) -> Explanation:
    """Retrieve the phase that a hologram has lost, from no knowledge of it.

    Relaxed averaged alternating reflections between what the camera saw and what is possible (|t| <= 1, little
    total variation), the weight of the variation falling: unlike projections they leave what agrees only nearly
    with both. Projections end it.

    Parameters
    ----------
    light
        Hologram, (y, x), 0 or more, 1 where there is no sample.
    distance
        From the sample to the recorded plane, metres.
    optics
        Wavelength, pixel size and index.

    Returns
    -------
    Explanation

    References
    ----------
    Luke, "Relaxed averaged alternating reflections for diffraction imaging", Inverse Problems 21, 37 (2005).
    """
    planes, amplitude = _prepare(light, distance, optics)
    field = _back(planes, amplitude)
    for weight, steps in _COARSE_TO_FINE:
        smooth = TotalVariation(weight, _INNER_STEPS)
        for _ in range(steps):
            seen = _seen(planes, field, amplitude)[0]
            # b/2 (R_S R_M + 1) + (1 - b) P_M, with the reflections R = 2 P - 1.
            mirrored = 2 * seen - field
            reflected = 2 * _possible(smooth, mirrored) - mirrored
            field += reflected
            field *= _RELAXATION / 2
            field += (1 - _RELAXATION) * seen
    return _finish(planes, amplitude, field, distance, _POLISH)


def explain_from(
    light: NDArray[Any], phase: NDArray[Any], distance: float, optics: Optics, steps: int
) -> Explanation:
    """Retrieve the phase from one at the camera that is nearly right, by accelerated projections.

    Parameters
    ----------
    light, distance, optics
        As of `explain`.
    phase
        Of the wave at the camera, (y, x): any complex numbers of that phase.
    steps
        Number of iterations.

    Returns
    -------
    Explanation
    """
    planes, amplitude = _prepare(light, distance, optics)
    wave = amplitude * _sign(phase)
    return _finish(planes, amplitude, _back(planes, wave), distance, steps)


def _prepare(light: NDArray[Any], distance: float, optics: Optics) -> tuple[Planes, NDArray[Any]]:
    shape = (light.shape[0], light.shape[1])
    margin = default_margin(shape, diffraction_reach(distance, **optics), optics["pixel_size"]) // 2
    planes = Planes(shape, [distance], optics, margin=margin, example=light, workers=1)
    return planes, amplitude_of(light)


def _back(planes: Planes, wave: NDArray[Any]) -> NDArray[Any]:
    """Field at the sample of a wave at the camera, 1 around it."""
    result: NDArray[Any] = planes.field(planes.spectrum(planes.embed(wave, 1.0)) * planes.transfers[0].conj())
    return result


def _seen(planes: Planes, field: NDArray[Any], amplitude: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Field with the recorded amplitude, and the squared misfit of the one it is made of."""
    spectrum, misfit = planes.impose(planes.spectrum(field), 0, amplitude)
    return planes.field(spectrum), misfit


def _possible(smooth: TotalVariation, field: NDArray[Any]) -> NDArray[Any]:
    field = smooth(field)
    result: NDArray[Any] = field / np.maximum(np.abs(field), 1)
    return result


def _finish(
    planes: Planes, amplitude: NDArray[Any], field: NDArray[Any], distance: float, steps: int
) -> Explanation:
    smooth = TotalVariation(VARIATION, _INNER_STEPS)

    def step(point: NDArray[Any]) -> tuple[NDArray[Any], float]:
        seen, misfit = _seen(planes, point, amplitude)
        return _possible(smooth, seen), misfit

    field = iterate(step, field, steps, acceleration=True, progress=None)
    wave = planes.field(planes.spectrum(field) * planes.transfers[0])[planes.inside]
    misfit = float(((np.abs(wave) - amplitude) ** 2).sum(dtype=np.float64)) / 2
    sample = field[planes.inside]
    down, right = np.diff(sample, axis=0)[:, :-1], np.diff(sample, axis=1)[:-1]
    lengths = np.sqrt(np.abs(down) ** 2 + np.abs(right) ** 2)
    variation = VARIATION * float(lengths.sum(dtype=np.float64))
    return Explanation(distance, amplitude * _sign(wave), misfit, variation)


def _sign(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers of modulus 1 with the phase of these."""
    size = np.abs(values)
    result: NDArray[Any] = np.where(size > 0, values / np.where(size > 0, size, 1), 1).astype(values.dtype)
    return result
