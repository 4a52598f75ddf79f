"""What a run left on the disk becomes the dataset that the run would have made, or is discarded, and says which."""

import contextlib
import os
import shutil
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pytest

from nixel.acquisition import finishing, scan_recording
from nixel.acquisition.finishing import finish, recording_of, repair
from nixel.acquisition.formats.blocks import blocks
from nixel.acquisition.formats.mdf import MdfError, read_mdf
from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.protocol import CalibrationProtocol, ScanProtocol
from nixel.acquisition.recording import Spool
from nixel.acquisition.scan import calibrate, measure

SCAN = ScanProtocol(frames=6, averages=3, background_frames=2, seed=5)
CALIBRATION = CalibrationProtocol(
    grid=(2, 3), field_of_view=("8 mm", "12 mm"), averages=10, background_frames=3, seed=5
)


def full(*_arguments, **_options):
    raise OSError(28, "No space left on device")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each run once, and what came of it: a folder to copy from."""
    return tmp_path_factory.mktemp("runs"), {}


@pytest.fixture
def run(scanner, safety, runs):
    """Make a run, or find it made already; gives its dataset's path."""
    folder, made = runs

    def once(protocol, name, expected=contextlib.nullcontext()):  # noqa: B008
        if name not in made:
            write = calibrate if isinstance(protocol, CalibrationProtocol) else measure
            path = folder / f"{name}.mdf"
            with expected:
                write(scanner.instrument, protocol, path=path, safety=safety, provenance={"by": "x"})
            made[name] = path
        return made[name]

    return once


@pytest.fixture
def left(run, tmp_path, monkeypatch):
    """What a run left whose dataset could not be written, the disk being full."""

    def make(protocol=SCAN):
        with monkeypatch.context() as patched:
            patched.setattr(finishing, "_finish", full)
            failure = pytest.raises(OSError, match="No space left")
            path = run(protocol, f"left-{type(protocol).__name__}", failure)
        assert not path.exists()
        return shutil.copytree(recording_of(path), recording_of(tmp_path / "m.mdf"))

    return make


@pytest.fixture
def whole(run):
    """The dataset of the same run, undisturbed."""
    return lambda protocol=SCAN: run(protocol, f"whole-{type(protocol).__name__}")


@pytest.mark.parametrize("protocol", [SCAN, CALIBRATION], ids=["scan", "calibration"])
def test_a_recording_is_finished_to_the_very_bytes(left, whole, protocol, tmp_path):
    recording = left(protocol)
    expected = whole(protocol).read_bytes()
    (outcome,) = repair(tmp_path)
    assert (outcome.recording, outcome.dataset, outcome.result) == (recording, tmp_path / "m.mdf", "finished")
    assert outcome.dataset.read_bytes() == expected
    assert not recording.exists()
    assert list(repair(tmp_path)) == []


def test_a_journal_without_its_end_is_complete_if_every_frame_is_there(left, whole, tmp_path):
    journal = left() / "journal"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    (outcome,) = repair(tmp_path)
    assert outcome.result == "finished"
    assert outcome.dataset.read_bytes() == whole().read_bytes()


def cut(recording, frames, extra=b"half a line"):
    """What a crash after so many committed frames would have left; the bytes of the others are there."""
    journal = recording / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: 1 + frames]) + extra)


@pytest.mark.parametrize("frames", range(9))
def test_a_recording_that_was_cut_off_keeps_its_committed_frames(left, whole, tmp_path, frames):
    recording = left()
    size = 2 * 1632 * 4
    if frames < 8:
        cut(recording, frames)
    (outcome,) = repair(tmp_path)
    assert not recording.exists()
    if frames <= 2:
        assert (outcome.result, outcome.dataset) == ("discarded", None)
        assert "none of the subject, so nothing is kept" in outcome.text
        assert not (tmp_path / "m.mdf").exists()
    else:
        assert outcome.result == "finished" if frames == 8 else "incomplete"
        expected = read_mdf(whole()).measurement
        found = read_mdf(outcome.dataset)
        np.testing.assert_array_equal(found.measurement.data, expected.data[:frames])
        assert found.measurement.is_background.tolist() == [n < 2 for n in range(frames)]
    if frames < 8:
        assert f"{frames} of 8 frames" in outcome.text
        assert outcome.why == "it was cut off"
        assert outcome.tail == (8 - frames) * size + len("half a line")
        assert f"a tail of {outcome.tail} bytes had not been committed and is discarded" in outcome.words


