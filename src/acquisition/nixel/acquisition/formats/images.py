"""Still images: PNG, JPEG, TIFF and what else Pillow reads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from nixel.acquisition.formats.atomic import atomic_write

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Pillow's modes that are arrays as they stand; a palette, a bilevel or a CMYK image is not what a sensor
# counted.
_PLAIN_MODES = frozenset({"L", "I;16", "I;16B", "I;16L", "I", "F", "RGB", "RGBA", "LA"})


class ImageFileError(ValueError):
    """A file that cannot be read as the image asked for; the message says which, why, and what to do."""


def read_image(path: str | os.PathLike[str], *, grey: bool = False) -> NDArray[Any]:
    """Read one still image with the numbers it holds, unscaled.

    Parameters
    ----------
    path
        PNG, JPEG, TIFF (8 and 16 bit integers, floats) or another format that Pillow reads.
    grey
        True: a grey image is needed. An image in colour whose channels are all equal is taken as grey; one
        whose channels differ is refused, for which of them the light source is seen in is not for a program
        to guess.

    Returns
    -------
    ndarray, (y, x) or (y, x, channels)
        Counts, in the dtype of the file; always (y, x) with `grey`.

    Raises
    ------
    ImageFileError
        If the file is missing, empty, truncated, no image, of several pages, of a kind whose numbers are no
        counts (palette, bilevel, CMYK), or in colour where grey is needed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ImageFileError(f"{path}: there is no such file; check the name and the folder") from None
    except IsADirectoryError:
        raise ImageFileError(f"{path}: this is a folder; name the image file in it") from None
    except OSError as error:
        raise ImageFileError(f"{path}: the file cannot be read: {error.strerror}") from error
    if not magic:
        raise ImageFileError(f"{path}: the file is empty; copy it again from where it was recorded")
    image = _read_tiff(path) if magic in _TIFF_MAGIC else _read_with_pillow(path)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if 0 in image.shape or image.ndim not in (2, 3):
        raise ImageFileError(f"{path}: expected one image of rows and columns, found shape {image.shape}")
    return _as_grey(image, path) if grey and image.ndim == 3 else image


def _read_tiff(path: Path) -> NDArray[Any]:
    try:
        with tifffile.TiffFile(path) as file:
            if len(file.pages) == 0:
                raise tifffile.TiffFileError("it holds no image")
            if len(file.pages) > 1:
                raise ImageFileError(
                    f"{path}: expected one image, found {len(file.pages)} pages; export the page that "
                    "is meant"
                )
            page = file.pages[0].aspage()
            if page.photometric in (tifffile.PHOTOMETRIC.PALETTE, tifffile.PHOTOMETRIC.SEPARATED):
                raise ImageFileError(_not_counts(path, tifffile.PHOTOMETRIC(page.photometric).name.lower()))
            if page.compression in (tifffile.COMPRESSION.NONE, tifffile.COMPRESSION.ADOBE_DEFLATE):
                return np.asarray(page.asarray())
    except ImageFileError:
        raise
    except (tifffile.TiffFileError, OSError, ValueError, KeyError, IndexError, ArithmeticError) as error:
        raise ImageFileError(_broken(path, error)) from error
    return _read_with_pillow(path)  # Pillow brings the codecs of the other compressions with it


def _read_with_pillow(path: Path) -> NDArray[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                if image.mode not in _PLAIN_MODES:
                    raise ImageFileError(_not_counts(path, f"mode {image.mode}"))
                return np.array(image)
    except UnidentifiedImageError:
        raise ImageFileError(
            f"{path}: this is not an image (expected PNG, JPEG or TIFF); check that it is the file you meant"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageFileError(f"{path}: the image is too large to be read safely: {error}") from error
    except (OSError, SyntaxError, EOFError, ValueError) as error:
        raise ImageFileError(_broken(path, error)) from error


def _as_grey(image: NDArray[Any], path: Path) -> NDArray[Any]:
    """Take the one channel that all colours of an image repeat."""
    colours = image[:, :, :3] if image.shape[2] > 2 else image[:, :, :1]
    if (colours != colours[:, :, :1]).any():
        raise ImageFileError(
            f"{path}: expected a grey image, found one in colour ({image.shape[2]} channels that differ); "
            "save the channel in which the light source is seen as a grey image"
        )
    return np.ascontiguousarray(colours[:, :, 0])


def _broken(path: Path, error: Exception) -> str:
    return f"{path}: the image is truncated or damaged ({error}); copy it again from where it was recorded"


def _not_counts(path: Path, kind: str) -> str:
    return f"{path}: expected an image of counts (grey or RGB), found {kind}; save it as grey PNG or TIFF"


def read_png_texts(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the text chunks before a PNG's pixels, such as Title or Software; of another image there are none.

    Parameters
    ----------
    path
        An image that `read_image` reads.

    Returns
    -------
    dict of str

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return {str(key): str(value) for key, value in image.info.items() if isinstance(value, str)}
    except (UnidentifiedImageError, SyntaxError, ValueError):
        return {}


def write_png(
    path: str | os.PathLike[str], array: NDArray[Any], *, texts: dict[str, str] | None = None
) -> None:
    """Write a PNG, whole or not at all. The same array gives the same bytes.

    Parameters
    ----------
    path
        Where; a file of that name is replaced.
    array
        (y, x) uint8 or uint16, or (y, x, 3) or (y, x, 4) uint8.
    texts
        Text chunks, such as Title or Description.

    Raises
    ------
    ValueError
        If the array is of another shape or dtype.
    OSError
        If the file cannot be written.
    """
    array = np.asarray(array)
    plain = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    if not (plain or colour) or 0 in array.shape:
        raise ValueError(
            f"a PNG holds (y, x) uint8 or uint16, or (y, x, 3 or 4) uint8; found {array.shape} {array.dtype}"
        )
    info = PngInfo()
    for key, value in (texts or {}).items():
        info.add_itxt(key, value)
    with atomic_write(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG", pnginfo=info)
