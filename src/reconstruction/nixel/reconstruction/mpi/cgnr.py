"""Conjugate gradients on the normal equations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.physics.arrays import Array, as_array
from nixel.physics.threads import linear_algebra_threads
from nixel.reconstruction.mpi.measured import (
    check_iterations,
    check_relative_lambda,
    checked_columns,
    checked_start,
    finished,
)
from nixel.reconstruction.mpi.products import Products, quotient, squared_norms

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.reconstruction.mpi.rows import RowSource


class CGNR:
    """Solver of min ||A x - u||^2 + lambda ||x||^2 by conjugate gradients, prepared once for a matrix.

    The form is that of Bjorck, with the residual of the equations carried along: it loses no more precision than the
    condition of A asks for. An iteration reads the matrix twice. After as many iterations as there are distinct
    singular values it is at the solution, in exact arithmetic.

    Parameters
    ----------
    matrix : RowSource of complex, shape (rows, voxels)
        As for `Kaczmarz`.
    relative_lambda : float
        lambda = relative_lambda ||A||_F^2 / N, as for `Kaczmarz`.
    block : int, optional
        Rows taken together: what is read at a time.
    progress : callable, optional
        Called with (blocks checked, blocks in all).

    Attributes
    ----------
    regularisation : float
        lambda, in the unit of the matrix squared.

    Raises
    ------
    ValueError
        If the matrix is not complex and two-dimensional, holds a value that is not finite or is empty, or
        relative_lambda is negative.

    References
    ----------
    Hestenes and Stiefel, J. Res. Nat. Bur. Stand. 49 (1952) 409; Bjorck, *Numerical Methods for Least Squares
    Problems*, SIAM 1996, section 7.4; Knopp et al., Phys. Med. Biol. 55 (2010) 1577.
    """

    def __init__(
        self,
        matrix: RowSource,
        relative_lambda: float,
        *,
        block: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        check_relative_lambda(relative_lambda)
        self._products = Products(matrix, block, progress=progress)
        self.regularisation = float(relative_lambda * self._products.energy / self._products.shape[1])

    def solve(
        self,
        u: Array,
        iterations: int,
        *,
        real: bool = True,
        workers: int = 1,
        start: Array | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Array:
        """Iterate towards the solution, over the real or the complex numbers.

        Parameters
        ----------
        u, iterations, start, progress
            As for `Kaczmarz.solve`.
        real : bool
            Look for the best real solution, which is not the real part of the best complex one.
        workers : int
            Threads, which share each product. The last bits depend on how many there are.

        Returns
        -------
        array, shape (voxels,) or (voxels, frames)
            As of `Kaczmarz.solve`.

        Raises
        ------
        ValueError
            As from `Kaczmarz.solve`.
        """
        check_iterations(iterations)
        products, weight = self._products, self.regularisation
        rows, voxels = products.shape
        u = as_array(u)
        r = products.load(checked_columns("u", u, rows))
        x = products.zeros(r.shape[1], real=real)
        with linear_algebra_threads(workers):
            if start is not None:
                x = products.cast(checked_start(start, voxels, r.shape[1]), real=real)
                r = r - products.forward(x)
            s = products.adjoint(r, real=real) - weight * x
            p, gamma = s, squared_norms(s)
            for done in range(iterations):
                q = products.forward(p)
                alpha = quotient(gamma, squared_norms(q) + weight * squared_norms(p))
                x, r = x + alpha * p, r - alpha * q
                s = products.adjoint(r, real=real) - weight * x
                before, gamma = gamma, squared_norms(s)
                p = s + quotient(gamma, before) * p
                if progress is not None:
                    progress(done + 1, iterations)
        return finished(x, real, u.ndim == 1)
