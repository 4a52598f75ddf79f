"""What comes over ssh without a signature, on a full disk or by a wrong clock: nothing is switched to."""

import re

import pushing
import pytest
import systems
from pushing import in_system, settles

pytestmark = pytest.mark.usefixtures("deployer")


def test_an_older_system_that_is_wanted(lab, target, old):
    older = systems.build(lab, "alpha", "0.9", 900)
    machine = target("alpha", system=old)
    with settles(machine, in_system(older, booted=old), "kept"):
        done = pushing.push(lab, machine, older, options="--allow-older")
        assert done.returncode == 0, done.stderr
    assert "OLDER" in done.stderr


@pytest.mark.parametrize("user", ["root", "technician"])
def test_paths_without_a_signature(lab, target, old, user):
    machine = target("alpha", system=old, sudo=True)
    bare = systems.build(lab, "alpha", "1.5", 5000, key=None)
    announced = lab.developer.run(f"nixel-update announce alpha={bare} --key /root/{pushing.KEY}.key")
    with settles(machine, in_system(old), "failed"):
        said = pushing.receive(machine, announced)
        refused = lab.developer.attempt(f"nix copy --to ssh-ng://{user}@{machine.address} {bare}")
        assert refused.returncode != 0
        assert "lacks a signature by a trusted key" in refused.stderr
        # Whoever goes on all the same finds nothing there to switch to.
        name = said.stdout.rpartition("offer: ")[2].strip()
        done = machine.attempt(f"nixel-update install --offer {name} --yes")
    assert done.returncode == 1
    assert "store lacks" in done.stdout
    assert systems.calls(machine) == []


def test_a_path_that_is_not_what_was_signed(lab, target, old, new):
    machine = target("alpha", system=old)
    announced = lab.developer.run(f"nixel-update announce alpha={new} --key /root/{pushing.KEY}.key")
    # Root of the machine may put anything under any name.
    lab.developer.run(f"nix copy --no-check-sigs --to ssh-ng://root@{machine.address} {new}")
    machine.run(["python3", "-c", _OTHER_HASH, new])
    with settles(machine, in_system(old), "failed"):
        name = pushing.receive(machine, announced).stdout.rpartition("offer: ")[2].strip()
        done = machine.attempt(f"nixel-update install --offer {name} --yes")
    assert done.returncode == 1
    assert "than the manifest lists" in done.stdout
    assert systems.calls(machine) == []


_OTHER_HASH = """
import sqlite3, sys
with sqlite3.connect("/nix/var/nix/db/db.sqlite") as database:
    database.execute("update ValidPaths set hash = 'sha256:' || printf('%064d', 1) where path = ?", sys.argv[1:])
"""


@pytest.mark.parametrize("clock", ["2001-01-01 00:00:00", "2098-01-01 00:00:00"])
def test_a_clock_that_is_far_off(lab, target, old, new, clock):
    machine = target("alpha", system=old)
    real = machine.read("/usr/local/bin/nixel-update")
    machine.write("/usr/local/bin/nixel-update", real.replace("exec", f"exec faketime '{clock}'"), mode="755")
    before = systems.standing(machine)
    done = pushing.push(lab, machine, new)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"This machine's clock says {clock[:10]}" in done.stderr
    assert systems.standing(machine) == before
    assert systems.calls(machine) == []
    assert [each["verdict"] for each in pushing.history(machine)] == ["refused"]


def test_a_disk_without_room_for_it(lab, target, old):
    machine = target("alpha", system=old)
    large = pushing.build_large(lab, "alpha", "1.2", 3000)
    machine.limit_disk(machine.disk_used() + 2_000_000)
    with settles(machine, in_system(old), "refused"):
        done = pushing.push(lab, machine, large)
    assert done.returncode == 2
    assert re.search(r"needs 4\.0 MB more, and the disk .* has .* free", done.stderr)
    assert "copying" not in done.stderr
    assert systems.calls(machine) == []


def test_a_disk_that_runs_full_while_copying(lab, target, old):
    machine = target("alpha", system=old)
    large = pushing.build_large(lab, "alpha", "1.2", 3000)
    pushing.hold_copy(lab)
    with settles(machine, in_system(old)), pushing.begun(lab, (machine, large)) as running:
        pushing.wait_for_held(lab)
        machine.limit_disk(machine.disk_used() + 65536)
        pushing.go_on(lab)
        status, said = running.end()
    assert status == 1, said
    assert "the copy broke off; the machine goes on as it was" in said
    assert "No space left on device" in said or "disk is full" in said
    assert systems.calls(machine) == []
    machine.limit_disk(machine.disk_used() + 100_000_000)
    with settles(machine, in_system(large, booted=old), "kept"):
        assert pushing.push(lab, machine, large).returncode == 0
