"""`nixel datasets repair`: what it says, what it enters into the store, and its exit status."""

import hashlib
import shutil

import pytest
from stored_runs import enter_scan
from typer.testing import CliRunner
from whole_system import INSTRUMENT, patient_bench

from nixel.acquisition import finishing
from nixel.acquisition.protocol import ScanProtocol
from nixel.acquisition.recording import Spool
from nixel.acquisition.scan import measure
from nixel.imaging import pipeline
from nixel.imaging.cli import app
from nixel.imaging.store import (
    Database,
    DataFolder,
    Dataset,
    DatasetKind,
    Event,
    RunState,
)

PROTOCOL = ScanProtocol(frames=5, averages=2, background_frames=1, seed=3)
SIZE = 2 * 1632 * 4


def full(*_arguments, **_options):
    raise OSError(28, "No space left on device")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """What a run left whose dataset could not be written."""
    path = tmp_path_factory.mktemp("left") / "run-000001.mdf"
    with patient_bench(INSTRUMENT) as bench, pytest.MonkeyPatch.context() as patched:
        bench.arm()
        patched.setattr(finishing, "_finish", full)
        record = pipeline.dataset_provenance(
            bench.instrument, DatasetKind.MEASUREMENT, PROTOCOL.model_dump(mode="json")
        )
        with pytest.raises(OSError, match="No space"):
            measure(bench.instrument, PROTOCOL, path=path, safety=bench.safety, provenance=record)
    return finishing.recording_of(path)


@pytest.fixture
def data(tmp_path, recording):
    """A data folder with the run and its recording."""
    with DataFolder(tmp_path / "data") as folder:
        pass
    database, _ = enter_scan(folder, RunState.FAILED, {})
    database.close()
    shutil.copytree(recording, folder.datasets / recording.name)
    return folder


def repair(data, *options):
    answer = CliRunner().invoke(app, ["datasets", "repair", "--data", str(data.path), *options])
    assert answer.exception is None or isinstance(answer.exception, SystemExit)
    return answer.exit_code, answer.output


def store(data, table):
    database = Database(data.database)
    with database.session() as session:
        rows = session.query(table).all()
    database.close()
    return rows


def test_a_whole_recording_is_finished_and_entered(data):
    code, said = repair(data)
    assert code == 0
    assert said == "run-000001.mdf.recording: finished -> run-000001.mdf (dataset-1): all 6 frames\n"
    (row,) = store(data, Dataset)
    assert (row.run_id, row.path, row.kind) == (1, "datasets/run-000001.mdf", DatasetKind.MEASUREMENT)
    assert row.sha256 == hashlib.sha256((data.path / row.path).read_bytes()).hexdigest()
    assert row.simulated
    (event,) = store(data, Event)
    assert (event.run_id, event.kind, event.details) == (1, "repaired", {"result": "finished", "dataset": 1})
    assert repair(data) == (0, "There is no recording that was left behind.\n")
    listed = CliRunner().invoke(app, ["datasets", "--data", str(data.path)])
    assert "dataset-1" in listed.output


def test_a_recording_that_was_cut_off_is_finished_as_incomplete(data):
    journal = data.datasets / "run-000001.mdf.recording/journal"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:4]))
    code, said = repair(data)
    assert code == 0
    assert said == (
        "run-000001.mdf.recording: finished as far as it goes -> run-000001.mdf (dataset-1): "
        "3 of 6 frames are kept as an incomplete dataset; it was cut off; "
        f"a tail of {3 * SIZE} bytes had not been committed and is discarded\n"
    )


def test_damaged_frames_are_named_and_are_the_exit_status(data):
    frames = data.datasets / "run-000001.mdf.recording/frames.0"
    content = bytearray(frames.read_bytes())
    content[2 * SIZE] ^= 1
    content[4 * SIZE] ^= 1
    frames.write_bytes(content)
    code, said = repair(data)
    assert code == 1
    assert "4 of 6 frames are kept as an incomplete dataset; damaged on the disk, and left out: 2, 4" in said


def test_a_dry_run_changes_nothing(data):
    code, said = repair(data, "--dry-run")
    assert code == 0
    assert said == "run-000001.mdf.recording: would be finished -> run-000001.mdf: all 6 frames\n"
    assert [path.name for path in data.datasets.iterdir()] == ["run-000001.mdf.recording"]
    assert store(data, Dataset) == store(data, Event) == []


def test_what_is_being_written_is_left_alone_and_not_recorded(data):
    shutil.rmtree(data.datasets / "run-000001.mdf.recording")
    spool = Spool.create(data.datasets / "run-000001.mdf.recording", shape=(2,), dtype="<i2", what={})
    code, said = repair(data)
    assert code == 0
    assert said == "run-000001.mdf.recording: left alone: it is being written\n"
    assert store(data, Event) == []
    spool.close()


def test_a_recording_that_must_stay_is_the_exit_status(data):
    (data.datasets / "run-000001.mdf").write_text("another file")
    code, said = repair(data)
    assert code == 1
    assert "run-000001.mdf.recording: LEFT AS IT IS: run-000001.mdf is there already" in said
    assert store(data, Dataset) == []


def test_a_recording_of_no_run_is_finished_and_entered_nowhere(data):
    (data.datasets / "run-000001.mdf.recording").rename(data.datasets / "by-hand.mdf.recording")
    code, said = repair(data)
    assert (code, said) == (0, "by-hand.mdf.recording: finished -> by-hand.mdf: all 6 frames\n")
    assert (data.datasets / "by-hand.mdf").is_file()
    assert store(data, Dataset) == []
