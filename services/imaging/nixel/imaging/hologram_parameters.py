"""How a hologram was recorded and how its field is to be found, and what of that cannot be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nixel.imaging.errors import UserError
from nixel.physics.optics import EquivalentPlaneWave, equivalent_plane_wave

METHODS = {
    "back-propagation": "band-limited angular spectrum; the twin image is not suppressed",
    "projections": "accelerated projections on what a sample can be, which suppress the twin image",
    "total-variation": "FISTA with the total variation of the field, which suppresses the twin image",
    "multi-height": "accelerated projections on the amplitudes of all heights, which leave no twin image",
}
CHANNELS = ("all", "R", "G1", "G2", "B")


@dataclass(frozen=True)
class HologramParameters:
    """How a hologram was recorded, and where to look for its focus.

    Attributes
    ----------
    pixel_size, wavelength
        Metres: of the camera (in the plane of the sample, if a lens stands between), and in vacuum.
    medium_index
        Refractive index between the sample and the recorded plane.
    source_distance
        From a point source to the recorded plane, metres; None: a plane wave.
    steady
        As of `correct`.
    bayer
        Order of the camera's colour filters; None: it has none.
    channel
        One of `CHANNELS`: the pixels that are taken; "all" keeps the camera's pitch.
    finer
        How many times finer the pixels of several shifted frames are made.
    distance
        From the sample to the recorded plane, metres; None: to be found.
    distance_range
        Nearest and farthest distance to look at, metres; None: what the geometry allows (`search_distances`).
    heights
        Distances of further holograms of the same sample, metres; `distance` must be given then.
    method
        One of `METHODS`: how the twin image is treated.
    sample, regularisation
        As of `reconstruct_single`.
    start
        As of `reconstruct_multi_height`.
    iterations
        None: the method's default.
    unwrap
        Whether jumps are taken out of the phase.
    memory
        Bytes to work in, or None.
    """

    pixel_size: float
    wavelength: float
    medium_index: float
    source_distance: float | None = None
    steady: bool = False
    bayer: str | None = None
    channel: str = "all"
    finer: int = 1
    distance: float | None = None
    distance_range: tuple[float, float] | None = None
    heights: tuple[float, ...] = ()
    method: str = "back-propagation"
    sample: str = "any"
    start: str = "contrast_transfer"
    iterations: int | None = None
    regularisation: float = 0.02
    unwrap: bool = False
    memory: int | None = None

    @property
    def pitch(self) -> float:
        """Of the pixels that are worked with, at the camera, metres."""
        return self.pixel_size * (1 if self.channel == "all" else 2) / self.finer

    def equivalent(self, distance: float) -> EquivalentPlaneWave:
        """Geometry with a plane wave that records the same; see `equivalent_plane_wave`."""
        if self.source_distance is None:
            return EquivalentPlaneWave(distance, 1.0, self.pitch)
        return equivalent_plane_wave(self.source_distance - distance, distance, pixel_size=self.pitch)

    def stretched(self, distance: float) -> float:
        """Distance at which a plane wave records the same at the camera's own scale: that times the magnification."""
        if self.source_distance is None:
            return distance
        return distance * self.source_distance / (self.source_distance - distance)

    def unstretched(self, stretched: float) -> float:
        """Inverse of `stretched`."""
        if self.source_distance is None:
            return stretched
        return stretched * self.source_distance / (self.source_distance + stretched)


def farthest_distance(shape: tuple[int, int], parameters: HologramParameters) -> float:
    """Distance beyond which the hologram holds no picture: the finest detail is an eighth of its width.

    Parameters
    ----------
    shape
        Rows and columns.
    parameters
        See there.

    Returns
    -------
    float
        Metres.
    """
    width = min(shape) * parameters.pixel_size
    # wavelength z / width is the detail that an aperture as wide as the hologram resolves.
    return parameters.unstretched(width**2 * parameters.medium_index / (8 * parameters.wavelength))


def check_parameters(parameters: HologramParameters, shape: tuple[int, int]) -> None:
    """Refuse what no hologram of that shape can have been recorded with.

    Parameters
    ----------
    parameters
        See there.
    shape
        Rows and columns of the frames.

    Raises
    ------
    UserError
        It says what was expected and found.
    """
    for name, value in (("pixel size", parameters.pixel_size), ("wavelength", parameters.wavelength)):
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"the {name} must be positive, found {value:g} m")
    if not 1 <= parameters.medium_index <= 5:
        raise UserError(
            f"the medium index must be a refractive index between 1 (vacuum) and 5, found "
            f"{parameters.medium_index:g}; water has 1.33"
        )
    limit = farthest_distance(shape, parameters)
    asked = (parameters.distance,) if parameters.distance is not None else parameters.distance_range or ()
    asked = (*asked, *parameters.heights)
    for distance in asked:
        if not (math.isfinite(distance) and distance > 0):
            raise UserError(
                f"the distance must be positive (from the sample to the recorded plane), found {distance:g} m"
            )
        if parameters.source_distance is not None and distance >= parameters.source_distance:
            raise UserError(
                f"the sample must be between the source and the recorded plane: expected a distance below "
                f"{parameters.source_distance:g} m, found {distance:g} m"
            )
        if distance > limit:
            raise UserError(
                f"the distance {distance:g} m is too far for this hologram: beyond {limit:.3g} m its "
                f"{shape[0]} x {shape[1]} pixels of {parameters.pixel_size:g} m hold no picture; check the "
                "distance, the pixel size and their units"
            )
    if parameters.distance_range is not None and parameters.distance_range[0] >= parameters.distance_range[1]:
        low, high = parameters.distance_range
        raise UserError(f"the distance range must run from near to far, found {low:g} m to {high:g} m")
