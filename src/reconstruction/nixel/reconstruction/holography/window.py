"""The part of a frame with the most to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 16  # pixels


def busiest_window(frame: NDArray[Any], side: int) -> tuple[slice, slice]:
    """Window of at most so many pixels a side whose neighbours differ the most.

    Parameters
    ----------
    frame
        (y, x), real.
    side
        Pixels; what is shorter is taken whole.

    Returns
    -------
    tuple of slice
        Rows and columns.
    """
    rows, columns = frame.shape
    height, width = min(side, rows), min(side, columns)
    if (height, width) == (rows, columns):
        return slice(0, rows), slice(0, columns)
    # Sums of squared differences over blocks, so that no whole frame is copied; then over windows of blocks.
    down, right = -(-rows // _BLOCK), -(-columns // _BLOCK)
    sums = np.zeros((down + 1, right + 1))
    starts = np.arange(0, columns, _BLOCK)
    for index in range(down):
        strip = frame[index * _BLOCK : (index + 1) * _BLOCK + 1].astype(np.float64)
        energy = np.zeros(columns)
        energy += (np.diff(strip, axis=0) ** 2).sum(axis=0)
        energy[:-1] += (np.diff(strip[:_BLOCK], axis=1) ** 2).sum(axis=0)
        sums[index + 1, 1:] = np.add.reduceat(energy, starts)
    sums = sums.cumsum(axis=0).cumsum(axis=1)
    tall, wide = max(1, height // _BLOCK), max(1, width // _BLOCK)
    inside = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    top, left = min(int(row) * _BLOCK, rows - height), min(int(column) * _BLOCK, columns - width)
    return slice(top, top + height), slice(left, left + width)
