"""The transfer function of free space, on one quadrant of the spectrum and on all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from nixel.physics.checks import check_all_finite, check_all_positive, check_image_shape

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_REAL_OF: dict[np.dtype[Any], type[np.floating[Any]]] = {
    np.dtype(np.complex64): np.float32,
    np.dtype(np.complex128): np.float64,
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

    References
    ----------
    Goodman, Introduction to Fourier Optics, 3rd ed. (2005), section 3.10.
    """
    check_all_positive("m", wavelength=wavelength, pixel_size=pixel_size)
    check_all_positive("", medium_index=medium_index)
    check_image_shape(shape)
    qy, qx = _squared_sines(shape, wavelength / (medium_index * pixel_size))
    wavenumber = 2 * math.pi * medium_index / wavelength
    return wavenumber * _versed(qy + qx), qy, qx


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
    space = FreeSpace.over(
        shape,
        distance,
        wavelength=wavelength,
        pixel_size=pixel_size,
        medium_index=medium_index,
        band_limit=band_limit,
        dtype=dtype,
    )
    return unfold(space.quadrant(0, space.qx.shape[1]), shape)


@dataclass(frozen=True)
class FreeSpace:
    """The transfer function over one distance on one grid, evaluated by blocks of columns of its quadrant.

    Attributes
    ----------
    qy, qx : ndarray, float64, (M // 2 + 1, 1) and (1, N // 2 + 1)
        Squared sines of the waves' angles along each axis.
    cycles : float
        The distance in wavelengths of the medium.
    steep : tuple of float or None
        1 + (2z/S)^2 along y and x for the band limit; None: no band limit.
    dtype : dtype
        complex64 or complex128.
    """

    qy: NDArray[np.float64]
    qx: NDArray[np.float64]
    cycles: float
    steep: tuple[float, float] | None
    dtype: np.dtype[Any]

    @classmethod
    def over(
        cls,
        shape: tuple[int, int],
        distance: float,
        *,
        wavelength: float,
        pixel_size: float,
        medium_index: float,
        band_limit: bool,
        dtype: DTypeLike,
    ) -> FreeSpace:
        """Check the parameters, which are those of `transfer_function`, and prepare."""
        check_all_finite("m", distance=distance)
        check_all_positive("m", wavelength=wavelength, pixel_size=pixel_size)
        check_all_positive("", medium_index=medium_index)
        check_image_shape(shape)
        if np.dtype(dtype) not in _REAL_OF:
            raise ValueError(f"dtype: expected complex64 or complex128, found {np.dtype(dtype)}")
        qy, qx = _squared_sines(shape, wavelength / (medium_index * pixel_size))
        steep_y, steep_x = (1 + (2 * distance / (n * pixel_size)) ** 2 for n in shape)
        return cls(
            qy=qy,
            qx=qx,
            cycles=distance * medium_index / wavelength,
            steep=(steep_y, steep_x) if band_limit else None,
            dtype=np.dtype(dtype),
        )

    def blocks(self, first: int) -> bool:
        """Tell whether the band limit stops every wave from the quadrant's column `first` on."""
        return self.steep is not None and float(self.qx[0, first]) * self.steep[1] > 1

    def quadrant(self, first: int, last: int) -> NDArray[np.complexfloating[Any, Any]]:
        """Transfer function at the quadrant's columns `first` to `last` - 1, (M // 2 + 1, last - first)."""
        qx = self.qx[:, first:last]
        q = self.qy + qx
        steepest = float(self.qy[-1, 0]) + float(qx[0, -1])
        # In cycles, less the whole ones: what is left is exact, and small enough for single precision.
        turns = _versed(q, evanescent=steepest > 1)
        turns *= -self.cycles
        turns -= np.rint(turns)
        turns *= 2 * math.pi
        phase = turns.astype(_REAL_OF[self.dtype], copy=False)
        response = np.empty(q.shape, self.dtype)
        np.cos(phase, out=response.real)
        np.sin(phase, out=response.imag)
        if self.steep is not None:
            steep_y, steep_x = self.steep
            if steepest * max(self.steep) > 1:
                response[(qx * steep_x + self.qy > 1) | (self.qy * steep_y + qx > 1)] = 0
        elif steepest > 1:
            response *= np.exp(-2 * math.pi * abs(self.cycles) * np.sqrt(np.maximum(q - 1, 0)))
        return response


def _squared_sines(shape: tuple[int, int], ratio: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(wavelength f)^2 at the non-negative frequencies; `ratio` is the wavelength in pixels, in the medium."""
    qy, qx = ((ratio / n * np.arange(n // 2 + 1, dtype=np.float64)) ** 2 for n in shape)
    return qy[:, None], qx[None, :]


def _versed(q: NDArray[np.float64], evanescent: bool = True) -> NDArray[np.float64]:
    """1 - cos of the waves' angles, q/(1 + sqrt(1 - q)), and 1 for evanescent waves (q > 1)."""
    bounded = np.minimum(q, 1) if evanescent else q
    denominator = 1 - bounded
    np.sqrt(denominator, out=denominator)
    denominator += 1
    return np.divide(bounded, denominator, out=denominator)
