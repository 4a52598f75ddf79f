"""The checker of MDF files, one broken rule at a time; the files are made from the specification, not by the writer."""

import math
import tempfile
from pathlib import Path

import h5py
import mdf_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdf_files import C, D, F, J, K, N, O, P, Q, S, V, write

from nixel.acquisition.formats import mdf_contents, mdf_rules
from nixel.acquisition.formats.mdf import MdfError, check_mdf, read_mdf

KINDS = ("measurement", "calibration", "selected", "compressed", "reconstruction")
GOOD = {kind: getattr(mdf_files, kind)() for kind in KINDS}
# Each field once, in the first of them that has it.
EACH = [
    (k, p) for n, k in enumerate(KINDS) for p in GOOD[k] if not any(p in GOOD[other] for other in KINDS[:n])
]
EACH = [(k, p) for k, p in EACH if "/_" not in p]  # nor those of the file's writer
# Fields that may be left out of a file that has their group; a flag asks for some of them.
OPTIONAL = {
    *("/study/time", "/scanner/boreSize", "/tracer/injectionTime"),
    *("/acquisition/gradient", "/acquisition/offsetField"),
    *(f"/acquisition/receiver/{n}" for n in ("dataConversionFactor", "inductionFactor", "transferFunction")),
    *(f"/calibration/{n}" for n in ("deltaSampleSize", "offsetFields", "snr")),
    "/reconstruction/isOverscanRegion",
    *(
        f"/{group}/{name}"
        for group in ("calibration", "reconstruction")
        for name in ("fieldOfView", "fieldOfViewCenter", "order", "positions", "size")
    ),
}


def ours(fields):
    """Fields of the specification, not those of the file's writer."""
    return [path for path in fields if "/_" not in path]


def errors(tmp_path, fields):
    return check_mdf(write(tmp_path / "a.mdf", fields)).errors


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_as_the_specification_wants_it_is_good(tmp_path, kind):
    report = check_mdf(write(tmp_path / "a.mdf", GOOD[kind]))
    assert report.errors == []
    assert report.warnings == []


def test_the_letters_are_told(tmp_path):
    sizes = check_mdf(write(tmp_path / "a.mdf", GOOD["compressed"])).sizes
    said = {"N": N, "O": O, "E": 2, "J": J, "C": C, "D": D, "F": F, "V": V, "K": K, "Y": 4, "A": 8, "B": 2}
    assert said.items() <= sizes.items()
    sizes = check_mdf(write(tmp_path / "a.mdf", GOOD["reconstruction"])).sizes
    assert {"Q": Q, "P": P, "S": S}.items() <= sizes.items()
    assert check_mdf(write(tmp_path / "a.mdf", GOOD["selected"])).sizes["K"] == 4


MANDATORY = [(kind, path) for kind, path in EACH if path not in OPTIONAL]


@pytest.mark.parametrize(("kind", "path"), MANDATORY)
def test_a_mandatory_or_conditional_field_that_is_missing_is_found(tmp_path, kind, path):
    found = errors(tmp_path, {name: value for name, value in GOOD[kind].items() if name != path})
    assert path in [finding.path for finding in found]


@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind, path in EACH if path in OPTIONAL],
)
def test_an_optional_field_may_be_left_out(tmp_path, kind, path):
    assert not errors(tmp_path, {name: value for name, value in GOOD[kind].items() if name != path})


@pytest.mark.parametrize("group", ["study", "experiment", "scanner", "acquisition"])
def test_a_mandatory_group_that_is_missing_is_found(tmp_path, group):
    fields = {p: v for p, v in GOOD["measurement"].items() if not p.startswith(f"/{group}/")}
    assert f"/{group}" in [finding.path for finding in errors(tmp_path, fields)]


def of_another_type(value):
    """The same numbers in a type that the specification has not for them."""
    if isinstance(value, str):
        return np.int64(1)
    if value.dtype == object:
        return np.ones(value.shape, np.int64)
    other = {"i1": "u1", "i2": "u2", "i4": "u4", "i8": "u8", "f8": "f2", "f4": "f2", "c16": "f8", "c8": "f2"}
    with np.errstate(invalid="ignore", over="ignore"):
        return value.real.astype(other[value.dtype.str[1:]])


