"""The MPI forward model against closed forms and published figures."""

import numpy as np
import pytest
from scipy.optimize import brentq

from nixel.physics.grid import Grid
from nixel.physics.mpi import (
    DriveField,
    Particles,
    ReceiveCoils,
    langevin,
    langevin_derivative,
    signal,
    system_function,
    thermal_noise,
)
from nixel.physics.mpi.langevin import langevin_curvature, langevin_over_xi
from nixel.physics.phantoms import PHANTOMS, phantom

GRADIENT = (-1.25, -1.25, 2.5)
DRIVE = DriveField(2.5e6, (102, 96), (12e-3, 12e-3))


def full_width_at_half_maximum(function, peak):
    return 2 * brentq(lambda xi: float(function(np.array([xi]))[0]) - peak / 2, 0.5, 20.0, xtol=1e-12)


def test_widths_are_the_published_ones():
    # Rahmer et al., BMC Med. Imaging 9:4 (2009): 4.16 in xi; Goodwill and Conolly, IEEE TMI 29 (2010): 9.47.
    assert full_width_at_half_maximum(langevin_derivative, 1 / 3) == pytest.approx(4.16105, abs=2e-5)
    assert full_width_at_half_maximum(langevin_over_xi, 1 / 3) == pytest.approx(9.46664, abs=2e-5)


def test_width_in_tesla_of_25_nm_magnetite():
    assert 4.16105 / Particles(25e-9, 474e3, 293.15).xi_per_tesla == pytest.approx(4.34e-3, rel=2e-3)


@pytest.mark.parametrize("xi", [1e-9, 1e-4, 0.1, 0.69999, 0.70001, 3.0, 40.0, 900.0])
def test_langevin_agrees_with_high_precision(xi):
    # Independent: Lambert's continued fraction, tanh(x) = x/(1 + x^2/(3 + ...)), gives L without cancelling:
    # coth(x) - 1/x = x/(3 + x^2/(5 + x^2/(7 + ...))).
    tail = 0.0
    for odd in range(4001, 3, -2):
        tail = xi * xi / (odd + tail)
    expected = xi / (3.0 + tail)
    assert langevin(np.array([xi]))[0] == pytest.approx(expected, rel=1e-13)
    assert langevin(np.array([-xi]))[0] == pytest.approx(-expected, rel=1e-13)


def test_derivatives_are_derivatives():
    xi = np.array([0.01, 0.3, 0.65, 0.75, 1.5, 6.0])
    h = 1e-4
    central = (langevin(xi + h) - langevin(xi - h)) / (2 * h)
    np.testing.assert_allclose(langevin_derivative(xi), central, rtol=1e-7)
    slope = (langevin_over_xi(xi + h) - langevin_over_xi(xi - h)) / (2 * h)
    np.testing.assert_allclose(langevin_curvature(xi) * xi, slope, atol=1e-9)
    assert langevin_curvature(np.array([0.0]))[0] == pytest.approx(-2 / 45, rel=1e-14)


def test_lissajous_period_of_the_three_dimensional_scanner():
    drive = DriveField(2.5e6, (102, 96, 99), (12e-3,) * 3)
    assert drive.period == pytest.approx(21.5424e-3, rel=1e-12)
    assert DRIVE.samples == 1632


def test_saturated_particles_at_one_point_follow_the_field():
    # One drive axis, no gradient: M = M_s L(beta B(t)), so the voltage is the derivative of a known function.
    drive = DriveField(2.5e6, (100, 100), (20e-3, 0.0))
    particles = Particles()
    u = signal(np.array([2.0]), np.zeros((1, 2)), drive, (0.0, 0.0), particles, voxel_volume=1e-9)
    t = drive.times()
    xi = particles.xi_per_tesla * drive.field(t)[:, 0]
    rate = drive.field_rate(t)[:, 0]
    expected = (
        -4e-7 * np.pi * 1e-9 * 1000.0 * 2.0 * particles.magnetisation_per_iron
        * langevin_derivative(xi) * particles.xi_per_tesla * rate
    )  # fmt: skip
    np.testing.assert_allclose(u[0], expected, rtol=1e-8)
    np.testing.assert_allclose(u[1], 0.0, atol=1e-20)


def test_signal_is_the_system_function_times_the_concentration():
    grid = Grid((5, 7), (20e-3, 20e-3))
    concentration = np.random.default_rng(0).random(35)
    arguments = (grid.positions(), DRIVE, GRADIENT, Particles())
    coils = ReceiveCoils((1000.0, 800.0), resonance=400e3, quality=3.0)
    matrix = system_function(*arguments, coils=coils)
    np.testing.assert_allclose(
        signal(concentration, *arguments, coils=coils), matrix @ concentration, rtol=1e-9, atol=1e-18
    )


