"""The block form against the plain row action, closed forms, files and other array libraries."""

import threading
from concurrent.futures import ThreadPoolExecutor

import array_api_strict
import h5py
import numpy as np
import pytest

from nixel.reconstruction.mpi import Kaczmarz, SelectedRows, row_action
from nixel.reconstruction.mpi.column_sweep import ColumnSweep


def plain_kaczmarz(matrix, u, relative_lambda, iterations, *, constrain, start=None):
    """The row action exactly as it is defined, a row at a time, in double precision."""
    rows, voxels = matrix.shape
    weight = relative_lambda * np.linalg.norm(matrix) ** 2 / voxels
    x = np.zeros(voxels, dtype=complex) if start is None else start.astype(complex)
    v = np.zeros(rows, dtype=complex)
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


@pytest.mark.parametrize("block", [None, 1, 7, 64, 1000])
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


@pytest.mark.parametrize("block", [None, 1, 7, 150, 1000])
@pytest.mark.parametrize("workers", [2, 3, 64])
@pytest.mark.parametrize("constrain", [True, False])
def test_threads_with_voxels_of_their_own_give_the_iterates_of_the_plain_row_action(
    problem, block, workers, constrain
):
    matrix, u, truth = problem
    expected = plain_kaczmarz(matrix, u, 0.3, 3, constrain=constrain, start=truth)
    for dtype, limit in ((np.complex128, 1e-12), (np.complex64, 1e-5)):
        solver = Kaczmarz(matrix.astype(dtype), 0.3, block=block)
        found = solver.solve(u, 3, real=constrain, non_negative=constrain, workers=workers, start=truth)
        assert found.dtype == (np.empty(0, dtype).real.dtype if constrain else dtype)
        np.testing.assert_allclose(found, expected, rtol=0, atol=limit * np.abs(expected).max())


def test_several_threads_may_solve_with_one_solver(problem):
    matrix, u, _ = problem
    solver = Kaczmarz(matrix, 0.1, block=7)
    measured = [factor * u for factor in (1.0, 2.0, 3.0, 4.0)]
    expected = [plain_kaczmarz(matrix, each, 0.1, 20, constrain=True).real for each in measured]
    with ThreadPoolExecutor(len(measured)) as pool:
        found = list(pool.map(lambda each: solver.solve(each, 20, workers=2), measured))
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * want.max())


def test_the_same_number_of_threads_gives_the_same_bits(problem):
    matrix, u, _ = problem
    solver = Kaczmarz(matrix.astype(np.complex64), 0.1, block=7)
    first = solver.solve(u, 5, workers=2)
    for _ in range(5):
        np.testing.assert_array_equal(solver.solve(u, 5, workers=2), first)


def test_threads_share_the_products_where_the_blas_cannot_be_called_by_address(problem, monkeypatch):
    monkeypatch.setattr(row_action, "available", lambda dtype: False)
    matrix, u, _ = problem
    expected = plain_kaczmarz(matrix, u, 0.1, 3, constrain=True).real
    found = Kaczmarz(matrix, 0.1, block=7).solve(u, 3, workers=2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * expected.max())


