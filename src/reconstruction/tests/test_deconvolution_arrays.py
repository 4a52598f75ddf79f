"""Deconvolution: arrays of other libraries, threads, and what is refused."""

import array_api_strict
import numpy as np
import pytest

from nixel.reconstruction.deconvolution import richardson_lucy, spectrum_shape, wiener

OPTIONS = [
    {},
    {"background": 1.5},
    {"acceleration": True},
    {"regularisation": 0.02},
    {"boundary": "periodic"},
    {"crop": False, "acceleration": True, "regularisation": 0.01},
]


def example(shape, size, dtype):
    rng = np.random.default_rng(6)
    return rng.poisson(rng.random(shape) ** 4 * 40 + 2).astype(dtype), (rng.random(size) + 0.2).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "size"), [((30,), (5,)), ((18, 21), (4, 5)), ((6, 11, 12), (3, 4, 5))])
@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
def test_arrays_of_other_libraries(library, shape, size, dtype):
    if library == "torch":
        xp = pytest.importorskip(
            "torch", reason="PyTorch (its CPU build, requirements/torch.txt) is not installed"
        )
    else:
        xp = array_api_strict
    image, psf = example(shape, size, dtype)
    close = {"rtol": 1e-9, "atol": 1e-9} if dtype == "float64" else {"rtol": 2e-3, "atol": 2e-3}
    for options in OPTIONS:
        found = richardson_lucy(xp.asarray(image), xp.asarray(psf), 5, **options)
        assert type(found) is type(xp.asarray(image))
        assert found.dtype == getattr(xp, dtype)
        np.testing.assert_allclose(np.asarray(found), richardson_lucy(image, psf, 5, **options), **close)
    offset = np.linspace(0, 1, shape[-1]).astype(dtype)
    found = richardson_lucy(xp.asarray(image), xp.asarray(psf), 5, background=xp.asarray(offset))
    np.testing.assert_allclose(np.asarray(found), richardson_lucy(image, psf, 5, background=offset), **close)
    for boundary in ("reflect", "periodic"):
        ratio = np.full(spectrum_shape(shape, size, boundary), 0.1, dtype)
        for wanted, given in ((0.1, 0.1), (ratio, xp.asarray(ratio))):
            found = wiener(xp.asarray(image), xp.asarray(psf), given, boundary=boundary, background=1.0)
            assert found.dtype == getattr(xp, dtype)
            expected = wiener(image, psf, wanted, boundary=boundary, background=1.0)
            np.testing.assert_allclose(np.asarray(found), expected, **close)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_bits_do_not_depend_on_the_threads(options):
    image, psf = example((24, 80, 90), (5, 6, 7), "float32")
    alone = richardson_lucy(image, psf, 3, **options)
    np.testing.assert_array_equal(richardson_lucy(image, psf, 3, workers=3, **options), alone)
    np.testing.assert_array_equal(wiener(image, psf, 0.1, workers=3), wiener(image, psf, 0.1))


GOOD = np.ones((8, 9))
KERNEL = np.ones((3, 3))


def holding(value):
    array = np.ones((3, 3))
    array[1, 1] = value
    return array


COMMON = [
    ((np.ones((8, 9), int), KERNEL), "image: expected float32 or float64, found int64"),
    ((GOOD + 0j, KERNEL), "image: expected float32 or float64, found complex128"),
    ((np.ones((2, 2, 2, 2)), KERNEL), "image: expected 1, 2 or 3 axes"),
    ((np.ones(()), KERNEL), "image: expected 1, 2 or 3 axes"),
    ((np.ones((0, 9)), KERNEL), "image: expected 1, 2 or 3 axes and no empty one"),
    ((holding(np.nan), KERNEL), "image: expected finite values"),
    ((holding(np.inf), KERNEL), "image: expected finite values"),
    ((GOOD, np.ones(3)), r"psf: expected as many axes as the image \(2\)"),
    ((GOOD, np.ones((3, 0))), "psf: expected as many axes as the image .* no empty one"),
    ((GOOD, np.ones((3, 3), np.uint8)), "psf: expected float32 or float64, found uint8"),
    (
        (GOOD, np.ones((3, 10))),
        r"psf: expected to be no larger than the image \(8, 9\), found shape \(3, 10\)",
    ),
    ((GOOD, holding(np.nan)), "psf: expected finite values"),
    ((GOOD, holding(-1.0)), "psf: expected values of zero or more, found -1"),
    ((GOOD, np.zeros((3, 3))), "psf: expected a positive sum"),
]


@pytest.mark.parametrize(("arguments", "message"), COMMON)
def test_bad_images_and_psfs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        richardson_lucy(*arguments, 3)
    with pytest.raises(ValueError, match=message):
        wiener(*arguments, 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background": np.nan}, "background: expected a finite number"),
        ({"background": np.float32("inf")}, "background: expected a finite number"),
        ({"background": np.ones(8)}, "background: expected .* broadcasts"),
        ({"background": np.ones((2, 8, 9))}, "background: expected .* broadcasts"),
        (
            {"background": np.ones(9, np.float32)},
            "background: expected the image's dtype float64, found float32",
        ),
        ({"background": np.full(9, np.nan)}, "background: expected finite values"),
        ({"boundary": "zero"}, "boundary: expected one of .*, found 'zero'"),
        ({"workers": 0}, "workers: expected"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        richardson_lucy(GOOD, KERNEL, 3, **options)
    with pytest.raises(ValueError, match=message):
        wiener(GOOD, KERNEL, 0.1, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((holding(-2.0), KERNEL, 3), {}, "image: expected counts of zero or more .*, found -2"),
        ((GOOD, KERNEL, -1), {}, "iterations: expected an integer of zero or more, found -1"),
        ((GOOD, KERNEL, 2.0), {}, "iterations: expected an integer"),
        ((GOOD, KERNEL, 3), {"background": -1.0}, "background: expected a finite number of zero or more"),
        ((GOOD, KERNEL, 3), {"background": np.full(9, -1.0)}, "background: expected values of zero or more"),
        ((GOOD, KERNEL, 3), {"regularisation": -0.1}, "regularisation: expected"),
        ((GOOD, KERNEL, 3), {"regularisation": 0.25}, "regularisation: expected zero or more and below 1/4"),
        ((GOOD, KERNEL, 3), {"regularisation": np.nan}, "regularisation: expected"),
    ],
)
def test_what_richardson_lucy_alone_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        richardson_lucy(*arguments, **options)


@pytest.mark.parametrize(
    ("ratio", "message"),
    [
        (0.0, "noise_to_signal: expected a positive number"),
        (np.inf, "noise_to_signal: expected a positive number"),
        (np.ones((8, 9)), "noise_to_signal: expected a number, or float64 of the half spectrum's shape"),
        (np.full((8, 5), -1.0), "noise_to_signal: expected finite values of zero or more"),
        (
            np.zeros((8, 5)),
            "noise_to_signal: expected a positive value wherever the transfer function is zero",
        ),
    ],
)
def test_what_wiener_alone_refuses(ratio, message):
    # Three equal samples transfer nothing at a third of the sampling frequency, which nine samples hold.
    with pytest.raises(ValueError, match=message):
        wiener(GOOD, np.array([[1.0, 1.0, 1.0]]), ratio, boundary="periodic")
