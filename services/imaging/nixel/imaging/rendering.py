"""Pictures for people: a PNG of a reconstructed picture, with its scale."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# Anchors of a black-red-yellow-white map, monotone in lightness, so that it reads in grey as well.
_ANCHORS = np.array(
    [[0, 0, 0], [87, 15, 60], [190, 40, 50], [245, 140, 40], [252, 220, 120], [255, 255, 255]]
)
_SIDE = 500  # pixels of the longer side, at least


def colour_map() -> NDArray[np.uint8]:
    """256 colours, shape (256, 3), from none to all."""
    position = np.linspace(0, 1, len(_ANCHORS))
    channels = [np.interp(np.linspace(0, 1, 256), position, _ANCHORS[:, c]) for c in range(3)]
    return np.asarray(np.rint(np.stack(channels, axis=-1)), dtype=np.uint8)


def png(picture: NDArray[np.floating[Any]], text: dict[str, str]) -> bytes:
    """Render a picture, each voxel a square, zero black, the largest value white.

    Parameters
    ----------
    picture : array of float, shape (y, x)
        Non-negative; y points up, as in the instrument.
    text : dict
        Embedded in the file: keyword to text.

    Returns
    -------
    bytes
        The PNG file; the same picture and text give the same bytes.
    """
    top = float(picture.max(initial=0.0))
    scaled = np.clip(picture / top, 0, 1) if top > 0 else np.zeros_like(picture)
    colours = colour_map()[np.rint(scaled * 255).astype(np.intp)][::-1]
    factor = max(1, -(-_SIDE // max(picture.shape)))
    image = Image.fromarray(np.kron(colours, np.ones((factor, factor, 1), dtype=np.uint8)))
    info = PngInfo()
    for keyword, value in text.items():
        info.add_itxt(keyword, value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
