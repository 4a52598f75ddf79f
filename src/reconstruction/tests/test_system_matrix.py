"""Background, spectra, selection and weights against closed forms, and a picture of a simulated scanner."""

import numpy as np
import pytest

from nixel.physics.grid import Grid
from nixel.physics.mpi import DriveField, Particles, signal, system_function
from nixel.physics.phantoms import phantom
from nixel.reconstruction.mpi import (
    SystemMatrixReconstruction,
    background_at,
    mixing_orders,
    row_norm_weights,
    select_frequencies,
    signal_to_noise,
    spectra,
    whitening_weights,
    without_background,
    without_drift,
    without_leakage,
)


def test_spectra_of_a_cosine():
    t = np.arange(64) / 64
    frame = 3.0 + 2.0 * np.cos(2 * np.pi * 5 * t)
    coefficients = spectra(frame)
    assert coefficients[0] == pytest.approx(3.0)
    assert coefficients[5] == pytest.approx(1.0)
    assert spectra(frame.astype(np.float32)).dtype == np.complex64


def test_background_follows_a_linear_drift():
    # Blocks at 0..1 and 10..11: a drift that is linear in time is met exactly, a constant everywhere.
    when = np.array([0.0, 1.0, 10.0, 11.0])
    times = np.arange(2.0, 10.0)
    background = np.stack([when, np.full(4, 5.0)], axis=1)
    found = background_at(background, when, times)
    np.testing.assert_allclose(found[:, 0], times)
    np.testing.assert_allclose(found[:, 1], 5.0)
    frames = np.stack([times + 2, np.full(8, 6.0)], axis=1)
    left = without_background(frames, background, times=times, background_times=when)
    np.testing.assert_allclose(left, np.tile([2.0, 1.0], (8, 1)))


def test_background_before_all_frames_is_its_mean():
    found = background_at(np.array([[1.0], [3.0]]), np.array([0.0, 1.0]), np.array([5.0, 6.0]))
    np.testing.assert_allclose(found, [[2.0], [2.0]])


def test_without_times_the_background_is_its_mean():
    left = without_background(np.array([[5 + 1j], [7.0]]), np.array([[1.0], [3.0 + 2j]]))
    np.testing.assert_allclose(left, [[3.0], [5.0 - 1j]])


def test_noise_is_told_from_drift():
    rng = np.random.default_rng(5)
    noise = 0.5 * rng.standard_normal((4000, 1))
    drift = np.linspace(0.0, 100.0, 4000)[:, None]
    found = without_drift(noise + drift)
    assert np.std(found) == pytest.approx(0.5, rel=0.05)
    with pytest.raises(ValueError, match="at least three frames"):
        without_drift(noise[:2])


def test_leakage_correction_leaves_what_is_periodic():
    rng = np.random.default_rng(1)
    period = rng.standard_normal((3, 50))
    np.testing.assert_allclose(without_leakage(np.stack([period] * 5)), np.stack([period] * 5), atol=1e-14)
    assert without_leakage(np.ones((2, 8), np.float32)).dtype == np.float32


def test_leakage_falls_off_with_the_third_power():
    # A tone between two harmonics, folded over three periods with a Hann window: three sincs, dense.
    samples, tone = 512, 40.4
    t = np.arange(5 * samples) / samples
    frames = np.cos(2 * np.pi * tone * t).reshape(5, samples)
    found = spectra(without_leakage(frames))
    window = np.zeros(5 * samples)
    window[samples : 4 * samples] = 1 - np.cos(2 * np.pi * np.arange(3 * samples) / (3 * samples))
    for k in (10, 38, 40, 41, 80):
        dense = np.sum(window * frames.ravel() * np.exp(-2j * np.pi * k * t)) / (3 * samples)
        assert found[2, k] == pytest.approx(dense, abs=1e-13)
    before, after = np.abs(spectra(frames)), np.abs(found)
    assert before[2, 44] / before[2, 76] == pytest.approx(10, rel=0.3)
    assert after[2, 44] / after[2, 76] > 500
    assert (after[:, 60:200] < 0.02 * before[:, 60:200]).all()  # the outermost, with one neighbour, too


def test_leakage_of_a_drift():
    # A slope s per period has coefficients s / (2 pi k); times the Hann window s / (2 pi k (9 k^2 - 1)).
    samples, slope = 4000, 0.25
    frames = (slope * np.arange(6 * samples) / samples).reshape(6, samples)
    k = np.arange(1, 30)
    before, after = np.abs(spectra(frames)), np.abs(spectra(without_leakage(frames)))
    np.testing.assert_allclose(before[2, 1:30], slope / (2 * np.pi * k), rtol=1e-3)
    np.testing.assert_allclose(after[2, 1:30], slope / (2 * np.pi * k * (9 * k**2 - 1)), rtol=1e-2)


