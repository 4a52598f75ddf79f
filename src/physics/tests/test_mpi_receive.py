"""The receive chain: reciprocity, transfer functions and their correction, noise, background."""

import numpy as np
import pytest
from scipy import constants

from nixel.physics.mpi import (
    CircularLoop,
    Drift,
    DriveField,
    FeedThrough,
    MeasuredTransfer,
    Particles,
    ReceiveCoils,
    flicker_density,
    magnetisation_rate,
    measure,
    noise,
    signal,
    spectral_deviation,
    tabulated_density,
)

DRIVE = DriveField(2.5e6, (102, 96), (12e-3, 12e-3))
GRADIENT = (-1.25, -1.25, 2.5)


def flux_of_dipole(place, moment, radius, centre, normal):
    """Flux through a loop in Wb: the line integral of the dipole's vector potential along the wire."""
    normal = np.asarray(normal) / np.linalg.norm(normal)
    first = np.cross(normal, [0.3, -0.8, 0.5])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    angle = 2 * np.pi * np.arange(4000)[:, None] / 4000  # the trapezoidal rule converges exponentially here
    wire = centre + radius * (np.cos(angle) * first + np.sin(angle) * second)
    step = radius * (-np.sin(angle) * first + np.cos(angle) * second) * 2 * np.pi / 4000
    away = wire - place
    potential = 1e-7 * np.cross(moment, away) / np.linalg.norm(away, axis=1, keepdims=True) ** 3
    return np.sum(potential * step)


@pytest.mark.parametrize("place", [(0.0, 0.0, 0.0), (3e-3, -2e-3, 6e-3), (-11e-3, 4e-3, -1e-3)])
def test_a_moments_flux_is_the_coils_field_at_its_place(place):
    # Reciprocity: flux = mu_0 p.m for any place, moment and loop.
    loop = {"radius": 20e-3, "centre": (1e-3, 2e-3, 15e-3), "normal": (0.2, -0.3, 1.0)}
    moment = np.array([1.0, -2.0, 0.5])
    sensitivity = CircularLoop(**loop).field_per_current(np.array([place]))[0]
    # The tabulated mu_0 and 4e-7 pi differ by 1e-10.
    assert constants.mu_0 * sensitivity @ moment == pytest.approx(
        flux_of_dipole(np.array(place), moment, **loop), rel=1e-8
    )


def test_a_loops_field_on_its_axis_is_the_textbooks():
    z = np.array([0.0, 5e-3, 40e-3])
    found = CircularLoop(20e-3, turns=7).field_per_current(np.outer(z, [0, 0, 1]))
    np.testing.assert_allclose(found[:, 2], 7 * 20e-3**2 / (2 * (20e-3**2 + z**2) ** 1.5), rtol=1e-13)
    np.testing.assert_allclose(found[:, :2], 0.0, atol=1e-12)


def test_the_voltage_of_coils_is_the_flux_of_the_changing_moment():
    # Three kinds of channel at once: along its axis, along a vector, a loop; one voxel.
    place, particles = np.array([[3e-3, -2e-3]]), Particles()
    loop = {"radius": 30e-3, "centre": (0.0, 0.0, 0.0), "normal": (1.0, 0.5, 0.0)}
    coils = ReceiveCoils((500.0, (100.0, -200.0, 0.0), CircularLoop(**loop)))
    u = signal(np.array([2.0]), place, DRIVE, GRADIENT, particles, coils=coils, voxel_volume=3e-9)
    t = DRIVE.times()
    field = DRIVE.field(t) + np.array(GRADIENT[:2]) * place
    rate = magnetisation_rate(field, DRIVE.field_rate(t), particles, concentration=2.0) * 3e-9
    np.testing.assert_allclose(u[0], -constants.mu_0 * 500 * rate[:, 0], rtol=1e-10, atol=1e-18)
    np.testing.assert_allclose(
        u[1], -constants.mu_0 * (100 * rate[:, 0] - 200 * rate[:, 1]), rtol=1e-9, atol=1e-18
    )
    peak = np.argmax(np.abs(u[2]))
    moment_rate = np.array([*rate[peak], 0.0])
    expected = -flux_of_dipole(np.array([*place[0], 0.0]), moment_rate, **loop)
    assert u[2, peak] == pytest.approx(expected, rel=1e-8)


