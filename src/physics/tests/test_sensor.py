"""The sensor model against the standard's identities and against a measurement as the standard describes it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from nixel.physics.sensor import Bayer, Sensor

CAMERA = Sensor(
    quantum_efficiency=0.55, gain=0.35, dark_noise=4.0, dark_current=20.0, offset=40.0, bit_depth=12
)


def flat(photons, side=512, frames=None):
    level = np.full((side, side), float(photons))
    return level if frames is None else np.broadcast_to(level, (frames, side, side))


@pytest.mark.parametrize("photons", [0.0, 30.0, 3000.0])
@pytest.mark.parametrize("exposure_time", [0.0, 0.5])
def test_mean_variance_and_snr_are_those_of_the_standard(photons, exposure_time):
    values = CAMERA.expose(flat(photons, 1000), exposure_time=exposure_time, seed=1).astype(np.float64)
    n = values.size
    electrons = 0.55 * photons + 20.0 * exposure_time
    mean = 40.0 + 0.35 * electrons
    variance = 0.35**2 * (4.0**2 + electrons) + 1 / 12
    found_mean, found_variance = values.mean(), values.var(ddof=1)
    assert abs(found_mean - mean) < 4 * math.sqrt(variance / n)
    # Of a variance: sqrt(2/n), and more for what is not normal (a Poisson part's fourth cumulant).
    excess = 0.35**4 * electrons / variance**2
    error = math.sqrt((2 + excess) / n) * variance
    assert abs(found_variance - variance) < 4 * error
    assert CAMERA.mean(photons, exposure_time=exposure_time) == pytest.approx(mean, rel=1e-12)
    assert CAMERA.variance(photons, exposure_time=exposure_time) == pytest.approx(variance, rel=1e-12)

    snr = 0.55 * photons / math.sqrt(4.0**2 + 20 * exposure_time + 1 / 12 / 0.35**2 + 0.55 * photons)
    found_snr = (found_mean - 40.0 - 0.35 * 20.0 * exposure_time) / math.sqrt(found_variance)
    assert abs(found_snr - snr) < 4 * math.sqrt((1 + snr**2 * (2 + excess) / 4) / n)
    assert CAMERA.snr(photons, exposure_time=exposure_time) == pytest.approx(snr, rel=1e-12)


def test_rounding_adds_a_twelfth():
    # 0.8 DN of noise before rounding: without the twelfth the variance would be 12 % less, 80 standard errors.
    sensor = Sensor(quantum_efficiency=1.0, gain=0.1, dark_noise=8.0, offset=100.3)
    values = sensor.expose(flat(0, 1000), seed=2).astype(np.float64)
    variance = 0.64 + 1 / 12
    assert abs(values.var(ddof=1) - variance) < 4 * variance * math.sqrt(2 / values.size)


def test_photons_are_thinned_not_scaled():
    # Electrons of a pixel that reads without noise: Poisson of eta times the photons, not eta times a Poisson.
    sensor = Sensor(quantum_efficiency=0.3, gain=1.0, dark_noise=0.0)
    counts = np.bincount(sensor.expose(flat(10.0), seed=3).ravel(), minlength=30)
    expected = scipy.stats.poisson(3.0).pmf(np.arange(12)) * 512**2
    expected = np.append(expected, 512**2 - expected.sum())
    found = np.append(counts[:12], counts[12:].sum())
    assert scipy.stats.chisquare(found, expected).pvalue > 1e-3


def measure(sensor, exposure_time, seed, side=640):
    """Characterise a camera as EMVA 1288 says, from frames alone: two at each of some levels, two in the dark.

    Temporal variance from the difference of the two frames (release 4.0, equations 32 and following), in which
    all that is fixed cancels; photon transfer up to 70 % of saturation; the light is known.
    """
    generator = np.random.default_rng(seed)

    def pair(photons):
        a, b = sensor.expose(flat(photons, side, 2), exposure_time=exposure_time, seed=generator).astype(
            float
        )
        mean = (a.mean() + b.mean()) / 2
        return mean, ((a - b) ** 2).mean() / 2 - (a.mean() - b.mean()) ** 2 / 2

    dark_mean, dark_variance = pair(0.0)
    light = np.linspace(0.02, 0.7, 25) * sensor.saturation_capacity / sensor.efficiency()
    means, variances = np.array([pair(photons) for photons in light]).T
    signal, noise = means - dark_mean, variances - dark_variance
    gain = (signal @ noise) / (signal @ signal)
    responsivity = (light @ signal) / (light @ light)
    dark_noise = math.sqrt(dark_variance - 1 / 12) / gain
    return gain, responsivity / gain, dark_noise


CAMERAS = [
    Sensor(quantum_efficiency=0.62, gain=0.8, dark_noise=3.0, offset=64.0, bit_depth=12),
    Sensor(quantum_efficiency=0.25, gain=0.2, dark_noise=12.0, offset=64.0, bit_depth=10),
    Sensor(quantum_efficiency=0.8, gain=2.5, dark_noise=1.5, offset=500.0, bit_depth=16, full_well=20e3),
    Sensor(quantum_efficiency=0.5, gain=0.5, dark_noise=5.0, offset=99.0, prnu=0.02, dsnu=6.0),
]


@pytest.mark.parametrize("sensor", CAMERAS, ids=["12 bit", "10 bit", "16 bit", "with a fixed pattern"])
def test_a_measurement_by_the_standard_returns_what_was_given(sensor):
    gain, efficiency, dark_noise = measure(sensor, 0.0, seed=4)
    assert gain == pytest.approx(sensor.gain, rel=0.01)
    assert efficiency == pytest.approx(sensor.quantum_efficiency, rel=0.01)
    assert dark_noise == pytest.approx(sensor.dark_noise, rel=0.01)


def test_the_dark_current_shows_in_the_mean_and_in_the_variance():
    sensor = Sensor(quantum_efficiency=0.5, gain=0.6, dark_noise=3.0, dark_current=50.0, offset=30.0)
    times = np.linspace(0, 4, 9)
    frames = [
        sensor.expose(flat(0.0), exposure_time=time, seed=number).astype(float)
        for number, time in enumerate(times)
    ]
    by_mean = np.polyfit(times, [frame.mean() for frame in frames], 1)[0] / 0.6
    by_variance = np.polyfit(times, [frame.var() for frame in frames], 1)[0] / 0.6**2
    assert by_mean == pytest.approx(50.0, rel=0.01)
    assert by_variance == pytest.approx(50.0, rel=0.02)


def test_the_fixed_pattern_is_what_the_standard_finds_in_averaged_frames():
    sensor = Sensor(
        quantum_efficiency=0.5, gain=0.5, dark_noise=3.0, offset=99.0, prnu=0.02, dsnu=6.0, pattern_seed=7
    )
    half = 0.5 * sensor.saturation_capacity / 0.5

    def averaged(photons, seed):
        frames = sensor.expose(flat(photons, 256, 16), seed=seed).astype(float)
        # What is left of the temporal noise in the average is taken off (release 4.0, section 8.2).
        return frames.mean(), frames.mean(axis=0).var() - frames.var(axis=0, ddof=1).mean() / 16

    dark_mean, dark_variance = averaged(0.0, 5)
    mean, variance = averaged(half, 6)
    assert math.sqrt(dark_variance) / 0.5 == pytest.approx(6.0, rel=0.02)
    assert math.sqrt(variance - dark_variance) / (mean - dark_mean) == pytest.approx(0.02, rel=0.02)
    other = replace(sensor, pattern_seed=8)
    for one, two in zip(sensor.fixed_pattern((256, 256)), other.fixed_pattern((256, 256)), strict=True):
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 4 / 256
    response, dark = sensor.fixed_pattern((256, 256))
    assert abs(np.corrcoef(response.ravel(), dark.ravel())[0, 1]) < 4 / 256


def test_the_signal_ends_at_the_largest_number_or_at_the_full_well():
    bright = flat(1e6, 64)
    by_bits = Sensor(quantum_efficiency=0.5, gain=1.0, dark_noise=2.0, offset=10.0, bit_depth=10)
    assert (by_bits.expose(bright, seed=1) == 1023).all()
    assert by_bits.saturation_capacity == 1013
    by_well = replace(by_bits, bit_depth=16, full_well=5000.0, dark_noise=0.0)
    assert (by_well.expose(bright, seed=1) == 5010).all()
    assert by_well.saturation_capacity == 5000
    # Noise below the offset ends at 0 and does not come back at the top.
    below = Sensor(quantum_efficiency=0.5, gain=1.0, dark_noise=5.0, offset=0.0)
    assert below.expose(flat(0.0, 64), seed=1).max() < 50


def test_the_same_seed_is_the_same_frame():
    photons = flat(500.0, 700)
    first = CAMERA.expose(photons, seed=9)
    np.testing.assert_array_equal(first, CAMERA.expose(photons, seed=9))
    np.testing.assert_array_equal(first, CAMERA.expose(photons, seed=9, workers=3))
    assert (first != CAMERA.expose(photons, seed=10)).mean() > 0.5
    generator = np.random.default_rng(9)
    drawn = [CAMERA.expose(photons, seed=generator) for _ in range(2)]
    np.testing.assert_array_equal(first, drawn[0])
    assert (drawn[0] != drawn[1]).mean() > 0.5


def test_each_frame_of_a_stack_has_its_own_noise():
    frames = CAMERA.expose(flat(400.0, 300, 3), seed=11).astype(float)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(frames[one].ravel(), frames[two].ravel())[0, 1]) < 4 / 300
    # Neither do the rows of one frame repeat those of another block.
    tall = CAMERA.expose(np.full((4096, 128), 400.0), seed=11).astype(float)
    assert abs(np.corrcoef(tall[:2048].ravel(), tall[2048:].ravel())[0, 1]) < 4 / 512


def test_progress_ends_at_its_total():
    told = []
    CAMERA.expose(flat(1.0, 700, 2), seed=1, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert len(told) == told[-1][1] > 2


def test_few_bits_are_kept_in_bytes():
    assert replace(CAMERA, bit_depth=8).expose(flat(1.0, 8), seed=1).dtype == np.uint8
    assert CAMERA.expose(flat(1.0, 8).astype(np.float32), seed=1).dtype == np.uint16


GOOD = {"quantum_efficiency": 0.5, "gain": 1.0, "dark_noise": 2.0}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"quantum_efficiency": 1.2}, "quantum_efficiency: expected 0 to 1"),
        ({"quantum_efficiency": math.nan}, "quantum_efficiency: expected 0 to 1"),
        ({"quantum_efficiency": {"R": 0.1, "G": 0.2, "B": 0.3}}, "with a Bayer mosaic"),
        ({"quantum_efficiency": {"R": 0.1, "G": 0.2}, "bayer": Bayer()}, "one for each of R, G and B"),
        ({"quantum_efficiency": {"R": 0.1, "G": 2.0, "B": 0}, "bayer": Bayer()}, "quantum_efficiency of G"),
        ({"gain": 0.0}, "gain: expected a positive"),
        ({"gain": math.inf}, "gain: expected a positive"),
        ({"dark_noise": -1.0}, "dark_noise: expected 0 or more"),
        ({"dark_current": math.nan}, "dark_current: expected 0 or more"),
        ({"offset": -1.0}, "offset: expected 0 or more"),
        ({"offset": 4095.0}, "offset: expected less than 4095 DN"),
        ({"bit_depth": 0}, "bit_depth: expected 1 to 16"),
        ({"bit_depth": 17}, "bit_depth: expected 1 to 16"),
        ({"full_well": 0.0}, "full_well: expected a positive"),
        ({"prnu": -0.1}, "prnu: expected 0 or more"),
        ({"dsnu": math.inf}, "dsnu: expected 0 or more"),
        ({"shape": (0, 5)}, "shape: expected rows and columns"),
        ({"pixel_size": 0.0}, "pixel_size: expected a positive"),
    ],
)
def test_a_sensor_that_is_none_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Sensor(**(GOOD | wrong))


@pytest.mark.parametrize(
    ("photons", "options", "message"),
    [
        (np.ones(5), {}, "non-empty"),
        (np.ones((0, 5)), {}, "non-empty"),
        (np.ones((5, 5), dtype=int), {}, "expected float32 or float64, found int64"),
        (-np.ones((5, 5)), {}, "0 or more and finite"),
        (np.full((5, 5), np.nan), {}, "0 or more and finite"),
        (np.full((5, 5), np.inf), {}, "0 or more and finite"),
        (np.ones((5, 5)), {"exposure_time": -1.0}, "exposure_time: expected 0 s or more"),
        (np.ones((5, 5)), {"exposure_time": math.nan}, "exposure_time: expected 0 s or more"),
        (np.ones((5, 5)), {"workers": 0}, "workers"),
    ],
)
def test_light_that_is_none_is_refused(photons, options, message):
    with pytest.raises(ValueError, match=message):
        Sensor(**GOOD).expose(photons, seed=1, **options)
