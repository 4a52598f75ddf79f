"""MDF files against rules written from the specification (2.1.0), not from the writer."""

import json
import math
import re
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import h5py
import numpy as np
import pytest

from nixel.acquisition.formats.mdf import (
    Labels,
    MdfError,
    Setting,
    Tracer,
    read_mdf,
    sha256_file,
    write_calibration,
    write_measurement,
    write_reconstruction,
)
from nixel.physics.grid import Grid

START = datetime(2000, 1, 1, tzinfo=UTC)
V, C, D = 12, 2, 2
K = V // 2 + 1
GRID = Grid((2, 3), (4e-3, 9e-3), 1e-3)
PROVENANCE = {"revision": "abc", "ø": [1, 2.5, None]}
LABELS = Labels(subject="dots", tracer=Tracer("tracer", 0.1, math.nan))


def setting(**changes):
    values = {
        "time": START + timedelta(seconds=2, milliseconds=5),
        "start_time": START,
        "simulated": True,
        "scanner": "test",
        "base_frequency": 2.5e6,
        "dividers": (4, 3),
        "drive_field": (0.012, 0.011),
        "gradient": (-1.25, -1.25, 2.5),
        "samples": V,
        "channels": C,
        "averages": 5,
        "conversion": np.array([[2.0, 0.5], [3.0, -0.25]]),
    }
    return Setting(**{**values, **changes})


def measurement(path, dtype=np.int16, **changes):
    data = np.random.default_rng(1).integers(-1000, 1000, (4, 1, C, V)).astype(dtype)
    background = [True, False, False, True]
    info = write_measurement(
        path,
        setting(**changes),
        data,
        background,
        labels=LABELS,
        provenance=PROVENANCE,
        extras={"count": 3, "t": "x"},
    )
    return info, data


def calibration(path, dtype=np.complex64):
    rng = np.random.default_rng(2)
    shape = (1, C, K, 8)
    spectra = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    info = write_calibration(
        path,
        setting(conversion=None),
        spectra,
        GRID,
        frame_permutation=np.array([2, 3, 4, 5, 6, 7, 1, 8]),
        delta_sample_size=(1e-3, 2e-3, 3e-3),
        snr=np.ones((1, C, K)),
        provenance=PROVENANCE,
    )
    return info, spectra


def reconstruction(path):
    images = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    return write_reconstruction(path, setting(), images, GRID, labels=LABELS, provenance=PROVENANCE), images


