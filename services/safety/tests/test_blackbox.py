"""The black box: what it records, that it never waits, and what is left of it after a kill or on a full disk."""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import math
import os
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nixel.safety.core.declared import Boolean, Config, Limit, Output
from nixel.safety.core.model import AcquireLease, Arm, Enable, Inputs, Reading, RenewLease, Reset
from nixel.safety.core.step import start, step
from nixel.safety.records import recorder as recorder_module
from nixel.safety.records import recordings as recordings_module
from nixel.safety.records.recorder import Recorder, Ring
from nixel.safety.records.recording import RecordingError, read
from nixel.safety.records.recordings import Folder, recordings

PERIOD = 0.01
CONFIG = Config(
    PERIOD,
    0.5,
    (
        Limit("coil", "analog:0", "degC", 60.0, 0.25, warn=50.0),
        Boolean("stop", "digital:0", True, 0.25, emergency_stop=True),
    ),
    (Output("amplifier", "ac", ("coil", "stop")),),
)


class Log:
    """The event log's thread, which here has all the time in the world."""

    def __init__(self) -> None:
        self.chores = []
        self.events = []

    def hand(self, chore):
        if len(self.chores) > 7:
            return False
        self.chores.append(chore)
        return True

    def put(self, events):
        self.events += events

    def work(self):
        while self.chores:
            self.events.append(self.chores.pop(0)())


class Bench:
    """A recorder driven by the safety logic over readings that the test makes."""

    def __init__(self, path, config=CONFIG) -> None:
        self.log = Log()
        self.folder = path
        self.config = config
        self.recorder = Recorder(config, "bench", True, Folder(path), self.log)
        self.state = start(0.0)
        self.ticks = 0
        self.now = 0.0
        self.values = {"analog:0": 25.0, "digital:0": True}

    def tick(self, *requests, **values):
        self.values.update({key.replace("_", ":"): value for key, value in values.items()})
        self.ticks += 1
        self.now = self.ticks * PERIOD
        on = "amplifier" in self.state.on
        readings = {name: Reading(value, self.now - 0.002) for name, value in self.values.items()}
        readings["readback:ac"] = Reading(on, self.now - 0.001)
        inputs = Inputs(readings, requests)
        self.state, _, events = step(self.config, self.state, inputs, self.now)
        self.recorder.record(self.state, self.now, 3, readings, requests, events)

    def run(self, seconds, *requests):
        for _ in range(round(seconds / PERIOD)):
            self.tick(*requests)

    def energised(self):
        self.tick()
        self.tick(Reset(1, 1))
        self.tick(Arm(1, 2), AcquireLease(1, 3, "a scan"))
        self.tick(Enable(1, 4, "amplifier"))

    def trip(self):
        self.tick(analog_0=61.25)

    def newest(self):
        return recordings(self.folder)[-1][1]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "recordings")


# --- what is recorded ---


def test_thirty_seconds_before_a_trip_are_recorded_at_full_rate_and_two_after(bench):
    bench.energised()
    for number in range(4000):
        bench.tick(RenewLease(1, 9), analog_0=25.0 + number / 1000)
    bench.trip()
    tripped = bench.now
    bench.run(3.0)
    bench.log.work()
    found = read(bench.newest())
    assert found.header.complete
    assert (found.header.cause, found.header.before) == ("coil", "ENERGISED")
    assert "61.25 degC" in found.header.message
    times = found.columns["t"]
    assert times[0] == pytest.approx(-30.0, abs=1e-6)
    assert times[-1] == pytest.approx(2.0, abs=1e-6)
    assert len(times) == found.header.rows == 3201
    assert all(abs(b - a - PERIOD) < 1e-6 for a, b in itertools.pairwise(times))
    trip = times.index(0.0)
    assert found.columns["analog:0"][trip] == 61.25
    # What was read in each tick, bit for bit within the ten digits that are written.
    assert found.columns["analog:0"][trip - 1000 : trip] == [
        float(f"{25.0 + number / 1000:.10g}") for number in range(3000, 4000)
    ]
    assert found.columns["out:amplifier"][trip - 1 : trip + 1] == [1.0, 0.0]
    states = [found.header.states[int(each)] for each in found.columns["state"]]
    assert states[trip - 1 : trip + 1] == ["ENERGISED", "FAULT"]
    assert set(found.columns["missed"]) == {3.0}
    assert found.columns["age:analog:0"][trip] == pytest.approx(0.002)
    assert found.columns["digital:0"][trip] == 1.0
    assert tripped == pytest.approx(40.05)


