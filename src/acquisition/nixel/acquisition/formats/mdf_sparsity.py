"""Compressed system matrices: cosine transformations over the grid, of which the greatest coefficients are kept.

References
----------
Knopp et al., arXiv:1602.06072 (MDF 2.1.0), section 2.8; Knopp and Weber, Local system matrix compression for efficient
reconstruction in magnetic particle imaging, Advances in Mathematical Physics 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["SparseFrames", "compress", "cosine_matrix", "expand"]


def cosine_matrix(name: str, size: int) -> NDArray[np.float64]:
    """The orthogonal matrix of a discrete cosine transformation.

    Parameters
    ----------
    name
        ``"DCT-I"``, ``"DCT-II"``, ``"DCT-III"`` or ``"DCT-IV"``.
    size
        Numbers in and out.

    Returns
    -------
    array of float64, shape (size, size)
        To be multiplied from the left.

    Raises
    ------
    ValueError
        There is no such transformation.
    """
    n = np.arange(size)
    if name == "DCT-I":
        if size == 1:
            return np.ones((1, 1))
        ends = np.where((n == 0) | (n == size - 1), np.sqrt(0.5), 1.0)
        return np.asarray(
            np.sqrt(2 / (size - 1)) * np.outer(ends, ends) * np.cos(np.pi * np.outer(n, n) / (size - 1))
        )
    if name in ("DCT-II", "DCT-III"):
        matrix = np.sqrt(2 / size) * np.cos(np.pi * np.outer(n, 2 * n + 1) / (2 * size))
        matrix[0] *= np.sqrt(0.5)
        return np.asarray(matrix if name == "DCT-II" else matrix.T)
    if name == "DCT-IV":
        return np.asarray(np.sqrt(2 / size) * np.cos(np.pi * np.outer(2 * n + 1, 2 * n + 1) / (4 * size)))
    raise ValueError(f"expected DCT-I, DCT-II, DCT-III or DCT-IV, found {name!r}")


def _apply(data: NDArray[Any], name: str, size: Sequence[int], *, inverse: bool) -> NDArray[Any]:
    """Transform the last axis, a grid whose first dimension runs fastest."""
    grid = data.reshape(*data.shape[:-1], *reversed(size))
    for axis, count in enumerate(size):
        matrix = cosine_matrix(name, count).astype(data.real.dtype)
        grid = np.moveaxis(
            np.tensordot(matrix.T if inverse else matrix, grid, axes=(1, grid.ndim - 1 - axis)), 0, -1 - axis
        )
    return np.ascontiguousarray(grid).reshape(data.shape)


def compress(
    data: NDArray[Any], name: str, size: Sequence[int], kept: int
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Keep the greatest coefficients of each frequency.

    Parameters
    ----------
    data : array of complex, shape (..., O)
        Foreground frames last.
    name : str
        As for `cosine_matrix`.
    size : sequence of int
        Voxels along each axis, the fastest first; their product is O.
    kept : int
        B, of O.

    Returns
    -------
    coefficients : array of complex, shape (..., B)
    indices : array of int32, shape (..., B)
        From 1, ascending.
    """
    transformed = _apply(data, name, size, inverse=False)
    greatest = np.argsort(-np.abs(transformed), axis=-1, kind="stable")[..., :kept]
    indices = np.sort(greatest, axis=-1)
    return np.take_along_axis(transformed, indices, axis=-1), (indices + 1).astype(np.int32)


def expand(
    coefficients: NDArray[Any], indices: NDArray[np.integer[Any]], name: str, size: Sequence[int]
) -> NDArray[Any]:
    """Undo `compress`; what was not kept is taken for 0.

    Parameters
    ----------
    coefficients, indices, name, size
        As `compress` gives and takes them.

    Returns
    -------
    array, shape (..., O)

    Raises
    ------
    ValueError
        An index is not from 1 to O, or there is no such transformation.
    """
    voxels = int(np.prod(size))
    if indices.size and (indices.min() < 1 or indices.max() > voxels):
        raise ValueError(f"expected indices from 1 to {voxels}, found {indices.min()} to {indices.max()}")
    whole = np.zeros((*coefficients.shape[:-1], voxels), dtype=coefficients.dtype)
    np.put_along_axis(whole, indices.astype(np.int64) - 1, coefficients, axis=-1)
    return _apply(whole, name, size, inverse=True)


class SparseFrames:
    """Frames of a compressed matrix, expanded when they are asked for.

    Parameters
    ----------
    data : array-like of complex, shape (J, C, K, B + E)
        In memory or in a file: coefficients, then background frames.
    indices : array-like of int, shape (J, C, K, B)
    name : str
    size : sequence of int
        As for `compress`.
    """

    def __init__(self, data: Any, indices: Any, name: str, size: Sequence[int]) -> None:  # noqa: ANN401
        self._data, self._indices, self._name, self._size = data, indices, name, tuple(size)
        self._kept = indices.shape[-1]
        frames = int(np.prod(self._size)) + data.shape[-1] - self._kept
        self.shape = (*data.shape[:-1], frames)
        self.ndim, self.dtype = 4, data.dtype

    def frames(self, start: int, stop: int) -> NDArray[Any]:
        """Frames from `start` up to `stop`, shape (J, C, K, frames); one channel's matrix at a time is expanded."""
        periods, channels = self.shape[:2]
        count = len(range(*slice(start, stop).indices(self.shape[-1])))
        result = np.empty((*self.shape[:-1], count), dtype=self.dtype)
        for period in range(periods):
            for channel in range(channels):
                stored, indices = self._data[period, channel], self._indices[period, channel]
                foreground = expand(stored[:, : self._kept], indices, self._name, self._size)
                whole = np.concatenate([foreground, stored[:, self._kept :]], axis=-1)
                result[period, channel] = whole[:, start:stop]
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: ANN401
        """All frames, shape (J, C, K, N)."""
        if copy is False:
            raise ValueError("compressed frames have to be expanded into memory of their own")
        return np.asarray(self.frames(0, self.shape[-1]), dtype=dtype)
