"""All of MDF: compressed and selected matrices, grids in any order, several channels, and one's own fields."""

import itertools

import h5py
import mdf_files
import numpy as np
import pytest
from mdf_files import write
from scipy.fft import dct
from test_mdf import GRID, LABELS, C, K, V, measurement, setting

from nixel.acquisition.formats.mdf import (
    MdfError,
    check_mdf,
    open_mdf,
    read_mdf,
    write_calibration,
    write_measurement,
    write_reconstruction,
)
from nixel.acquisition.formats.mdf_sparsity import compress, cosine_matrix, expand
from nixel.physics.grid import Grid

TRANSFORMATIONS = {"DCT-I": 1, "DCT-II": 2, "DCT-III": 3, "DCT-IV": 4}


def matrix(path, grid=GRID, kept=K, **words):
    """A calibration of noise with two background frames."""
    rng = np.random.default_rng(5)
    shape = (1, C, kept, grid.voxels + 2)
    spectra = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    given = {
        "frame_permutation": np.arange(1, grid.voxels + 3),
        "delta_sample_size": (1e-3, 1e-3, 1e-3),
        "snr": np.ones((1, C, kept)),
        "provenance": {},
    }
    return write_calibration(path, setting(conversion=None), spectra, grid, **(given | words)), spectra


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_the_cosine_transformations_are_those_of_fftw_made_orthogonal(name, size):
    ours = cosine_matrix(name, size)
    np.testing.assert_allclose(ours @ ours.T, np.eye(size), atol=1e-14)
    if (name, size) != ("DCT-I", 1):
        theirs = dct(np.eye(size), TRANSFORMATIONS[name], norm="ortho", axis=0)
        np.testing.assert_allclose(ours, theirs, atol=1e-14)


def test_a_transformation_of_no_name_is_refused():
    with pytest.raises(ValueError, match="found 'FFT'"):
        cosine_matrix("FFT", 3)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("size", [(6,), (2, 3), (3, 2, 4), (4, 1, 3)])
def test_with_all_coefficients_nothing_is_lost(name, size):
    rng = np.random.default_rng(6)
    data = rng.normal(size=(2, 3, np.prod(size))) + 1j
    coefficients, indices = compress(data, name, size, data.shape[-1])
    np.testing.assert_allclose(expand(coefficients, indices, name, size), data, atol=1e-12)


def test_the_grid_is_transformed_along_each_axis_with_the_first_fastest():
    rng = np.random.default_rng(7)
    volume = rng.normal(size=(4, 3, 2))  # z, y, x
    wanted = volume
    for axis in range(3):
        wanted = dct(wanted, 2, norm="ortho", axis=axis)
    coefficients, indices = compress(volume.reshape(1, -1) + 0j, "DCT-II", (2, 3, 4), 24)
    np.testing.assert_array_equal(indices[0], np.arange(1, 25))
    np.testing.assert_allclose(coefficients[0], wanted.ravel(), atol=1e-12)


def test_what_is_not_kept_is_the_least_and_all_that_is_lost():
    rng = np.random.default_rng(8)
    data = rng.normal(size=(5, 12)) + 1j * rng.normal(size=(5, 12))
    whole, _ = compress(data, "DCT-IV", (4, 3), 12)
    kept, indices = compress(data, "DCT-IV", (4, 3), 7)
    lost = np.sort(np.abs(whole) ** 2, axis=-1)[:, :5].sum(axis=-1)
    difference = np.abs(expand(kept, indices, "DCT-IV", (4, 3)) - data) ** 2
    # Parseval: the transformation is orthogonal.
    np.testing.assert_allclose(difference.sum(axis=-1), lost, rtol=1e-12)


@pytest.mark.parametrize("grid", [GRID, Grid((2, 3, 4), (2e-3, 6e-3, 12e-3))])
def test_a_compressed_matrix_comes_back(tmp_path, grid):
    info, spectra = matrix(tmp_path / "a.mdf", grid, sparsity=("DCT-II", grid.voxels - 1))
    assert info.shape == (1, C, K, grid.voxels + 1)
    assert check_mdf(info.path).errors == []
    wanted, _ = compress(spectra[..., : grid.voxels], "DCT-II", grid.shape[::-1], grid.voxels)
    greatest_lost = np.abs(wanted).min(axis=-1).max()
    mdf = read_mdf(info.path)
    found = mdf.measurement.spectra()
    assert found.dtype == np.complex64
    foreground = np.moveaxis(spectra, -1, 0)[: grid.voxels]
    # One coefficient of each frequency is missing: the error's norm is its magnitude.
    error = np.linalg.norm(found[: grid.voxels] - foreground, axis=0)
    assert 0 < error.max() <= greatest_lost * (1 + 1e-5)
    np.testing.assert_array_equal(found[grid.voxels :], np.moveaxis(spectra, -1, 0)[grid.voxels :])
    with open_mdf(info.path) as opened:
        part = opened.measurement.frames(3, 7)
        np.testing.assert_array_equal(part.spectra(), found[3:7])
        assert part.is_background.tolist() == mdf.measurement.is_background[3:7].tolist()
        assert part.frame_permutation.tolist() == [4, 5, 6, 7]
        np.testing.assert_array_equal(opened.measurement.spectra(), found)


