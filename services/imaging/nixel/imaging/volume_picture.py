"""A picture of a volume that a person can look at: its brightest along each axis, to scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nixel.imaging.rendering import colour_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.acquisition.formats.volumes import Volume

_LONGEST = 512  # pixels of the longest edge
_SMALLEST = 8
_MARGIN, _HEADER, _FOOTER, _WIDTH = 16, 34, 44, 300
_LEGEND = 220  # pixels of the widest scale bar with its length, in a narrow picture
_PAPER, _INK, _FAINT = (16, 18, 22), (236, 238, 240), (150, 156, 164)


def draw_volume(volume: Volume) -> NDArray[np.uint8]:
    """Draw the largest value along z, y and x, one beside the other, over a scale bar; of frames, the first.

    Parameters
    ----------
    volume
        Values that are not finite are drawn as the smallest.

    Returns
    -------
    ndarray, uint8, (rows, columns, 3)
        RGB. The scale of colours is that of the square root between the smallest and the largest value, in which
        faint light is seen beside bright; where there are negative values, it is even. The name of the volume stands
        below. The same volume gives the same picture.
    """
    data = np.asarray(volume.frames[0])
    finite = data[np.isfinite(data)] if data.dtype.kind == "f" else data
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    size = [count * step for count, step in zip(data.shape, volume.spacing, strict=True)]
    pixels_per_metre = _LONGEST / max(size)
    height, rows, columns = (max(_SMALLEST, round(edge * pixels_per_metre)) for edge in size)
    # Seen along z, along y and along x: x runs to the right, or y where x is looked along; y and z run downwards.
    panels = [
        (data.max(axis=0), rows, columns, "x right, y down"),
        (data.max(axis=1), height, columns, "x, z"),
        (data.max(axis=2), height, rows, "y, z"),
    ]
    if data.shape[0] == 1:
        panels = panels[:1]
    width = max(_WIDTH, sum(panel[2] for panel in panels) + _MARGIN * (len(panels) + 1))
    canvas = Image.new("RGB", (width, max(panel[1] for panel in panels) + _HEADER + _FOOTER), _PAPER)
    draw, font, left = ImageDraw.Draw(canvas), ImageFont.load_default(15), _MARGIN
    for values, down, across, title in panels:
        image = Image.fromarray(_coloured(values, low, high))
        enlarged = down >= values.shape[0] and across >= values.shape[1]
        resample = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
        canvas.paste(image.resize((across, down), resample), (left, _HEADER))
        draw.text((left, _HEADER - 25), title, fill=_INK, font=font)
        left += across + _MARGIN
    draw.text(
        (width - _MARGIN, _HEADER - 25), f"{low:.3g} to {high:.3g}", fill=_FAINT, font=font, anchor="ra"
    )
    _scale_bar(draw, font, canvas.height - 27, pixels_per_metre, columns)
    # The font that Pillow carries has no letters but these.
    name = "".join(letter if " " <= letter <= "~" else "?" for letter in volume.name)
    room = width - 2 * _MARGIN - _LEGEND
    while name and draw.textlength(name, font=font) > room:
        name = name[:-1]
    draw.text((width - _MARGIN, canvas.height - 33), name, fill=_FAINT, font=font, anchor="ra")
    return np.asarray(canvas)


def _coloured(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    span = high - low
    unit = (values.astype(np.float64) - low) / span if span > 0 else np.zeros(values.shape)
    scaled = np.clip(np.nan_to_num(unit, nan=0.0, posinf=0.0, neginf=0.0), 0, 1)
    index = np.rint((np.sqrt(scaled) if low >= 0 else scaled) * 255)
    colours: NDArray[np.uint8] = colour_map()[index.astype(np.intp)]
    return colours


def _scale_bar(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    top: int,
    pixels_per_metre: float,
    across: int,
) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten, the longest within half of the first panel."""
    longest = max(across, 4 * _SMALLEST) / 2 / pixels_per_metre
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))
    pixels = length * pixels_per_metre
    draw.rectangle((_MARGIN, top, _MARGIN + pixels, top + 4), fill=_INK)
    exponent = min(max(math.floor(round(math.log10(length), 9) / 3) * 3, -9), 0)
    # The font that Pillow carries has no micro sign.
    unit = {-9: "nm", -6: "um", -3: "mm", 0: "m"}[exponent]
    draw.text((_MARGIN + pixels + 10, top - 6), f"{length / 10.0**exponent:g} {unit}", fill=_INK, font=font)
