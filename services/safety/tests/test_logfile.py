"""The event log's thread and files: what is kept when a disk is full, a file has grown, or the power goes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time

import pytest

from nixel.safety.core.model import Event
from nixel.safety.records import events as events_module
from nixel.safety.records import logfile
from nixel.safety.records.audit import audit
from nixel.safety.records.event_json import record
from nixel.safety.records.events import EventLog
from nixel.safety.records.logfile import LogFile, put_aside

SOON = 5.0  # s


def cause(text, time=1.0):
    return Event(time, "cause", text, {})


def texts(path):
    """What all files of a log say, oldest first."""
    files = [*(each for _, each in put_aside(path)), path]
    lines = [json.loads(line) for each in files for line in each.read_bytes().splitlines()]
    return [line["text"] for line in lines if line["kind"] == "cause"]


def wait_until(what):
    deadline = time.monotonic() + SOON
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


# --- files that are put aside ---


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(logfile, "LARGEST", 1000)


def fill(path, count, begin=0):
    log = LogFile(path)
    for number in range(begin, begin + count):
        log.append([record(1_700_000_000.0 + number, cause(f"{number:04} {'x' * 100}"))])
    log.close()


def test_a_log_that_grows_is_put_aside_and_goes_on(tmp_path, small):
    path = tmp_path / "events.jsonl"
    fill(path, 18)
    numbers = [number for number, _ in put_aside(path)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 3
    assert [text[:4] for text in texts(path)] == [f"{number:04}" for number in range(18)]
    found = audit(path)
    assert (found.whole, found.dropped, len(found.files)) == (True, 0, len(numbers) + 1)
    assert found.latest == json.loads(path.read_bytes().splitlines()[-1])["chain"]


def test_the_oldest_are_dropped_and_that_is_told(tmp_path, small):
    path = tmp_path / "events.jsonl"
    fill(path, 60)
    assert len(put_aside(path)) == logfile.KEPT
    found = audit(path)
    assert found.whole
    assert found.dropped == put_aside(path)[0][0] - 1 > 0
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) < (logfile.KEPT + 1) * 1500


@pytest.mark.parametrize("gone", range(4))
def test_a_file_that_is_taken_away_is_missed(tmp_path, small, gone):
    path = tmp_path / "events.jsonl"
    fill(path, 18)
    put_aside(path)[gone][1].unlink()
    found = audit(path)
    assert not found.whole
    name, verdict = next((name, verdict) for name, verdict in found.files if not verdict.whole)
    assert verdict.broken.line == 1
    assert name == str(([*put_aside(path), (0, path)])[gone][1])


def test_files_that_change_places_are_found(tmp_path, small):
    path = tmp_path / "events.jsonl"
    fill(path, 18)
    (_, one), (_, other) = put_aside(path)[1:3]
    (tmp_path / "between").write_bytes(one.read_bytes())
    one.write_bytes(other.read_bytes())
    other.write_bytes((tmp_path / "between").read_bytes())
    assert not audit(path).whole


def test_lines_cut_off_a_file_that_was_put_aside_are_missed(tmp_path, small):
    path = tmp_path / "events.jsonl"
    fill(path, 18)
    _, old = put_aside(path)[2]
    lines = old.read_bytes().splitlines(keepends=True)
    old.write_bytes(b"".join(lines[:-1]))
    assert not audit(path).whole
    old.write_bytes(b"".join(lines)[:-20])
    assert not audit(path).whole, "a file was whole when it was put aside: nothing can be torn in it"


def test_a_power_cut_between_putting_aside_and_beginning_anew_is_survived(tmp_path, small):
    path = tmp_path / "events.jsonl"
    fill(path, 18)
    latest = audit(path).latest
    number = put_aside(path)[-1][0] + 1
    path.rename(tmp_path / f"events.jsonl.{number:06}")
    assert audit(path, [latest]).whole
    assert not audit(path, ["0" * 64]).whole
    path.touch()
    assert audit(path, [latest]).whole
    fill(path, 1, 18)
    found = audit(path, [latest])
    assert found.whole
    assert found.files[-1][1].continues == (number, latest)
    assert len(texts(path)) == 19


def test_a_remembered_hash_is_found_in_whichever_file_it_is(tmp_path, small):
    path = tmp_path / "events.jsonl"
    fill(path, 18)
    for _, verdict in audit(path).files:
        assert audit(path, [verdict.latest]).whole
    latest = audit(path).latest
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert audit(path).whole  # the limit of any chain
    assert not audit(path, [latest]).whole


# --- a disk that takes nothing ---


def test_a_disk_that_is_full_for_a_while_loses_nothing_and_says_so(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(events_module, "RETRY", 0.01)
    full = threading.Event()
    full.set()
    real = os.write

    def write(file, content):
        if full.is_set() and len(content) > 50 and file > 2:
            real(file, content[:40])
            raise OSError(28, "No space left on device")
        return real(file, content)

    monkeypatch.setattr(os, "write", write)
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.start()
    log.put([cause("one"), cause("two")])
    wait_until(lambda: log.past("", 9, 9999).problem)
    assert [event["text"] for event in log.past("", 9, 9999).events] == ["one", "two"]
    full.clear()
    wait_until(lambda: b'"two"' in path.read_bytes())
    wait_until(lambda: not log.past("", 9, 9999).problem)
    log.put([cause("three")])
    log.close(SOON)
    found = audit(path)
    assert found.whole
    assert found.files[0][1].torn
    assert capfd.readouterr().err.count("cannot be written") == 1
    kept = [json.loads(line) for line in path.read_bytes().splitlines() if b"chain" in line]
    assert [event["text"] for event in kept if event["kind"] == "cause"] == ["one", "two", "three"]


def test_what_could_never_be_written_is_counted_at_the_end(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(events_module, "CAPACITY", 2)
    monkeypatch.setattr(LogFile, "append", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    log = EventLog(tmp_path / "events.jsonl")
    log.start()
    log.put([cause("one")])
    wait_until(lambda: log.past("", 9, 9999).problem == "disk full")
    for number in range(5):
        log.put([cause(str(number))])
    log.close(SOON)
    assert log.lost > 0
    assert "without its last" in capfd.readouterr().err


def test_an_event_that_cannot_be_written_does_not_stop_those_after_it(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.start()
    log.put([Event(1.0, "cause", "odd", {"what": object()})])
    wait_until(lambda: log.lost == 1)
    log.put([cause("good")])
    log.close(SOON)
    assert "good" in texts(path)
    assert b"1 events" in path.read_bytes()


def test_putting_never_waits_for_the_disk(tmp_path, monkeypatch):
    stuck = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: stuck.wait(SOON))
    log = EventLog(tmp_path / "events.jsonl") if stuck.set() is None else None
    stuck.clear()
    log.start()
    longest = 0.0
    for number in range(3 * events_module.CAPACITY):
        began = time.perf_counter()
        log.put([cause(str(number))])
        longest = max(longest, time.perf_counter() - began)
    assert log.lost >= events_module.CAPACITY
    stuck.set()
    log.close(SOON)
    assert longest < SOON / 5, "on a busy machine it may be held up, but never for as long as the disk"
    assert "events came too fast to be written" in (tmp_path / "events.jsonl").read_text()


# --- what is told from memory ---


def test_the_past_is_told_newest_last_and_bounded(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.start()
    log.put([cause("before", time.monotonic())])
    log.close(SOON)
    log = EventLog(path)
    log.start()
    wait_until(lambda: len(log.past("", 9, 9999).events) == 1)
    log.put([cause(str(number), time.monotonic()) for number in range(9)])
    told = log.past("", 200, 48_000)
    assert [event["text"] for event in told.events] == ["before", *map(str, range(9))]
    assert set(told.events[0]) == {"time", "monotonic", "kind", "text", "details"}
    few = log.past("", 3, 48_000)
    assert [event["text"] for event in few.events] == ["6", "7", "8"]
    assert few.earlier
    assert len(log.past("", 200, 300).events) < 4
    assert log.past(told.events[-1]["time"], 200, 48_000).events == ()
    wait_until(lambda: log.past("", 1, 9999).latest)
    log.close(SOON)
    assert log.past("", 1, 9999).latest == audit(path).latest


def test_only_so_much_is_remembered(tmp_path):
    log = EventLog(None)
    log.start()
    log.put([cause(str(number)) for number in range(2 * events_module.REMEMBERED)])
    told = log.past("", 10_000, 10_000_000)
    assert len(told.events) == events_module.REMEMBERED
    assert told.earlier
    log.close(SOON)


# --- kills ---

# As many as wanted: NIXEL_KILLS=1000 pytest services/safety/tests/test_logfile.py -k killed
KILLS = int(os.environ.get("NIXEL_KILLS", "36"))

# Writes as fast as it can until it is killed, in batches of random sizes.
WRITER = """
import itertools, pathlib, random, sys, time
from nixel.safety.records import logfile
from nixel.safety.records.events import EventLog
from nixel.safety.core.model import Event
from nixel.safety.records.event_json import record
logfile.LARGEST = 1_000_000  # so that kills also come while a file is put aside
log = EventLog(pathlib.Path(sys.argv[1]))
log.start()
print("on", flush=True)
for number in itertools.count():
    details = {"n": number, "pad": "x" * random.randrange(3000)}
    log.put([Event(time.monotonic(), "cause", "again", details)] * random.randrange(1, 20))
    time.sleep(0.0005)
"""


def test_a_writer_that_is_killed_at_random_moments_leaves_a_log_that_verifies(tmp_path):
    path = tmp_path / "events.jsonl"
    events = 0
    for kill in range(KILLS):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"on\n"
            time.sleep(random.Random(kill).uniform(0.0, 0.06))
            process.kill()
        found = audit(path)
        assert found.whole, found
        count = sum(verdict.events for _, verdict in found.files)
        assert count >= events or found.dropped
        events = count
    torn = sum(len(verdict.torn) for _, verdict in found.files)
    print(f"{KILLS} kills: {events} events in {len(found.files)} files, {torn} torn lines")