def test_an_interrupted_sweep_leaves_no_thread_waiting(problem):
    matrix, u, _ = problem
    sweep = ColumnSweep(matrix, [np.zeros((50, n), complex, order="F") for n in (50, 100, 100)], 3)
    real, calls = sweep._product, []

    def interrupted(*arguments):
        if threading.current_thread() is threading.main_thread():
            calls.append(arguments)
            if len(calls) == 2:
                raise KeyboardInterrupt
        real(*arguments)

    sweep._product = interrupted
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(np.zeros(40, complex), u)
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("relative_lambda", [0.0, 1e-2])
def test_blocks_of_nearly_parallel_rows_lose_no_precision(relative_lambda, workers):
    # The Gram matrix of such a block is singular to single precision; its triangle is not.
    rng = np.random.default_rng(2)
    base = rng.standard_normal(60) + 1j * rng.standard_normal(60)
    change = rng.standard_normal((200, 60)) + 1j * rng.standard_normal((200, 60))
    matrix = (base + 1e-2 * change).astype(np.complex64)
    u = (matrix @ rng.random(60)).astype(np.complex64)
    expected = plain_kaczmarz(matrix.astype(complex), u, relative_lambda, 3, constrain=True)
    found = Kaczmarz(matrix, relative_lambda, block=128).solve(u, 3, workers=workers)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    # Smaller blocks: what a block's residual lacks of the block before it cancels nearly all of it.
    found = Kaczmarz(matrix, relative_lambda, block=16).solve(u, 3, workers=workers)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_many_sweeps_reach_the_tikhonov_solution(problem):
    matrix, u, _ = problem
    weight = 0.5 * np.linalg.norm(matrix) ** 2 / matrix.shape[1]
    normal = matrix.conj().T @ matrix + weight * np.eye(matrix.shape[1])
    expected = np.linalg.solve(normal, matrix.conj().T @ u)
    found = Kaczmarz(matrix, 0.5).solve(u, 400, real=False, non_negative=False)
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("workers", [1, 2])
def test_frames_together_are_frames_one_by_one(problem, dtype, workers):
    matrix, u, _ = problem
    frames = np.stack([u, 2 * u, u[::-1]], axis=1)
    together = Kaczmarz(matrix.astype(dtype), 0.1).solve(frames, 2, workers=workers)
    assert together.shape == (40, 3)
    for index in range(3):
        expected = plain_kaczmarz(matrix, frames[:, index], 0.1, 2, constrain=True).real
        limit = 1e-5 if dtype == np.complex64 else 1e-12
        np.testing.assert_allclose(together[:, index], expected, rtol=0, atol=limit * expected.max())


def test_begins_where_it_is_told(problem):
    matrix, u, truth = problem
    expected = plain_kaczmarz(matrix, u, 0.1, 2, constrain=True, start=truth)
    solver = Kaczmarz(matrix, 0.1)
    np.testing.assert_allclose(solver.solve(u, 2, start=truth), expected.real, atol=1e-12)
    np.testing.assert_array_equal(solver.solve(u, 0, start=truth), truth)
    assert not solver.solve(u, 0).any()


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_without_energy_change_nothing(problem, workers):
    matrix, u, _ = problem
    padded = np.concatenate([np.zeros((3, 40)), matrix])
    expected = plain_kaczmarz(matrix, u, 0.0, 2, constrain=True)
    found = Kaczmarz(padded, 0.0).solve(np.concatenate([np.ones(3), u]), 2, workers=workers)
    np.testing.assert_allclose(found, expected.real, atol=1e-12)