@pytest.mark.parametrize(("kind", "path"), EACH)
def test_another_type_is_found(tmp_path, kind, path):
    found = errors(tmp_path, GOOD[kind] | {path: of_another_type(GOOD[kind][path])})
    assert path in [finding.path for finding in found]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/acquisition/numFrames", np.int32(N)),
        ("/acquisition/drivefield/baseFrequency", np.float32(2.5e6)),
        ("/acquisition/drivefield/baseFrequency", np.int64(2500000)),
        ("/experiment/isSimulation", np.int64(0)),
        ("/experiment/isSimulation", np.bool_(False)),
        ("/study/number", "3"),
        ("/acquisition/receiver/transferFunction", np.ones((C, K), np.complex64)),
        ("/acquisition/receiver/transferFunction", np.ones((C, K), [("re", "f8"), ("im", "f8")])),
        ("/measurement/data", np.zeros((N, J, C, V), np.uint16)),
        ("/measurement/data", np.zeros((N, J, C, V), [("r", "f4"), ("i", "f8")])),
    ],
)
def test_a_type_near_the_right_one_is_found(tmp_path, path, value):
    (finding,) = [f for f in errors(tmp_path, GOOD["measurement"] | {path: value}) if f.path == path][:1]
    assert finding.remedy


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "f4", "f8"])
def test_any_of_the_number_types_is_taken(tmp_path, dtype):
    data = np.ones((N, J, C, V), dtype)
    assert not errors(tmp_path, GOOD["measurement"] | {"/measurement/data": data})
    numbers = np.zeros((J, C, K, N), [("r", dtype), ("i", dtype)])
    assert not errors(tmp_path, GOOD["calibration"] | {"/measurement/data": numbers})
    frames = np.zeros((Q, P, S), dtype)
    assert not errors(tmp_path, GOOD["reconstruction"] | {"/reconstruction/data": frames})


SHAPED = [
    (kind, path, axis)
    for kind, path in [*EACH, ("calibration", "/measurement/data"), ("compressed", "/measurement/data")]
    for axis in range(getattr(GOOD[kind][path], "ndim", 0))
    # The number of pictures and of channels is said by the data alone.
    if (path, axis) not in {("/reconstruction/data", 0), ("/reconstruction/data", 2)}
]


@pytest.mark.parametrize(("kind", "path", "axis"), SHAPED)
def test_one_more_along_any_dimension_is_found(tmp_path, kind, path, axis):
    value = GOOD[kind][path]
    longer = np.concatenate([value, value.take([0], axis)], axis)
    assert errors(tmp_path, GOOD[kind] | {path: longer})


