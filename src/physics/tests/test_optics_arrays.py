"""Propagation against the sum over all waves and pixels, in either precision, and on arrays of other libraries."""

import math
import tracemalloc

import array_api_strict
import numpy as np
import pytest

from nixel.physics.optics import padded_shape, propagate

WAVELENGTH = 532e-9
OPTICS = {"wavelength": WAVELENGTH, "pixel_size": 0.9e-6}
PRECISION = [(np.complex128, 1e-12), (np.complex64, 1e-5)]


def noise(shape, seed=0, dtype=np.complex128):
    generator = np.random.default_rng(seed)
    return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(dtype)


def summed(field, distance, grid, *, pixel, wavelength, index=1.0, band_limit=True):
    """Analyse into the waves of the grid and add them up again, each with its own phase: no FFT."""
    sums, sines = [], []
    for count, length in zip(field.shape, grid, strict=True):
        order = np.arange(length) - length // 2
        sums.append(np.exp(2j * math.pi * np.outer(order, np.arange(count)) / length))
        sines.append(order / (length * pixel) * wavelength / index)
    waves = sums[0].conj() @ field @ sums[1].conj().T / (grid[0] * grid[1])
    sy, sx = sines[0][:, None], sines[1][None, :]
    squared = sy**2 + sx**2
    k = 2 * math.pi * index / wavelength
    cosine = np.sqrt(np.maximum(1 - squared, 0))
    response = np.exp(1j * k * distance * (cosine - 1))
    if band_limit:
        # Each wave stays within half the grid: z tan(angle) along each axis.
        for sine, length in ((sy, grid[0]), (sx, grid[1])):
            response = response * (abs(distance) * np.abs(sine) <= cosine * length * pixel / 2)
        response = response * (squared < 1)
    else:
        response = response * np.exp(-k * abs(distance) * np.sqrt(np.maximum(squared - 1, 0)))
    return sums[0].T @ (waves * response) @ sums[1]


# Odd and even, prime, a single row or column, and wider than a few blocks of columns.
SHAPES = [(1, 1), (1, 9), (8, 1), (2, 2), (6, 5), (31, 64), (37, 41), (20, 203)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("band_limit", [True, False])
@pytest.mark.parametrize("distance", [4e-6, -60e-6, 1.1e-3])
def test_the_field_is_the_sum_of_its_waves(shape, periodic, band_limit, distance):
    field = noise(shape)
    grid = shape if periodic else padded_shape(shape)
    expected = summed(
        field, distance, grid, pixel=0.9e-6, wavelength=WAVELENGTH, index=1.33, band_limit=band_limit
    )
    found = propagate(field, distance, medium_index=1.33, band_limit=band_limit, periodic=periodic, **OPTICS)
    # Waves on the very edge of the band may fall to either side; there are none here.
    assert np.abs(found - expected).max() < 1e-11 * max(1, np.abs(field).max())


@pytest.mark.parametrize("band_limit", [True, False])
def test_waves_that_do_not_travel_are_summed_too(band_limit):
    field = noise((41, 89))
    optics = {"pixel": 0.1e-6, "wavelength": WAVELENGTH, "index": 1.33, "band_limit": band_limit}
    expected = summed(field, 0.3e-6, padded_shape((41, 89)), **optics)
    found = propagate(
        field, 0.3e-6, wavelength=WAVELENGTH, pixel_size=0.1e-6, medium_index=1.33, band_limit=band_limit
    )
    assert np.abs(found - expected).max() < 1e-11


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISION)
def test_any_periodic_field_keeps_its_energy_and_comes_back(dtype, tolerance):
    field = noise((150, 210), 1, dtype)
    optics = OPTICS | {"periodic": True, "band_limit": False}
    there = propagate(field, 0.7e-3, **optics)
    assert there.dtype == dtype
    before, after = ((np.abs(u.astype(np.complex128)) ** 2).sum() for u in (field, there))
    assert after == pytest.approx(before, rel=tolerance)
    largest = np.abs(field).max()
    assert np.abs(propagate(there, -0.7e-3, **optics) - field).max() < tolerance * largest
    further = propagate(there, 0.4e-3, **optics)
    assert np.abs(further - propagate(field, 1.1e-3, **optics)).max() < tolerance * largest


