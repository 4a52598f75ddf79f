"""The brightest point of the back-propagated field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from nixel.physics.optics import padded_shape, transfer_function
from nixel.reconstruction.holography.geometry import check_distances, check_geometry
from nixel.reconstruction.holography.planes import check_holograms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True)
class BrightestPoint:
    """Where the scattered field is the strongest.

    Attributes
    ----------
    z, y, x
        Metres: distance from the recorded plane, then rows downwards and columns rightwards from the centre
        of the first pixel.
    intensity
        |u|^2 there, in units of the illuminating wave.
    """

    z: float
    y: float
    x: float
    intensity: float


def find_brightest(
    hologram: NDArray[Any],
    distances: NDArray[np.float64],
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> BrightestPoint:
    """Find the maximum of |u|^2, u the back-propagated contrast, over a stack of distances.

    The stack is searched pixel by pixel; then the distance is refined between its neighbours on a grid eight
    times finer, and a parabola through the logarithm of the intensity (exact for a Gaussian spot) gives the
    position between the samples of each axis.

    Parameters
    ----------
    hologram
        Contrast hologram, (y, x), float32 or float64, mean about 1.
    distances
        Where to look, metres, increasing, at least three, about a depth of field apart.
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.
    progress
        Called with (steps done, steps in all).

    Returns
    -------
    BrightestPoint

    Raises
    ------
    ValueError
        If the hologram is not a finite two-dimensional float array, a length or the index is not positive, or the
        distances are not as said.
    """
    hologram = np.asarray(hologram)
    check_holograms("hologram", hologram, 2)
    check_geometry(wavelength, pixel_size, medium_index)
    distances = check_distances(distances)
    rows, columns = hologram.shape
    padded = padded_shape((rows, columns))
    dtype = np.result_type(hologram.dtype, np.complex64)
    spectrum = scipy.fft.fft2(hologram - hologram.mean(), s=padded)
    finer = 17
    total = len(distances) + finer
    done = 0

    def intensity(distance: float) -> NDArray[Any]:
        nonlocal done
        transfer = transfer_function(
            padded,
            -distance,
            wavelength=wavelength,
            pixel_size=pixel_size,
            medium_index=medium_index,
            dtype=dtype,
        )
        field = scipy.fft.ifft2(spectrum * transfer, overwrite_x=True)[:rows, :columns]
        done += 1
        if progress is not None:
            progress(done, total)
        result: NDArray[Any] = field.real**2 + field.imag**2
        return result

    index = int(np.argmax([intensity(distance).max() for distance in distances]))
    low, high = distances[max(index - 1, 0)], distances[min(index + 1, len(distances) - 1)]
    fine = np.linspace(low, high, finer)
    planes = [intensity(distance) for distance in fine]
    plane = int(np.argmax([values.max() for values in planes]))
    row, column = (int(i) for i in np.unravel_index(planes[plane].argmax(), (rows, columns)))
    along_z = np.array([values[row, column] for values in planes])
    return BrightestPoint(
        z=float(fine[plane] + (fine[1] - fine[0]) * _between_samples(along_z, plane)),
        y=pixel_size * (row + _between_samples(planes[plane][:, column], row)),
        x=pixel_size * (column + _between_samples(planes[plane][row], column)),
        intensity=float(planes[plane][row, column]),
    )


def _between_samples(values: NDArray[Any], index: int) -> float:
    """Offset of the maximum of a Gaussian from the sample nearest to it, in samples; 0 at an end."""
    if not 0 < index < len(values) - 1:
        return 0.0
    three = values[index - 1 : index + 2].astype(np.float64)
    if (three <= 0).any():
        return 0.0
    left, middle, right = np.log(three)
    bend = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