def test_the_recording_tells_what_happened_and_what_was_asked_for(bench):
    bench.energised()
    bench.run(1.0, RenewLease(1, 9))
    bench.trip()
    bench.run(2.5)
    bench.log.work()
    header = read(bench.newest()).header
    assert [each["text"] for each in header.requests] == [
        "Reset of client 1",
        "Arm of client 1",
        "AcquireLease of client 1: name a scan",
        "Enable of client 1: output amplifier",
    ]
    assert header.requests[-1]["t"] == pytest.approx(-1.01)
    kinds = [each["kind"] for each in header.events if each["t"] == 0.0]
    assert {"cause", "transition", "output"} <= set(kinds)
    limit, contact = header.interlocks
    assert (limit["kind"], limit["sources"], limit["trip"], limit["warn"]) == (
        "limit",
        ["analog:0"],
        60.0,
        50.0,
    )
    assert (contact["kind"], contact["healthy"]) == ("boolean", True)


def test_a_recording_is_there_at_once_and_again_with_what_followed(bench):
    bench.energised()
    bench.run(1.0, RenewLease(1, 9))
    bench.trip()
    bench.log.work()
    first = read(bench.newest())
    assert not first.header.complete
    assert first.columns["t"][-1] == 0.0
    bench.run(2.5)
    bench.log.work()
    assert len(recordings(bench.folder)) == 1
    assert read(bench.newest()).header.complete
    said = [event for event in bench.log.events if event.kind == "recording"]
    assert len(said) == 2
    assert said[-1].details["sha256"] == hashlib.sha256(bench.newest().read_bytes()).hexdigest()
    assert said[-1].details["file"] == bench.newest().name


def test_a_trip_soon_after_a_reset_has_a_recording_of_its_own(bench):
    bench.energised()
    bench.trip()
    bench.tick(analog_0=25.0)
    bench.tick(Reset(1, 5))
    bench.tick(digital_0=False)
    bench.run(2.5)
    bench.log.work()
    first, second = (read(path) for _, path in recordings(bench.folder))
    assert (first.header.cause, second.header.cause) == ("coil", "stop")
    assert first.header.complete
    assert first.columns["t"][-1] < 0.1, "it ends where the next begins"
    assert second.columns["t"][-1] == pytest.approx(2.0)


def test_starting_is_no_trip_and_neither_is_a_stop_or_a_second_cause(bench):
    bench.run(1.0)
    assert bench.log.chores == []
    bench.energised()
    bench.trip()
    bench.run(0.1)
    bench.tick(digital_0=False)
    bench.run(3.0)
    bench.log.work()
    assert len(recordings(bench.folder)) == 1


def test_what_was_never_read_or_made_no_sense_is_empty(bench):
    bench.energised()
    bench.values.pop("digital:0")
    bench.tick(analog_0=None)
    bench.run(2.5)
    bench.log.work()
    found = read(bench.newest())
    trip = found.columns["t"].index(0.0)
    assert math.isnan(found.columns["analog:0"][trip])
    assert math.isnan(found.columns["digital:0"][trip])
    assert math.isnan(found.columns["age:digital:0"][trip])
    assert ",," in bench.newest().read_text().splitlines()[trip + 2]


def test_a_daemon_that_ends_writes_what_it_has(bench):
    bench.energised()
    bench.trip()
    bench.run(0.5)
    bench.recorder.close()
    bench.log.work()
    found = read(bench.newest())
    assert found.header.complete
    assert found.columns["t"][-1] == pytest.approx(0.5)


def test_ticks_that_see_the_same_readings_have_rows_of_their_own(bench):
    bench.energised()
    readings = {"analog:0": Reading(25.0, bench.now), "digital:0": Reading(None, bench.now)}
    later = {**readings, "analog:0": Reading(26.0, bench.now + 2 * PERIOD)}
    began = bench.now
    for number, seen in enumerate((readings, readings, later, later), 1):
        bench.recorder.record(bench.state, began + number * PERIOD, number, seen, (), ())
    bench.ticks += 4
    bench.trip()
    bench.log.work()
    columns = read(bench.newest()).columns
    rows = slice(-5, -1)
    ages = [PERIOD, 2 * PERIOD, PERIOD, 2 * PERIOD]
    assert columns["analog:0"][rows] == [25.0, 25.0, 26.0, 26.0]
    assert columns["age:analog:0"][rows] == pytest.approx(ages)
    assert columns["age:digital:0"][rows] == pytest.approx([number * PERIOD for number in range(1, 5)])
    assert columns["missed"][rows] == [1.0, 2.0, 3.0, 4.0]
    assert all(math.isnan(value) for name in ("digital:0", "readback:ac") for value in columns[name][rows])


