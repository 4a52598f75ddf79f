"""The distance of an in-line hologram from the hologram alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from scipy.signal.windows import tukey

from nixel.physics.optics import padded_shape, transfer_function
from nixel.reconstruction.holography.geometry import Optics, diffraction_reach, search_distances
from nixel.reconstruction.holography.planes import Planes, default_margin
from nixel.reconstruction.holography.retrieval import retrieve
from nixel.reconstruction.holography.total_variation import TotalVariation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_TAPER = 0.1  # share of the window over which the edges fade, so that they do not diffract
_SECTORS = 8  # of half the spectrum: the other half of a real hologram's is its mirror image
_MODEL_ERROR = 0.1  # of the peak's half width; see autofocus
_SIGNIFICANCE = 6.0  # standard deviations above a hologram without focus
_SURROGATES = 16
_STEPS_OF_ROUNDS = (17, 7)  # of phase retrieval
_ITERATIONS = 15
_VARIATION = 0.02  # weight, in units of the illuminating wave


class FocusNotFoundError(ValueError):
    """No distance in the searched range stands out as the focus."""


@dataclass(frozen=True)
class AutofocusResult:
    """Where the hologram is in focus.

    Attributes
    ----------
    distance
        Metres.
    uncertainty
        One standard uncertainty, metres: `noise` and `model` added in quadrature.
    noise
        Jackknife over sectors of the spectrum, metres.
    model
        Allowance for the twin image and |s|^2, metres.
    distances, criterion
        The curve of the coarse search: metres, and the dimensionless concentration (2 for a speckle field
        without focus), float64, (n,).
    """

    distance: float
    uncertainty: float
    noise: float
    model: float
    distances: NDArray[np.float64]
    criterion: NDArray[np.float64]


def autofocus(
    hologram: NDArray[Any],
    distances: NDArray[np.float64] | None = None,
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> AutofocusResult:
    """Find the distance at which the edges of the back-propagated field are the most concentrated.

    The criterion is <|g|^4> / <|g|^2>^2 of the complex gradient g = (d/dx + i d/dy) u of the back-propagated
    contrast u. Propagation keeps the energy <|g|^2>, so only its concentration changes. The gradient of the
    complex field, not of its modulus, is as sharp for a phase object as for an absorbing one, and costs one
    Fourier transform. The highest maximum inside the range is refined on finer grids and by a parabola.

    The twin image and |s|^2 still move the peak, for phase objects by half a depth of field and more. So the
    wave's phase at the camera is retrieved for the distance found (see `reconstruct_single`), and the
    concentration of this wave, which has hardly a twin image any more, gives a better distance; twice. There
    it is <|g|^3> / <|g|^2>^1.5: a phase object is a lens, and the bright spot behind it must not count for more
    than its edges.

    The uncertainty adds two parts in quadrature. *Noise*: the delete-one jackknife over eight sectors of the
    spectrum, whose noise is independent. *Model*: what is left of the twin image and |s|^2, 0.1 of the peak's
    half width at half height.

    Parameters
    ----------
    hologram
        Contrast hologram, (y, x), float32 or float64, mean about 1.
    distances
        Where to look, metres, increasing, at least three, about a depth of field apart. None:
        `search_distances`.
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.
    progress
        Called with (steps done, steps in all).

    Returns
    -------
    AutofocusResult

    Raises
    ------
    FocusNotFoundError
        If the criterion has no maximum inside the range, or none that stands six standard deviations above
        holograms of the same spectrum with random phases, which have no focus.
    ValueError
        If the hologram is not a finite two-dimensional float array, or the distances are not as said.

    References
    ----------
    Concentration of the complex gradient as in: Zhang, Wang, Chen, et al., "Edge
    sparsity criterion for robust holographic autofocusing", Optics Letters 42, 3824 (2017), there with the
    Tamura coefficient.
    """
    hologram = np.asarray(hologram)
    if hologram.ndim != 2 or min(hologram.shape) < 16:
        raise ValueError(f"hologram must be a (y, x) array of at least 16 x 16, found shape {hologram.shape}")
    if hologram.dtype not in (np.float32, np.float64) or not np.isfinite(hologram).all():
        raise ValueError(f"hologram must be finite float32 or float64, found {hologram.dtype} or NaN")
    optics = Optics(wavelength=wavelength, pixel_size=pixel_size, medium_index=medium_index)
    if distances is None:
        distances = search_distances(hologram.shape, **optics)
    distances = np.asarray(distances, dtype=np.float64)
    if distances.ndim != 1 or len(distances) < 3 or not (np.diff(distances) > 0).all():
        raise ValueError("distances must be at least three increasing numbers in metres")
    if np.ptp(hologram) == 0:
        raise FocusNotFoundError("the hologram has the same value everywhere: there is nothing to focus on")

    concentration = _Concentration(hologram, optics)
    spectrum = concentration.spectrum(hologram - hologram.mean())
    refinements = (9, 9)
    total = len(distances) + sum(refinements) + _SURROGATES + 2 + sum(steps + 1 for steps in _STEPS_OF_ROUNDS)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    def curve(part: NDArray[Any], at: NDArray[np.float64], power: int = 4) -> NDArray[np.float64]:
        values = np.empty(len(at))
        for index, distance in enumerate(at):
            values[index] = concentration(part, concentration.transfer(distance), power)
            step()
        return values

    criterion = curve(spectrum, distances)
    peak = _highest_inside(criterion)
    if peak is None:
        raise FocusNotFoundError(
            f"the focus criterion has no maximum between {distances[0]:g} m and {distances[-1]:g} m: "
            "look in a wider or another range"
        )
    fine = np.linspace(distances[peak - 1], distances[peak + 1], refinements[0])
    values = curve(spectrum, fine)
    best = int(np.clip(values.argmax(), 1, len(fine) - 2))
    fine = np.linspace(fine[best - 1], fine[best + 1], refinements[1])
    values = curve(spectrum, fine)
    centre, height = float(fine[values.argmax()]), float(values.max())
    _require_significance(concentration, hologram, centre, height, step)

    base = float(np.median(criterion))
    width = _half_width(distances, criterion, peak, height, base)
    half = min(width / 2, (distances[peak + 1] - distances[peak - 1]) / 2)
    offsets = np.linspace(-half, half, 5)
    transfers = [concentration.transfer(centre + offset) for offset in offsets]
    step()

    def vertex(part: NDArray[Any]) -> float:
        return _vertex(offsets, np.array([concentration(part, transfer) for transfer in transfers]))

    distance = centre + vertex(spectrum)
    without = np.array([vertex(np.where(concentration.sector == k, 0, spectrum)) for k in range(_SECTORS)])
    noise = math.sqrt((_SECTORS - 1) / _SECTORS * float(((without - without.mean()) ** 2).sum()))
    # The first round looks as far as the bias may reach, the second closely.
    for reach, steps in zip((2 * width, half), _STEPS_OF_ROUNDS, strict=True):
        wave = concentration.spectrum(_retrieve(hologram, distance, optics))
        step()
        at = distance + np.linspace(-reach, reach, steps)
        values = curve(wave, at, power=3)
        best = int(np.clip(values.argmax(), 2, steps - 3))
        near = slice(best - 2, best + 3)
        distance = float(at[best]) + _vertex(at[near] - at[best], values[near])
    model = _MODEL_ERROR * width
    if progress is not None:
        progress(total, total)
    return AutofocusResult(distance, math.hypot(noise, model), noise, model, distances, criterion)


def _retrieve(hologram: NDArray[Any], distance: float, optics: Optics) -> NDArray[Any]:
    """What the sample adds to the wave at the camera, its phase retrieved, (y, x)."""
    shape = (hologram.shape[0], hologram.shape[1])
    light = np.maximum(hologram / hologram.mean(), 0)
    margin = default_margin(shape, diffraction_reach(distance, **optics), optics["pixel_size"]) // 2
    planes = Planes(shape, [distance], optics, margin=margin, example=light, workers=1)
    smooth = TotalVariation(_VARIATION, 3)
    field = retrieve(planes, light, sample="any", smooth=smooth, iterations=_ITERATIONS)
    wave = planes.field(planes.spectrum(field) * planes.transfers[0])[planes.inside]
    result: NDArray[Any] = np.sqrt(light) * np.exp(1j * np.angle(wave)) - 1
    return result


class _Concentration:
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
        angle = np.arctan2(fy, fx) % np.pi
        self.sector = (angle * (_SECTORS / np.pi)).astype(np.int8) % _SECTORS

    def spectrum(self, contrast: NDArray[Any]) -> NDArray[Any]:
        """Spectrum of the complex gradient of what the sample adds, real or complex, (y, x)."""
        result: NDArray[Any] = scipy.fft.fft2(contrast * self._window, s=self._padded) * self._gradient
        return result

    def transfer(self, distance: float) -> NDArray[Any]:
        """Transfer function that goes back by `distance`."""
        return transfer_function(self._padded, -distance, dtype=self._dtype, **self._optics)

    def __call__(self, spectrum: NDArray[Any], transfer: NDArray[Any], power: int = 4) -> float:
        gradient = scipy.fft.ifft2(spectrum * transfer, overwrite_x=True)[self._inside]
        energy = gradient.real**2 + gradient.imag**2
        mean = float(energy.mean(dtype=np.float64))
        raised = energy * (energy if power == 4 else np.sqrt(energy))
        higher = float(raised.mean(dtype=np.float64))
        return higher / math.pow(mean, power / 2)


def _highest_inside(values: NDArray[np.float64]) -> int | None:
    """Index of the highest local maximum that is not at either end."""
    inner = values[1:-1]
    maxima = np.flatnonzero((inner >= values[:-2]) & (inner >= values[2:])) + 1
    return int(maxima[values[maxima].argmax()]) if len(maxima) else None


def _half_width(
    distances: NDArray[np.float64], values: NDArray[np.float64], peak: int, height: float, base: float
) -> float:
    """Half the width of the peak at half its height over the base, metres, at least half a step."""
    half = base + (height - base) / 2
    left = right = peak
    while left > 0 and values[left] > half:
        left -= 1
    while right < len(values) - 1 and values[right] > half:
        right += 1
    edges = []
    for outer, inner in ((left, left + 1), (right, right - 1)):
        rise = values[inner] - values[outer]
        share = np.clip((half - values[outer]) / rise, 0, 1) if rise > 0 else 1.0
        edges.append(distances[outer] + share * (distances[inner] - distances[outer]))
    step = (distances[peak + 1] - distances[peak - 1]) / 2
    return float(max((edges[1] - edges[0]) / 2, step / 2))


def _vertex(offsets: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Where the parabola through the points has its maximum, at most one and a half reaches away."""
    reach = float(offsets[-1])
    curvature, slope, _ = np.polyfit(offsets / reach, values, 2)
    if curvature >= 0:
        return math.copysign(1.5 * reach, slope)
    return float(np.clip(-slope / (2 * curvature), -1.5, 1.5)) * reach


def _require_significance(
    concentration: _Concentration,
    hologram: NDArray[Any],
    distance: float,
    height: float,
    step: Callable[[], None],
) -> None:
    """Refuse a peak that holograms of the same spectrum without any focus reach as well."""
    # A fixed seed: the answer must be the same each time, and the phases only need to be unrelated to the
    # object's.
    generator = np.random.default_rng(0)
    magnitude = np.abs(scipy.fft.rfft2(hologram - hologram.mean()))
    transfer = concentration.transfer(distance)
    without = np.empty(_SURROGATES)
    for index in range(_SURROGATES):
        phase = np.angle(scipy.fft.rfft2(generator.standard_normal(hologram.shape)))
        surrogate = scipy.fft.irfft2(magnitude * np.exp(1j * phase), s=hologram.shape).astype(hologram.dtype)
        without[index] = concentration(concentration.spectrum(surrogate), transfer)
        step()
    limit = float(without.mean() + _SIGNIFICANCE * without.std(ddof=1))
    if height <= limit:
        raise FocusNotFoundError(
            f"nothing comes into focus: the sharpest distance, {distance:g} m, has a criterion of "
            f"{height:.3g}, no more than a hologram without an object may have ({limit:.3g})"
        )
