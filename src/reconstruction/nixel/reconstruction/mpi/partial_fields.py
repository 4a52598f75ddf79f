"""What a receive filter takes from partial fields of view, found again where they overlap.

A scanner cannot receive what it excites with: the fundamental is filtered out. Over a partial field of view, which one
sweep of the drive field covers, the fundamental is the velocity of the field-free point times a constant, so that after
velocity compensation a constant is missing. Where two partial fields overlap they show the same picture, and at the
edge of the whole field there is nothing: both together tell the constants.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

# Samples that are spread together: bounds the memory, some 40 bytes for each sample and corner of a cell.
_TOGETHER = 1 << 18

# A pivot this much smaller than the largest one is rounding: the overlaps say nothing about that constant.
_SINGULAR = 1e-11


@dataclass(frozen=True)
class Pieces:
    """Samples of partial fields of view, averaged in the cells of a common grid.

    An entry is one cell as one partial field sees it. Cells that a field does not see have none.

    Parameters
    ----------
    fields : int
        Partial fields of view.
    cells : int
        Cells of the grid.
    field, cell : array of int, shape (entries,)
        Where an entry belongs.
    weight : array of float64, shape (entries,)
        Sum of its samples' weights, positive.
    value : array of float64, shape (entries,)
        Weighted mean of its samples.
    lost : array of float64, shape (entries, components)
        Weighted mean of each lost component there.
    """

    fields: int
    cells: int
    field: NDArray[np.intp]
    cell: NDArray[np.intp]
    weight: NDArray[np.float64]
    value: NDArray[np.float64]
    lost: NDArray[np.float64]

    def mean(
        self, offsets: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted mean of all fields in each cell, and the weight.

        Parameters
        ----------
        offsets : array of float64, shape (fields, components), optional
            How much of each lost component is added to each field.

        Returns
        -------
        mean : array of float64, shape (cells,)
            Zero where nothing was seen.
        weight : array of float64, shape (cells,)
        """
        value = self.value
        if offsets is not None:
            value = value + np.einsum("em,em->e", self.lost, offsets[self.field])
        weight = sums(self.cell, self.weight, self.cells)
        total = sums(self.cell, self.weight * value, self.cells)
        return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0), weight


