"""Several patches of a scene on one grid: the field-free point is moved, and each place is scanned for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.arrays import Array, check_workers, is_numpy
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
from nixel.reconstruction.mpi.rows import in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from nixel.reconstruction.mpi.rows import RowSource


@dataclass(frozen=True)
class Patch:
    """What one patch sees of the scene.

    Parameters
    ----------
    matrix : int
        Which of the matrices holds for it.
    corner : tuple of int
        Voxel of the scene's grid, (y, x) or (z, y, x), at which the grid of its matrix begins.
    """

    matrix: int
    corner: tuple[int, ...]


def patches_on_grid(
    centres: ArrayLike,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    *,
    matrices: Sequence[int] | None = None,
    tolerance: float = 1e-3,
) -> tuple[list[Patch], tuple[int, ...], NDArray[np.float64]]:
    """Place patches of one shape on the smallest grid that holds them all.

    Parameters
    ----------
    centres : array of float, shape (patches, axes)
        Centre of each patch in m, in the order of the grid's axes, (y, x) or (z, y, x).
    shape : tuple of int
        Voxels of a patch.
    spacing : tuple of float
        Of the voxels in m.
    matrices : sequence of int, optional
        Which matrix holds for which patch; by default the first for all.
    tolerance : float
        By how many voxels a patch may miss the grid.

    Returns
    -------
    patches : list of Patch
    shape : tuple of int
        Of the scene's grid.
    centre : array of float64, shape (axes,)
        Of the scene's grid, in m.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite or not positive, or a patch lies between the voxels.
    """
    places = np.asarray(centres, dtype=float)
    axes = len(shape)
    if places.ndim != 2 or places.shape[1] != axes or len(places) == 0 or len(spacing) != axes:
        raise ValueError(
            f"centres: expected shape (patches, {axes}), and {axes} spacings, found {places.shape} "
            f"and {len(spacing)}"
        )
    if not np.isfinite(places).all():
        raise ValueError("centres: expected finite numbers in m, found NaN or infinity")
    if min(shape) < 1 or not all(np.isfinite(step) and step > 0 for step in spacing):
        raise ValueError(f"shape, spacing: expected positive numbers, found {shape} and {spacing} m")
    owners = [0] * len(places) if matrices is None else list(matrices)
    if len(owners) != len(places):
        raise ValueError(f"matrices: expected one for each of {len(places)} patches, found {len(owners)}")
    first = places.min(axis=0)
    exact = (places - first) / np.asarray(spacing)
    corners = np.rint(exact).astype(int)
    off = np.abs(exact - corners).max(axis=1)
    if off.max() > tolerance:
        patch = int(off.argmax())
        raise ValueError(
            f"centres: expected shifts by whole voxels of {spacing} m, found patch {patch} at {places[patch]} m, "
            f"{off[patch]:.3g} voxels between them"
        )
    whole = tuple(int(n) for n in corners.max(axis=0) + shape)
    centre = first + (np.asarray(whole) - np.asarray(shape)) / 2 * np.asarray(spacing)
    patches = [
        Patch(owner, tuple(int(c) for c in corner)) for owner, corner in zip(owners, corners, strict=True)
    ]
    return patches, whole, centre


class MultiPatchKaczmarz:
    """The regularised Kaczmarz method over all patches at once, without their joint matrix.

    The joint matrix has the rows of all patches and the voxels of the scene; a patch's rows are zero where it does
    not see. A step with one of them changes the voxels of its patch alone: these are taken out of the scene, swept
    over with the patch's own matrix, and put back. The iterates are those of `Kaczmarz` with the joint matrix,
    patch after patch; overlaps belong to all patches that see them.

    Parameters
    ----------
    matrices : sequence of RowSource of complex, each of shape (rows, voxels of its grid)
        NumPy arrays, or in a file. Patches may share one: it is prepared and kept once.
    grids : sequence of tuple of int
        Shape of the grid of each matrix, (y, x) or (z, y, x), voxels in C order.
    patches : sequence of Patch
    shape : tuple of int
        Of the scene's grid.
    relative_lambda : float
        lambda = relative_lambda ||A||_F^2 / N, of the joint matrix.
    block : int, optional
        Rows taken together.
    workers : int
        Threads of the preparation.
    progress : callable, optional
        Called with (matrices prepared, matrices in all).

    Attributes
    ----------
    regularisation : float
        lambda, in the unit of the matrices squared.
    rows : tuple of int
        Of each patch.

    Raises
    ------
    ValueError
        If a matrix is not what `Kaczmarz` asks for, or patches and grids do not fit.

    References
    ----------
    Knopp et al., Phys. Med. Biol. 60 (2015) L15; Szwargulski et al., IEEE Trans. Med. Imaging 38 (2019) 932.
    """

    def __init__(
        self,
        matrices: Sequence[RowSource],
        grids: Sequence[tuple[int, ...]],
        patches: Sequence[Patch],
        shape: tuple[int, ...],
        relative_lambda: float,
        *,
        block: int | None = None,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        check_relative_lambda(relative_lambda)
        _check_layout(matrices, grids, patches, shape)
        self._shape = tuple(shape)
        self._windows = [
            tuple(slice(c, c + n) for c, n in zip(patch.corner, grids[patch.matrix], strict=True))
            for patch in patches
        ]
        with linear_algebra_threads(workers):
            actions = []
            for done, matrix in enumerate(matrices, start=1):
                actions.append(RowAction(matrix, block))
                if progress is not None:
                    progress(done, len(matrices))
            self._actions = [actions[patch.matrix] for patch in patches]
            energy = sum(float(action.energy.sum()) for action in self._actions)
            self.regularisation = relative_lambda * energy / int(np.prod(shape))
            for action in actions:
                action.regularise(self.regularisation)
        self.rows = tuple(action.shape[0] for action in self._actions)

    def solve(
        self,
        u: Sequence[Array],
        iterations: int,
        *,
        real: bool = True,
        non_negative: bool = True,
        workers: int = 1,
        start: Array | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.inexact[Any]]:
        """Sweep over all rows of all patches `iterations` times.

        Parameters
        ----------
        u : sequence of arrays of complex, one a patch, each of shape (rows,) or (rows, frames)
        iterations, real, non_negative, workers, start
            As for `Kaczmarz.solve`; a sweep is one over all patches, and the voxels are the scene's.
        progress : callable, optional
            Called with (patches swept, patches to sweep in all).

        Returns
        -------
        array, shape (voxels,) or (voxels, frames)
            The scene in C order, else as of `Kaczmarz.solve`.

        Raises
        ------
        ValueError
            As from `Kaczmarz.solve`, or if there is not one u for each patch.
        """
        check_workers(workers)
        check_constraints(real, non_negative)
        check_iterations(iterations)
        if len(u) != len(self._actions):
            raise ValueError(
                f"u: expected one array for each of {len(self._actions)} patches, found {len(u)}"
            )
        columns = [
            checked_columns(f"u[{index}]", np.asarray(part), rows)
            for index, (part, rows) in enumerate(zip(u, self.rows, strict=True))
        ]
        frames = columns[0].shape[1]
        if any(
            part.shape[1] != frames or np.ndim(whole) != np.ndim(u[0])
            for part, whole in zip(columns, u, strict=True)
        ):
            raise ValueError(
                "u: expected as many frames of one patch as of the other, found different shapes"
            )
        measured = [action.load(part) for action, part in zip(self._actions, columns, strict=True)]
        extra = [action.zeros(action.shape[0], frames) for action in self._actions]
        voxels = int(np.prod(self._shape))
        first = self._actions[0]
        y = first.zeros(voxels, frames) if start is None else first.load(checked_start(start, voxels, frames))
        # Frames outermost in memory, as the sweeps want them: (*shape, frames) in the order of the scene.
        scene = y.T.reshape(frames, *self._shape)
        steps = iterations * len(self._actions)
        for sweep in range(iterations):
            for index, (action, window) in enumerate(zip(self._actions, self._windows, strict=True)):
                part = scene[:, *window]
                local = np.array(part.reshape(frames, -1)).T
                local, extra[index] = action.sweep(local, measured[index], extra[index], workers=workers)
                scene[:, *window] = local.T.reshape(part.shape)
                if progress is not None:
                    progress(sweep * len(self._actions) + index + 1, steps)
            scene = first.project(scene, real, non_negative)
        scene_voxels: NDArray[np.inexact[Any]] = finished(
            first.unload(scene.reshape(frames, -1).T), real, np.ndim(u[0]) == 1
        )
        return scene_voxels


def _check_layout(
    matrices: Sequence[RowSource],
    grids: Sequence[tuple[int, ...]],
    patches: Sequence[Patch],
    shape: tuple[int, ...],
) -> None:
    if len(matrices) == 0 or len(grids) != len(matrices) or len(patches) == 0:
        raise ValueError(
            f"expected at least one matrix, a grid for each and at least one patch, found {len(matrices)} matrices, "
            f"{len(grids)} grids and {len(patches)} patches"
        )
    for index, (matrix, grid) in enumerate(zip(matrices, grids, strict=True)):
        if in_memory(matrix) and not is_numpy(matrix):
            raise ValueError(
                f"matrices[{index}]: expected a NumPy array or a file, found {type(matrix).__name__}"
            )
        if len(matrix.shape) != 2 or int(np.prod(grid)) != matrix.shape[1] or len(grid) != len(shape):
            raise ValueError(
                f"grids[{index}]: expected {len(shape)} axes and the voxels of a matrix of shape {matrix.shape}, "
                f"found {grid}"
            )
        if str(matrix.dtype) != str(matrices[0].dtype):
            raise ValueError(
                f"matrices: expected one precision, found {matrices[0].dtype} and {matrix.dtype}"
            )
    for index, patch in enumerate(patches):
        if not 0 <= patch.matrix < len(matrices):
            raise ValueError(
                f"patches[{index}]: expected a matrix below {len(matrices)}, found {patch.matrix}"
            )
        grid = grids[patch.matrix]
        if len(patch.corner) != len(shape) or any(
            c < 0 or c + n > whole for c, n, whole in zip(patch.corner, grid, shape, strict=True)
        ):
            raise ValueError(
                f"patches[{index}]: expected a grid of {grid} within the scene of {shape}, found it at {patch.corner}"
            )