def test_an_incomplete_calibration_is_discarded_and_says_so(left, tmp_path):
    recording = left(CALIBRATION)
    cut(recording, 5)
    (outcome,) = repair(tmp_path)
    assert (outcome.result, outcome.dataset) == ("discarded", None)
    assert "5 of 11 frames" in outcome.text
    assert "a calibration with positions missing is of no use" in outcome.text
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_frame_is_named_and_left_out(left, whole, tmp_path):
    recording = left()
    content = bytearray((recording / "frames.0").read_bytes())
    content[4 * 2 * 1632 * 4 + 7] ^= 1
    (recording / "frames.0").write_bytes(content)
    (outcome,) = repair(tmp_path)
    assert (outcome.result, outcome.damaged) == ("incomplete", (4,))
    assert "7 of 8 frames" in outcome.text
    assert outcome.why == "damaged on the disk, and left out: 4"
    mdf = read_mdf(outcome.dataset)
    expected = np.delete(read_mdf(whole()).measurement.data, 4, axis=0)
    np.testing.assert_array_equal(mdf.measurement.data, expected)
    assert (mdf.extras["complete"], mdf.extras["committed"]) == (0, 8)
    assert "left out: 4" in mdf.extras["reason"]


def tree(folder):
    return {
        path.relative_to(folder): (path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def test_a_dry_run_says_the_same_and_changes_nothing(left, tmp_path):
    cut(left(), 5)
    before = tree(tmp_path)
    (said,) = repair(tmp_path, dry_run=True)
    assert tree(tmp_path) == before
    (done,) = repair(tmp_path)
    assert said == done


def test_a_dataset_that_was_whole_when_the_crash_came_is_not_made_twice(left, whole, tmp_path):
    recording = left()
    shutil.copy(whole(), tmp_path / "m.mdf")
    (outcome,) = repair(tmp_path)
    assert outcome.result == "finished"
    assert not recording.exists()


def test_a_deletion_that_a_crash_cut_off_is_ended(left, tmp_path, monkeypatch):
    recording = left()
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_arguments, **_options: None)
        (outcome,) = repair(tmp_path)
    assert outcome.result == "finished"
    assert not recording.exists()
    (rest,) = set(tmp_path.iterdir()) - {tmp_path / "m.mdf"}
    (rest / "journal").unlink()
    assert list(repair(tmp_path, dry_run=True)) == []
    assert rest.is_dir()
    assert list(repair(tmp_path)) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "m.mdf"]


def test_another_file_of_the_datasets_name_is_not_touched(left, tmp_path):
    recording = left()
    (tmp_path / "m.mdf").write_text("somebody else's")
    before = tree(tmp_path)
    (outcome,) = repair(tmp_path)
    assert outcome.result == "left"
    assert "Move one of the two away" in outcome.text
    assert tree(tmp_path) == before
    assert recording.is_dir()


def test_a_disk_that_is_full_leaves_the_recording_as_it_is(left, whole, tmp_path, monkeypatch):
    recording = left()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        (outcome,) = repair(tmp_path)
    assert outcome.result == "left"
    assert "No space left on device" in outcome.text
    assert recording.is_dir()
    (outcome,) = repair(tmp_path)
    assert outcome.dataset.read_bytes() == whole().read_bytes()


def test_what_is_written_now_is_left_alone(tmp_path):
    spool = Spool.create(tmp_path / "m.mdf.recording", shape=(2,), dtype="<i2", what={})
    held = spool.hold()
    assert finish(spool.folder).result == "busy"
    spool.close()
    assert finish(spool.folder).result == "busy"
    assert finish(spool.folder, held=held).result == "left"
    assert spool.folder.is_dir()


