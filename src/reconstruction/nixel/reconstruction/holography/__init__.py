"""In-line holograms: from camera frames to the field at the sample.

A hologram is what a camera records of a plane wave and the light that a sample scatters from it, |1 + s|^2 =
1 + s + conj(s) + |s|^2. Propagated back by the right distance, s is in focus; conj(s), the twin image, is out
of focus by twice the distance. Distances are from the sample to the plane that the camera sees, positive,
metres.

Frames are made holograms by `correct`, on a colour camera before it by `bayer_plane` or `equalise_bayer`;
`autofocus` tells the distance. `back_propagate` keeps the twin image, `reconstruct_single` suppresses it by what
is known of the sample, and `reconstruct_multi_height` needs to know nothing but takes several heights.
`estimate_shifts` and `super_resolve` make a finer hologram of several, `unwrap_phase` takes the jumps out of the
phase, and `reconstruct_in_tiles` does any of it for a whole sensor in little memory.
"""

from nixel.reconstruction.holography.bayer import BayerPlane, bayer_plane, equalise_bayer
from nixel.reconstruction.holography.brightest import BrightestPoint, find_brightest
from nixel.reconstruction.holography.contrast import back_propagate, correct
from nixel.reconstruction.holography.focus import AutofocusResult, FocusNotFoundError, autofocus
from nixel.reconstruction.holography.geometry import depth_of_field, diffraction_reach, search_distances
from nixel.reconstruction.holography.multi_height import reconstruct_multi_height
from nixel.reconstruction.holography.shifts import estimate_shifts
from nixel.reconstruction.holography.single import reconstruct_single
from nixel.reconstruction.holography.super_resolution import super_resolve
from nixel.reconstruction.holography.tiles import reconstruct_in_tiles, tile_for_memory
from nixel.reconstruction.holography.unwrap import unwrap_phase

__all__ = [
    "AutofocusResult",
    "BayerPlane",
    "BrightestPoint",
    "FocusNotFoundError",
    "autofocus",
    "back_propagate",
    "bayer_plane",
    "correct",
    "depth_of_field",
    "diffraction_reach",
    "equalise_bayer",
    "estimate_shifts",
    "find_brightest",
    "reconstruct_in_tiles",
    "reconstruct_multi_height",
    "reconstruct_single",
    "search_distances",
    "super_resolve",
    "tile_for_memory",
    "unwrap_phase",
]
