"""MDF files that are damaged or made to do harm: refused with a reason, whatever they claim, without a crash."""

import resource
import subprocess
import sys
import tracemalloc

import h5py
import mdf_files
import numpy as np
import pytest
from mdf_files import write

from nixel.acquisition.formats.mdf import MdfError, check_mdf, open_mdf, read_mdf
from nixel.acquisition.formats.mdf_inspect import inspect

LIMIT = 200 * 2**20  # bytes that looking at a small file may take, whatever the file claims


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "a.mdf", mdf_files.calibration())


def without(path, *fields):
    """Open a file for changes, and take these fields away."""
    file = h5py.File(path, "a")
    for field in fields:
        del file[field]
    return file


def frugally(call, *arguments):
    """Call, and see to it that it took no great memory."""
    tracemalloc.start()
    try:
        return call(*arguments)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < LIMIT


@pytest.mark.parametrize("field", ["/study/name", "/measurement/data", "/calibration/snr", "/study"])
def test_another_file_is_never_read(good, tmp_path, field):
    secret = write(tmp_path / "secret.mdf", mdf_files.calibration())
    with without(good, field) as file:
        file[field] = h5py.ExternalLink(secret, field)
    found = [f for f in check_mdf(good).errors if f.path == field]
    assert found
    if field != "/study":
        assert "link to another file" in found[0].found
        with pytest.raises(MdfError, match="a link to another file"):
            read_mdf(good)


def test_bytes_of_another_file_are_never_read(good, tmp_path):
    (tmp_path / "passwords").write_bytes(b"x" * 800)
    with without(good, "/calibration/snr") as file:
        file.create_dataset(
            "/calibration/snr", (2, 3, 13), "f8", external=[(str(tmp_path / "passwords"), 0, 624)]
        )
    assert [f.found for f in check_mdf(good).errors] == ["numbers kept in another file"]
    with pytest.raises(MdfError, match="numbers kept in another file"):
        read_mdf(good)


def test_a_virtual_dataset_is_not_read(good, tmp_path):
    other = write(tmp_path / "other.mdf", mdf_files.calibration())
    layout = h5py.VirtualLayout((2, 3, 13), "f8")
    layout[:] = h5py.VirtualSource(other, "/calibration/snr", (2, 3, 13))
    with without(good, "/calibration/snr") as file:
        file.create_virtual_dataset("/calibration/snr", layout)
    assert [f.found for f in check_mdf(good).errors] == ["numbers kept in another file"]


def test_links_that_go_round_are_not_followed(good):
    with without(good, "/study/name", "/tracer/name", "/scanner/name") as file:
        file["/study/study"] = file["/study"]
        file["/_loop/root"] = file["/"]
        file["/acquisition/drivefield/receiver"] = file["/acquisition"]
        file["/study/name"] = h5py.SoftLink("/study/name")
        file["/scanner/name"] = file["/"]
    found = {f.path: f.found for f in check_mdf(good).errors}
    assert found["/study/name"] == "a symbolic link"
    assert found["/scanner/name"] == "a group or a type"
    assert {"/study/study", "/acquisition/drivefield/receiver", "/tracer/name"} <= set(found)
    with pytest.raises(MdfError, match=r"found a symbolic link|found a group"):
        read_mdf(good)


@pytest.mark.parametrize(
    ("field", "dtype"),
    [
        ("/measurement/data", "c16"),
        ("/measurement/isBackgroundFrame", "i1"),
        ("/measurement/subsamplingIndices", "i8"),
        ("/calibration/positions", "f8"),
        ("/study/name", "S1000000"),
        ("/acquisition/numFrames", "i8"),
    ],
)
def test_a_shape_that_claims_more_than_there_is_takes_no_memory(good, field, dtype):
    with h5py.File(good, "a") as file:
        if field in file:
            del file[field]
        file.create_dataset(
            field, (2**14, 2**13, 2**10, 2**6), dtype, chunks=(1, 1, 1, 1), compression="gzip"
        )
    found = [f for f in frugally(check_mdf, good).errors if f.path == field]
    assert "bytes claimed" in found[0].found
    # A reader has no use for these.
    if field not in ("/measurement/subsamplingIndices", "/acquisition/numFrames"):
        with pytest.raises(MdfError):
            frugally(read_mdf, good)


def test_a_single_chunk_that_claims_gigabytes_takes_no_memory(good):
    with without(good, "/calibration/snr") as file:
        snr = file.create_dataset(
            "/calibration/snr", (2, 3, 13), "f8", maxshape=(None,) * 3, chunks=(2**9, 2**9, 2**9)
        )
        # A chunk of 40 bytes that says it is one of a gigabyte.
        snr.id.write_direct_chunk((0, 0, 0), b"\0" * 40)
    frugally(check_mdf, good)


