"""The sealed event log: what a verification finds, and what a writer makes of what a power cut left."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nixel.safety.core.model import Event
from nixel.safety.records import chain
from nixel.safety.records.chain import NOTHING, seal, verify
from nixel.safety.records.event_json import record
from nixel.safety.records.events import EventLog
from nixel.safety.records.logfile import LogFile


def lines_of(count, before=NOTHING):
    made = []
    for number in range(count):
        text = record(
            1_700_000_000 + number, Event(float(number), "cause", f"µ number {number}", {"n": number})
        )
        line, before = seal(before, text)
        made.append(line.encode())
    return made


def split(content):
    return content.splitlines(keepends=True)


def write(path, *texts):
    """Let a daemon's log write some events, from its start to its end."""
    log = EventLog(path)
    log.start()
    log.put([Event(1.0, "cause", text, {}) for text in texts])
    log.close(5.0)


LINES = lines_of(12)
WHOLE = b"".join(LINES)

# --- what a verification finds ---


def test_a_line_is_the_hash_of_the_hash_before_and_its_own_text():
    line, digest = seal("0" * 64, '{"kind": "cause"}')
    assert digest == hashlib.sha256(b"0" * 64 + b'{"kind": "cause"').hexdigest()
    assert json.loads(line) == {"kind": "cause", "chain": digest}
    assert line.endswith("\n")


def test_a_whole_log_is_whole():
    found = verify(split(WHOLE))
    assert (found.whole, found.events, found.older, found.torn) == (True, 12, 0, ())
    assert (found.first, found.last) == ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:31.000Z")
    assert found.latest == json.loads(LINES[-1])["chain"]
    assert verify([]).whole


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1 - len(LINES[-1])), st.integers(1, 255))
def test_any_changed_byte_before_the_last_line_is_found(place, by):
    content = bytearray(WHOLE)
    content[place] ^= by
    found = verify(split_at_newlines(bytes(content)))
    assert not found.whole
    # A newline put into the first line makes two of it that look older than the chain; the next one says so.
    assert found.broken.line <= WHOLE[:place].count(b"\n") + 2 + (place < len(LINES[0]))


@settings(deadline=None)
@given(st.integers(len(WHOLE) - len(LINES[-1]), len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte_in_the_last_line_is_found_or_looks_torn(place, by):
    content = bytearray(WHOLE)
    content[place] ^= by
    found = verify(split_at_newlines(bytes(content)))
    assert not found.whole or found.torn == (12,)
    assert found.whole == (place == len(WHOLE) - 1)  # only a lost newline can be a power cut's


def test_every_bit_of_a_small_log_counts():
    """What changes is never taken for whole, but for the last newline, whose loss is told as a torn line."""
    content = b"".join(LINES[:4])
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            found = verify(split_at_newlines(bytes(changed)))
            if place == len(content) - 1:
                assert found.whole, bit
                assert found.torn == (4,), bit
                assert found.events == 3, bit
            else:
                assert not found.whole, (place, bit)
                line = content[:place].count(b"\n") + 1
                # What joins two lines, or hides that one is sealed, shows at the next.
                assert line <= found.broken.line <= line + 1, (place, bit)


def test_a_log_cut_at_every_byte_is_told_whole_up_to_there():
    for length in range(len(WHOLE) + 1):
        content = WHOLE[:length]
        found = verify(split_at_newlines(content))
        lines, rest = content.count(b"\n"), content.rpartition(b"\n")[2]
        assert found.events == lines, length
        # A first line that lacks only its newline cannot be told from one of a daemon that did not seal.
        torn = rest and content != LINES[0][:-1]
        assert found.torn == ((lines + 1,) if torn else ()), length
        # Bytes of which nothing is sealed yet prove nothing.
        assert found.whole == (lines > 0 or not rest), length


def test_a_log_cut_at_every_byte_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no power is cut here
    path = tmp_path / "events.jsonl"
    text = record(1_700_000_100.0, Event(100.0, "start", "again", {}))
    for length in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:length])
        log = LogFile(path)
        log.append([text])
        log.append([text])
        log.close()
        content = path.read_bytes()
        assert content.startswith(WHOLE[:length])
        lines = split_at_newlines(content)
        found = verify(lines)
        assert found.whole, (length, found.broken)
        complete = (WHOLE[:length] + b"\n").count(b'"}\n')  # a line that lacks only its newline is complete
        torn = WHOLE[:length].rpartition(b"\n")[2] not in (b"", LINES[min(complete, 12) - 1][:-1])
        assert bool(found.torn) == torn, length
        told = [json.loads(line)["kind"] for line in lines[-3:] if chain.split(line)]
        assert ("torn" in told) == (torn and complete > 0), length
        assert found.events == complete + 2 + ("torn" in told), length


