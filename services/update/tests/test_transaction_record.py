"""The record and the history: read as they were written or not at all, whatever was torn or flipped."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transactions import NEW_SIDE, OLD_SIDE, STICK, begin

from nixel.update import disk
from nixel.update.transaction import history as history_module
from nixel.update.transaction.history import Entry, History, entry_of
from nixel.update.transaction.journal import Journal, UnreadableError, _digest, decode, encode
from nixel.update.transaction.machine import step
from nixel.update.transaction.model import (
    Check,
    Copied,
    Healthy,
    Kept,
    Kind,
    Moment,
    Passed,
    Side,
    Source,
    Stage,
    Switched,
    Transaction,
    Verdict,
    Via,
)

TIMES = st.floats(0, 4e9)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SIDES = st.builds(Side, TEXT, TEXT, TEXT, st.none() | st.integers(0, 2**40))
SOURCES = st.builds(Source, st.sampled_from(Via), TEXT, TEXT)
MOMENTS = st.builds(Moment, TIMES, TIMES, TEXT)
FACTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def transactions(draw):
    stages = draw(st.lists(st.builds(Passed, st.sampled_from(Stage), MOMENTS), min_size=1, max_size=6))
    done = stages[-1].stage is Stage.DONE
    return Transaction(
        id=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", fullmatch=True)),
        kind=draw(st.sampled_from(Kind)),
        source=draw(SOURCES),
        old=draw(SIDES),
        new=draw(SIDES),
        default_before=draw(TEXT),
        asks_confirmation=draw(st.booleans()),
        stages=tuple(stages),
        before=draw(st.none() | st.dictionaries(TEXT, FACTS, max_size=3)),
        checks=tuple(draw(st.lists(st.builds(Check, TEXT, st.booleans(), TEXT, TIMES), max_size=3))),
        why=tuple(draw(st.lists(TEXT, max_size=3))),
        verdict=draw(st.sampled_from(Verdict)) if done else None,
        restarts=draw(st.integers(0, 1)),
    )


def entry(number: int, verdict=Verdict.KEPT) -> Entry:
    return Entry(
        f"t{number}",
        1.0 + number,
        9.0 + number,
        8.0,
        Kind.INSTALL,
        STICK,
        OLD_SIDE,
        NEW_SIDE,
        verdict,
        ("why",),
    )


# --- the record ---


@given(transactions())
def test_what_is_read_is_what_was_written(transaction):
    assert decode(encode(transaction)) == transaction


@given(transactions(), st.data())
def test_no_flipped_bit_is_believed(transaction, data):
    content = bytearray(encode(transaction))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode(bytes(content))
    except ValueError:
        return
    assert found == transaction, "only white space can change without a difference"


@given(st.binary(max_size=200))
def test_no_bytes_are_a_surprise(content):
    with pytest.raises(ValueError):  # noqa: PT011 (any of them; what counts is that it is no other error)
        decode(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"restarts": True}, "no whole number"),
        ({"asks_confirmation": 1}, "neither true nor false"),
        ({"id": "../x"}, "no name of a transaction"),
        ({"id": 7}, "no text"),
        ({"before": []}, "another kind"),
        ({"stages": []}, "do not fit together"),
        ({"stages": [["done", 1, 1, "b"]]}, "do not fit together"),
        ({"stages": [["copying", "1", 1, "b"]]}, "no number"),
        ({"stages": [["copying", float("inf"), 1, "b"]]}, "no number"),
        ({"stages": [["sleeping", 1, 1, "b"]]}, "sleeping"),
        ({"verdict": "kept"}, "do not fit together"),
        ({"kind": "wish"}, "wish"),
        ({"source": None}, "lacks something"),
        ({"why": None}, "lacks something"),
    ],
)
def test_a_record_that_says_what_none_can(change, words):
    """As a program with a mistake in it would write it: the checksum fits, and yet."""
    body = {**json.loads(encode(begin()))["transaction"], **change}
    with pytest.raises(ValueError, match=words):
        decode(json.dumps({"format": 1, "sha256": _digest(body), "transaction": body}).encode())


@pytest.mark.parametrize("content", [b"[" * 100_000, b" " * (17 * 1024 * 1024), b'{"format": 2}', b"[1]"])
def test_what_is_no_record_at_all(content):
    with pytest.raises(ValueError, match=r"nested|bytes|format"):
        decode(content)


def test_a_record_on_the_disk(tmp_path):
    journal = Journal(tmp_path)
    assert journal.read() is None
    first = begin()
    journal.write(first)
    assert journal.read() == first
    second = step(first, Copied({}), first.began)
    journal.write(second)
    assert journal.read() == second
    journal.remove()
    assert journal.read() is None
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_may_not_be_read(tmp_path):
    journal = Journal(tmp_path)
    journal.path.mkdir()
    with pytest.raises(UnreadableError, match="cannot be read"):
        journal.read()


def test_the_room_kept_back_is_used_when_the_disk_is_full(tmp_path, monkeypatch):
    """A disk that takes a record only if the room kept back was given back first."""
    journal = Journal(tmp_path)
    journal.reserve()
    write = disk.write

    def full(path, content, mode):
        if (tmp_path / "reserve").exists():
            raise OSError(28, "No space left on device")
        write(path, content, mode)

    monkeypatch.setattr(disk, "write", full)
    journal.write(begin())
    assert journal.read() == begin()


def test_a_disk_that_is_full_all_the_same(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.write(begin())

    def full(path, content, mode):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "write", full)
    with pytest.raises(OSError, match="No space left"):
        journal.write(step(begin(), Copied({}), begin().began))
    assert journal.read() == begin(), "what was recorded before is still there"


# --- the history ---


def test_lines_are_added_and_none_is_changed(tmp_path):
    history = History(tmp_path / "state")
    assert history.read().entries == ()
    before = b""
    for number in range(3):
        assert history.add(entry(number))
        after = history.path.read_bytes()
        assert after.startswith(before)
        before = after
    assert history.read().entries == tuple(entry(number) for number in range(3))
    assert before.count(b"\n") == 3


def test_a_line_is_there_once(tmp_path):
    history = History(tmp_path)
    assert history.add(entry(1))
    assert not history.add(replace(entry(1), why=("otherwise",)))
    assert history.read().entries == (entry(1),)


def test_a_line_torn_anywhere_is_closed_and_read_over(tmp_path):
    whole = History(tmp_path / "whole")
    whole.add(entry(1))
    line = whole.path.read_bytes()
    for length in range(1, len(line)):
        history = History(tmp_path / str(length))
        history.add(entry(0))
        with history.path.open("ab") as stream:
            stream.write(line[:length])
        torn = length < len(line) - 1  # only the end of the line is missing: the line is whole
        assert history.read().entries == ((entry(0),) if torn else (entry(0), entry(1)))
        assert history.add(entry(1)) == torn
        assert history.add(entry(2))
        told = history.read()
        assert told.entries == (entry(0), entry(1), entry(2))
        assert told.unreadable == torn


def test_a_disk_that_is_full_in_the_middle_of_a_line(tmp_path, monkeypatch):
    history = History(tmp_path)
    write = os.write
    monkeypatch.setattr(history_module.os, "write", lambda handle, content: write(handle, content[:40]))
    with pytest.raises(OSError, match="No space left"):
        history.add(entry(1))
    monkeypatch.undo()
    assert history.add(entry(1))
    assert history.read().entries == (entry(1),)


def test_a_line_of_a_newer_program_is_counted(tmp_path):
    history = History(tmp_path)
    history.path.write_text('{"format": 2}\n[]\n' + "[" * 100_000 + "\n")
    history.add(entry(1))
    assert (history.read().entries, history.read().unreadable) == ((entry(1),), 3)


def _add(where, first):
    for number in range(first, first + 10):
        History(where).add(entry(number))
        History(where).add(entry(1000))


def test_several_processes_may_add_while_others_read(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add, args=(tmp_path, 10 * each)) for each in range(3)]
    for each in writers:
        each.start()
    found = []
    stop = threading.Event()

    def read():
        while not stop.is_set():
            found.append(len(History(tmp_path).read().entries))

    reader = threading.Thread(target=read)
    reader.start()
    for each in writers:
        each.join()
    stop.set()
    reader.join()
    assert [each.exitcode for each in writers] == [0, 0, 0]
    told = History(tmp_path).read()
    assert sorted(each.id for each in told.entries) == sorted([f"t{n}" for n in range(30)] + ["t1000"])
    assert told.unreadable == 0
    assert found == sorted(found), "nobody ever sees a line disappear"


def test_nobody_comes_between_looking_and_adding(tmp_path):
    """Another process is adding the same line: this one waits for it, and then finds it there."""
    history = History(tmp_path)
    history.add(entry(0))
    added = []
    thread = threading.Thread(target=lambda: added.append(history.add(entry(1))))
    with history.path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        thread.start()
        thread.join(0.2)
        assert not added, "it waits"
        stream.write(json.dumps(entry(1).as_json()).encode() + b"\n")
    thread.join(20)
    assert added == [False]
    assert history.read().entries == (entry(0), entry(1))


# --- what it tells ---


def done(*moments):
    transaction = begin(at=moments[0])
    for event, moment in zip((Copied({}), Switched(), Healthy(), Kept()), moments[1:], strict=True):
        transaction = step(transaction, event, moment)
    return transaction


def at(boottime, wall=1e9, boot_id="b"):
    return Moment(wall, boottime, boot_id)


def test_how_long_it_took_is_right_whatever_the_clock_did():
    made = entry_of(done(at(10), at(20), at(25, wall=5.0), at(31, wall=0.0), at(33, wall=9e9)))
    assert made.seconds == 23
    assert made.stages == (("copying", 0), ("trying", 10), ("checking", 15), ("keeping", 21), ("done", 23))
    assert (made.began, made.ended) == (1e9, 9e9)


def test_over_a_restart_only_the_clock_can_tell():
    first, after = at(1000, wall=1e9), at(5, wall=1e9 + 90, boot_id="c")
    assert entry_of(done(first, first, first, first, after)).seconds == 90
    earlier = at(5, wall=1e9 - 90, boot_id="c")
    assert entry_of(done(first, first, first, first, earlier)).seconds == 0


def test_what_is_not_done_has_no_line():
    with pytest.raises(ValueError, match="not done"):
        entry_of(begin())
