"""Deployment over ssh as it goes well, and one machine of several on which it does not."""

import json

import pushing
import pytest
import systems
from pushing import in_system, settles
from systems import Call, Standing

pytestmark = pytest.mark.usefixtures("deployer")


@pytest.mark.parametrize("user", ["root", "technician"])
def test_a_system_is_pushed(lab, target, old, new, user):
    machine = target("alpha", system=old, sudo=True)
    assert systems.standing(machine) == in_system(old)
    with settles(machine, in_system(new, booted=old), "kept"):
        done = pushing.push(lab, machine, new, user=user)
        assert done.returncode == 0, done.stderr
    assert "DONE. The new system is installed" in done.stdout
    # What changes is said before anything is done.
    assert done.stderr.index("imaging  1.0 -> 1.1") < done.stderr.index("copying path")
    assert systems.calls(machine) == [
        Call("snapshot", "1.0", 0),
        Call("test", "1.1", 0),
        Call("check", "1.1", 0),
        Call("boot", "1.1", 0),
    ]
    (entry,) = pushing.history(machine)
    assert (entry["old"]["path"], entry["new"]["path"]) == (old, new)
    assert (entry["kind"], entry["from"], entry["who"]) == ("install", "ssh", f"{user} from 10.77.0.1")
    assert [stage for stage, _ in entry["stages"]] == [
        "copying",
        "trying",
        "checking",
        "confirming",
        "keeping",
        "done",
    ]
    machine.reboot()
    assert systems.standing(machine) == in_system(new)


def test_paths_keep_their_signatures_on_the_way(lab, target, old, new):
    machine = target("alpha", system=old)
    there = set(machine.run("nix path-info --all").split())
    with settles(machine, in_system(new, booted=old), "kept"):
        assert pushing.push(lab, machine, new).returncode == 0
    came = set(machine.run("nix path-info --all").split()) - there
    assert new in came
    for path in came:
        assert f"{pushing.KEY}:" in machine.run(f"nix path-info --sigs {path}")
    machine.run(f"nix store verify --recursive --sigs-needed 1 --trusted-public-keys {lab.key} {new}")


def test_the_same_system_again_is_nothing_to_do(lab, target, old, new):
    machine = target("alpha", system=new)
    with settles(machine, in_system(new), "nothing"):
        done = pushing.push(lab, machine, new)
    assert done.returncode == 0
    assert "runs that system already" in done.stdout + done.stderr
    assert systems.calls(machine) == []


def test_a_system_that_runs_and_is_not_the_boot_default_is_made_so(lab, target, old, new):
    machine = target("alpha", system=old)
    lab.developer.run(f"nix copy --to ssh-ng://root@{machine.address} {new}")
    machine.run(f"{new}/bin/switch-to-configuration test")
    assert systems.standing(machine) == Standing(new, old, old, old)
    with settles(machine, in_system(new, booted=old), "kept"):
        done = pushing.push(lab, machine, new)
        assert done.returncode == 0, done.stderr
    # It was tried and checked like any other.
    assert Call("check", "1.1", 0) in systems.calls(machine)


@pytest.fixture
def others(lab):
    return {
        "beta": systems.build(lab, "beta", "1.0", 1000),
        "new beta": systems.build(lab, "beta", "1.1", 2000, packages={"imaging": "1.1"}),
    }


def test_several_machines_at_once_have_a_verdict_each(lab, target, old, new, others):
    alpha, beta = target("alpha", system=old), target("beta", system=others["beta"])
    systems.order(beta, "check", "1.1", "fail")
    with (
        settles(alpha, in_system(new, booted=old), "kept"),
        settles(beta, in_system(others["beta"]), "reverted"),
    ):
        done = lab.developer.attempt(
            pushing.line("push", (alpha, new), (beta, others["new beta"]), options="--yes"), within=120
        )
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "alpha: done" in said
    assert "beta: NOT INSTALLED" in said
    assert "beta: TAKEN BACK" in said
    assert "alpha: DONE" in said
    assert all(row.startswith(("alpha: ", "beta: ")) for row in said.splitlines()), said


def test_of_a_closure_of_2000_paths_only_the_20_new_ones_are_copied(lab, target):
    bundles = [
        systems.many_paths(lab, [f"part-{number}" for number in range(first, first + 2000)])
        for first in (0, 20)
    ]
    first, second = (
        systems.build(lab, "alpha", f"2.{number}", 3000 + number, extra=[bundle])
        for number, bundle in enumerate(bundles)
    )
    machine = target("alpha", system=first)
    there = set(machine.run("nix path-info --all").split())
    with settles(machine, in_system(second, booted=first), "kept"):
        done = pushing.push(lab, machine, second)
        assert done.returncode == 0, done.stderr
    came = set(machine.run("nix path-info --all").split()) - there
    # The 20, what names all of them, and the system.
    names = {path[len("/nix/store/") + 33 :] for path in came}
    assert names == {f"part-{number}" for number in range(2000, 2020)} | {"bundle", "nixos-system-alpha-2.1"}
    assert done.stderr.count("copying path ") == 22


def test_generations_beyond_those_to_be_kept_go(lab, target, old, new):
    machine = target("alpha", system=old, config="keep-generations = 2\n")
    later = [systems.build(lab, "alpha", f"1.{number}", 1000 * number) for number in (3, 4)]
    booted = old
    for before, system in zip((old, new), (new, later[0]), strict=True):
        with settles(machine, in_system(system, booted=booted), "kept"):
            assert pushing.push(lab, machine, system).returncode == 0
        assert before in _generations(machine)
        machine.reboot()
        booted = system
    with settles(machine, in_system(later[1], booted=booted), "kept"):
        assert pushing.push(lab, machine, later[1]).returncode == 0
    assert _generations(machine) == [later[0], later[1]]
    machine.run("nix-collect-garbage")
    assert machine.attempt(f"test -e {old}").returncode == 1
    assert machine.attempt(f"test -e {later[0]}").returncode == 0


def _generations(machine):
    return machine.run("readlink $(ls -dv /nix/var/nix/profiles/system-*-link)").split()


def test_garbage_collection_in_a_trial_keeps_the_old_and_the_new_system(lab, target, old, new):
    machine = target("alpha", system=old)
    with settles(machine, in_system(new, booted=old), "kept"):
        systems.order(machine, "check", "1.1", "hang")
        with pushing.begun(lab, (machine, new)) as running:
            systems.wait_for_call(machine, "check", "1.1")
            # Nothing else holds the old system but that it was booted from, and the new one but that it runs.
            machine.run("nix-collect-garbage --delete-old")
            systems.take_back(machine, "check", "1.1")
            assert running.end()[0] == 0
    for system in (old, new):
        machine.run(f"nix store verify --no-trust --recursive {system}")


def test_status_and_history_speak_to_programs(lab, target, old, new):
    machine = target("alpha", system=old)
    before = json.loads(machine.run("nixel-update status --json"))
    with settles(machine, in_system(new, booted=old), "kept"):
        assert pushing.push(lab, machine, new).returncode == 0
    after = json.loads(machine.run("nixel-update status --json"))
    wanted = ("running", "booted", "boot_default", "generation", "next_start_changes")
    assert [before[key] for key in wanted] == [old, old, old, 1, False]
    assert [after[key] for key in wanted] == [new, old, new, 2, False]
    assert f"1.1 ({new})" in machine.run("nixel-update history")
    # A line of another kind is counted and read over.
    machine.run(f"echo '{{torn' >> {pushing.STATE}/history.jsonl")
    assert json.loads(machine.run("nixel-update history --json"))["unreadable"] == 1
