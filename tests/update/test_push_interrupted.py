"""The updater killed, the power cut, the machine restarted in every recorded stage: it ends right without a hand."""

import contextlib
import json

import pushing
import pytest
import systems
from pushing import UNIT, in_system, settles
from systems import Standing

pytestmark = pytest.mark.usefixtures("deployer")

# Each recorded stage: which action of which system hangs in it, what else is ordered, and how the update ends.
STAGES = {
    "copying": ("snapshot", "1.0", {}, "failed"),
    "trying": ("test", "1.1", {}, "reverted"),
    "checking": ("check", "1.1", {}, "reverted"),
    "confirming": ("check", "1.1", {}, "reverted"),
    "keeping": ("boot", "1.1", {}, "kept"),
    "reverting": ("test", "1.0", {("check", "1.1"): "fail"}, "reverted"),
}


@contextlib.contextmanager
def _standing_in(lab, machine, new, stage):
    """A push that stands in the middle of a stage, with deploy.sh watching; what hangs goes on with `take_back`."""
    action, version, orders, _ = STAGES[stage]
    for (other, of), words in orders.items():
        systems.order(machine, other, of, words)
    systems.order(machine, action, version, "hang")
    with pushing.begun(lab, (machine, new)) as running:
        systems.wait_for_call(machine, action, version)
        if stage == "confirming":
            # Nobody is to get through to confirm.
            machine.cut()
            systems.take_back(machine, action, version)
        pushing.wait_for_stage(machine, stage)
        yield running


def _take_back(machine, stage):
    action, version, _, _ = STAGES[stage]
    systems.take_back(machine, action, version)


def _ends(running, verdict):
    status, said = running.end()
    assert status == (0 if verdict == "kept" else 1), said
    words = {"failed": "NOT INSTALLED", "reverted": "TAKEN BACK", "kept": "DONE."}
    assert words[verdict] in said


@pytest.mark.parametrize("stage", STAGES)
def test_the_updater_is_killed(lab, target, old, new, stage):
    machine = target("alpha", system=old)
    verdict = STAGES[stage][-1]
    end = in_system(new, booted=old) if verdict == "kept" else in_system(old)
    with settles(machine, end, verdict), _standing_in(lab, machine, new, stage) as running:
        machine.run(f"systemctl kill --kill-whom=main --signal=KILL {UNIT}")
        _take_back(machine, stage)
        pushing.wait_until_settled(machine)
        machine.rejoin()
        _ends(running, verdict)


def test_the_updater_is_asked_to_end(lab, target, old, new):
    machine = target("alpha", system=old)
    with settles(machine, in_system(old), "reverted"), _standing_in(lab, machine, new, "trying") as running:
        machine.run(f"systemctl kill --kill-whom=main --signal=TERM {UNIT}")
        _take_back(machine, "trying")
        _ends(running, "reverted")


@pytest.mark.parametrize("stage", STAGES)
def test_the_power_is_cut(lab, target, old, new, stage):
    machine = target("alpha", system=old)
    verdict = STAGES[stage][-1]
    # What was good and was being kept is what the next start brings.
    end = Standing(old, old, new, new) if verdict == "kept" else in_system(old)
    with settles(machine, end, verdict), _standing_in(lab, machine, new, stage) as running:
        machine.power_cut()
        machine.boot()
        _take_back(machine, stage)
        pushing.wait_until_settled(machine)
        _ends(running, verdict)
    if verdict == "kept":
        machine.reboot()
        assert systems.standing(machine) == in_system(new)


@pytest.mark.parametrize("stage", ["trying", "checking"])
def test_the_machine_is_restarted_in_the_trial(lab, target, old, new, stage):
    machine = target("alpha", system=old)
    with settles(machine, in_system(old), "reverted"), _standing_in(lab, machine, new, stage) as running:
        machine.reboot()
        _take_back(machine, stage)
        _ends(running, "reverted")


# --- two at a time ---


def test_a_second_push_is_refused_while_one_runs(lab, target, old, new):
    other = systems.build(lab, "alpha", "1.3", 3000)
    machine = target("alpha", system=old)
    ready = pushing.offer(lab, machine, other)
    systems.order(machine, "test", "1.1", "hang")
    with (
        settles(machine, in_system(new, booted=old), "refused", "refused", "kept"),
        pushing.begun(lab, (machine, new)) as running,
    ):
        systems.wait_for_call(machine, "test", "1.1")
        second = pushing.push(lab, machine, other)
        # One that was announced and copied before the other began comes no further.
        third = machine.attempt(f"nixel-update install --offer {ready} --yes")
        for done in (second, third):
            assert done.returncode == 2, done.stdout
            assert "Another update is running on this machine" in done.stderr
        status = json.loads(machine.run("nixel-update status --json"))
        assert status["update"]["stage"] == "trying"
        assert "An update is going on" in machine.run("nixel-update status")
        systems.take_back(machine, "test", "1.1")
        assert running.end()[0] == 0
    assert json.loads(machine.run("nixel-update status --json"))["update"] is None


def test_a_push_ends_what_was_interrupted_first(lab, target, old, new):
    machine = target("alpha", system=old)
    with settles(machine, in_system(new, booted=old), "reverted", "kept"):
        with _standing_in(lab, machine, new, "trying"):
            # What a person stops is not started again by systemd.
            machine.run(f"systemctl stop {UNIT}")
            _take_back(machine, "trying")
        assert pushing.stage(machine) == "trying"
        done = pushing.push(lab, machine, new)
        assert done.returncode == 0, done.stderr
