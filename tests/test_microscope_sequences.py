"""A sequence on the virtual microscope: through its camera's wire, its light fed by the safety daemon."""

import json
import subprocess
import sys

import pytest
import zarr
from whole_system import Service, patient_bench, wait_until

MICROSCOPE = "virtual-microscope"


@pytest.fixture(scope="module")
def bench():
    with patient_bench(MICROSCOPE) as running:
        running.arm()
        yield running


@pytest.fixture
def service(bench, tmp_path):
    running = Service(bench, tmp_path / "data", instrument=MICROSCOPE)
    yield running.start()
    running.close()


@pytest.fixture
def file(tmp_path):
    def write(**tables):
        path = tmp_path / "sequence.json"
        path.write_text(json.dumps(tables))
        return path

    return write


def nixel(*words):
    return subprocess.run(
        [sys.executable, "-m", "nixel.imaging", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_a_sequence_of_the_virtual_microscope_becomes_its_dataset(service, bench, file, tmp_path):
    asked = file(channels=[{"config": "green", "exposure": 2}], time_plan={"interval": 0.5, "loops": 3})
    planned = nixel("plan", asked, "--url", service.url)
    assert planned.returncode == 0, planned.stderr
    assert "frames      3" in planned.stdout
    # Two intervals, and for the last frame 50 ms for the light, 2 ms of exposure and 65 ms for all rows.
    assert "duration    1.12 s" in planned.stdout
    done = nixel("run", asked, "--url", service.url)
    assert done.returncode == 0, done.stderr
    path = service.data / done.stdout.splitlines()[-1].split()[1]
    image = zarr.open_group(path, mode="r")
    frames = image["0"]
    assert frames.shape == (3, 1, 1, 2464, 3280)
    notes = image.attrs["nixel"]
    assert notes["isSimulation"] is True
    assert notes["complete"] is True
    assert notes["camera"]["pattern"] == "RGGB"
    assert "light" in notes["devices"]
    room = notes["environment"]["sensors"]["environment"]
    assert [channel["unit"] for channel in room["channels"]] == ["degC", "percent"]
    # At the beginning and at the end at least.
    assert len(room["values"]) >= 2
    assert all(15 < temperature < 30 and 20 < humidity < 70 for temperature, humidity in room["values"])
    for t in range(3):
        # Lit: the mean of a dark frame is the sensor's offset, far below.
        assert frames[t, 0, 0].mean() > 150
    times = [note["time"] for note in notes["notes"]]
    assert times == sorted(times)
    # Never before they are due; the first waits for the camera, and the others may catch up.
    assert all(time >= 0.5 * number for number, time in enumerate(times))
    # The light is off, and the safety daemon as it was.
    assert bench.safety.status().outputs["light"] is False
    assert bench.safety.status().state == "ARMED"


@pytest.fixture
def under_way(service):
    """A long run that has some frames already, and what asks how it stands."""
    series = {"channels": [{"config": "green", "exposure": 2}], "time_plan": {"interval": 0.4, "loops": 100}}
    run = service.client.post("/runs", {"kind": "sequence", "protocol": series})

    def stands():
        return service.client.get(f"/runs/{run['id']}")

    def begun():
        found = stands()
        assert found["state"] in ("queued", "running"), found["message"]
        return found["progress"] and found["progress"]["done"] >= 3

    wait_until(begun, timeout=200, what="three frames")
    return stands


def ended(stands):
    return wait_until(
        lambda: (r := stands())["state"] not in ("running", "paused") and r, timeout=100, what="the run's end"
    )


def notes_of(service, run):
    (number,) = run["dataset_ids"]
    path = service.data / service.client.get(f"/datasets/{number}")["path"]
    assert not list(path.parent.glob("*.recording"))
    return zarr.open_group(path, mode="r").attrs["nixel"]


def test_an_open_lid_ends_a_run_with_its_reason_and_what_there_was_is_kept(service, bench, under_way):
    assert nixel("simulate", "lid", "open", "--panel", bench.panel).returncode == 0
    run = ended(under_way)
    assert nixel("simulate", "lid", "close", "--panel", bench.panel).returncode == 0
    assert run["state"] == "failed"
    assert "the lid is open" in run["message"]
    assert f"What was kept is dataset-{run['dataset_ids'][0]}." in run["message"]
    notes = notes_of(service, run)
    assert notes["complete"] is False
    assert 2 <= notes["frames"]["recorded"] < 100
    bench.arm()


def test_a_killed_service_finds_the_frames_again(service, bench, under_way):
    service.kill()
    # Nobody holds the light any more.
    wait_until(lambda: not bench.safety.status().outputs["light"], what="the dark")
    service.start()
    run = ended(under_way)
    assert run["state"] == "interrupted"
    notes = notes_of(service, run)
    assert notes["frames"]["recorded"] >= 2
    assert notes["end"]["reason"] == "cut off"
    if bench.safety.status().state != "ARMED":
        bench.arm()
