"""The fast Fourier-Bessel series for the scalar point spread function."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from nixel.physics.psf.pupil import phase
from nixel.physics.psf.radial import Radial, intensity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nixel.physics.psf.microscope import Microscope

# As published: terms, samples of the pupil's radius and the shortest wavelength (m) that the orders are made for.
TERMS = 100
SAMPLES = 1000
SHORTEST_WAVELENGTH = 436e-9
# Singular values below this share of the largest do not count: neighbouring orders are so alike that without such a
# bound coefficients of 1e11 cancel, and with them the digits of the closed form near its poles.
CUT_OFF = 1e-8


def series_radial(microscope: Microscope, particle_depth: float, stage: NDArray[np.float64]) -> Radial:
    """Intensity by a least-squares fit of Bessel functions to the pupil, whose transforms are known.

    exp(i phase(rho, z)) is fitted on 1000 samples of 0 <= rho <= a by the sum over c_m(z) J0(s_m rho) with
    s_m = NA (3m - 2) 436 nm/wavelength, m = 1 to 100. The field at radius r is then the sum over c_m(z) times

        integral from 0 to a of J0(s_m rho) J0(b rho) rho d rho, b = k NA r,

    which is known in closed form. The phase must not vary faster than the highest order.

    The samples are equidistant in the angle of the ray, not in rho: near a critical angle the phase has a square
    root that equidistant radii miss, which made a tenfold error.

    Parameters
    ----------
    microscope
        Objective and layers.
    particle_depth
        Metres below the coverslip.
    stage : ndarray, float64, (planes,)
        Positions, metres.

    Returns
    -------
    Radial

    References
    ----------
    Li, Xue and Blu, J. Opt. Soc. Am. A 34 (2017) 1029-1034, equations 3 to 5.
    """
    aperture = microscope.numerical_aperture
    index = min(microscope.layer_index, microscope.sample_index)
    last = microscope.aperture() / aperture
    rho = index / aperture * np.sin(np.linspace(0, math.asin(microscope.aperture() / index), SAMPLES))
    orders = (
        aperture
        * (3 * np.arange(1, TERMS + 1, dtype=np.float64) - 2)
        * (SHORTEST_WAVELENGTH / microscope.wavelength)
    )
    waves = phase(microscope, particle_depth, stage, np.minimum(aperture * rho, microscope.aperture()))
    fitted, *_ = np.linalg.lstsq(
        special.j0(np.outer(rho, orders)), np.concatenate([np.cos(waves), np.sin(waves)]).T, rcond=CUT_OFF
    )
    parts = np.ascontiguousarray(fitted.T)
    transverse = microscope.wavenumber * aperture

    def compute(radii: NDArray[np.float64]) -> NDArray[np.float64]:
        return intensity(parts @ bessel_overlap(orders[:, None], transverse * radii, last))[None]

    return Radial(
        compute, 1, len(stage), 2 * microscope.wavenumber * microscope.aperture(), 8 * TERMS + 3 * len(stage)
    )


def bessel_overlap(s: NDArray[np.float64], b: NDArray[np.float64], last: float) -> NDArray[np.float64]:
    """Integral from 0 to `last` of J0(s rho) J0(b rho) rho d rho, also where s and b coincide.

    The closed form (Lommel) is 0/0 at s = b and loses digits nearby. There the integral is even in s - b about the
    mean of both, so that its value for s = b = mean, last^2 (J0^2 + J1^2)/2, errs by the square of a difference
    of 1e-5 at most.

    Parameters
    ----------
    s, b : ndarray, float64
        Orders, not negative, of shapes that broadcast.
    last
        Upper limit.

    Returns
    -------
    ndarray, float64
    """
    mean = (s + b) / 2
    near = np.abs(s - b) * last < 1e-5
    denominator = np.where(near, 1.0, (s - b) * (s + b))
    apart = (
        last
        * (s * special.j1(s * last) * special.j0(b * last) - b * special.j0(s * last) * special.j1(b * last))
        / denominator
    )
    result: NDArray[np.float64] = apart
    if near.any():
        met = mean[near] * last
        result[near] = last**2 / 2 * (special.j0(met) ** 2 + special.j1(met) ** 2)
    return result