@pytest.mark.parametrize("value", [h5py.Empty("f8"), h5py.Empty(h5py.string_dtype())])
def test_an_empty_dataset_is_found(good, value):
    with without(good, "/study/name") as file:
        file["/study/name"] = value
    assert [f.found for f in check_mdf(good).errors if f.path == "/study/name"] == ["an empty dataset"]


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(3, [("a", "i4"), ("b", "f8")]),
        np.zeros((2, 2), "V16"),
        np.array(1, h5py.enum_dtype({"A": 1})),
        np.zeros((), h5py.ref_dtype),
        np.array(np.datetime64("2020-01-01").astype("i8")).astype(h5py.opaque_dtype("M8[s]")),
    ],
    ids=["compound", "opaque", "enumeration", "reference", "time"],
)
@pytest.mark.parametrize(
    "field",
    ["/study/name", "/study/number", "/acquisition/drivefield/divider", "/measurement/data", "/version"],
)
def test_types_that_nobody_expects_are_findings_and_no_crash(good, field, value):
    with without(good, field) as file:
        file.create_dataset(field, value.shape, value.dtype)
    assert field in [f.path for f in check_mdf(good).errors]
    try:
        read_mdf(good)
    except MdfError:
        pass
    else:
        assert field != "/version"


def test_a_truncated_file_is_refused_wherever_it_ends(good):
    whole = good.read_bytes()
    for end in np.linspace(0, len(whole) - 1, 120, dtype=int):
        good.write_bytes(whole[:end])
        with pytest.raises(MdfError):
            check_mdf(good)
        with pytest.raises(MdfError):
            read_mdf(good)


FLIP = """
import sys
import numpy as np
from nixel.acquisition.formats.mdf import MdfError, check_mdf, read_mdf
whole, path = bytearray(open(sys.argv[1], "rb").read()), sys.argv[2]
for number in range(int(sys.argv[3]), int(sys.argv[4])):
    print(number, flush=True)
    rng, damaged = np.random.default_rng(number), bytearray(whole)
    for place in rng.integers(0, len(whole), rng.integers(1, 30)):
        damaged[place] = rng.integers(0, 256)
    open(path, "wb").write(damaged)
    for look in (check_mdf, read_mdf):
        try:
            look(path)
        except MdfError:
            pass
"""


def test_damaged_bytes_end_in_findings_or_a_refusal(good, tmp_path):
    """In a child, because the library itself may break down; what Python makes of it must not be a traceback."""
    number, end = 0, 60

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    while number < end:
        child = subprocess.run(
            [sys.executable, "-c", FLIP, str(good), str(tmp_path / "b.mdf"), str(number), str(end)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=limited,
        )
        assert "Traceback" not in child.stderr, child.stderr
        assert child.returncode <= 0
        number = int(child.stdout.split()[-1]) + 1
        if child.returncode:
            # The very file that broke the library down is refused by whoever lets another process look.
            refusals = []
            for what in ("check", "info"):
                try:
                    inspect(what, tmp_path / "b.mdf", seconds=5)
                except MdfError as error:
                    refusals.append(str(error))
            assert any("broke the HDF5 library down" in refusal for refusal in refusals)


def test_whoever_asks_survives_what_breaks_the_one_who_looks(good):
    assert inspect("check", good)["errors"] == []
    assert inspect("info", good)["kind"] == "calibration"
    with pytest.raises(MdfError, match="broke the HDF5 library down"):
        inspect("check", good, memory=2**26)
    good.write_text("hello")
    with pytest.raises(MdfError, match="expected an HDF5 file"):
        inspect("info", good)


def test_frames_are_read_a_part_at_a_time(tmp_path):
    frames, shape = 64, (1, 2, 2**16)
    fields = mdf_files.measurement() | {"/measurement/isBackgroundFrame": np.zeros(frames, np.int8)}
    fields["/measurement/data"] = np.arange(frames, dtype=np.int32)[:, None, None, None] * np.ones(
        (1, *shape), np.int32
    )
    path = write(tmp_path / "a.mdf", fields)
    assert path.stat().st_size > 32 * 2**20

    def read():
        with open_mdf(path) as mdf:
            assert mdf.measurement.data.shape == (frames, *shape)
            return [mdf.measurement.frames(n, n + 1).data[0, 0, 0, 5] for n in range(frames)]

    tracemalloc.start()
    assert read() == list(range(frames))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20
