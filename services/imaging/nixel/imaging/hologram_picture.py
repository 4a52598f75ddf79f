"""A picture of a reconstructed hologram that a person can look at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST_PANEL, _LARGEST_PANEL = 384, 1024
_MARGIN, _HEADER, _FOOTER = 16, 34, 44
_PAPER, _INK, _FAINT = (16, 18, 22), (236, 238, 240), (150, 156, 164)
_MARK = (255, 196, 0)
_TAILS = (0.05, 99.95)  # percentiles that become the ends of the scale
_SHALLOWEST = 0.02  # range of the amplitude that is shown
# From blue over near-black to orange: zero recedes, and the two signs differ in hue as well as in brightness.
_SIGNED = np.array([[120, 200, 255], [30, 100, 190], [22, 24, 30], [200, 90, 20], [255, 214, 130]], float)


def draw_picture(
    field: NDArray[np.complexfloating[Any, Any]],
    phase: NDArray[np.floating[Any]],
    pixel_size: float,
    mark: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Draw amplitude and phase side by side, each with its scale, over a scale bar.

    Parameters
    ----------
    field
        Complex field, (y, x), in units of the illuminating wave.
    phase
        Its phase, (y, x), rad; wrapped or not.
    pixel_size
        Metres.
    mark
        A point to ring, (y, x) in metres from the first pixel's centre.

    Returns
    -------
    ndarray, uint8, (rows, columns, 3)
        RGB.
    """
    amplitude = np.abs(field)
    low, high = (float(v) for v in np.percentile(amplitude, _TAILS))
    if high - low < _SHALLOWEST:
        # A sample that only delays: what its amplitude differs by is rounding.
        low, high = (low + high - _SHALLOWEST) / 2, (low + high + _SHALLOWEST) / 2
    # Unwrapped, a phase may be far from zero everywhere: the middle of what there is, in whole turns, stands for it.
    middle = 2 * math.pi * round(float(np.median(phase)) / (2 * math.pi))
    swing = max(float(np.percentile(np.abs(phase - phase.dtype.type(middle)), _TAILS[1])), 1e-6)
    rows, columns = field.shape
    scale = _panel_scale(rows, columns)
    size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
    shown = [_resized(values, size, scale) for values in (amplitude, phase)]
    grey = np.repeat((_unit(shown[0], low, high) * 255)[:, :, None], 3, axis=2)
    position = _unit(shown[1], middle - swing, middle + swing) * (len(_SIGNED) - 1)
    stops = np.arange(len(_SIGNED))
    signed = np.stack([np.interp(position, stops, _SIGNED[:, c]) for c in range(3)], axis=2)
    panels = [Image.fromarray(np.rint(p).astype(np.uint8)) for p in (grey, signed)]
    width = 2 * size[0] + 3 * _MARGIN
    canvas = Image.new("RGB", (width, size[1] + _HEADER + _FOOTER), _PAPER)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(15)
    titles = (
        ("Amplitude", f"{low:.2f} to {high:.2f}, light alone is 1"),
        ("Phase", f"{middle - swing:.2f} to {middle + swing:.2f} rad"),
    )
    for index, (panel, (title, legend)) in enumerate(zip(panels, titles, strict=True)):
        left = _MARGIN + index * (size[0] + _MARGIN)
        canvas.paste(panel, (left, _HEADER))
        draw.text((left, _HEADER - 25), title, fill=_INK, font=font)
        draw.text((left + size[0], _HEADER - 25), legend, fill=_FAINT, font=font, anchor="ra")
        if mark is not None:
            y, x = (_HEADER + mark[0] / pixel_size * scale, left + mark[1] / pixel_size * scale)
            radius = max(size) / 24
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_MARK, width=2)
    _draw_scale_bar(draw, font, size, pixel_size / scale)
    if mark is not None:
        draw.text(
            (width - _MARGIN, size[1] + _HEADER + 16),
            "ring: brightest point",
            fill=_MARK,
            font=font,
            anchor="ra",
        )
    return np.asarray(canvas)


def _resized(values: NDArray[Any], size: tuple[int, int], scale: float) -> NDArray[Any]:
    """Numbers for each pixel of a panel: first this and then colours, so that a whole sensor takes little memory."""
    resample = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(values.astype(np.float32, copy=False)).resize(size, resample))


def _unit(values: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Map low to 0 and high to 1, and clip."""
    result: NDArray[Any] = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    return result


def _panel_scale(rows: int, columns: int) -> float:
    """Screen pixels per image pixel: whole numbers for small images, a reduction for large ones."""
    if max(rows, columns) > _LARGEST_PANEL:
        return _LARGEST_PANEL / max(rows, columns)
    return max(1, math.ceil(_SMALLEST_PANEL / max(rows, columns)))


def _draw_scale_bar(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    panel: tuple[int, int],
    metres_per_pixel: float,
) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten, the longest within a quarter of the panel."""
    longest = panel[0] * metres_per_pixel / 4
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))
    top = panel[1] + _HEADER + 21
    pixels = length / metres_per_pixel
    draw.rectangle((_MARGIN, top, _MARGIN + pixels, top + 4), fill=_INK)
    exponent = min(max(math.floor(round(math.log10(length), 9) / 3) * 3, -9), 0)
    # The font that Pillow carries has no micro sign.
    unit = {-9: "nm", -6: "um", -3: "mm", 0: "m"}[exponent]
    label = f"{length / 10.0**exponent:g} {unit}"
    draw.text((_MARGIN + pixels + 10, top - 6), label, fill=_INK, font=font)
