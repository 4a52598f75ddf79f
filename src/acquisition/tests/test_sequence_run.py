"""A sequence is walked step by step, its frames reach the dataset with what they are, and nothing is left on."""

import dataclasses
import json
import threading
import time

import numpy as np
import pytest
import zarr
from microscope_parts import SHAPE, Rig

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.finishing import repair
from nixel.acquisition.recording import RecordingError
from nixel.acquisition.sequences import SequenceError, load_sequence
from nixel.acquisition.sequences.run import run_sequence
from nixel.acquisition.session import ScanAborted


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def run(tmp_path):
    def go(rig, tables, **edges):
        file = tmp_path / "sequence.json"
        file.write_text(json.dumps(tables))
        return run_sequence(
            load_sequence(file),
            rig.devices,
            path=tmp_path / "run.ome.zarr",
            gate=rig.gate,
            provenance={"a": 1},
            **edges,
        )

    return go


def at_rest(rig):
    return not rig.lamp.on and not rig.gate.is_open and rig.camera.started is None


GREEN = {"config": "green", "exposure": 2}


def test_every_frame_lies_where_its_index_says_and_shows_what_was_asked_for(rig, run, tmp_path):
    tables = {
        "channels": [GREEN],
        "z_plan": {"range": 20, "step": 10},
        "time_plan": {"interval": 0.05, "loops": 2},
        "stage_positions": [{"x": 100, "y": -200, "z": 50}],
    }
    outcome = run(rig, tables)
    assert outcome.result == "finished"
    image = zarr.open_group(outcome.dataset, mode="r")
    frames = image["0"][:]
    assert frames.shape == (2, 1, 3, *SHAPE)
    for t in range(2):
        for z, height in enumerate((40, 50, 60)):
            assert list(frames[t, 0, z, 0, :5]) == [1100, 800, 100 + height, 1, 2000]
    assert at_rest(rig)
    assert not list(tmp_path.glob("*.recording"))


def test_the_dataset_says_what_made_it(rig, run):
    tables = {"channels": [GREEN], "time_plan": {"interval": 0.1, "loops": 3}, "stage_positions": [[10, 20]]}
    attributes = dict(zarr.open_group(run(rig, tables).dataset, mode="r").attrs)
    nixel = attributes["nixel"]
    assert nixel["isSimulation"] is True
    assert nixel["complete"] is True
    assert nixel["provenance"] == {"a": 1}
    assert nixel["sequence"]["channels"][0]["config"] == "green"
    assert nixel["devices"]["camera"]["exposure"] == 0.002
    assert nixel["end"]["counters"]["committed"] == 3
    notes = nixel["notes"]
    assert [note["index"]["t"] for note in notes] == [0, 1, 2]
    assert all(note["position"] == {"x": pytest.approx(1e-5), "y": pytest.approx(2e-5)} for note in notes)
    assert all(note["exposure"] == 0.002 for note in notes)
    assert notes[1]["time"] - notes[0]["time"] >= 0.05
    scale = attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == [0.1, 1.0, 1.0, 1.12, 1.12]


def test_steps_wait_for_their_time_and_lateness_is_recorded(rig, run):
    rig.stage.move = lambda **_: time.sleep(0.3)
    tables = {
        "channels": [GREEN],
        "time_plan": {"interval": 0.2, "loops": 2},
        "stage_positions": [[0, 0], [10, 0]],
        "axis_order": "tpgcz",
    }
    outcome = run(rig, tables)
    late = []
    for series in ("0", "1"):
        notes = zarr.open_group(outcome.dataset / series, mode="r").attrs["nixel"]["notes"]
        late += [note["late"] for note in notes if note["index"]["t"] == 1]
    # Two moves of 0.3 s a round do not fit into 0.2 s.
    assert min(late) > 0.2


def test_a_stack_that_keeps_the_light_on_switches_it_once(rig, run):
    tables = {"channels": [GREEN], "z_plan": {"range": 20, "step": 10}, "keep_shutter_open_across": "z"}
    run(rig, tables)
    assert rig.diary.of("light") == [("light", True), ("light", False)]
    assert rig.diary.of("gate") == [("gate", True), ("gate", False)]


def test_otherwise_the_light_is_on_for_each_frame_alone(rig, run):
    run(rig, {"channels": [GREEN], "z_plan": {"range": 20, "step": 10}})
    assert rig.diary.of("light") == [("light", True), ("light", False)] * 3
    assert rig.diary.of("gate") == [("gate", True), ("gate", False)] * 3


def test_the_light_gets_power_before_it_is_switched_and_is_off_before_it_loses_it(rig, run):
    run(rig, {"channels": [GREEN]})
    assert [words for words in rig.diary.lines if words[0] in ("gate", "light")] == [
        ("gate", True),
        ("light", True),
        ("light", False),
        ("gate", False),
    ]


