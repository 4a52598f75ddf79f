"""The way back over ssh: with the same care as forward."""

import pushing
import pytest
import systems
from pushing import SHORT_CONFIRMATION, in_system, settles
from systems import Call

pytestmark = pytest.mark.usefixtures("deployer")


@pytest.fixture
def updated(lab, target, old, new):
    """A machine that went from the old to the new system and was restarted."""

    def make(**more):
        machine = target("alpha", system=old, **more)
        lab.developer.run(f"nix copy --to ssh-ng://root@{machine.address} {new}")
        machine.run(
            f"nix-env --profile /nix/var/nix/profiles/system --set {new}; {new}/bin/switch-to-configuration boot"
        )
        machine.reboot()
        assert systems.standing(machine) == in_system(new)
        return machine

    return make


def _rollback(lab, machine, **more):
    return lab.developer.attempt(pushing.line("rollback", machine, **more))


@pytest.mark.parametrize("user", ["root", "technician"])
def test_back_and_back_again(lab, updated, old, new, user):
    machine = updated(sudo=True)
    with settles(machine, in_system(old, booted=new), "kept"):
        done = _rollback(lab, machine, user=user)
        assert done.returncode == 0, done.stderr
    assert "DONE. The system before runs again" in done.stdout
    assert "imaging  1.1 -> 1.0" in done.stderr
    assert Call("check", "1.0", 0) in systems.calls(machine)
    (entry,) = pushing.history(machine)
    assert (entry["kind"], entry["who"]) == ("rollback", f"{user} from 10.77.0.1")
    # The system before that is the one that was left: a way back has a way back.
    with settles(machine, in_system(new), "kept"):
        assert _rollback(lab, machine, user=user).returncode == 0


def test_there_is_no_system_before(lab, target, old):
    machine = target("alpha", system=old)
    with settles(machine, in_system(old)):
        done = _rollback(lab, machine)
    assert done.returncode == 2
    assert "has no system before this one" in done.stderr


def test_a_system_before_that_is_not_well_is_not_gone_back_to(lab, updated, new):
    machine = updated()
    systems.order(machine, "check", "1.0", "fail")
    with settles(machine, in_system(new), "reverted"):
        done = _rollback(lab, machine)
    assert done.returncode == 1
    assert "STAYED." in done.stdout


def test_a_system_before_that_cannot_be_reached_is_not_gone_back_to(lab, updated, new):
    machine = updated(config=SHORT_CONFIRMATION)
    systems.order(machine, "test", "1.0", "hang")
    with settles(machine, in_system(new), "reverted"):
        process = lab.developer.begin(f"RIG_QUICK=1 {pushing.line('rollback', machine)}")
        systems.wait_for_call(machine, "test", "1.0")
        machine.cut()
        systems.take_back(machine, "test", "1.0")
        pushing.wait_until_settled(machine)
        machine.rejoin()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "STAYED." in said
