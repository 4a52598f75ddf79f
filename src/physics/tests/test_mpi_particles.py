"""Tracer: rates against differentiated magnetisation, size distributions against integrals, Debye's closed forms."""

import numpy as np
import pytest
from scipy import constants
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

from nixel.physics.mpi import (
    DriveField,
    Particles,
    ReceiveCoils,
    brownian_time,
    magnetisation,
    magnetisation_rate,
    signal,
)
from nixel.physics.mpi.langevin import langevin_curvature, langevin_over_xi, langevin_pair

SATURATION, TEMPERATURE = 474e3, 293.15
PER_IRON = SATURATION * 0.231533 / (3 * 5175.0)


def by_number(field, median, deviation):
    """Magnetisation per mol(Fe)/m^3, integrated over a distribution of the number of particles."""

    def moment(diameter):
        return SATURATION * np.pi / 6 * diameter**3

    def density(logarithm):
        return np.exp(-0.5 * ((logarithm - np.log(median)) / deviation) ** 2)

    def aligned(logarithm):
        m = moment(np.exp(logarithm))
        xi = m * field / (constants.k * TEMPERATURE)
        return density(logarithm) * m * (1 / np.tanh(xi) - 1 / xi)

    # Weighted with the moment the distribution peaks three variances higher.
    middle = np.log(median) + 3 * deviation**2
    span = (middle - 9 * deviation, middle + 9 * deviation)
    settings = {"limit": 200, "epsabs": 0, "epsrel": 1e-11}
    total = quad(lambda q: density(q) * moment(np.exp(q)), *span, **settings)[0]
    return PER_IRON * quad(aligned, *span, **settings)[0] / total


@pytest.mark.parametrize(("deviation", "bound"), [(0.1, 1e-10), (0.2, 1.3e-7), (0.3, 1.5e-5), (0.4, 1.7e-4)])
def test_a_distribution_is_the_integral_over_the_number_of_particles(deviation, bound):
    particles = Particles(20e-9, size_deviation=deviation)
    for field in (0.5e-3, 2e-3, 5e-3, 20e-3):
        expected = by_number(field, 20e-9, deviation)
        assert magnetisation(np.array([field]), particles)[0] == pytest.approx(expected, rel=bound)


@pytest.mark.parametrize("deviation", [0.05, 0.2, 0.4])
def test_susceptibility_and_approach_to_saturation_have_chantrells_moments(deviation):
    # Chantrell et al. (1978): the initial susceptibility goes with <d^6>/<d^3>, saturation is approached with
    # <1>/<d^3>; of a log-normal distribution <d^n> = d0^n exp(n^2 s^2 / 2).
    particles = Particles(20e-9, size_deviation=deviation, sizes=31)
    beta = SATURATION * np.pi / 6 * 20e-9**3 / (constants.k * TEMPERATURE)
    small = 1e-9
    slope = magnetisation(np.array([small]), particles)[0] / small
    assert slope == pytest.approx(PER_IRON * beta / 3 * np.exp((36 - 9) * deviation**2 / 2), rel=1e-8)
    large = 1e4
    missing = 1 - magnetisation(np.array([large]), particles)[0] / PER_IRON
    assert missing == pytest.approx(np.exp(-9 * deviation**2 / 2) / (beta * large), rel=1e-6)


def test_the_shares_of_a_distribution_have_the_moments_of_the_volume():
    particles = Particles(20e-9, size_deviation=0.3)
    diameters, shares = np.array(particles.distribution).T
    assert shares.sum() == pytest.approx(1.0, rel=1e-14)
    for n in range(-3, 5):
        expected = 20e-9**n * np.exp(3 * n * 0.3**2 + n**2 * 0.3**2 / 2)
        assert (shares * diameters**n).sum() == pytest.approx(expected, rel=1e-12)


def test_a_narrow_distribution_is_one_size():
    field = np.linspace(0, 20e-3, 7)[:, None]
    one = magnetisation(field, Particles())
    for deviation in (1e-2, 1e-3):  # the first correction is of second order: (27/2) s^2 at small fields
        found = magnetisation(field, Particles(size_deviation=deviation))
        np.testing.assert_allclose(found, one, rtol=14 * deviation**2)
    np.testing.assert_array_equal(magnetisation(field, Particles(size_deviation=0.0)), one)


@pytest.mark.parametrize("particles", [Particles(), Particles(18e-9, size_deviation=0.25)])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_rate_is_the_derivative_of_the_magnetisation(particles, axes):
    # Four-point differences of M along a path that passes close to zero field.
    rng = np.random.default_rng(axes)
    start, rate = rng.uniform(-8e-3, 8e-3, (40, axes)), rng.uniform(-1.0, 1.0, (40, axes))
    start[0] = 0.0
    h = 1e-6

    def at(t):
        return magnetisation(start + t * rate, particles)

    expected = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    found = magnetisation_rate(start, rate, particles)
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())


