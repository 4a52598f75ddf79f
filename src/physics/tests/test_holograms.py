"""Simulated holograms against closed forms: a Gaussian scatterer, its shift, a spherical wave."""

import numpy as np
import pytest

from nixel.physics.holograms import simulate_hologram

OPTICS = {"wavelength": 532e-9, "pixel_size": 1.12e-6}
WAIST = 12e-6
N, OVERSAMPLING, MARGIN = 96, 3, 20


def axis(count, spacing):
    return (np.arange(count) + 0.5 - count / 2) * spacing


def gaussian_sample(strength):
    x = axis(N * OVERSAMPLING, OPTICS["pixel_size"] / OVERSAMPLING)
    return 1 + (strength + 0j) * np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / WAIST**2)


def gaussian_hologram(strength, distance, shift=(0.0, 0.0)):
    # |1 + strength/(1 + i z/z_R) exp(-r^2/(w^2 (1 + i z/z_R)))|^2, its mean over each pixel by ten-point
    # Gauss-Legendre quadrature: far finer than what varies here.
    rayleigh = np.pi * WAIST**2 / OPTICS["wavelength"]
    q = 1 + 1j * distance / rayleigh
    nodes, weights = np.polynomial.legendre.leggauss(10)
    pixels = N - 2 * MARGIN
    samples = axis(pixels, OPTICS["pixel_size"])[:, None] + nodes * OPTICS["pixel_size"] / 2
    y, x = (samples.ravel() + aside for aside in shift)
    field = 1 + strength / q * np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (WAIST**2 * q))
    intensity = (np.abs(field) ** 2).reshape(pixels, 10, pixels, 10)
    return np.einsum("iajb,a,b->ij", intensity, weights / 2, weights / 2)


@pytest.mark.parametrize("strength", [-0.6, 0.5j, 0.4 - 0.3j])
def test_a_gaussian_scatterer_has_the_hologram_of_the_closed_form(strength):
    found = simulate_hologram(
        gaussian_sample(strength), 600e-6, oversampling=OVERSAMPLING, margin=MARGIN, **OPTICS
    )
    # The mean of three by three samples of a pixel is not quite its integral; the beam is paraxial to 1e-4.
    np.testing.assert_allclose(found, gaussian_hologram(strength, 600e-6), atol=3e-4)
    assert found.dtype == np.float64


def test_a_camera_that_stands_aside_sees_the_scene_shifted():
    shift = (0.37e-6, -2.9e-6)
    found = simulate_hologram(
        gaussian_sample(0.5j), 600e-6, oversampling=OVERSAMPLING, margin=MARGIN, shift=shift, **OPTICS
    )
    np.testing.assert_allclose(found, gaussian_hologram(0.5j, 600e-6, shift), atol=3e-4)


def test_without_a_sample_there_is_the_light_alone():
    nothing = np.ones((24, 36), np.complex64)
    found = simulate_hologram(nothing, 1e-4, oversampling=2, illumination=1.5j, **OPTICS)
    np.testing.assert_allclose(found, np.full((12, 18), 2.25), rtol=1e-6)
    assert found.dtype == np.float32


def test_a_point_source_magnifies():
    # Fresnel scaling: in the light of a point at z1 before the sample, the hologram at z2 behind it is that in a
    # plane wave at z2/M, M = 1 + z2/z1, stretched M times, and the light is 1/M^2 as bright.
    z1, z2 = 40e-3, 600e-6
    scale = 1 + z2 / z1
    x = axis(N * OVERSAMPLING, OPTICS["pixel_size"] / OVERSAMPLING)
    squared = x[:, None] ** 2 + x[None, :] ** 2
    k = 2 * np.pi / OPTICS["wavelength"]
    found = simulate_hologram(
        gaussian_sample(0.5j),
        z2,
        oversampling=OVERSAMPLING,
        margin=MARGIN,
        illumination=np.exp(0.5j * k / z1 * squared),
        reference=np.exp(0.5j * k / (z1 + z2) * squared) / scale,
        **OPTICS,
    )
    rayleigh = np.pi * WAIST**2 / OPTICS["wavelength"]
    q = 1 + 1j * z2 / scale / rayleigh
    pixels = axis(N - 2 * MARGIN, OPTICS["pixel_size"]) / scale
    field = 1 + 0.5j / q * np.exp(-(pixels[:, None] ** 2 + pixels[None, :] ** 2) / (WAIST**2 * q))
    # Pixels here are points: the closed form varies by less than 2e-3 within one.
    np.testing.assert_allclose(found * scale**2, np.abs(field) ** 2, atol=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transmission": np.ones(8, complex)}, r"transmission: expected a non-empty \(y, x\)"),
        ({"transmission": np.ones((8, 8))}, "expected complex64 or complex128, found float64"),
        ({"transmission": np.full((8, 8), np.nan + 0j)}, "transmission: expected finite"),
        ({"transmission": np.ones((8, 9), complex)}, "multiples of 2"),
        ({"distance": 0.0}, "distance: expected a positive number in m, found 0.0"),
        ({"distance": np.inf}, "distance: expected a positive"),
        ({"oversampling": 0}, "oversampling: expected an integer of 1 or more"),
        ({"margin": 2}, "margin: expected 0 or more pixels"),
        ({"wavelength": -1.0}, "wavelength"),
        ({"illumination": np.ones((3, 3))}, r"illumination: expected a number or shape \(8, 8\)"),
        ({"illumination": np.nan}, "illumination: expected finite"),
        ({"illumination": np.ones((8, 8)), "shift": (1e-6, 0.0)}, "where the illumination is an array"),
        ({"shift": (np.nan, 0.0)}, "shift: expected two finite"),
        ({"workers": 0}, "workers"),
    ],
)
def test_what_cannot_be_simulated_is_refused(change, message):
    given = {"transmission": np.ones((8, 8), complex), "distance": 1e-4, "oversampling": 2, **OPTICS} | change
    with pytest.raises(ValueError, match=message):
        simulate_hologram(**given)
