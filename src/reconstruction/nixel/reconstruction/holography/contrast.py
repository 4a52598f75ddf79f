"""From camera frames to the contrast hologram, and from it to the field at the sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.checks import check_positive
from nixel.physics.optics import propagate
from nixel.reconstruction.holography.geometry import check_geometry
from nixel.reconstruction.holography.planes import check_holograms

if TYPE_CHECKING:
    from numpy.typing import NDArray


def correct(
    hologram: NDArray[Any],
    background: NDArray[Any],
    dark: NDArray[Any] | None = None,
    *,
    steady: bool = False,
) -> NDArray[np.floating[Any]]:
    """Divide out the illumination: (hologram - dark) / (background - dark), scaled to mean 1.

    The scale takes out a drift of the source between the two frames; with it goes what the sample absorbs.

    Parameters
    ----------
    hologram
        Frame with the sample, (y, x), counts of any real dtype.
    background
        Frame without the sample, same shape and exposure.
    dark
        Frame without light, same shape and exposure; None is a dark frame of zeros.
    steady
        The source was equally bright in both frames: 1 is the light without a sample, and nothing is scaled.

    Returns
    -------
    ndarray, (y, x)
        Contrast hologram, dimensionless, mean 1 unless `steady`; float64 if any frame is float64, otherwise float32.

    Raises
    ------
    ValueError
        If the shapes differ, a frame is not two-dimensional or not finite, or the background is not brighter
        than the dark frame everywhere: such a pixel says nothing about the sample, and what to put in its
        place is the caller's decision.
    """
    frames = {"hologram": np.asarray(hologram), "background": np.asarray(background)}
    if dark is not None:
        frames["dark"] = np.asarray(dark)
    shape = frames["hologram"].shape
    for name, frame in frames.items():
        if frame.ndim != 2 or frame.size == 0:
            raise ValueError(f"{name} must be a non-empty (y, x) array, found shape {frame.shape}")
        if frame.shape != shape:
            raise ValueError(f"{name} must have the hologram's shape {shape}, found {frame.shape}")
        if np.iscomplexobj(frame) or not np.isfinite(frame).all():
            raise ValueError(f"{name} must be real and finite everywhere, found otherwise")
    wide = any(frame.dtype == np.float64 for frame in frames.values())
    dtype = np.dtype(np.float64 if wide else np.float32)
    offset = frames["dark"].astype(dtype) if dark is not None else dtype.type(0)
    light = frames["background"].astype(dtype) - offset
    lightless = light <= 0
    if lightless.any():
        row, column = (int(i) for i in np.argwhere(lightless)[0])
        raise ValueError(
            f"background must be brighter than the dark frame everywhere, found "
            f"{int(lightless.sum())} pixel(s) where it is not, the first at row {row}, column {column}"
        )
    contrast: NDArray[Any] = (frames["hologram"].astype(dtype) - offset) / light
    mean = contrast.mean(dtype=np.float64)
    if mean <= 0:
        raise ValueError("hologram must be brighter than the dark frame on average, found it is not")
    if not steady:
        contrast /= dtype.type(mean)
    return contrast


def back_propagate(
    hologram: NDArray[Any],
    distance: float,
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
) -> NDArray[np.complexfloating[Any, Any]]:
    """Field at the sample: the illuminating plane wave (1) plus the back-propagated contrast.

    The twin image is in it.

    Parameters
    ----------
    hologram
        Contrast hologram, (y, x), float32 or float64, mean 1 (see `correct`).
    distance
        From the sample to the recorded plane, metres, positive.
    wavelength, pixel_size
        Vacuum wavelength and sampling interval, metres.
    medium_index
        Refractive index of the medium.

    Returns
    -------
    ndarray, complex, (y, x)
        In units of the illuminating wave; 1 where there is no sample. complex64 for float32, complex128 for
        float64.

    Raises
    ------
    ValueError
        If the hologram is not a finite two-dimensional float array, or a length or the index is not positive.
    """
    hologram = np.asarray(hologram)
    check_holograms("hologram", hologram, 2)
    check_positive("distance", distance, "m")
    check_geometry(wavelength, pixel_size, medium_index)
    scattered: NDArray[np.complexfloating[Any, Any]] = propagate(
        hologram - 1,
        -distance,
        wavelength=wavelength,
        pixel_size=pixel_size,
        medium_index=medium_index,
    )
    return 1 + scattered
