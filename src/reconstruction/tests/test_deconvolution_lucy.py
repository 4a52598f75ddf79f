"""Richardson-Lucy against its definition by plain convolutions, conservation laws and simulated fields."""

import numpy as np
import pytest
from scipy.signal import convolve

from nixel.reconstruction.deconvolution import richardson_lucy


def normal(shape, width):
    """A Gaussian about the middle sample."""
    result = np.ones(())
    for n in shape:
        result = np.multiply.outer(result, np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / width) ** 2))
    return result


def seen(estimate, psf):
    """The window of the convolution that an estimate with margins sends into the image."""
    return convolve(estimate, psf / psf.sum(), mode="valid", method="direct")


def seen_back(image, psf):
    """The adjoint of `seen`."""
    return convolve(image, np.flip(psf) / psf.sum(), mode="full", method="direct")


def defined_step(x, image, psf, background):
    return x * seen_back(image / (seen(x, psf) + background), psf) / seen_back(np.ones_like(image), psf)


def uniform_start(image, psf, background):
    return np.full(seen_back(image, psf).shape, np.maximum(image - background, 0).mean())


def divergence(image, expected):
    log = np.log(np.where(image > 0, image / expected, 1))
    return float((image * log - image + expected).sum())


def noisy(shape, psf, seed=3, background=2.0, brightness=200.0):
    """Counts of a sparse object that is wider than the field."""
    rng = np.random.default_rng(seed)
    truth = rng.random([n + k - 1 for n, k in zip(shape, psf.shape, strict=True)]) ** 12 * brightness
    return rng.poisson(seen(truth, psf) + background).astype(np.float64)


def lopsided(shape, seed=5):
    """No symmetry, no zeros, and enough in the corners that every point the light comes from is estimated."""
    return np.random.default_rng(seed).random(shape) + 0.5


CASES = [((50,), (7,)), ((31, 40), (5, 6)), ((9, 14, 12), (3, 4, 5)), ((1, 20, 17), (1, 5, 3))]


