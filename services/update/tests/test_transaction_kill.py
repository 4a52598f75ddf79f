"""An updater that is killed at every place, with real processes: what the next one makes of what it left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from transaction_killer import kill_at
from transactions import NEW, OLD, Machine

from nixel.update.transaction.model import Verdict

KILLER = Path(__file__).with_name("transaction_killer.py")


@dataclass(frozen=True)
class Case:
    """What goes wrong on that machine, and how an update ends that nobody kills."""

    fails: tuple[str, ...]
    asks: bool
    verdict: str
    restarts: bool = False

    @property
    def keeps(self) -> bool:
        return self.verdict == "kept"


CASES = {
    "kept": Case((), False, "kept"),
    "kept after a confirmation": Case((), True, "kept"),
    "copy fails": Case(("copy",), False, "failed"),
    "switch fails half way": Case(("switch late",), False, "reverted"),
    "unhealthy": Case(("health",), False, "reverted"),
    "confirmation refused": Case(("confirm",), True, "reverted"),
    "keep fails": Case(("keep",), False, "reverted"),
    "keep fails half way": Case(("keep half",), False, "reverted"),
    "keep fails after all": Case(("keep late",), True, "reverted"),
    "bringing back fails": Case(("health", "switch back"), False, "reverted", restarts=True),
    "bringing the default back fails": Case(("keep half", "default back"), False, "stuck", restarts=True),
}


@pytest.fixture(scope="module", params=CASES, ids=lambda name: name.replace(" ", "-"))
def killed(request, tmp_path_factory):
    """The machines that the processes of one case left; the last process was not killed."""
    case = CASES[request.param]
    folder = tmp_path_factory.mktemp("killed")
    told = json.dumps({"fails": case.fails, "asks": case.asks})
    ran = subprocess.run(
        [sys.executable, KILLER, folder, told], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    *dead, last = lines
    assert len(dead) >= 10, "there are many places to die at"
    assert all(os.WTERMSIG(each["status"]) == signal.SIGKILL for each in dead)
    assert last["status"] == 0, ran.stderr
    return case, folder, [each["n"] for each in dead], last["n"]


def stage_of(machine) -> str | None:
    record = machine.record()
    return record and record["stages"][-1][0]


def to_the_end(machine) -> None:
    """Resume as systemd would: after each restart of the machine, until nothing is left to resume."""
    for _ in range(4):
        found = machine.driver().resume()
        if found is None:
            return
        if found.verdict is None:
            assert found.stage == "restarting"
            machine.power_cut()
    raise AssertionError("it never came to an end")


def check(case, machine, stage_before) -> None:
    """What must hold after every case, told from the outside."""
    running, profile, loader = machine.standing()
    told = machine.history()
    verdicts = [entry.verdict for entry in told.entries]
    assert machine.record() is None
    assert not (machine.state / "reserve").exists()
    if not verdicts:
        assert stage_before is None, "only an update that was never recorded leaves no line"
        assert (running, profile, loader) == (OLD, OLD, OLD)
        return
    assert len(verdicts) == 1, "exactly one line"
    (verdict,) = verdicts
    assert told.unreadable <= 1, "at most the line that was torn"
    if verdict == "stuck":
        assert case.verdict == "stuck"
        return
    assert loader == profile
    if verdict == "kept":
        assert case.keeps
        assert loader == NEW
        assert running == NEW or "runs from the next restart" in " ".join(told.entries[0].why)
    else:
        assert (running, loader) == (OLD, OLD)
    if stage_before == "keeping" and case.keeps:
        assert verdict == "kept", "the decision was made"
    if stage_before in {"copying", "trying", "checking", "confirming"}:
        assert verdict in {"failed", "reverted"}, "there was no decision yet"
    if verdict == "failed":
        assert stage_before in {"copying", "done", None}
    if verdict != "stuck":
        assert not list(machine.folder.glob("root-*")), "nothing is kept from the garbage collector for ever"


def works_again(machine) -> None:
    """Nothing needs a hand: the same update, with nothing failing, is installed."""
    again = Machine(machine.folder)
    new = again.driver().run(again.begin(identifier="t2"))
    assert new.verdict in {Verdict.KEPT, Verdict.NOTHING}
    assert again.standing() == (NEW, NEW, NEW)


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power-cut"])
def test_killed_everywhere(killed, power, tmp_path):
    case, folder, dead, _ = killed
    before = set()
    for n in dead:
        shutil.copytree(folder / str(n), tmp_path / str(n))
        machine = Machine(tmp_path / str(n), case.fails)
        stage = stage_of(machine)
        before.add(stage)
        if power:
            machine.power_cut()
        to_the_end(machine)
        check(case, machine, stage)
        if (
            case.verdict != "stuck" and n % 3 == power
        ):  # every third place, another one in each course: it takes long
            works_again(machine)
    assert {None, "copying", "done"} - before <= ({"done"} if case.restarts else set())
    if case.keeps:
        assert before >= {"trying", "checking", "keeping"}


@pytest.mark.parametrize("case", ["kept", "keep fails half way", "bringing back fails"])
def test_killed_while_it_resumes(case, tmp_path):
    """Killed in KEEPING or in REVERTING, then at every place of going on, then going on to the end."""
    made = CASES[case]
    wanted = "keeping" if made.keeps else "reverting"
    for n in range(1, 60):
        first = tmp_path / str(n)
        Machine(first).set_up()
        assert os.WIFSIGNALED(kill_at(first, n, made.fails, made.asks, resumes=False))
        if stage_of(Machine(first)) == wanted:
            break
    stages = set()
    for m in range(1, 60):
        machine = Machine(tmp_path / f"{n}-{m}", made.fails)
        shutil.copytree(first, machine.folder)
        status = kill_at(machine.folder, m, made.fails, made.asks, resumes=True)
        if not os.WIFSIGNALED(status):
            break
        stage = stage_of(machine)
        stages.add(stage)
        to_the_end(machine)
        check(made, machine, wanted)
    assert status == 0
    assert wanted in stages


def test_the_restart_that_brings_the_old_system_back_ends_the_process(tmp_path):
    fails = ("health", "switch back", "restart kills")
    machine = Machine(tmp_path / "machine", fails).set_up()
    assert os.WTERMSIG(kill_at(machine.folder, 0, fails, False, resumes=False)) == signal.SIGKILL
    assert stage_of(machine) == "restarting"
    assert machine.driver().resume().verdict is Verdict.REVERTED
    assert machine.standing() == (OLD, OLD, OLD)
    assert len(machine.history().entries) == 1
