"""`nixel plan` and `nixel run`: what a file takes is said before anything moves, and a scanner runs it."""

import json

import pytest
from files_to_files import nixel
from whole_system import SMALL_CALIBRATION


@pytest.fixture(scope="module")
def calibrated(shared_service):
    bench, service = shared_service
    bench.arm()
    service.client.perform({"kind": "calibration", "protocol": SMALL_CALIBRATION})
    return service


@pytest.fixture
def scan(tmp_path):
    file = tmp_path / "scan.toml"
    file.write_text('kind = "scan"\nframes = 2\naverages = 5\nbackground_frames = 1\nseed = 3\n')
    return file


def test_a_plan_tells_what_a_scan_takes_and_does_nothing(calibrated, scan):
    before = calibrated.client.get("/runs")
    done = nixel("plan", scan, "--url", calibrated.url)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(None, 1) for line in done.stdout.splitlines()[1:])
    assert said["instrument"] == "virtual-scanner"
    assert said["frames"] == "3"
    # 3 frames of 2 channels with 1632 samples of 4 bytes
    assert said["data"] == "39.2 kB"
    assert said["heating"].startswith("drive coil x from 22.0 to 22.0 degC")
    assert calibrated.client.get("/runs") == before


def test_the_same_plan_comes_from_the_service_and_from_the_file(calibrated, scan):
    by_service = nixel("plan", scan, "--url", calibrated.url)
    by_file = nixel("plan", scan, "--instrument", "virtual-scanner")
    assert by_service.stdout == by_file.stdout


def test_a_scanner_runs_its_file(calibrated, scan):
    done = nixel("run", scan, "--url", calibrated.url)
    assert done.returncode == 0, done.stderr
    picture, dataset = done.stdout.splitlines()[-2:]
    assert picture.startswith("picture-")
    kept = calibrated.client.get(f"/datasets/{dataset.split()[0].removeprefix('dataset-')}")
    assert kept["path"] == dataset.split()[1]
    assert kept["provenance"]["parameters"]["averages"] == 5
    assert kept["provenance"]["parameters"]["seed"] == 3


@pytest.mark.parametrize(
    ("command", "tables", "message"),
    [
        ("plan", {"kind": "scan", "frame": 2}, "frame: found an unknown key (did you mean frames?)"),
        ("run", {"kind": "scan", "averages": 0}, "averages: found 0; expected greater than or equal to 1"),
        ("run", {"kind": "scan", "frames": 1000, "averages": 1000}, "scanner.limits.transmit_time, 120 s"),
        ("run", {"channels": [{"config": "green"}]}, "expected a microscope"),
    ],
)
def test_what_cannot_be_run_is_told_with_exit_status_2(calibrated, tmp_path, command, tables, message):
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(tables))
    before = calibrated.client.get("/runs")
    done = nixel(command, file, "--url", calibrated.url)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert calibrated.client.get("/runs") == before


def test_a_microscopes_plan_needs_no_service(tmp_path):
    file = tmp_path / "stack.yaml"
    file.write_text("channels: [{config: green, exposure: 2}]\nz_plan: {range: 40, step: 10}\n")
    done = nixel("plan", file, "--instrument", "virtual-microscope")
    assert done.returncode == 0, done.stderr
    assert "frames      5" in done.stdout
    assert "not estimated: the instrument file has no data for it" in done.stdout
