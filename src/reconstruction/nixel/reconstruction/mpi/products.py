"""Products with a matrix and its adjoint, a block of rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nixel.physics.arrays import Array, is_numpy, like, namespace
from nixel.reconstruction.mpi.measured import check_block, check_library, checked_matrix, dtype_name
from nixel.reconstruction.mpi.row_action import row_energy
from nixel.reconstruction.mpi.rows import blocks, in_memory, parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.reconstruction.mpi.rows import RowSource

_BLOCK = 256


class Products:
    """A matrix that is multiplied from both sides.

    Parameters
    ----------
    matrix : RowSource of complex, shape (rows, voxels)
        Read once to check it, and once for each product.
    block : int or None
        Rows taken together.
    progress : callable, optional
        Called with (blocks done, blocks in all).

    Attributes
    ----------
    shape : tuple of int
    energy : float
        Squared Frobenius norm.

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
        self._matrix = matrix
        self._numpy = not in_memory(matrix) or is_numpy(matrix)
        self._parts = parts(self.shape[0], block or _BLOCK)
        self.energy = 0.0
        for done, (_, values) in enumerate(blocks(matrix, self._parts), start=1):
            self.energy += float(row_energy(values).sum())
            if not np.isfinite(self.energy):
                raise ValueError("matrix: expected finite values, found NaN or infinity")
            self._example = values[:1, :1]
            if progress is not None:
                progress(done, len(self._parts))

    def load(self, values: Array) -> Array:
        """Give `values` the library and precision of the matrix."""
        check_library("u, start", values, self._example)
        xp = namespace(values)
        return xp.astype(values, self._example.dtype)

    def cast(self, values: Array, *, real: bool) -> Array:
        """Like `load`, and real if asked for."""
        values = self.load(values)
        return namespace(values).real(values) if real else values

    def zeros(self, frames: int, *, real: bool) -> Array:
        """Zeros of shape (voxels, frames), real or complex."""
        kind = np.empty(0, self.dtype).real.dtype if real else self.dtype
        return like(np.zeros((self.shape[1], frames), dtype=kind), self._example)

    def forward(self, x: Array) -> Array:
        """A x of shape (rows, frames), for x of shape (voxels, frames), real or complex."""
        xp, x = namespace(x), self._complex(x)
        return xp.concat([rows @ x for _, rows in blocks(self._matrix, self._parts)], axis=0)

    def adjoint(self, r: Array, *, real: bool) -> Array:
        """A^H r of shape (voxels, frames), or its real part, for r of shape (rows, frames)."""
        xp, total = namespace(r), None
        r = xp.conj(r)
        for part, rows in blocks(self._matrix, self._parts):
            # conj(A^T conj(r)): the conjugate of the matrix is never made.
            share = rows.T @ r[part, :]
            total = share if total is None else total + share
        return xp.real(total) if real else xp.conj(total)

    def gradient(self, x: Array, u: Array, *, real: bool) -> Array:
        """A^H (A x - u), or its real part, with one reading of the matrix."""
        xp, total = namespace(x), None
        x = self._complex(x)
        for part, rows in blocks(self._matrix, self._parts):
            share = rows.T @ xp.conj(rows @ x - u[part, :])
            total = share if total is None else total + share
        return xp.real(total) if real else xp.conj(total)

    def largest_eigenvalue(self, iterations: int = 40) -> float:
        """Bound the largest eigenvalue of A^H A: power iterations, and five per cent for what they lack.

        Raises
        ------
        ValueError
            If the matrix is zero.
        """
        generator = np.random.default_rng(0)  # the same bound each time
        count = self.shape[1]
        vector = (generator.standard_normal((count, 1)) + 1j * generator.standard_normal((count, 1))).astype(
            self.dtype
        )
        x = like(vector / np.linalg.norm(vector), self._example)
        nothing = like(np.zeros((self.shape[0], 1), dtype=self.dtype), self._example)
        found = 0.0
        for _ in range(iterations):
            x = self.gradient(x, nothing, real=False)
            before, found = found, float(squared_norms(x)[0]) ** 0.5
            if found == 0:
                raise ValueError("matrix: expected values other than zero, found none")
            x = x / found
            if abs(found - before) <= 1e-4 * found:
                break
        return 1.05 * found

    def _complex(self, x: Array) -> Array:
        if dtype_name(x).startswith("complex"):
            return x
        return namespace(x).astype(x, self._example.dtype)


def squared_norms(x: Array) -> Array:
    """Sum of squared magnitudes of each column, shape (frames,)."""
    return inner_products(x, x)


def inner_products(x: Array, y: Array) -> Array:
    """Real part of the inner product of each column of x with that of y, shape (frames,)."""
    xp = namespace(x, y)
    if dtype_name(x).startswith("complex"):
        return xp.sum(xp.real(x) * xp.real(y) + xp.imag(x) * xp.imag(y), axis=0)
    return xp.sum(x * y, axis=0)


def quotient(numerator: Array, denominator: Array) -> Array:
    """Ratio of two real arrays; zero where the denominator is."""
    xp = namespace(denominator)
    there = denominator != 0
    one = xp.ones_like(denominator)
    return xp.where(there, numerator / xp.where(there, denominator, one), xp.zeros_like(denominator))