def test_single_precision_is_that_of_the_full_sensors_grid():
    # The phases of 10 mm are hundreds of turns: they are reduced before they are made single.
    field = noise((300, 420), 2)
    double = propagate(field, 10e-3, **OPTICS)
    single = propagate(field.astype(np.complex64), 10e-3, **OPTICS)
    assert np.abs(single - double).max() < 1e-5 * np.abs(double).max()


def test_threads_do_not_change_a_bit():
    field = noise((70, 300), 3, np.complex64)
    one = propagate(field, 1e-3, **OPTICS)
    assert one.tobytes() == propagate(field, 1e-3, workers=3, **OPTICS).tobytes()


def test_memory_is_that_of_half_the_padded_spectrum():
    rows, columns = 600, 800
    field = np.ones((rows, columns), np.complex64)
    propagate(field[:8], 1e-3, **OPTICS)
    tracemalloc.start()
    try:
        propagate(field, 1e-3, **OPTICS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    half = rows * padded_shape((rows, columns))[1] * 8
    assert peak - field.nbytes < half + 4e6


def test_a_field_stays_as_it_was():
    field = noise((40, 50), 4)
    kept = field.copy()
    for distance in (0.0, 1e-3):
        found = propagate(field, distance, **OPTICS)
        assert not np.may_share_memory(found, field)
        np.testing.assert_array_equal(field, kept)


@pytest.mark.parametrize("view", ["transposed", "every second", "backwards"])
def test_any_layout_of_memory_will_do(view):
    field = noise((60, 44), 5)
    field = {"transposed": field.T, "every second": field[::2, ::2], "backwards": field[::-1, ::-1]}[view]
    found = propagate(field, 1e-4, **OPTICS)
    np.testing.assert_array_equal(found, propagate(np.ascontiguousarray(field), 1e-4, **OPTICS))
    assert found.flags.c_contiguous


@pytest.mark.parametrize("name", ["strict", "torch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("options", [{}, {"periodic": True}, {"band_limit": False}])
def test_arrays_of_other_libraries(name, dtype, options):
    library = array_api_strict
    if name == "torch":
        library = pytest.importorskip(
            "torch", reason="PyTorch (its CPU build, requirements/torch.txt) is not installed"
        )
    field = noise((33, 40), 6)
    field = (field if np.dtype(dtype).kind == "c" else field.real).astype(dtype)
    single = np.dtype(dtype) in (np.dtype(np.float32), np.dtype(np.complex64))
    expected = summed(
        field.astype(np.complex128),
        0.2e-3,
        (33, 40) if options.get("periodic") else padded_shape((33, 40)),
        pixel=0.9e-6,
        wavelength=WAVELENGTH,
        band_limit=options.get("band_limit", True),
    )
    found = propagate(library.asarray(field), 0.2e-3, **OPTICS, **options)
    assert type(found) is type(library.asarray(field))
    assert found.dtype == (library.complex64 if single else library.complex128)
    assert np.abs(np.asarray(found) - expected).max() < (1e-5 if single else 1e-12) * np.abs(field).max() * 4
    same = propagate(library.asarray(field), 0.0, **OPTICS, **options)
    assert same.dtype == found.dtype
    np.testing.assert_array_equal(np.asarray(same), field)


def test_a_tensor_that_is_no_field_is_refused():
    for wrong, message in (
        (array_api_strict.asarray(np.ones((4, 4), int)), "field: expected float32"),
        (array_api_strict.asarray(np.ones(4)), "field: expected a non-empty"),
        (array_api_strict.asarray(np.full((4, 4), np.nan)), "field: expected finite"),
    ):
        with pytest.raises(ValueError, match=message):
            propagate(wrong, 1e-3, **OPTICS)


def test_a_large_finite_field_is_not_taken_for_an_infinite_one():
    field = np.full((64, 64), 3e38, np.float32)
    np.testing.assert_array_equal(propagate(field, 0.0, **OPTICS), field)
    with pytest.raises(ValueError, match="field: expected finite"):
        propagate(np.where(np.eye(64) > 0, np.float32(-np.inf), field), 1e-3, **OPTICS)


def test_threads_that_are_none_are_refused():
    with pytest.raises(ValueError, match="workers"):
        propagate(np.ones((4, 4)), 1e-3, workers=0, **OPTICS)