def test_a_compressed_matrix_of_others_is_expanded(tmp_path):
    """Of which the spectrum along the grid is known: one coefficient of DCT-IV."""
    fields = mdf_files.compressed()
    mdf = read_mdf(write(tmp_path / "a.mdf", fields))
    stored = fields["/measurement/data"]
    wave = dct(np.eye(3), 4, norm="ortho", axis=0)
    wanted = stored[..., 0, None] * wave[2] + stored[..., 1, None] * wave[0]
    np.testing.assert_allclose(mdf.measurement.data[..., :3], wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(mdf.measurement.data[..., 3:], stored[..., 2:])


def test_selected_frequencies_come_back_with_their_numbers(tmp_path):
    numbers = np.array([2, 4, K])
    info, spectra = matrix(tmp_path / "a.mdf", kept=3, frequency_selection=numbers)
    assert check_mdf(info.path).errors == []
    mdf = read_mdf(info.path)
    assert mdf.measurement.frequencies.tolist() == [1, 3, K - 1]
    np.testing.assert_array_equal(mdf.measurement.spectra(), np.moveaxis(spectra, -1, 0))
    assert read_mdf(matrix(tmp_path / "b.mdf")[0].path).measurement.frequencies.tolist() == list(range(K))
    assert read_mdf(measurement(tmp_path / "c.mdf")[0].path).measurement.frequencies.tolist() == list(
        range(K)
    )


@pytest.mark.parametrize("order", ["".join(p) for p in itertools.permutations("xyz")])
def test_a_grid_in_any_order_is_put_into_space(tmp_path, order):
    size = {"x": 2, "y": 3, "z": 4}
    # Each voxel tells its place: 100 z + 10 y + x, stored in the order of the file.
    places = itertools.product(*(range(size[axis]) for axis in order[::-1]))
    parts = {"x": 1, "y": 10, "z": 100}
    values = [sum(i * parts[axis] for i, axis in zip(p, order[::-1], strict=True)) for p in places]
    z, y, x = np.mgrid[:4, :3, :2]
    fields = mdf_files.reconstruction() | {
        "/reconstruction/order": order,
        "/reconstruction/size": np.array([2, 3, 4]),
        "/reconstruction/data": np.array(values, np.float32)[None, :, None] + [0, 1000],
        "/reconstruction/isOverscanRegion": np.zeros(24, np.int8),
        "/reconstruction/positions": np.zeros((24, 3)),
    }
    path = write(tmp_path / "a.mdf", fields)
    assert check_mdf(path).errors == []
    found = read_mdf(path).reconstruction
    np.testing.assert_array_equal(found.images(), (100 * z + 10 * y + x)[None])
    np.testing.assert_array_equal(found.images(1), (1000 + 100 * z + 10 * y + x)[None])
    fields = mdf_files.calibration() | {
        "/acquisition/numFrames": np.int64(24),
        "/calibration/order": order,
        "/calibration/size": np.array([2, 3, 4]),
        "/calibration/positions": np.zeros((24, 3)),
        "/calibration/offsetFields": np.zeros((24, 3)),
        "/measurement/isBackgroundFrame": np.zeros(24, np.int8),
        "/measurement/framePermutation": np.arange(1, 25),
        "/measurement/data": mdf_files.spectra(frames=24),
    }
    calibration = read_mdf(write(tmp_path / "b.mdf", fields)).calibration
    assert np.array(values)[calibration.by_place()].tolist() == (100 * z + 10 * y + x).ravel().tolist()


def test_several_channels_and_the_overscan_come_back(tmp_path):
    images = np.arange(24, dtype=np.float64).reshape(2, 2, 3, 2)
    mask = np.array([0, 1, 0, 0, 0, 1])
    info = write_reconstruction(
        tmp_path / "a.mdf",
        setting(),
        images,
        GRID,
        provenance={},
        fields={"/reconstruction/isOverscanRegion": mask, "/reconstruction/_method": "by hand"},
    )
    assert check_mdf(info.path).errors == []
    found = read_mdf(info.path)
    assert info.shape == found.reconstruction.data.shape == (2, 6, 2)
    for channel in range(2):
        np.testing.assert_array_equal(found.reconstruction.images(channel), images[..., channel])
    assert found.reconstruction.is_overscan.tolist() == mask.astype(bool).tolist()
    assert "/reconstruction/_method" in found.user_defined


FURTHER = {
    "/study/time": "1999-12-31T23:59:59.999",
    "/scanner/boreSize": 0.12,
    "/acquisition/receiver/inductionFactor": [1.0, 2.0],
    "/acquisition/receiver/transferFunction": np.full((C, K), 2 - 1j, np.complex64),
    "/acquisition/offsetField": np.ones((1, 1, 3)),
    "/tracer/injectionTime": ["2000-01-01T00:00:00.000"],
    "/_room/temperature": 293.0,
}


def test_every_other_field_of_the_specification_can_be_written(tmp_path):
    data = np.zeros((4, 1, C, V), np.int16)
    written = write_measurement(
        tmp_path / "a.mdf", setting(), data, [False] * 4, labels=LABELS, provenance={}, fields=FURTHER
    )
    assert check_mdf(written.path).errors == []
    found = read_mdf(written.path)
    for path, value in FURTHER.items():
        if not path.startswith("/_"):
            np.testing.assert_array_equal(found.fields[path], value)
    with h5py.File(written.path) as file:
        assert file["/acquisition/receiver/transferFunction"].dtype == np.complex128
        assert file["/_room/temperature"][()] == 293.0
    info, _ = matrix(tmp_path / "b.mdf", fields={"/calibration/offsetFields": np.ones((6, 3))})
    np.testing.assert_array_equal(read_mdf(info.path).calibration.offset_fields, np.ones((6, 3)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"/scanner/boreSize": -0.1}, "/scanner/boreSize: expected more than 0; found -0.1"),
        ({"/scanner/boreSize": "wide"}, "/scanner/boreSize: expected float64"),
        ({"/study/number": 1.5}, "/study/number: expected int64"),
        ({"/experiment/isSimulation": 300}, "numbers that it cannot hold"),
        ({"/scanner/bore": 0.1}, "/scanner/bore: expected a name of MDF"),
        ({"/study/time": "today"}, "/study/time: expected a time"),
        ({"/acquisition/receiver/transferFunction": np.ones((C, K + 1))}, "C x K = 2 x 7"),
        ({"/acquisition/drivefield/cycle": 1.0}, "lcm(divider) / baseFrequency"),
        ({"/scanner/boreSize": -0.1, "/study/time": "today"}, "/study/time"),
    ],
)
def test_what_the_checker_would_find_is_not_written(tmp_path, fields, message):
    data = np.zeros((4, 1, C, V), np.int16)
    with pytest.raises(MdfError) as refused:
        write_measurement(tmp_path / "a.mdf", setting(), data, [False] * 4, provenance={}, fields=fields)
    assert message in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"sparsity": ("DCT-V", 3)}, "found 'DCT-V'"),
        ({"sparsity": ("DCT-II", 7)}, "expected 1 to 6 coefficients, found 7"),
        ({"sparsity": ("DCT-II", 0)}, "expected 1 to 6 coefficients, found 0"),
        ({"kept": 3, "frequency_selection": np.array([0, 1, 2])}, "different numbers from 1 to 7"),
        ({"kept": 3, "frequency_selection": np.array([1, 2])}, "spectra: expected dimensions"),
    ],
)
def test_a_matrix_that_cannot_be_is_not_written(tmp_path, words, message):
    with pytest.raises(MdfError, match=message):
        matrix(tmp_path / "a.mdf", **words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("/measurement/subsamplingIndices", np.full((2, 3, 13, 2), [0, 1]), "from 1 to 3, found 0 to 1"),
        ("/measurement/subsamplingIndices", np.ones((2, 3, 12, 2), int), "expected J x C x K x B"),
        ("/measurement/sparsityTransformation", "FFT", "found 'FFT'"),
        ("/calibration/order", "xyy", "expected the axes x, y and z"),
        ("/calibration/size", np.array([1, 3]), "expected three numbers"),
        ("/measurement/framePermutation", np.arange(4), "expected 5"),
        ("/measurement/isBackgroundFrame", np.zeros(4, np.int8), "expected 5"),
        ("/acquisition/numAverages", np.float64(0.5), "expected a whole number"),
        ("/acquisition/receiver/numChannels", "three", "expected a number"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, field, value, message):
    with pytest.raises(MdfError, match=message):
        read_mdf(write(tmp_path / "a.mdf", mdf_files.compressed() | {field: value}))
