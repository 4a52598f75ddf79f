"""Reconstruction of magnetic particle imaging from a measured or simulated system matrix.

The method is the one of Weizenecker et al., Phys. Med. Biol. 54 (2009) L1, and Knopp et al., Phys. Med. Biol. 55
(2010) 1577: frequency selection by signal-to-noise ratio, weighting, regularised row-action (Kaczmarz) solution.
"""

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

__all__ = [
    "CGNR",
    "FISTA",
    "Kaczmarz",
    "MultiPatchKaczmarz",
    "Patch",
    "SelectedRows",
    "SystemMatrixReconstruction",
    "background_at",
    "mixing_orders",
    "patches_on_grid",
    "row_norm_weights",
    "select_frequencies",
    "signal_to_noise",
    "spectra",
    "whitening_weights",
    "without_background",
    "without_drift",
    "without_leakage",
]
