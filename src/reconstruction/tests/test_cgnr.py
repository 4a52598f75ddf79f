"""Conjugate gradients against dense solutions of the same equations."""

import array_api_strict
import numpy as np
import pytest

from nixel.reconstruction.mpi import CGNR


@pytest.fixture
def problem():
    rng = np.random.default_rng(11)
    matrix = rng.standard_normal((90, 30)) + 1j * rng.standard_normal((90, 30))
    matrix *= np.logspace(0, -1.5, 30)
    u = matrix @ rng.random((30, 3)) + 0.05 * rng.standard_normal((90, 3))
    return matrix, u


def tikhonov(matrix, u, relative_lambda, *, real):
    """Least squares of the equations with the regularisation's own appended, by a singular value decomposition."""
    voxels = matrix.shape[1]
    root = np.sqrt(relative_lambda * np.linalg.norm(matrix) ** 2 / voxels)
    if real:
        matrix, u = np.concatenate([matrix.real, matrix.imag]), np.concatenate([u.real, u.imag])
    system = np.concatenate([matrix, root * np.eye(voxels)])
    return np.linalg.lstsq(system, np.concatenate([u, np.zeros((voxels, u.shape[1]))]), rcond=None)[0]


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("relative_lambda", [0.0, 1e-3])
def test_reaches_the_least_squares_solution(problem, real, relative_lambda):
    matrix, u = problem
    expected = tikhonov(matrix, u, relative_lambda, real=real)
    found = CGNR(matrix, relative_lambda).solve(u, 120, real=real)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    single = CGNR(matrix.astype(np.complex64), relative_lambda, block=7).solve(u[:, 0], 120, real=real)
    assert single.shape == (30,)
    assert single.dtype == (np.float32 if real else np.complex64)
    np.testing.assert_allclose(single, expected[:, 0], rtol=0, atol=1e-4 * np.abs(expected).max())


def test_ends_after_as_many_steps_as_there_are_singular_values():
    # Three distinct singular values: three steps.
    rng = np.random.default_rng(5)
    left = np.linalg.qr(rng.standard_normal((20, 9)) + 1j * rng.standard_normal((20, 9)))[0]
    right = np.linalg.qr(rng.standard_normal((9, 9)) + 1j * rng.standard_normal((9, 9)))[0]
    matrix = (left * np.repeat([1.0, 2.0, 5.0], 3)) @ right
    truth = rng.standard_normal(9) + 1j * rng.standard_normal(9)
    found = CGNR(matrix, 0.0).solve(matrix @ truth, 3, real=False)
    np.testing.assert_allclose(found, truth, atol=1e-12)
    assert np.abs(CGNR(matrix, 0.0).solve(matrix @ truth, 2, real=False) - truth).max() > 1e-3


def test_stays_at_the_solution(problem):
    matrix, u = problem
    solution = tikhonov(matrix, u, 1e-2, real=True)
    solver = CGNR(matrix, 1e-2)
    found = solver.solve(u, 3, start=solution)
    np.testing.assert_allclose(found, solution, rtol=0, atol=1e-12 * np.abs(solution).max())
    np.testing.assert_array_equal(solver.solve(0 * u, 3), np.zeros((30, 3)))


def test_a_matrix_may_lie_in_a_file(problem, tmp_path):
    matrix, u = problem
    matrix.tofile(tmp_path / "matrix")
    source = np.memmap(tmp_path / "matrix", complex, "r", shape=matrix.shape)
    expected = tikhonov(matrix, u, 1e-2, real=True)
    found = CGNR(source, 1e-2, block=20).solve(u, 120, workers=2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_other_array_libraries(problem):
    torch = pytest.importorskip(
        "torch", reason="PyTorch (its CPU build, requirements/torch.txt) is not installed"
    )
    matrix, u = problem
    for make in (torch.asarray, array_api_strict.asarray):
        for real in (True, False):
            expected = tikhonov(matrix, u, 1e-2, real=real)
            found = CGNR(make(matrix), 1e-2, block=40).solve(make(u.astype(complex)), 120, real=real)
            assert type(found) is type(make(u))
            np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CGNR(np.ones((3, 3)), 0.1), "expected complex values"),
        (lambda: CGNR(np.full((3, 3), np.nan + 0j), 0.1), "expected finite"),
        (lambda: CGNR(np.ones((3, 3), complex), np.nan), "relative_lambda: expected a finite number"),
        (lambda: CGNR(np.ones((3, 3), complex), 0, block=-1), "block: expected at least one row"),
        (lambda: CGNR(np.ones((3, 3), complex), 0).solve(np.ones(2), 1), r"expected shape \(3,\)"),
        (lambda: CGNR(np.ones((3, 3), complex), 0).solve(np.ones(3), 1.5), "iterations: expected an integer"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