def test_frames_as_fast_as_they_come_are_taken_from_one_stream(rig, run):
    tables = {
        "channels": [GREEN],
        "time_plan": {"interval": 0, "loops": 20},
        "keep_shutter_open_across": "t",
    }
    outcome = run(rig, tables)
    assert len(rig.diary.of("start")) == 1
    notes = zarr.open_group(outcome.dataset, mode="r").attrs["nixel"]["notes"]
    first = notes[0]["number"]
    assert [note["number"] for note in notes] == list(range(first, first + 20))
    assert sum(note["passedOver"] for note in notes[1:]) == 0


@pytest.mark.parametrize("stamps", [True, False])
def test_no_frame_counts_that_began_in_the_dark(rig, run, stamps):
    rig.camera.stamps = stamps
    if not stamps:
        # A time of arrival, as of a rolling shutter that is read out while the next frame is exposed.
        frame, camera = rig.camera.frame, rig.camera

        def late(timeout):
            began = frame(timeout)
            return dataclasses.replace(began, time=began.time + 2 * camera.period)

        rig.camera.frame = late
    outcome = run(rig, {"channels": [GREEN], "time_plan": {"interval": 0.03, "loops": 10}})
    frames = zarr.open_group(outcome.dataset, mode="r")["0"][:]
    assert list(frames[:, 0, 0, 0, 3]) == [1] * 10


def test_the_camera_is_started_before_the_light(rig, run):
    run(rig, {"channels": [GREEN]})
    assert [words[0] for words in rig.diary.lines if words[0] in ("start", "light")] == [
        "start",
        "light",
        "light",
    ]


def test_a_lost_frame_stops_the_run_and_what_there_was_is_kept(rig, run, tmp_path):
    rig.camera.loses = (7, 8)
    tables = {"channels": [GREEN], "time_plan": {"interval": 0, "loops": 20}, "keep_shutter_open_across": "t"}
    with pytest.raises(DeviceError, match="frame number 7 after 6, found number 9: 2 lost") as caught:
        run(rig, tables)
    assert at_rest(rig)
    nixel = zarr.open_group(tmp_path / "run.ome.zarr", mode="r").attrs["nixel"]
    # The first may have been dark.
    kept = 7 - nixel["notes"][0]["number"]
    assert f"{kept} of 20 frames" in caught.value.__notes__[0]
    assert nixel["complete"] is False
    assert "2 lost" in nixel["end"]["reason"]
    assert [tuple(place) for place in nixel["missing"]] == [(t, 0, 0) for t in range(kept, 20)]


def test_a_device_that_fails_leaves_nothing_on(rig, run):
    rig.camera.fails_at = 0
    with pytest.raises(DeviceError, match="Mend it"):
        run(rig, {"channels": [GREEN]})
    assert at_rest(rig)


def test_the_safety_daemons_reason_is_the_runs(rig, run):
    rig.camera.fails_at = 0
    rig.gate.reason = lambda: "the lid is open"
    with pytest.raises(ScanAborted, match="the lid is open"):
        run(rig, {"channels": [GREEN]})
    assert at_rest(rig)


def test_a_run_pauses_in_the_dark_and_goes_on_with_its_times_shifted(rig, run):
    pausing, seen = threading.Event(), []

    def progress(stage, done, total):
        seen.append((stage, done))
        if (stage, done) == ("frames", 2) and not pausing.is_set() and ("paused", 2) not in seen:
            pausing.set()
            threading.Timer(0.4, pausing.clear).start()
        if stage == "paused":
            assert at_rest(rig)

    tables = {"channels": [GREEN], "time_plan": {"interval": 0.05, "loops": 4}}
    outcome = run(rig, tables, progress=progress, paused=pausing.is_set)
    assert outcome.result == "finished"
    assert ("paused", 2) in seen
    notes = zarr.open_group(outcome.dataset, mode="r").attrs["nixel"]["notes"]
    assert notes[2]["paused"] > 0.2
    assert notes[3]["paused"] == 0
    # What waited is not late.
    assert notes[3]["late"] < notes[2]["paused"]


def test_a_run_that_is_cancelled_keeps_its_frames(rig, run, tmp_path):
    done = []
    tables = {"channels": [GREEN], "time_plan": {"interval": 0.02, "loops": 50}}
    with pytest.raises(ScanAborted, match="cancelled by the user"):
        run(rig, tables, progress=lambda stage, n, total: done.append(n), cancelled=lambda: 3 in done)
    assert at_rest(rig)
    nixel = zarr.open_group(tmp_path / "run.ome.zarr", mode="r").attrs["nixel"]
    assert nixel["frames"] == {"planned": 50, "recorded": 3, "damaged": []}


