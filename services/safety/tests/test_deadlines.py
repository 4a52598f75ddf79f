"""Missed deadlines: counted, and beyond a limit within a window a fault that latches."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixel.safety import realtime
from nixel.safety.config.instrument import Deadlines, load
from nixel.safety.daemon import Loop
from nixel.safety.deadlines import Punctuality
from nixel.safety.notify import Notifier
from nixel.safety.records.events import EventLog


class Time:
    """A clock that moves only when somebody sleeps, and for as long as somebody is held up."""

    def __init__(self) -> None:
        self.now = 100.0
        self.held_up: dict[int, float] = {}  # by the number of the sleep
        self.sleeps = 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self.held_up.get(self.sleeps, 0.0)
        self.sleeps += 1


class Idle:
    """Stands for the units and the server: always there, nothing to say."""

    def __init__(self) -> None:
        self.snapshots = []

    def alive(self):
        return True

    def news(self):
        return True  # each tick is to be evaluated

    def look(self):
        return {}, {}

    def command(self, command):
        pass

    def take(self):
        return ()

    def take_proofs(self):
        return ()

    def publish(self, snapshot, replies, changed):
        self.snapshots.append(snapshot)


@pytest.fixture
def run(tmp_path, instrument_text):
    """Run the loop with hold-ups [s] by the number of the tick, for so many ticks; give its snapshots."""

    def run(ticks, held_up, deadlines=None):
        file = tmp_path / "instrument.toml"
        file.write_text(instrument_text)
        instrument = load(file)
        if deadlines is not None:
            instrument = replace(instrument, deadlines=deadlines)
        clock, idle = Time(), Idle()
        clock.held_up = held_up

        def sleep(seconds):
            clock.sleep(seconds)
            if clock.sleeps == ticks:
                loop.end("enough")

        loop = Loop(instrument, idle, idle, EventLog(None), Notifier({}), clock, sleep)
        loop.run()
        return idle.snapshots

    return run


def late(snapshot):
    return [verdict.message for verdict in snapshot.verdicts if verdict.name == "deadlines"]


def test_a_loop_in_time_misses_none_and_keeps_to_its_deadlines(run):
    snapshots = run(50, {})
    assert snapshots[-1].missed == 0
    assert [round(s.time - 100.0, 6) for s in snapshots[:50]] == [round(n * 0.01, 6) for n in range(1, 51)]


def test_the_deadlines_after_a_late_tick_are_those_that_they_would_have_been(run):
    snapshots = run(6, {2: 0.004, 4: 0.023})
    times = [round(s.time - 100.0, 6) for s in snapshots[:6]]
    # The third is late without missing one; the fifth takes place 23 ms late, instead of the two after it.
    assert times == [0.01, 0.02, 0.034, 0.04, 0.073, 0.08]
    assert [s.missed for s in snapshots[:6]] == [0, 0, 0, 0, 2, 2]


def test_ten_missed_in_a_second_are_allowed_and_eleven_are_a_fault_that_latches(run):
    assert not any(late(s) for s in run(100, {5: 0.1001}))
    snapshots = run(300, {5: 0.1101})
    assert snapshots[5].missed == 11
    message = "the control loop missed more than 10 deadlines within 1 s; "
    message += "this machine is too busy for it, or was stopped"
    assert late(snapshots[5]) == [message]
    assert message in [cause.text for cause in snapshots[5].state.causes]
    # It stands for the window, so that nobody resets into the same trouble; the latch stays.
    first, last = snapshots[5].time, max(s.time for s in snapshots if late(s))
    assert 0.99 <= last - first <= 1.0
    assert message in [cause.text for cause in snapshots[-1].state.causes]


def test_they_add_up_within_the_window_and_not_beyond(run):
    close = dict.fromkeys(range(10, 70, 10), 0.0201)  # twelve in six goes, 120 ms apart
    assert any(late(s) for s in run(100, close))
    wide = dict.fromkeys(range(10, 1000, 30), 0.0201)  # two every 320 ms: never more than eight in a second
    assert not any(late(s) for s in run(1000, wide))


def test_what_is_configured_decides(run):
    assert any(late(s) for s in run(20, {5: 0.0101}, Deadlines(0, 1.0)))
    assert not any(late(s) for s in run(100, {5: 0.3001}, Deadlines(30, 1.0)))
    assert any(late(s) for s in run(200, {5: 0.0301, 105: 0.0301}, Deadlines(5, 2.0)))


@given(
    st.lists(st.tuples(st.floats(0.0, 0.5), st.integers(1, 30)), max_size=60),
    st.integers(0, 20),
    st.floats(0.1, 2.0),
)
def test_it_agrees_with_a_count_of_everything(steps, limit, window):
    punctuality, now, all_of_them = Punctuality(Deadlines(limit, window)), 0.0, []
    for wait, count in steps:
        now += wait
        punctuality.miss(count, now)
        all_of_them.append((now, count))
        of_late = sum(count for then, count in all_of_them if now - then <= window)
        assert bool(punctuality.fault(now)) is (of_late > limit)
    assert punctuality.missed == sum(count for _, count in all_of_them)


# --- memory ---

_LOCK = """
import json, threading
from nixel.safety.realtime import lock_memory
locked = lock_memory()
threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
fields = dict(line.split(":") for line in open("/proc/self/status") if line.startswith(("Vm", "Rss")))
print(json.dumps({"locked": locked, **{key: int(value.split()[0]) for key, value in fields.items()}}))
"""


# Goes on as a process that may lock so much and no more; a gigabyte is enough for now and too little for ever.
_LIMITED = """
import ctypes, os, resource, sys
ctypes.CDLL(None).prctl(24, 14, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_IPC_LOCK
if resource.RLIM_INFINITY in resource.getrlimit(resource.RLIMIT_MEMLOCK):
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (2**30, 2**30))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def locked_process(*program):
    command = [sys.executable, "-c", *(program or [_LOCK])]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_memory_is_locked_and_the_stacks_of_threads_cost_no_more_than_they_use():
    found = locked_process()
    if not found["locked"]:
        pytest.skip("nobody here may lock memory without a limit (CAP_IPC_LOCK, or ulimit -l unlimited)")
    assert found["VmLck"] * 1024 > 4 * 2**20  # an interpreter
    assert found["VmRSS"] * 1024 <= 20 * 2**20


def test_where_the_amount_is_limited_nothing_is_locked():
    found = locked_process(_LIMITED, _LOCK)
    assert found["locked"] is False
    assert found["VmLck"] == 0


def test_a_system_without_the_call_is_said_to_lock_nothing(monkeypatch):
    monkeypatch.setattr(realtime, "_may_lock_without_limit", lambda: True)
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert realtime.lock_memory() is False
