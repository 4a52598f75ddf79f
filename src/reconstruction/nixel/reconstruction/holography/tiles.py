"""Whole sensors in bounded memory: tile by tile, with as much overlap as light walks aside."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import array_api_compat

from nixel.physics.arrays import Array, namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Window = tuple[slice, slice]

_SMALLEST_CORE = 64  # pixels: with less, nearly all work would be for overlaps


def reconstruct_in_tiles(
    holograms: Array,
    reconstruct: Callable[[Array, Window], Array],
    *,
    tile: int,
    overlap: int,
    out: Array | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """Reconstruct a field tile by tile.

    Each tile is reconstructed with `overlap` pixels around it and keeps what lies inside; over the half of
    the overlap that is nearer to the tile it fades into its neighbours.

    With the reach of diffraction as the overlap the result differs from that of the whole frame, in simulations
    with samples all over it, by less than 0.01 of the light for back-propagation and for several heights, and by
    less than 0.02 for one hologram with its twin image suppressed (root mean square).

    Parameters
    ----------
    holograms
        (..., y, x), of any array library; also a memory-mapped file: only tiles of it are read.
    reconstruct
        Takes a tile (..., y, x) and where it lies, two slices of the whole; returns its field, complex,
        (y, x).
    tile
        Longest side of a tile with its overlaps, pixels.
    overlap
        Pixels around a tile, see `diffraction_reach`.
    out
        Complex, (y, x), to put the field into, such as a memory-mapped file; None: a new array.
    progress
        Called with (tiles done, tiles in all).

    Returns
    -------
    array, complex, (y, x)

    Raises
    ------
    ValueError
        If a tile has no room for 64 pixels between its overlaps.
    """
    rows, columns = holograms.shape[-2:]
    cuts = [tile_cuts(length, tile, overlap) for length in (rows, columns)]
    total = len(cuts[0]) * len(cuts[1])
    done = 0
    for top, bottom in cuts[0]:
        for left, right in cuts[1]:
            window = (
                slice(max(top - overlap, 0), min(bottom + overlap, rows)),
                slice(max(left - overlap, 0), min(right + overlap, columns)),
            )
            field = reconstruct(holograms[(..., *window)], window)
            xp = namespace(field)
            if out is None:
                out = xp.zeros((rows, columns), dtype=field.dtype, device=array_api_compat.device(field))
            elif not done:
                out[...] = 0
            for axis, (low, high, length) in enumerate(((top, bottom, rows), (left, right, columns))):
                weights = xp.asarray(
                    list(_weights(window[axis], low, high, length, overlap // 2)),
                    dtype=xp.real(field[:1, :1]).dtype,
                    device=array_api_compat.device(field),
                )
                field = field * (weights[:, None] if axis == 0 else weights[None, :])
            out[window] += field
            done += 1
            if progress is not None:
                progress(done, total)
    return out


def tile_for_memory(
    memory: int, bytes_per_pixel: float, shape: tuple[int, int], margin: int, overlap: int
) -> int:
    """Longest side of a square tile whose reconstruction takes at most so much memory.

    Parameters
    ----------
    memory
        Bytes.
    bytes_per_pixel
        What the reconstruction takes for each pixel of its grid.
    shape
        Rows and columns of the whole: no tile is larger.
    margin
        Pixels that the grid has around the tile.
    overlap
        Pixels around what a tile keeps.

    Returns
    -------
    int
        Pixels.

    Raises
    ------
    ValueError
        If the memory is not positive, or too little for the smallest tile.
    """
    if memory <= 0:
        raise ValueError(f"memory: expected a positive number of bytes, found {memory!r}")
    tile = min(max(shape), math.isqrt(int(memory / bytes_per_pixel)) - 2 * margin)
    smallest = min(2 * overlap + _SMALLEST_CORE, max(shape))
    if tile < smallest:
        needed = math.ceil((smallest + 2 * margin) ** 2 * bytes_per_pixel)
        raise ValueError(
            f"memory: expected at least {needed} bytes ({math.ceil(needed / 2**20)} MiB), with {overlap} pixels around "
            f"a tile, found {memory!r}"
        )
    return tile


def tile_cuts(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Cut a side into equal pieces that fit, with their overlaps, into a tile.

    Parameters
    ----------
    length
        Of the side, pixels.
    tile
        Longest side of a tile with its overlaps, pixels.
    overlap
        Pixels around a piece.

    Returns
    -------
    list of (int, int)
        First pixel and the one after the last, of each piece.

    Raises
    ------
    ValueError
        If a tile has no room for 64 pixels between its overlaps.
    """
    if length <= tile:
        return [(0, length)]
    core = tile - 2 * overlap
    if core < _SMALLEST_CORE:
        raise ValueError(
            f"tile: expected at least {2 * overlap + _SMALLEST_CORE} pixels with an overlap of {overlap}, "
            f"found {tile}: allow more memory"
        )
    pieces = math.ceil(length / core)
    edges = [round(index * length / pieces) for index in range(pieces + 1)]
    return list(itertools.pairwise(edges))


def _weights(window: slice, low: int, high: int, length: int, fade: int) -> Iterator[float]:
    """Share of a tile in the result along one axis: of all tiles together 1 everywhere."""
    for index in range(window.start, window.stop):
        rise = 1.0 if low == 0 else (index + 0.5 - low + fade / 2) / fade if fade else float(index >= low)
        fall = (
            1.0 if high == length else (high + fade / 2 - index - 0.5) / fade if fade else float(index < high)
        )
        yield min(max(rise, 0.0), 1.0) * min(max(fall, 0.0), 1.0)