@pytest.mark.parametrize("alike", [1, 2, 5, recorder_module.AGAIN + 3])
def test_ticks_without_news_are_all_there_when_something_happens(bench, alike):
    bench.energised()
    readings = {name: Reading(25.0, bench.now) for name in ("analog:0", "digital:0", "readback:ac")}
    for number in range(1, alike + 1):
        bench.recorder.record(bench.state, bench.now + number * PERIOD, 3, readings, (), ())
    bench.ticks += alike
    bench.trip()
    bench.log.work()
    columns = read(bench.newest()).columns
    rows = slice(-alike - 1, -1)
    assert columns["t"][rows] == pytest.approx([(n - alike - 1) * PERIOD for n in range(1, alike + 1)])
    assert columns["age:analog:0"][rows] == pytest.approx([n * PERIOD for n in range(1, alike + 1)])
    assert columns["analog:0"][rows] == [25.0] * alike


def test_what_changes_with_the_same_readings_has_a_row_that_says_so(bench):
    bench.energised()
    readings = {name: Reading(25.0, bench.now) for name in ("analog:0", "digital:0", "readback:ac")}
    off = replace(bench.state, on=frozenset())
    found = [(bench.state, 3), (bench.state, 3), (off, 3), (off, 3), (off, 4), (bench.state, 4)]
    for number, (state, missed) in enumerate(found, 1):
        bench.recorder.record(state, bench.now + number * PERIOD, missed, readings, (), ())
    bench.ticks += len(found)
    bench.trip()
    bench.log.work()
    columns = read(bench.newest()).columns
    assert columns["missed"][-7:-1] == [3.0, 3.0, 3.0, 3.0, 4.0, 4.0]
    assert columns["out:amplifier"][-7:-1] == [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]


# --- what it costs ---


def test_a_tick_leaves_no_garbage(bench):
    bench.energised()
    readings = {name: Reading(25.0, bench.now) for name in ("analog:0", "digital:0", "readback:ac")}
    bench.recorder.record(bench.state, bench.now, 0, readings, (), ())
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        for _ in range(2000):
            bench.recorder.record(bench.state, bench.now, 0, readings, (), ())
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    file = tracemalloc.Filter(True, recorder_module.__file__)
    grown = sum(
        each.size_diff
        for each in after.filter_traces([file]).compare_to(before.filter_traces([file]), "filename")
    )
    assert grown < 1000


def test_memory_is_bounded_whatever_the_rate_and_the_instrument():
    many = tuple(Limit(f"limit-{n}", f"analog:{n}", "A", 1.0, 0.25) for n in range(99))
    fast = Config(0.001, 0.5, many, (Output("amplifier", "ac", tuple(each.name for each in many)),))
    made = Recorder(fast, "x", True, Folder(Path(os.devnull).parent / "shm" / f"nixel-{os.getpid()}"), Log())
    try:
        ring = made._ring
        assert 8 * len(ring.data) <= recorder_module.MOST_MEMORY
        assert made._before + made._after < ring.rows
        assert made._before > 0.7 * ring.rows
    finally:
        (Path(os.devnull).parent / "shm" / f"nixel-{os.getpid()}").rmdir()


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 4), st.integers(0, 200), st.integers(0, 60))
def test_a_ring_gives_what_was_written_or_says_that_it_is_gone(rows, width, written, back):
    ring = Ring(rows, width)
    for number in range(written):
        place = ring.begin()
        for column in range(width):
            ring.data[place + column] = number * 10 + column
        ring.count += 1
    first = max(0, written - back)
    found = ring.copy(first, written)
    if written - first < rows:
        assert list(found) == [n * 10 + column for n in range(first, written) for column in range(width)]
    else:
        assert found is None


def test_a_disk_that_is_too_slow_loses_the_recording_and_says_so(bench):
    bench.energised()
    bench.run(31.0, RenewLease(1, 9))
    bench.trip()
    bench.run(40.0)
    bench.log.work()
    assert recordings(bench.folder) == []
    assert any("too late and is lost" in event.text for event in bench.log.events)


def test_too_many_trips_at_once_are_told(bench):
    for _ in range(12):
        bench.values["analog:0"] = 25.0
        bench.tick()
        bench.tick(Reset(1, 1))
        bench.trip()
    assert any("too many wait for the disk" in event.text for event in bench.log.events)


# --- the folder ---


def test_only_the_newest_are_kept_whatever_the_clock_says(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings_module, "KEPT", 3)
    monkeypatch.setattr(recordings_module, "_PAUSE", 0.0)
    bench = Bench(tmp_path / "recordings")
    for year in (2026, 2031, 1970, 1970, 1970):
        clock = (year - 1970) * 31_557_600.0
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        bench.values["analog:0"] = 25.0
        bench.tick()
        bench.tick(Reset(1, 1))
        bench.trip()
        bench.run(2.5)
        bench.log.work()
    kept = recordings(bench.folder)
    assert [number for number, _ in kept] == [3, 4, 5]
    again = Folder(bench.folder)
    assert again.name(0.0).startswith("trip-000006-")