def reference_snr(matrix, background):
    """MPIFiles' definition, a frequency at a time."""
    positions, channels, frequencies = matrix.shape
    result = np.zeros((channels, frequencies))
    for r in range(channels):
        noise, signals = [], []
        for k in range(frequencies):
            centre = background[:, r, k].mean()
            noise.append(np.abs(background[:, r, k] - centre).mean())
            signals.append(np.abs(matrix[:, r, k] - centre))
        first = [np.median(s) / n for s, n in zip(signals, noise, strict=True)]
        there = set()
        for k in sorted(range(frequencies), key=lambda k: -first[k])[:20]:
            values = np.abs(matrix[:, r, k])
            there |= {p for p in range(positions) if values[p] > 0.9 * values.max()}
        for k in range(frequencies):
            level = np.median([signals[k][p] for p in there])
            if level > 3.5 * noise[k]:
                level = np.median([s for s in signals[k] if s > 0.9 * signals[k].max()])
            result[r, k] = level / noise[k]
    return result


def test_signal_to_noise_is_the_references(monkeypatch):
    rng = np.random.default_rng(31)
    background = rng.standard_normal((12, 2, 60)) + 1j * rng.standard_normal((12, 2, 60)) + 4 - 2j
    envelope = np.exp(-(np.linspace(-2, 2, 40) ** 2))[:, None, None] * np.logspace(2, -1, 60)
    matrix = envelope * np.exp(1j * rng.random((40, 2, 60))) + 4 - 2j
    matrix += rng.standard_normal((40, 2, 60))
    expected = reference_snr(matrix, background)
    np.testing.assert_allclose(signal_to_noise(matrix, background), expected, rtol=1e-12)
    monkeypatch.setattr("nixel.reconstruction.mpi.selection._CHUNK_BYTES", 40 * 16 * 7)
    np.testing.assert_allclose(signal_to_noise(matrix, background), expected, rtol=1e-12)


def test_signal_to_noise_of_known_noise():
    rng = np.random.default_rng(3)
    background = 0.5 * (rng.standard_normal((4000, 1, 2)) + 1j * rng.standard_normal((4000, 1, 2)))
    matrix = np.full((9, 1, 2), 7.0 + 0j)
    # The mean magnitude of a complex number with a deviation of 0.5 in each part (Rayleigh): 0.5 sqrt(pi / 2).
    np.testing.assert_allclose(signal_to_noise(matrix, background), 7 / (0.5 * np.sqrt(np.pi / 2)), rtol=0.05)
    assert signal_to_noise(matrix, np.full((1, 1, 2), 2.0 + 0j)) == pytest.approx(2.5)
    assert not signal_to_noise(matrix, np.zeros((3, 1, 2), complex)).any()


def test_noise_has_a_ratio_of_one():
    rng = np.random.default_rng(8)
    noise = rng.standard_normal((300, 1, 100)) + 1j * rng.standard_normal((300, 1, 100))
    assert np.median(signal_to_noise(noise[:250], noise[250:])) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("dividers", [(102, 96), (102, 96, 99), (8, 12), (5,)])
def test_mixing_orders_are_the_lowest(dividers):
    period = int(np.lcm.reduce(dividers))
    steps = [period // d for d in dividers]
    count = min(period // 2 + 1, 3000)
    reach = 40
    found = mixing_orders(dividers, count)
    factors = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * len(dividers), indexing="ij"), -1)
    places = factors @ steps
    orders = np.abs(factors).sum(-1)
    inside = (places >= 0) & (places < count)
    lowest = np.full(count, 10**6)
    np.minimum.at(lowest, places[inside], orders[inside])
    known = lowest <= reach  # beyond, the enumeration may miss the lowest
    assert known.sum() > 0.5 * (found >= 0).sum()
    np.testing.assert_array_equal(found[known], lowest[known])
    assert (found[~known] > reach).all() or (found[~known] == -1).any()


def test_mixing_orders_of_the_3d_scanner():
    # 2.5 MHz / 102, 96, 99 and a period of 53856 samples: the drives are harmonics 528, 561 and 544.
    orders = mixing_orders((102, 96, 99), 26929)
    assert list(orders[[0, 528, 561, 544, 3 * 544, 561 - 528, 2 * 561 + 544]]) == [0, 1, 1, 1, 3, 2, 3]
    assert (orders > 0).sum() == 26928


def test_frequencies_are_selected():
    snr = np.array([[9.0, 1, 8, 7, 6, 0], [2, 9.5, 3, 4, 5, 0]])
    hertz = np.arange(6) * 10.0
    found = select_frequencies(snr, hertz, threshold=5, band=(10, 40))
    np.testing.assert_array_equal(found, [(0, 2), (0, 3), (0, 4), (1, 1), (1, 4)])
    found = select_frequencies(snr, hertz, threshold=5, orders=[0, 1, 5, 2, 9, 1], max_order=2)
    np.testing.assert_array_equal(found, [(0, 0), (0, 3), (1, 1)])
    found = select_frequencies(snr, hertz, best=3)
    np.testing.assert_array_equal(found, [(0, 0), (0, 2), (1, 1)])


