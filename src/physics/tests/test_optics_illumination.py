"""Plane waves and point sources, and the plane wave that replaces a point source."""

import math

import numpy as np
import pytest

from nixel.physics.optics import equivalent_plane_wave, plane_wave, point_source, propagate

WAVELENGTH = 532e-9
PIXEL = 1.12e-6
OPTICS = {"wavelength": WAVELENGTH, "pixel_size": PIXEL}


def axes(shape, pixel=PIXEL):
    y, x = ((np.arange(n) - (n - 1) / 2) * pixel for n in shape)
    return y[:, None], x[None, :]


@pytest.mark.parametrize("index", [1.0, 1.33])
def test_a_plane_wave_has_the_fringes_of_its_angle(index):
    sine = 0.05
    wave = plane_wave((11, 400), sines=(0.0, sine), medium_index=index, **OPTICS)
    np.testing.assert_allclose(np.abs(wave), 1, rtol=1e-14)
    assert np.abs(wave - wave[:1]).max() == 0
    # Against the straight wave it beats once every lambda/(n sin).
    turns = np.unwrap(np.angle(wave[0]))[[0, -1]] / (2 * math.pi)
    assert turns[1] - turns[0] == pytest.approx(399 * PIXEL * sine * index / WAVELENGTH, rel=1e-12)
    assert (plane_wave((4, 5), **OPTICS) == 1).all()


def test_a_plane_wave_stays_one():
    n, distance = 64, 300e-6
    sines = (3 * WAVELENGTH / (n * PIXEL), -7 * WAVELENGTH / (n * PIXEL))
    wave = plane_wave((n, n), sines=sines, **OPTICS)
    lag = 2 * math.pi / WAVELENGTH * distance * (1 - math.sqrt(1 - sines[0] ** 2 - sines[1] ** 2))
    found = propagate(wave, distance, periodic=True, **OPTICS)
    assert np.abs(found - wave * np.exp(-1j * lag)).max() < 1e-10


@pytest.mark.parametrize("index", [1.0, 1.33])
@pytest.mark.parametrize("position", [(0.0, 0.0), (30e-6, -50e-6)])
def test_a_point_source_is_as_far_as_its_phase_and_amplitude_say(index, position):
    shape, distance = (64, 97), 2e-3
    wave = point_source(shape, distance, position=position, medium_index=index, **OPTICS)
    y, x = axes(shape)
    away = np.sqrt(
        (y - position[0]).astype(np.longdouble) ** 2
        + (x - position[1]).astype(np.longdouble) ** 2
        + np.longdouble(distance) ** 2
    )
    turns = (away - distance) * index / np.longdouble(WAVELENGTH)
    expected = (distance / away).astype(float) * np.exp(2j * math.pi * (turns - np.rint(turns)).astype(float))
    np.testing.assert_allclose(wave, expected, atol=1e-11)


