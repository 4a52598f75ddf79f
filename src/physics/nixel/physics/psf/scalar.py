"""The scalar point spread function of Gibson and Lanni."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from nixel.physics.arrays import check_workers
from nixel.physics.checks import check_non_negative
from nixel.physics.psf.microscope import check_microscope
from nixel.physics.psf.pupil import choose_pupil
from nixel.physics.psf.radial import Radial, furthest, intensity, sample
from nixel.physics.psf.series import series_radial
from nixel.physics.psf.volume import check_volume
from nixel.physics.threads import linear_algebra_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray

    from nixel.physics.psf.microscope import Microscope


@linear_algebra_threads(1)  # of each of the `workers`
def gibson_lanni(
    shape: Sequence[int],
    spacing: Sequence[float],
    microscope: Microscope,
    *,
    particle_depth: float,
    method: str = "quadrature",
    pixel_integrated: bool = False,
    supercritical: bool = False,
    dtype: DTypeLike = np.float64,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[Any]:
    """Image of a point particle as the stage scans it through focus, by the scalar model.

    The intensity at radius r is the square of the modulus of the sum over all rays,

        integral from 0 to a of J0(k NA rho r) exp(i W(rho) + i k z sqrt(n_i^2 - NA^2 rho^2)) rho d rho,

    where W is the phase of Gibson and Lanni for the particle's depth and for layers that are not as designed, and z
    the stage's position, by which the immersion layer is thicker than by design. At z = 0 and depth 0 the particle
    is in focus.

    Where the numerical aperture exceeds a refractive index, the rays beyond that index are left out,
    a = min(NA, all indices)/NA, as Li, Xue and Blu do: they do not propagate in that layer.

    Parameters
    ----------
    shape : sequence of int
        Planes, rows and columns of the result, 1 or more each.
    spacing : sequence of float
        Metres between planes, rows and columns; or, two numbers, between planes and between pixels.
    microscope : Microscope
        Objective and layers.
    particle_depth : float
        How far the particle lies in the sample behind the coverslip, metres, 0 or more.
    method : str
        "quadrature": Gauss-Legendre, with as many nodes as the phase asks for, at the grid's distinct radii; where
        these are many, at fewer, between which the band-limited intensity is interpolated to 1e-14. Its error is at
        most 1e-10 of the peak, if that is not below some 4e-6 of a focus without aberrations. "series": the fast
        Fourier-Bessel series of 100 terms, of which 5e-4 of the peak is to be expected.
    pixel_integrated : bool
        Average over the area of each pixel instead of taking its centre.
    supercritical : bool
        Count rays beyond the critical angle of the sample, which are evanescent there and reach the objective from
        particles close to the coverslip; then the sample's index does not limit a. Only with "quadrature".
    dtype : dtype
        Of the result, float64 or float32; computed in float64.
    workers : int
        Threads. The result does not depend on their number.
    progress : callable, optional
        Is told, now and then, of the steps done and of all steps.

    Returns
    -------
    ndarray, (planes, rows, columns), dtype
        Intensity, its largest sample 1. The particle is at (n - 1)/2 in rows and columns, the stage at
        spacing[0] (k - (planes - 1)/2) in plane k. Equal under flips of rows and columns and, with square
        pixels, under their exchange, to the last bit.

    Raises
    ------
    ValueError
        If an argument is none of what is described here.

    References
    ----------
    Gibson and Lanni, J. Opt. Soc. Am. A 9 (1992) 154-166. Li, Xue and Blu, "Fast and accurate three-dimensional
    point spread function computation for fluorescence microscopy", J. Opt. Soc. Am. A 34 (2017) 1029-1034.
    """
    volume = check_volume(shape, spacing, dtype)
    check_microscope("microscope", microscope)
    depth = check_non_negative("particle_depth", particle_depth, "m")
    check_workers(workers)
    if method not in ("quadrature", "series"):
        raise ValueError(f'method: expected "quadrature" or "series", found {method!r}')
    if method == "series" and supercritical:
        raise ValueError('supercritical: expected method "quadrature", which alone has it, found "series"')
    if method == "series":
        radial = series_radial(microscope, depth, volume.stage)
    else:
        band = 2 * microscope.wavenumber * microscope.aperture(supercritical=supercritical)
        radial = scalar_radial(
            microscope,
            depth,
            volume.stage,
            furthest(volume, band, pixel_integrated=pixel_integrated),
            supercritical=supercritical,
        )
    return sample(volume, radial, pixel_integrated=pixel_integrated, workers=workers, progress=progress)


def scalar_radial(
    microscope: Microscope,
    particle_depth: float,
    stage: NDArray[np.float64],
    radius: float,
    *,
    supercritical: bool = False,
) -> Radial:
    """Intensity by quadrature, up to `radius` metres."""
    pupil = choose_pupil(
        microscope,
        particle_depth=particle_depth,
        radius=radius,
        stage=float(np.abs(stage).max()),
        supercritical=supercritical,
    )
    waves = pupil.waves(stage)
    # One real matrix product for both parts: the Bessel functions are real.
    parts = np.concatenate([waves.real, waves.imag])
    transverse = microscope.wavenumber * pupil.sine

    def compute(radii: NDArray[np.float64]) -> NDArray[np.float64]:
        bessel = np.outer(transverse, radii)
        special.j0(bessel, out=bessel)
        return intensity(parts @ bessel)[None]

    band = 2 * microscope.wavenumber * microscope.aperture(supercritical=supercritical)
    return Radial(compute, 1, len(stage), band, len(transverse) + 3 * len(stage))