# What the specification's tables say: field, type, dimensions. S: text.
COMMON = {
    "/time": ("S", ()),
    "/uuid": ("S", ()),
    "/version": ("S", ()),
    "/study/description": ("S", ()),
    "/study/name": ("S", ()),
    "/study/number": ("i8", ()),
    "/study/uuid": ("S", ()),
    "/experiment/description": ("S", ()),
    "/experiment/isSimulation": ("i1", ()),
    "/experiment/name": ("S", ()),
    "/experiment/number": ("i8", ()),
    "/experiment/subject": ("S", ()),
    "/experiment/uuid": ("S", ()),
    "/scanner/facility": ("S", ()),
    "/scanner/manufacturer": ("S", ()),
    "/scanner/name": ("S", ()),
    "/scanner/operator": ("S", ()),
    "/scanner/topology": ("S", ()),
    "/acquisition/gradient": ("f8", ("J", "Y", 3, 3)),
    "/acquisition/numAverages": ("i8", ()),
    "/acquisition/numFrames": ("i8", ()),
    "/acquisition/numPeriodsPerFrame": ("i8", ()),
    "/acquisition/offsetField": ("f8", ("J", "Y", 3)),
    "/acquisition/startTime": ("S", ()),
    "/acquisition/drivefield/baseFrequency": ("f8", ()),
    "/acquisition/drivefield/cycle": ("f8", ()),
    "/acquisition/drivefield/divider": ("i8", ("D", "F")),
    "/acquisition/drivefield/numChannels": ("i8", ()),
    "/acquisition/drivefield/phase": ("f8", ("J", "D", "F")),
    "/acquisition/drivefield/strength": ("f8", ("J", "D", "F")),
    "/acquisition/drivefield/waveform": ("S", ("D", "F")),
    "/acquisition/receiver/bandwidth": ("f8", ()),
    "/acquisition/receiver/numChannels": ("i8", ()),
    "/acquisition/receiver/numSamplingPoints": ("i8", ()),
    "/acquisition/receiver/unit": ("S", ()),
}
FLAGS = [
    *("isBackgroundCorrected", "isFastFrameAxis", "isFourierTransformed", "isFramePermutation"),
    *(
        "isFrequencySelection",
        "isSparsityTransformed",
        "isSpectralLeakageCorrected",
        "isTransferFunctionCorrected",
    ),
]
STAGE = {f"/measurement/{flag}": ("i1", ()) for flag in FLAGS} | {
    "/measurement/isBackgroundFrame": ("i1", ("N",))
}
OPTIONAL = {
    "/acquisition/receiver/dataConversionFactor": ("f8", ("C", 2)),
    "/tracer/batch": ("S", ("A",)),
    "/tracer/concentration": ("f8", ("A",)),
    "/tracer/name": ("S", ("A",)),
    "/tracer/solute": ("S", ("A",)),
    "/tracer/vendor": ("S", ("A",)),
    "/tracer/volume": ("f8", ("A",)),
}
CALIBRATION = {
    "/measurement/data": ("c8", ("J", "C", "K", "N")),
    "/measurement/framePermutation": ("i8", ("N",)),
    "/calibration/deltaSampleSize": ("f8", (3,)),
    "/calibration/fieldOfView": ("f8", (3,)),
    "/calibration/fieldOfViewCenter": ("f8", (3,)),
    "/calibration/method": ("S", ()),
    "/calibration/order": ("S", ()),
    "/calibration/positions": ("f8", ("O", 3)),
    "/calibration/size": ("i8", (3,)),
    "/calibration/snr": ("f8", ("J", "C", "K")),
}
RECONSTRUCTION = {
    "/reconstruction/data": ("f4", ("Q", "P", "S")),
    "/reconstruction/fieldOfView": ("f8", (3,)),
    "/reconstruction/fieldOfViewCenter": ("f8", (3,)),
    "/reconstruction/order": ("S", ()),
    "/reconstruction/positions": ("f8", ("P", 3)),
    "/reconstruction/size": ("i8", (3,)),
}
SIZES = {"A": 1, "J": 1, "Y": 1, "C": C, "D": D, "F": 1, "K": K, "V": V, "O": 6, "P": 6, "Q": 2, "S": 1}


def fields_of(file):
    found = {}
    file.visititems(
        lambda name, node: found.update({f"/{name}": node}) if isinstance(node, h5py.Dataset) else None
    )
    return found


