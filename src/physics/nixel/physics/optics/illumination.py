"""What illuminates the sample: plane waves and point sources, and when one is as good as the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.checks import check_all_finite, check_all_positive, check_image_shape

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


def plane_wave(
    shape: tuple[int, int],
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    sines: tuple[float, float] = (0.0, 0.0),
    dtype: DTypeLike = np.complex128,
) -> NDArray[np.complexfloating[Any, Any]]:
    """Plane wave of amplitude 1, whose phase is 0 at the centre of the grid.

    Parameters
    ----------
    shape
        Rows and columns.
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.
    sines
        Direction cosines along y and x, that is, the sines of the angles to the planes y = 0 and x = 0.
    dtype
        complex64 or complex128. The phase is computed in double precision either way.

    Returns
    -------
    ndarray, complex, (y, x)
        exp(ik (s_y y + s_x x)); the centre of the grid is at (n - 1)/2.

    Raises
    ------
    ValueError
        If a length or the index is not positive and finite, the direction is none of a travelling wave, or
        the grid is too coarse for it (more than half a period a pixel).

    References
    ----------
    Goodman, Introduction to Fourier Optics, 3rd ed. (2005), section 3.10.
    """
    y, x = _coordinates(shape, wavelength, pixel_size, medium_index)
    check_all_finite("", sines_y=sines[0], sines_x=sines[1])
    if math.hypot(*sines) >= 1:
        raise ValueError(f"sines: expected the direction of a travelling wave, below 1, found {sines!r}")
    per_pixel = max(abs(sine) for sine in sines) * pixel_size * medium_index / wavelength
    _require_sampled("sines", per_pixel, shape)
    turns = (sines[0] * y + sines[1] * x) * (medium_index / wavelength)
    return _unit_phasor(turns, dtype)


def point_source(
    shape: tuple[int, int],
    distance: float,
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    position: tuple[float, float] = (0.0, 0.0),
    dtype: DTypeLike = np.complex128,
) -> NDArray[np.complexfloating[Any, Any]]:
    """Spherical wave of a point source, exactly, on a plane at a distance from it.

    (d/r) exp(ik(r - d)), with r the distance of the pixel from the source: amplitude 1 and phase 0 at the foot
    of the perpendicular from the source, like a plane wave along z there. r - d is computed as
    rho^2/(r + d), without cancellation.

    Parameters
    ----------
    shape
        Rows and columns.
    distance
        From the source to the plane, metres, positive. Negative: a wave that converges to a point so far
        behind the plane.
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.
    position
        Of the source along y and x, from the centre of the grid, metres.
    dtype
        complex64 or complex128. The phase is computed in double precision either way.

    Returns
    -------
    ndarray, complex, (y, x)
        Dimensionless; the centre of the grid is at (n - 1)/2.

    Raises
    ------
    ValueError
        If a length or the index is not positive, or anything not finite, or the grid is too coarse for the
        wave at the pixel farthest from the source (more than half a period a pixel).

    References
    ----------
    Goodman, Introduction to Fourier Optics, 3rd ed. (2005), section 3.7.
    """
    y, x = _coordinates(shape, wavelength, pixel_size, medium_index)
    check_all_finite("m", distance=distance, position_y=position[0], position_x=position[1])
    if distance == 0:
        raise ValueError("distance: expected a source in front of or behind the plane, found 0.0 m")
    y, x = y - position[0], x - position[1]
    away = max(float(np.abs(y).max()), float(np.abs(x).max()))
    sine = away / math.hypot(away, distance)
    _require_sampled("distance", sine * pixel_size * medium_index / wavelength, shape)
    squared = y**2 + x**2
    depth = abs(distance)
    radius = np.sqrt(squared + depth**2)
    turns = squared / (radius + depth) * (math.copysign(medium_index, distance) / wavelength)
    wave = _unit_phasor(turns, dtype)
    wave *= depth / radius
    return wave


@dataclass(frozen=True)
class EquivalentPlaneWave:
    """The set-up with a plane wave that records the same as one with a point source.

    Attributes
    ----------
    distance
        From the sample to the detector with the plane wave, metres.
    magnification
        Of the sample on the detector with the point source, at least 1.
    pixel_size
        Sampling interval of the detector's pixels, seen in the sample, metres.
    """

    distance: float
    magnification: float
    pixel_size: float


def equivalent_plane_wave(
    source_distance: float, distance: float, *, pixel_size: float
) -> EquivalentPlaneWave:
    """Replace a point source by a plane wave: the Fresnel scaling theorem.

    A sample t at z1 behind a point source and z2 before the detector leaves, at the detector's point M x, the
    source's own wave there times what a plane wave through t leaves at x after the distance z2/M, with the
    magnification M = (z1 + z2)/z1. So a hologram divided by its background is the plane wave's: give
    `propagate` this distance and this pixel size. Within the Fresnel approximation this is exact. What it
    leaves out is the spherical wave's next order, a phase of k rho^4/(8 z1^3) at the distance rho from the
    axis: for a source 1 cm away and 0.5 mm off the axis 0.1 rad.

    Parameters
    ----------
    source_distance
        z1, from the source to the sample, metres.
    distance
        z2, from the sample to the detector, metres.
    pixel_size
        Of the detector, metres.

    Returns
    -------
    EquivalentPlaneWave

    Raises
    ------
    ValueError
        If a length is not positive and finite.

    References
    ----------
    Paganin, Coherent X-Ray Optics (2006), section 1.4 ("Fresnel scaling theorem").
    """
    check_all_positive("m", source_distance=source_distance, distance=distance, pixel_size=pixel_size)
    magnification = 1 + distance / source_distance
    return EquivalentPlaneWave(distance / magnification, magnification, pixel_size / magnification)


def _coordinates(
    shape: tuple[int, int], wavelength: float, pixel_size: float, medium_index: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check what all waves need, and place the pixels: (rows, 1) and (1, columns), metres from the centre."""
    check_all_positive("m", wavelength=wavelength, pixel_size=pixel_size)
    check_all_positive("", medium_index=medium_index)
    check_image_shape(shape)
    y, x = ((np.arange(n, dtype=np.float64) - (n - 1) / 2) * pixel_size for n in shape)
    return y[:, None], x[None, :]


def _require_sampled(name: str, periods_per_pixel: float, shape: tuple[int, int]) -> None:
    """Refuse a wave that turns by more than half a period from pixel to pixel."""
    if max(shape) > 1 and periods_per_pixel > 0.5:
        raise ValueError(
            f"{name}: expected a wave of at most half a period a pixel, found {periods_per_pixel:.3g}: "
            "take smaller pixels, a smaller grid or a smaller angle"
        )


def _unit_phasor(turns: NDArray[np.float64], dtype: DTypeLike) -> NDArray[np.complexfloating[Any, Any]]:
    """exp(2 pi i turns), in the precision asked for."""
    if np.dtype(dtype) not in (np.dtype(np.complex64), np.dtype(np.complex128)):
        raise ValueError(f"dtype: expected complex64 or complex128, found {np.dtype(dtype)}")
    phase = 2 * math.pi * (turns - np.rint(turns))
    wave = np.empty(turns.shape, dtype)
    np.cos(phase, out=wave.real, casting="same_kind")
    np.sin(phase, out=wave.imag, casting="same_kind")
    return wave
