"""Sweeps of the regularised Kaczmarz method over a matrix, a block of rows at a time.

Within a block, a_k.x after the steps before it is a_k.x_0 + sum_j (a_k.conj(a_j)) beta_j, so that its steps are the
solution of one triangular system with a prepared inverse T, and two products with the block remain: the residual and
the update. The block is small enough to stay in the cache between the two: the matrix is read once a sweep.

What is swept here is the complex conjugate of the system, conj(A) y = conj(u), y = conj(x). Its residual is F^H y and
its update F beta with F the transpose of the block, which lies in memory in the order that the BLAS wants: no
conjugate of the matrix is ever made.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import blas, solve_triangular

from nixel.physics.arrays import Array, is_numpy, like, namespace, to_numpy
from nixel.physics.threads import alone, linear_algebra_threads
from nixel.reconstruction.mpi.column_sweep import ColumnSweep, available
from nixel.reconstruction.mpi.measured import check_block, check_library, checked_matrix
from nixel.reconstruction.mpi.rows import blocks, in_memory, parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nixel.reconstruction.mpi.rows import RowSource

# What a block may fill, so that its second reading comes from the caches next to the cores; at least so many
# rows. Of many frames the arithmetic takes longer than the reading, and larger blocks are faster.
_BLOCK_BYTES = 5 << 18
_FEWEST = 16
_LARGER = 8
_MANY = 8


class RowAction:
    """A matrix prepared for sweeps.

    Parameters
    ----------
    matrix : RowSource of complex, shape (rows, voxels)
        Read once, a block at a time; an array in memory is kept as it is, without a copy where it is C-ordered.
    block : int or None
        Rows taken together; None: as many as stay in the cache, eight times as many for more than eight frames.
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
        check_block(block)
        rows, voxels = self.shape
        self._small = self._large = block or max(_BLOCK_BYTES // (voxels * self.dtype.itemsize), _FEWEST)
        if block is None:
            self._large *= _LARGER
        self._matrix: RowSource = np.ascontiguousarray(matrix) if _plain(matrix) else matrix
        self._numpy = not in_memory(matrix) or is_numpy(matrix)
        self._columns = _plain(matrix) and available(self.dtype)
        self._grams: list[NDArray[Any]] = []
        # conj(A_b A_a^H) of the first small block b of a large one and the small block a before it.
        self._joints: list[NDArray[Any] | None] = []
        self._idle: dict[int, ColumnSweep] = {}
        self._inverses: dict[int, list[Array]] = {}
        self.energy = np.empty(rows)
        large = parts(rows, self._large)
        before: Array | None = None
        for done, (part, values) in enumerate(blocks(self._matrix, large), start=1):
            self._grams.append(self._gram(values, values))
            if self._columns:
                self._joints.append(None if before is None else self._gram(values[: self._small], before))
                before = values[-self._small :]
            self.energy[part] = row_energy(values)
            if not np.isfinite(self.energy[part]).all():
                raise ValueError("matrix: expected finite values, found NaN or infinity")
            self._example = values[:1, :1]
            if progress is not None:
                progress(done, len(large))

    def regularise(self, regularisation: float) -> None:
        """Prepare the steps for lambda = `regularisation`, zero or more."""
        self.regularisation = regularisation
        self._inverses = {size: [] for size in (self._small, self._large)}
        self._steps: list[NDArray[Any]] = []
        self._idle.clear()
        for number, (start, gram) in enumerate(
            zip(range(0, self.shape[0], self._large), self._grams, strict=True)
        ):
            energy = self.energy[start : start + self._large]
            for size, inverses in self._inverses.items():
                for part in parts(len(gram), size):
                    inverse = _inverse(gram[part, part], energy[part] + regularisation)
                    if self._columns and size == self._small:
                        before = slice(part.start - size, part.start)
                        cross = gram[part, before] if part.start else self._joints[number]
                        whole = inverse if cross is None else np.hstack([-inverse @ cross, inverse])
                        self._steps.append(whole.astype(self.dtype, order="F"))
                        inverses.append(self._steps[-1][:, -len(inverse) :])
                    else:
                        inverses.append(like(inverse.astype(self.dtype, order="F"), self._example))

    def load(self, values: Array) -> Array:
        """Conjugate of `values`, shape (any, frames), in the library, precision and order of the sweeps: a copy."""
        check_library("u, start", values, self._example)
        if self._numpy:
            return np.array(values.conj(), dtype=self.dtype, order="F")
        xp = namespace(values)
        return xp.conj(xp.astype(values, self._example.dtype, copy=True))

    def zeros(self, count: int, frames: int) -> Array:
        """Zeros of shape (count, frames), as `load` would give."""
        if self._numpy:
            return np.zeros((count, frames), dtype=self.dtype, order="F")
        return like(np.zeros((count, frames), dtype=self.dtype), self._example)

    def sweep(self, y: Array, d: Array, v: Array, *, workers: int = 1) -> tuple[Array, Array]:
        """Take a step with each row.

        Parameters
        ----------
        y, d, v : arrays, shapes (voxels, frames), (rows, frames), (rows, frames)
            Conjugates of the solution, the measurement and the regularisation's own unknowns, as `load` gives them.
        workers : int
            Threads. Of a single frame in memory each has voxels of its own, and several frames are shared out among
            them: threads that need not wait for each other at every product are fast on a busy machine, too. Of a
            matrix in a file, and of other libraries' arrays, they share the products with each block.

        Returns
        -------
        tuple of arrays
            y and v after it; of NumPy arrays, y is changed in place.
        """
        frames = y.shape[1]
        if self._numpy and frames > 1 and workers > 1 and in_memory(self._matrix):
            shares = [
                slice(part[0], part[-1] + 1) for part in np.array_split(range(frames), min(workers, frames))
            ]
            with linear_algebra_threads(1), ThreadPoolExecutor(len(shares), initializer=alone) as pool:
                swept = list(
                    pool.map(lambda share: self._sweep(y[:, share], d[:, share], v[:, share]), shares)
                )
            return y, np.concatenate([after for _, after in swept], axis=1)
        if self._columns and frames == 1 and workers > 1:
            with linear_algebra_threads(1):
                return self._sweep_columns(y, d, v, workers)
        with linear_algebra_threads(workers):
            return self._sweep_one(y, d, v) if self._numpy and frames == 1 else self._sweep(y, d, v)

    def _sweep(self, y: Array, d: Array, v: Array) -> tuple[Array, Array]:
        xp = namespace(y)
        size = self._large if y.shape[1] > _MANY else self._small
        root = float(np.sqrt(self.regularisation))
        # v of a row is needed by its own step alone, once a sweep.
        rest = d - root * v
        buffer = np.empty_like(y) if self._numpy else None
        steps: list[Array] = []
        slices = parts(self.shape[0], size)
        for (part, rows), inverse in zip(blocks(self._matrix, slices), self._inverses[size], strict=True):
            if buffer is None:
                taken = inverse @ (rest[part, :] - xp.conj(rows @ xp.conj(y)))
                y = y + rows.T @ taken
            else:
                np.conj(y, out=buffer)
                taken = inverse @ (rest[part, :] - np.conj(rows @ buffer))
                np.matmul(rows.T, taken, out=buffer)
                y += buffer
            steps.append(taken)
        return y, v + root * xp.concat(steps, axis=0)

    def _sweep_one(self, y: Array, d: Array, v: Array) -> tuple[Array, Array]:
        # Blocks of a single frame take less than a tenth of a millisecond: no more calls than need be, and none of
        # them copies.
        gemv = blas.cgemv if y.dtype == np.complex64 else blas.zgemv
        root = float(np.sqrt(self.regularisation))
        flat, rest, steps = y[:, 0], (d - root * v)[:, 0], np.empty_like(d[:, 0])
        slices = parts(self.shape[0], self._small)
        inverses = self._inverses[self._small]
        for (part, rows), inverse in zip(blocks(self._matrix, slices), inverses, strict=True):
            columns = rows.T
            left = gemv(-1, columns, flat, 1, rest[part], overwrite_y=1, trans=2)
            taken = steps[part] = gemv(1, inverse, left)
            gemv(1, columns, taken, 1, flat, overwrite_y=1)
        return y, v + root * steps[:, None]

    def _sweep_columns(self, y: Array, d: Array, v: Array, workers: int) -> tuple[Array, Array]:
        root = float(np.sqrt(self.regularisation))
        # Taken out for the time of the sweep: another thread that sweeps meanwhile makes buffers of its own.
        sweep = self._idle.pop(workers, None) or ColumnSweep(np.asarray(self._matrix), self._steps, workers)
        steps = sweep.sweep(y[:, 0], (d - root * v)[:, 0])
        self._idle[workers] = sweep
        return y, v + root * steps[:, None]

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

    def _gram(self, rows: Array, others: Array) -> NDArray[Any]:
        """conj(A_b A_c^H) of two blocks."""
        if self._numpy:
            gemm = blas.cgemm if self.dtype == np.complex64 else blas.zgemm
            found: NDArray[Any] = gemm(1, rows.T, others.T, trans_a=2)
            return found
        xp = namespace(rows)
        return to_numpy(xp.conj(rows) @ others.T)


def _inverse(gram: NDArray[Any], diagonal: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Inverse of the lower triangle of a Gram matrix with another diagonal."""
    # A row without energy carries no information and, unregularised, would divide by zero.
    idle = diagonal <= 0
    triangle = np.tril(gram, -1).astype(np.complex128)
    triangle[np.diag_indices(len(triangle))] = np.where(idle, 1.0, diagonal)
    inverse: NDArray[np.complex128] = solve_triangular(triangle, np.eye(len(triangle)), lower=True)
    inverse[idle] = 0
    return inverse


def _plain(matrix: RowSource) -> bool:
    return in_memory(matrix) and is_numpy(matrix)


def row_energy(rows: Array) -> NDArray[np.float64]:
    """Squared norm of each row, in double precision."""
    values = to_numpy(rows)
    real = values.view(values.real.dtype)
    energy: NDArray[np.float64] = np.einsum("kn,kn->k", real, real, dtype=np.float64)
    return energy
