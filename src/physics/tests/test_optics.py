"""Propagation against closed forms and conservation laws."""

import math

import numpy as np
import pytest

from nixel.physics.optics import padded_shape, propagate, transfer_function

WAVELENGTH = 532e-9
PIXEL = 1.12e-6
PRECISION = [(np.complex128, 1e-12), (np.complex64, 1e-5)]


def grid(n, pixel=PIXEL):
    axis = (np.arange(n) - n // 2) * pixel
    return axis[:, None], axis[None, :]


def gaussian(n, waist, dtype=np.complex128, pixel=PIXEL):
    y, x = grid(n, pixel)
    return np.exp(-(x**2 + y**2) / waist**2).astype(dtype)


@pytest.mark.parametrize("index", [1.0, 1.33])
def test_a_gaussian_beam_spreads_as_the_closed_form(index):
    waist, distance, n = 40e-6, 3e-3, 512
    k = 2 * math.pi * index / WAVELENGTH
    rayleigh = k * waist**2 / 2
    y, x = grid(n)
    # E = (q0/q) exp(ik r^2 / 2q), q = z - i z_R: the paraxial beam without exp(ikz).
    q = distance - 1j * rayleigh
    expected = (-1j * rayleigh / q) * np.exp(1j * k * (x**2 + y**2) / (2 * q))
    found = propagate(
        gaussian(n, waist), distance, wavelength=WAVELENGTH, pixel_size=PIXEL, medium_index=index
    )
    # The divergence 1/(k waist/2) is 4 mrad: the next term of the axial wavenumber is worth k z (theta/2)^4 *
    # 3 here.
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("index", [1.0, 1.5])
def test_a_cosine_grating_images_itself_at_the_talbot_distance(index):
    period_pixels, n = 8, 128
    period = period_pixels * PIXEL
    wave = WAVELENGTH / index
    # Rayleigh's exact distance, valid beyond the paraxial 2 d^2 / wave.
    talbot = wave / (1 - math.sqrt(1 - (wave / period) ** 2))
    assert talbot == pytest.approx(2 * period**2 / wave, rel=0.01)
    _, x = grid(n)
    grating = np.broadcast_to(1 + 0.8 * np.cos(2 * np.pi * x / period), (n, n)).astype(np.complex128)

    def after(distance):
        return propagate(
            grating, distance, wavelength=WAVELENGTH, pixel_size=PIXEL, medium_index=index, periodic=True
        )

    assert np.abs(after(talbot) - grating).max() < 1e-10
    # Half way the image is shifted by half a period.
    assert np.abs(after(talbot / 2) - np.roll(grating, period_pixels // 2, axis=1)).max() < 1e-10


def test_a_tilted_plane_wave_gains_the_phase_of_its_axial_wavenumber():
    n, distance, index = 64, 250e-6, 1.33
    fy, fx = 5 / (n * PIXEL), -9 / (n * PIXEL)
    y, x = grid(n)
    wave = np.exp(2j * np.pi * (fy * y + fx * x))
    k = 2 * math.pi * index / WAVELENGTH
    kz = math.sqrt(k**2 - (2 * math.pi) ** 2 * (fx**2 + fy**2))
    found = propagate(
        wave, distance, wavelength=WAVELENGTH, pixel_size=PIXEL, medium_index=index, periodic=True
    )
    assert np.abs(found - wave * np.exp(1j * (kz - k) * distance)).max() < 1e-10


def test_light_through_a_wide_slit_walks_to_where_geometry_says():
    n, distance, cycles = 512, 400e-6, 40
    y, x = grid(n)
    sine = cycles / (n * PIXEL) * WAVELENGTH
    beam = np.exp(-(x**2 + y**2) / (60e-6) ** 2) * np.exp(2j * np.pi * cycles * x / (n * PIXEL))
    power = np.abs(propagate(beam, distance, wavelength=WAVELENGTH, pixel_size=PIXEL)) ** 2
    walked = (power * x).sum() / power.sum()
    assert walked == pytest.approx(distance * math.tan(math.asin(sine)), rel=1e-3)


def test_what_leaves_on_one_side_does_not_come_back_on_the_other():
    n = 128
    y, x = grid(n)
    # A beam 45 um right of the centre, going right at sine 0.2: after 300 um it is at 106 um, the edge at 72
    # um.
    beam = np.exp(-((x - 45e-6) ** 2 + y**2) / (12e-6) ** 2) * np.exp(2j * np.pi * 0.2 / WAVELENGTH * x)
    power = (np.abs(beam) ** 2).sum()
    optics = {"wavelength": WAVELENGTH, "pixel_size": PIXEL}
    left = (np.abs(propagate(beam, 300e-6, **optics)[:, : n // 2]) ** 2).sum()
    wrapped = (np.abs(propagate(beam, 300e-6, **optics, periodic=True)[:, : n // 2]) ** 2).sum()
    assert wrapped > 0.5 * power
    assert left < 1e-4 * power


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISION)
@pytest.mark.parametrize("distance", [50e-6, -2e-3])
def test_energy_is_conserved(dtype, tolerance, distance):
    field = gaussian(256, 25e-6, dtype)
    found = propagate(field, distance, wavelength=WAVELENGTH, pixel_size=PIXEL)
    assert found.dtype == dtype
    before, after = ((np.abs(u.astype(np.complex128)) ** 2).sum() for u in (field, found))
    assert after == pytest.approx(before, rel=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISION)
def test_going_back_undoes_going_forth(dtype, tolerance):
    field = gaussian(256, 25e-6, dtype)
    optics = {"wavelength": WAVELENGTH, "pixel_size": PIXEL}
    found = propagate(propagate(field, 1e-3, **optics), -1e-3, **optics)
    assert np.abs(found - field).max() < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISION)
def test_two_steps_are_one(dtype, tolerance):
    field = gaussian(256, 25e-6, dtype)
    optics = {"wavelength": WAVELENGTH, "pixel_size": PIXEL, "medium_index": 1.33}
    found = propagate(propagate(field, 0.4e-3, **optics), 0.7e-3, **optics)
    assert np.abs(found - propagate(field, 1.1e-3, **optics)).max() < tolerance


def test_single_precision_holds_over_long_distances():
    field = gaussian(256, 12e-6)
    optics = {"wavelength": WAVELENGTH, "pixel_size": PIXEL}
    double = propagate(field, 5e-3, **optics)
    single = propagate(field.astype(np.complex64), 5e-3, **optics)
    assert np.abs(single - double).max() < 1e-5 * np.abs(double).max()


def test_a_real_field_becomes_the_complex_one_of_its_precision():
    optics = {"wavelength": WAVELENGTH, "pixel_size": PIXEL}
    for real, cplx in ((np.float32, np.complex64), (np.float64, np.complex128)):
        field = np.abs(gaussian(32, 5e-6)).astype(real)
        assert propagate(field, 0.0, **optics).dtype == cplx
        assert propagate(field, 1e-5, **optics).dtype == cplx
        np.testing.assert_array_equal(propagate(field, 0.0, **optics), field)


@pytest.mark.parametrize("distance", [3e-6, -3e-6])
@pytest.mark.parametrize("band_limit", [True, False])
def test_evanescent_waves_never_grow(distance, band_limit):
    # 100 nm pixels hold frequencies up to 5 / um, far beyond 1 / 532 nm.
    optics = {"wavelength": WAVELENGTH, "pixel_size": 100e-9, "band_limit": band_limit}
    transfer = transfer_function((256, 256), distance, **optics)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(256, 100e-9), np.fft.fftfreq(256, 100e-9)))
    evanescent = f > 1.0001 / WAVELENGTH
    assert evanescent.any()
    depth = np.sqrt((f[evanescent] * WAVELENGTH) ** 2 - 1) * 2 * np.pi / WAVELENGTH * abs(distance)
    expected = 0 if band_limit else np.exp(-depth)
    np.testing.assert_allclose(np.abs(transfer[evanescent]), expected, atol=1e-12)
    assert np.abs(transfer).max() <= 1 + 1e-12


def test_the_band_limit_keeps_what_walks_less_than_half_the_grid():
    n, distance = 256, 2e-3
    transfer = transfer_function((n, n), distance, wavelength=WAVELENGTH, pixel_size=PIXEL)
    along_x = np.abs(transfer[0, : n // 2])
    f = np.arange(n // 2) / (n * PIXEL)
    walk = distance * np.tan(np.arcsin(f * WAVELENGTH))
    np.testing.assert_array_equal(along_x > 0, walk <= n * PIXEL / 2)
    assert 0 < (along_x > 0).sum() < n // 2


def test_the_padding_holds_the_linear_convolution():
    for n in (1, 2, 17, 512, 3280):
        assert padded_shape((n, n))[0] >= 2 * n - 1


GOOD = {"wavelength": WAVELENGTH, "pixel_size": PIXEL, "medium_index": 1.0}


@pytest.mark.parametrize("name", ["wavelength", "pixel_size", "medium_index"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_parameter_that_is_not_positive_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected a positive number"):
        propagate(np.ones((8, 8)), 1e-3, **(GOOD | {name: value}))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (np.ones(8), "(y, x)"),
        (np.ones((2, 8, 8)), "(y, x)"),
        (np.ones((0, 8)), "non-empty"),
        (np.ones((8, 8), dtype=np.uint8), "complex128, found uint8"),
        (np.full((8, 8), np.nan), "finite"),
        (np.full((8, 8), np.inf * 1j), "finite"),
    ],
)
def test_a_field_that_is_none_is_refused(field, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        propagate(field, 1e-3, **GOOD)


@pytest.mark.parametrize("distance", [math.nan, math.inf])
def test_a_distance_that_is_not_finite_is_refused(distance):
    with pytest.raises(ValueError, match="distance: expected a finite number in m"):
        propagate(np.ones((8, 8)), distance, **GOOD)