DRIVE, RECEIVER, MEASUREMENT = "/acquisition/drivefield", "/acquisition/receiver", "/measurement"
TIME, UUID = "yyyy-mm-ddThh:mm:ss.ms", "8-4-4-4-12"
BROKEN = [
    ("measurement", "/time", "2020-02-30T00:00:00.000", TIME),
    ("measurement", "/time", "2020-02-29 12:34:56.789", TIME),
    ("measurement", "/time", "2020-02-29T12:34:56.789Z", TIME),
    ("measurement", "/time", "2020-02-29T12:34:56.7891", TIME),
    ("measurement", "/time", "", TIME),
    ("measurement", "/study/time", "yesterday", TIME),
    ("measurement", "/acquisition/startTime", "2020-02-29T25:00:00", TIME),
    ("measurement", "/tracer/injectionTime", np.array(["2020-02-29T12:00:00"] * 7 + ["x"], object), TIME),
    ("measurement", "/uuid", "3170fdf8f8e14cbfac7341520b41f6ee", UUID),
    ("measurement", "/study/uuid", "{295258fe-b650-4e5f-96db-b83f11089a6c}", UUID),
    ("measurement", "/experiment/uuid", "f96dbc48-1ebd-44c7-b04d-1b45da05469g", UUID),
    ("measurement", "/version", "two", "a version"),
    ("measurement", "/version", "1.0.5", "2.0.0 or later"),
    ("measurement", "/experiment/isSimulation", np.int8(2), "0 or 1"),
    ("measurement", f"{MEASUREMENT}/isBackgroundFrame", np.array([1, 0, 0, 0, -1], np.int8), "0 or 1"),
    ("measurement", f"{MEASUREMENT}/isBackgroundCorrected", np.int8(-1), "0 or 1"),
    ("reconstruction", "/reconstruction/isOverscanRegion", np.full(P, 3, np.int8), "0 or 1"),
    ("measurement", "/acquisition/numAverages", np.int64(0), "1 or more"),
    ("measurement", "/acquisition/numFrames", np.int64(-5), "1 or more"),
    ("measurement", "/acquisition/numPeriodsPerFrame", np.int64(0), "1 or more"),
    ("measurement", f"{RECEIVER}/numChannels", np.int64(0), "1 or more"),
    ("measurement", f"{RECEIVER}/numSamplingPoints", np.int64(0), "1 or more"),
    ("measurement", f"{RECEIVER}/bandwidth", np.float64(0), "more than 0"),
    ("measurement", "/scanner/boreSize", np.float64(-1), "more than 0"),
    ("measurement", f"{DRIVE}/baseFrequency", np.float64("nan"), "more than 0"),
    ("measurement", f"{DRIVE}/numChannels", np.int64(0), "1 or more"),
    ("measurement", f"{DRIVE}/divider", np.zeros((D, F), np.int64), "1 or more"),
    ("measurement", f"{DRIVE}/cycle", np.float64(12 / 2.5e6), "lcm(divider) / baseFrequency"),
    ("measurement", f"{DRIVE}/cycle", np.float64(2 * 24 / 2.5e6), "lcm(divider) / baseFrequency"),
    ("measurement", f"{DRIVE}/phase", np.full((J, D, F), np.pi), "[-pi, pi)"),
    ("measurement", f"{DRIVE}/phase", np.full((J, D, F), np.nan), "[-pi, pi)"),
    ("measurement", f"{DRIVE}/strength", np.full((J, D, F), np.inf), "finite"),
    ("measurement", f"{DRIVE}/waveform", np.full((D, F), "Sine", object), "sine, triangle, custom"),
    ("measurement", f"{DRIVE}/waveform", "sine", "D x F"),
    ("measurement", f"{MEASUREMENT}/isFourierTransformed", np.int8(1), "complex numbers"),
    ("calibration", f"{MEASUREMENT}/isFourierTransformed", np.int8(0), "real numbers"),
    ("measurement", f"{MEASUREMENT}/isFastFrameAxis", np.int8(1), "J x C x W x N"),
    ("calibration", f"{MEASUREMENT}/isFastFrameAxis", np.int8(0), "N x J x C x K"),
    ("measurement", "/acquisition/numPeriodsPerFrame", np.int64(1), "J x D x F = 1 x 2 x 3"),
    ("measurement", f"{RECEIVER}/numChannels", np.int64(C + 1), "C x 2 = 4 x 2"),
    ("measurement", "/acquisition/numFrames", np.int64(N + 1), "N = 6"),
    ("measurement", f"{RECEIVER}/numSamplingPoints", np.int64(V - 2), "W = 5 x 2 x 3 x 22"),
    ("calibration", f"{MEASUREMENT}/framePermutation", np.arange(N), "each of 1 to 5 once"),
    ("calibration", f"{MEASUREMENT}/framePermutation", np.array([1, 1, 2, 3, 4]), "each of 1 to 5 once"),
    ("selected", f"{MEASUREMENT}/frequencySelection", np.array([0, 2, 4, 5]), "from 1 to 13"),
    ("selected", f"{MEASUREMENT}/frequencySelection", np.array([2, 3, 4, K + 1]), "from 1 to 13"),
    ("selected", f"{MEASUREMENT}/frequencySelection", np.array([2, 2, 4, 5]), "different numbers"),
    ("selected", f"{RECEIVER}/transferFunction", np.ones((C, K), complex), "C x K = 3 x 4"),
    ("selected", "/calibration/snr", np.ones((J, C, K)), "J x C x K = 2 x 3 x 4"),
    ("compressed", f"{MEASUREMENT}/sparsityTransformation", "FFT", "DCT-I"),
    ("compressed", f"{MEASUREMENT}/isFastFrameAxis", np.int8(0), "1 only where isFastFrameAxis is 1"),
    (
        "compressed",
        f"{MEASUREMENT}/isFourierTransformed",
        np.int8(0),
        "1 only where isFourierTransformed is 1",
    ),
    ("compressed", f"{MEASUREMENT}/isBackgroundFrame", np.array([1, 0, 0, 0, 1], np.int8), "then background"),
    ("compressed", f"{MEASUREMENT}/subsamplingIndices", np.full((J, C, K, 2), [0, 1]), "from 1 to 3"),
    ("compressed", f"{MEASUREMENT}/subsamplingIndices", np.full((J, C, K, 2), [1, 4]), "from 1 to 3"),
    ("compressed", f"{MEASUREMENT}/subsamplingIndices", np.full((J, C, K, 2), 2), "different numbers"),
    ("compressed", f"{MEASUREMENT}/subsamplingIndices", np.full((J, C, K, 4), [1, 2, 3, 4]), "at most O = 3"),
    ("compressed", "/calibration/size", None, "the grid that was compressed"),
    ("compressed", f"{MEASUREMENT}/data", mdf_files.spectra(), "J x C x K x B+E = 2 x 3 x 13 x 4"),
    ("calibration", "/calibration/size", np.array([2, 2, 1]), "product is O = 3"),
    ("calibration", "/calibration/size", np.array([-3, -1, 1]), "1 or more"),
    ("calibration", "/calibration/order", "xy", "xyz"),
    ("calibration", "/calibration/order", "XYZ", "xyz"),
    ("calibration", "/calibration/deltaSampleSize", np.array([1.0, -1, 1]), "0 or more"),
    ("calibration", "/calibration/fieldOfView", np.array([1.0, np.nan, 1]), "0 or more"),
    ("calibration", "/calibration/positions", np.zeros((N, 3)), "O x 3 = 3 x 3"),
    ("calibration", "/calibration/offsetFields", np.zeros((3, N)), "O x 3 = 3 x 3"),
    ("calibration", "/calibration/fieldOfViewCenter", np.zeros(2), "dimensions 3"),
    ("reconstruction", "/reconstruction/size", np.array([2, 3, 2]), "product is P = 6"),
    ("reconstruction", "/reconstruction/order", "xxy", "xyz"),
    ("reconstruction", "/reconstruction/positions", np.zeros((3, P)), "P x 3 = 6 x 3"),
    ("reconstruction", "/reconstruction/data", np.zeros((Q, P)), "Q x P x S"),
    ("measurement", "/tracer/volume", np.zeros(7), "A = 8"),
    ("measurement", "/tracer/name", "one", "A = 8"),
    ("measurement", "/acquisition/gradient", np.eye(3), "J x Y x 3 x 3"),
    ("measurement", "/acquisition/offsetField", np.zeros((J, 1, 3)), "J x Y x 3 = 2 x 4 x 3"),
    ("measurement", "/study/bnumber", np.int64(1), "begins with an underscore"),
    ("measurement", "/measurement/isfastframeaxis", np.int8(0), "begins with an underscore"),
    ("measurement", "/room/temperature", np.float64(1), "begins with an underscore"),
    ("measurement", "/study/name/deeper", np.float64(1), "a dataset"),
]


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"), BROKEN, ids=[f"{p}: {e}" for _, p, _, e in BROKEN]
)
def test_a_broken_rule_is_found(tmp_path, kind, path, value, expected):
    fields = GOOD[kind] | {path: value}
    if path.endswith("/deeper"):
        del fields["/study/name"]
    found = errors(tmp_path, {name: given for name, given in fields.items() if given is not None})
    assert any(expected in finding.expected for finding in found), [str(f) for f in found]
    assert all(finding.found and finding.remedy.endswith(".") for finding in found)


