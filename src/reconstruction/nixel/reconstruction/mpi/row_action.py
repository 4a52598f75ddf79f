"""Sweeps of the regularised Kaczmarz method over a matrix, a block of rows at a time.

Within a block, a_k.x after the steps before it is a_k.x_0 + sum_j (a_k.conj(a_j)) beta_j, so that its steps are the
solution of one triangular system with a prepared inverse T, and two products with the block remain: the residual and
the update. The block is small enough to stay in the cache between the two: the matrix is read once a sweep.

What is swept here is the complex conjugate of the system, conj(A) y = conj(u), y = conj(x). Its residual is F^H y and
its update F beta with F the transpose of the block, which lies in memory in the order that the BLAS wants: no
conjugate of the matrix is ever made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import blas, solve_triangular

from nixel.physics.arrays import Array, is_numpy, like, namespace, to_numpy
from nixel.reconstruction.mpi.measured import checked_matrix
from nixel.reconstruction.mpi.rows import blocks, in_memory, parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nixel.reconstruction.mpi.rows import RowSource

# What a block may fill, so that its second reading comes from the cache; at least so many rows, at most so many.
_BLOCK_BYTES = 1 << 20
_FEWEST, _MOST = 16, 256


class RowAction:
    """A matrix prepared for sweeps.

    Parameters
    ----------
    matrix : RowSource of complex, shape (rows, voxels)
        Read once, a block at a time; an array in memory is kept as it is, without a copy where it is C-ordered.
    block : int or None
        Rows taken together; None: as many as stay in the cache.
    progress : callable, optional
        Called with (blocks done, blocks in all).

    Attributes
    ----------
    shape : tuple of int
    energy : array of float64, shape (rows,)
        Squared norm of each row.

    Raises
    ------
    ValueError
        If the matrix is not complex and two-dimensional, is empty, or holds a value that is not finite.
    """

    def __init__(
        self,
        matrix: RowSource,
        block: int | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.shape, self.dtype = checked_matrix(matrix)
        if block is not None and block < 1:
            raise ValueError(f"block: expected at least one row, found {block!r}")
        rows, voxels = self.shape
        if block is None:
            block = min(max(_BLOCK_BYTES // (voxels * self.dtype.itemsize), _FEWEST), _MOST)
        self._matrix: RowSource = np.ascontiguousarray(matrix) if _plain(matrix) else matrix
        self._numpy = not in_memory(matrix) or is_numpy(matrix)
        self._parts = parts(rows, block)
        self._grams: list[NDArray[Any]] = []
        self._inverses: list[Array] = []
        self.energy = np.empty(rows)
        for done, (part, values) in enumerate(blocks(self._matrix, self._parts), start=1):
            gram = self._gram(values)
            energy = row_energy(values)
            if not np.isfinite(energy).all():
                raise ValueError("matrix: expected finite values, found NaN or infinity")
            self.energy[part] = energy
            self._grams.append(gram)
            self._example = values
            if progress is not None:
                progress(done, len(self._parts))

    def regularise(self, regularisation: float) -> None:
        """Prepare the steps for lambda = `regularisation`, zero or more."""
        self.regularisation = regularisation
        self._inverses = []
        for part, gram in zip(self._parts, self._grams, strict=True):
            diagonal = self.energy[part] + regularisation
            # A row without energy carries no information and, unregularised, would divide by zero.
            idle = diagonal <= 0
            triangle = np.tril(gram, -1).astype(np.complex128)
            triangle[np.diag_indices(len(triangle))] = np.where(idle, 1.0, diagonal)
            inverse = solve_triangular(triangle, np.eye(len(triangle)), lower=True)
            inverse[idle] = 0
            self._inverses.append(like(inverse.astype(self.dtype), self._example))

    def load(self, values: Array) -> Array:
        """Conjugate of `values`, shape (any, frames), in the library, precision and order of the sweeps: a copy."""
        if self._numpy:
            return np.array(values.conj(), dtype=self.dtype, order="F")
        xp = namespace(values)
        return xp.conj(xp.astype(values, self._example.dtype, copy=True))

    def zeros(self, count: int, frames: int) -> Array:
        """Zeros of shape (count, frames), as `load` would give."""
        if self._numpy:
            return np.zeros((count, frames), dtype=self.dtype, order="F")
        return like(np.zeros((count, frames), dtype=self.dtype), self._example)

    def sweep(self, y: Array, d: Array, v: Array) -> tuple[Array, Array]:
        """Take a step with each row.

        Parameters
        ----------
        y, d, v : arrays, shapes (voxels, frames), (rows, frames), (rows, frames)
            Conjugates of the solution, the measurement and the regularisation's own unknowns, as `load` gives them.

        Returns
        -------
        tuple of arrays
            y and v after it; NumPy arrays are changed in place.
        """
        step = self._blas if self._numpy else self._portable
        xp = namespace(y)
        root = float(np.sqrt(self.regularisation))
        steps: list[Array] = []
        for (part, rows), inverse in zip(blocks(self._matrix, self._parts), self._inverses, strict=True):
            # v of a row is needed by its own step alone, once a sweep.
            y, taken = step(rows, inverse, y, d[part, :] - root * v[part, :])
            steps.append(taken)
        return y, v + root * xp.concat(steps, axis=0)

    def project(self, y: Array, real: bool, non_negative: bool) -> Array:
        """Project on the real, on the non-negative numbers; NumPy arrays are changed in place."""
        if not real:
            return y
        if self._numpy:
            y.imag = 0
            if non_negative:
                np.maximum(y.real, 0, out=y.real)
            return y
        xp = namespace(y)
        part = xp.real(y)
        part = xp.maximum(part, xp.zeros_like(part)) if non_negative else part
        return xp.astype(part, y.dtype)

    def unload(self, y: Array) -> Array:
        """Undo `load`."""
        return namespace(y).conj(y)

    def _blas(self, rows: Array, inverse: Array, y: Array, rest: Array) -> tuple[Array, Array]:
        if y.shape[1] == 1:
            gemv = blas.cgemv if y.dtype == np.complex64 else blas.zgemv
            flat = y[:, 0]
            rest = gemv(-1, rows.T, flat, 1, rest[:, 0], overwrite_y=1, trans=2)
            taken = gemv(1, inverse.T, rest, trans=1)
            gemv(1, rows.T, taken, 1, flat, overwrite_y=1)
            return y, taken[:, None]
        gemm = blas.cgemm if y.dtype == np.complex64 else blas.zgemm
        rest = gemm(-1, rows.T, y, 1, np.asfortranarray(rest), overwrite_c=1, trans_a=2)
        taken = gemm(1, inverse.T, rest, trans_a=1)
        gemm(1, rows.T, taken, 1, y, overwrite_c=1)
        return y, taken

    def _portable(self, rows: Array, inverse: Array, y: Array, rest: Array) -> tuple[Array, Array]:
        xp = namespace(y)
        taken = inverse @ (rest - xp.conj(rows @ xp.conj(y)))
        return y + rows.T @ taken, taken

    def _gram(self, rows: Array) -> NDArray[Any]:
        """conj(A_b A_b^H) of a block."""
        if self._numpy:
            gemm = blas.cgemm if self.dtype == np.complex64 else blas.zgemm
            found: NDArray[Any] = gemm(1, rows.T, rows.T, trans_a=2)
            return found
        xp = namespace(rows)
        return to_numpy(xp.conj(rows) @ rows.T)


def _plain(matrix: RowSource) -> bool:
    return in_memory(matrix) and is_numpy(matrix)


def row_energy(rows: Array) -> NDArray[np.float64]:
    """Squared norm of each row, in double precision."""
    values = to_numpy(rows)
    real = values.view(values.real.dtype)
    energy: NDArray[np.float64] = np.einsum("kn,kn->k", real, real, dtype=np.float64)
    return energy
