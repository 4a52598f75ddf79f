"""Scalar wave optics: free-space propagation by the band-limited angular spectrum, and what illuminates.

Sign convention: fields vary as exp(i(kz - wt)), light travels towards +z, and a positive distance propagates
along it.
"""

from __future__ import annotations

from nixel.physics.optics.illumination import (
    EquivalentPlaneWave,
    equivalent_plane_wave,
    plane_wave,
    point_source,
)
from nixel.physics.optics.propagation import propagate
from nixel.physics.optics.transfer import axial_deficit, padded_shape, transfer_function, unfold

__all__ = [
    "EquivalentPlaneWave",
    "axial_deficit",
    "equivalent_plane_wave",
    "padded_shape",
    "plane_wave",
    "point_source",
    "propagate",
    "transfer_function",
    "unfold",
]