def test_a_full_disk_leaves_no_half_of_a_recording(bench, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    bench.energised()
    bench.trip()
    bench.log.work()
    before = bench.newest().read_bytes()
    bench.run(2.5)
    monkeypatch.setattr(os, "fsync", full)
    bench.log.work()
    assert bench.newest().read_bytes() == before
    assert [each.name for each in bench.folder.iterdir()] == [bench.newest().name]
    assert "cannot be written: No space left on device" in bench.log.events[-1].text


def test_what_a_power_cut_left_half_is_removed_at_the_start(tmp_path):
    (tmp_path / "trip-000004-20260101T000000Z.csv.new").write_text("half")
    (tmp_path / "mine.txt").write_text("mine")
    Folder(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


# --- reading ---


def test_a_recording_that_is_cut_anywhere_is_refused_and_never_taken_for_whole(bench, tmp_path):
    bench.energised()
    bench.trip()
    bench.log.work()
    whole = bench.newest().read_bytes()
    cut = tmp_path / "cut.csv"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(RecordingError, match=str(cut)):
            read(cut)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_whatever_is_in_a_file_reading_it_ends_in_words(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("x") / "x.csv"
    path.write_bytes(content)
    with pytest.raises(RecordingError):
        read(path)


# --- a real daemon ---


def run(*arguments, **environment):
    command = [sys.executable, "-m", "nixel.safety", *map(str, arguments)]
    env = os.environ | {key: str(value) for key, value in environment.items()}
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=env)


def recorded(daemon, count, complete=True, timeout=8.0):
    folder = daemon.folder / "recordings"
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        paths = [path for _, path in recordings(folder)]
        if len(paths) == count and read(paths[-1]).header.complete is complete:
            return paths[-1]
        time.sleep(0.02)
    raise AssertionError(f"{list(folder.iterdir())}")


def test_a_trip_of_a_real_daemon_is_recorded_listed_and_told(daemon, unit):
    daemon.armed()
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        daemon.wait_for(lambda status: status.state == "ENERGISED")
        time.sleep(0.5)
        unit.analog = ["61.5"]
        daemon.wait_for(lambda status: status.state == "FAULT")
    found = read(recorded(daemon, 1))
    trip = found.columns["t"].index(0.0)
    assert found.columns["analog:0"][trip] == 61.5
    assert 25.0 in found.columns["analog:0"][:trip]
    assert found.columns["out:amplifier"][trip - 1] == 1.0
    assert found.columns["readback:ac"][-1] == 0.0
    told = run("blackbox", "list", NIXEL_SAFETY_EVENTS=daemon.events)
    assert (told.returncode, told.stderr) == (0, "")
    assert "coil-temperature is 61.5 degC" in told.stdout
    listed = json.loads(run("blackbox", "list", "--json", "--folder", daemon.folder / "recordings").stdout)
    assert (listed["number"], listed["cause"], listed["complete"]) == (1, "coil-temperature", True)
    shown = run("blackbox", "show", NIXEL_SAFETY_EVENTS=daemon.events)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "ENERGISED -> FAULT" in shown.stdout
    assert "Enable of client" in shown.stdout
    assert json.loads(run("blackbox", "show", 1, "--json", "--folder", daemon.folder / "recordings").stdout)
    assert daemon.client.status().missed_deadlines == 0 or daemon.client.status().state == "FAULT"


def test_the_recording_up_to_the_trip_survives_a_kill_right_after_it(daemon, unit, start_daemon):
    daemon.armed()
    unit.digital = ["0"]
    daemon.wait_for(lambda status: status.state == "FAULT")
    path = recorded(daemon, 1, complete=False)
    daemon.process.kill()
    daemon.process.wait()
    found = read(path)
    assert found.header.cause == "emergency-stop"
    assert found.columns["t"][-1] == 0.0


def test_a_daemon_that_is_asked_to_end_completes_its_recording(daemon, unit):
    daemon.armed()
    unit.digital = ["0"]
    daemon.wait_for(lambda status: status.state == "FAULT")
    assert daemon.end() == 0
    assert read(recorded(daemon, 1)).header.complete


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "/nowhere.csv"), "cannot be read"),
        (("show", "7"), "holds no recording"),
        (("show",), "nothing has tripped yet"),
        (("list", "--folder", "/nowhere"), "cannot be read"),
    ],
)
def test_what_is_not_there_is_said_in_words(tmp_path, arguments, says):
    (tmp_path / "recordings").mkdir()
    done = run("blackbox", *arguments, NIXEL_SAFETY_EVENTS=tmp_path / "events.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
