"""Wiener's filter against closed forms and dense solutions."""

import numpy as np
import pytest
from scipy.signal import convolve

from nixel.reconstruction.deconvolution import spectrum_shape, wiener


def test_a_wave_is_scaled_by_the_filter():
    # H(w) of the samples (a, 1 - 2 a, a) is 1 - 2 a + 2 a cos w.
    n, k, a, ratio = 48, 7, 0.2, 0.03
    phase = 2 * np.pi * k * np.arange(n) / n
    transfer = 1 - 2 * a + 2 * a * np.cos(2 * np.pi * k / n)
    image = 5 + 2 * np.cos(phase + 0.3)
    found = wiener(image, np.array([a, 1 - 2 * a, a]), ratio, boundary="periodic")
    expected = 5 + 2 * transfer / (transfer**2 + ratio) * np.cos(phase + 0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize(("shape", "size"), [((13,), (4,)), ((6, 7), (3, 5)), ((3, 4, 5), (3, 2, 4))])
def test_a_constant_ratio_solves_tikhonovs_normal_equations(shape, size):
    rng = np.random.default_rng(8)
    psf, image = rng.random(size), rng.random(shape) * 10
    n, axes = image.size, tuple(range(len(shape)))
    blur = np.zeros((n, n))
    for column in range(n):
        point = np.zeros(n)
        point[column] = 1
        point = point.reshape(shape)
        for index in np.ndindex(size):
            shift = [i - k // 2 for i, k in zip(index, size, strict=True)]
            blur[:, column] += psf[index] / psf.sum() * np.roll(point, shift, axes).ravel()
    mean = image.mean()
    expected = mean + np.linalg.solve(blur.T @ blur + 0.05 * np.eye(n), blur.T @ (image - mean).ravel())
    found = wiener(image, psf, 0.05, boundary="periodic")
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-10)


def test_the_true_ratio_is_best_and_its_error_is_the_closed_form():
    n, noise, repeats = 64, 0.3, 200
    rng = np.random.default_rng(9)
    frequency = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None, :])
    power = 1 / (frequency**2 + 0.02**2)
    power[0, 0] = 0
    power /= power.mean()  # variance 1
    psf = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256.0
    w = 2 * np.pi * np.fft.fftfreq(n)
    transfer = np.outer(
        (6 + 8 * np.cos(w) + 2 * np.cos(2 * w)) / 16, (6 + 8 * np.cos(w) + 2 * np.cos(2 * w)) / 16
    )
    half = np.s_[:, : n // 2 + 1]
    ratio = noise**2 / np.maximum(power, 1e-12)
    error = {1 / 4: [], 1: [], 4: []}
    for _ in range(repeats):
        truth = np.fft.ifft2(np.fft.fft2(rng.standard_normal((n, n))) * np.sqrt(power)).real
        image = np.fft.ifft2(np.fft.fft2(truth) * transfer).real + noise * rng.standard_normal((n, n))
        for scale, errors in error.items():
            found = wiener(image, psf, np.ascontiguousarray(ratio[half] * scale), boundary="periodic")
            errors.append(np.mean((found - truth) ** 2))
    # S N / (H^2 S + N) at each frequency; at zero, where the mean is kept, the noise.
    closed = power * noise**2 / (transfer**2 * power + noise**2)
    closed[0, 0] = noise**2
    best = np.mean(error[1])
    assert abs(best - closed.mean()) < 4 * np.std(error[1]) / np.sqrt(repeats)
    assert best < np.mean(error[1 / 4])
    assert best < np.mean(error[4])


@pytest.mark.parametrize("boundary", ["reflect", "periodic"])
def test_the_mean_is_kept_and_the_background_is_not(boundary):
    image = np.full((9, 10), 7.0)
    found = wiener(image, np.ones((3, 4)), 0.5, boundary=boundary, background=2.0)
    np.testing.assert_allclose(found, 5.0, rtol=1e-12)
    image = np.random.default_rng(1).random((9, 10))
    assert wiener(image, np.ones((3, 4)), 0.5, boundary="periodic").mean() == pytest.approx(image.mean())


@pytest.mark.parametrize("boundary", ["reflect", "periodic"])
@pytest.mark.parametrize("size", [(1, 1), (5, 4)])
def test_a_point_as_psf_and_little_noise_give_the_image_back(boundary, size):
    psf = np.zeros(size)
    psf[size[0] // 2, size[1] // 2] = 2.0
    image = np.random.default_rng(1).random((16, 15))
    np.testing.assert_allclose(wiener(image, psf, 1e-12, boundary=boundary), image, rtol=1e-9)


def test_reflection_spares_the_edges():
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    psf = np.outer(kernel, kernel)
    y, x = np.indices((44, 44))
    truth = x + 10.0 * np.sin(y / 5)  # its edges do not meet
    image = convolve(truth, psf, mode="valid")
    inner = truth[2:-2, 2:-2]
    reflected = np.abs(wiener(image, psf, 0.01) - inner).max()
    wrapped = np.abs(wiener(image, psf, 0.01, boundary="periodic") - inner).max()
    assert reflected < 0.3 * wrapped


def test_a_mirrored_image_gives_the_mirrored_estimate():
    rng = np.random.default_rng(3)
    image, psf = rng.random((12, 15, 14)), rng.random((3, 5, 3))
    found = wiener(image[:, ::-1, ::-1], psf[:, ::-1, ::-1], 0.1)
    np.testing.assert_allclose(found, wiener(image, psf, 0.1)[:, ::-1, ::-1], rtol=1e-10)


@pytest.mark.parametrize(("boundary", "shape"), [("periodic", (8, 9, 6)), ("reflect", None)])
def test_the_half_spectrum_has_the_shape_that_is_told(boundary, shape):
    told = spectrum_shape((8, 9, 10), (3, 4, 5), boundary)
    assert shape is None or told == shape
    image = np.random.default_rng(3).random((8, 9, 10))
    psf = np.ones((3, 4, 5))
    by_frequency = wiener(image, psf, np.full(told, 0.2), boundary=boundary)
    np.testing.assert_allclose(by_frequency, wiener(image, psf, 0.2, boundary=boundary), rtol=1e-12)
