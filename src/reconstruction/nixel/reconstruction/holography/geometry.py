"""What the sampling and the size of a hologram say about distances."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from nixel.physics.checks import check_non_negative, check_number, check_positive

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Optics(TypedDict):
    """What the geometry of a hologram needs beside its shape: metres, metres, and an index."""

    wavelength: float
    pixel_size: float
    medium_index: float


_NEAREST_IN_DEPTHS = 10.0
_COARSEST_IN_CELLS = 4.0
_LARGEST_SEARCH = 2000


def check_geometry(wavelength: float, pixel_size: float, medium_index: float) -> None:
    """Refuse a wavelength, a pixel size or an index that is not positive.

    Raises
    ------
    ValueError
        If one is not.
    """
    check_positive("wavelength", wavelength, "m")
    check_positive("pixel_size", pixel_size, "m")
    check_positive("medium_index", medium_index)


def check_distances(distances: ArrayLike) -> NDArray[np.float64]:
    """Return distances to look at as an array.

    Raises
    ------
    ValueError
        If they are not at least three finite, increasing numbers.
    """
    found = np.asarray(distances, dtype=np.float64)
    if found.ndim != 1 or len(found) < 3 or not np.isfinite(found).all() or not (np.diff(found) > 0).all():
        raise ValueError(
            f"distances: expected at least three finite, increasing numbers in m, found {distances!r}"
        )
    return found


def resolution_cell(
    shape: tuple[int, int], distance: float, *, wavelength: float, pixel_size: float, medium_index: float
) -> float:
    """Half period of the finest detail at `distance` that the hologram can hold.

    The largest of three: the pixel, half a wavelength in the medium, and what the window, as an aperture of
    half width a, lets through, wavelength sqrt(a^2 + z^2) / (2 a).

    Parameters
    ----------
    shape
        Rows and columns of the hologram.
    distance, wavelength, pixel_size
        Metres; the wavelength in vacuum.
    medium_index
        Refractive index of the medium.

    Returns
    -------
    float
        Metres.
    """
    half_width = min(shape) * pixel_size / 2
    wave = wavelength / medium_index
    return max(pixel_size, wave / 2 * math.hypot(half_width, distance) / half_width)


def depth_of_field(
    shape: tuple[int, int],
    distance: float,
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
) -> float:
    """Distance over which the finest detail of the hologram goes out of focus.

    4 cell^2 medium_index / wavelength, with the cell of `resolution_cell`.

    Parameters
    ----------
    shape
        Rows and columns of the hologram.
    distance, wavelength, pixel_size
        Metres; the wavelength in vacuum.
    medium_index
        Refractive index of the medium.

    Returns
    -------
    float
        Metres.

    Raises
    ------
    ValueError
        If a length or the index is not positive; a distance of zero is the window's own plane.
    """
    check_geometry(wavelength, pixel_size, medium_index)
    check_non_negative("distance", distance, "m")
    cell = resolution_cell(
        shape, distance, wavelength=wavelength, pixel_size=pixel_size, medium_index=medium_index
    )
    return 4 * cell * cell * medium_index / wavelength


def search_distances(
    shape: tuple[int, int],
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    bounds: tuple[float, float] | None = None,
) -> NDArray[np.float64]:
    """Distances at which to look for the focus, one depth of field apart.

    Without bounds the geometry sets them. Nearest: ten depths of field, where the twin image has left the
    object. Farthest: where the window, as an aperture, resolves four times worse than the pixel or half the
    wavelength, whichever is the larger; beyond it hardly a fringe is left to focus.

    Parameters
    ----------
    shape
        Rows and columns of the hologram.
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.
    bounds
        Nearest and farthest distance, metres, instead of the geometry's.

    Returns
    -------
    ndarray, float64, (n,), n >= 3
        Metres, increasing, the bounds included.

    Raises
    ------
    ValueError
        If a length or the index is not positive, the bounds are not 0 < nearest < farthest, the hologram is so
        small that no range is left, or the search would take more than 2000 steps.
    """
    check_geometry(wavelength, pixel_size, medium_index)
    optics = Optics(wavelength=wavelength, pixel_size=pixel_size, medium_index=medium_index)
    if bounds is None:
        nearest = _NEAREST_IN_DEPTHS * depth_of_field(shape, 0.0, **optics)
        cell = _COARSEST_IN_CELLS * resolution_cell(shape, 0.0, **optics)
        half_width = min(shape) * pixel_size / 2
        farthest = half_width * math.sqrt(max((2 * cell * medium_index / wavelength) ** 2 - 1, 0))
        if farthest <= nearest:
            raise ValueError(
                f"a hologram of {shape[0]} x {shape[1]} pixels is too small to search for its focus: "
                "give the bounds of the distance"
            )
    else:
        nearest, farthest = bounds
        if not (math.isfinite(farthest) and 0 < nearest < farthest):
            raise ValueError(
                f"bounds must be 0 < nearest < farthest in metres, found {nearest:g} and {farthest:g}"
            )
    distances = [nearest]
    while distances[-1] < farthest:
        distances.append(distances[-1] + depth_of_field(shape, distances[-1], **optics))
        if len(distances) > _LARGEST_SEARCH:
            raise ValueError(
                f"searching from {nearest:g} m to {farthest:g} m takes more than {_LARGEST_SEARCH} steps of "
                "one depth of field: narrow the bounds"
            )
    return np.linspace(nearest, farthest, 3) if len(distances) < 4 else np.array([*distances[:-1], farthest])


def diffraction_reach(
    distance: float, *, wavelength: float, pixel_size: float, medium_index: float = 1.0
) -> float:
    """How far aside light of the finest detail that the pixels hold walks over `distance`.

    Detail of period 2 pixel_size sends light to the angle arcsin(wavelength / (2 pixel_size medium_index)),
    and to at most arcsin(0.95) where the pixels are finer than half the wavelength.

    Parameters
    ----------
    distance, wavelength, pixel_size
        Metres; the wavelength in vacuum.
    medium_index
        Refractive index of the medium.

    Returns
    -------
    float
        Metres.

    Raises
    ------
    ValueError
        If a length or the index is not positive, or the distance not finite.
    """
    check_geometry(wavelength, pixel_size, medium_index)
    check_number("distance", distance, "m")
    sine = min(wavelength / (2 * pixel_size * medium_index), 0.95)
    return distance * sine / math.sqrt(1 - sine * sine)
