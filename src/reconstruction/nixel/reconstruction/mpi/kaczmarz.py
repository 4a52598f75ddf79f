"""The regularised Kaczmarz method, a block of rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.physics.arrays import Array, as_array, check_workers
from nixel.physics.threads import linear_algebra_threads
from nixel.reconstruction.mpi.measured import (
    check_constraints,
    check_iterations,
    check_relative_lambda,
    checked_columns,
    checked_start,
    finished,
)
from nixel.reconstruction.mpi.row_action import RowAction

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.reconstruction.mpi.rows import RowSource


class Kaczmarz:
    """Row-action solver of min ||A x - u||^2 + lambda ||x||^2, prepared once for a matrix.

    A row step is beta = (u_k - a_k.x - sqrt(lambda) v_k) / (||a_k||^2 + lambda), x += beta conj(a_k),
    v_k += sqrt(lambda) beta, with lambda = relative_lambda ||A||_F^2 / N. The rows of a block are taken together:
    a_k.x after the steps before it in the block is a_k.x_0 + sum_j (a_k.conj(a_j)) beta_j, so that the steps are
    the solution of one triangular system. The iterates are those of the plain row action; the matrix is read at
    memory bandwidth. The triangle's inverse, scaled by the root of its diagonal on both sides, has a norm of two at
    most, whatever the matrix: blocks lose no precision.

    Parameters
    ----------
    matrix : RowSource of complex, shape (rows, voxels)
        Its precision (complex64 or complex128) is that of the computation. An array in memory (NumPy's, PyTorch's,
        CuPy's) is kept, not copied, where it is C-ordered, and must not be changed. Of a numpy.memmap, an
        h5py.Dataset or `SelectedRows` of one, two blocks at a time are in memory, each read ahead of its use.
    relative_lambda : float
        Regularisation relative to the mean energy of a column; zero for none.
    block : int, optional
        Rows taken together; by default as many as stay in a processor's cache.
    workers : int
        Threads of the preparation.
    progress : callable, optional
        Called with (blocks prepared, blocks in all).

    Attributes
    ----------
    regularisation : float
        lambda, in the unit of the matrix squared.

    Raises
    ------
    ValueError
        If the matrix is not complex and two-dimensional, holds a value that is not finite or is empty,
        relative_lambda is negative, or block or workers is below one.

    References
    ----------
    Dax, SIAM J. Numer. Anal. 30 (1993) 1; Knopp et al., Phys. Med. Biol. 55 (2010) 1577.
    """

    def __init__(
        self,
        matrix: RowSource,
        relative_lambda: float,
        *,
        block: int | None = None,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        check_relative_lambda(relative_lambda)
        with linear_algebra_threads(workers):
            self._action = RowAction(matrix, block, progress=progress)
            self.regularisation = float(relative_lambda * self._action.energy.sum() / self._action.shape[1])
            self._action.regularise(self.regularisation)

    def solve(
        self,
        u: Array,
        iterations: int,
        *,
        real: bool = True,
        non_negative: bool = True,
        workers: int = 1,
        start: Array | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Array:
        """Sweep over all rows `iterations` times.

        The other solvers' `solve` takes and returns the same where it does not say otherwise.

        Parameters
        ----------
        u : array of complex, shape (rows,) or (rows, frames)
            Of the matrix' library; NumPy's for a matrix in a file.
        iterations : int
            Sweeps; zero returns the start.
        real, non_negative : bool
            Project on the real, on the non-negative numbers after each sweep.
        workers : int
            Threads. In memory, several frames are shared out among them, and of a single frame each has voxels of
            its own; of a matrix in a file, and of other libraries' arrays, they share each product, which takes an
            otherwise idle machine. The last bits depend on how many there are, not on the run.
        start : array, shape (voxels,) or (voxels, frames), optional
            Where to begin; by default at zero. The v_k always begin at zero.
        progress : callable, optional
            Called with (sweeps, or other iterations, done, and in all).

        Returns
        -------
        array, shape (voxels,) or (voxels, frames)
            Real if `real`, in the matrix' precision, in the unit of u over that of the matrix.

        Raises
        ------
        ValueError
            If u or start does not fit the matrix or is not finite, iterations is negative, workers is below one, or
            non_negative is asked for without real.
        """
        rows, voxels = self._action.shape
        check_workers(workers)
        check_constraints(real, non_negative)
        check_iterations(iterations)
        u = as_array(u)
        measured = self._action.load(checked_columns("u", u, rows))
        frames = measured.shape[1]
        v = self._action.zeros(rows, frames)
        if start is None:
            y = self._action.zeros(voxels, frames)
        else:
            y = self._action.load(checked_start(start, voxels, frames))
        for done in range(iterations):
            y, v = self._action.sweep(y, measured, v, workers=workers)
            y = self._action.project(y, real, non_negative)
            if progress is not None:
                progress(done + 1, iterations)
        return finished(self._action.unload(y), real, u.ndim == 1)