def test_a_recording_of_another_format_stays_and_is_named(tmp_path):
    Spool.create(tmp_path / "m.mdf.recording", shape=(2,), dtype="<i2", what={"format": "hologram"}).close()
    (outcome,) = repair(tmp_path)
    assert outcome.result == "left"
    assert "found 'hologram'" in outcome.text
    assert all(name in outcome.text for name in finishing.FINISHERS)


@pytest.mark.parametrize("content", [None, b"", b'{"version":1,"rec'])
def test_what_was_cut_off_before_its_first_frame_is_discarded(tmp_path, content):
    recording = tmp_path / "m.mdf.recording"
    recording.mkdir()
    (recording / "lock").touch()
    if content is not None:
        (recording / "journal").write_bytes(content)
    assert [outcome.result for outcome in repair(tmp_path, dry_run=True)] == ["discarded"]
    assert recording.is_dir()
    (outcome,) = repair(tmp_path)
    assert (outcome.result, outcome.text) == ("discarded", "it was cut off before its first frame")
    assert not recording.exists()


def test_a_journal_whose_first_line_is_damaged_is_left_for_a_person(left, tmp_path):
    recording = left()
    journal = recording / "journal"
    journal.write_bytes(b"x" + journal.read_bytes()[1:])
    (outcome,) = repair(tmp_path)
    assert outcome.result == "left"
    assert recording.is_dir()


def test_no_run_begins_where_a_recording_was_left(left, scanner, safety, tmp_path):
    left()
    events = list(safety.events)
    with pytest.raises(MdfError, match="`nixel datasets repair` finishes it"):
        measure(scanner.instrument, SCAN, path=tmp_path / "m.mdf", safety=safety, provenance={})
    assert safety.events == events


@pytest.mark.parametrize("kind", ["measurement", "calibration"])
def test_the_memory_that_a_dataset_takes_does_not_grow_with_its_frames(tmp_path, kind):
    """Traced are NumPy's own arrays; what is mapped from files the system takes back when it needs it."""
    instrument = load_instrument("virtual-scanner")
    frames, peaks = np.random.default_rng(1).normal(0, 100, (64, 2, 1632)).astype(np.float32), {}
    for rows in (40, 80):
        protocol = CALIBRATION.model_copy(update={"grid": (rows, 64), "background_every": 0})
        if kind == "measurement":
            protocol = SCAN.model_copy(update={"frames": rows * 64, "background_frames": 0})
        count = rows * 64 + protocol.background_frames
        what = scan_recording.header(
            instrument,
            protocol,
            frames=count,
            buffer_frames=9,
            start=datetime(2026, 1, 2, tzinfo=UTC),
            conversion=np.array([[1e-6, 0.0]] * 2),
            devices={},
            provenance={},
        )
        spool = Spool.create(tmp_path / f"{rows}.mdf.recording", shape=(2, 1632), dtype="<f4", what=what)
        while (done := spool.committed) < count:
            part = frames[: count - done]
            notes = [{"background": done < protocol.background_frames, "end": done} for _ in part]
            spool.append(
                part[:1] if notes[0]["background"] else part, notes[: 1 if notes[0]["background"] else 64]
            )
            spool.commit()
        spool.close()
        tracemalloc.start()
        assert finish(spool.folder).result == "finished"
        peaks[rows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "80.mdf").stat().st_size > 60e6
    # Twice the frames, 33 MB more: their notes and hashes in the journal take more, their samples do not.
    assert peaks[80] < peaks[40] + 12e6


@pytest.mark.parametrize("shape", [(), (0,), (7,), (5, 3), (3, 4, 5), (1, 2, 3, 4), (2, 1, 50)])
@pytest.mark.parametrize("largest", [1, 8, 24, 100, 10_000])
def test_blocks_are_the_array_in_order_whatever_its_strides(shape, largest):
    whole = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)
    for array in (whole, whole.T, whole[::-1] if whole.ndim else whole):
        found, content = np.zeros(array.shape, np.int32), b""
        for index, block in blocks(array, largest):
            assert block.flags.c_contiguous
            assert block.nbytes <= max(largest, array.itemsize)
            found[index] = block
            content += block.tobytes()
        np.testing.assert_array_equal(found, array)
        assert content == array.tobytes()
