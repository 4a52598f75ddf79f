"""What the deconvolutions refuse, before any work is done."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.arrays import Array, as_array, is_numpy, like, namespace, to_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray


def checked_image(image: Array, *, counts: bool) -> Array:
    """Return the image as a contiguous array, if it is one that can be deconvolved.

    Parameters
    ----------
    image
        1 to 3 axes, of any library.
    counts
        Whether it must be non-negative, too.

    Raises
    ------
    ValueError
        If it is not float32 or float64, has no or more than three axes, is empty, or holds a value that is not
        finite or, with `counts`, is negative.
    """
    image = as_array(image)
    xp = namespace(image)
    _check_floating("image", image)
    if not 1 <= image.ndim <= 3 or 0 in image.shape:
        raise ValueError(f"image: expected 1, 2 or 3 axes and no empty one, found shape {tuple(image.shape)}")
    if not bool(xp.all(xp.isfinite(image))):
        raise ValueError("image: expected finite values, found NaN or infinity")
    if counts:
        least = float(xp.min(image))
        if least < 0:
            raise ValueError(
                f"image: expected counts of zero or more (give an offset as background), found {least:g}"
            )
    return np.ascontiguousarray(image) if is_numpy(image) else image


def checked_psf(psf: Array, image: Array) -> NDArray[np.float64]:
    """Return the point spread function scaled to sum 1.

    It is small, so that it is prepared in main memory and double precision whatever the image is.

    Raises
    ------
    ValueError
        If it is not float32 or float64, has another number of axes than the image, is longer than the image along
        one, or is empty, holds a value that is negative or not finite, or nothing but zeros.
    """
    psf = as_array(psf)
    _check_floating("psf", psf)
    if psf.ndim != image.ndim or 0 in psf.shape:
        raise ValueError(
            f"psf: expected as many axes as the image ({image.ndim}) and no empty one, found shape {tuple(psf.shape)}"
        )
    if any(k > n for k, n in zip(psf.shape, image.shape, strict=True)):
        raise ValueError(
            f"psf: expected to be no larger than the image {tuple(image.shape)}, found shape {tuple(psf.shape)}"
        )
    values: NDArray[np.float64] = to_numpy(psf).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("psf: expected finite values, found NaN or infinity")
    if values.min() < 0:
        raise ValueError(f"psf: expected values of zero or more, found {values.min():g}")
    peak = values.max()
    if peak == 0:
        raise ValueError("psf: expected a positive sum, found zeros only")
    # Scaled by the peak first: the sum of very large values would overflow.
    values /= peak
    values /= values.sum()
    return values


def checked_background(background: Array | float, image: Array, *, counts: bool) -> Array | float:
    """Return the background as a number, or as an array of the image's library, shape and dtype.

    Raises
    ------
    ValueError
        If it is not finite, is an array that does not broadcast to the image's shape or is not of its dtype, or,
        with `counts`, is negative.
    """
    if isinstance(background, (int, float)):
        if not math.isfinite(background) or (counts and background < 0):
            wanted = "a finite number of zero or more" if counts else "a finite number"
            raise ValueError(f"background: expected {wanted}, found {background!r}")
        return float(background)
    background = as_array(background)
    if is_numpy(background) and background.dtype.kind not in "fiub":
        raise ValueError(f"background: expected a number or an array of numbers, found {background!r}")
    if background.ndim == 0:
        return checked_background(float(background), image, counts=counts)
    xp = namespace(image, background)
    if background.dtype != image.dtype:
        raise ValueError(f"background: expected the image's dtype {image.dtype}, found {background.dtype}")
    if background.ndim > image.ndim or any(
        n not in (1, m) for n, m in zip(background.shape[::-1], image.shape[::-1], strict=False)
    ):
        raise ValueError(
            f"background: expected a number or what broadcasts to the image's shape {tuple(image.shape)}, "
            f"found shape {tuple(background.shape)}"
        )
    if not bool(xp.all(xp.isfinite(background))):
        raise ValueError("background: expected finite values, found NaN or infinity")
    if counts and float(xp.min(background)) < 0:
        raise ValueError(f"background: expected values of zero or more, found {float(xp.min(background)):g}")
    return xp.broadcast_to(background, image.shape)


def _check_floating(name: str, array: Array) -> None:
    xp: Any = namespace(array)
    if array.dtype not in (xp.float32, xp.float64):
        raise ValueError(f"{name}: expected float32 or float64, found {array.dtype}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices.

    Raises
    ------
    ValueError
        That names them.
    """
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, found {value!r}")


def check_count(name: str, value: object) -> None:
    """Refuse what is not an integer of zero or more.

    Raises
    ------
    ValueError
        That says so.
    """
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name}: expected an integer of zero or more, found {value!r}")


def transferred(psf: NDArray[np.float64], image: Array) -> Array:
    """Bring a prepared array to the image's library, device and dtype."""
    return like(psf.astype(numpy_dtype(image)), image)


def numpy_dtype(image: Array) -> type[np.floating[Any]]:
    """Name the image's precision in NumPy's terms."""
    return np.float64 if image.dtype == namespace(image).float64 else np.float32
