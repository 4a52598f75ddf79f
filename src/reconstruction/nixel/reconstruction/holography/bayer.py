"""Holograms of a narrow-band source on a colour camera.

A source of one colour lights all four kinds of pixels, each with the filter's share of it. A raw mosaic of it
is therefore a grey picture times a gain a kind; interpolation between the colours (demosaicing) would only blur
its fringes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.physics.sensor import Bayer

    Channel = Literal["R", "G1", "G2", "B"]


@dataclass(frozen=True)
class BayerPlane:
    """The pixels of one kind.

    Attributes
    ----------
    values
        (rows / 2, columns / 2), counts; float64 for a float64 mosaic, otherwise float32.
    pixel_size
        Pitch of the plane, metres: twice the camera's.
    origin
        (y, x) of its first pixel's centre from that of the mosaic's first pixel, metres.
    """

    values: NDArray[np.floating[Any]]
    pixel_size: float
    origin: tuple[float, float]


def bayer_plane(mosaic: NDArray[Any], channel: Channel, *, bayer: Bayer, pixel_size: float) -> BayerPlane:
    """Take the pixels of one kind out of a raw mosaic, as they are.

    The plane is sampled at twice the pitch, by pixels of the same size: it holds half the detail of the whole
    mosaic, and what is finer is folded into it. `equalise_bayer` keeps all pixels.

    Parameters
    ----------
    mosaic
        Raw frame, (y, x), counts of any real dtype, with or without its offset; both sides even.
    channel
        Which kind: "R", "B", or of the two greens "G1", in the first of two rows, or "G2", in the second.
    bayer
        The mosaic's order.
    pixel_size
        Pitch of the camera, metres.

    Returns
    -------
    BayerPlane

    Raises
    ------
    ValueError
        If the mosaic is not a finite real two-dimensional array with even sides, there is no such channel, or
        the pixel size is not positive.

    References
    ----------
    Bayer, "Color imaging array", US patent 3 971 065 (1976).
    """
    counts = _check_mosaic(mosaic)
    kinds = _kinds(bayer)
    if channel not in kinds:
        raise ValueError(f"channel: expected R, G1, G2 or B, found {channel!r}")
    if not (math.isfinite(pixel_size) and pixel_size > 0):
        raise ValueError(f"pixel_size: expected a positive number in m, found {pixel_size!r}")
    row, column = divmod(kinds.index(channel), 2)
    values = np.array(counts[row::2, column::2], dtype=_float_of(counts), order="C")
    return BayerPlane(values, 2 * pixel_size, (row * pixel_size, column * pixel_size))


def equalise_bayer(
    mosaic: NDArray[Any], *, bayer: Bayer, dark: NDArray[Any] | float = 0.0
) -> tuple[NDArray[np.floating[Any]], dict[str, float]]:
    """Make one grey frame at the camera's full pitch of a mosaic of a narrow-band source.

    Each kind is divided by its gain. The gains are fitted to the frame itself, as the share of the light that
    each kind has counted: for Poisson counts the estimate of maximum likelihood, as long as the picture has
    no structure of a period of exactly two pixels that runs over the whole of it. Its error is that of the
    count, 1 / sqrt(number of electrons of a kind). A kind with a small gain keeps its noise, relative to its
    few electrons: where that matters, take the `bayer_plane` of the brightest kind.

    Divided by a background of the same mosaic (see `correct`) the gains cancel; then this is not needed.

    Parameters
    ----------
    mosaic
        Raw frame, (y, x), counts of any real dtype; both sides even.
    bayer
        The mosaic's order.
    dark
        Counts without light, a number or an array of the mosaic's shape: gains multiply light only.

    Returns
    -------
    ndarray, (y, x)
        Light in counts, with the mean of the mosaic's; float64 for a float64 mosaic, otherwise float32.
    dict
        Gain of R, G1, G2 and B, of mean 1.

    Raises
    ------
    ValueError
        If the mosaic is not a finite real two-dimensional array with even sides, or a kind has seen no light.
    """
    counts = _check_mosaic(mosaic)
    kinds = _kinds(bayer)
    offset = np.asarray(dark)
    if offset.ndim and offset.shape != counts.shape:
        raise ValueError(f"dark: expected a number or shape {counts.shape}, found {offset.shape}")
    if np.iscomplexobj(offset) or not np.isfinite(offset).all():
        raise ValueError("dark: expected real, finite values, found otherwise")
    dtype = _float_of(counts)
    light = counts.astype(dtype) - offset.astype(dtype)
    means = {}
    for index, kind in enumerate(kinds):
        row, column = divmod(index, 2)
        means[kind] = float(light[row::2, column::2].mean(dtype=np.float64))
        if means[kind] <= 0:
            raise ValueError(f"mosaic: expected light on all four kinds of pixels, found none on {kind}")
    mean = sum(means.values()) / 4
    gains = {kind: means[kind] / mean for kind in ("R", "G1", "G2", "B")}
    for index, kind in enumerate(kinds):
        row, column = divmod(index, 2)
        light[row::2, column::2] /= dtype.type(gains[kind])
    return light, gains


def _kinds(bayer: Bayer) -> list[str]:
    """Kinds of the first two by two pixels in reading order, the greens numbered."""
    first, second = bayer.order.index("G"), bayer.order.rindex("G")
    return [{first: "G1", second: "G2"}.get(index, letter) for index, letter in enumerate(bayer.order)]


def _check_mosaic(mosaic: NDArray[Any]) -> NDArray[Any]:
    counts = np.asarray(mosaic)
    if counts.ndim != 2 or counts.size == 0 or counts.shape[0] % 2 or counts.shape[1] % 2:
        raise ValueError(f"mosaic: expected a (y, x) array with even sides, found shape {counts.shape}")
    if np.iscomplexobj(counts) or not np.isfinite(counts).all():
        raise ValueError("mosaic: expected real, finite values, found otherwise")
    return counts


def _float_of(counts: NDArray[Any]) -> np.dtype[Any]:
    return np.dtype(np.float64 if counts.dtype == np.float64 else np.float32)
