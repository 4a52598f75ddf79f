"""Arrays larger than the memory they may take: walked through in contiguous blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["BLOCK", "blocks"]

BLOCK = 2**24
"""Bytes."""


def blocks(
    array: NDArray[Any], largest: int = BLOCK
) -> Iterator[tuple[tuple[int | slice, ...], NDArray[Any]]]:
    """Give an array's parts in C order.

    Parameters
    ----------
    array : array
        It may be a file that is mapped into memory, or a view with any strides.
    largest : int
        Bytes that a block may have; one element is always given.

    Yields
    ------
    index : tuple
        Where the block belongs.
    block : array
        Contiguous; the array itself where it is, and small enough.
    """
    if array.nbytes <= largest or array.ndim == 0:
        yield (...,), np.ascontiguousarray(array).reshape(array.shape)  # type: ignore[misc]
        return
    row = array.nbytes // len(array)
    step = max(1, largest // row)
    for start in range(0, len(array), step):
        if row > largest:
            for index, block in blocks(array[start], largest):
                yield (start, *index), block
        else:
            part = slice(start, min(start + step, len(array)))
            yield (part,), np.ascontiguousarray(array[part])
