"""The vectorial point spread function: polarisation, and what each interface lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from nixel.physics.arrays import check_workers
from nixel.physics.checks import check_non_negative
from nixel.physics.psf.microscope import check_microscope
from nixel.physics.psf.pupil import choose_pupil
from nixel.physics.psf.radial import Radial, furthest, intensity, sample
from nixel.physics.psf.volume import check_volume
from nixel.physics.threads import linear_algebra_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray

    from nixel.physics.psf.microscope import Microscope
    from nixel.physics.psf.pupil import Pupil

POLARISATIONS = ("unpolarised", "x", "y")


@linear_algebra_threads(1)  # of each of the `workers`
def vectorial(
    shape: Sequence[int],
    spacing: Sequence[float],
    microscope: Microscope,
    *,
    particle_depth: float,
    polarisation: str = "unpolarised",
    pixel_integrated: bool = False,
    supercritical: bool = False,
    dtype: DTypeLike = np.float64,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[Any]:
    """Image of a point particle as the stage scans it through focus, by the vectorial model.

    The particle is a dipole that turns freely while it emits (as dyes in solution do): intensities are averaged over
    all its directions. The objective is aplanatic; Fresnel's coefficients tell what the interfaces between sample,
    coverslip and immersion let through, and the phase is that of `gibson_lanni`. With q = NA rho = n sin(theta) and
    w = n cos(theta) in a layer, the field consists of

        I_j = integral of sqrt(cos theta_i) sin(theta_i) f_j J_j(k q r) exp(i phase) d theta_i,
        f_0 = t_s + t_p cos(theta_s), f_1 = t_p sin(theta_s), f_2 = t_s - t_p cos(theta_s),

    and the intensity is |I_0|^2 + 2 |I_1|^2 + |I_2|^2, to which polarised light adds
    +-2 (Re(I_0 conj(I_2)) + |I_1|^2) cos(2 phi). By reciprocity this is as well the intensity |E|^2 that light
    sent through the same objective has in the sample.

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
    polarisation : str
        "unpolarised": all light, as without an analyser (or of circularly polarised illumination). "x", "y": light
        that an analyser lets through, or illumination, that is polarised along columns' or rows' direction x or y.
    pixel_integrated, supercritical, dtype, workers, progress
        As in `gibson_lanni`, and so are the rays beyond a refractive index.

    Returns
    -------
    ndarray, (planes, rows, columns), dtype
        Intensity, its largest sample 1, on the grid of `gibson_lanni`. Equal under flips of rows and columns.

    Raises
    ------
    ValueError
        If an argument is none of what is described here.

    References
    ----------
    Richards and Wolf, "Electromagnetic diffraction in optical systems II", Proc. R. Soc. A 253 (1959) 358-379.
    Torok, Varga, Laczik and Booker, "Electromagnetic diffraction of light focused through a planar interface between
    materials of mismatched refractive indices", J. Opt. Soc. Am. A 12 (1995) 325-332. Aguet, Geissbuhler, Marki,
    Lasser and Unser, "Super-resolution orientation estimation and localization of fluorescent dipoles using 3-D
    steerable filters", Opt. Express 17 (2009) 6829-6848.
    """
    volume = check_volume(shape, spacing, dtype)
    check_microscope("microscope", microscope)
    depth = check_non_negative("particle_depth", particle_depth, "m")
    check_workers(workers)
    check_polarisation(polarisation)
    band = 2 * microscope.wavenumber * microscope.aperture(supercritical=supercritical)
    radial = vectorial_radial(
        microscope,
        depth,
        volume.stage,
        furthest(volume, band, pixel_integrated=pixel_integrated),
        polarisation=polarisation,
        supercritical=supercritical,
    )
    return sample(
        volume,
        radial,
        pixel_integrated=pixel_integrated,
        polarised=polarisation != "unpolarised",
        workers=workers,
        progress=progress,
    )


def check_polarisation(polarisation: str) -> None:
    """Refuse what is no polarisation.

    Raises
    ------
    ValueError
        If it is none of `POLARISATIONS`.
    """
    if polarisation not in POLARISATIONS:
        raise ValueError(f'polarisation: expected "unpolarised", "x" or "y", found {polarisation!r}')


def vectorial_radial(
    microscope: Microscope,
    particle_depth: float,
    stage: NDArray[np.float64],
    radius: float,
    *,
    polarisation: str = "unpolarised",
    supercritical: bool = False,
) -> Radial:
    """Intensity by quadrature, up to `radius` metres; of two components if it is polarised."""

    def even_factors(pupil: Pupil) -> list[NDArray[np.complex128]]:
        # f_1 is odd in q, as is the J_1 that comes with it; their products with q are smooth.
        f_0, f_1, f_2 = transmission(microscope, pupil)
        return [f_0, f_1 * pupil.sine, f_2]

    pupil = choose_pupil(
        microscope,
        particle_depth=particle_depth,
        radius=radius,
        stage=float(np.abs(stage).max()),
        supercritical=supercritical,
        factors=even_factors,
    )
    waves = pupil.waves(stage)
    parts = [
        np.concatenate([wave.real, wave.imag])
        for wave in (waves * factor for factor in transmission(microscope, pupil))
    ]
    transverse = microscope.wavenumber * pupil.sine
    sign = {"unpolarised": 0, "x": 1, "y": -1}[polarisation]
    planes = len(stage)

    def compute(radii: NDArray[np.float64]) -> NDArray[np.float64]:
        phase = np.outer(transverse, radii)
        j0, j1 = special.j0(phase), special.j1(phase)
        # J2(x) = 2 J1(x)/x - J0(x); what cancels near zero does not matter beside J0.
        j2 = np.divide(2 * j1, phase, out=np.ones_like(phase), where=phase > 0) - j0
        fields = parts[0] @ j0, parts[1] @ j1, parts[2] @ j2
        result = np.empty((2 if sign else 1, planes, len(radii)))
        if sign:
            product = fields[0] * fields[2]
            result[1] = 2 * sign * (product[:planes] + product[planes:])
        squares = [intensity(field) for field in fields]
        result[0] = squares[0] + 2 * squares[1] + squares[2]
        if sign:
            result[1] += 2 * sign * squares[1]
        return result

    band = 2 * microscope.wavenumber * microscope.aperture(supercritical=supercritical)
    return Radial(compute, 2 if sign else 1, planes, band, 4 * len(transverse) + 10 * planes)


def transmission(microscope: Microscope, pupil: Pupil) -> tuple[NDArray[np.complex128], ...]:
    """Factors f_0, f_1 and f_2 of each ray, with the aplanatic factor, relative to the integral over q dq.

    sqrt(cos theta_i) sin(theta_i) d theta_i = q dq/(n_i^2 sqrt(cos theta_i)).

    Parameters
    ----------
    microscope
        Its indices.
    pupil
        The rays.

    Returns
    -------
    tuple of three ndarrays, complex128, (nodes,)
    """
    n_i, n_g, n_s = microscope.immersion_index, microscope.coverslip_index, microscope.sample_index
    w_i, w_g, w_s = pupil.immersion, pupil.coverslip, pupil.sample
    # From the immersion into the sample; reciprocity makes the same coefficients serve emission.
    t_s = 2 * w_i / (w_i + w_g) * 2 * w_g / (w_g + w_s)
    t_p = (
        2
        * n_i
        * n_g
        * w_i
        / (n_g**2 * w_i + n_i**2 * w_g)
        * 2
        * n_g
        * n_s
        * w_g
        / (n_s**2 * w_g + n_g**2 * w_s)
    )
    aplanatic = 1 / np.sqrt(w_i / n_i)
    return (
        aplanatic * (t_s + t_p * w_s / n_s),
        aplanatic * t_p * pupil.sine / n_s,
        aplanatic * (t_s - t_p * w_s / n_s),
    )
