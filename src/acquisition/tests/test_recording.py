"""Frames reach the disk in order and whole, or the run ends and says why; a crash loses nothing that was committed."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nixel.acquisition.recording import FrameRing, Journal, Recorder, RecordingError, Spool, recover, spools
from nixel.acquisition.recording import spool as spool_module
from nixel.acquisition.recording.journal import encode

SHAPE = (3, 5)


def frame(number):
    return np.random.default_rng(number).integers(0, 2**16, SHAPE, dtype=np.uint16)


def begin(folder, **settings):
    return Spool.create(folder, shape=SHAPE, dtype="<u2", what={"run": 7}, **settings)


def read(folder):
    with recover(folder) as found:
        return found, list(found.frames())


def record(recorder, count, patience=0.0, then=None):
    with recorder:
        for number in range(count):
            recorder.put(frame(number), {"number": number}, patience)
        if then is not None:
            raise then


def test_frames_come_back_as_they_went_in(tmp_path):
    with Recorder(begin(tmp_path / "a.recording", per_file=4), FrameRing(SHAPE, "<u2", 10_000)) as recorder:
        for number in range(10):
            recorder.put(frame(number), {"number": number}, patience=5.0)
    found, frames = read(tmp_path / "a.recording")
    assert found.complete
    assert found.what == {"run": 7}
    assert [record.note["number"] for record in found.journal.frames] == list(range(10))
    assert all(np.array_equal(a, frame(n)) for n, a in enumerate(frames))
    assert [path.name for path in found.files] == ["frames.0", "frames.1", "frames.2"]
    assert found.journal.end["counters"]["committed"] == found.journal.end["counters"]["received"] == 10
    assert found.journal.end["counters"]["refused"] == 0


def test_the_buffer_never_takes_more_than_it_was_given():
    ring = FrameRing((100, 100), "<u2", 1_000_000)
    assert ring.nbytes <= 1_000_000
    assert ring.slots == 50
    with pytest.raises(RecordingError, match="room for two frames of 20000 bytes"):
        FrameRing((100, 100), "<u2", 39_999)


@given(st.integers(2, 5), st.lists(st.integers(0, 4), max_size=40))
@settings(deadline=None)
def test_the_ring_is_a_queue_of_bounded_length(slots, takes):
    """Against a list: what is taken is what was put, in order, and a full ring refuses."""
    ring, model, number = FrameRing((1,), "<u2", 2 * slots), [], 0
    for take in takes:
        if take == 0:
            assert ring.put(np.array([number], "<u2"), {"n": number}) == (len(model) < slots)
            if len(model) < slots:
                model.append(number)
            number += 1
        else:
            frames, notes = ring.take(0.0)
            taken = min(take, len(notes))
            assert frames[:, 0].tolist() == [note["n"] for note in notes] == model[: len(notes)]
            assert bool(len(notes)) == bool(model)
            ring.release(taken)
            del model[:taken]
    assert ring.peak <= slots


def test_a_frame_of_another_shape_or_type_ends_the_run(tmp_path):
    ring = FrameRing(SHAPE, "<u2", 10_000)
    for wrong in (np.zeros((5, 3), "<u2"), np.zeros(SHAPE, "<u4")):
        with pytest.raises(RecordingError, match=r"expected uint16 of shape \(3, 5\), found"):
            ring.put(wrong, {})


class SlowDisk:
    """Stands still for a while when the nth write comes."""

    def __init__(self, monkeypatch, at, seconds):
        self.writes, self.at, self.seconds = 0, at, seconds
        self.real = spool_module._write_all
        monkeypatch.setattr(spool_module, "_write_all", self)

    def __call__(self, descriptor, data):
        self.writes += 1
        if self.writes == self.at:
            time.sleep(self.seconds)
        self.real(descriptor, data)


def test_a_disk_that_stalls_for_two_seconds_is_survived(tmp_path, monkeypatch):
    SlowDisk(monkeypatch, at=20, seconds=2.0)
    ring = FrameRing(SHAPE, "<u2", 30 * 400)
    with Recorder(begin(tmp_path / "a.recording"), ring) as recorder:
        for number in range(300):  # three seconds of a camera that does not wait
            recorder.put(frame(number), {"number": number})
            time.sleep(0.01)
    found, frames = read(tmp_path / "a.recording")
    assert found.complete
    assert len(frames) == 300
    assert found.journal.end["counters"]["longest_write"] >= 2.0
    assert found.journal.end["counters"]["buffer_peak"] > 50


def test_what_the_buffer_cannot_hold_ends_the_run_with_a_record(tmp_path, monkeypatch):
    SlowDisk(monkeypatch, at=5, seconds=1.0)
    recorder = Recorder(begin(tmp_path / "a.recording"), FrameRing(SHAPE, "<u2", 30 * 8))
    with pytest.raises(RecordingError, match="the buffer is full") as caught:
        record(recorder, 1000)
    found, frames = read(tmp_path / "a.recording")
    assert not found.complete
    assert str(caught.value) in found.journal.end["reason"]
    counters = found.journal.end["counters"]
    # Every frame that was taken is there; the one that was refused is counted.
    assert len(frames) == counters["received"] - 1 == counters["committed"] < 1000
    assert counters["refused"] == 1
    assert all(np.array_equal(a, frame(n)) for n, a in enumerate(frames))


def test_a_device_that_can_wait_is_made_to(tmp_path, monkeypatch):
    SlowDisk(monkeypatch, at=5, seconds=0.5)
    with Recorder(begin(tmp_path / "a.recording"), FrameRing(SHAPE, "<u2", 30 * 4)) as recorder:
        for number in range(50):
            recorder.put(frame(number), {}, patience=10.0)
    assert len(read(tmp_path / "a.recording")[1]) == 50


def test_a_full_disk_ends_the_run_and_keeps_what_was_committed(tmp_path, monkeypatch):
    real, left = os.write, [2000]

    def write(descriptor, data):
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        left[0] -= len(data)
        return real(descriptor, data)

    ring = FrameRing(SHAPE, "<u2", 900)
    recorder = Recorder(begin(tmp_path / "a.recording"), ring, commit_every=0.0)
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(RecordingError, match="No space left on device") as caught:
        record(recorder, 1000, patience=60.0)
    monkeypatch.undo()
    assert "nixel datasets repair" in str(caught.value)
    found, frames = read(tmp_path / "a.recording")
    assert not found.complete
    assert 0 < len(frames) < 100
    assert all(np.array_equal(a, frame(n)) for n, a in enumerate(frames))


def test_a_run_that_is_broken_off_keeps_everything_received(tmp_path):
    recorder = Recorder(begin(tmp_path / "a.recording"), FrameRing(SHAPE, "<u2", 10_000))
    with pytest.raises(KeyError, match="the user said stop"):
        record(recorder, 7, patience=10.0, then=KeyError("the user said stop"))
    found, frames = read(tmp_path / "a.recording")
    assert not found.complete
    assert "the user said stop" in found.journal.end["reason"]
    assert len(frames) == 7


def test_a_recording_that_is_still_written_is_left_alone(tmp_path):
    spool = begin(tmp_path / "a.recording")
    with recover(tmp_path / "a.recording") as found:
        assert found is None
    spool.close()
    with recover(tmp_path / "a.recording") as found:
        assert found.journal.frames == []
    assert spools(tmp_path) == [tmp_path / "a.recording"]


def written(tmp_path, count=5):
    spool = begin(tmp_path / "a.recording", per_file=2)
    spool.append(np.stack([frame(n) for n in range(count)]), [{"number": n} for n in range(count)])
    spool.end("complete", {})
    spool.close()
    return tmp_path / "a.recording"


def test_a_journal_cut_at_any_byte_tells_of_the_lines_before_it(tmp_path):
    data = (written(tmp_path) / "journal").read_bytes()
    ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
    for cut in range(len(data)):
        whole = sum(end <= cut for end in ends)
        if whole == 0:
            with pytest.raises(RecordingError, match="Nothing of this recording"):
                Journal.parse(data[:cut], "journal")
            continue
        journal = Journal.parse(data[:cut], "journal")
        assert len(journal.frames) == min(whole - 1, 5)
        assert journal.end is None
        assert journal.torn == data[ends[whole - 1] : cut]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_byte_that_is_not_what_was_written_ends_the_journal_before_its_line(data):
    lines = [encode({"version": 1, "recording": {"what": {}}})]
    lines += [encode({"frame": n, "sha256": "0" * 64, "note": {"n": n}}) for n in range(4)]
    text = bytearray(b"".join(lines))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= data.draw(st.integers(1, 255))
    line = sum(place >= sum(map(len, lines[: n + 1])) for n in range(len(lines)))
    if line == 0:
        with pytest.raises(RecordingError):
            Journal.parse(bytes(text), "journal")
    else:
        assert len(Journal.parse(bytes(text), "journal").frames) == line - 1


def test_a_damaged_frame_is_named_and_not_given_out(tmp_path):
    folder = written(tmp_path)
    with (folder / "frames.1").open("r+b") as file:  # frames 2 and 3
        file.seek(3)
        byte = file.read(1)
        file.seek(3)
        file.write(bytes([byte[0] ^ 1]))
    found, frames = read(folder)
    assert found.damaged == (2,)
    assert not found.complete
    assert [record.index for record in found.journal.frames] == [0, 1, 3, 4]
    assert all(np.array_equal(a, frame(n)) for n, a in zip([0, 1, 3, 4], frames, strict=True))


def test_what_follows_the_last_committed_frame_is_cut_off(tmp_path):
    folder = written(tmp_path, 3)
    with (folder / "frames.1").open("ab") as file:
        file.write(b"half a fra")
    (folder / "frames.2").write_bytes(b"more")
    with recover(folder) as found:
        found.truncate()
    assert (folder / "frames.1").stat().st_size == frame(0).nbytes
    assert not (folder / "frames.2").exists()


def test_a_folder_that_is_there_already_is_not_recorded_over(tmp_path):
    (tmp_path / "a.recording").mkdir()
    with pytest.raises(RecordingError, match="File exists"):
        begin(tmp_path / "a.recording")


WRITER = textwrap.dedent("""
    import sys, numpy as np
    from pathlib import Path
    from nixel.acquisition.recording import FrameRing, Recorder, Spool

    folder = Path(sys.argv[1])
    spool = Spool.create(folder, shape=(64, 64), dtype="<u2", what={}, per_file=7)
    with Recorder(spool, FrameRing((64, 64), "<u2", 100 * 8192), commit_every=0.0) as recorder:
        print("begun", flush=True)
        for number in range(10**9):
            recorder.put(np.full((64, 64), number % 65536, "<u2"), {"number": number}, patience=10.0)
            print(spool.committed, flush=True)
