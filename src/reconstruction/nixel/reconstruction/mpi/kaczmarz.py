"""The regularised Kaczmarz method, a block of rows at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Complex = NDArray[np.complexfloating[Any, Any]]


class Kaczmarz:
    """Row-action solver of min ||A x - u||^2 + lambda ||x||^2, prepared once for a matrix.

    A row step is beta = (u_k - a_k.x - sqrt(lambda) v_k) / (||a_k||^2 + lambda), x += beta conj(a_k),
    v_k += sqrt(lambda) beta, with lambda = relative_lambda ||A||_F^2 / N. The rows of a block are taken together:
    a_k.x after the steps before it in the block is a_k.x_0 + sum_j (a_k.conj(a_j)) beta_j, so that the steps are
    the solution of one triangular system. The iterates are those of the plain row action; the matrix is read at
    memory bandwidth.

    Parameters
    ----------
    matrix : array of complex, shape (rows, voxels)
        Its precision (complex64 or complex128) is that of the computation.
    relative_lambda : float
        Regularisation relative to the mean energy of a column; zero for none.
    block : int
        Rows taken together.

    Raises
    ------
    ValueError
        If the matrix is not complex and two-dimensional, holds a value that is not finite or is empty, or
        relative_lambda is negative.

    References
    ----------
    Dax, SIAM J. Numer. Anal. 30 (1993) 1; Knopp et al., Phys. Med. Biol. 55 (2010) 1577.
    """

    def __init__(self, matrix: Complex, relative_lambda: float, *, block: int = 64) -> None:
        matrix = np.asarray(matrix)
        if matrix.ndim != 2 or not np.iscomplexobj(matrix) or matrix.size == 0:
            raise ValueError(
                f"matrix: expected complex values of shape (rows, voxels), found {matrix.dtype} {matrix.shape}"
            )
        if not np.isfinite(matrix).all():
            raise ValueError("matrix: expected finite values, found NaN or infinity")
        if not (np.isfinite(relative_lambda) and relative_lambda >= 0):
            raise ValueError(f"relative_lambda: expected zero or more, found {relative_lambda!r}")
        if block < 1:
            raise ValueError(f"block: expected at least one row, found {block!r}")
        energy = np.einsum("kn,kn->k", matrix, matrix.conj(), dtype=np.complex128).real
        self.regularisation = float(relative_lambda * energy.sum() / matrix.shape[1])
        # A row without energy carries no information and, unregularised, would divide by zero.
        keep = energy + self.regularisation > 0
        self._rows = np.flatnonzero(keep)
        self._matrix = np.ascontiguousarray(matrix[keep])
        self._shape = matrix.shape
        self._blocks: list[tuple[slice, Complex]] = []
        for start in range(0, len(self._matrix), block):
            part = slice(start, min(start + block, len(self._matrix)))
            rows = self._matrix[part]
            triangle = np.tril(rows @ rows.conj().T, -1)
            triangle[np.diag_indices(len(triangle))] = energy[keep][part] + self.regularisation
            identity = np.eye(len(triangle), dtype=self._matrix.dtype)
            inverse = solve_triangular(triangle.astype(np.complex128), identity, lower=True)
            self._blocks.append((part, inverse.astype(self._matrix.dtype)))

    def solve(
        self, u: Complex, iterations: int, *, real: bool = True, non_negative: bool = True
    ) -> NDArray[np.inexact[Any]]:
        """Sweep over all rows `iterations` times, from zero.

        Parameters
        ----------
        u : array of complex, shape (rows,) or (rows, frames)
        iterations : int
            Sweeps; zero returns the start.
        real, non_negative : bool
            Project on the real, on the non-negative numbers after each sweep.

        Returns
        -------
        array, shape (voxels,) or (voxels, frames)
            Real if `real`, in the matrix' precision.

        Raises
        ------
        ValueError
            If u does not fit the matrix or is not finite, iterations is negative, or non_negative is asked for
            without real.
        """
        u = np.asarray(u)
        if u.ndim not in (1, 2) or u.shape[0] != self._shape[0]:
            raise ValueError(
                f"u: expected shape ({self._shape[0]},) or ({self._shape[0]}, frames), found {u.shape}"
            )
        if not np.isfinite(u).all():
            raise ValueError("u: expected finite values, found NaN or infinity")
        if iterations < 0:
            raise ValueError(f"iterations: expected zero or more, found {iterations!r}")
        if non_negative and not real:
            raise ValueError("non_negative: needs real, because complex numbers have no order")
        measured = u.reshape(len(u), -1)[self._rows].astype(self._matrix.dtype, copy=False)
        root = np.asarray(np.sqrt(self.regularisation), dtype=self._matrix.real.dtype)
        x = np.zeros((self._shape[1], measured.shape[1]), dtype=self._matrix.dtype)
        v = np.zeros_like(measured)
        for _ in range(iterations):
            for part, inverse in self._blocks:
                rows = self._matrix[part]
                beta = inverse @ (measured[part] - rows @ x - root * v[part])
                x += rows.conj().T @ beta
                v[part] += root * beta
            if real:
                x.imag = 0
                if non_negative:
                    np.maximum(x.real, 0, out=x.real)
        result = x.real if real else x
        return np.ascontiguousarray(result).reshape((self._shape[1], *u.shape[1:]))
