"""A picture of a curve that a person can look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_WIDTH, _HEIGHT = 900, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 44, 56
_FINE = 2  # drawn so much larger and reduced, for smooth lines
_PAPER, _INK, _FAINT, _GRID, _MARK = (
    (16, 18, 22),
    (236, 238, 240),
    (150, 156, 164),
    (44, 48, 56),
    (255, 196, 0),
)
_LINES = ((90, 170, 255), (245, 140, 40), (110, 210, 130))


@dataclass(frozen=True)
class Axis:
    """What an axis says and how it is divided.

    Attributes
    ----------
    title
        With its unit.
    decades
        Whether it is logarithmic; values that are not positive are left out then.
    """

    title: str
    decades: bool = False


def draw_curves(
    x: NDArray[Any],
    curves: Sequence[tuple[str, NDArray[Any]]],
    across: Axis,
    up: Axis,
    *,
    mark: tuple[float, str] | None = None,
) -> NDArray[np.uint8]:
    """Draw curves over one axis.

    Parameters
    ----------
    x
        (n,), increasing.
    curves
        Name and values (n,) of each, at most three.
    across, up
        The axes.
    mark
        Where on the first axis a line stands, and what it says.

    Returns
    -------
    ndarray, uint8, (rows, columns, 3)
        RGB. The same curves give the same picture.
    """
    places = np.asarray(x, dtype=np.float64)
    heights = [_scaled(np.asarray(values, dtype=np.float64), up) for _, values in curves]
    known = np.concatenate([values[np.isfinite(values)] for values in heights])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if up.decades:
        low, high = math.floor(low), math.ceil(max(high, math.floor(low) + 1))
    else:
        pad = 0.05 * (high - low) or max(abs(high), 1.0)
        low, high = low - pad, high + pad
    left, right = float(places[0]), float(places[-1])
    canvas = Image.new("RGB", (_FINE * _WIDTH, _FINE * _HEIGHT), _PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(15 * _FINE)

    def place(value: float) -> float:
        return _FINE * (_LEFT + (value - left) / ((right - left) or 1.0) * (_WIDTH - _LEFT - _RIGHT))

    def height(value: float) -> float:
        return _FINE * (_HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM))

    for tick in _ticks(low, high, 6, whole=up.decades):
        draw.line((place(left), height(tick), place(right), height(tick)), fill=_GRID, width=_FINE)
        text = f"{10.0**tick:g}" if up.decades else f"{tick:g}"
        draw.text((place(left) - 10 * _FINE, height(tick)), text, fill=_FAINT, font=font, anchor="rm")
    for tick in _ticks(left, right, 8):
        draw.line((place(tick), height(low), place(tick), height(low) + 6 * _FINE), fill=_FAINT, width=_FINE)
        draw.text((place(tick), height(low) + 18 * _FINE), f"{tick:g}", fill=_FAINT, font=font, anchor="mm")
    for (name, _), values, colour, number in zip(curves, heights, _LINES, range(3), strict=False):
        if len(curves) > 1:
            draw.text(
                (_FINE * (_WIDTH - _RIGHT - 110 * number), _FINE * 16),
                name,
                fill=colour,
                font=font,
                anchor="ra",
            )
        # Runs of known values, each a line.
        known_at = np.flatnonzero(np.isfinite(values))
        for run in np.split(known_at, np.flatnonzero(np.diff(known_at) > 1) + 1):
            if not run.size:
                continue
            points = [
                (place(float(a)), height(float(b))) for a, b in zip(places[run], values[run], strict=True)
            ]
            draw.line([*points, points[-1]], fill=colour, width=2 * _FINE, joint="curve")
    if mark is not None:
        at = place(mark[0])
        draw.line((at, height(low), at, height(high)), fill=_MARK, width=_FINE)
        side = "l" if at < _FINE * _WIDTH / 2 else "r"
        beside = at + (8 if side == "l" else -8) * _FINE
        draw.text((beside, height(high) + 12 * _FINE), mark[1], fill=_MARK, font=font, anchor=f"{side}m")
    draw.text((_FINE * 16, _FINE * 12), up.title, fill=_INK, font=font)
    middle = (place(left) + place(right)) / 2
    draw.text((middle, _FINE * (_HEIGHT - 14)), across.title, fill=_INK, font=font, anchor="mm")
    return np.asarray(canvas.resize((_WIDTH, _HEIGHT), Image.Resampling.BOX))


def _scaled(values: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    if not axis.decades:
        return values
    return np.log10(values, out=np.full(values.shape, np.nan), where=values > 0)


def _ticks(low: float, high: float, about: int, *, whole: bool = False) -> list[float]:
    """Give round numbers in a range, some `about` of them; whole ones where they are powers of ten."""
    raw = max((high - low) / about, 1.0 if whole else 0.0)
    power = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9)), 1.0)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]