@settings(deadline=None)
@given(st.integers(0, 10), st.integers(1, 11))
def test_removed_lines_are_found(first, count):
    assume(first + count < 12)
    found = verify(LINES[:first] + LINES[first + count :])
    assert found.broken.line == first + 1


@settings(deadline=None)
@given(st.integers(0, 11), st.one_of(st.sampled_from(LINES), st.binary(max_size=80).map(lambda b: b + b"\n")))
def test_an_inserted_line_is_found(place, line):
    found = verify(split_at_newlines(b"".join([*LINES[:place], line, *LINES[place:]])))
    assert not found.whole


@settings(deadline=None)
@given(st.integers(0, 11), st.integers(0, 11))
def test_swapped_lines_are_found(one, other):
    assume(one != other)
    lines = list(LINES)
    lines[one], lines[other] = lines[other], lines[one]
    assert verify(lines).broken.line == min(one, other) + 1


@settings(deadline=None)
@given(st.integers(0, 10), st.data())
def test_a_shortened_line_in_the_middle_is_found(number, data):
    length = data.draw(st.integers(0, len(LINES[number]) - 1))
    for end in (b"", b"\n"):
        shorter = LINES[number][:length] + end
        assume(shorter != LINES[number])
        found = verify(split_at_newlines(b"".join([*LINES[:number], shorter, *LINES[number + 1 :]])))
        assert not found.whole
        assert found.broken.line <= number + 2


@settings(deadline=None)
@given(st.integers(0, 11), st.data())
def test_a_last_line_that_was_cut_short_is_torn_and_not_fatal(number, data):
    length = data.draw(st.integers(1, len(LINES[number]) - 1))
    found = verify([*LINES[:number], LINES[number][:length]])
    if number:
        assert (found.whole, found.events, found.torn) == (True, number, (number + 1,))
    else:
        assert found.torn == (1,) or found.older == 1
        assert not found.whole  # nothing in it is sealed


def test_lines_cut_off_the_end_are_seen_only_by_who_remembers_a_hash():
    latest = verify(LINES).latest
    assert verify(LINES, expect=[latest]).whole
    assert verify(LINES[:-1]).whole  # the limit
    found = verify(LINES[:-1], expect=[latest])
    assert not found.whole
    assert latest in str(found.broken)


def test_says_where_it_breaks_and_what_was_expected_and_found():
    changed = LINES[4].replace(b"number 4", b"number 5")
    found = verify([*LINES[:4], changed, *LINES[5:]])
    assert found.broken.line == 5
    right = hashlib.sha256(json.loads(LINES[3])["chain"].encode() + chain.split(changed)[0]).hexdigest()
    assert right in found.broken.expected
    assert found.broken.found == json.loads(LINES[4])["chain"]
    assert found.events == 12


def split_at_newlines(content):
    return [line for line in content.replace(b"\n", b"\n\0\0SPLIT").split(b"\0\0SPLIT") if line]


# --- what a writer makes of what it finds ---


def test_the_chain_goes_on_over_restarts(tmp_path):
    path = tmp_path / "events.jsonl"
    for number in range(4):
        write(path, f"{number} a", f"{number} b")
    found = verify(split(path.read_bytes()))
    assert (found.whole, found.events, found.torn) == (True, 8, ())


