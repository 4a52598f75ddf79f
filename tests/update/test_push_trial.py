"""A system that comes over ssh and is not well: whatever its switch and its health check do, the old one comes back."""

import pushing
import pytest
import systems
from pushing import in_system, settles
from systems import Call

pytestmark = pytest.mark.usefixtures("deployer")


def _is_taken_back(lab, machine, old, new, *words):
    with settles(machine, in_system(old), "reverted"):
        done = pushing.push(lab, machine, new)
    assert done.returncode == 1, done.stderr
    assert "TAKEN BACK" in done.stdout
    (entry,) = pushing.history(machine)
    for word in words:
        assert word in " ".join(entry["why"])
        assert word in done.stdout
    assert Call("boot", "1.1", 0) not in systems.calls(machine)


def test_a_switch_that_fails_is_taken_back(lab, target, old, new):
    machine = target("alpha", system=old)
    systems.order(machine, "test", "1.1", "fail 3 late")
    _is_taken_back(lab, machine, old, new, "The switch (test) failed with status 3")
    # It is not in the way of the next try.
    machine.run(f"rm -rf {systems.ORDERS}")
    with settles(machine, in_system(new, booted=old), "kept"):
        assert pushing.push(lab, machine, new).returncode == 0


@pytest.mark.parametrize("how", ["hang", "hang stubborn"])
def test_a_switch_that_hangs_is_cut_off_and_taken_back(lab, target, old, new, how):
    machine = target("alpha", system=old, config=pushing.SHORT_SWITCH)
    systems.order(machine, "test", "1.1", how)
    _is_taken_back(lab, machine, old, new, "did not come to an end within 3 s")


def test_a_switch_that_did_nothing_and_says_that_it_is_done_is_taken_back(lab, target, old, new):
    machine = target("alpha", system=old)
    systems.order(machine, "test", "1.1", "fail 0")
    with settles(machine, in_system(old), "reverted"):
        assert pushing.push(lab, machine, new).returncode == 1


def test_units_that_do_not_start_are_for_the_health_check_to_judge(lab, target, old, new):
    machine = target("alpha", system=old)
    systems.order(machine, "test", "1.1", "fail 4 late")
    systems.order(machine, "check", "1.1", "fail once")
    with settles(machine, in_system(old), "reverted"):
        assert pushing.push(lab, machine, new).returncode == 1
    with settles(machine, in_system(new, booted=old), "kept"):
        assert pushing.push(lab, machine, new).returncode == 0
    assert "Some units did not start" in " ".join(pushing.history(machine)[-1]["why"])


@pytest.mark.parametrize(
    ("how", "words"),
    [("fail", "status 1"), ("garbage", "no answer that can be read"), ("hang", "no answer within 3 s")],
)
def test_a_health_check_without_a_good_answer_is_not_passed(lab, target, old, new, how, words):
    machine = target("alpha", system=old, config=pushing.SHORT_CHECK if how == "hang" else "")
    systems.order(machine, "check", "1.1", how)
    _is_taken_back(lab, machine, old, new, words)
    assert machine.run("pgrep --full nixel[/]health || true") == ""


def test_a_device_that_is_lost_brings_the_old_system_back(lab, target, old, new):
    machine = target("alpha", system=old)
    machine.write("/etc/rig/devices/camera", "")
    systems.order(machine, "test", "1.1", "hang")
    with settles(machine, in_system(old), "reverted"), pushing.begun(lab, (machine, new)) as running:
        systems.wait_for_call(machine, "test", "1.1")
        machine.run("rm /etc/rig/devices/camera")
        systems.take_back(machine, "test", "1.1")
        status, said = running.end()
    assert status == 1
    assert "devices: Missing: camera." in said


def test_an_old_system_that_says_nothing_of_its_health_does_not_keep_the_new_one_out(lab, target, old, new):
    machine = target("alpha", system=old)
    systems.order(machine, "snapshot", "1.0", "fail")
    with settles(machine, in_system(new, booted=old), "kept"):
        assert pushing.push(lab, machine, new).returncode == 0
    assert "checked without it" in " ".join(pushing.history(machine)[-1]["why"])


def test_a_boot_loader_that_cannot_be_written_brings_the_old_system_back(lab, target, old, new):
    machine = target("alpha", system=old)
    systems.order(machine, "boot", "1.1", "fail")
    # The profile has a generation more, which leads to the old system.
    with settles(machine, in_system(old), "reverted"):
        done = pushing.push(lab, machine, new)
    assert done.returncode == 1
    assert "The switch (boot) failed with status 1" in done.stdout


def test_a_machine_that_cannot_switch_back_restarts_into_its_old_system(lab, target, old, new):
    machine = target("alpha", system=old)
    boots = machine.boots
    systems.order(machine, "check", "1.1", "fail")
    systems.order(machine, "test", "1.0", "fail 7")
    with settles(machine, in_system(old), "reverted"), pushing.begun(lab, (machine, new)) as running:
        machine.wait_boot(boots + 1)
        status, said = running.end()
    assert status == 1, said
    assert "TAKEN BACK" in said
    assert "the machine is restarted" in said
    assert machine.boots == boots + 1


def test_nobody_who_confirms_brings_the_old_system_back(lab, target, old, new):
    machine = target("alpha", system=old, config=pushing.SHORT_CONFIRMATION)
    offer = pushing.offer(lab, machine, new)
    with settles(machine, in_system(old), "reverted"):
        done = machine.attempt(f"nixel-update install --offer {offer} --yes --asks-confirmation")
        assert "Waiting for whoever asked" in done.stderr
        assert done.returncode == 0
        pushing.wait_until_settled(machine)
    # Who comes late learns the verdict.
    late = machine.attempt(f"nixel-update confirm {offer} --wait")
    assert late.returncode == 1
    assert "Nobody came back over the network within 4 s" in late.stdout
