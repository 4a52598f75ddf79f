"""FISTA against optimality conditions, closed forms and general-purpose optimisers."""

import array_api_strict
import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from nixel.reconstruction.mpi import FISTA
from nixel.reconstruction.mpi.total_variation import TotalVariationDenoiser, differences, divergence


@pytest.fixture
def problem():
    rng = np.random.default_rng(13)
    matrix = rng.standard_normal((60, 24)) + 1j * rng.standard_normal((60, 24))
    truth = np.where(rng.random((24, 2)) > 0.6, rng.random((24, 2)), 0.0)
    noise = rng.standard_normal((60, 2)) + 1j * rng.standard_normal((60, 2))
    return matrix, matrix @ truth + 0.3 * noise


def test_without_weights_it_is_non_negative_least_squares(problem):
    matrix, u = problem
    found = FISTA(matrix).solve(u, 400)
    for frame in range(2):
        stacked = np.concatenate([matrix.real, matrix.imag])
        expected, _ = nnls(stacked, np.concatenate([u[:, frame].real, u[:, frame].imag]))
        np.testing.assert_allclose(found[:, frame], expected, atol=1e-10)


@pytest.mark.parametrize(("real", "non_negative"), [(True, True), (True, False), (False, False)])
def test_l1_meets_the_conditions_of_its_optimum(problem, real, non_negative):
    matrix, u = problem
    weight = 0.2 * np.linalg.norm(matrix) ** 2 / 24
    correlation = matrix.conj().T @ u
    scale = np.abs(correlation.real if real else correlation).max(axis=0)
    solver = FISTA(matrix, relative_lambda=0.2, l1=0.25)
    x = solver.solve(u, 400, real=real, non_negative=non_negative)
    slope = matrix.conj().T @ (matrix @ x - u) + weight * x
    slope = (slope.real if real else slope) / (0.25 * scale)
    off = np.abs(x) < 1e-9
    assert 0 < off.sum() < off.size
    sign = x / np.where(off, 1.0, np.abs(x))
    np.testing.assert_allclose(slope[~off], -sign[~off], atol=1e-8)
    if non_negative:
        assert (slope[off] >= -1 - 1e-8).all()
        assert (x >= 0).all()
    else:
        assert (np.abs(slope[off]) <= 1 + 1e-8).all()


def test_a_weight_of_one_leaves_nothing(problem):
    matrix, u = problem
    assert not FISTA(matrix, l1=1.0).solve(u, 50, non_negative=False).any()
    assert FISTA(matrix, l1=0.9).solve(u, 50, non_negative=False).any()


@pytest.fixture
def steps():
    rng = np.random.default_rng(17)
    matrix = rng.standard_normal((14, 9)) + 1j * rng.standard_normal((14, 9))
    u = matrix @ np.repeat([0.0, 2.0, -0.5], 3)
    return matrix, u + 0.5 * (rng.standard_normal(14) + 1j * rng.standard_normal(14))


def test_total_variation_meets_the_conditions_of_its_optimum(steps):
    # In one dimension: the running sum of the slope is w z, with z the jump's sign, or between -1 and 1 without one.
    matrix, u = steps
    weight = 0.15 * np.abs((matrix.conj().T @ u).real).max()
    x = FISTA(matrix, total_variation=0.15, grid=(9,)).solve(u, 1000, non_negative=False)
    z = np.cumsum((matrix.conj().T @ (matrix @ x - u)).real) / weight
    jump = np.diff(x)
    flat = np.abs(jump) < 1e-6
    assert 0 < flat.sum() < 8
    assert z[-1] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(z[:-1][~flat], np.sign(jump[~flat]), atol=1e-6)
    assert (np.abs(z[:-1][flat]) <= 1 + 1e-6).all()


def test_total_variation_against_a_general_optimiser(steps):
    matrix, u = steps
    n = 9
    weight = 0.15 * np.abs((matrix.conj().T @ u).real).max()

    # Smooth with auxiliary variables: minimise 1/2 ||A x - u||^2 + w sum t with -t <= D x <= t.
    step = np.diff(np.eye(n), axis=0)

    def cost(z):
        residual = matrix @ z[:n] - u
        slope = (matrix.conj().T @ residual).real
        value = 0.5 * np.vdot(residual, residual).real + weight * z[n:].sum()
        return value, np.concatenate([slope, np.full(n - 1, weight)])

    above = np.hstack([-step, np.eye(n - 1)])
    below = np.hstack([step, np.eye(n - 1)])
    both = np.vstack([above, below])
    reference = minimize(
        cost,
        np.ones(2 * n - 1),
        jac=True,
        method="SLSQP",
        bounds=[(0, None)] * (2 * n - 1),
        constraints={"type": "ineq", "fun": lambda z: both @ z, "jac": lambda z: both},
        options={"maxiter": 2000, "ftol": 1e-10},
    )
    assert reference.success
    found = FISTA(matrix, total_variation=0.15, grid=(n,)).solve(u, 800)
    np.testing.assert_allclose(found, reference.x[:n], atol=1e-4)


