"""The link to the machine, and the deployer, lost in every moment of a push, for a while and for good."""

import pushing
import pytest
import systems
from pushing import SHORT_CONFIRMATION, in_system, settles

pytestmark = pytest.mark.usefixtures("deployer")


@pytest.fixture(scope="module")
def large(lab):
    return pushing.build_large(lab, "alpha", "1.2", 3000)


def test_a_link_lost_while_copying_changes_nothing_and_the_next_try_goes_on(lab, target, old, large):
    machine = target("alpha", system=old)
    before = set(machine.run("nix path-info --all").split())
    pushing.hold_copy(lab)
    with settles(machine, in_system(old)), pushing.begun(lab, (machine, large)) as running:
        pushing.wait_for_held(lab)
        machine.cut()
        pushing.go_on(lab)
        status, said = running.end()
    assert status == 1, said
    assert "the machine goes on as it was" in said
    assert systems.calls(machine) == []
    machine.rejoin()
    kept = set(machine.run("nix path-info --all").split()) - before
    with settles(machine, in_system(large, booted=old), "kept"):
        done = pushing.push(lab, machine, large)
        assert done.returncode == 0, done.stderr
    for path in kept:
        assert f"copying path '{path}'" not in done.stderr


def test_a_link_lost_for_a_moment_while_copying(lab, target, old, large):
    machine = target("alpha", system=old)
    pushing.hold_copy(lab)
    with (
        settles(machine, in_system(large, booted=old), "kept"),
        pushing.begun(lab, (machine, large), quick=False) as running,
    ):
        pushing.wait_for_held(lab)
        machine.cut()
        pushing.go_on(lab)
        machine.rejoin()
        status, said = running.end()
    assert status == 0, said


@pytest.mark.parametrize(("action", "version"), [("test", "1.1"), ("check", "1.1")])
def test_a_link_lost_in_the_trial_and_back_in_time(lab, target, old, new, action, version):
    machine = target("alpha", system=old)
    systems.order(machine, action, version, "hang")
    with settles(machine, in_system(new, booted=old), "kept"), pushing.begun(lab, (machine, new)) as running:
        systems.wait_for_call(machine, action, version)
        machine.cut()
        systems.take_back(machine, action, version)
        pushing.wait_for_stage(machine, "confirming")
        machine.rejoin()
        status, said = running.end()
    assert status == 0, said
    assert "DONE." in said


@pytest.mark.parametrize(("action", "version"), [("test", "1.1"), ("check", "1.1")])
def test_a_link_lost_in_the_trial_for_too_long(lab, target, old, new, action, version):
    machine = target("alpha", system=old, config=SHORT_CONFIRMATION)
    systems.order(machine, action, version, "hang")
    with settles(machine, in_system(old), "reverted"), pushing.begun(lab, (machine, new)) as running:
        systems.wait_for_call(machine, action, version)
        machine.cut()
        systems.take_back(machine, action, version)
        pushing.wait_until_settled(machine)
        machine.rejoin()
        status, said = running.end()
    assert status == 1, said
    assert "TAKEN BACK" in said


def test_a_link_lost_after_the_confirmation_takes_nothing_back(lab, target, old, new):
    machine = target("alpha", system=old)
    systems.order(machine, "boot", "1.1", "hang")
    with settles(machine, in_system(new, booted=old), "kept"), pushing.begun(lab, (machine, new)) as running:
        systems.wait_for_call(machine, "boot", "1.1")
        machine.cut()
        systems.take_back(machine, "boot", "1.1")
        pushing.wait_until_settled(machine)
        machine.rejoin()
        status, said = running.end()
    assert status == 0, said


def test_a_machine_that_does_not_come_back_is_reported_so(lab, target, old, new):
    machine = target("alpha", system=old, config=SHORT_CONFIRMATION)
    systems.order(machine, "test", "1.1", "hang")
    with settles(machine, in_system(old), "reverted"):
        with pushing.begun(lab, (machine, new), patience=4) as running:
            systems.wait_for_call(machine, "test", "1.1")
            machine.cut()
            status, said = running.end()
        systems.take_back(machine, "test", "1.1")
    assert status == 1
    assert "has gone back to its old system unless it was confirmed" in said


# --- Ctrl-C ---


def test_stopped_while_copying(lab, target, old, large):
    machine = target("alpha", system=old)
    pushing.hold_copy(lab)
    with settles(machine, in_system(old)), pushing.begun(lab, (machine, large)) as running:
        pushing.wait_for_held(lab)
        running.interrupt()
        status, said = running.end()
    assert status == 130, said
    assert "the machine goes on as it was" in said
    with settles(machine, in_system(large, booted=old), "kept"):
        assert pushing.push(lab, machine, large).returncode == 0


@pytest.mark.parametrize(
    ("action", "verdict"),
    [("test", "reverted"), ("check", "reverted"), ("boot", "kept")],
)
def test_stopped_in_the_trial(lab, target, old, new, action, verdict):
    machine = target("alpha", system=old, config=SHORT_CONFIRMATION)
    systems.order(machine, action, "1.1", "hang")
    end = in_system(old) if verdict == "reverted" else in_system(new, booted=old)
    with settles(machine, end, verdict):
        with pushing.begun(lab, (machine, new)) as running:
            systems.wait_for_call(machine, action, "1.1")
            running.interrupt()
            status, said = running.end()
        systems.take_back(machine, action, "1.1")
    assert status == 130, said
    assert "the machine decides alone now" in said


def test_stopping_a_push_to_several_machines_stops_all_of_them(lab, target, old, new):
    beta_old, beta_new = (
        systems.build(lab, "beta", version, date) for version, date in (("1.0", 1000), ("1.1", 2000))
    )
    machines = {
        target("alpha", system=old, config=SHORT_CONFIRMATION): (old, new),
        target("beta", system=beta_old, config=SHORT_CONFIRMATION): (beta_old, beta_new),
    }
    for machine in machines:
        systems.order(machine, "test", "1.1", "hang")
    alpha, beta = machines
    with settles(alpha, in_system(old), "reverted"), settles(beta, in_system(beta_old), "reverted"):
        with pushing.begun(lab, *((machine, new) for machine, (_, new) in machines.items())) as running:
            for machine in machines:
                systems.wait_for_call(machine, "test", "1.1")
            running.interrupt()
            status, said = running.end()
        assert lab.developer.run("pgrep --full [d]eploy.sh || true") == ""
        for machine in machines:
            systems.take_back(machine, "test", "1.1")
    assert status == 130, said
    for name in ("alpha", "beta"):
        assert f"{name}: stopped: the machine decides alone now" in said