def test_the_field_at_half_of_the_largest_slope_is_the_published_one():
    # 25 nm magnetite at 20 degC: dM/dB along the field, and across it (the wide direction), at half maximum.
    beta = 474e3 * np.pi / 6 * 25e-9**3 / (constants.k * 293.15)

    def slope(strength, direction):
        return magnetisation_rate(np.array([strength, 0.0]), np.array(direction), Particles())

    for axis, direction, in_xi in ((0, [1.0, 0.0], 4.16105), (1, [0.0, 1.0], 9.46664)):
        peak = slope(0.0, direction)[axis]
        half = brentq(lambda b: slope(b, direction)[axis] - peak / 2, 1e-4, 1e-1, xtol=1e-15)  # noqa: B023
        assert 2 * half * beta == pytest.approx(in_xi, abs=1e-5)
        if axis == 0:
            assert 2 * half == pytest.approx(4.34e-3, abs=5e-6)


def test_magnetisation_is_linear_in_concentration_and_points_along_the_field():
    field = np.array([[3e-3, -4e-3, 0.0], [0.0, 0.0, 0.0]])
    found = magnetisation(field, Particles(), concentration=3.0)
    np.testing.assert_allclose(found, 3.0 * magnetisation(field, Particles()), rtol=1e-15)
    np.testing.assert_allclose(np.cross(found, field), 0.0, atol=1e-15)
    np.testing.assert_array_equal(found[1], 0.0)


def test_both_factors_at_once_are_each_for_itself():
    xi = np.concatenate([[0.0], np.geomspace(1e-6, 2000, 400)])
    over_xi, curvature = langevin_pair(xi)
    np.testing.assert_allclose(over_xi, langevin_over_xi(xi), rtol=2e-14)
    np.testing.assert_allclose(curvature, langevin_curvature(xi), rtol=2e-11)


def one_axis(particles, amplitude, divider=100):
    """Voltage of one particle sample in the centre of a coil of 1/m, one drive axis."""
    drive = DriveField(2.5e6, (divider,), (amplitude,))
    coils = ReceiveCoils((1.0,))
    u = signal(np.ones(1), np.zeros((1, 1)), drive, (1.0,), particles, coils=coils, voxel_volume=1.0)
    return drive, u[0] / -constants.mu_0


@pytest.mark.parametrize("tau", [1e-7, 6.366e-6, 1e-4])
def test_debye_relaxation_of_a_small_harmonic(tau):
    # M_eq = chi A sin(w t): M lags by atan(w tau) and is smaller by sqrt(1 + (w tau)^2).
    amplitude = 1e-7
    drive, rate = one_axis(Particles(relaxation_time=tau), amplitude)
    omega = 2 * np.pi * 25e3
    chi = PER_IRON * Particles().xi_per_tesla / 3
    lag = np.arctan(omega * tau)
    expected = chi * amplitude * omega * np.cos(omega * drive.times() - lag) / np.hypot(1, omega * tau)
    np.testing.assert_allclose(rate, expected, atol=1e-9 * chi * amplitude * omega)


@pytest.mark.parametrize("tau", [2e-6, 2e-5])
def test_debye_relaxation_solves_its_differential_equation(tau):
    # Integrated in time, from rest until the state repeats itself; far from linear: 12 mT.
    particles = Particles(relaxation_time=tau)
    drive, rate = one_axis(particles, 12e-3)
    omega, beta = 2 * np.pi * 25e3, particles.xi_per_tesla

    def equilibrium(t):
        xi = beta * 12e-3 * np.sin(omega * t)
        return PER_IRON * (xi / 3 if abs(xi) < 1e-5 else 1 / np.tanh(xi) - 1 / xi)

    period, settle = 1 / 25e3, 30
    solution = solve_ivp(
        lambda t, m: (equilibrium(t) - m) / tau, (0, (settle + 1) * period), [0.0],
        t_eval=settle * period + drive.times(), rtol=1e-9, atol=1e-12 * PER_IRON, method="DOP853",
    )  # fmt: skip
    expected = [(equilibrium(t) - m) / tau for t, m in zip(drive.times(), solution.y[0], strict=True)]
    np.testing.assert_allclose(rate, expected, atol=2e-5 * np.abs(expected).max())


def test_debye_relaxation_of_a_step():
    # A square wave's Fourier series, each term delayed, is the exponential approach to each step.
    tau, period = 3e-6, 40e-6
    particles = Particles(relaxation_time=tau)
    times = np.linspace(0.5e-6, 19.5e-6, 39)
    order = np.arange(1, 40001, 2)
    coefficients = 4 / (np.pi * order) * particles.delay(order / period)
    found = np.array([np.sum((coefficients * np.exp(2j * np.pi * order * t / period)).imag) for t in times])
    expected = 1 - 2 * np.exp(-times / tau) / (1 + np.exp(-period / 2 / tau))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_brownian_time_of_a_textbook_particle():
    # 3 eta V / kT: a hydrodynamic diameter of 100 nm in water of 1 mPa s at 293.15 K takes 0.39 ms.
    assert brownian_time(100e-9) == pytest.approx(3.881e-4, rel=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Particles(size_deviation=-0.1), "size_deviation: expected zero or more"),
        (lambda: Particles(relaxation_time=np.nan), "relaxation_time: expected a finite number"),
        (lambda: Particles(sizes=0), "sizes: expected one node or more"),
        (lambda: Particles(temperature=np.inf), "temperature: expected a positive number"),
        (lambda: brownian_time(0.0), "hydrodynamic_diameter: expected a positive number"),
    ],
)
def test_bad_particles_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