def test_weights_make_the_noise_white():
    rng = np.random.default_rng(2)
    deviation = np.array([1.0, 5.0, 0.2])
    noise = deviation * (rng.standard_normal((5000, 3)) + 1j * rng.standard_normal((5000, 3)))
    weights = whitening_weights(noise)
    np.testing.assert_allclose(weights, 0.2 / deviation, rtol=0.05)
    assert weights.max() == 1


def test_weights_make_rows_of_one_norm():
    rng = np.random.default_rng(2)
    matrix = (rng.standard_normal((4, 9)) * np.array([[1], [10], [0], [1e-3]])).astype(np.complex64)
    weights = row_norm_weights(matrix)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(weights[:, None] * matrix, axis=1), [1, 1, 0, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: signal_to_noise(np.ones((4, 1, 3)), np.ones((0, 1, 3))), "at least one"),
        (lambda: signal_to_noise(np.ones((4, 3)), np.ones((1, 3))), "matrix: expected shape"),
        (lambda: select([[1.0, 1, 1, 1]], np.arange(4.0), threshold=9, band=(0, 4)), "the best has 1"),
        (lambda: select([[1.0, 1]], np.arange(3.0)), "frequencies: expected one for each"),
        (lambda: select([[1.0, 1]], np.arange(2.0), max_order=1), "orders: expected 2"),
        (lambda: select([[1.0, 1]], np.arange(2.0), best=0), "best: expected at least one"),
        (lambda: mixing_orders((), 4), "dividers: expected"),
        (lambda: mixing_orders((3, 4), 0), "count: expected"),
        (lambda: background_at(np.ones((0, 3)), np.ones(0), np.ones(2)), "one time for each frame"),
        (
            lambda: without_background(np.ones((2, 3)), np.ones((1, 2))),
            "background: expected frames of shape",
        ),
        (
            lambda: without_background(np.ones((2, 3)), np.ones((1, 3)), times=np.ones(2)),
            "times: expected one",
        ),
        (lambda: without_background(np.full((1, 1), np.nan), np.ones((1, 1))), "expected finite"),
        (lambda: without_leakage(np.ones((1, 8))), "frames: expected shape"),
        (lambda: without_leakage(np.ones((2, 8), int)), "finite floating-point"),
        (lambda: whitening_weights(np.ones((3, 2))), "expected noise in every row"),
        (lambda: whitening_weights(np.ones((1, 2))), "two frames or more"),
        (lambda: row_norm_weights(np.ones(3)), "matrix: expected shape"),
        (lambda: row_norm_weights(np.full((1, 1), np.nan)), "matrix: expected finite"),
        (
            lambda: SystemMatrixReconstruction.prepare(
                np.ones((2, 1, 2)), np.ones((2, 1, 2)), np.ones(2), weighting="best"
            ),
            "weighting: expected",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def select(snr, *args, **options):
    return select_frequencies(np.asarray(snr), *args, **options)


@pytest.mark.parametrize("name", ["stenosis", "dots"])
def test_a_phantom_comes_back_from_its_noisy_signal(name):
    # Forward on a grid three times as fine as the reconstruction's, so that the model is not its own inverse.
    drive = DriveField(2.5e6, (102, 96), (12e-3, 12e-3))
    scanner = (drive, (-1.25, -1.25, 2.5), Particles())
    grid = Grid((25, 25), (20e-3, 20e-3))
    fine = grid.refined(3)
    u = signal(
        phantom(name).rasterise(fine).ravel(), fine.positions(), *scanner, voxel_volume=fine.voxel_volume
    )
    matrix = system_function(grid.positions(), *scanner, voxel_volume=grid.voxel_volume)
    rng = np.random.default_rng(1)
    sigma = 5e-6  # V; the signal peaks at 17 mV, most of its frequencies lie below 1 uV
    background = spectra(sigma * rng.standard_normal((20, *u.shape)))
    measured = spectra(u + sigma * rng.standard_normal(u.shape))
    frequencies = np.fft.rfftfreq(drive.samples, 1 / drive.base_frequency)
    calibration = spectra(np.moveaxis(matrix, -1, 0) * 100.0)
    prepared = SystemMatrixReconstruction.prepare(calibration, background, frequencies)
    picture = prepared.apply(measured[None])[0]
    truth = phantom(name).rasterise(grid).ravel()
    assert np.corrcoef(picture, truth)[0, 1] >= 0.9
    # The picture is in units of the calibration sample (100 mol/m^3): its total iron is the phantom's.
    assert picture.sum() * 100.0 == pytest.approx(truth.sum(), rel=0.1)
