"""Pausing, resuming and cancelling runs, over HTTP and from the command line."""

import pytest
from typer.testing import CliRunner
from whole_system import SMALL_CALIBRATION, Control, wait_until

from nixel.acquisition.formats.mdf import read_mdf
from nixel.acquisition.formats.mdf_marks import read_marks
from nixel.imaging.cli import app
from nixel.imaging.errors import UserError

LONG = {"kind": "scan", "protocol": {"frames": 1500, "averages": 5, "background_frames": 2, "seed": 2}}
SHORT = {"kind": "scan", "protocol": {"frames": 150, "averages": 20, "background_frames": 2, "seed": 2}}


@pytest.fixture(scope="module")
def system(shared_service):
    bench, service = shared_service
    bench.arm()
    service.client.perform({"kind": "calibration", "protocol": SMALL_CALIBRATION})
    return bench, service


@pytest.fixture
def service(system):
    bench, running = system
    if bench.safety.status().state != "ARMED":
        bench.arm()
    if running.child.process.poll() is not None:
        running.start()
    return running


@pytest.fixture
def front_panel(system):
    control = Control(system[0].endpoints["daq.control"])
    yield control
    control.ask("SIMulation:ESTOP OFF")
    control.close()


def begin(service, request):
    """Start a scan, and return its number once it measures the subject.

    A machine that is too busy for the safety daemon, which then latches a fault, is given another chance.
    """
    for _ in range(5):
        number = service.client.post("/runs", request)["id"]

        def news(number=number):
            run = service.client.get(f"/runs/{number}")
            progress = run["progress"] or {}
            measures = progress.get("stage") == "frames" and progress["done"] > 0
            return run if measures or run["finished_at"] else None

        run = wait_until(news, timeout=60, what="the scan's first frame")
        if not run["finished_at"]:
            return number
        service.arm()
    raise AssertionError(run["message"])


def paused(service, number):
    service.client.post(f"/runs/{number}/pause", {})
    return service.client.wait(number, ("running",))


def is_kept(service, run, words):
    """A run that ended early has one dataset, which says so; gives how many frames it has."""
    assert words in run["message"]
    (number,) = run["dataset_ids"]
    assert run["picture_ids"] == []
    assert f"dataset-{number}" in run["message"]
    dataset = service.client.get(f"/datasets/{number}")
    path = service.data / dataset["path"]
    frames = len(read_mdf(path).measurement.data)
    assert f"{frames} of 1502 frames are kept as an incomplete dataset" in run["message"]
    assert not read_marks(path).complete
    return frames


def test_a_paused_scan_waits_without_the_drive_field_and_goes_on(service, front_panel):
    number = begin(service, SHORT)
    run = paused(service, number)
    assert run["state"] == "paused"
    assert run["progress"]["stage"] == "paused"
    assert run["finished_at"] is None
    # The drive field is off, the safety output and its lease are not.
    assert front_panel.ask("RP:TRansmit?") == "0"
    assert front_panel.ask("RP:TRansmit:READy?") == "1"
    before = run["progress"]["done"]
    assert service.client.get(f"/runs/{number}")["progress"]["done"] == before
    service.client.post(f"/runs/{number}/resume", {})
    run = service.client.wait(number, ("queued", "running", "paused"))
    assert run["state"] == "done"
    kinds = [event["kind"] for event in service.client.get(f"/runs/{number}")["events"]]
    assert [kind for kind in kinds if kind in ("paused", "continued")] == ["paused", "continued"]
    dataset = service.client.get(f"/datasets/{run['dataset_ids'][0]}")
    assert len(read_mdf(service.data / dataset["path"]).measurement.data) == 152
    assert len(run["picture_ids"]) == 1


def nixel(*words):
    return CliRunner().invoke(app, [*words])


def test_the_command_pauses_resumes_and_cancels_what_runs(service):
    number = begin(service, LONG)
    url = ("--url", service.url)
    assert nixel("runs", "pause", *url).output == f"run-{number}: paused\n"
    assert nixel("runs", "resume", str(number), *url).output == f"run-{number}: running\n"
    answer = nixel("runs", "cancel", *url)
    assert answer.output.startswith(f"run-{number}: cancelled: cancelled by the user. ")
    run = service.client.get(f"/runs/{number}")
    assert is_kept(service, run, "cancelled by the user") > 2
    # What ended early cannot be made again to the bit, and is not tried.
    answer = nixel("reproduce", f"dataset-{run['dataset_ids'][0]}", "--data", str(service.data))
    assert isinstance(answer.exception, UserError)
    assert "is incomplete (it ended early: cancelled by the user)" in str(answer.exception)
    with pytest.raises(UserError, match="Nothing is running"):
        CliRunner().invoke(app, ["runs", "pause", *url], catch_exceptions=False)


def test_a_paused_run_can_be_cancelled(service):
    number = begin(service, LONG)
    waiting = paused(service, number)["progress"]["done"]
    service.client.post(f"/runs/{number}/cancel", {})
    run = service.client.wait(number, ("running", "paused"))
    assert run["state"] == "cancelled"
    assert is_kept(service, run, "cancelled by the user") == waiting + 2


def test_the_emergency_stop_ends_a_paused_run_with_its_reason(service, front_panel):
    number = begin(service, LONG)
    paused(service, number)
    front_panel.ask("SIMulation:ESTOP ON")
    run = service.client.wait(number, ("running", "paused"))
    assert run["state"] == "failed"
    is_kept(service, run, "mergency")


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_service_that_ends_while_a_run_waits_keeps_what_it_has(service, end):
    number = begin(service, LONG)
    waiting = paused(service, number)["progress"]["done"]
    wait_until(
        lambda: (
            (service.data / f"datasets/run-{number:06}.mdf.recording/journal").read_bytes().count(b"\n")
            == 1 + 2 + waiting
        ),
        what="the last frame's commit",
    )
    if end == "killed":
        service.kill()
    else:
        service.child.stop()
    service.start()
    run = service.client.get(f"/runs/{number}")
    assert run["state"] == "interrupted"
    words = "the service was stopped" if end == "stopped" else "the service ended while it measured"
    assert is_kept(service, run, words) == waiting + 2
    if end == "killed":
        (event,) = [event for event in run["events"] if event["kind"] == "repaired"]
        assert "it was cut off" in event["text"]


def test_only_a_run_that_measures_is_paused(service):
    with pytest.raises(UserError, match="no run 12345"):
        service.client.post("/runs/12345/pause", {})
    number = begin(service, LONG)
    later = service.client.post("/runs", SHORT)["id"]
    with pytest.raises(UserError, match=f"Run {later} waits for its turn"):
        service.client.post(f"/runs/{later}/pause", {})
    with pytest.raises(UserError, match=f"Run {number} is not paused"):
        service.client.post(f"/runs/{number}/resume", {})
    for run in (later, number):
        service.client.post(f"/runs/{run}/cancel", {})
    service.client.wait(number, ("running",))
    with pytest.raises(UserError, match="has ended already"):
        service.client.post(f"/runs/{number}/pause", {})