def test_a_relative_stack_without_a_place_is_around_where_the_stage_is(rig, run):
    rig.focus.at["z"] = 5e-5
    outcome = run(rig, {"channels": [GREEN], "z_plan": {"range": 20, "step": 10}})
    frames = zarr.open_group(outcome.dataset, mode="r")["0"][:]
    assert list(frames[0, 0, :, 0, 2]) == [140, 150, 160]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"stage_positions": [{"x": 0, "z": 300}]},
            r"stage_positions\.0\.z: found 300 µm; expected -100 to 200 µm",
        ),
        ({"z_plan": {"range": 500, "step": 100}}, r"file\.z: found -250 µm; expected -100 to 200 µm"),
        (
            {"channels": [{"config": "green", "exposure": 60}]},
            r"channels\.green\.exposure: found 60 ms; expected",
        ),
    ],
)
def test_what_the_devices_cannot_do_is_refused_before_anything_moves(rig, run, tmp_path, tables, message):
    with pytest.raises(SequenceError, match=message):
        run(rig, {"channels": [GREEN], **tables})
    assert rig.diary.lines == []
    assert [path.name for path in tmp_path.iterdir()] == ["sequence.json"]


def test_an_axis_that_no_stage_has_is_refused(rig, run):
    del rig.devices._devices["focus"]
    with pytest.raises(SequenceError, match="the stage's axis z: found none; expected exactly one"):
        run(rig, {"channels": [GREEN], "z_plan": {"range": 20, "step": 10}})


def test_a_channel_sets_properties_once(run):
    channels = {
        "green": {"light": "light", "properties": {"camera.exposure": "3 ms"}},
        "dark": {"light": "light", "properties": {}},
    }
    rig = Rig(channels=channels)
    run(rig, {"channels": [{"config": "green", "exposure": 2}], "time_plan": {"interval": 0.01, "loops": 3}})
    assert rig.diary.of("set")[0] == ("set", "camera", "exposure", 0.003)
    assert len(rig.diary.of("set")) == 2  # and the exposure that the channel asks for, once


def test_a_dataset_is_never_overwritten(rig, run, tmp_path):
    (tmp_path / "run.ome.zarr").mkdir()
    with pytest.raises(SequenceError, match="which is there already; expected another name"):
        run(rig, {"channels": [GREEN]})
    assert rig.diary.lines == []


def test_positions_become_one_image_each(rig, run):
    tables = {"channels": [GREEN], "stage_positions": [{"x": 0, "name": "left"}, {"x": 50, "name": "right"}]}
    outcome = run(rig, tables)
    root = zarr.open_group(outcome.dataset, mode="r")
    assert root.attrs["ome"]["bioformats2raw.layout"] == 3
    assert root["OME"].attrs["ome"]["series"] == ["0", "1"]
    for series, x in (("0", 1000), ("1", 1050)):
        assert root[series]["0"][0, 0, 0, 0, 0] == x
    assert [root[s].attrs["ome"]["multiscales"][0]["name"] for s in "01"] == ["left", "right"]


def test_what_a_crash_left_is_finished_by_the_same_finisher(rig, run, tmp_path, monkeypatch):
    tables = {"channels": [GREEN], "time_plan": {"interval": 0.01, "loops": 4}}
    monkeypatch.setattr("nixel.acquisition.sequences.run.finish", _crash)
    with pytest.raises(_CrashError):
        run(rig, tables)
    monkeypatch.undo()
    (outcome,) = repair(tmp_path)
    assert outcome.result == "finished"
    assert zarr.open_group(tmp_path / "run.ome.zarr", mode="r")["0"].shape == (4, 1, 1, *SHAPE)


class _CrashError(BaseException):
    pass


def _crash(*_arguments, held, **_named):
    import os

    os.close(held)
    raise _CrashError


def test_a_disk_that_fails_ends_the_run(rig, run, monkeypatch):
    def broken(self, frames, notes):
        raise RecordingError("the disk is full")

    monkeypatch.setattr("nixel.acquisition.recording.spool.Spool.append", broken)
    with pytest.raises(RecordingError, match="the disk is full"):
        run(rig, {"channels": [GREEN], "time_plan": {"interval": 0.1, "loops": 20}})
    assert at_rest(rig)


def test_an_image_is_the_bytes_that_the_camera_gave(rig, run):
    taken = []
    frame = rig.camera.frame
    rig.camera.frame = lambda timeout: taken.append(frame(timeout)) or taken[-1]
    outcome = run(rig, {"channels": [GREEN], "time_plan": {"interval": 0.01, "loops": 3}})
    stored = zarr.open_group(outcome.dataset, mode="r")
    times = [note["time"] for note in stored.attrs["nixel"]["notes"]]
    assert times == sorted(times)
    lit = [one.pixels for one in taken if one.pixels[0, 3]]
    assert np.array_equal(stored["0"][:, 0, 0], np.stack(lit))
