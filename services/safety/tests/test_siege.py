"""The socket under attack, briefly; `make fuzz` does it for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import siege
from abuse import ATTACKS

SECONDS = 3.0


@pytest.fixture
def beside(unit, start_daemon):
    other = type(unit)()
    yield start_daemon(other.path)
    other.unplug()


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_costs_no_deadline_no_memory_and_nobody_elses_answer(attack, daemon, beside):
    found = siege.besiege(daemon, beside, attack, SECONDS)
    print(found)
    if found.wrong:
        # What it really causes, it causes again.
        found = siege.besiege(daemon, beside, attack, 2 * SECONDS)
        print(found)
    assert not found.wrong, str(found)
    assert found.done > 0, "nothing was attacked"
    assert found.ticks > 50 * SECONDS, "the loop goes on"
    assert daemon.end() == 0
    said = daemon.process.stderr.read()
    assert "Traceback" not in said
    # The event log says where it begins and where it ends, and nobody says anything else.
    assert all("the event log" in line for line in said.splitlines()), said


def test_what_clients_and_the_disk_keep_busy_gives_way_to_the_loop(daemon):
    pid = daemon.process.pid
    loop = os.sched_getparam(pid).sched_priority
    if not loop:
        pytest.skip("no realtime scheduling for this user here (ulimit -r, or root)")
    threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    behind = [thread for thread in threads if os.sched_getparam(thread).sched_priority < loop]
    # The server, the event log and the book of proofs; the unit's thread is as urgent as the loop.
    assert len(behind) >= 3
    assert pid not in behind
    assert len(threads) > len(behind) + 1


def test_what_counts_as_caused():
    assert siege.by_chance(0, 0) == 1.0
    assert siege.by_chance(3, 3) > 0.5
    assert siege.by_chance(12, 9) > siege.BY_CHANCE
    assert siege.by_chance(13, 0) > siege.BY_CHANCE > siege.by_chance(14, 0)
    assert siege.by_chance(40, 10) < siege.BY_CHANCE


# Without the coverage-guided part, which comes first and starts no daemon.
ATTACKS_ONLY = (
    "import fuzz, sys; fuzz.available = lambda: 'not asked for'; sys.argv[1:] = ['60']; sys.exit(fuzz.main())"
)


def test_fuzzing_that_is_ended_leaves_nothing_behind():
    with subprocess.Popen(
        [sys.executable, "-c", ATTACKS_ONLY], cwd=Path(__file__).parent, stdout=subprocess.PIPE
    ) as fuzzing:
        try:
            deadline = time.monotonic() + 30.0
            while len(started := _children(fuzzing.pid)) < 3:
                assert time.monotonic() < deadline, "two daemons and an attack have not been started"
                assert fuzzing.poll() is None
                time.sleep(0.05)
            fuzzing.terminate()
            assert fuzzing.wait(10.0) == 128 + signal.SIGTERM
        finally:
            fuzzing.kill()
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def _children(pid):
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [child for thread in threads for child in (thread / "children").read_text().split()]