def test_neither_matrix_nor_measurement_is_changed(problem):
    matrix, u, truth = problem
    kept = matrix.copy(), u.copy(), truth.copy()
    Kaczmarz(matrix, 0.1).solve(u, 2, start=truth)
    for now, before in zip((matrix, u, truth), kept, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("order", ["fortran", "strided", "memmap", "hdf5", "selected"])
def test_a_matrix_may_lie_anywhere(problem, tmp_path, order):
    matrix, u, _ = problem
    single = matrix.astype(np.complex64)
    expected = plain_kaczmarz(matrix, u, 0.1, 3, constrain=True).real
    if order == "fortran":
        source = np.asfortranarray(single)
    elif order == "strided":
        source = np.repeat(single, 2, axis=1)[:, ::2]
    elif order == "memmap":
        single.tofile(tmp_path / "matrix")
        source = np.memmap(tmp_path / "matrix", np.complex64, "r", shape=single.shape)
    else:
        file = h5py.File(tmp_path / "matrix.h5", "w")
        if order == "hdf5":
            source = file.create_dataset("matrix", data=single)
        else:
            # As MDF has it: (periods, channels, frequencies, voxels and background); here with rows that are not
            # wanted between those that are, and each three times too large.
            stored = np.full((1, 2, 100, 45), 7 + 7j, np.complex64)
            selection = np.array([(k % 2, k // 2) for k in range(150)])
            stored[0, selection[:, 0], selection[:, 1], :40] = 3 * single
            weights = np.full(150, 1 / 3)
            source = SelectedRows(file.create_dataset("data", data=stored), selection, weights, voxels=40)
    found = Kaczmarz(source, 0.1, block=16).solve(u, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.max())


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("constrain", [True, False])
def test_other_array_libraries(problem, frames, constrain):
    torch = pytest.importorskip(
        "torch", reason="PyTorch (its CPU build, requirements/torch.txt) is not installed"
    )
    matrix, u, _ = problem
    u = np.stack([u * (k + 1) for k in range(frames)], axis=1)
    expected = plain_kaczmarz(matrix, u[:, 0], 0.2, 3, constrain=constrain)
    expected = np.stack([expected * (k + 1) for k in range(frames)], axis=1)
    for make, kind in (
        (torch.asarray, torch.Tensor),
        (array_api_strict.asarray, array_api_strict._array_object.Array),
    ):
        for dtype, limit in ((np.complex64, 1e-5), (np.complex128, 1e-12)):
            solver = Kaczmarz(make(matrix.astype(dtype)), 0.2, block=32)
            found = solver.solve(make(u.astype(dtype)), 3, real=constrain, non_negative=constrain)
            assert isinstance(found, kind)
            got = np.asarray(found)
            assert got.dtype == (np.empty(0, dtype).real.dtype if constrain else dtype)
            np.testing.assert_allclose(got, expected, rtol=0, atol=limit * np.abs(expected).max())


def test_progress_counts_to_the_end(problem):
    matrix, u, _ = problem
    seen = []
    solver = Kaczmarz(matrix, 0.1, block=50, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    seen.clear()
    solver.solve(u, 2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Kaczmarz(np.ones((3, 3)), 0.1), "expected complex values"),
        (lambda: Kaczmarz(np.ones((0, 3), complex), 0.1), "expected complex values"),
        (lambda: Kaczmarz(np.full((3, 3), np.nan + 0j), 0.1), "expected finite"),
        (lambda: Kaczmarz(np.full((3, 3), complex(0, np.inf)), 0.1), "expected finite"),
        (lambda: Kaczmarz(np.ones((3, 3), complex), -1), "relative_lambda: expected zero or more"),
        (lambda: Kaczmarz(np.ones((3, 3), complex), 1, block=0), "block: expected at least one row"),
        (lambda: Kaczmarz(np.ones((3, 3), complex), 1, workers=0), "workers: expected a number"),
        (lambda: solve(np.ones(4, complex), 1), r"expected shape \(3,\)"),
        (lambda: solve(np.ones((3, 0), complex), 1), r"expected shape \(3,\)"),
        (lambda: solve(np.ones(3, int), 1), "complex or floating-point values, found int"),
        (lambda: solve(np.full(3, np.nan), 1), "u: expected finite"),
        (lambda: solve(np.ones(3, complex), -1), "iterations"),
        (lambda: solve(np.ones(3, complex), 1, real=False), "needs real"),
        (lambda: solve(np.ones(3, complex), 1, start=np.ones(2)), r"start: expected shape \(3,\)"),
        (lambda: solve(np.ones(3, complex), 1, start=np.ones((3, 2))), "start: expected one column a frame"),
        (lambda: SelectedRows(np.ones((2, 3)), [(0, 0)]), "data: expected shape"),
        (lambda: SelectedRows(np.ones((2, 3, 4)), [(0, 3)]), "selection: expected channels below 2"),
        (
            lambda: SelectedRows(np.ones((2, 3, 4)), [0, 3]),
            r"selection: expected integers of shape \(rows, 2\)",
        ),
        (lambda: SelectedRows(np.ones((2, 3, 4)), [(0, 0)], [np.nan]), "weights: expected 1 finite"),
        (lambda: SelectedRows(np.ones((2, 3, 4)), [(0, 0)], voxels=5), "voxels: expected 1 to 4"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def solve(*args, **options):
    return Kaczmarz(np.ones((3, 3), complex), 0.1).solve(*args, **options)