""")


def kill_at_a_random_moment(folder, moment):
    """Start a recording, kill it, and return how many frames it knew to be committed."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"begun\n"
    killer = threading.Timer(moment, process.send_signal, [signal.SIGKILL])
    killer.start()
    told = process.stdout.read().splitlines(keepends=True)
    assert process.wait(10) == -signal.SIGKILL
    killer.join()
    return max((int(line) for line in told if line.endswith(b"\n")), default=0)


@pytest.mark.parametrize("number", range(int(os.environ.get("NIXEL_KILLS", "8"))))
def test_a_killed_recording_holds_every_committed_frame(tmp_path, number):
    moment = random.Random(number).uniform(0.0, 0.3)
    known = kill_at_a_random_moment(tmp_path / "a.recording", moment)
    with recover(tmp_path / "a.recording") as found:
        assert found.damaged == ()
        assert len(found.journal.frames) >= known
        for record, content in zip(found.journal.frames, found.frames(), strict=True):
            assert record.note == {"number": record.index}
            assert (content == record.index % 65536).all()
            assert hashlib.sha256(content.tobytes()).hexdigest() == record.sha256
        assert not found.complete
        found.truncate()
        sizes = [path.stat().st_size for path in found.files]
    assert sum(sizes) == 8192 * len(found.journal.frames)


def test_the_journal_is_readable_with_the_tools_at_hand(tmp_path):
    lines = (written(tmp_path) / "journal").read_text().splitlines()
    first, check = lines[1].split("\t")
    assert json.loads(first)["note"] == {"number": 0}
    assert hashlib.sha256(first.encode()).hexdigest().startswith(check)
