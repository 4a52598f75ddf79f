"""Several patches against the row action over their dense joint matrix."""

import h5py
import numpy as np
import pytest

from nixel.reconstruction.mpi import MultiPatchKaczmarz, Patch, patches_on_grid


def joint_row_action(matrices, grids, patches, shape, u, relative_lambda, sweeps, *, constrain):
    """Write every row over the whole scene, then take one step after the other, in double precision."""
    voxels = np.arange(np.prod(shape)).reshape(shape)
    rows, values = [], []
    for patch, measured in zip(patches, u, strict=True):
        window = tuple(slice(c, c + n) for c, n in zip(patch.corner, grids[patch.matrix], strict=True))
        for row, value in zip(matrices[patch.matrix], measured, strict=True):
            whole = np.zeros(np.prod(shape), dtype=complex)
            whole[voxels[window].ravel()] = row
            rows.append(whole)
            values.append(value)
    weight = relative_lambda * np.linalg.norm(rows) ** 2 / np.prod(shape)
    x, v = np.zeros(np.prod(shape), dtype=complex), np.zeros(len(rows), dtype=complex)
    for _ in range(sweeps):
        for k, (a, value) in enumerate(zip(rows, values, strict=True)):
            beta = (value - a @ x - np.sqrt(weight) * v[k]) / (np.linalg.norm(a) ** 2 + weight)
            x = x + beta * a.conj()
            v[k] += np.sqrt(weight) * beta
        if constrain:
            x = np.maximum(x.real, 0).astype(complex)
    return x


def random(rng, *shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


@pytest.fixture
def scene():
    """Two patches that share a matrix and overlap, and a third of another grid with its own."""
    rng = np.random.default_rng(23)
    grids = [(4, 5), (3, 3)]
    matrices = [random(rng, 30, 20), random(rng, 17, 9)]
    patches = [Patch(0, (0, 0)), Patch(1, (3, 4)), Patch(0, (2, 3))]
    u = [random(rng, 30), random(rng, 17), random(rng, 30)]
    return matrices, grids, patches, (6, 8), u


@pytest.mark.parametrize("constrain", [True, False])
def test_iterates_are_those_of_the_joint_matrix(scene, constrain):
    matrices, grids, patches, shape, u = scene
    expected = joint_row_action(*scene, 0.2, 3, constrain=constrain)
    for dtype, limit in ((np.complex128, 1e-12), (np.complex64, 1e-5)):
        solver = MultiPatchKaczmarz([m.astype(dtype) for m in matrices], grids, patches, shape, 0.2, block=7)
        found = solver.solve(u, 3, real=constrain, non_negative=constrain)
        assert found.dtype == (np.empty(0, dtype).real.dtype if constrain else dtype)
        np.testing.assert_allclose(found, expected, rtol=0, atol=limit * np.abs(expected).max())


def test_frames_and_files_and_a_start(scene, tmp_path):
    matrices, grids, patches, shape, u = scene
    file = h5py.File(tmp_path / "matrices.h5", "w")
    sources = [file.create_dataset(str(index), data=matrix) for index, matrix in enumerate(matrices)]
    solver = MultiPatchKaczmarz(sources, grids, patches, shape, 0.1, block=8, workers=2)
    frames = [np.stack([part, -2j * part], axis=1) for part in u]
    found = solver.solve(frames, 2, workers=2)
    assert found.shape == (48, 2)
    for index in range(2):
        each = [part[:, index] for part in frames]
        expected = joint_row_action(matrices, grids, patches, shape, each, 0.1, 2, constrain=True)
        np.testing.assert_allclose(found[:, index], expected.real, rtol=0, atol=1e-12 * expected.real.max())
    start = np.arange(48.0)
    np.testing.assert_array_equal(solver.solve(u, 0, start=start), start)


def test_what_no_patch_sees_stays_empty(scene):
    matrices, grids, patches, shape, u = scene
    x = MultiPatchKaczmarz(matrices, grids, patches, shape, 0.1).solve(u, 5).reshape(shape)
    assert not x[4:, :3].any()
    assert not x[:2, 5:].any()


def test_a_phantom_across_patches_comes_back():
    rng = np.random.default_rng(29)
    matrix = random(rng, 80, 60)
    patches, shape, _ = patches_on_grid(
        [(y, x, 0.0) for y in (0, 2e-3) for x in (0, 3e-3)], (3, 5, 4), (1e-3,) * 3
    )
    assert shape == (5, 8, 4)
    truth = rng.random(shape)
    u = []
    for patch in patches:
        y, x, z = patch.corner
        u.append(matrix @ truth[y : y + 3, x : x + 5, z : z + 4].ravel())
    seen = []
    solver = MultiPatchKaczmarz([matrix], [(3, 5, 4)], patches, shape, 0.0)
    found = solver.solve(u, 60, progress=lambda done, total: seen.append((done, total)))
    np.testing.assert_allclose(found.reshape(shape), truth, atol=1e-3)
    assert seen == [(k + 1, 240) for k in range(240)]


def test_centres_in_metres_become_corners():
    patches, shape, centre = patches_on_grid(
        [(-6e-3, 0.0), (6e-3, 4e-3)], (10, 20), (2e-3, 1e-3), matrices=[1, 0]
    )
    assert patches == [Patch(1, (0, 0)), Patch(0, (6, 4))]
    assert shape == (16, 24)
    np.testing.assert_allclose(centre, (0.0, 2e-3), atol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: patches_on_grid([(0, 0), (0.5e-3, 0)], (3, 3), (1e-3, 1e-3)), "0.5 voxels between them"),
        (lambda: patches_on_grid([(0, np.nan)], (3, 3), (1e-3, 1e-3)), "centres: expected finite"),
        (lambda: patches_on_grid([0, 1], (3, 3), (1e-3, 1e-3)), "centres: expected shape"),
        (lambda: patches_on_grid([(0, 0)], (3, 3), (1e-3, 0)), "expected positive numbers"),
        (lambda: patches_on_grid([(0, 0)], (3, 3), (1, 1), matrices=[0, 1]), "one for each of 1 patches"),
        (lambda: solver(patches=[Patch(0, (2, 0))]), "within the scene"),
        (lambda: solver(patches=[Patch(1, (0, 0))]), "a matrix below 1"),
        (lambda: solver(patches=[]), "at least one patch"),
        (lambda: solver(grid=(2, 3)), "the voxels of a matrix"),
        (lambda: solver().solve([np.ones(3)], 1), "one array for each of 2 patches"),
        (lambda: solver().solve([np.ones(3), np.ones(4)], 1), r"u\[1\]: expected shape \(3,\)"),
        (lambda: solver().solve([np.ones(3), np.ones((3, 2))], 1), "as many frames"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


TWO = (Patch(0, (0, 0)), Patch(0, (1, 0)))


def solver(patches=TWO, grid=(2, 2)):
    return MultiPatchKaczmarz([np.ones((3, 4), complex)], [grid], patches, (3, 3), 0.1)
