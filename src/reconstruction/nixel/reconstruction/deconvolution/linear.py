"""Wiener deconvolution: the best linear estimate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nixel.physics.arrays import Array, as_array, check_workers, irfftn, is_numpy, like, namespace, rfftn
from nixel.reconstruction.deconvolution.checks import (
    check_choice,
    checked_background,
    checked_image,
    checked_psf,
    transferred,
)
from nixel.reconstruction.deconvolution.grid import Grid, transfer_function

if TYPE_CHECKING:
    from collections.abc import Sequence


def wiener(
    image: Array,
    psf: Array,
    noise_to_signal: Array | float,
    *,
    background: Array | float = 0.0,
    boundary: str = "reflect",
    workers: int = 1,
) -> Array:
    """Deconvolve an image by the linear filter conj(H) / (|H|^2 + noise_to_signal), H the transfer function.

    With the ratio of the noise's to the object's power spectrum it is the linear estimate of least mean square error.
    A constant ratio is the right one for white noise and a white object, and is the parameter of Tikhonov's
    regularisation: the result minimises ||H x - image||^2 + noise_to_signal ||x - mean||^2. The mean is kept: at
    frequency zero the ratio is taken as zero. The result may be negative.

    Parameters
    ----------
    image : array, float32 or float64, 1 to 3 axes
        Of any array library.
    psf : array, float32 or float64
        Point spread function, as `richardson_lucy` takes it.
    noise_to_signal : float or array
        Power of the noise over the power of the object, both per sample or both spectral densities: a positive number,
        or an array of the image's dtype, zero or more, over the frequencies of the half spectrum. The array's shape is
        `spectrum_shape(image.shape, psf.shape, boundary)`.
    background : float or array
        Subtracted first; a number or what broadcasts to the image.
    boundary : "reflect" or "periodic"
        "reflect": beyond its edges the image goes on mirrored, faded into what comes from the opposite edge, as far
        as the point spread function reaches. "periodic": the image repeats.
    workers : int
        Threads, for NumPy arrays. The result does not depend on it.

    Returns
    -------
    array, the image's shape, dtype and library

    Raises
    ------
    ValueError
        If the image, the point spread function or the background is not as above (dtype, axes, finite, sizes),
        noise_to_signal is not positive or does not have the spectrum's shape, is zero where the transfer function is,
        or an option is none of those named.

    References
    ----------
    Wiener, Extrapolation, Interpolation, and Smoothing of Stationary Time Series, MIT Press 1949; Gonzalez, Woods,
    Digital Image Processing, 4th ed., section 5.8.
    """
    image = checked_image(image, counts=False)
    xp = namespace(image)
    kernel = checked_psf(psf, image)
    background = checked_background(background, image, counts=False)
    check_choice("boundary", boundary, ("reflect", "periodic"))
    check_workers(workers)
    grid = _grid(image.shape, kernel.shape, boundary)
    ratio = _checked_ratio(noise_to_signal, image, grid)

    axes = tuple(range(image.ndim))
    transfer = transfer_function(kernel, grid, image, workers=workers)
    power = xp.real(transfer) ** 2 + xp.imag(transfer) ** 2 + ratio
    if float(xp.min(power)) == 0:
        raise ValueError(
            "noise_to_signal: expected a positive value wherever the transfer function is zero, found zero"
        )
    # The point spread function's sum is 1, and so is the filter's gain at frequency zero, once the ratio is left out.
    spectrum = rfftn(_continued(image - background, grid.shape), None, axes, workers=workers)
    zero = (0,) * image.ndim
    mean = xp.asarray(spectrum[zero], copy=True)
    spectrum = spectrum * (xp.conj(transfer) / power)
    spectrum[zero] = mean
    result = irfftn(spectrum, grid.shape, axes, workers=workers)
    return xp.asarray(result[tuple(slice(n) for n in image.shape)], copy=True)


def spectrum_shape(
    image_shape: Sequence[int], psf_shape: Sequence[int], boundary: str = "reflect"
) -> tuple[int, ...]:
    """Shape of the half spectrum that `wiener` filters, for a noise_to_signal by frequency.

    Parameters
    ----------
    image_shape, psf_shape
        Lengths along each axis.
    boundary : "reflect" or "periodic"
        As for `wiener`.

    Returns
    -------
    tuple of int
        Entry k of an axis of length n is the frequency k / n cycles a sample, or (k - n) / n beyond the middle; the
        last axis, of n // 2 + 1 entries, holds those of zero or more. n is the image's length for "periodic".
    """
    *others, last = _grid(image_shape, psf_shape, boundary).shape
    return (*others, last // 2 + 1)


def _grid(image: Sequence[int], psf: Sequence[int], boundary: str) -> Grid:
    return Grid(
        tuple(image), tuple(psf), "periodic" if boundary == "periodic" else "zero-loss", len(image) - 1
    )


def _checked_ratio(noise_to_signal: Array | float, image: Array, grid: Grid) -> Array | float:
    if isinstance(noise_to_signal, (int, float)):
        if not (math.isfinite(noise_to_signal) and noise_to_signal > 0):
            raise ValueError(f"noise_to_signal: expected a positive number, found {noise_to_signal!r}")
        return float(noise_to_signal)
    ratio = as_array(noise_to_signal)
    if is_numpy(ratio) and ratio.dtype.kind not in "fiub":
        raise ValueError(f"noise_to_signal: expected a positive number, found {noise_to_signal!r}")
    if ratio.ndim == 0:
        return _checked_ratio(float(ratio), image, grid)
    xp = namespace(image, ratio)
    shape = (*grid.shape[:-1], grid.shape[-1] // 2 + 1)
    if tuple(ratio.shape) != shape or ratio.dtype != image.dtype:
        raise ValueError(
            f"noise_to_signal: expected a number, or {image.dtype} of the half spectrum's shape {shape}, "
            f"found {ratio.dtype} of shape {tuple(ratio.shape)}"
        )
    if not bool(xp.all(xp.isfinite(ratio))) or float(xp.min(ratio)) < 0:
        raise ValueError("noise_to_signal: expected finite values of zero or more, found others")
    return ratio


def _continued(image: Array, shape: Sequence[int]) -> Array:
    """Continue the image to `shape`, cyclically: mirrored at both edges, the one fading into the other."""
    xp = namespace(image)
    for axis, length in enumerate(shape):
        n = image.shape[axis]
        gap = length - n
        if gap == 0:
            continue
        index = np.arange(gap)
        # Mirrored at both edges it has the period 2 n, so that a gap may be longer than the image.
        right, left = ((n + index) % (2 * n), (gap - 1 - index) % (2 * n))
        right, left = (like(np.minimum(place, 2 * n - 1 - place), image) for place in (right, left))
        weight = ((index + 0.5) / gap).reshape(-1, *(1,) * (image.ndim - 1 - axis))
        end = xp.take(image, right, axis=axis)
        begin = xp.take(image, left, axis=axis)
        share = transferred(weight, image)
        image = xp.concat([image, end * (1 - share) + begin * share], axis=axis)
    return image
