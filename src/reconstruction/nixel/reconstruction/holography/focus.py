"""The distance of an in-line hologram from the hologram alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.reconstruction.holography.concentration import Concentration, candidates, surrogates
from nixel.reconstruction.holography.explanation import Explanation, explain, explain_from
from nixel.reconstruction.holography.geometry import (
    Optics,
    check_distances,
    check_geometry,
    depth_of_field,
    diffraction_reach,
    resolution_cell,
    search_distances,
)
from nixel.reconstruction.holography.planes import check_holograms
from nixel.reconstruction.holography.window import busiest_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SMALLEST_WINDOW, _LARGEST_WINDOW = 512, 1024  # pixels a side, where memory allows
_BYTES_A_PIXEL = 320  # of the window
_SMALLEST_BINNED = 64  # pixels a side
_MODEL_ERROR = 0.1  # of the depth of field; see autofocus
_AS_GOOD = 0.03  # of the variation: explanations whose costs differ by less are hardly told apart
_SURROGATES = 8
_SIGNIFICANCE = 6.0  # standard deviations better than holograms without focus
_INDIFFERENT = 2e-3  # of the variation: what the misfit may differ by for reasons that are not the distance
_STEPS = (0.5, 0.3)  # of the profiles, depths of field
_ITERATIONS = 40
_DIMMER, _MOST_DIMMED = 0.97, 0.7  # of the light, a step and in all
_TOO_BRIGHT = 0.9  # of the cost: what dimming by a step leaves of it, or less, where the light is too bright
_MOST_POINTS = 15


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
        One standard uncertainty, metres: `noise`, `model` and `ambiguity` added in quadrature.
    noise
        From the noise of the hologram, metres.
    model
        Allowance for what the picture of a sample takes for granted, metres.
    ambiguity
        From other distances that explain the hologram nearly as well, metres.
    distances, criterion
        The curve of the coarse search: metres, and the dimensionless concentration (2 for a speckle field
        without focus), float64, (n,).
    window
        Rows and columns of the hologram that were looked at.
    """

    distance: float
    uncertainty: float
    noise: float
    model: float
    ambiguity: float
    distances: NDArray[np.float64]
    criterion: NDArray[np.float64]
    window: tuple[slice, slice]


