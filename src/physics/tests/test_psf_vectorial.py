"""The vectorial point spread function against a sum of plane waves, with fields and interfaces from the textbook."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from nixel.physics.psf import Microscope, gibson_lanni, vectorial

OIL = Microscope(
    numerical_aperture=1.4,
    wavelength=610e-9,
    sample_index=1.33,
    coverslip_index=1.52,
    coverslip_index_design=1.5,
    immersion_index=1.515,
    immersion_index_design=1.5,
    coverslip_thickness=171e-6,
    coverslip_thickness_design=170e-6,
    immersion_thickness_design=150e-6,
)
MATCHED = replace(
    OIL,
    sample_index=1.5,
    coverslip_index=1.5,
    immersion_index=1.5,
    coverslip_thickness=170e-6,
)


def panels(*ends, count=24, nodes=48):
    x, w = np.polynomial.legendre.leggauss(nodes)
    edges = np.concatenate(
        [np.linspace(a, b, count + 1)[:-1] for a, b in itertools.pairwise(ends)] + [ends[-1:]]
    )
    half = np.diff(edges)[:, None] / 2
    return ((edges[:-1, None] + edges[1:, None]) / 2 + half * x).ravel(), (half * w).ravel()


def fresnel(sine, n, cosine, m, cosine_behind):
    """Transmission for s and p from index n into m (Born and Wolf 1.5.2, 20), q = n sin(theta).

    2 sin(b) cos(a)/sin(a + b), and that over cos(a - b), for the angles a and b, which may be complex.
    """
    (sin_a, cos_a), (sin_b, cos_b) = (sine / n, cosine / n), (sine / m, cosine_behind / m)
    t_s = 2 * sin_b * cos_a / (sin_a * cos_b + cos_a * sin_b)
    return t_s, t_s / (cos_a * cos_b + sin_a * sin_b)


def plane_waves(m, points, stage, depth, jones, *, last):
    """|E|^2 of focused light at points (x, y): plane waves from all directions, each refracted twice.

    `jones` is the polarisation before the objective, which turns each ray's meridional plane.
    """
    bend = min(last, m.sample_index)
    q, w = panels(0, math.asin(bend / m.sample_index))
    q, w = m.sample_index * np.sin(q), w * m.sample_index * np.cos(q)
    if last > bend:
        t, v = panels(0, math.acosh(last / bend))
        q, w = np.append(q, bend * np.cosh(t)), np.append(w, v * bend * np.sinh(t))
    phi = 2 * np.pi * np.arange(128) / 128
    c_i, c_g, c_s = (
        np.sqrt(n**2 - q**2 + 0j) for n in (m.immersion_index, m.coverslip_index, m.sample_index)
    )
    outer = fresnel(q, m.immersion_index, c_i, m.coverslip_index, c_g)
    inner = fresnel(q, m.coverslip_index, c_g, m.sample_index, c_s)
    t_s, t_p = outer[0] * inner[0], outer[1] * inner[1]
    k = 2 * math.pi / m.wavelength

    def cosine(n):
        return np.sqrt(n**2 - q**2)

    way = (
        depth * c_s
        + m.coverslip_thickness * c_g
        - m.coverslip_thickness_design * cosine(m.coverslip_index_design)
        + (m.immersion_thickness_design + stage) * c_i
        - m.immersion_thickness_design * cosine(m.immersion_index_design)
    )
    # sqrt(cos) sin d theta_i d phi = sqrt(cos) q dq/(n_i w_i) d phi.
    weight = np.sqrt(c_i / m.immersion_index) * w * q / (m.immersion_index * c_i) * np.exp(1j * k * way)
    cos, sin = np.cos(phi)[:, None], np.sin(phi)[:, None]
    along_p, along_s = jones[0] * cos + jones[1] * sin, -jones[0] * sin + jones[1] * cos
    field = [
        t_p * along_p * (c_s / m.sample_index) * cos - t_s * along_s * sin,
        t_p * along_p * (c_s / m.sample_index) * sin + t_s * along_s * cos,
        -t_p * along_p * (q / m.sample_index),
    ]
    result = []
    for x, y in points:
        wave = weight * np.exp(1j * k * q * (x * cos + y * sin))
        result.append(sum(abs((component * wave).sum()) ** 2 for component in field))
    return np.array(result)


@pytest.mark.parametrize("polarisation", ["x", "y", "unpolarised"])
@pytest.mark.parametrize(
    ("aperture", "depth", "supercritical"),
    [(1.4, 1e-6, False), (1.2, 5e-6, False), (0.8, 0.0, False), (1.4, 50e-9, True), (1.49, 1e-6, True)],
)
def test_it_is_the_sum_of_plane_waves(polarisation, aperture, depth, supercritical):
    microscope = replace(OIL, numerical_aperture=aperture)
    shape, spacing = (5, 9, 11), (0.4e-6, 0.13e-6, 0.11e-6)
    found = vectorial(
        shape,
        spacing,
        microscope,
        particle_depth=depth,
        polarisation=polarisation,
        supercritical=supercritical,
    )
    z, y, x = np.unravel_index([found.argmax(), 3, 70, 170, 250, 333, 494], shape)
    jones = {"x": [(1, 0)], "y": [(0, 1)], "unpolarised": [(1, 0), (0, 1)]}[polarisation]
    expected = np.array(
        [
            sum(
                plane_waves(
                    microscope, [((column - 5) * spacing[2], (row - 4) * spacing[1])], (plane - 2) * spacing[0],
                    depth, direction, last=aperture if supercritical else min(aperture, 1.33),
                )[0]
                for direction in jones
            )
            for plane, row, column in zip(z, y, x, strict=True)
        ]
    )  # fmt: skip
    assert np.abs(found[z, y, x] - expected / expected[0]).max() < 1e-10


def test_a_small_aperture_sees_the_airy_pattern():
    aperture = 0.05
    microscope = replace(MATCHED, numerical_aperture=aperture)
    shape, spacing = (1, 31, 31), (1e-6, 1e-6, 1e-6)
    found = vectorial(shape, spacing, microscope, particle_depth=0)[0]
    axis = spacing[1] * (np.arange(31) - 15)
    v = microscope.wavenumber * aperture * np.hypot(axis[:, None], axis)
    v[15, 15] = 1
    expected = (2 * special.j1(v) / v) ** 2
    expected[15, 15] = 1
    # The next order is (NA/n)^2 = 1.1e-3.
    assert np.abs(found - expected).max() < 1.1e-3


@pytest.mark.parametrize(("polarisation", "supercritical"), [("unpolarised", True), ("x", False)])
def test_every_plane_has_the_same_energy(polarisation, supercritical):
    # The mean of a row and a column is the mean over the angle, for cos(2 phi) vanishes in it.
    n = 8001
    found = sum(
        vectorial(
            shape, (1e-6, 2e-8, 2e-8), OIL, particle_depth=0.5e-6, polarisation=polarisation,
            supercritical=supercritical,
        ).reshape(4, n)
        for shape in ((4, n, 1), (4, 1, n))
    )  # fmt: skip
    # With Euler's correction for the slope I(0) in which r I begins.
    energy = (found * np.abs(np.arange(n) - n // 2)).sum(axis=1) + found[:, n // 2] / 6
    assert np.abs(energy / energy.mean() - 1).max() < 1e-3


def test_linear_polarisation_widens_the_focus_along_itself():
    x, y, both = (
        vectorial((1, 81, 81), (1e-7, 2e-8, 2e-8), MATCHED, particle_depth=0, polarisation=polarisation)[0]
        for polarisation in ("x", "y", "unpolarised")
    )
    assert np.abs(x - y.T).max() < 1e-14
    assert np.abs((x + y) / 2 - both).max() < 1e-14
    assert (x[40] > 0.5).sum() > 1.2 * (x[:, 40] > 0.5).sum()
    # Flips change nothing.
    assert (x == x[::-1]).all()
    assert (x == x[:, ::-1]).all()


def test_on_the_axis_only_the_transverse_field_is_left():
    # Richards and Wolf: I_0 at the focus of an aplanat in one medium is the integral of sqrt(cos) sin (1 + cos),
    # 16/15 - 2/3 c^1.5 - 2/5 c^2.5; a scan in z has the closed form's ratio for small z^2: 1 - var(kz) z^2.
    c = math.sqrt(1 - (1.4 / 1.5) ** 2)
    moments = [
        sum(2 / (2 * j + 3) * (1 - c ** (j + 1.5)) for j in (power, power + 1)) for power in range(3)
    ]  # fmt: skip
    assert moments[0] == pytest.approx(16 / 15 - 2 / 3 * c**1.5 - 2 / 5 * c**2.5)
    variance = moments[2] / moments[0] - (moments[1] / moments[0]) ** 2
    step = 1e-9
    found = vectorial((3, 1, 1), (step, 1e-7, 1e-7), MATCHED, particle_depth=0)[:, 0, 0]
    assert found[1] == 1
    bend = (2 - found[0] - found[2]) / 2 / (MATCHED.wavenumber * 1.5 * step) ** 2
    assert bend == pytest.approx(variance, rel=1e-4)


@pytest.mark.parametrize("polarisation", ["unpolarised", "x"])
def test_a_pixel_is_the_mean_over_its_area(polarisation):
    spacing = (0.3e-6, 0.2e-6, 0.1e-6)
    arguments = {"microscope": OIL, "particle_depth": 1e-6, "polarisation": polarisation}
    found = vectorial((2, 5, 6), spacing, pixel_integrated=True, **arguments)
    # 41 x 40 points a pixel on equidistant midpoints, whose error is of the order of their distance squared.
    fine = vectorial((2, 5 * 41, 6 * 40), (0.3e-6, 0.2e-6 / 41, 0.1e-6 / 40), **arguments)
    expected = fine.reshape(2, 5, 41, 6, 40).mean(axis=(2, 4))
    assert np.abs(found - expected / expected.max()).max() < 2e-4


def test_grazing_rays_are_counted():
    # The aperture is the immersion's index: the aplanatic factor ends as a square root. At the focus the mean of
    # cos(theta) over the rays, 1/sqrt(cos) included, bends the axis as in Richards and Wolf's integrals with c = 0.
    moments = [2 / (2 * power + 3) + 2 / (2 * power + 5) for power in range(3)]
    variance = moments[2] / moments[0] - (moments[1] / moments[0]) ** 2
    step = 1e-9
    grazing = replace(MATCHED, numerical_aperture=1.5)
    found = vectorial((3, 1, 1), (step, 1e-7, 1e-7), grazing, particle_depth=0)[:, 0, 0]
    bend = (2 - found[0] - found[2]) / 2 / (MATCHED.wavenumber * 1.5 * step) ** 2
    assert bend == pytest.approx(variance, rel=1e-4)


def test_it_is_wider_than_the_scalar_one():
    shape, spacing = (1, 1, 61), (1e-7, 1e-8, 1e-8)
    scalar = gibson_lanni(shape, spacing, MATCHED, particle_depth=0)[0, 0]
    vector = vectorial(shape, spacing, MATCHED, particle_depth=0)[0, 0]
    assert (vector[:30] > scalar[:30]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"polarisation": "z"}, "polarisation: expected"),
        ({"particle_depth": math.inf}, "particle_depth: expected a finite number in m"),
        ({"shape": (1, 1)}, "shape: expected three lengths"),
        ({"workers": 0}, "workers: expected"),
    ],
)
def test_arguments_are_checked(changes, message):
    arguments = {"shape": (4, 4, 4), "spacing": (1e-7, 1e-7, 1e-7), "microscope": OIL, "particle_depth": 0}
    with pytest.raises(ValueError, match=message):
        vectorial(**(arguments | changes))
