"""The point spread function of a confocal microscope: illumination times what the pinhole lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.arrays import check_workers
from nixel.physics.checks import check_non_negative
from nixel.physics.psf.microscope import check_microscope
from nixel.physics.psf.radial import Radial, disc_average, furthest, sample, table_radii
from nixel.physics.psf.scalar import scalar_radial
from nixel.physics.psf.vector import check_polarisation, vectorial_radial
from nixel.physics.psf.volume import check_volume
from nixel.physics.threads import linear_algebra_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray

    from nixel.physics.psf.microscope import Microscope


@linear_algebra_threads(1)  # of each of the `workers`
def confocal(
    shape: Sequence[int],
    spacing: Sequence[float],
    excitation: Microscope,
    emission: Microscope,
    *,
    particle_depth: float,
    pinhole_radius: float = 0.0,
    model: str = "scalar",
    polarisation: str = "unpolarised",
    pixel_integrated: bool = False,
    supercritical: bool = False,
    dtype: DTypeLike = np.float64,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[Any]:
    """Signal of a point particle over the positions of a confocal scan.

    h(r, z) = h_excitation(r, z) (h_emission(., z) * disc)(r), where * convolves over the plane and the disc is the
    pinhole as the objective images it into the sample.

    Parameters
    ----------
    shape : sequence of int
        Planes, rows and columns of the result, 1 or more each.
    spacing : sequence of float
        Metres between planes, rows and columns; or, two numbers, between planes and between pixels.
    excitation, emission : Microscope
        The same objective and layers at the wavelength of the illumination and of the fluorescence; indices may
        differ by dispersion.
    particle_depth : float
        How far the particle lies in the sample behind the coverslip, metres, 0 or more.
    pinhole_radius : float
        In the sample: that of the pinhole divided by the magnification, metres. 0 is an ideal pinhole. One Airy unit
        is 0.61 wavelength/NA of the emission.
    model : str
        "scalar" as `gibson_lanni` or "vectorial" as `vectorial`, for both.
    polarisation : str
        Of the illumination, for the vectorial model, as in `vectorial`; the fluorescence is not polarised.
    pixel_integrated : bool
        Average over the pixels of the scan.
    supercritical, dtype, workers, progress
        As in `gibson_lanni`.

    Returns
    -------
    ndarray, (planes, rows, columns), dtype
        Signal, its largest sample 1, on the grid of `gibson_lanni`.

    Raises
    ------
    ValueError
        If an argument is none of what is described here.

    References
    ----------
    Wilson and Sheppard, "Theory and Practice of Scanning Optical Microscopy", Academic Press 1984, chapters 3 and 8.
    """
    volume = check_volume(shape, spacing, dtype)
    check_microscope("excitation", excitation)
    check_microscope("emission", emission)
    depth = check_non_negative("particle_depth", particle_depth, "m")
    pinhole = check_non_negative("pinhole_radius", pinhole_radius, "m")
    check_workers(workers)
    check_polarisation(polarisation)
    if model not in ("scalar", "vectorial"):
        raise ValueError(f'model: expected "scalar" or "vectorial", found {model!r}')
    if model == "scalar" and polarisation != "unpolarised":
        raise ValueError(f'polarisation: expected model "vectorial" with {polarisation!r}, found "scalar"')

    bands = [
        2 * microscope.wavenumber * microscope.aperture(supercritical=supercritical)
        for microscope in (excitation, emission)
    ]
    radius = furthest(volume, sum(bands), pixel_integrated=pixel_integrated)

    def one(microscope: Microscope, radius: float, polarisation: str) -> Radial:
        if model == "scalar":
            return scalar_radial(microscope, depth, volume.stage, radius, supercritical=supercritical)
        return vectorial_radial(
            microscope, depth, volume.stage, radius, polarisation=polarisation, supercritical=supercritical
        )

    illumination = one(excitation, radius, polarisation)
    if pinhole > 0:
        last = float(table_radii(radius + pinhole, bands[1])[-1])
        detection = disc_average(one(emission, last, "unpolarised"), pinhole, radius, workers=workers)
    else:
        detection = one(emission, radius, "unpolarised")

    def compute(radii: NDArray[np.float64]) -> NDArray[np.float64]:
        return illumination.compute(radii) * detection.compute(radii)

    return sample(
        volume,
        Radial(
            compute,
            illumination.components,
            len(volume.stage),
            sum(bands),
            illumination.work + detection.work,
        ),
        pixel_integrated=pixel_integrated,
        polarised=polarisation != "unpolarised",
        workers=workers,
        progress=progress,
    )
