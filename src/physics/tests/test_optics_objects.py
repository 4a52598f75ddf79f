"""Diffraction of discs and phase bumps against their closed forms and independent integrals."""

import math

import numpy as np
import pytest
import scipy.special

from nixel.physics.optics import propagate

WAVELENGTH = 532e-9
PIXEL = 0.8e-6
K = 2 * math.pi / WAVELENGTH
RADIUS = 40e-6
TOL = 0.004
OPTICS = {"wavelength": WAVELENGTH, "pixel_size": PIXEL}


def covered(n, radius, pixel=PIXEL, parts=16):
    """Share of each pixel's area within a disc around the centre pixel n // 2."""
    axis = ((np.arange(n * parts) + 0.5) / parts - 0.5 - n // 2) * pixel
    whole = np.zeros((n, n))
    reach = int(radius / pixel) + 2
    near = slice((n // 2 - reach) * parts, (n // 2 + reach + 1) * parts)
    inside = (axis[near, None] ** 2 + axis[None, near] ** 2) <= radius**2
    side = 2 * reach + 1
    at = slice(n // 2 - reach, n // 2 + reach + 1)
    whole[at, at] = inside.reshape(side, parts, side, parts).mean(axis=(1, 3))
    return whole


def on_axis(radius, distance, pixel=0.0):
    """Rayleigh and Sommerfeld's field on the axis behind a circular aperture, less exp(ikz).

    The second term is the wave from the edge, which arrives from all around at the sine a/R; its mean over a
    square pixel is less by the mean of two sincs.
    """
    edge = math.hypot(radius, distance)
    angle = 2 * math.pi * np.arange(64) / 64
    periods = pixel * radius / edge / WAVELENGTH
    blur = (np.sinc(periods * np.cos(angle)) * np.sinc(periods * np.sin(angle))).mean()
    return 1 - blur * distance / edge * np.exp(1j * K * radius**2 / (edge + distance))


def behind_the_aperture(radius, distance, rho):
    """Rayleigh and Sommerfeld's first integral over the aperture, less exp(ikz), at rho from the axis."""
    nodes, weights = np.polynomial.legendre.leggauss(160)
    r = radius * (nodes + 1) / 2
    angle = 2 * math.pi * np.arange(256) / 256
    squared = r[:, None] ** 2 + rho**2 - 2 * r[:, None] * rho * np.cos(angle)[None, :]
    away = np.sqrt(squared + distance**2)
    phase = np.exp(1j * K * squared / (away + distance))
    kernel = phase * distance / away**2 * (1 / away - 1j * K) / (2 * math.pi)
    return (weights * r * radius / 2) @ kernel.sum(axis=1) * (2 * math.pi / 256)


def test_the_integral_of_this_test_has_the_closed_form_on_the_axis():
    for distance in (0.3e-3, 1e-3, 3e-3):
        assert abs(behind_the_aperture(RADIUS, distance, 0.0) - on_axis(RADIUS, distance)) < 1e-9


# Fresnel numbers 6 (dark), 5 (bright), 3.01 and 1: fields of 0 to 2 on the axis.
@pytest.mark.parametrize("fresnel_number", [6.0, 5.0, 3.01, 1.0])
def test_light_on_the_axis_behind_a_circular_aperture(fresnel_number):
    n, distance = 512, RADIUS**2 / WAVELENGTH / fresnel_number
    found = propagate(covered(n, RADIUS).astype(complex), distance, **OPTICS)[n // 2, n // 2]
    # What is left: the pixels carry angles up to a sine of 0.33 only.
    assert abs(found - on_axis(RADIUS, distance, PIXEL)) < TOL


def test_the_error_falls_with_the_square_of_the_pixel():
    distance = RADIUS**2 / WAVELENGTH / 5.0
    errors = []
    for pixel, n in ((0.8e-6, 256), (0.4e-6, 512)):
        aperture = covered(n, RADIUS, pixel).astype(complex)
        found = propagate(aperture, distance, wavelength=WAVELENGTH, pixel_size=pixel)[n // 2, n // 2]
        errors.append(abs(found - on_axis(RADIUS, distance)))
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize("distance", [0.6e-3, 2e-3])
def test_light_off_the_axis_behind_a_circular_aperture(distance):
    n = 512
    found = propagate(covered(n, RADIUS).astype(complex), distance, **OPTICS)[n // 2, n // 2 :: 10][:12]
    expected = [behind_the_aperture(RADIUS, distance, 10 * pixel * PIXEL) for pixel in range(12)]
    assert np.abs(found - expected).max() < 0.02


@pytest.mark.parametrize("distance", [0.5e-3, 1e-3, 3e-3])
def test_poissons_spot_is_bright_behind_an_opaque_disc(distance):
    n = 768
    # The plane wave goes on for ever; the pixels carry sines up to 0.33, so that no neighbour is in reach.
    field = propagate((1 - covered(n, RADIUS)).astype(complex), distance, periodic=True, **OPTICS)
    intensity = np.abs(field) ** 2
    # Babinet: the plane wave less the aperture's. Its intensity is z^2/(z^2 + a^2), but for the pixels.
    spot = abs(1 - on_axis(RADIUS, distance, PIXEL)) ** 2
    assert intensity[n // 2, n // 2] == pytest.approx(spot, abs=TOL)
    assert distance**2 / (distance**2 + RADIUS**2) == pytest.approx(spot, abs=0.06)
    # Beside the spot it is dark: J0(k a rho/z)^2 has its first zero at 2.405.
    dark = round(2.405 * distance / (K * RADIUS) / PIXEL)
    assert intensity[n // 2, n // 2 + dark] < 0.15


@pytest.mark.parametrize("phase", [0.3, math.pi / 2, math.pi])
@pytest.mark.parametrize("distance", [0.5e-3, 2e-3])
def test_light_on_the_axis_behind_a_phase_disc(phase, distance):
    n = 768
    step = np.exp(1j * phase) - 1
    field = propagate(1 + step * covered(n, RADIUS), distance, periodic=True, **OPTICS)
    assert abs(field[n // 2, n // 2] - (1 + step * on_axis(RADIUS, distance, PIXEL))) < TOL * abs(step)


@pytest.mark.parametrize("depth", [0.05, 1.3])
@pytest.mark.parametrize("distance", [100e-6, 1e-3, -1e-3])
def test_a_phase_grating_is_its_bessel_orders(depth, distance):
    n, cycles = 96, 7
    angle = 2 * math.pi * cycles * np.arange(n) / n
    grating = np.broadcast_to(np.exp(1j * depth * np.cos(angle)), (n, n)).copy()
    expected = np.zeros(n, complex)
    for order in range(-6, 7):
        sine = order * cycles / (n * PIXEL) * WAVELENGTH
        lag = K * distance * sine**2 / (1 + math.sqrt(1 - sine**2))
        expected += 1j**order * scipy.special.jv(order, depth) * np.exp(1j * (order * angle - lag))
    # The orders beyond the sixth that the pixels still hold.
    rest = 2 * scipy.special.jv(7, depth) * 1.2
    found = propagate(grating, distance, periodic=True, band_limit=False, **OPTICS)
    assert np.abs(found - expected).max() < rest + 1e-10


def bump_image(width, distance, rho, kind):
    """First-order image of a Gaussian bump exp(-r^2/w^2): contrast transfer 2 sin(chi) or -2 cos(chi)."""
    f = np.linspace(0, 6 / (math.pi * width), 20001)
    spectrum = math.pi * width**2 * np.exp(-((math.pi * width * f) ** 2))
    sine = (WAVELENGTH * f) ** 2
    chi = K * distance * sine / (1 + np.sqrt(1 - sine))
    transfer = 2 * np.sin(chi) if kind == "phase" else -2 * np.cos(chi)
    bessel = scipy.special.j0(2 * math.pi * f[None, :] * np.asarray(rho)[:, None])
    return np.trapezoid(transfer * spectrum * bessel * 2 * math.pi * f, f, axis=1)


@pytest.mark.parametrize("distance", [50e-6, 400e-6])
@pytest.mark.parametrize("kind", ["phase", "absorption"])
def test_a_weak_bump_is_imaged_by_its_contrast_transfer_function(kind, distance):
    n, width, strength = 384, 8e-6, 1e-3
    axis = (np.arange(n) - n // 2) * PIXEL
    bump = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / width**2)
    transmission = np.exp((1j if kind == "phase" else -1) * strength * bump)
    contrast = np.abs(propagate(transmission, distance, periodic=True, **OPTICS)) ** 2 - 1
    expected = strength * bump_image(width, distance, axis[n // 2 : n // 2 + 60], kind)
    # What the first order leaves out is of the second.
    assert np.abs(contrast[n // 2, n // 2 : n // 2 + 60] - expected).max() < 5 * strength**2
    assert np.abs(expected).max() > 0.1 * strength
