"""In-line holograms: contrast, back-propagation, autofocus, the brightest point.

A hologram is what a camera records of a plane wave and the light that a sample scatters from it, |1 + s|^2 =
1 + s + conj(s) + |s|^2. Propagated back by the right distance, s is in focus; conj(s), the twin image, is out
of focus by twice the distance. Distances are from the sample to the plane that the camera sees, positive,
metres.
"""

from nixel.reconstruction.holography.brightest import BrightestPoint, find_brightest
from nixel.reconstruction.holography.contrast import back_propagate, correct
from nixel.reconstruction.holography.focus import AutofocusResult, FocusNotFoundError, autofocus
from nixel.reconstruction.holography.geometry import depth_of_field, search_distances

__all__ = [
    "AutofocusResult",
    "BrightestPoint",
    "FocusNotFoundError",
    "autofocus",
    "back_propagate",
    "correct",
    "depth_of_field",
    "find_brightest",
    "search_distances",
]
