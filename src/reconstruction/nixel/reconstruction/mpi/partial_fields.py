"""What a receive filter takes from partial fields of view, found again where they overlap.

A scanner cannot receive what it excites with: the fundamental is filtered out. Over a partial field of view, which one
sweep of the drive field covers, the fundamental is the velocity of the field-free point times a constant, so that after
velocity compensation a constant is missing. Where two partial fields overlap they show the same picture, and at the
edge of the whole field there is nothing: both together tell the constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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

    Returns
    -------
    Pieces
        Samples farther than a cell from all centres are left out.
    """
    shape = tuple(len(axis) for axis in axes)
    field = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    used = weights > 0
    below, share = [], []
    for axis, coordinate in zip(axes, np.moveaxis(positions[..., ::-1], -1, 0), strict=True):
        step = (axis[-1] - axis[0]) / (len(axis) - 1)
        place = (coordinate[used].astype(np.float64) - axis[0]) / step
        index = np.floor(place).astype(np.intp)
        below.append(index)
        share.append(place - index)
    keys, amounts, sources = [], [], []
    of_field, number = field[used], np.arange(int(used.sum()))
    for corner in np.ndindex(*(2,) * len(axes)):
        cell = np.zeros(len(number), dtype=np.intp)
        amount = weights[used].astype(np.float64)
        inside = np.ones(len(number), dtype=bool)
        for length, index, part, side in zip(shape, below, share, corner, strict=True):
            at = index + side
            inside &= (at >= 0) & (at < length)
            cell = cell * length + at
            amount = amount * (part if side else 1.0 - part)
        inside &= amount > 0
        keys.append((of_field * np.prod(shape, dtype=np.intp) + cell)[inside])
        amounts.append(amount[inside])
        sources.append(number[inside])
    key, amount, source = (np.concatenate(parts) for parts in (keys, amounts, sources))
    unique, entry = np.unique(key, return_inverse=True)
    weight = sums(entry, amount, len(unique))

    def averaged(quantity: NDArray[Any]) -> NDArray[np.float64]:
        return sums(entry, amount * quantity[used][source], len(unique)) / weight

    cells = int(np.prod(shape))
    components = [averaged(lost[..., m]) for m in range(lost.shape[-1])]
    return Pieces(
        fields=len(values),
        cells=cells,
        field=unique // cells,
        cell=unique % cells,
        weight=weight,
        value=averaged(values),
        lost=np.stack(components, axis=-1) if components else np.empty((len(unique), 0)),
    )


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
