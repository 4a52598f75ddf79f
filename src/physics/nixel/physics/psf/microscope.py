"""The microscope of Gibson and Lanni: an objective and the three layers before it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from nixel.physics.checks import check_non_negative, check_positive


@dataclass(frozen=True)
class Microscope:
    """An objective, and the sample, coverslip and immersion layers that it looks through.

    The objective is free of aberrations when the layers are as designed; what is wrong with them follows from the
    difference between the actual and the design values.

    Parameters
    ----------
    numerical_aperture : float
        Of the objective, dimensionless.
    wavelength : float
        In vacuum, metres.
    sample_index : float
        Refractive index of the medium around the particle.
    coverslip_index, coverslip_index_design : float
        Refractive index of the coverslip, actual and as the objective was designed for.
    immersion_index, immersion_index_design : float
        Refractive index of the immersion medium, likewise.
    coverslip_thickness, coverslip_thickness_design : float
        Metres, likewise.
    immersion_thickness_design : float
        Working distance that the objective was designed for, metres. The actual thickness of the immersion layer is
        this and the stage's position.

    Raises
    ------
    ValueError
        If a value is not finite, the aperture, the wavelength or an index not positive, or a thickness negative.

    References
    ----------
    Gibson and Lanni, "Experimental test of an analytical model of aberration in an oil-immersion objective lens
    used in three-dimensional light microscopy", J. Opt. Soc. Am. A 9 (1992) 154-166.
    """

    numerical_aperture: float
    wavelength: float
    sample_index: float
    coverslip_index: float
    coverslip_index_design: float
    immersion_index: float
    immersion_index_design: float
    coverslip_thickness: float
    coverslip_thickness_design: float
    immersion_thickness_design: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if "thickness" in field.name:
                value = check_non_negative(field.name, value, "m")
            else:
                value = check_positive(field.name, value, "m" if field.name == "wavelength" else "")
            object.__setattr__(self, field.name, value)

    @property
    def wavenumber(self) -> float:
        """In vacuum, radians per metre."""
        return 2 * math.pi / self.wavelength

    @property
    def layer_index(self) -> float:
        """Smallest of the coverslip's and the immersion's refractive indices, actual and by design."""
        return min(
            self.coverslip_index,
            self.coverslip_index_design,
            self.immersion_index,
            self.immersion_index_design,
        )

    def aperture(self, *, supercritical: bool = False) -> float:
        """Tell the sine of the steepest ray's angle, times the index, that takes part in the image.

        Parameters
        ----------
        supercritical
            Count the rays that are evanescent in the sample.

        Returns
        -------
        float
            The numerical aperture, or the smallest refractive index if that is less; with `supercritical` the
            sample's index does not count.
        """
        limit = min(self.numerical_aperture, self.layer_index)
        return limit if supercritical else min(limit, self.sample_index)


def check_microscope(name: str, value: object) -> None:
    """Refuse what is no microscope.

    Raises
    ------
    ValueError
        That names the parameter.
    """
    if not isinstance(value, Microscope):
        raise ValueError(f"{name}: expected a Microscope, found {type(value).__name__}")