def check_against_the_tables(path, tables, sizes):
    with h5py.File(path, "r") as file:
        found = fields_of(file)
        own = {name for name in found if name.split("/")[1].startswith("_")}
        assert set(found) - own == set(tables)
        for name, (kind, dimensions) in tables.items():
            node = found[name]
            assert node.shape == tuple(sizes.get(d, d) for d in dimensions), name
            if kind == "S":
                assert h5py.check_string_dtype(node.dtype) is not None, name
            else:
                assert node.dtype == np.dtype("<" + kind), name
            assert not node.attrs, name
        assert not file.attrs
        text = {name: node.asstr()[()] for name, node in found.items() if h5py.check_string_dtype(node.dtype)}
        assert text["/version"] == "2.1.0"
        for name in ("/time", "/acquisition/startTime"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", text[name])
        for name in ("/uuid", "/study/uuid", "/experiment/uuid"):
            assert str(uuid.UUID(text[name])) == text[name]
        value = {name: node[()] for name, node in found.items()}
        drive = "/acquisition/drivefield"
        cycle = np.lcm.reduce(value[f"{drive}/divider"].ravel()) / value[f"{drive}/baseFrequency"]
        assert value[f"{drive}/cycle"] == cycle
        assert (value[f"{drive}/phase"] >= -np.pi).all()
        assert (value[f"{drive}/phase"] < np.pi).all()
        assert set(text[f"{drive}/waveform"].ravel()) <= {"sine", "triangle", "custom"}
        assert value["/acquisition/receiver/bandwidth"] == value[f"{drive}/baseFrequency"] / 2
        for name in found:
            if name.endswith("/data"):
                assert found[name].chunks is None
                assert found[name].compression is None
                assert found[name].id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
            if name.split("/")[-1].startswith("is"):
                assert set(np.unique(value[name])) <= {0, 1}, name
    return value


@pytest.mark.parametrize(("dtype", "kind"), [(np.int16, "i2"), (np.float32, "f4"), (np.float64, "f8")])
def test_a_measurement_follows_the_specification(tmp_path, dtype, kind):
    _, data = measurement(tmp_path / "m.mdf", dtype)
    tables = COMMON | STAGE | OPTIONAL | {"/measurement/data": (kind, ("N", "J", "C", "V"))}
    value = check_against_the_tables(tmp_path / "m.mdf", tables, SIZES | {"N": 4})
    np.testing.assert_array_equal(value["/measurement/data"], data)
    assert value["/measurement/isBackgroundFrame"].tolist() == [1, 0, 0, 1]
    assert value["/experiment/isSimulation"] == 1
    assert value["/acquisition/numFrames"] == 4
    np.testing.assert_array_equal(value["/acquisition/gradient"][0, 0], np.diag([-1.25, -1.25, 2.5]))


def test_a_calibration_follows_the_specification(tmp_path):
    _, spectra = calibration(tmp_path / "c.mdf")
    tables = COMMON | STAGE | CALIBRATION
    value = check_against_the_tables(tmp_path / "c.mdf", tables, SIZES | {"N": 8})
    with h5py.File(tmp_path / "c.mdf", "r") as file:
        kind = file["/measurement/data"].id.get_type()
        assert isinstance(kind, h5py.h5t.TypeCompoundID)
        assert [kind.get_member_name(i) for i in range(kind.get_nmembers())] == [b"r", b"i"]
    np.testing.assert_array_equal(value["/measurement/data"], spectra)
    for flag in ("isFourierTransformed", "isFastFrameAxis", "isFramePermutation"):
        assert value[f"/measurement/{flag}"] == 1
    # Background frames at the end; the permutation is a bijection of 1 to N.
    assert value["/measurement/isBackgroundFrame"].tolist() == [0] * 6 + [1] * 2
    assert sorted(value["/measurement/framePermutation"]) == list(range(1, 9))
    assert value["/calibration/size"].tolist() == [3, 2, 1]
    assert np.prod(value["/calibration/size"]) == 6
    np.testing.assert_allclose(value["/calibration/fieldOfView"], [9e-3, 4e-3, 1e-3])
    # Ordered with respect to x first, then y.
    np.testing.assert_allclose(
        value["/calibration/positions"][:, 0], np.tile([-3e-3, 0, 3e-3], 2), atol=1e-18
    )
    np.testing.assert_allclose(value["/calibration/positions"][:, 1], np.repeat([-1e-3, 1e-3], 3))


def test_a_reconstruction_follows_the_specification(tmp_path):
    _, images = reconstruction(tmp_path / "r.mdf")
    value = check_against_the_tables(tmp_path / "r.mdf", COMMON | OPTIONAL | RECONSTRUCTION, SIZES)
    np.testing.assert_array_equal(value["/reconstruction/data"][:, :, 0], images.reshape(2, 6))
    assert value["/reconstruction/size"].tolist() == [3, 2, 1]


def test_a_measurement_is_read_back(tmp_path):
    info, data = measurement(tmp_path / "m.mdf")
    mdf = read_mdf(info.path)
    assert (mdf.kind, mdf.uuid, mdf.version) == ("measurement", info.uuid, "2.1.0")
    assert mdf.provenance == PROVENANCE
    assert mdf.extras == {"count": 3, "t": "x"}
    assert mdf.assumptions == ()
    wanted = setting()
    np.testing.assert_array_equal(mdf.setting.conversion, wanted.conversion)
    assert replace(mdf.setting, conversion=None) == replace(wanted, conversion=None)
    assert replace(mdf.labels, tracer=None) == replace(LABELS, tracer=None)
    assert (mdf.labels.tracer.name, mdf.labels.tracer.concentration) == ("tracer", 0.1)
    assert math.isnan(mdf.labels.tracer.volume)
    np.testing.assert_array_equal(mdf.measurement.data, data)
    np.testing.assert_array_equal(mdf.measurement.is_background, [True, False, False, True])
    volts = mdf.measurement.volts()
    np.testing.assert_array_equal(volts[:, :, 0], data[:, :, 0] * 2.0 + 0.5)
    np.testing.assert_array_equal(volts[:, :, 1], data[:, :, 1] * 3.0 - 0.25)
    spectra = mdf.measurement.spectra()
    assert spectra.shape == (4, 1, C, K)
    np.testing.assert_allclose(spectra[..., 0].real, volts.sum(axis=-1), rtol=1e-12, atol=1e-9)


def test_a_calibration_is_read_back(tmp_path):
    info, spectra = calibration(tmp_path / "c.mdf")
    mdf = read_mdf(info.path)
    assert mdf.kind == "calibration"
    np.testing.assert_array_equal(mdf.measurement.spectra(), np.moveaxis(spectra, -1, 0))
    np.testing.assert_array_equal(mdf.measurement.frame_permutation, [2, 3, 4, 5, 6, 7, 1, 8])
    assert mdf.calibration.size == (3, 2, 1)
    assert mdf.calibration.method == "robot"
    assert mdf.calibration.delta_sample_size == (1e-3, 2e-3, 3e-3)
    np.testing.assert_array_equal(mdf.calibration.positions[:, :2], GRID.positions())
    with pytest.raises(MdfError, match="frequency space"):
        mdf.measurement.volts()


def test_a_reconstruction_is_read_back(tmp_path):
    info, images = reconstruction(tmp_path / "r.mdf")
    mdf = read_mdf(info.path)
    assert (mdf.kind, info.kind) == ("reconstruction", "reconstruction")
    assert mdf.measurement is None
    np.testing.assert_array_equal(mdf.reconstruction.images(), images)
    assert mdf.reconstruction.field_of_view == (9e-3, 4e-3, 1e-3)


def test_equal_content_gives_equal_bytes_and_other_content_another_uuid(tmp_path):
    first, _ = measurement(tmp_path / "a.mdf")
    time.sleep(1.1)  # what keeps whole seconds would differ
    second, _ = measurement(tmp_path / "b.mdf")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert (first.sha256, first.uuid) == (second.sha256, second.uuid)
    assert first.sha256 == sha256_file(first.path)
    other, _ = measurement(tmp_path / "c.mdf", averages=6)
    assert other.uuid != first.uuid
    assert calibration(tmp_path / "d.mdf")[0].sha256 == calibration(tmp_path / "e.mdf")[0].sha256
    assert reconstruction(tmp_path / "f.mdf")[0].sha256 == reconstruction(tmp_path / "g.mdf")[0].sha256


def bad_calibration(path, **changes):
    values = {
        "setting": setting(conversion=None),
        "spectra": np.zeros((1, C, K, 8), np.complex64),
        "frame_permutation": np.arange(1, 9),
        **changes,
    }
    write_calibration(
        path,
        values["setting"],
        values["spectra"],
        GRID,
        frame_permutation=values["frame_permutation"],
        delta_sample_size=(1e-3, 1e-3, 1e-3),
        snr=None,
        provenance={},
    )


def bad_measurement(path, shape=(4, 1, C, V), dtype=np.int16, background=4, provenance=None, **changes):
    data = np.zeros(shape, dtype)
    write_measurement(path, setting(**changes), data, [False] * background, provenance=provenance or {})


def bad_reconstruction(path):
    write_reconstruction(path, setting(), np.zeros((2, 3, 2), np.float32), GRID, provenance={})


@pytest.mark.parametrize(
    ("write", "changes", "message"),
    [
        (bad_measurement, {"shape": (4, 1, C, V + 1)}, "data: expected dimensions"),
        (bad_measurement, {"background": 3}, "is_background: expected dimensions"),
        (bad_measurement, {"dtype": np.uint16}, "found uint16"),
        (bad_measurement, {"provenance": {"a": math.nan}}, "provenance: expected what JSON can hold"),
        (bad_measurement, {"time": START.replace(tzinfo=None)}, "expected one in UTC"),
        (bad_measurement, {"conversion": np.ones((C, 3))}, "conversion: expected dimensions"),
        (bad_measurement, {"drive_field": (0.012,)}, "drive_field: expected dimensions"),
        (bad_calibration, {"setting": setting()}, "spectra are of volts"),
        (bad_calibration, {"spectra": np.zeros((1, C, K, 5), np.complex64)}, "for each of 6 voxels"),
        (bad_calibration, {"spectra": np.zeros((1, C, K, 8), np.float32)}, "expected complex"),
        (bad_calibration, {"frame_permutation": np.arange(8)}, "each of 1 to 8 once"),
        (bad_reconstruction, {}, "images: expected dimensions"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, write, changes, message):
    with pytest.raises(MdfError, match=re.escape(message)):
        write(tmp_path / "x.mdf", **changes)
    assert not list(tmp_path.iterdir())


def test_a_file_is_never_overwritten_and_a_missing_folder_is_said(tmp_path):
    info, _ = measurement(tmp_path / "m.mdf")
    before = info.path.read_bytes()
    with pytest.raises(MdfError, match="never overwritten"):
        measurement(tmp_path / "m.mdf", averages=9)
    assert info.path.read_bytes() == before
    with pytest.raises(MdfError, match="there is no such folder"):
        measurement(tmp_path / "none" / "m.mdf")
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.mdf"]


def test_what_is_no_mdf_is_said(tmp_path):
    with pytest.raises(MdfError, match="no such file"):
        read_mdf(tmp_path / "none.mdf")
    (tmp_path / "text.mdf").write_text("hello")
    with pytest.raises(MdfError, match="expected an HDF5 file"):
        read_mdf(tmp_path / "text.mdf")
    info, _ = measurement(tmp_path / "m.mdf")
    whole = info.path.read_bytes()
    (tmp_path / "half.mdf").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MdfError):
        read_mdf(tmp_path / "half.mdf")
    with h5py.File(tmp_path / "m.mdf", "a") as file:
        del file["/acquisition/receiver/numChannels"]
    with pytest.raises(MdfError, match="expected the field /acquisition/receiver/numChannels"):
        read_mdf(tmp_path / "m.mdf")


def test_files_of_version_2_0_are_read_and_what_was_assumed_is_said(tmp_path):
    """Real scanners' files lack these fields, and their waveform is a scalar."""
    info, data = measurement(tmp_path / "m.mdf")
    missing = (
        "/acquisition/numPeriodsPerFrame",
        "/measurement/isSparsityTransformed",
        "/measurement/isFastFrameAxis",
        "/acquisition/numAverages",
        "/measurement/isBackgroundFrame",
    )
    with h5py.File(info.path, "a") as file:
        for name in (*missing, "/version", "/acquisition/drivefield/waveform"):
            del file[name]
        file["/version"] = "2.0.0"
        file["/acquisition/drivefield/waveform"] = "sine"
    mdf = read_mdf(info.path)
    np.testing.assert_array_equal(mdf.measurement.data, data)
    assert not mdf.measurement.is_background.any()
    assert mdf.setting.averages == 1
    said = " ".join(mdf.assumptions)
    for name in ("isFastFrameAxis", "numAverages", "isBackgroundFrame", "isSparsityTransformed"):
        assert name in said


WRITER = """
import sys, numpy as np, itertools
sys.path.insert(0, {tests!r})
import test_mdf as t
for number in itertools.count():
    data = np.full((number % 7 + 1, 1, t.C, 50_000), number, np.int16)
    name = f"{{sys.argv[1]}}-{{number}}.mdf"
    s = t.setting(samples=50_000)
    t.write_measurement(f"{folder}/{{name}}", s, data, [False] * len(data), provenance={{"number": number}})
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_whole_files_or_none(tmp_path):
    from pathlib import Path

    folder = tmp_path / "data"
    folder.mkdir()
    program = WRITER.format(tests=str(Path(__file__).parent), folder=str(folder))
    rng = np.random.default_rng(4)
    announced = 0
    for run in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(run)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout.readline() == "0\n"
        time.sleep(rng.uniform(0, 0.08))
        writer.send_signal(signal.SIGKILL)
        announced += 1 + len(writer.communicate()[0].splitlines())
        assert writer.returncode == -signal.SIGKILL
    files = sorted(folder.glob("[!.]*.mdf"))
    assert len(files) >= announced
    for path in files:
        number = int(path.stem.split("-")[1])
        mdf = read_mdf(path)
        assert mdf.provenance == {"number": number}
        assert mdf.measurement.data.shape == (number % 7 + 1, 1, C, 50_000)
        assert (mdf.measurement.data == number).all()
    others = {path.suffix for path in folder.iterdir()} - {".mdf"}
    assert others <= {".part"}, "beside whole files only parts, under hidden names"
    assert all(path.name.startswith(".") for path in folder.glob("*.part"))


def test_provenance_is_json_in_the_file(tmp_path):
    info, _ = measurement(tmp_path / "m.mdf")
    with h5py.File(info.path, "r") as file:
        assert json.loads(file["/_nixel/provenance"].asstr()[()]) == PROVENANCE


def test_a_volume_is_written_with_x_fastest_and_comes_back(tmp_path):
    grid = Grid((2, 3, 4), (2e-3, 6e-3, 12e-3))
    rng = np.random.default_rng(3)
    spectra = (rng.normal(size=(1, C, K, 25)) + 1j * rng.normal(size=(1, C, K, 25))).astype(np.complex64)
    write_calibration(
        tmp_path / "matrix.mdf",
        setting(conversion=None),
        spectra,
        grid,
        frame_permutation=np.arange(1, 26),
        delta_sample_size=(1e-3, 2e-3, 3e-3),
        snr=None,
        provenance=PROVENANCE,
    )
    with h5py.File(tmp_path / "matrix.mdf") as file:
        assert file["/calibration/size"][:].tolist() == [4, 3, 2]
        np.testing.assert_allclose(file["/calibration/fieldOfView"], [12e-3, 6e-3, 2e-3])
        # Voxel 1 is the next along x, voxel 4 along y, voxel 12 along z.
        steps = file["/calibration/positions"][[1, 4, 12]] - file["/calibration/positions"][0]
        np.testing.assert_allclose(steps, np.diag([3e-3, 2e-3, 1e-3]), atol=1e-15)
        assert file["/measurement/isBackgroundFrame"][:].tolist() == [0] * 24 + [1]
    assert read_mdf(tmp_path / "matrix.mdf").calibration.size == (4, 3, 2)
    images = np.arange(48, dtype=np.float32).reshape(2, 2, 3, 4)
    write_reconstruction(tmp_path / "image.mdf", setting(), images, grid, provenance=PROVENANCE)
    np.testing.assert_array_equal(read_mdf(tmp_path / "image.mdf").reconstruction.images(), images)