def test_total_variation_of_a_step_moves_its_levels_together():
    # Each level of m voxels moves by w / m for each edge: closed form of one-dimensional denoising.
    image = np.repeat([1.0, 5.0], [4, 10])[:, None]
    denoise = TotalVariationDenoiser(1, 3000, non_negative=False)
    found = denoise(image, np.array([2.0]))[:, 0]
    np.testing.assert_allclose(found, np.repeat([1.5, 4.8], [4, 10]), atol=1e-6)


def test_total_variation_of_a_strong_weight_leaves_the_mean():
    rng = np.random.default_rng(3)
    image = rng.standard_normal((4, 5, 6, 2))
    found = TotalVariationDenoiser(3, 3000, non_negative=False)(image, np.array([100.0, 0.0]))
    np.testing.assert_allclose(found[..., 0], image[..., 0].mean(), atol=1e-6)
    np.testing.assert_allclose(found[..., 1], image[..., 1], atol=1e-12)


def test_divergence_is_the_negated_adjoint_of_the_differences():
    rng = np.random.default_rng(4)
    image, fields = rng.standard_normal((3, 1, 5)), list(rng.standard_normal((3, 3, 1, 5)))
    forward = sum(np.vdot(d, f) for d, f in zip(differences(image, 3), fields, strict=True))
    assert forward == pytest.approx(-np.vdot(image, divergence(fields)), rel=1e-12)
    ramp = np.arange(5.0) * np.ones((3, 1, 1))
    np.testing.assert_array_equal(differences(ramp, 3)[2][..., :4], 1.0)


def test_a_plateau_comes_back_from_fewer_equations_than_voxels():
    # 44 real equations for 64 voxels: least squares cannot tell, a small gradient can.
    rng = np.random.default_rng(19)
    matrix = (rng.standard_normal((22, 64)) + 1j * rng.standard_normal((22, 64))).astype(np.complex64)
    truth = np.zeros((8, 8))
    truth[2:6, 2:6] = 1.0
    u = matrix @ truth.ravel()
    plain = FISTA(matrix).solve(u, 300, non_negative=False)
    flat = FISTA(matrix, total_variation=1e-3, grid=(8, 8)).solve(u, 300, non_negative=False)
    assert flat.dtype == np.float32
    assert np.linalg.norm(plain - truth.ravel()) > 1
    assert np.linalg.norm(flat - truth.ravel()) < 0.1


@pytest.mark.parametrize("options", [{"l1": 0.25}, {"l1": 0.05, "total_variation": 0.1, "grid": (4, 6)}])
def test_other_array_libraries(problem, options):
    torch = pytest.importorskip(
        "torch", reason="PyTorch (its CPU build, requirements/torch.txt) is not installed"
    )
    matrix, u = problem
    expected = FISTA(matrix, **options).solve(u, 30)
    for make in (torch.asarray, array_api_strict.asarray):
        found = FISTA(make(matrix), **options).solve(make(u), 30)
        assert type(found) is type(make(u))
        np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=1e-10)
        single = FISTA(make(matrix.astype(np.complex64)), **options).solve(make(u.astype(np.complex64)), 30)
        assert np.asarray(single).dtype == np.float32
        np.testing.assert_allclose(np.asarray(single), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FISTA(np.ones((3, 3))), "expected complex values"),
        (lambda: FISTA(np.zeros((3, 3), complex)), "expected values other than zero"),
        (lambda: FISTA(np.ones((3, 3), complex), l1=-1), "l1: expected zero or more"),
        (lambda: FISTA(np.ones((3, 3), complex), total_variation=1), "grid: expected the shape"),
        (lambda: FISTA(np.ones((3, 3), complex), total_variation=1, grid=(2, 2)), "a shape of 3 voxels"),
        (
            lambda: FISTA(np.ones((3, 3), complex), total_variation=1, l1=1, grid=(3,)).solve(
                np.ones(3), 1, non_negative=False
            ),
            "together with l1",
        ),
        (
            lambda: FISTA(np.ones((3, 3), complex), total_variation=1, grid=(3,)).solve(
                np.ones(3), 1, real=False, non_negative=False
            ),
            "total_variation: needs real",
        ),
        (lambda: FISTA(np.ones((3, 3), complex)).solve(np.ones(3), 1, real=False), "needs real"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
