"""Reconstruction of magnetic particle imaging: from a system matrix, in x-space, and from a field-free line.

With a measured or simulated system matrix, the method is the one of Weizenecker et al., Phys. Med. Biol. 54 (2009) L1,
and Knopp et al., Phys. Med. Biol. 55 (2010) 1577: frequency selection by signal-to-noise ratio, weighting, regularised
row-action (Kaczmarz) solution. `xspace` grids the signal by where the field-free point was, and `ffl` reconstructs
projections along a field-free line; names that say little by themselves (`xspace.reconstruct`) stay in their modules.
"""

from nixel.reconstruction.mpi import ffl, xspace
from nixel.reconstruction.mpi.ffl import JointReconstruction, filtered_back_projection
from nixel.reconstruction.mpi.system_matrix import (
    CGNR,
    FISTA,
    Kaczmarz,
    MultiPatchKaczmarz,
    Patch,
    SelectedRows,
    SystemMatrixReconstruction,
    background_at,
    mixing_orders,
    patches_on_grid,
    row_norm_weights,
    select_frequencies,
    signal_to_noise,
    spectra,
    whitening_weights,
    without_background,
    without_drift,
    without_leakage,
)
from nixel.reconstruction.mpi.xspace import XSpaceImage, velocity_compensated

__all__ = [
    "CGNR",
    "FISTA",
    "JointReconstruction",
    "Kaczmarz",
    "MultiPatchKaczmarz",
    "Patch",
    "SelectedRows",
    "SystemMatrixReconstruction",
    "XSpaceImage",
    "background_at",
    "ffl",
    "filtered_back_projection",
    "mixing_orders",
    "patches_on_grid",
    "row_norm_weights",
    "select_frequencies",
    "signal_to_noise",
    "spectra",
    "velocity_compensated",
    "whitening_weights",
    "without_background",
    "without_drift",
    "without_leakage",
    "xspace",
]