def test_everything_that_is_wrong_is_found_at_once(tmp_path):
    wrong = {
        path: value
        for kind, path, value, _ in BROKEN
        if kind == "measurement" and path[1:5] in ("time", "uuid")
    }
    wrong |= {"/tracer/volume": np.zeros(7), f"{DRIVE}/cycle": np.float64(1), "/stray": np.int64(1)}
    found = {finding.path for finding in errors(tmp_path, GOOD["measurement"] | wrong)}
    assert found == {"/time", "/uuid", "/tracer/volume", f"{DRIVE}/cycle", "/stray"}


WARNED = [
    ("measurement", f"{RECEIVER}/bandwidth", np.float64(1e6), "bandwidth"),
    ("measurement", f"{RECEIVER}/numSamplingPoints", np.int64(2 * V), "W = 48"),
    ("calibration", f"{MEASUREMENT}/isFramePermutation", np.int8(0), "no such field"),
    ("selected", f"{MEASUREMENT}/isFrequencySelection", np.int8(0), "K = 13"),
    ("measurement", "/acquisition/numAverages", np.array([10]), "a single value"),
    ("measurement", f"{DRIVE}/strength", np.full((J, D, F), 0.012, ">f8"), "little-endian"),
    ("measurement", f"{DRIVE}/customWaveform", "a.csv", "a name of the specification"),
    ("measurement", "/version", "2.2.0", "2.1.0"),
    ("measurement", "/version", "2.0.1", "MDF 2.1"),
]


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"), WARNED, ids=[f"{p}: {e}" for _, p, _, e in WARNED]
)
def test_what_keeps_the_rules_but_surprises_is_warned_of(tmp_path, kind, path, value, expected):
    report = check_mdf(write(tmp_path / "a.mdf", GOOD[kind] | {path: value}))
    assert report.errors == []
    assert any(expected in finding.expected for finding in report.warnings)


