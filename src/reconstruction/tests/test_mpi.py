"""System-matrix reconstruction against the plain row action, closed forms and a simulated scanner."""

import numpy as np
import pytest

from nixel.physics.grid import Grid
from nixel.physics.mpi import DriveField, Particles, signal, system_function
from nixel.physics.phantoms import phantom
from nixel.reconstruction.mpi import (
    Kaczmarz,
    SystemMatrixReconstruction,
    background_at,
    select_frequencies,
    signal_to_noise,
    spectra,
    without_drift,
)


def plain_kaczmarz(matrix, u, relative_lambda, iterations, *, constrain):
    """The row action exactly as it is defined, a row at a time, in double precision."""
    rows, voxels = matrix.shape
    weight = relative_lambda * np.linalg.norm(matrix) ** 2 / voxels
    x, v = np.zeros(voxels, dtype=complex), np.zeros(rows, dtype=complex)
    for _ in range(iterations):
        for k in range(rows):
            a = matrix[k]
            beta = (u[k] - a @ x - np.sqrt(weight) * v[k]) / (np.linalg.norm(a) ** 2 + weight)
            x = x + beta * a.conj()
            v[k] += np.sqrt(weight) * beta
        if constrain:
            x = np.maximum(x.real, 0).astype(complex)
    return x


@pytest.fixture
def problem():
    rng = np.random.default_rng(7)
    matrix = rng.standard_normal((150, 40)) + 1j * rng.standard_normal((150, 40))
    truth = rng.random(40) * (rng.random(40) > 0.5)
    noise = rng.standard_normal(150) + 1j * rng.standard_normal(150)
    return matrix, matrix @ truth + 0.1 * noise, truth


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("constrain", [True, False])
def test_blocks_give_the_iterates_of_the_plain_row_action(problem, block, constrain):
    matrix, u, _ = problem
    expected = plain_kaczmarz(matrix, u, 0.3, 3, constrain=constrain)
    solver = Kaczmarz(matrix, 0.3, block=block)
    found = solver.solve(u, 3, real=constrain, non_negative=constrain)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    single = Kaczmarz(matrix.astype(np.complex64), 0.3, block=block)
    found = single.solve(u, 3, real=constrain, non_negative=constrain)
    assert found.dtype == (np.float32 if constrain else np.complex64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_many_sweeps_reach_the_tikhonov_solution(problem):
    matrix, u, _ = problem
    weight = 0.5 * np.linalg.norm(matrix) ** 2 / matrix.shape[1]
    normal = matrix.conj().T @ matrix + weight * np.eye(matrix.shape[1])
    expected = np.linalg.solve(normal, matrix.conj().T @ u)
    found = Kaczmarz(matrix, 0.5).solve(u, 400, real=False, non_negative=False)
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())


def test_frames_together_are_frames_one_by_one(problem):
    matrix, u, _ = problem
    solver = Kaczmarz(matrix, 0.1)
    together = solver.solve(np.stack([u, 2 * u, u[::-1]], axis=1), 2)
    for index, frame in enumerate((u, 2 * u, u[::-1])):
        np.testing.assert_allclose(together[:, index], solver.solve(frame, 2), atol=1e-12)


def test_rows_without_energy_change_nothing(problem):
    matrix, u, _ = problem
    padded = np.concatenate([np.zeros((3, 40)), matrix])
    found = Kaczmarz(padded, 0.0).solve(np.concatenate([np.ones(3), u]), 2)
    np.testing.assert_allclose(found, Kaczmarz(matrix, 0.0).solve(u, 2), atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Kaczmarz(np.ones((3, 3)), 0.1), "expected complex values"),
        (lambda: Kaczmarz(np.full((3, 3), np.nan + 0j), 0.1), "expected finite"),
        (lambda: Kaczmarz(np.ones((3, 3), complex), -1), "relative_lambda: expected zero or more"),
        (
            lambda: Kaczmarz(np.ones((3, 3), complex), 0.1).solve(np.ones(4, complex), 1),
            r"expected shape \(3,\)",
        ),
        (lambda: Kaczmarz(np.ones((3, 3), complex), 0.1).solve(np.ones(3, complex), -1), "iterations"),
        (
            lambda: Kaczmarz(np.ones((3, 3), complex), 0.1).solve(np.ones(3, complex), 1, real=False),
            "needs real",
        ),
        (lambda: signal_to_noise(np.ones((4, 1, 3), complex), np.ones((1, 1, 3), complex)), "at least two"),
        (
            lambda: select_frequencies(np.ones((1, 4)), np.arange(4.0), threshold=9, band=(0, 4)),
            "the best has 1",
        ),
        (lambda: background_at(np.ones((0, 3)), np.ones(0), np.ones(2)), "one time for each frame"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


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
    found = background_at(np.stack([when, np.full(4, 5.0)], axis=1), when, times)
    np.testing.assert_allclose(found[:, 0], times)
    np.testing.assert_allclose(found[:, 1], 5.0)


def test_background_before_all_frames_is_its_mean():
    found = background_at(np.array([[1.0], [3.0]]), np.array([0.0, 1.0]), np.array([5.0, 6.0]))
    np.testing.assert_allclose(found, [[2.0], [2.0]])


def test_noise_is_told_from_drift():
    rng = np.random.default_rng(5)
    noise = 0.5 * rng.standard_normal((4000, 1))
    drift = np.linspace(0.0, 100.0, 4000)[:, None]
    found = without_drift(noise + drift)
    assert np.std(found) == pytest.approx(0.5, rel=0.05)
    with pytest.raises(ValueError, match="at least three frames"):
        without_drift(noise[:2])


def test_signal_to_noise_of_known_noise():
    rng = np.random.default_rng(3)
    background = 0.5 * (rng.standard_normal((4000, 1, 2)) + 1j * rng.standard_normal((4000, 1, 2)))
    matrix = np.full((9, 1, 2), 7.0 + 0j)
    # The standard deviation of a complex number with 0.5 in each part is sqrt(0.5).
    np.testing.assert_allclose(signal_to_noise(matrix, background), 7 / np.sqrt(0.5), rtol=0.05)


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