def autofocus(
    hologram: NDArray[Any],
    distances: NDArray[np.float64] | None = None,
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AutofocusResult:
    """Find the distance from which a sample explains the hologram the best.

    *Where to look.* The complex gradient g = (d/dx + i d/dy) u of the back-propagated contrast u is concentrated
    where edges are sharp, of absorbing and of phase samples. The local maxima of <|g|^4> / <|g|^2>^2 and of
    <|g|^3> / <|g|^2>^1.5 are candidates and no more: behind a strong phase object, a lens, the highest of them
    is its bright spot.

    *Which it is.* For each candidate the phase that the hologram has lost is retrieved: of all samples that let
    through at most all light, the one of the least cost, half the squared misfit of the amplitude plus 0.02 times
    the total variation. The distance is halfway between the least cost and the least misfit, which nearly coincide
    for samples with edges; of a smooth one the variation draws the one minimum aside, and smoothing the other.

    The uncertainty adds three parts in quadrature. *Noise*: the amplitude's variance, as the misfit tells it, over
    the cost's second derivative. *Model*: half the distance between the two minima, 0.1 of the depth of field, and
    how far the misfit changes by less than 0.002 of the total variation: a broad phase bump farther away makes the same
    hologram as a flatter one, and no criterion decides between them.
    *Ambiguity*: the spread of the candidates, each weighted by exp(-(its cost - the least) / 0.03 of the total
    variation).

    The light without a sample may be as little as 0.7 of the hologram's 1: of a hologram that was scaled to mean 1 it
    is less by what the sample takes, and the cost tells by how much.

    Pixels are binned two by two, or more where the window resolves less, and of a large frame only a window is
    looked at, the one with the most structure; it is as wide as light walks aside, 512 pixels at least and 1024 at
    most.

    Simulated discs that absorb or delay by 0.2 to 3.1 rad, alone and together, and narrow phase bumps are found
    within 5 um at 1 mm (532 nm, 256 x 256 pixels of 1.12 um, light and noise of the microscope's colour sensor). Of
    39 such and broader samples one, a broad bump of 2.5 rad, was refused, and three were off by more: 7 um for
    overlapping strong phase discs, 21 and 97 um for the broadest of the weak bumps, of which a hologram says little;
    the last by more than three times its uncertainty.

    Parameters
    ----------
    hologram
        Contrast hologram, (y, x), float32 or float64, 1 where no sample is in the light, or of mean 1 (see
        `correct`).
    distances
        Where to look, metres, increasing, at least three, about a depth of field apart. None:
        `search_distances`, for the window.
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.
    memory
        Bytes to work in, the hologram not counted: the window is smaller where they are few. None: 320 MiB,
        which the largest window takes.
    progress
        Called with (steps done, steps in all).

    Returns
    -------
    AutofocusResult

    Raises
    ------
    FocusNotFoundError
        If the criterion has no maximum inside the range, or what is found there stands out from holograms of the
        same spectrum with random phases, which have no focus, neither by its concentration nor by its cost.
    ValueError
        If the hologram is not a finite two-dimensional float array, or the distances are not as said.

    References
    ----------
    Concentration of the complex gradient as in: Zhang, Wang, Chen, et al., "Edge
    sparsity criterion for robust holographic autofocusing", Optics Letters 42, 3824 (2017), there with the
    Tamura coefficient. Luke, "Relaxed averaged alternating reflections for diffraction imaging", Inverse Problems
    21, 37 (2005).
    """
    hologram = np.asarray(hologram)
    check_holograms("hologram", hologram, 2)
    if min(hologram.shape) < 16:
        raise ValueError(f"hologram: expected at least 16 x 16 pixels, found shape {hologram.shape}")
    check_geometry(wavelength, pixel_size, medium_index)
    if distances is not None:
        distances = check_distances(distances)
    optics = Optics(wavelength=wavelength, pixel_size=pixel_size, medium_index=medium_index)
    window = _choose_window(hologram, distances, optics, memory)
    light = hologram[window]
    if distances is None:
        distances = search_distances(light.shape, **optics)
    if np.ptp(light) == 0:
        raise FocusNotFoundError("the hologram has the same value everywhere: there is nothing to focus on")
    # More light than there was is nothing a sample makes; how much less it leaves is told below.
    light = np.maximum(light / max(float(light.mean()), 1.0), 0)
    total = len(distances) + 10 + len(_STEPS) * (_MOST_POINTS + 1)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(min(done, total - 1), total)

    concentration = Concentration(light, optics)
    spectrum = concentration.spectrum(light / light.mean() - 1)
    criterion, second = np.empty(len(distances)), np.empty(len(distances))
    for index, distance in enumerate(distances):
        criterion[index], second[index] = concentration(spectrum, concentration.transfer(distance))
        step()
    places = candidates(distances, criterion, second)
    if not len(candidates(distances, criterion)):
        raise FocusNotFoundError(
            f"the focus criterion has no maximum between {distances[0]:g} m and {distances[-1]:g} m: "
            "look in a wider or another range"
        )

    middle = float(np.median(distances))
    coarse, binned = _bin(light, resolution_cell(light.shape, middle, **optics), optics)
    highest = int(criterion.argmax())
    coarse = _dimmed(coarse, float(distances[highest]), binned, step)
    tries = []
    for place in places:
        tries.append(explain(coarse, float(place), binned))
        step()
    best = min(tries, key=lambda explanation: explanation.cost)
    if not (
        concentration.stands_out(light / light.mean(), float(distances[highest]), float(criterion[highest]))
        or _costs_less_than_nothing(coarse, best, binned)
    ):
        raise FocusNotFoundError(
            f"nothing comes into focus: the sharpest distance, {best.distance:g} m, is no sharper than that of a "
            "hologram without an object may be"
        )
    depth = depth_of_field(light.shape, best.distance, **optics)
    found = best.distance
    bounds = (float(distances[0]), float(distances[-1]))
    for share in _STEPS:
        best = explain(coarse, found, binned)
        step()
        profile = _Profile(coarse, best, binned, share * depth, bounds, step)
        found = (profile.minimum + profile.least_misfit) / 2
    noise = profile.noise(coarse.size)
    apart = (profile.minimum - profile.least_misfit) / 2
    model = math.hypot(_MODEL_ERROR * depth, apart, profile.indifference())
    ambiguity = _spread(tries, profile.best, found)
    if progress is not None:
        progress(total, total)
    return AutofocusResult(
        found, math.hypot(noise, model, ambiguity), noise, model, ambiguity, distances, criterion, window
    )


def _choose_window(
    hologram: NDArray[Any], distances: NDArray[np.float64] | None, optics: Optics, memory: int | None
) -> tuple[slice, slice]:
    """As wide as light walks aside, within bounds."""
    side = _LARGEST_WINDOW
    if distances is not None and np.size(distances):
        reach = diffraction_reach(float(np.max(distances)), **optics) / optics["pixel_size"]
        side = int(np.clip(2 * reach, _SMALLEST_WINDOW, _LARGEST_WINDOW))
    if memory is not None:
        if memory <= 0:
            raise ValueError(f"memory: expected a positive number of bytes, found {memory!r}")
        side = min(side, math.isqrt(memory // _BYTES_A_PIXEL))
        if side < min(*hologram.shape, _SMALLEST_BINNED):
            raise ValueError(
                f"memory: expected at least {_SMALLEST_BINNED**2 * _BYTES_A_PIXEL} bytes, found {memory!r}"
            )
    return busiest_window(hologram, side)


def _bin(light: NDArray[Any], cell: float, optics: Optics) -> tuple[NDArray[Any], Optics]:
    """Mean of two by two pixels, or of as many as the window cannot resolve."""
    factor = max(2, int(cell / optics["pixel_size"]))
    factor = max(1, min(factor, 4, min(light.shape) // _SMALLEST_BINNED))
    rows, columns = (n // factor for n in light.shape)
    cut = light[: rows * factor, : columns * factor]
    means = cut.reshape(rows, factor, columns, factor).mean((1, 3))
    return means, Optics(
        wavelength=optics["wavelength"],
        pixel_size=factor * optics["pixel_size"],
        medium_index=optics["medium_index"],
    )


def _dimmed(light: NDArray[Any], distance: float, optics: Optics, step: Callable[[], None]) -> NDArray[Any]:
    """Hologram whose light alone is 1 or a little less.

    A hologram that was scaled to mean 1 is too bright by what the sample takes, and then nothing that lets through at
    most all light explains it: the cost is a multiple. Too dim, a sample that takes a little everywhere explains it
    as well. So it is dimmed until the cost falls by hardly more than the light.
    """
    cost, scale = explain(light, distance, optics).cost, 1.0
    while scale > _MOST_DIMMED:
        step()
        dimmer = light * light.dtype.type(_DIMMER)
        cheaper = explain(dimmer, distance, optics).cost
        if cheaper > _TOO_BRIGHT * cost:
            break
        light, cost, scale = dimmer, cheaper, scale * _DIMMER
    return light


def _costs_less_than_nothing(light: NDArray[Any], best: Explanation, optics: Optics) -> bool:
    """Tell whether the explanation is much better than those of holograms without any focus."""
    costs = [
        explain(np.maximum(light.mean() + surrogate, 0), best.distance, optics).cost
        for surrogate in surrogates(light, _SURROGATES)
    ]
    return best.cost < float(np.mean(costs) - _SIGNIFICANCE * np.std(costs, ddof=1))


class _Profile:
    """The cost at distances around one, each from its phase at the camera, and the minimum."""

    def __init__(
        self,
        light: NDArray[Any],
        start: Explanation,
        optics: Optics,
        spacing: float,
        bounds: tuple[float, float],
        step: Callable[[], None],
    ) -> None:
        points: dict[int, Explanation] = {}

        def take(index: int) -> None:
            distance = start.distance + index * spacing
            if (
                index not in points
                and bounds[0] - spacing <= distance <= bounds[1] + spacing
                and distance > 0
            ):
                points[index] = explain_from(light, start.wave, distance, optics, _ITERATIONS)
                step()

        for index in range(-2, 3):
            take(index)
        while len(points) < _MOST_POINTS:
            lowest = min(points, key=lambda i: points[i].cost)
            before = len(points)
            take(lowest - 2)
            take(lowest - 1)
            take(lowest + 1)
            take(lowest + 2)
            if len(points) == before:
                break
        self._order = sorted(points)
        self._points = [points[index] for index in self._order]
        self._at = np.array([point.distance for point in self._points])
        costs = np.array([point.cost for point in self._points])
        self.best = self._points[int(costs.argmin())]
        self.minimum, self._curvature = self._lowest(costs)
        misfits = np.array([point.misfit for point in self._points])
        self.least_misfit, _ = self._lowest(misfits)
        span = float(np.ptp(self._at))
        self._bend = 2 * float(np.polyfit((self._at - self.minimum) / span, misfits, 2)[0]) / span**2

    def _lowest(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Minimum of the parabola through the five points about the lowest, and its second derivative."""
        middle = int(np.clip(values.argmin(), 2, len(values) - 3)) if len(values) >= 5 else len(values) // 2
        near = slice(max(middle - 2, 0), middle + 3)
        at, scale = self._at[near] - self._at[middle], float(np.ptp(self._at[near]))
        second, slope, _ = np.polyfit(at / scale, values[near], 2)
        if second <= 0:
            return float(self._at[values.argmin()]), 0.0
        lowest = float(np.clip(-slope / (2 * second) * scale, at[0], at[-1]))
        return float(self._at[middle] + lowest), float(2 * second / scale**2)

    def indifference(self) -> float:
        """How far the distance may be off before the misfit says so, metres."""
        whole = float(np.ptp(self._at))
        if self._bend <= 0:
            return whole
        return min(math.sqrt(2 * _INDIFFERENT * self.best.variation / self._bend), whole)

    def noise(self, pixels: int) -> float:
        """Standard uncertainty from the noise, metres: the least that a maximum of likelihood has."""
        variance = 2 * self.best.misfit / pixels
        whole = float(np.ptp(self._at))
        return min(math.sqrt(variance / self._curvature), whole) if self._curvature > 0 else whole


def _spread(tries: list[Explanation], best: Explanation, found: float) -> float:
    """Root mean square of the distance to the candidates, weighted by how well they explain the hologram."""
    scale = _AS_GOOD * max(best.variation, 1e-30)
    costs = np.array([best.cost, *(explanation.cost for explanation in tries)])
    away = np.array([0.0, *(explanation.distance - found for explanation in tries)])
    weights = np.exp(-(costs - costs.min()) / scale)
    return math.sqrt(float((weights * away**2).sum() / weights.sum()))
