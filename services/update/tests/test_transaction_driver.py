"""Carrying a transaction out: what is done in which order, and what becomes of everything that can go wrong."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from transactions import NEW, OLD, OLD_SIDE, OTHER, THIRD, Machine

from nixel.update import disk
from nixel.update.refusal import Refusal
from nixel.update.transaction.driver import RecordLostError
from nixel.update.transaction.journal import ASIDE, Journal, encode
from nixel.update.transaction.model import Kind, Passed, Stage, Verdict


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "machine").set_up()


def on(tmp_path, *fails, running=OLD, default=OLD):
    return Machine(tmp_path / "machine", fails).set_up(running, default)


class Watcher:
    def __init__(self) -> None:
        self.stages = []
        self.bytes = []

    def entered(self, transaction):
        self.stages.append(transaction.stage.value)

    def copied(self, done, total):
        self.bytes.append((done, total))


class Gone:
    def entered(self, transaction):
        raise BrokenPipeError

    def copied(self, done, total):
        raise BrokenPipeError


def text(transaction) -> str:
    return " ".join(transaction.why)


def test_kept(machine):
    watcher = Watcher()
    done = machine.driver(observer=watcher).run(machine.begin(asks=True))
    assert done.verdict is Verdict.KEPT
    assert machine.standing() == (NEW, NEW, NEW)
    assert watcher.stages == ["copying", "trying", "checking", "confirming", "keeping", "done"]
    assert watcher.bytes == [(10, 20), (20, 20)]
    (entry,) = machine.history().entries
    assert (entry.verdict, entry.old.path, entry.new.path) == ("kept", OLD, NEW)
    assert [stage for stage, _ in entry.stages] == watcher.stages
    assert (entry.source.via, entry.source.label, entry.source.who) == ("stick", "NIXEL", "technician")
    assert machine.record() is None


def test_time_limits_come_from_the_settings(machine):
    machine.driver().run(machine.begin(asks=True))
    assert machine.limits == {
        "snapshot": 301.0,
        "switch": 601.0,
        "check": 301.0,
        "confirm": 121.0,
        "before": {"devices": ["/dev/daq"]},
    }


def test_every_stage_is_on_the_disk_before_anything_of_it_is_done(machine):
    found = []
    expected = {"copy": "copying", "switch": "trying", "check": "checking", "set_default": "keeping"}
    for name in expected:
        effect = getattr(machine, name)

        def spied(*given, name=name, effect=effect):
            found.append((name, machine.record()["stages"][-1][0]))
            return effect(*given)

        setattr(machine, name, spied)
    machine.driver().run(machine.begin())
    assert found == list(expected.items())


@pytest.mark.parametrize(
    ("fails", "verdict", "words"),
    [
        ("copy", "failed", "copy was told to fail."),
        ("copy oddly", "failed", "Making the new system ready failed in a way"),
        ("switch", "reverted", "switch was told to fail."),
        ("switch oddly", "reverted", "Switching to the new system failed in a way"),
        ("switch late", "reverted", "switch late was told to fail."),
        ("switch does nothing", "reverted", f"{OLD} runs instead of {NEW}"),
        ("health", "reverted", "imaging: no answer"),
        ("check oddly", "reverted", "Checking the new system failed in a way"),
        ("confirm", "reverted", "Nobody came back"),
        ("keep", "reverted", "keep was told to fail."),
        ("keep half oddly", "reverted", "Making the new system the boot default failed in a way"),
        ("keep does nothing", "reverted", f"it is {OLD} instead of {NEW}"),
        ("copy refused", "failed", "copy was refused. Ask again."),
        ("keep late", "reverted", "keep late was told to fail."),
    ],
)
def test_whatever_fails_leaves_the_old_system_and_says_why(tmp_path, fails, verdict, words):
    machine = on(tmp_path, fails)
    done = machine.driver().run(machine.begin(asks=True))
    assert done.verdict == verdict
    assert words in text(done)
    assert machine.standing() == (OLD, OLD, OLD)
    assert [entry.verdict for entry in machine.history().entries] == [verdict]
    assert machine.history().entries[0].why == done.why


def test_an_operating_system_error_is_told_in_its_words(machine):
    def full(progress):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/nix/store/x")

    machine.copy = full
    done = machine.driver().run(machine.begin())
    assert "Making the new system ready failed: /nix/store/x: No space left on device." in done.why


@pytest.mark.parametrize(
    "fails", ["prune", "prune oddly", "let_go", "switch complains", "snapshot", "snapshot oddly"]
)
def test_what_does_not_matter_changes_no_verdict_and_is_told(tmp_path, fails):
    machine = on(tmp_path, fails)
    done = machine.driver().run(machine.begin())
    assert done.verdict is Verdict.KEPT
    assert done.why
    assert machine.standing() == (NEW, NEW, NEW)
    if "snapshot" in fails:
        assert machine.limits["before"] is None


@pytest.mark.parametrize("fails", ["default back does nothing", "switch back does nothing"])
def test_a_way_back_that_only_says_that_it_was_gone_is_not_believed(tmp_path, fails):
    machine = on(tmp_path, "keep late", fails)
    assert machine.driver().run(machine.begin()).stage is Stage.RESTARTING


def test_bringing_back_is_tried_in_both_parts(tmp_path):
    """The boot default cannot be put back: the old system runs all the same, and the machine is restarted."""
    machine = on(tmp_path, "keep late", "default back")
    stopped = machine.driver().run(machine.begin())
    assert (stopped.stage, stopped.verdict) == (Stage.RESTARTING, None)
    assert machine.at("running") == OLD
    assert machine.at("restart") == "asked"
    assert machine.record()["stages"][-1][0] == "restarting"


def test_a_restart_brings_the_old_system_back(tmp_path):
    machine = on(tmp_path, "health", "switch back")
    assert machine.driver().run(machine.begin()).stage is Stage.RESTARTING
    assert machine.at("running") == NEW
    assert machine.history().entries == (), "the verdict is not known yet"
    machine.power_cut()
    done = machine.driver().resume()
    assert done.verdict is Verdict.REVERTED
    assert machine.standing() == (OLD, OLD, OLD)
    assert "imaging: no answer" in text(done)


@pytest.mark.parametrize("fails", ["restart", "restart oddly"])
def test_a_machine_that_takes_no_restart_needs_a_person(tmp_path, fails):
    machine = on(tmp_path, "health", "switch back", fails)
    done = machine.driver().run(machine.begin())
    assert done.verdict is Verdict.STUCK
    assert "switch the machine off and on" in text(done)
    assert machine.at("loader") == OLD, "so that this brings the old system"
    assert list(machine.folder.glob("root-*")), "which is still kept from the garbage collector"


def test_both_systems_are_kept_from_the_garbage_collector_until_the_verdict(machine):
    found = []
    for name in ("copy", "switch", "check", "set_default", "prune"):
        effect = getattr(machine, name)

        def spied(*given, name=name, effect=effect):
            found.append((name, {each.read_text() for each in machine.folder.glob("root-*")}))
            return effect(*given)

        setattr(machine, name, spied)
    machine.driver().run(machine.begin())
    both = {OLD, NEW}
    assert found == [(name, both) for name in ("copy", "switch", "check", "set_default", "prune")]
    assert not list(machine.folder.glob("root-*"))


@pytest.mark.parametrize("fails", ["copy", "health", "keep"])
def test_generations_go_only_when_a_new_one_was_kept(tmp_path, fails):
    machine = on(tmp_path, fails, "prune")
    assert "prune" not in text(machine.driver().run(machine.begin()))


def test_nobody_has_to_watch(machine):
    done = machine.driver(observer=Gone()).run(machine.begin())
    assert done.verdict is Verdict.KEPT


def test_a_rollback_copies_nothing(tmp_path):
    machine = on(tmp_path, "copy")
    assert machine.driver().run(machine.begin(kind=Kind.ROLLBACK)).verdict is Verdict.KEPT


# --- the same system, and half of it ---


def test_the_same_system_again_is_nothing_to_do(tmp_path):
    machine = on(tmp_path, running=NEW, default=NEW)
    before = machine.standing()
    done = machine.driver().run(machine.begin())
    assert done.verdict is Verdict.NOTHING
    assert machine.standing() == before
    assert not machine.limits, "nothing was switched, checked or asked"
    assert [entry.verdict for entry in machine.history().entries] == ["nothing"]


@pytest.mark.parametrize(("running", "default"), [(NEW, OTHER), (OLD, NEW)])
def test_a_system_that_is_only_half_there_goes_the_whole_way(tmp_path, running, default):
    machine = on(tmp_path, running=running, default=default)
    assert machine.driver().run(machine.begin()).verdict is Verdict.KEPT
    assert machine.standing() == (NEW, NEW, NEW)
    assert "check" in machine.limits


@pytest.mark.parametrize(("running", "default"), [(NEW, OTHER), (OLD, NEW), (OLD, OTHER)])
def test_and_is_left_as_it_was_if_it_is_not_healthy(tmp_path, running, default):
    machine = on(tmp_path, "health", running=running, default=default)
    assert machine.driver().run(machine.begin()).verdict is Verdict.REVERTED
    assert machine.standing() == (running, default, default)


# --- refused ---


def refused(machine, transaction) -> Refusal:
    before = machine.standing()
    with pytest.raises(Refusal) as caught:
        machine.driver().run(transaction)
    assert machine.standing() == before
    entry = machine.history().entries[-1]
    assert (entry.verdict, entry.why) == ("refused", (caught.value.what, caught.value.todo))
    assert (entry.id, entry.new.path) == (transaction.id, transaction.new.path)
    return caught.value


def test_one_at_a_time(machine):
    """The second is refused while the first is in the middle of its copy, and does not disturb it."""
    copying, go_on = threading.Event(), threading.Event()
    copy = machine.copy

    def slow(progress):
        copying.set()
        assert go_on.wait(20)
        copy(progress)

    machine.copy = slow
    ended = []
    first = threading.Thread(target=lambda: ended.append(machine.driver().run(machine.begin())))
    first.start()
    try:
        assert copying.wait(20)
        other = Machine(machine.folder)
        assert "Another update is running" in refused(other, other.begin(identifier="t2")).what
        with pytest.raises(Refusal, match="Another update is running"):
            other.driver().resume()
    finally:
        go_on.set()
        first.join()
    assert ended[0].verdict is Verdict.KEPT
    assert [(entry.id, entry.verdict) for entry in machine.history().entries] == [
        ("t2", "refused"),
        ("t1", "kept"),
    ]


def test_the_lock_is_not_handed_to_what_an_effect_starts(machine):
    """A service that the switch starts must not keep the machine locked after the update."""
    handles = []

    def look_at_handles(progress):
        lock = (machine.state / "lock").resolve()
        mine = [each.name for each in Path("/proc/self/fd").iterdir() if each.resolve() == lock]
        handles.extend(os.get_inheritable(int(each)) for each in mine)

    machine.copy = look_at_handles
    machine.driver().run(machine.begin())
    assert handles == [False]
    with (machine.state / "lock").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and it is free afterwards


def test_what_was_interrupted_comes_first(machine):
    machine.state.mkdir()
    Journal(machine.state).write(machine.begin())
    assert "resume" in refused(machine, machine.begin(identifier="t2")).todo
    assert machine.driver().resume().verdict is Verdict.FAILED
    assert machine.driver().run(machine.begin(identifier="t3")).verdict is Verdict.KEPT


@pytest.mark.parametrize(("what", "words"), [("running", "runs"), ("profile", "starts with")])
def test_a_machine_that_was_changed_meanwhile(machine, what, words):
    transaction = machine.begin()
    machine.put(what, THIRD)
    assert f"This machine {words} {THIRD}" in refused(machine, transaction).what


def test_a_machine_that_cannot_be_looked_at(tmp_path):
    machine = on(tmp_path, "look oddly")
    assert "Looking which system runs failed" in refused(machine, machine.begin()).what


FULL = OSError(errno.ENOSPC, "No space left on device")


class Full(Journal):
    """A disk that takes no record of these stages."""

    def __init__(self, state, stages, error=FULL) -> None:
        super().__init__(state)
        self.stages = stages
        self.error = error

    def write(self, transaction):
        if transaction.stage in self.stages:
            raise self.error
        super().write(transaction)


def test_a_disk_that_takes_no_first_record(machine):
    with pytest.raises(Refusal, match="No space left"):
        machine.driver(Full(machine.state, ["copying"])).run(machine.begin())
    assert not (machine.state / "reserve").exists()
    assert machine.standing() == (OLD, OLD, OLD)


@pytest.mark.parametrize("error", [FULL, TypeError("a fact is no JSON")])
@pytest.mark.parametrize(
    "stages", [["trying"], ["checking"], ["confirming"], ["keeping"], ["trying", "done"]]
)
def test_a_stage_that_cannot_be_recorded_is_not_begun(machine, stages, error):
    done = machine.driver(Full(machine.state, stages, error)).run(machine.begin(asks=True))
    assert done.verdict == ("failed" if "trying" in stages else "reverted")
    assert machine.standing() == (OLD, OLD, OLD)
    assert error.args[-1] in text(done)
    trace = (machine.folder / "trace").read_text() if "trying" not in stages else ""
    assert "profile" not in trace
    assert [entry.verdict for entry in machine.history().entries] == [done.verdict]


def test_a_copy_that_fills_the_disk_leaves_room_to_say_so(machine, monkeypatch):
    """From the copy on the disk takes nothing more, unless the room kept back is given back."""
    write = disk.write

    def full(path, content, mode):
        if (machine.state / "reserve").exists():
            raise FULL
        write(path, content, mode)

    def copy(progress):
        assert (machine.state / "reserve").stat().st_size > len(encode(machine.begin()))
        monkeypatch.setattr(disk, "write", full)
        raise FULL

    machine.copy = copy
    recorded = []
    let_go = machine.let_go
    machine.let_go = lambda: (recorded.append(machine.record()["verdict"]), let_go())
    done = machine.driver().run(machine.begin())
    assert done.verdict is Verdict.FAILED
    assert recorded == ["failed"], "the verdict was on the disk"
    assert "No space left on device" in text(done)
    assert machine.standing() == (OLD, OLD, OLD)
    assert [entry.verdict for entry in machine.history().entries] == ["failed"]


def test_the_way_back_needs_no_record(tmp_path):
    machine = on(tmp_path, "health")
    done = machine.driver(Full(machine.state, ["reverting", "done"])).run(machine.begin())
    assert done.verdict is Verdict.REVERTED
    assert machine.standing() == (OLD, OLD, OLD)


def test_a_restart_that_is_not_on_record_is_not_made(tmp_path):
    """Otherwise the machine might restart for ever."""
    machine = on(tmp_path, "health", "switch back")
    done = machine.driver(Full(machine.state, ["restarting"])).run(machine.begin())
    assert done.verdict is Verdict.STUCK
    assert not (machine.folder / "restart").exists()


def test_a_history_that_cannot_be_written_is_written_later(machine):
    driver = machine.driver()
    machine.state.mkdir()
    blocked = machine.state / "history.jsonl"
    blocked.mkdir()
    done = driver.run(machine.begin())
    assert done.verdict is Verdict.KEPT
    assert "resume" in done.why[-1]
    blocked.rmdir()
    assert driver.resume().verdict is Verdict.KEPT
    assert [entry.verdict for entry in machine.history().entries] == ["kept"]


def test_a_state_folder_that_cannot_be_made(machine):
    machine.state.write_text("in the way")
    with pytest.raises(Refusal, match="cannot be written"):
        machine.driver().run(machine.begin())


def test_a_start_of_the_machine_that_cannot_be_told(machine):
    (machine.folder / "boot").rename(machine.folder / "elsewhere")
    transaction = Machine(machine.folder.with_name("other")).set_up().begin()
    with pytest.raises(Refusal, match="start of the machine"):
        machine.driver().run(transaction)


# --- resumed ---


def test_nothing_to_resume(machine):
    assert machine.driver().resume() is None
    assert machine.history().entries == ()


def test_a_machine_that_cannot_be_looked_at_is_brought_back(tmp_path):
    """In the trial nothing can be told: the way back is tried, then the restart."""
    machine = on(tmp_path, "switch oddly", "look oddly")
    machine.state.mkdir()
    begun = machine.begin()
    Journal(machine.state).write(replace(begun, stages=(*begun.stages, Passed(Stage.TRYING, begun.began))))
    machine.put("running", NEW)
    assert machine.driver().resume().stage is Stage.RESTARTING
    assert machine.at("running") == OLD


def test_a_decision_is_not_taken_back_because_it_cannot_be_recorded_again(tmp_path):
    machine = on(tmp_path, running=NEW, default=OLD)
    machine.state.mkdir()
    begun = replace(machine.begin(), old=OLD_SIDE)
    Journal(machine.state).write(replace(begun, stages=(*begun.stages, Passed(Stage.KEEPING, begun.began))))
    assert machine.driver(Full(machine.state, ["keeping"])).resume().verdict is Verdict.KEPT
    assert machine.standing() == (NEW, NEW, NEW)


@pytest.mark.parametrize(
    ("running", "default", "verdict", "words"),
    [
        (OLD, OLD, "failed", "it is in order"),
        (NEW, NEW, "failed", "it is in order"),
        (NEW, OLD, "stuck", f"starts with {OLD}. Restart it"),
    ],
)
@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\0" * 3000, b'{"format": 1, "transaction": {}, "sha256": "x"}']
)
def test_a_record_that_cannot_be_read_is_not_guessed_at(tmp_path, content, running, default, verdict, words):
    machine = on(tmp_path, running=running, default=default)
    machine.state.mkdir()
    (machine.state / "transaction.json").write_bytes(content)
    with pytest.raises(RecordLostError, match="is damaged") as caught:
        machine.driver().resume()
    assert words in str(caught.value)
    assert machine.standing() == (running, default, default), "nothing is touched"
    assert (machine.state / ASIDE).read_bytes() == content
    assert [entry.verdict for entry in machine.history().entries] == [verdict]
    assert machine.driver().resume() is None, "told once"


def test_a_record_that_cannot_be_read_on_a_machine_that_cannot_be_looked_at(tmp_path):
    machine = on(tmp_path, "look")
    machine.state.mkdir()
    (machine.state / "transaction.json").write_bytes(b"")
    with pytest.raises(RecordLostError, match="Restart the machine"):
        machine.driver().resume()


def test_a_record_that_cannot_be_put_aside_is_told_again_and_counted_once(machine):
    machine.state.mkdir()
    (machine.state / "transaction.json").write_bytes(b"{")
    (machine.state / ASIDE).mkdir()
    for _ in range(2):
        with pytest.raises(RecordLostError):
            machine.driver().resume()
    assert len(machine.history().entries) == 1