def sums(index: NDArray[np.intp], amounts: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Sum of the amounts of each index, shape (length,)."""
    # Of no amounts at all, bincount makes integers.
    return np.bincount(index, amounts, minlength=length).astype(np.float64, copy=False)


def gather(
    values: NDArray[Any],
    weights: NDArray[Any],
    positions: NDArray[Any],
    lost: NDArray[Any],
    axes: Sequence[NDArray[Any]],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Pieces:
    """Spread samples over the cells around them, linearly in the distance, each partial field for itself.

    Parameters
    ----------
    values, weights : array of float, shape (fields, samples)
        Weights of zero or more; a sample of weight zero does not count.
    positions : array of float, shape (fields, samples, axes)
        Columns x, y, z in m.
    lost : array of float, shape (fields, samples, components)
    axes : sequence of array of float
        Centres of the cells along (z,) y, x in m, evenly spaced: the order of the picture's axes, the reverse of the
        columns'.
    progress : callable, optional
        Called with (fields done, fields in all).

    Returns
    -------
    Pieces
        Samples farther than a cell from all centres are left out.
    """
    cells = math.prod(len(axis) for axis in axes)
    fields, samples = values.shape
    together = max(1, _TOGETHER // samples)
    field, cell, weight, value, mean_lost = [], [], [], [], []
    for start in range(0, fields, together):
        part = slice(start, min(start + together, fields))
        used = weights[part] > 0
        source, where, amount = _spread(positions[part][used], weights[part][used], axes)
        of_field = np.broadcast_to(np.arange(part.start, part.stop)[:, None], used.shape)[used]
        key, entry = np.unique(of_field[source] * cells + where, return_inverse=True)
        total = sums(entry, amount, len(key))
        quantities = [values[part][used], *np.moveaxis(lost[part][used], -1, 0)]
        means = [sums(entry, amount * quantity[source], len(key)) / total for quantity in quantities]
        field.append(key // cells)
        cell.append(key % cells)
        weight.append(total)
        value.append(means[0])
        mean_lost.append(np.stack(means[1:], axis=-1) if means[1:] else np.empty((len(key), 0)))
        if progress is not None:
            progress(part.stop, fields)
    return Pieces(
        fields,
        cells,
        np.concatenate(field),
        np.concatenate(cell),
        np.concatenate(weight),
        np.concatenate(value),
        np.concatenate(mean_lost),
    )


def _spread(
    positions: NDArray[Any], weights: NDArray[Any], axes: Sequence[NDArray[Any]]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Share each sample out: number of the sample, cell, and its part of the weight; only cells of the grid."""
    below, share = [], []
    for axis, coordinate in zip(axes, positions[:, ::-1].T, strict=True):
        place = (coordinate.astype(np.float64) - axis[0]) * ((len(axis) - 1) / (axis[-1] - axis[0]))
        index = np.floor(place).astype(np.intp)
        below.append(index)
        share.append(place - index)
    sources, cells, amounts = [], [], []
    for corner in np.ndindex(*(2,) * len(axes)):
        cell = np.zeros(len(positions), dtype=np.intp)
        amount = weights.astype(np.float64)
        for axis, index, part, side in zip(axes, below, share, corner, strict=True):
            at = index + side
            amount = np.where((at >= 0) & (at < len(axis)), amount * (part if side else 1.0 - part), 0.0)
            cell = cell * len(axis) + at
        kept = np.flatnonzero(amount > 0)
        sources.append(kept)
        cells.append(cell[kept])
        amounts.append(amount[kept])
    return np.concatenate(sources), np.concatenate(cells), np.concatenate(amounts)


def recover(pieces: Pieces, zero: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Amount of each lost component in each partial field, by least squares over the overlaps.

    Minimised is sum_e w_e (p_e + l_e . d_field(e) - I_cell(e))^2 over the amounts d and the picture I, with I = 0
    in the cells of the edge. The picture is eliminated cell by cell; a sparse symmetric system in d remains.

    Parameters
    ----------
    pieces : Pieces
    zero : array of bool, shape (cells,)
        Where the picture is known to be zero.

    Returns
    -------
    array of float64, shape (fields, components)

    Raises
    ------
    ValueError
        If the overlaps and the edge do not determine the amounts.

    References
    ----------
    Lu et al., "Linearity and shift invariance for quantitative magnetic particle imaging", IEEE Trans. Med. Imaging 32
    (2013) 1565; Konkle et al., "A convex formulation for magnetic particle imaging x-space reconstruction", PLoS ONE 10
    (2015) e0140137.
    """
    components = pieces.lost.shape[1]
    entries = len(pieces.cell)
    unknowns = pieces.fields * components
    row = np.repeat(np.arange(entries), components)
    column = (pieces.field[:, None] * components + np.arange(components)).ravel()
    lost = scipy.sparse.csr_array((pieces.lost.ravel(), (row, column)), shape=(entries, unknowns))
    free = ~zero[pieces.cell]
    total = sums(pieces.cell, pieces.weight, pieces.cells)
    spread = scipy.sparse.csr_array(
        (pieces.weight[free], (pieces.cell[free], np.flatnonzero(free))), shape=(pieces.cells, entries)
    )
    scale = scipy.sparse.diags_array(np.divide(1.0, total, out=np.zeros_like(total), where=total > 0))
    seen = spread @ lost
    weighted = scipy.sparse.diags_array(pieces.weight) @ lost
    normal = (lost.T @ weighted - seen.T @ (scale @ seen)).tocsc()
    right = seen.T @ (scale @ (spread @ pieces.value)) - weighted.T @ pieces.value
    # Equal diagonals make the pivots comparable, whatever the components' units and the fields' coverage.
    diagonal = weighted.multiply(lost).sum(axis=0)
    if not (diagonal > 0).all():
        which = int(np.flatnonzero(diagonal <= 0)[0]) // components
        raise ValueError(f"positions: partial field of view {which} has no sample on the grid that moves")
    unit = 1.0 / np.sqrt(diagonal)
    balanced = (scipy.sparse.diags_array(unit) @ normal @ scipy.sparse.diags_array(unit)).tocsc()
    try:
        factors = scipy.sparse.linalg.splu(
            balanced, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
        )
        determined = np.abs(factors.U.diagonal()).min() > _SINGULAR
    except RuntimeError:  # SuperLU: the factor is exactly singular
        determined = False
    if not determined:
        raise ValueError(
            "zero: expected every partial field of view to reach the edge, itself or through fields that it overlaps "
            "with, found some that do not: enlarge the overlaps, or say where the picture is zero"
        )
    solution: NDArray[np.float64] = unit * factors.solve(unit * right)
    return solution.reshape(pieces.fields, components)