@pytest.mark.parametrize(("shape", "size"), CASES)
@pytest.mark.parametrize("background", [0.0, 2.0])
def test_steps_are_those_of_the_definition(shape, size, background):
    psf = lopsided(size)
    image = noisy(shape, psf)
    expected = uniform_start(image, psf, background)
    for iterations in range(4):
        found = richardson_lucy(image, psf, iterations, background=background, crop=False)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * image.max())
        window = tuple(slice(k - 1 - k // 2, k - 1 - k // 2 + n) for n, k in zip(shape, size, strict=True))
        cropped = richardson_lucy(image, psf, iterations, background=background)
        np.testing.assert_allclose(cropped, expected[window], rtol=1e-10, atol=1e-10 * image.max())
        expected = defined_step(expected, image, psf, background)


def test_steps_of_a_volume_in_many_pieces():
    psf = lopsided((5, 7, 9))
    image = noisy((20, 70, 90), psf)
    expected = uniform_start(image, psf, 2.0)
    kernel, ones = psf / psf.sum(), np.ones_like(image)
    back = convolve(ones, np.flip(kernel), mode="full", method="fft")
    for _ in range(3):
        ratio = image / (convolve(expected, kernel, mode="valid", method="fft") + 2.0)
        expected = expected * convolve(ratio, np.flip(kernel), mode="full", method="fft") / back
    kept = back >= 1e-3  # what the image hardly sees stays dark
    single = richardson_lucy(image.astype(np.float32), psf, 3, background=2.0, crop=False)
    double = richardson_lucy(image, psf, 3, background=2.0, crop=False)
    assert kept.mean() > 0.9
    # The points that stay dark hold less than a thousandth of their neighbours' light each.
    inside = tuple(slice(k - 1, n) for n, k in zip(image.shape, psf.shape, strict=True))
    np.testing.assert_allclose(double[inside], expected[inside], rtol=2e-2)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-4 * double.max())


@pytest.mark.parametrize(("shape", "size"), CASES)
def test_periodic_steps_are_those_of_the_definition(shape, size):
    psf = lopsided(size)
    image = noisy(shape, psf)
    kernel = psf / psf.sum()
    taps = [(index, kernel[index]) for index in np.ndindex(size)]
    axes = tuple(range(len(shape)))

    def cyclic(x, sign):
        return sum(
            w * np.roll(x, [sign * (i - k // 2) for i, k in zip(index, size, strict=True)], axis=axes)
            for index, w in taps
        )

    expected = np.full(shape, np.maximum(image - 2.0, 0).mean())
    for _ in range(3):
        expected = expected * cyclic(image / (cyclic(expected, 1) + 2.0), -1)
    found = richardson_lucy(image, psf, 3, background=2.0, boundary="periodic")
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * image.max())


@pytest.mark.parametrize(("shape", "size"), CASES)
@pytest.mark.parametrize("background", [0.0, 2.0])
def test_no_plain_step_raises_the_divergence(shape, size, background):
    psf = normal(size, 1.0)
    image = noisy(shape, psf, background=background)
    found = [
        divergence(
            image, seen(richardson_lucy(image, psf, n, background=background, crop=False), psf) + background
        )
        for n in range(16)
    ]
    assert np.all(np.diff(found) < 0)


@pytest.mark.parametrize(("shape", "size"), CASES)
def test_every_plain_step_keeps_the_light(shape, size):
    psf = lopsided(size)
    image = noisy(shape, psf)
    for iterations in (0, 1, 5):
        estimate = richardson_lucy(image, psf, iterations, crop=False)
        assert seen(estimate, psf).sum() == pytest.approx(image.sum(), rel=1e-10)
        assert richardson_lucy(image, psf, iterations, boundary="periodic").sum() == pytest.approx(
            image.sum()
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options", [{}, {"acceleration": True}, {"regularisation": 0.05}, {"boundary": "periodic"}]
)
def test_the_estimate_is_never_negative(dtype, options):
    psf = normal((5, 9, 9), 1.5)
    image = noisy((8, 24, 20), psf, brightness=5.0, background=0.0).astype(dtype)
    estimate = richardson_lucy(image, psf, 30, crop=False, **options)
    assert estimate.dtype == dtype
    assert np.isfinite(estimate).all()
    assert estimate.min() >= 0


@pytest.mark.parametrize("boundary", ["zero-loss", "periodic"])
@pytest.mark.parametrize("size", [(1, 1), (5, 5), (4, 6), (1, 7)])
def test_a_point_as_psf_gives_the_image_back(boundary, size):
    psf = np.zeros(size)
    psf[tuple(k // 2 for k in size)] = 3.0
    image = np.random.default_rng(1).random((17, 23)) * 100
    for iterations in (1, 4):
        found = richardson_lucy(image, psf, iterations, boundary=boundary)
        np.testing.assert_allclose(found, image, rtol=1e-11)


def test_a_point_comes_back_where_it_was():
    psf = normal((7, 9, 9), 1.5)
    truth = np.zeros((12 + 6, 24 + 8, 22 + 8))
    truth[3 + 5, 4 + 10, 4 + 13] = 1e4
    image = seen(truth, psf)
    found = richardson_lucy(image, psf, 200, acceleration=True)
    assert np.unravel_index(found.argmax(), found.shape) == (5, 10, 13)
    assert found.max() > 0.9 * 1e4
    assert found.sum() == pytest.approx(1e4, rel=1e-3)


@pytest.mark.parametrize("options", [{}, {"acceleration": True}, {"regularisation": 0.02}])
def test_mirrored_input_gives_the_mirrored_estimate(options):
    psf = lopsided((4, 5, 3))
    image = noisy((7, 16, 15), psf)
    for axis in range(3):
        if "regularisation" in options:
            continue  # forward differences are not symmetric
        found = richardson_lucy(np.flip(image, axis), np.flip(psf, axis), 6, crop=False, **options)
        expected = np.flip(richardson_lucy(image, psf, 6, crop=False, **options), axis)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * image.max())
    found = richardson_lucy(image.transpose(2, 0, 1), psf.transpose(2, 0, 1), 6, crop=False, **options)
    expected = richardson_lucy(image, psf, 6, crop=False, **options).transpose(2, 0, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7 * image.max())


@pytest.mark.parametrize("options", [{}, {"acceleration": True}, {"regularisation": 0.02}])
def test_a_shifted_periodic_image_gives_the_shifted_estimate(options):
    psf = lopsided((4, 5))
    image = noisy((21, 25), psf)
    found = richardson_lucy(np.roll(image, (3, -8), (0, 1)), psf, 6, boundary="periodic", **options)
    expected = np.roll(richardson_lucy(image, psf, 6, boundary="periodic", **options), (3, -8), (0, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * image.max())


@pytest.mark.parametrize("options", [{}, {"acceleration": True}, {"regularisation": 0.02}])
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_unit_of_the_image_does_not_matter(options, scale):
    psf = normal((5, 5), 1.0)
    image = noisy((20, 20), psf).astype(np.float32)
    found = richardson_lucy(image * np.float32(scale), psf, 8, **options)
    expected = richardson_lucy(image, psf, 8, **options)
    np.testing.assert_allclose(found / scale, expected, rtol=1e-3, atol=1e-4 * image.max())
    assert np.isfinite(found).all()


def test_the_scale_of_the_psf_does_not_matter():
    psf = normal((5, 5), 1.0)
    image = noisy((20, 20), psf)
    for scale in (1e-300, 7.0, 1e300):
        found = richardson_lucy(image, psf * scale, 5)
        np.testing.assert_allclose(found, richardson_lucy(image, psf, 5), rtol=1e-10)


def test_an_object_cut_by_the_edge_keeps_its_light():
    psf = normal((17, 17), 3.0)
    margin = 8
    y, x = np.indices((64 + 2 * margin, 64 + 2 * margin)) - margin
    # Three soft discs: one inside, one centred on the edge, one centred on a corner.
    truth = sum(
        brightness / (1 + np.exp(np.hypot(y - cy, x - cx) - 7))
        for brightness, cy, cx in ((100, 36, 36), (150, 30, 0), (80, 63, 63))
    )
    image = seen(truth, psf)
    inner = truth[margin:-margin, margin:-margin]
    found = richardson_lucy(image, psf, 300, acceleration=True)
    wrapped = richardson_lucy(image, psf, 300, acceleration=True, boundary="periodic")
    for part in (np.s_[15:46, :15], np.s_[49:, 49:], np.s_[:, :]):
        assert found[part].sum() == pytest.approx(inner[part].sum(), rel=0.01)
    # The first ten samples of the edge: the truth, and not the pile of light that wrapping makes there.
    edge = np.s_[:, :10]
    error = np.sqrt(np.mean((found[edge] - inner[edge]) ** 2))
    assert error < 0.1 * inner.max()
    assert error < 0.3 * np.sqrt(np.mean((wrapped[edge] - inner[edge]) ** 2))


def test_light_from_beyond_the_edge_is_put_there():
    psf = normal((9, 9), 1.5)
    truth = np.zeros((40, 40))
    truth[20, 2] = 1e4  # two samples before the image's first column
    image = seen(truth, psf)
    margins = richardson_lucy(image, psf, 100, acceleration=True, crop=False)
    assert margins[:, :4].sum() > 0.95 * margins.sum()


def defined_acceleration(image, psf, background, iterations):
    """Biggs and Andrews' steps, as published."""
    x = uniform_start(image, psf, background)
    before, g, g_before = x, None, None
    for _ in range(iterations):
        alpha = 0.0
        if g_before is not None:
            alpha = min(max((g * g_before).sum() / (g_before * g_before).sum(), 0), 1)
        y = np.maximum(x + alpha * (x - before), 0)
        before, x = x, defined_step(y, image, psf, background)
        g, g_before = x - y, g
    return x


@pytest.mark.parametrize(("shape", "size"), CASES)
def test_accelerated_steps_are_those_published(shape, size):
    psf = lopsided(size)
    image = noisy(shape, psf)
    found = richardson_lucy(image, psf, 7, background=2.0, acceleration=True, crop=False)
    expected = defined_acceleration(image, psf, 2.0, 7)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * image.max())


@pytest.mark.parametrize("iterations", [10, 30])
def test_acceleration_lowers_the_divergence(iterations):
    psf = normal((5, 9, 9), 1.5)
    image = noisy((8, 24, 20), psf)

    def reached(n, *, acceleration):
        x = richardson_lucy(image, psf, n, background=2.0, acceleration=acceleration, crop=False)
        return divergence(image, seen(x, psf) + 2.0)

    assert reached(iterations, acceleration=True) < reached(2 * iterations, acceleration=False)


def total_variation(x, smallest):
    """Isotropic, with forward differences; beyond the last sample the object is flat."""
    square = np.full(x.shape, smallest**2)
    for axis in range(x.ndim):
        square += np.diff(x, axis=axis, append=x.take([-1], axis=axis)) ** 2
    return np.sqrt(square).sum()


@pytest.mark.parametrize("shape", [(9,), (6, 7), (4, 5, 3)])
def test_the_penalty_is_the_gradient_of_the_total_variation(shape):
    # With a point as psf the first step gives the image, and the second the image times the penalty's factor.
    image = np.random.default_rng(4).random(shape) * 10 + 1
    strength, smallest, h = 0.1, 1e-3 * image.mean(), 1e-5
    found = richardson_lucy(image, np.ones((1,) * len(shape)), 2, regularisation=strength)
    gradient = np.empty(shape)
    for index in np.ndindex(shape):
        bump = np.zeros(shape)
        bump[index] = h
        gradient[index] = (
            total_variation(image + bump, smallest) - total_variation(image - bump, smallest)
        ) / (2 * h)
    np.testing.assert_allclose(found, image / (1 + strength * gradient), rtol=1e-6)


def test_total_variation_brings_a_piecewise_constant_object_nearer_to_the_truth():
    psf = normal((9, 9), 1.5)
    truth = np.full((56, 56), 20.0)
    truth[15:40, 12:30] = 100.0
    truth[25:45, 34:46] = 60.0
    image = np.random.default_rng(2).poisson(seen(truth, psf)).astype(np.float64)
    inner = truth[4:-4, 4:-4]
    plain = richardson_lucy(image, psf, 60)
    smooth = richardson_lucy(image, psf, 60, regularisation=0.02)
    flat = np.s_[14:33, 11:23]  # within the brightest part
    assert np.std(smooth[flat]) < 0.5 * np.std(plain[flat])
    assert np.linalg.norm(smooth - inner) < 0.7 * np.linalg.norm(plain - inner)


def test_a_background_is_no_object():
    psf = normal((7, 7), 1.5)
    truth = np.zeros((36, 36))
    truth[12:20, 14:25] = 50.0
    slope = np.broadcast_to(np.linspace(5, 10, 30), (30, 30)).copy()
    image = seen(truth, psf) + slope
    found = richardson_lucy(image, psf, 200, background=slope, acceleration=True)
    assert found.sum() == pytest.approx(truth.sum(), rel=1e-3)
    assert found[:4].max() < 0.01
    # A row of it broadcasts.
    np.testing.assert_array_equal(
        richardson_lucy(image, psf, 5, background=slope[0]), richardson_lucy(image, psf, 5, background=slope)
    )


def test_nothing_but_background_is_an_empty_object():
    image = np.full((12, 12), 4.0, np.float32)
    for kind in ({}, {"acceleration": True}, {"regularisation": 0.1}):
        assert not richardson_lucy(image, np.ones((3, 3)), 5, background=4.0, **kind).any()
        assert not richardson_lucy(np.zeros_like(image), np.ones((3, 3)), 5, **kind).any()


def test_an_even_psf_is_centred_at_its_upper_middle_sample():
    psf = np.zeros((4, 6))
    psf[1:4, 2:5] = normal((3, 3), 0.7)  # symmetric about sample (2, 3)
    truth = np.zeros((20, 20))
    truth[9, 11] = 1000.0
    image = convolve(truth, normal((3, 3), 0.7) / normal((3, 3), 0.7).sum(), mode="same")
    found = richardson_lucy(image, psf, 100, acceleration=True)
    assert np.unravel_index(found.argmax(), found.shape) == (9, 11)


def test_progress_is_told_after_every_step():
    told = []
    richardson_lucy(np.ones((8, 8)), np.ones((3, 3)), 3, progress=lambda *step: told.append(step))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_input_stays_and_the_result_is_its_own():
    psf = normal((5, 5), 1.0)
    image = noisy((16, 16), psf)
    before = image.copy()
    found = richardson_lucy(image, psf, 3, acceleration=True)
    np.testing.assert_array_equal(image, before)
    assert found.base is None
    assert found.flags.c_contiguous
    # Any layout in memory is taken.
    np.testing.assert_array_equal(richardson_lucy(np.asfortranarray(image), psf, 3, acceleration=True), found)
