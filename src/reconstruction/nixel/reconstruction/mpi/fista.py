"""Sparse solutions: the fast iterative shrinkage-thresholding algorithm."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING

from nixel.physics.arrays import Array, as_array, namespace
from nixel.physics.checks import check_non_negative
from nixel.physics.threads import linear_algebra_threads
from nixel.reconstruction.mpi.measured import (
    check_constraints,
    check_iterations,
    check_relative_lambda,
    checked_columns,
    checked_start,
    finished,
)
from nixel.reconstruction.mpi.products import Products, inner_products, quotient
from nixel.reconstruction.mpi.total_variation import TotalVariationDenoiser

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.reconstruction.mpi.rows import RowSource

_TV_STEPS = 20


def _check_grid(grid: tuple[int, ...], voxels: int) -> None:
    try:
        lengths = tuple(operator.index(length) for length in grid)
    except TypeError:
        lengths = ()
    if min(lengths, default=0) < 1 or math.prod(lengths) != voxels:
        raise ValueError(f"grid: expected a shape of {voxels} voxels, found {grid!r}")


class FISTA:
    """Solver of min 1/2 ||A x - u||^2 + lambda/2 ||x||^2 + l1 s ||x||_1 + total_variation s TV(x).

    lambda is relative_lambda ||A||_F^2 / N, as for `Kaczmarz`. The scale s is the largest magnitude of A^H u (of its
    real part if the solution is real), a number for each frame: with l1 = 1 the solution is zero, and the solution
    for 2 u is twice that for u. An iteration reads the matrix once. Where the momentum points uphill it begins anew.

    Parameters
    ----------
    matrix : RowSource of complex, shape (rows, voxels)
        As for `Kaczmarz`.
    relative_lambda, l1, total_variation : float
        Weights, zero or more, without unit.
    grid : tuple of int, optional
        Shape of the voxels' grid, (y, x) or (z, y, x), in C order; needed for the total variation, whose
        gradient is per voxel.
    block : int, optional
        Rows taken together: what is read at a time.
    workers : int
        Threads of the preparation.
    progress : callable, optional
        Called with (blocks checked, blocks in all).

    Attributes
    ----------
    regularisation : float
        lambda, in the unit of the matrix squared.

    Raises
    ------
    ValueError
        If the matrix is not complex and two-dimensional, holds a value that is not finite or is zero everywhere, a
        weight is negative, the grid does not have the matrix' voxels, or workers is below one.

    References
    ----------
    Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009) 183; O'Donoghue and Candes, Found. Comput. Math. 15 (2015)
    715; Storath et al., IEEE Trans. Med. Imaging 36 (2017) 74, for MPI.
    """

    def __init__(
        self,
        matrix: RowSource,
        *,
        relative_lambda: float = 0.0,
        l1: float = 0.0,
        total_variation: float = 0.0,
        grid: tuple[int, ...] | None = None,
        block: int | None = None,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        check_relative_lambda(relative_lambda)
        for name, value in (("l1", l1), ("total_variation", total_variation)):
            check_non_negative(name, value)
        if total_variation > 0 and grid is None:
            raise ValueError("grid: expected the shape of the voxels' grid for a total variation, found None")
        with linear_algebra_threads(workers):
            self._products = Products(matrix, block, progress=progress)
            voxels = self._products.shape[1]
            if grid is not None:
                _check_grid(grid, voxels)
            self._grid, self._l1, self._tv = grid, l1, total_variation
            self.regularisation = float(relative_lambda * self._products.energy / voxels)
            self._step = 1.0 / (self._products.largest_eigenvalue() + self.regularisation)

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
        """Iterate towards the solution, in each iteration within the constraints.

        Parameters
        ----------
        u, iterations, start, progress
            As for `Kaczmarz.solve`.
        real, non_negative : bool
            Look among the real, among the non-negative numbers.
        workers : int
            Threads, which share each product. The last bits depend on how many there are.

        Returns
        -------
        array, shape (voxels,) or (voxels, frames)
            As of `Kaczmarz.solve`.

        Raises
        ------
        ValueError
            As from `Kaczmarz.solve`, or if a total variation is asked for without real or, together with l1, without
            non_negative.
        """
        check_constraints(real, non_negative)
        check_iterations(iterations)
        if self._tv > 0 and not real:
            raise ValueError("total_variation: needs real")
        if self._tv > 0 and self._l1 > 0 and not non_negative:
            raise ValueError("total_variation: together with l1 it needs non_negative")
        rows, voxels = self._products.shape
        u = as_array(u)
        measured = self._products.load(checked_columns("u", u, rows))
        frames = measured.shape[1]
        xp = namespace(measured)
        with linear_algebra_threads(workers):
            scale = xp.max(xp.abs(self._products.adjoint(measured, real=real)), axis=0)
            shrink = self._proximal(scale, non_negative)
            x = self._products.zeros(frames, real=real)
            if start is not None:
                x = shrink(self._products.cast(checked_start(start, voxels, frames), real=real), 0.0)
            ahead, momentum = x, xp.ones_like(scale)
            for done in range(iterations):
                slope = self._products.gradient(ahead, measured, real=real) + self.regularisation * ahead
                before, x = x, shrink(ahead - self._step * slope, self._step)
                # The momentum is a number for each frame, and begins anew where it points uphill.
                uphill = inner_products(ahead - x, x - before) > 0
                momentum = xp.where(uphill, xp.ones_like(momentum), momentum)
                following = (1.0 + xp.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
                ahead, momentum = x + ((momentum - 1.0) / following) * (x - before), following
                if progress is not None:
                    progress(done + 1, iterations)
        return finished(x, real, u.ndim == 1)

    def _proximal(self, scale: Array, non_negative: bool) -> Callable[[Array, float], Array]:
        """Build what a step of a given length ends with: from (voxels, frames) to the like."""
        xp = namespace(scale)
        l1, weight = self._l1 * scale, self._tv * scale
        if self._tv > 0 and self._grid is not None:
            denoise = TotalVariationDenoiser(len(self._grid), _TV_STEPS, non_negative=non_negative)
            grid = self._grid

            def denoised(x: Array, step: float) -> Array:
                # Among numbers that are not negative, the l1 norm is a sum: its proximal step is a shift.
                image = xp.reshape(x - step * l1, (*grid, -1))
                return xp.reshape(denoise(image, step * weight), tuple(x.shape))

            return denoised

        def shrunk(x: Array, step: float) -> Array:
            if non_negative:
                return xp.maximum(x - step * l1, xp.zeros_like(x))
            magnitude = xp.abs(x)
            kept = xp.maximum(magnitude - step * l1, xp.zeros_like(magnitude))
            return x * quotient(kept, magnitude)

        return shrunk
