"""A `useq.MDASequence` on Micro-Manager's demo devices: as a person runs it, and when the worker dies of it."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import useq
import zarr
from micromanager_bench import FOLDER
from whole_system import Service, wait_until

WORKER = "nixel.acquisition.adapters.micromanager.worker"
INSTRUMENT = f"""
[instrument]
name = "demo-bench"
kind = "microscope"
description = "Micro-Manager's demo devices"
simulated = true

[devices.mm]
adapter = "micro-manager"
adapters = [{json.dumps(FOLDER)}]
configuration = "MMConfig_demo.cfg"

[devices.camera]
adapter = "micro-manager-camera"
core = "mm"
label = "Camera"

[devices.plane]
adapter = "micro-manager-stage"
core = "mm"
label = "XY"
travel = {{ x = ["-10 mm", "10 mm"], y = ["-10 mm", "10 mm"] }}

[devices.focus]
adapter = "micro-manager-stage"
core = "mm"
label = "Z"
travel = {{ z = ["-100 um", "100 um"] }}

[devices.light]
adapter = "micro-manager-light"
core = "mm"
label = "White Light Shutter"

[microscope]
wavelength = "500 nm"
medium_index = 1.0
pixel_size = "1 um"
shape = [512, 512]
distance_range = ["1 mm", "2 mm"]

[microscope.limits]
exposure = "1 s"
on_time = "10 s"

[microscope.channels.dapi]
light = "light"
properties = {{ "mm.preset_channel" = "DAPI" }}

[microscope.channels.rhodamine]
light = "light"
properties = {{ "mm.preset_channel" = "Rhodamine" }}
"""


@pytest.fixture
def service(tmp_path):
    """The imaging service on an instrument that needs no safety daemon, and so no bench around it."""
    file = tmp_path / "demo-bench.toml"
    file.write_text(INSTRUMENT)
    around = SimpleNamespace(endpoints={}, safety_socket=tmp_path / "no-daemon", runtime=tmp_path)
    running = Service(around, tmp_path / "data", instrument=file)
    yield running.start()
    running.close()


@pytest.fixture
def written(tmp_path):
    """A sequence as useq itself writes it."""

    def write(**plans):
        path = tmp_path / "sequence.json"
        path.write_text(useq.MDASequence(**plans).model_dump_json(exclude_unset=True))
        return path

    return write


def nixel(*words):
    return subprocess.run(
        [sys.executable, "-m", "nixel.imaging", *map(str, words)], capture_output=True, text=True, check=False
    )


def workers(service):
    """The processes of Micro-Manager's core that the service has."""
    parent = service.child.process.pid
    children = Path(f"/proc/{parent}/task").glob("*/children")
    found = [pid for listed in children for pid in listed.read_text().split()]
    return [int(pid) for pid in found if WORKER in Path(f"/proc/{pid}/cmdline").read_text()]


def test_the_file_of_such_an_instrument_is_a_good_one(tmp_path):
    assert "safety" not in tomllib.loads(INSTRUMENT)
    file = tmp_path / "demo-bench.toml"
    file.write_text(INSTRUMENT)
    done = nixel("instruments", file)
    assert done.returncode == 0, done.stderr
    assert "no [safety]" in done.stdout


def test_a_sequence_of_every_axis_becomes_its_dataset(service, written):
    asked = written(
        channels=[{"config": "dapi", "exposure": 5}, {"config": "rhodamine", "exposure": 20}],
        stage_positions=[{"x": 100, "y": 200, "z": 10}, {"x": -100, "y": 0, "z": -10}],
        z_plan={"range": 4, "step": 2},
        time_plan={"interval": 0.1, "loops": 2},
    )
    planned = nixel("plan", asked, "--url", service.url)
    assert planned.returncode == 0, planned.stderr
    assert "frames      24" in planned.stdout
    done = nixel("run", asked, "--url", service.url)
    assert done.returncode == 0, done.stderr
    path = service.data / done.stdout.splitlines()[-1].split()[1]
    wells = zarr.open_group(path, mode="r")
    for place in ("0", "1"):
        frames = wells[place]["0"]
        assert frames.shape == (2, 2, 3, 512, 512)
        assert frames.dtype == np.uint16
        # The demo camera's waves are as bright as its exposure is long.
        means = np.asarray(frames).mean((-1, -2))
        assert means[:, 1] / means[:, 0] == pytest.approx(np.full((2, 3), 4.0), rel=0.02)
    notes = wells.attrs["nixel"]
    assert notes["isSimulation"] is True
    assert notes["complete"] is True
    # Each was taken where and for how long it was asked to be; useq counts in um and ms, the demo stage steps by 15 nm.
    noted = [note for place in ("0", "1") for note in wells[place].attrs["nixel"]["notes"]]
    assert len(noted) == 24
    assert len({note["time"] for note in noted}) == 24
    for note in noted:
        place, channel, plane = (note["index"][axis] for axis in "pcz")
        expected = {"x": (100e-6, -100e-6)[place], "y": (200e-6, 0.0)[place]}
        expected["z"] = (10e-6, -10e-6)[place] + (-2e-6, 0.0, 2e-6)[plane]
        assert note["position"] == pytest.approx(expected, abs=15e-9)
        assert note["channel"] == ("dapi", "rhodamine")[channel]
        assert note["exposure"] == pytest.approx((0.005, 0.02)[channel])


def test_a_dead_worker_fails_the_run_and_the_next_one_has_another(service, written):
    channel = {"config": "dapi", "exposure": 5}
    # Lit throughout: between two frames the light would be known to be off, and nothing to say of it.
    lit = {"keep_shutter_open_across": ["t"], "time_plan": {"interval": 0.1, "loops": 90}}
    long = json.loads(written(channels=[channel], **lit).read_text())
    number = service.client.post("/runs", {"kind": "sequence", "protocol": long})["id"]

    def begun():
        run = service.client.get(f"/runs/{number}")
        assert run["state"] in ("queued", "running"), run["message"]
        return run["progress"] and run["progress"]["done"] >= 3

    wait_until(begun, timeout=120, what="three frames")
    (first,) = workers(service)
    os.kill(first, signal.SIGKILL)
    run = wait_until(
        lambda: (r := service.client.get(f"/runs/{number}"))["state"] not in ("queued", "running") and r,
        timeout=60,
        what="the run's end",
    )
    assert run["state"] == "failed"
    assert "camera (Camera on mm)" in run["message"]
    assert "died of SIGKILL" in run["message"]
    assert "the light may still be on" in run["message"]
    # What had been taken is kept, and says that it is not all.
    path = service.data / service.client.get(f"/datasets/{run['dataset_ids'][0]}")["path"]
    notes = zarr.open_group(path, mode="r").attrs["nixel"]
    assert notes["complete"] is False
    assert 3 <= notes["frames"]["recorded"] < 90
    # Nobody has to do anything for the next run.
    done = nixel(
        "run", written(channels=[channel], time_plan={"interval": 0, "loops": 3}), "--url", service.url
    )
    assert done.returncode == 0, done.stderr
    listed = nixel("devices", "list", "--url", service.url)
    assert listed.returncode == 0, listed.stderr
    assert len(workers(service)) == 1
    assert first not in workers(service)
