"""In-line holograms: what a camera records of the light that a sample lets through.

The sample is sampled more finely than the camera, and the light on a pixel is integrated over it, as in the
instrument.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from nixel.physics.arrays import check_workers
from nixel.physics.optics import padded_shape, transfer_function

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REAL_OF = {np.dtype(np.complex64): np.dtype(np.float32), np.dtype(np.complex128): np.dtype(np.float64)}


def simulate_hologram(
    transmission: NDArray[Any],
    distance: float,
    *,
    wavelength: float,
    pixel_size: float,
    oversampling: int = 1,
    margin: int = 0,
    medium_index: float = 1.0,
    illumination: NDArray[Any] | complex = 1.0,
    reference: NDArray[Any] | complex | None = None,
    shift: tuple[float, float] = (0.0, 0.0),
    workers: int = 1,
) -> NDArray[np.floating[Any]]:
    """Intensity that a camera records of a thin sample at `distance` before it.

    The light behind the sample is illumination * transmission; outside the given window nothing stands in
    the light. What the sample adds, illumination * (transmission - 1), is propagated without wrap-around and
    meets the undisturbed wave at the camera. Pixels have no gaps: each takes the mean of its samples.

    Parameters
    ----------
    transmission
        Complex amplitude transmission of the sample, (rows * oversampling, columns * oversampling),
        complex64 or complex128, at intervals of pixel_size / oversampling.
    distance
        From the sample to the camera, metres, positive.
    wavelength
        In vacuum, metres.
    pixel_size
        Of the camera, metres.
    oversampling
        Samples of the transmission along each axis of a pixel. Intensity has twice the bandwidth of the
        field: 2 or more keeps it free of aliases before the pixels take it.
    margin
        Pixels to leave out on each side: the sample is larger than what the camera sees of it.
    medium_index
        Refractive index between sample and camera.
    illumination
        Field of the light at the sample without it, in any unit: a number is a plane wave along the axis; or
        an array of the transmission's shape.
    reference
        Field of the light at the camera without the sample, alike; None: the illumination propagated, which
        for an array brings the diffraction at its edges in.
    shift
        How far the camera stands aside along (y, x), metres; only in a plane wave.
    workers
        Threads.

    Returns
    -------
    ndarray, (rows - 2 margin, columns - 2 margin)
        Intensity in the square of the illumination's unit; float32 for complex64, float64 for complex128.

    Raises
    ------
    ValueError
        If the transmission is not a finite complex array whose sides are whole pixels, or a parameter is not
        as said.

    References
    ----------
    Goodman, "Introduction to Fourier Optics", 4th ed. (2017), sections 3.10 and 11.3. Matsushima,
    Shimobaba, Optics Express 17, 19662 (2009).
    """
    check_workers(workers)
    transmission = np.asarray(transmission)
    _check(transmission, distance, oversampling, margin, shift)
    shape = transmission.shape
    dtype = transmission.dtype
    fields = {"illumination": illumination, "reference": illumination if reference is None else reference}
    for name, field in fields.items():
        values = np.asarray(field)
        if values.ndim and values.shape != shape:
            raise ValueError(f"{name}: expected a number or shape {shape}, found {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: expected finite values, found NaN or infinity")
        if values.ndim and any(shift):
            raise ValueError(f"shift: expected (0, 0) where the {name} is an array, found {shift}")

    spacing = pixel_size / oversampling
    padded = padded_shape((shape[0], shape[1]))
    transfer = transfer_function(
        padded, distance, wavelength=wavelength, pixel_size=spacing, medium_index=medium_index, dtype=dtype
    )
    inside = (slice(shape[0]), slice(shape[1]))

    def arrive(field: NDArray[Any]) -> NDArray[Any]:
        spectrum = scipy.fft.fft2(field.astype(dtype, copy=False), s=padded, workers=workers)
        spectrum *= transfer
        if any(shift):
            for axis, length in enumerate(shift):
                frequency = scipy.fft.fftfreq(padded[axis], spacing)
                ramp = np.exp(2j * np.pi * length * frequency).astype(dtype)
                spectrum *= ramp[:, None] if axis == 0 else ramp[None, :]
        result: NDArray[Any] = scipy.fft.ifft2(spectrum, overwrite_x=True, workers=workers)[inside]
        return result

    field = arrive(illumination * (transmission - 1))
    if reference is not None or np.ndim(illumination) == 0:
        field += np.asarray(fields["reference"]).astype(dtype)
    else:
        field += arrive(np.asarray(illumination))
    intensity = field.real**2 + field.imag**2
    blocks = intensity.reshape(shape[0] // oversampling, oversampling, -1, oversampling)
    pixels = blocks.mean(axis=(1, 3), dtype=_REAL_OF[dtype])
    result: NDArray[Any] = np.ascontiguousarray(
        pixels[margin : pixels.shape[0] - margin, margin : pixels.shape[1] - margin]
    )
    return result


def _check(
    transmission: NDArray[Any], distance: float, oversampling: int, margin: int, shift: tuple[float, float]
) -> None:
    if transmission.ndim != 2 or 0 in transmission.shape:
        raise ValueError(f"transmission: expected a non-empty (y, x) array, found shape {transmission.shape}")
    if transmission.dtype not in _REAL_OF:
        raise ValueError(f"transmission: expected complex64 or complex128, found {transmission.dtype}")
    if not np.isfinite(transmission).all():
        raise ValueError("transmission: expected finite values, found NaN or infinity")
    if not (math.isfinite(distance) and distance > 0):
        raise ValueError(f"distance: expected a positive number in m, found {distance!r}")
    if not isinstance(oversampling, (int, np.integer)) or oversampling < 1:
        raise ValueError(f"oversampling: expected an integer of 1 or more, found {oversampling!r}")
    if any(n % oversampling for n in transmission.shape):
        raise ValueError(
            f"transmission: expected sides that are multiples of {oversampling}, found {transmission.shape}"
        )
    pixels = min(transmission.shape) // oversampling
    if not isinstance(margin, (int, np.integer)) or not 0 <= 2 * margin < pixels:
        raise ValueError(f"margin: expected 0 or more pixels that leave some of {pixels}, found {margin!r}")
    if len(shift) != 2 or not all(math.isfinite(length) for length in shift):
        raise ValueError(f"shift: expected two finite lengths in m, found {shift!r}")