def test_a_table_is_exact_for_a_gain_and_a_delay():
    known = np.linspace(0, 1.25e6, 60)
    table = MeasuredTransfer(tuple(known), tuple(0.3 * np.exp(-2j * np.pi * known * 4.8e-6)))
    coils = ReceiveCoils(measured=table)
    u = signal(np.ones(1), np.array([[2e-3, 1e-3]]), DRIVE, GRADIENT, Particles())
    # Twelve samples later, the voltage being periodic; but for the coefficient at 1.25 MHz it is band-limited.
    np.testing.assert_allclose(
        coils.receive(u, 2.5e6), 0.3 * np.roll(u, 12, axis=-1), atol=1e-9 * np.abs(u).max()
    )


def test_a_dense_table_of_a_resonance_is_the_resonance():
    resonant = ReceiveCoils(resonance=400e3, quality=4.0)
    known = np.linspace(0, 1.25e6, 2001)
    tabled = ReceiveCoils(measured=MeasuredTransfer(tuple(known), tuple(resonant.transfer_function(known))))
    arguments = (np.ones(1), np.array([[2e-3, 1e-3]]), DRIVE, GRADIENT, Particles())
    # Linear interpolation between points 625 Hz apart: (h^2/8) |d^2 log H/df^2| < 1e-5 near the resonance.
    expected = signal(*arguments, coils=resonant)
    np.testing.assert_allclose(signal(*arguments, coils=tabled), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("samples", [1632, 1001])
def test_a_correction_undoes_the_chain(samples):
    rng = np.random.default_rng(0)
    known = np.linspace(0, 1.25e6, 50)
    tables = tuple(
        MeasuredTransfer(tuple(known), tuple((1 + k) * np.exp(-known / 1e6 + 1j * known / 2e5)))
        for k in range(2)
    )
    u = rng.standard_normal((2, 3, samples))
    for coils in (ReceiveCoils(measured=tables), ReceiveCoils(resonance=400e3, quality=3.0)):
        received = coils.receive(u, 2.5e6)
        assert np.abs(received - u).max() > 0.1
        np.testing.assert_allclose(coils.correct(received, 2.5e6, smallest=0.0), u, atol=1e-9)
    # Below the bound, coefficients hold noise and are set to zero.
    weak = ReceiveCoils(measured=MeasuredTransfer((0.0, 5e5, 6e5, 1.25e6), (1.0, 1.0, 1e-6, 1e-6)))
    corrected = np.fft.rfft(weak.correct(weak.receive(u, 2.5e6), 2.5e6), axis=-1)
    frequencies = np.fft.rfftfreq(samples, 1 / 2.5e6)
    assert np.abs(corrected[..., frequencies > 6e5]).max() < 1e-9
    low = frequencies <= 5e5
    np.testing.assert_allclose(corrected[..., low], np.fft.rfft(u, axis=-1)[..., low], atol=1e-9)


def test_white_noise_has_its_variance_and_repeats_with_its_seed():
    density, rate = 4e-18, 2.5e6
    found = noise((200, 1632), density, rate, seed=3)
    variance = density * rate / 2
    error = variance * np.sqrt(2 / found.size)
    assert abs(found.var() - variance) < 4 * error
    np.testing.assert_array_equal(found, noise((200, 1632), density, rate, seed=3))
    assert not np.array_equal(found, noise((200, 1632), density, rate, seed=4))


@pytest.mark.parametrize("samples", [1500, 1501])
def test_coloured_noise_has_its_spectral_density_and_energy(samples):
    rate, frames = 2.5e6, 400
    density = flicker_density(1e-17, 200e3)
    found = noise((frames, samples), density, rate, seed=1)
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    expected = np.zeros(len(frequencies))
    expected[1:] = 1e-17 * (1 + 200e3 / frequencies[1:])
    # One-sided periodogram: 2 |X|^2 / (f_s N), but for the real coefficients at the ends.
    power = np.mean(np.abs(np.fft.rfft(found, axis=-1)) ** 2, axis=0) * 2 / (rate * samples)
    inner = slice(1, -1 if samples % 2 == 0 else None)
    # A mean of `frames` exponential numbers; five standard errors over 750 frequencies.
    deviation = np.abs(power[inner] / expected[inner] - 1) * np.sqrt(frames)
    assert deviation.max() < 5
    assert np.mean(deviation**2) == pytest.approx(1.0, abs=0.3)
    if samples % 2 == 0:  # a real coefficient: its square scatters by the root of two
        assert power[-1] / expected[-1] == pytest.approx(1.0, abs=5 * np.sqrt(2 / frames))
    assert np.abs(found.mean(axis=-1)).max() < 1e-20
    # Parseval: the mean square is the integral of the density.
    weights = np.ones(len(frequencies))
    weights[-1] = 0.5 if samples % 2 == 0 else 1.0
    energy = np.sum(weights * expected) * rate / samples
    assert np.mean(found**2) == pytest.approx(energy, rel=0.02)
    scatter = np.sqrt(np.mean(np.abs(np.fft.rfft(found, axis=-1) / samples) ** 2, axis=0))
    np.testing.assert_allclose(scatter[1:], spectral_deviation(density, samples, rate)[1:], rtol=0.2)


def test_a_tabulated_density_holds_its_ends():
    density = tabulated_density(np.array([1e4, 2e4]), np.array([1.0, 3.0]))
    np.testing.assert_allclose(density(np.array([0.0, 1.5e4, 1e6])), [1.0, 2.0, 3.0])


def test_feed_through_holds_harmonics_of_the_drive_only():
    through = FeedThrough((2e-3, 0.0, 3e-4), crosstalk=0.1)
    spectrum = np.abs(np.fft.rfft(through.voltage(DRIVE, 2), axis=-1, norm="forward"))
    # The period holds 16 turns along x and 17 along y.
    for channel, (own, other) in enumerate([(16, 17), (17, 16)]):
        expected = np.zeros(spectrum.shape[1])
        expected[[own, 3 * own, other, 3 * other]] = [1e-3, 1.5e-4, 1e-4, 1.5e-5]
        np.testing.assert_allclose(spectrum[channel], expected, atol=1e-15)


def test_a_drift_warms_up_follows_its_trend_and_walks():
    times = np.array([0.0, 20.0, 1e6])
    np.testing.assert_allclose(
        Drift(warm_up=0.02, warm_up_time=20.0).factor(times), [1.0, 1 + 0.02 * (1 - np.exp(-1)), 1.02]
    )
    np.testing.assert_allclose(Drift(trend=1e-3).factor(times[:2]), [1.0, 1.02])
    # A Wiener process: increments are independent with the variance of the time between.
    walks = np.array([Drift(walk=0.1, seed=seed).factor(np.array([1.0, 5.0])) for seed in range(2000)])
    first, step = walks[:, 0] - 1, np.diff(walks, axis=1)[:, 0]
    for found, variance in ((first, 0.01), (step, 0.04)):
        assert abs(found.var() / variance - 1) < 4 * np.sqrt(2 / 2000)
    assert abs(np.corrcoef(first, step)[0, 1]) < 4 / np.sqrt(2000)
    frames = FeedThrough((1.0,), drift=Drift(trend=0.5)).frames(DRIVE, 2, np.array([0.0, 2.0]))
    np.testing.assert_allclose(frames[1], 2 * frames[0])


def test_measured_frames_are_the_voltage_with_drifting_background_and_averaged_noise():
    density, averages = 4e-18, 5
    u = signal(np.ones(1), np.array([[2e-3, 1e-3]]), DRIVE, GRADIENT, Particles())
    through = FeedThrough((1e-3, 1e-4)).voltage(DRIVE, 2)
    settings = {"background": through, "drift": Drift(trend=0.1), "averages": averages, "frames": 60}
    clean, times = measure(u, 2.5e6, **settings, start=2.0)
    np.testing.assert_allclose(times, 2.0 + (np.arange(60) + 0.5) * 5 * DRIVE.period)
    expected = u + (1 + 0.1 * times)[:, None, None] * through
    np.testing.assert_allclose(clean, expected, atol=1e-15)
    noisy, _ = measure(u, 2.5e6, **settings, start=2.0, density=density, seed=4)
    variance = density * 2.5e6 / 2 / averages
    assert abs((noisy - clean).var() / variance - 1) < 4 * np.sqrt(2 / clean.size)
    # Frames are independent.
    flat = (noisy - clean).reshape(60, -1)
    assert abs(np.mean(flat[1:] * flat[:-1])) < 4 * variance / np.sqrt(flat[1:].size)
    again, _ = measure(u, 2.5e6, **settings, start=2.0, density=density, seed=4)
    np.testing.assert_array_equal(again, noisy)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MeasuredTransfer((1.0,), (1.0,)), "two or more frequencies"),
        (lambda: MeasuredTransfer((1.0, 2.0), (1.0,)), "each with a value"),
        (lambda: MeasuredTransfer((2.0, 1.0), (1.0, 1.0)), "frequencies: expected ascending"),
        (
            lambda: MeasuredTransfer((1.0, 2.0), (1.0, 0.0)),
            "values: expected finite numbers that are not zero",
        ),
        (
            lambda: ReceiveCoils(measured=(MeasuredTransfer((1.0, 2.0), (1.0, 1.0)),)),
            "one table for each of 2 channels",
        ),
        (lambda: ReceiveCoils((1.0, np.nan)), "sensitivities: expected finite numbers"),
        (lambda: ReceiveCoils(((1.0, np.inf),)), "sensitivities: expected finite numbers"),
        (lambda: ReceiveCoils(resonance=-1.0), "resonance: expected a positive number in Hz"),
        (lambda: ReceiveCoils(quality=0.0), "quality: expected a positive number"),
        (lambda: ReceiveCoils().correct(np.ones((2, 4)), 1.0, smallest=1.0), "smallest: expected 0 or more"),
        (
            lambda: ReceiveCoils((1.0,) * 3).sensitivity(np.zeros((1, 2))),
            "at most one channel for each of 2 axes",
        ),
        (lambda: ReceiveCoils(((1.0,),)).sensitivity(np.zeros((1, 2))), "vectors of 2 components"),
        (lambda: CircularLoop(-1.0), "radius: expected a positive number"),
        (lambda: CircularLoop(1.0, normal=(0.0, 0.0, 0.0)), "a direction"),
        (lambda: noise((10,), -1.0, 1.0, seed=0), "density: expected finite numbers of zero or more"),
        (lambda: noise((), 1.0, 1.0, seed=0), "shape: expected one axis or more"),
        (lambda: noise((10,), 1.0, 0.0, seed=0), "sampling_frequency: expected a positive number"),
        (lambda: flicker_density(1.0, -1.0), "corner: expected a positive number"),
        (lambda: tabulated_density(np.array([2.0, 1.0]), np.ones(2)), "ascending frequencies"),
        (lambda: tabulated_density(np.array([1.0, 2.0]), -np.ones(2)), "densities: expected finite numbers"),
        (lambda: Drift(walk=-1.0), "walk of zero or more"),
        (lambda: Drift().factor(np.array([2.0, 1.0])), "times: expected ascending"),
        (
            lambda: measure(np.zeros(4), 1.0),
            r"voltage: expected finite values of shape \(channels, samples\)",
        ),
        (lambda: measure(np.zeros((1, 4)), 1.0, averages=0), "averages: expected a positive number"),
        (lambda: measure(np.zeros((1, 4)), 1.0, start=-9.0), "times: expected ascending numbers of zero"),
        (lambda: FeedThrough((np.nan,)), "harmonics, crosstalk: expected finite"),
    ],
)
def test_bad_chains_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
