"""A microscope's sequence as a job: kept as a dataset with its provenance, paused, cancelled, and found again."""

import contextlib

import pytest
from microscope_parts import SHAPE, Rig
from whole_system import wait_until

from nixel.acquisition.formats.atomic import content_sha256
from nixel.imaging import device_desk, microscope_runs, pipeline
from nixel.imaging.errors import UserError
from nixel.imaging.kept_files import marks_of
from nixel.imaging.service import ImagingService
from nixel.imaging.store import DataFolder, Dataset, Run, RunKind, RunState

GREEN = {"config": "green", "exposure": 2}


@pytest.fixture
def rig(monkeypatch):
    rig = Rig()

    @contextlib.contextmanager
    def opened(instrument):
        assert instrument is rig.instrument
        yield rig.devices

    monkeypatch.setattr(device_desk, "open_devices", opened)
    return rig


@pytest.fixture
def start(rig, tmp_path):
    """A service on the microscope of parts; what is missing of it is the HTTP interface."""
    with contextlib.ExitStack() as stack:

        def begin():
            folder = DataFolder(tmp_path / "data").open()
            service = ImagingService(folder, rig.instrument, tmp_path / "no-daemon.sock")
            service.jobs.start()

            def end():
                service.jobs.stop()
                service.devices.stop()
                service.database.close()
                folder.close()

            stack.callback(end)
            return service

        yield begin


def run_of(service, run_id):
    with service.database.session() as session:
        return session.get_one(Run, run_id)


def ended(service, run_id):
    return wait_until(lambda: (run := run_of(service, run_id)).state.final and run, what="the run's end")


def dataset_of(service, run_id):
    with service.database.session() as session:
        return session.query(Dataset).where(Dataset.run_id == run_id).one()


def test_a_sequence_becomes_a_dataset_with_its_provenance(start):
    service = start()
    document = {"channels": [GREEN], "time_plan": {"interval": 0.01, "loops": 3}}
    run_id = service.jobs.submit(RunKind.SEQUENCE, document, {})
    run = ended(service, run_id)
    assert (run.state, run.message) == (RunState.DONE, "")
    row = dataset_of(service, run_id)
    path = service.folder.path / row.path
    assert row.kind == "images"
    assert row.simulated
    assert row.sha256 == content_sha256(path)
    assert row.size > 3 * SHAPE[0] * SHAPE[1] * 2
    assert row.provenance["parameters"] == run.protocol
    assert row.provenance["instrument"]["fingerprint"] == service.context.instrument.fingerprint()
    assert marks_of(path).complete
    pipeline.check_unchanged(service.folder, row)


def test_what_is_kept_of_a_sequence_is_the_same_sequence(start):
    service = start()
    document = {
        "channels": ["green", GREEN],
        "stage_positions": [[1, 2, 3], {"x": 4, "sequence": {"z_plan": {"range": 4, "step": 2}}}],
        "time_plan": [{"interval": 1.5, "loops": 2}, {"interval": {"seconds": 3}, "duration": 9}],
        "grid_plan": {"rows": 2, "columns": 1},
        "keep_shutter_open_across": "z",
    }
    kept, plan = microscope_runs.checked(document, service.context.instrument)
    assert microscope_runs.checked(kept, service.context.instrument) == (kept, plan)


def test_what_cannot_be_run_is_refused_before_it_is_queued(start):
    service = start()
    with pytest.raises(UserError, match=r"channels\.blue: found no such channel"):
        service.jobs.submit(RunKind.SEQUENCE, {"channels": ["blue"]}, {})
    with pytest.raises(UserError, match=r"chanels: found an unknown key"):
        service.jobs.plan(RunKind.SEQUENCE, {"chanels": []})
    with service.database.session() as session:
        assert session.query(Run).count() == 0


def test_a_sequence_pauses_in_the_dark_and_goes_on(start, rig):
    service = start()
    document = {"channels": [GREEN], "time_plan": {"interval": 0.05, "loops": 20}}
    run_id = service.jobs.submit(RunKind.SEQUENCE, document, {})
    wait_until(lambda: len(rig.diary.of("frame")) > 2, what="some frames")
    service.jobs.pause(run_id)
    wait_until(lambda: run_of(service, run_id).state is RunState.PAUSED, what="the pause")
    assert not rig.lamp.on
    assert rig.camera.started is None
    service.jobs.resume(run_id)
    assert ended(service, run_id).state is RunState.DONE
    assert marks_of(service.folder.path / dataset_of(service, run_id).path).complete


def test_a_cancelled_sequence_keeps_its_frames(start, rig):
    service = start()
    document = {"channels": [GREEN], "time_plan": {"interval": 0.05, "loops": 1000}}
    run_id = service.jobs.submit(RunKind.SEQUENCE, document, {})
    wait_until(lambda: len(rig.diary.of("frame")) > 2, what="some frames")
    service.jobs.cancel(run_id)
    run = ended(service, run_id)
    assert run.state is RunState.CANCELLED
    row = dataset_of(service, run_id)
    assert f"What was kept is dataset-{row.id}." in run.message
    marks = marks_of(service.folder.path / row.path)
    assert not marks.complete
    assert "cancelled by the user" in marks.why


def test_the_light_needs_the_safety_daemon_where_the_instrument_has_one(start, rig):
    service = start()
    rig.instrument.safety["outputs"] = {"light": {}}
    run_id = service.jobs.submit(RunKind.SEQUENCE, {"channels": [GREEN]}, {})
    run = ended(service, run_id)
    assert run.state is RunState.FAILED
    assert "no safety daemon answers" in run.message
    assert not rig.diary.of("light")