def test_chunks_are_warned_of(tmp_path):
    fields = dict(GOOD["measurement"])
    data = fields.pop("/measurement/data")
    with h5py.File(write(tmp_path / "a.mdf", fields), "a") as file:
        file.create_dataset("/measurement/data", data=data, chunks=True, compression="gzip")
    report = check_mdf(tmp_path / "a.mdf")
    assert report.errors == []
    assert [(w.path, w.found) for w in report.warnings] == [("/measurement/data", "chunks or filters")]


def test_what_compressed_files_of_the_reference_count_is_found_with_what_to_do(tmp_path):
    """It counts the coefficients that were kept as frames; the specification counts the frames."""
    fields = GOOD["compressed"] | {
        "/acquisition/numFrames": np.int64(4),
        "/measurement/isBackgroundFrame": np.array([0, 0, 1, 1], np.int8),
        "/measurement/subsamplingIndices": np.full((J, C, K, 2), [2, 1]),
    }
    (finding,) = [f for f in errors(tmp_path, fields) if f.path == "/calibration/size"]
    assert "numFrames = O + E" in finding.remedy


def test_a_calibration_without_its_data_and_a_file_without_any_are_told(tmp_path):
    fields = {p: v for p, v in GOOD["calibration"].items() if not p.startswith("/measurement/")}
    assert "/measurement" in [f.path for f in errors(tmp_path, fields)]
    report = check_mdf(write(tmp_path / "a.mdf", mdf_files.common()))
    assert not report.errors
    assert [warning.path for warning in report.warnings] == ["/"]


def test_text_that_is_not_unicode_is_found(tmp_path):
    path = write(tmp_path / "a.mdf", {k: v for k, v in GOOD["measurement"].items() if k != "/study/name"})
    with h5py.File(path, "a") as file:
        file.create_dataset("/study/name", data=np.bytes_(b"K\xfcken"))
    assert [(f.path, f.expected) for f in check_mdf(path).errors] == [("/study/name", "text in UTF-8")]
    assert read_mdf(path).labels.study == "K\N{REPLACEMENT CHARACTER}ken"


