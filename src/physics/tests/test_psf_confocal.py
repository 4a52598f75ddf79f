"""The confocal point spread function against closed forms and a plain convolution with the pinhole."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from nixel.physics.psf import Microscope, confocal, gibson_lanni, vectorial

EMISSION = Microscope(
    numerical_aperture=1.3,
    wavelength=520e-9,
    sample_index=1.518,
    coverslip_index=1.518,
    coverslip_index_design=1.518,
    immersion_index=1.518,
    immersion_index_design=1.518,
    coverslip_thickness=170e-6,
    coverslip_thickness_design=170e-6,
    immersion_thickness_design=150e-6,
)
EXCITATION = replace(EMISSION, wavelength=488e-9)
AIRY = 0.61 * 520e-9 / 1.3


def airy(microscope, r):
    v = microscope.wavenumber * microscope.numerical_aperture * np.asarray(r)
    return np.where(v > 0, 2 * special.j1(v) / np.where(v > 0, v, 1), 1.0) ** 2


def row(n, pixel):
    return np.abs(np.arange(n) - n // 2) * pixel


def test_an_ideal_pinhole_multiplies_two_airy_patterns():
    found = confocal((1, 1, 101), (1e-7, 2e-8), EXCITATION, EMISSION, particle_depth=0)[0, 0]
    r = row(101, 2e-8)
    assert np.abs(found - airy(EXCITATION, r) * airy(EMISSION, r)).max() < 1e-12


@pytest.mark.parametrize("airy_units", [0.1, 1.0, 5.0])
def test_a_pinhole_averages_over_its_disc(airy_units):
    radius = airy_units * AIRY
    found = confocal(
        (1, 1, 21), (1e-7, 4e-8), EXCITATION, EMISSION, particle_depth=0, pinhole_radius=radius
    )[0, 0]  # fmt: skip
    r = row(21, 4e-8)
    # Over the disc in Cartesian coordinates: x = a sin(t), |y| < a cos(t).
    t, w = np.polynomial.legendre.leggauss(80)
    t, w = t * math.pi / 2, w * math.pi / 2
    x, y = np.sin(t)[:, None], np.cos(t)[:, None] * np.polynomial.legendre.leggauss(80)[0]
    weight = (w * np.cos(t) ** 2)[:, None] * np.polynomial.legendre.leggauss(80)[1]
    through = np.array(
        [(weight * airy(EMISSION, np.hypot(x * radius + centre, y * radius))).sum() for centre in r]
    )
    expected = airy(EXCITATION, r) * through
    assert np.abs(found - expected / expected.max()).max() < 1e-10


def test_a_wide_pinhole_leaves_the_illumination():
    shape, spacing = (9, 1, 21), (0.2e-6, 5e-8)
    found = confocal(shape, spacing, EXCITATION, EMISSION, particle_depth=0, pinhole_radius=60 * AIRY)
    # All but the 2/(pi v) outside of the pinhole passes.
    assert np.abs(found - gibson_lanni(shape, spacing, EXCITATION, particle_depth=0)).max() < 1e-2


def test_a_narrow_pinhole_is_an_ideal_one():
    shape, spacing = (9, 12, 12), (0.2e-6, 5e-8)
    excitation, emission = (replace(m, sample_index=1.4) for m in (EXCITATION, EMISSION))
    ideal, narrow = (
        confocal(shape, spacing, excitation, emission, particle_depth=3e-6, pinhole_radius=radius)
        for radius in (0, 1e-10)
    )
    assert np.abs(ideal - narrow).max() < 1e-6


@pytest.mark.parametrize("polarisation", ["unpolarised", "x"])
def test_the_vectorial_one_multiplies_vectorial_ones(polarisation):
    arguments = ((5, 7, 8), (0.3e-6, 0.1e-6, 0.11e-6))
    found = confocal(
        *arguments, EXCITATION, EMISSION, particle_depth=1e-6, model="vectorial", polarisation=polarisation
    )
    product = vectorial(*arguments, EXCITATION, particle_depth=1e-6, polarisation=polarisation)
    product = product * vectorial(*arguments, EMISSION, particle_depth=1e-6)
    assert np.abs(found - product / product.max()).max() < 1e-12


def test_pixels_and_pinholes_go_together():
    arguments = {
        "excitation": EXCITATION, "emission": EMISSION, "particle_depth": 0, "pinhole_radius": AIRY,
    }  # fmt: skip
    found = confocal((1, 3, 4), (1e-7, 0.1e-6), pixel_integrated=True, **arguments)
    fine = confocal((1, 3 * 40, 4 * 40), (1e-7, 0.1e-6 / 40), **arguments)
    expected = fine.reshape(1, 3, 40, 4, 40).mean(axis=(2, 4))
    # Midpoints err by the square of their distance.
    assert np.abs(found - expected / expected.max()).max() < 2e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pinhole_radius": -1e-9}, "pinhole_radius: expected zero or more m, found -1e-09"),
        ({"model": "exact"}, 'model: expected "scalar" or "vectorial", found \'exact\''),
        ({"polarisation": "x"}, 'polarisation: expected model "vectorial"'),
        ({"dtype": np.float16}, "dtype: expected float32 or float64"),
    ],
)
def test_arguments_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        confocal((2, 2, 2), (1e-7, 1e-7), EXCITATION, EMISSION, particle_depth=0, **changes)
