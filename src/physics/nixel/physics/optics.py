"""Scalar wave optics: free-space propagation by the band-limited angular spectrum.

Sign convention: fields vary as exp(i(kz - wt)), light travels towards +z, and a positive distance propagates
along it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_COMPLEX_OF: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float32): np.dtype(np.complex64),
    np.dtype(np.complex64): np.dtype(np.complex64),
    np.dtype(np.float64): np.dtype(np.complex128),
    np.dtype(np.complex128): np.dtype(np.complex128),
}


def padded_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Shape of the grid on which a field is propagated without wrap-around.

    A point of the source reaches a point of the result over at most n - 1 pixels per axis, either way, so a
    circular convolution of length 2n - 1 or more equals the linear one. The next length that the FFT is fast
    at is taken.

    Parameters
    ----------
    shape
        Rows and columns of the field.

    Returns
    -------
    tuple of int
        Rows and columns of the zero-padded grid.
    """
    return scipy.fft.next_fast_len(2 * shape[0] - 1), scipy.fft.next_fast_len(2 * shape[1] - 1)


def axial_deficit(
    shape: tuple[int, int], *, wavelength: float, pixel_size: float, medium_index: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """How much less than k a plane wave advances in phase per metre along z, on one quadrant of the spectrum.

    The deficit k - kz = k q/(1 + sqrt(1 - q)), q = (wavelength/medium_index)^2 (fx^2 + fy^2), has no
    cancellation at small angles, and, unlike kz itself, is small there. It is even in both frequencies: one
    quadrant says all.

    Parameters
    ----------
    shape
        Rows and columns of the whole grid, (M, N).
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.

    Returns
    -------
    deficit : ndarray, float64, (M // 2 + 1, N // 2 + 1)
        k - kz in radians per metre for q <= 1; for evanescent waves (q > 1) only the real part k.
    qy : ndarray, float64, (M // 2 + 1, 1)
        (wavelength fy / medium_index)^2, dimensionless.
    qx : ndarray, float64, (1, N // 2 + 1)
        (wavelength fx / medium_index)^2, dimensionless.

    Raises
    ------
    ValueError
        If a length or the index is not positive and finite.
    """
    for name, value in (
        ("wavelength", wavelength),
        ("pixel_size", pixel_size),
        ("medium_index", medium_index),
    ):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite, found {value!r}")
    ratio = wavelength / (medium_index * pixel_size)
    qy = ((ratio / shape[0] * np.arange(shape[0] // 2 + 1, dtype=np.float64)) ** 2)[:, None]
    qx = ((ratio / shape[1] * np.arange(shape[1] // 2 + 1, dtype=np.float64)) ** 2)[None, :]
    q = qy + qx
    wavenumber = 2 * math.pi * medium_index / wavelength
    deficit = wavenumber * np.where(q <= 1, q / (1 + np.sqrt(np.maximum(1 - q, 0))), 1.0)
    return deficit, qy, qx


def unfold(quadrant: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Complete a spectrum that is even in both frequencies from its quadrant of non-negative ones.

    Parameters
    ----------
    quadrant
        Values at frequencies 0 to shape // 2 on each axis, (M // 2 + 1, N // 2 + 1).
    shape
        (M, N) of the whole spectrum.

    Returns
    -------
    ndarray, (M, N), same dtype
        In the order of `scipy.fft.fft2`.
    """
    rows, columns = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
    return np.take(np.take(quadrant, rows, axis=0), columns, axis=1)


def transfer_function(
    shape: tuple[int, int],
    distance: float,
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    band_limit: bool = True,
    dtype: DTypeLike = np.complex128,
) -> NDArray[np.complexfloating[Any, Any]]:
    """Transfer function of free space over `distance`, without the piston phase exp(ikz).

    H = exp(-i k z q/(1 + sqrt(1 - q))), q = (wavelength/medium_index)^2 f^2. A plane wave along z stays as it
    is.

    Parameters
    ----------
    shape
        Rows and columns (M, N) of the grid, padding included.
    distance
        Metres along the light; negative propagates backwards, as the adjoint: H(-z) = conj(H(z)).
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.
    band_limit
        Keep only the waves whose sidewards walk along each axis stays within half the grid,
        q_x (1 + (2z/S_x)^2) + q_y <= 1 with S_x the grid's width, and likewise for y (Matsushima and
        Shimobaba's ellipses). Beyond it the sampled H is aliased. It also removes evanescent waves.
        Without it they decay as exp(-k |z| sqrt(q - 1)), both ways: backwards they would otherwise explode.
    dtype
        complex64 or complex128. The phase is computed in double precision either way.

    Returns
    -------
    ndarray, complex, (M, N)
        In the order of `scipy.fft.fft2`.

    Raises
    ------
    ValueError
        If a parameter is not finite, or a length or the index not positive, or the dtype not one of the two.

    References
    ----------
    Matsushima, Shimobaba, "Band-limited angular spectrum method for numerical
    simulation of free-space propagation in far and near fields", Optics Express 17, 19662 (2009).
    """
    if not math.isfinite(distance):
        raise ValueError(f"distance must be finite, found {distance!r}")
    if np.dtype(dtype) not in (np.dtype(np.complex64), np.dtype(np.complex128)):
        raise ValueError(f"dtype must be complex64 or complex128, found {np.dtype(dtype)}")
    deficit, qy, qx = axial_deficit(
        shape, wavelength=wavelength, pixel_size=pixel_size, medium_index=medium_index
    )
    quadrant = np.exp(-1j * distance * deficit)
    if band_limit:
        quadrant[~_within_band(qy, qx, distance, shape, pixel_size)] = 0
    else:
        wavenumber = 2 * math.pi * medium_index / wavelength
        quadrant *= np.exp(-wavenumber * abs(distance) * np.sqrt(np.maximum(qy + qx - 1, 0)))
    return unfold(quadrant.astype(dtype, copy=False), shape)


def _within_band(
    qy: NDArray[np.float64],
    qx: NDArray[np.float64],
    distance: float,
    shape: tuple[int, int],
    pixel_size: float,
) -> NDArray[np.bool_]:
    """Tell which waves of the quadrant walk less than half the grid along both axes over `distance`."""
    steep_y, steep_x = (1 + (2 * distance / (n * pixel_size)) ** 2 for n in shape)
    return (qx * steep_x + qy <= 1) & (qy * steep_y + qx <= 1)


def propagate(
    field: NDArray[Any],
    distance: float,
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    band_limit: bool = True,
    periodic: bool = False,
) -> NDArray[np.complexfloating[Any, Any]]:
    """Propagate a scalar field through a homogeneous medium by the band-limited angular spectrum.

    Parameters
    ----------
    field
        Complex or real amplitude, (y, x), any unit; float32, float64, complex64 or complex128.
    distance
        Metres along the light; negative propagates backwards. At 0 the field comes back unchanged.
    wavelength
        Wavelength in vacuum, metres.
    pixel_size
        Sampling interval on both axes, metres.
    medium_index
        Refractive index of the medium.
    band_limit
        Cut the waves that the grid cannot carry (see `transfer_function`), evanescent ones included.
    periodic
        False: the field is taken as zero outside, on a grid padded to at least 2n - 1 per axis (see
        `padded_shape`), so that nothing leaving on one side comes back on the other. True: the field repeats
        for ever.

    Returns
    -------
    ndarray, (y, x)
        complex64 for float32 and complex64, complex128 for float64 and complex128. Without the piston phase
        exp(ikz).

    Raises
    ------
    ValueError
        If the field is not two-dimensional, is empty, has another dtype or holds a non-finite value, or a
        parameter is not finite, or a length or the index not positive.

    References
    ----------
    Matsushima, Shimobaba, Optics Express 17, 19662 (2009).
    """
    field = np.asarray(field)
    if field.ndim != 2 or 0 in field.shape:
        raise ValueError(f"field must be a non-empty (y, x) array, found shape {field.shape}")
    if field.dtype not in _COMPLEX_OF:
        raise ValueError(f"field must be float32, float64, complex64 or complex128, found {field.dtype}")
    if not np.isfinite(field).all():
        raise ValueError("field must be finite everywhere, found NaN or infinity")
    dtype = _COMPLEX_OF[field.dtype]
    rows, columns = field.shape
    shape = (rows, columns) if periodic else padded_shape((rows, columns))
    transfer = transfer_function(
        shape,
        distance,
        wavelength=wavelength,
        pixel_size=pixel_size,
        medium_index=medium_index,
        band_limit=band_limit,
        dtype=dtype,
    )
    if distance == 0:
        unchanged: NDArray[Any] = field.astype(dtype)
        return unchanged
    spectrum = scipy.fft.fft2(field.astype(dtype, copy=False), s=shape)
    spectrum *= transfer
    result: NDArray[Any] = scipy.fft.ifft2(spectrum, overwrite_x=True)[:rows, :columns]
    return np.ascontiguousarray(result)
