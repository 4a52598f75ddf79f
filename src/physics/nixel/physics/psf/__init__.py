"""Point spread functions of fluorescence microscopes.

The image of a point particle behind a coverslip, over the positions of the stage: scalar (Gibson and Lanni),
vectorial, and of a confocal microscope. All are exact to the accuracy of the quadrature, 1e-10 of the peak.
"""

from nixel.physics.psf.microscope import Microscope
from nixel.physics.psf.pinhole import confocal
from nixel.physics.psf.scalar import gibson_lanni
from nixel.physics.psf.vector import vectorial

__all__ = ["Microscope", "confocal", "gibson_lanni", "vectorial"]
