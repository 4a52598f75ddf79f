"""Matrices that are read a block of rows at a time, from memory or from a file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import array_api_compat
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray


class RowSource(Protocol):
    """What has a shape, a dtype, and rows: an array of any library, a numpy.memmap, an h5py.Dataset, SelectedRows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, voxels)."""

    @property
    def dtype(self) -> Any:  # noqa: ANN401  each array library has its own
        """Of the values."""

    def __getitem__(self, rows: Any, /) -> Any:  # noqa: ANN401  slices in, an array of any library out
        """Give the rows of a slice, as an array of shape (rows, voxels)."""


class SelectedRows:
    """Weighted rows of a system matrix in a file, read when they are asked for.

    Parameters
    ----------
    data : array, h5py.Dataset or the like, shape (..., channels, frequencies, voxels)
        Complex. MDF keeps calibrations in this order, with one period in front. Leading axes must be of length one.
    selection : array of int, shape (rows, 2)
        Channel and frequency of each row.
    weights : array of float, shape (rows,), optional
        Each row is multiplied by its own.
    voxels : int, optional
        How many of the last axis are the matrix; MDF keeps the background frames behind them.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """

    def __init__(
        self,
        data: Any,  # noqa: ANN401  an array or what reads like one
        selection: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        voxels: int | None = None,
    ) -> None:
        if len(data.shape) < 3 or any(length != 1 for length in data.shape[:-3]):
            raise ValueError(
                f"data: expected shape (channels, frequencies, voxels), with ones in front, found {data.shape}"
            )
        channels, frequencies, stored = data.shape[-3:]
        chosen = np.asarray(selection)
        if chosen.ndim != 2 or chosen.shape[1] != 2 or len(chosen) == 0 or chosen.dtype.kind not in "iu":
            raise ValueError(
                f"selection: expected integers of shape (rows, 2), found {chosen.dtype} {chosen.shape}"
            )
        if (chosen < 0).any() or (chosen >= (channels, frequencies)).any():
            raise ValueError(
                f"selection: expected channels below {channels} and frequencies below {frequencies}, "
                f"found up to {chosen.max(axis=0)} and from {chosen.min(axis=0)}"
            )
        if voxels is not None and not 1 <= voxels <= stored:
            raise ValueError(f"voxels: expected 1 to {stored}, found {voxels!r}")
        factors = None if weights is None else np.asarray(weights)
        if factors is not None and (factors.shape != (len(chosen),) or not np.isfinite(factors).all()):
            raise ValueError(f"weights: expected {len(chosen)} finite numbers, found shape {factors.shape}")
        self._data, self._selection, self._weights = data, chosen, factors
        self._lead = (0,) * (len(data.shape) - 3)
        self.shape = (len(chosen), stored if voxels is None else voxels)
        self.dtype = data.dtype

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Read the rows of a slice."""
        chosen = self._selection[rows]
        block = np.empty((len(chosen), self.shape[1]), dtype=self.dtype)
        for place, (channel, frequency) in enumerate(chosen):
            block[place] = self._data[(*self._lead, int(channel), int(frequency), slice(self.shape[1]))]
        if self._weights is not None:
            block *= self._weights[rows, None].astype(block.real.dtype)
        return block


def in_memory(source: RowSource) -> bool:
    """Tell whether the rows need not be read first."""
    # A memmap is an ndarray, too: its rows are in the file.
    return bool(array_api_compat.is_array_api_obj(source)) and not isinstance(source, np.memmap)


def parts(rows: int, block: int) -> list[slice]:
    """Slices of `block` rows, the last one shorter where they do not fit."""
    return [slice(start, min(start + block, rows)) for start in range(0, rows, block)]


def blocks(source: RowSource, slices: list[slice]) -> Iterator[tuple[slice, Any]]:
    """Give slice and rows of one block after the other.

    Of a file, the next block is read in a thread of its own meanwhile: two blocks are in memory.
    """
    if in_memory(source):
        for part in slices:
            yield part, source[part, :]
        return
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(_read, source, slices[0])
        for part, following in zip(slices, [*slices[1:], None], strict=True):
            rows = ahead.result()
            if following is not None:
                ahead = reader.submit(_read, source, following)
            yield part, rows


def _read(source: RowSource, part: slice) -> NDArray[Any]:
    return np.array(source[part], order="C", subok=False)