def test_voltage_has_no_mean_and_a_centred_point_only_odd_harmonics():
    # The magnetisation is periodic, so its derivative has no mean but for what sampling folds down from above
    # 1.25 MHz; under B -> -B it changes sign, so one axis gives odd harmonics only (Rahmer et al., 2009).
    u = signal(np.array([1.0]), np.zeros((1, 2)), DRIVE, GRADIENT, Particles())
    spectrum = np.abs(np.fft.rfft(u, axis=-1))
    assert (spectrum[:, 0] < 1e-6 * spectrum.max()).all()
    drive = DriveField(2.5e6, (102, 96), (12e-3, 0.0))
    u = signal(np.array([1.0]), np.zeros((1, 2)), drive, GRADIENT, Particles())
    spectrum = np.abs(np.fft.rfft(u[0]))
    odd = np.arange(len(spectrum)) % 32 == 16  # the drive frequency is 16 times the repetition rate
    assert spectrum[~odd].max() < 1e-12 * spectrum[odd].max()


def test_moving_a_point_to_its_mirror_image_turns_the_voltage_round():
    # x -> -x with the field reversed in time by half a period of each axis: |u| spectra agree.
    point = np.array([[3e-3, -1e-3]])
    arguments = (DRIVE, GRADIENT, Particles())
    one = np.abs(np.fft.rfft(system_function(point, *arguments)[..., 0], axis=-1))
    other = np.abs(np.fft.rfft(system_function(-point, *arguments)[..., 0], axis=-1))
    np.testing.assert_allclose(one, other, atol=1e-9 * one.max())


def test_resonance_has_its_quality_at_its_frequency():
    coils = ReceiveCoils((1.0,), resonance=300e3, quality=5.0)
    assert abs(coils.transfer_function(np.array([300e3]))[0]) == pytest.approx(5.0)
    assert coils.transfer_function(np.array([0.0]))[0] == 1.0


def test_thermal_noise_of_a_kiloohm():
    # The textbook figure: 1 kilohm at 300 K gives 4.07 nV per root hertz.
    assert thermal_noise(1e3, 300.0, 1.0) == pytest.approx(4.07e-9, rel=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DriveField(0.0, (102, 96), (1e-3, 1e-3)), "base_frequency: expected a positive number"),
        (lambda: DriveField(2.5e6, (102, 96), (1e-3,)), "one amplitude for each of 2 dividers"),
        (lambda: DriveField(2.5e6, (102, 1), (1e-3, 1e-3)), "dividers: expected an integer of 2 or more"),
        (lambda: Particles(core_diameter=-1.0), "core_diameter: expected a positive number"),
        (lambda: ReceiveCoils(()), "expected one for each channel"),
        (lambda: system_function(np.zeros((3, 3)), DRIVE, GRADIENT, Particles()), r"shape \(voxels, 2\)"),
        (
            lambda: system_function(np.full((3, 2), np.nan), DRIVE, GRADIENT, Particles()),
            "expected finite numbers",
        ),
        (lambda: signal(np.ones(4), np.zeros((3, 2)), DRIVE, GRADIENT, Particles()), r"shape \(3,\)"),
        (lambda: phantom("heart"), "expected one of stenosis, dots"),
        (lambda: Grid((0, 3), (1.0, 1.0)), "at least one voxel"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_grid_is_centred_and_counts_x_fastest():
    grid = Grid((2, 3), (2e-3, 6e-3), thickness=1e-3)
    np.testing.assert_allclose(grid.positions()[:2], [[-2e-3, -0.5e-3], [0.0, -0.5e-3]])
    np.testing.assert_allclose(grid.positions().mean(axis=0), 0.0, atol=1e-18)
    assert grid.voxel_volume == pytest.approx(2e-9)


@pytest.mark.parametrize("name", sorted(PHANTOMS))
def test_a_phantom_keeps_its_iron_on_any_grid(name):
    coarse, fine = Grid((20, 20), (20e-3, 20e-3)), Grid((80, 80), (20e-3, 20e-3))
    iron = [phantom(name).rasterise(g, oversampling=16).sum() * g.voxel_volume for g in (coarse, fine)]
    assert iron[0] == pytest.approx(iron[1], rel=5e-3)
    assert iron[0] > 0