def test_waves_from_two_distances_are_one_wave_on_its_way():
    # Where it is cut is soft, so that the cut itself does not diffract.
    n, first, further = 512, 4e-3, 1e-3
    y, x = axes((n, n))
    soft = np.exp(-(((y**2 + x**2) / (180e-6) ** 2) ** 4))
    found = propagate(soft * point_source((n, n), first, **OPTICS), further, **OPTICS)
    expected = first / (first + further) * point_source((n, n), first + further, **OPTICS)
    middle = slice(n // 2 - 60, n // 2 + 60)
    # The edge of the soft cut still sends 0.1 % into the middle.
    assert np.abs(found - expected)[middle, middle].max() < 5e-3


def test_a_converging_wave_comes_to_its_focus():
    n, depth, waist = 257, 2e-3, 50e-6
    y, x = axes((n, n))
    wave = np.exp(-(y**2 + x**2) / waist**2) * point_source((n, n), -depth, **OPTICS)
    found = np.abs(propagate(wave, depth, **OPTICS)) ** 2
    assert np.unravel_index(found.argmax(), found.shape) == (n // 2, n // 2)
    # Rayleigh and Sommerfeld's integral at the focus, where all phases are alike: 1/(lambda d) times that of
    # (d/r)^3 times the Gaussian: once for the wave's amplitude, once for its spread, once for the inclination.
    rho = np.linspace(0, 5 * waist, 4001)
    falling = np.exp(-(rho**2) / waist**2) / (1 + (rho / depth) ** 2) ** 1.5
    expected = np.trapezoid(falling * 2 * math.pi * rho, rho) / (WAVELENGTH * depth)
    assert math.sqrt(found.max()) == pytest.approx(expected, rel=3e-4)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_waves_come_in_either_precision(dtype):
    for wave in (
        plane_wave((8, 9), sines=(0.1, 0.0), dtype=dtype, **OPTICS),
        point_source((8, 9), 1e-3, dtype=dtype, **OPTICS),
    ):
        assert wave.dtype == dtype
        assert wave.shape == (8, 9)


def test_the_plane_wave_that_replaces_a_point_source_images_the_same():
    """A Gaussian transmission under a point source: the complex beam parameter says what arrives."""
    source, distance, pixel, waist, n = 5e-3, 3e-3, 1.6e-6, 12e-6, 256
    k = 2 * math.pi / WAVELENGTH
    same = equivalent_plane_wave(source, distance, pixel_size=pixel)
    assert same.magnification == pytest.approx(1.6)
    assert same.pixel_size == pytest.approx(1e-6)
    assert same.distance == pytest.approx(distance / 1.6)
    y, x = axes((n, n), same.pixel_size)
    transmission = np.exp(-(y**2 + x**2) / waist**2).astype(complex)
    found = propagate(transmission, same.distance, wavelength=WAVELENGTH, pixel_size=same.pixel_size)

    # exp(ik r^2/2q) behind the sample, 1/q = 1/z1 + 2i/(k w^2); after z2, q/(q + z2) exp(ik r^2/2(q + z2)).
    q = 1 / (1 / source + 2j / (k * waist**2))
    y, x = axes((n, n), pixel)
    squared = y**2 + x**2
    arriving = q / (q + distance) * np.exp(1j * k * squared / (2 * (q + distance)))
    undisturbed = source / (source + distance) * np.exp(1j * k * squared / (2 * (source + distance)))
    assert np.abs(found - arriving / undisturbed).max() < 1e-4
    assert np.abs(found).max() > 0.2
    # With the distance or the pixels left as they were it is another picture.
    other = propagate(transmission, distance, wavelength=WAVELENGTH, pixel_size=same.pixel_size)
    assert np.abs(other - arriving / undisturbed).max() > 0.1


def test_a_source_infinitely_far_away_is_a_plane_wave():
    same = equivalent_plane_wave(1e6, 1e-3, pixel_size=PIXEL)
    assert same.distance == pytest.approx(1e-3, rel=1e-8)
    assert same.pixel_size == pytest.approx(PIXEL, rel=1e-8)
    wave = point_source((64, 64), 1e6, **OPTICS)
    assert np.abs(wave - plane_wave((64, 64), **OPTICS)).max() < 1e-7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plane_wave((8, 8), wavelength=-1.0, pixel_size=PIXEL), "wavelength: expected a positive"),
        (
            lambda: plane_wave((8, 8), wavelength=WAVELENGTH, pixel_size=0.0),
            "pixel_size: expected a positive",
        ),
        (lambda: plane_wave((0, 8), **OPTICS), "shape: expected rows and columns"),
        (lambda: plane_wave((8,), **OPTICS), "shape: expected rows and columns"),
        (lambda: plane_wave((8, 8), sines=(0.8, 0.8), **OPTICS), "sines: expected the direction"),
        (lambda: plane_wave((8, 8), sines=(math.nan, 0.0), **OPTICS), "sines_y: expected a finite"),
        (lambda: plane_wave((8, 8), sines=(0.0, 0.3), **OPTICS), "sines: expected a wave of at most half"),
        (lambda: plane_wave((8, 8), dtype=np.float64, **OPTICS), "dtype: expected complex64 or complex128"),
        (lambda: point_source((8, 8), 0.0, **OPTICS), "distance: expected a source in front"),
        (lambda: point_source((8, 8), math.inf, **OPTICS), "distance: expected a finite"),
        (lambda: point_source((8, 8), 1e-3, medium_index=0.0, **OPTICS), "medium_index: expected a positive"),
        (lambda: point_source((2000, 8), 1e-3, **OPTICS), "distance: expected a wave of at most half"),
        (lambda: equivalent_plane_wave(0.0, 1e-3, pixel_size=PIXEL), "source_distance: expected a positive"),
        (lambda: equivalent_plane_wave(1e-3, -1.0, pixel_size=PIXEL), "distance: expected a positive"),
        (lambda: equivalent_plane_wave(1e-3, 1e-3, pixel_size=math.nan), "pixel_size: expected a positive"),
    ],
)
def test_illumination_that_is_none_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
