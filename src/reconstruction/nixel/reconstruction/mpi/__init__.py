"""Reconstruction of magnetic particle imaging from a measured or simulated system matrix.

The method is the one of Weizenecker et al., Phys. Med. Biol. 54 (2009) L1, and Knopp et al., Phys. Med. Biol. 55
(2010) 1577: frequency selection by signal-to-noise ratio, weighting, regularised row-action (Kaczmarz) solution.
"""

from nixel.reconstruction.mpi.kaczmarz import Kaczmarz
from nixel.reconstruction.mpi.system_matrix import (
    SystemMatrixReconstruction,
    background_at,
    select_frequencies,
    signal_to_noise,
    spectra,
    without_drift,
)

__all__ = [
    "Kaczmarz",
    "SystemMatrixReconstruction",
    "background_at",
    "select_frequencies",
    "signal_to_noise",
    "spectra",
    "without_drift",
]