def test_a_file_of_version_2_0_is_good_and_what_is_assumed_is_said(tmp_path):
    path = write(tmp_path / "a.mdf", mdf_files.old())
    report = check_mdf(path)
    assert report.errors == []
    lacking = {"/acquisition/numPeriodsPerFrame", f"{MEASUREMENT}/isFastFrameAxis"}
    lacking |= {f"{MEASUREMENT}/isSparsityTransformed", f"{DRIVE}/waveform"}
    assert {warning.path for warning in report.warnings} == lacking | {"/version"}
    mdf = read_mdf(path)
    assert mdf.measurement.data.shape == (N, J, C, V)
    said = " ".join(mdf.assumptions)
    assert all(field in said for field in lacking)
    assert "assumed 2, as the data has" in said
    # The same is an error of a file that says it is of version 2.1.
    found = errors(tmp_path, mdf_files.old() | {"/version": "2.1.0"})
    assert {finding.path for finding in found} == lacking


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_hdf5_is_no_mdf(tmp_path, content):
    (tmp_path / "a.mdf").write_bytes(content)
    with pytest.raises(MdfError, match="expected an HDF5 file that is whole"):
        check_mdf(tmp_path / "a.mdf")
    with pytest.raises(MdfError, match="no such file"):
        check_mdf(tmp_path / "b.mdf")


def test_hdf5_of_others_is_no_mdf(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["/entry/data"] = np.zeros(3)
    with pytest.raises(MdfError, match="without any of them"):
        check_mdf(tmp_path / "a.h5")


CHANGES = ("type", "longer", "shorter", "flat", "missing")


def changed(value, how, axis):
    """Something that the specification does not allow in the place of a value; None where it is to be left out."""
    if how == "missing":
        return None
    if how == "type" or not getattr(value, "ndim", 0):
        return of_another_type(value)
    axis %= value.ndim
    if how == "flat":
        return np.stack([value, value])
    if how == "longer":
        return np.concatenate([value, value.take([0], axis)], axis)
    return value.take(range(value.shape[axis] - 1), axis)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(KINDS), st.data(), st.sampled_from(CHANGES), st.integers(0, 3))
def test_no_change_to_one_field_goes_unnoticed(kind, data, how, axis):
    path = data.draw(st.sampled_from(ours(GOOD[kind])))
    value = changed(GOOD[kind][path], how, axis)
    fields = {name: given for name, given in (GOOD[kind] | {path: value}).items() if given is not None}
    with tempfile.TemporaryDirectory() as folder:
        report = check_mdf(write(Path(folder) / "a.mdf", fields))
    left_out = value is None and path in OPTIONAL and (kind, path) != ("compressed", "/calibration/size")
    # How many pictures and channels there are is said by the pictures alone.
    pictures = path == "/reconstruction/data" and how in ("longer", "shorter") and axis % 3 != 1
    if left_out or pictures:
        assert report.errors == []
    else:
        # Fewer samples may be a lower bandwidth, which is warned of.
        assert report.errors or report.warnings


def test_a_multiple_beyond_all_numbers_is_no_trouble(tmp_path):
    primes = [p for p in range(2, 4000) if all(p % q for q in range(2, math.isqrt(p) + 1))][: D * 100]
    dividers = np.array(primes, np.int64).reshape(D, 100)
    assert errors(tmp_path, GOOD["measurement"] | {f"{DRIVE}/divider": dividers})


@pytest.mark.parametrize("indices", [[3, 1], [2, 2], [0, 1], [4, 1]])
def test_indices_too_many_for_memory_are_looked_at_in_parts(tmp_path, monkeypatch, indices):
    monkeypatch.setattr(mdf_contents, "LARGEST_VALUE", 600)
    monkeypatch.setattr(mdf_rules, "_BLOCK", 7)
    kept = np.full((J, C, K, 2), [3, 1], np.int32)
    kept[-1, -1, -1] = indices
    found = errors(tmp_path, GOOD["compressed"] | {f"{MEASUREMENT}/subsamplingIndices": kept})
    assert [f.path for f in found] == ([] if indices == [3, 1] else [f"{MEASUREMENT}/subsamplingIndices"])


def test_a_group_of_thousands_of_names_is_found_and_not_gone_through(tmp_path):
    fields = GOOD["measurement"] | {f"/acquisition/{number}": np.int8(0) for number in range(1500)}
    found = errors(tmp_path, fields)
    # Beside them there are six fields and two groups.
    assert "1508" in next(f.found for f in found if f.path == "/acquisition")
    assert len(found) < 1100