@settings(deadline=None)
@given(st.data())
def test_a_log_cut_anywhere_goes_on_and_verifies(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    length = data.draw(st.integers(0, len(WHOLE)))
    path.write_bytes(WHOLE[:length])
    write(path, "after")
    complete = (WHOLE[:length] + b"\n").count(b'"}\n')  # a line that lacks only its newline is complete
    found = verify(split(path.read_bytes()))
    assert found.whole
    # A cut line is told, and whatever was complete is still there.
    torn = WHOLE[:length].rpartition(b"\n")[2] not in (b"", LINES[min(complete, 12) - 1][:-1])
    assert bool(found.torn) == torn
    assert path.read_bytes().startswith(WHOLE[:length])
    sealed_tear = torn and complete > 0
    assert found.events == complete + sealed_tear + 1


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_cuts_of_the_repair_itself_are_survived(tmp_path_factory, cuts):
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    path.write_bytes(WHOLE[: len(WHOLE) - 30])
    for cut in cuts:
        size = path.stat().st_size
        write(path, "after")
        os.truncate(path, size + round(cut * (path.stat().st_size - size)))
    write(path, "the last")
    found = verify(split(path.read_bytes()))
    assert found.whole
    assert found.torn[0] == 12
    assert json.loads(split(path.read_bytes())[-1])["text"] == "the last"


@settings(deadline=None)
@given(st.data())
def test_torn_bytes_cannot_be_changed_or_put_there_later(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    path.write_bytes(WHOLE[: len(WHOLE) - 30])
    write(path, "after")
    content = bytearray(path.read_bytes())
    began = len(WHOLE) - len(LINES[-1])
    content[data.draw(st.integers(began, len(WHOLE) - 30))] ^= data.draw(st.integers(1, 255))
    found = verify(split_at_newlines(bytes(content)))
    assert found.broken.line == 12


def test_what_a_daemon_wrote_that_did_not_seal_is_sealed_as_it_stands(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"kind": "start", "text": "old"}\n{"kind": "cause", "text": "older"}\n')
    assert "older than the chain" in str(verify(split(path.read_bytes())).broken)
    write(path, "new")
    found = verify(split(path.read_bytes()))
    assert (found.whole, found.older, found.events) == (True, 2, 1)
    path.write_bytes(path.read_bytes().replace(b"older", b"elder"))
    assert verify(split(path.read_bytes())).broken.line == 3


def test_a_torn_tail_longer_than_what_is_looked_at_first(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(WHOLE + b"\0" * 3_000_000)
    write(path, "after")
    found = verify(split(path.read_bytes()))
    assert (found.whole, found.torn, found.events) == (True, (13,), 14)


def test_two_daemons_do_not_write_one_log(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    with pytest.raises(OSError, match="another safety daemon writes to it"):
        EventLog(tmp_path / "events.jsonl")
    log.start()
    log.close(5.0)
    EventLog(tmp_path / "events.jsonl")


def test_a_disk_that_comes_back_gets_what_was_held(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    monkeypatch.setattr("nixel.safety.records.events.RETRY", 0.02)
    real, broken = os.write, [3]

    def half(file, content):
        if broken[0] and len(content) > 60:
            broken[0] -= 1
            real(file, content[: 40 + broken[0]])
            raise OSError(28, "No space left on device")
        return real(file, content)

    log = EventLog(path)
    monkeypatch.setattr(os, "write", half)
    log.start()
    log.put([Event(1.0, "cause", "one", {}), Event(1.0, "cause", "two", {})])
    deadline = time.monotonic() + 5
    while b'"two"' not in path.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    log.close(5.0)
    found = verify(split(path.read_bytes()))
    assert found.whole
    assert found.torn
    texts = [json.loads(line).get("text") for line in split(path.read_bytes()) if b"chain" in line]
    assert texts[-2:] == ["one", "two"]
