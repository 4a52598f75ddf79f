"""What breaks off an update from a stick: the stick, the disk, the power, the updater. Nothing needs a hand."""

import lzma

import installs
import pytest
import systems
from installs import (
    DATE,
    DAY,
    held,
    hold,
    install,
    let_go,
    path_name,
    settled,
    stage,
    untouched,
    wait_held,
    written,
)
from systems import Standing

MANY = 230  # more than are copied in one go


@pytest.fixture(scope="module")
def old(lab):
    return systems.build(lab, "alpha", "1.0", DATE)


@pytest.fixture(scope="module")
def new(lab):
    bundle = systems.many_paths(lab, [f"part-{i}" for i in range(MANY)])
    return systems.build(lab, "alpha", "1.1", DATE + DAY, packages={"imaging": "1.1"}, extra=[bundle])


@pytest.fixture(scope="module")
def whole(lab, new):
    folder = written(lab, "whole", {"alpha": new})
    yield folder
    installs.discard(lab, "whole")


@pytest.fixture
def stick(lab, whole):
    """A copy: these tests pull it out and change it."""
    folder = installs.copied(lab, whole, "usb")
    yield folder
    installs.discard(lab, "usb")


@pytest.fixture
def machine(target, old):
    return target("alpha", system=old)


def registered(state, name="part-"):
    """The paths of the big closure that a store has, with when and in which order they came."""
    return {each for each in state.registered if len(each) == 5 and path_name(each[1]).startswith(name)}


def test_the_stick_is_pulled_while_it_is_checked(machine, stick, new, old):
    place, before = machine.plug("usb"), held(machine)
    hold(machine, "openssl", 3)
    trying = machine.begin(f"nixel-update install {place} --yes")
    wait_held(machine, "openssl")
    back = installs.rip_out(machine, "usb")
    let_go(machine, "openssl")
    said, complaint = trying.communicate(timeout=60)
    assert (trying.returncode, said) == (2, "")
    assert " is missing." in complaint
    assert "Traceback" not in complaint
    untouched(machine, before, "refused")
    back()
    machine.plug("usb")
    assert install(machine, place).returncode == 0
    settled(machine, new, booted=old, verdict="kept")


def test_the_stick_is_pulled_while_it_is_copied_and_the_next_try_goes_on(machine, stick, old, new):
    place, before = machine.plug("usb"), held(machine)
    content = installs.files(stick)
    hold(machine, "nix", 2, " copy ")
    trying = machine.begin(f"nixel-update install {place} --yes")
    wait_held(machine, "nix")
    half = held(machine)
    assert 0 < len(registered(half)) < MANY
    assert stage(machine) == "copying"
    back = installs.rip_out(machine, "usb")
    let_go(machine, "nix")
    said, _ = trying.communicate(timeout=60)
    assert trying.returncode == 1
    assert "NOT INSTALLED. This machine runs as before." in said
    assert "/media/usb is gone: the stick was pulled out" in said.partition("NOT INSTALLED")[2]
    assert "what was copied already is not copied twice" in said
    broken = settled(machine, old, booted=old, verdict="failed")
    assert (broken.generations, broken.calls) == (before.generations, 0)
    assert registered(broken) == registered(half)

    back()
    machine.plug("usb")
    assert install(machine, place).returncode == 0
    after = settled(machine, new, booted=old, verdict="kept")
    assert after.verdicts == ["failed", "kept"]
    assert len(registered(after)) == MANY
    assert registered(half) <= registered(after), "what was there was not copied again"
    assert installs.files(stick) == content


@pytest.mark.parametrize("what", ["archive", "narinfo"])
def test_the_stick_changes_between_the_check_and_the_copy(machine, stick, old, what):
    """The machine checks once more as it copies: Nix does, against the signature that is over the path's content."""
    place, before = machine.plug("usb"), held(machine)
    hold(machine, "nix", 1, " copy ")
    trying = machine.begin(f"nixel-update install {place} --yes")
    wait_held(machine, "nix")
    path = installs.entry(installs.manifest(stick), "imaging-1.1")
    if what == "archive":
        nar = stick / path["nar"]["name"]
        nar.write_bytes(lzma.compress(lzma.decompress(nar.read_bytes()).replace(b"1.1", b"6.6")))
    else:
        narinfo = stick / path["narinfo"]["name"]
        lines = narinfo.read_text().splitlines(keepends=True)
        narinfo.write_text("".join(line for line in lines if not line.startswith("Sig:")))
    let_go(machine, "nix")
    said, _ = trying.communicate(timeout=60)
    assert trying.returncode == 1
    words = "damaged or was changed" if what == "archive" else "not signed by a key that is trusted"
    assert words in said
    after = settled(machine, old, booted=old, verdict="failed")
    assert (after.generations, after.calls) == (before.generations, 0)
    assert registered(after, "imaging-1.1") == registered(after, "nixos-system-alpha-1.1") == set()


def test_a_disk_that_has_no_room_is_refused_beforehand(machine, stick, new, old):
    place = machine.plug("usb")
    machine.limit_disk(machine.disk_used() + 40_000)
    before = held(machine)
    done = install(machine, place)
    assert done.returncode == 2
    assert "The new system needs " in done.stderr
    assert "nix-collect-garbage" in done.stderr
    untouched(machine, before, "refused")
    machine.limit_disk(machine.disk_used() + 100_000_000)
    assert install(machine, place).returncode == 0
    settled(machine, new, booted=old, verdict="kept")


def test_the_disk_runs_full_while_it_is_copied(machine, stick, new, old):
    place, before = machine.plug("usb"), held(machine)
    hold(machine, "nix", 2, " copy ")
    trying = machine.begin(f"nixel-update install {place} --yes")
    wait_held(machine, "nix")
    machine.limit_disk(machine.disk_used())
    let_go(machine, "nix")
    said, _ = trying.communicate(timeout=60)
    assert trying.returncode == 1
    assert "NOT INSTALLED" in said
    assert "The disk is full." in said
    after = settled(machine, old, booted=old, verdict="failed")
    assert (after.generations, after.calls) == (before.generations, 0)
    machine.limit_disk(machine.disk_used() + 100_000_000)
    assert install(machine, place).returncode == 0
    assert registered(after) <= registered(settled(machine, new, booted=old, verdict="kept"))


# --- the updater is killed, or the power is cut, at every stage ---

# Where it is caught, by what is held; what the machine is to do about it; and whether the new system stands then.
STAGES = {
    "copying": (),
    "trying": (("test", "1.1", "hang"),),
    "checking": (("check", "1.1", "hang"),),
    "keeping": (("boot", "1.1", "hang"),),
    "reverting": (("check", "1.1", "fail"), ("test", "1.0", "hang")),
}


@pytest.mark.parametrize("how", ["killed", "power cut"])
@pytest.mark.parametrize("where", STAGES)
def test_the_updater_ends_at_a_stage(machine, stick, old, new, where, how):
    place = machine.plug("usb")
    for action, version, words in STAGES[where]:
        systems.order(machine, action, version, words)
    if where == "copying":
        hold(machine, "nix", 2, " copy ")
    trying = machine.begin(f"nixel-update install {place} --yes")
    if where == "copying":
        wait_held(machine, "nix")
    else:
        systems.wait_for_call(machine, *STAGES[where][-1][:2])
    assert stage(machine) == where
    caught = held(machine)
    now = new if where in ("checking", "keeping", "reverting") else old
    assert caught.standing.running == now
    assert caught.standing.boot_default == old
    assert (caught.record, caught.verdicts) == (True, [])

    if how == "killed":
        machine.run(f"systemctl kill --kill-whom=main --signal=KILL {installs.UNIT}")
    else:
        machine.power_cut()
        trying.communicate(timeout=60)
        machine.boot()
    for action, version, _ in STAGES[where]:
        systems.take_back(machine, action, version)
    if where == "copying":
        machine.run("rm -f /etc/rig/hold-nix")
    kept = where == "keeping"
    if how == "killed":
        said, _ = trying.communicate(timeout=60)
        assert trying.returncode == (0 if kept else 1), said
        told = {"copying": "NOT INSTALLED.", "keeping": "DONE."}.get(where, "TAKEN BACK.")
        assert told in said
    machine.wait(f"! test -e {installs.STATE}/transaction.json && test -s {installs.STATE}/history.jsonl")
    after = held(machine)
    verdict = {"copying": "failed", "keeping": "kept"}.get(where, "reverted")
    assert (after.verdicts, after.record, after.roots) == ([verdict], False, ())
    runs = new if kept and how == "killed" else old
    stands = new if kept else old
    assert after.standing == Standing(runs, old, stands, stands)
    assert after.requests == ()
    line = after.history[0]
    words = "The machine was restarted" if how == "power cut" else "The update was interrupted"
    assert words in " ".join(line["why"])
    machine.run("systemctl is-system-running")
    if kept:
        machine.reboot()
        assert systems.standing(machine) == Standing(new, new, new, new)
        return
    # The next try needs nobody's hand either.
    if how == "power cut":
        machine.run("rm -f /usr/local/bin/nix")
    assert install(machine, place).returncode == 0
    final = settled(machine, new, booted=old, verdict="kept")
    assert registered(caught) <= registered(final)


def test_a_way_back_that_fails_restarts_the_machine(machine, stick, old):
    place = machine.plug("usb")
    systems.order(machine, "check", "1.1", "fail")
    systems.order(machine, "test", "1.0", "fail")
    trying = install(machine, place)
    machine.wait_boot(2)
    machine.wait(f"! test -e {installs.STATE}/transaction.json")
    after = settled(machine, old, booted=old, verdict="reverted")
    assert "restarted" in " ".join(after.history[0]["why"])
    assert trying.returncode != 0
    assert "TAKEN BACK. This machine runs its old system again." in machine.run("nixel-update status")


def test_the_power_is_cut_again_while_it_goes_back(machine, stick, old, new):
    place = machine.plug("usb")
    systems.order(machine, "boot", "1.1", "fail 1 late")
    systems.order(machine, "boot", "1.0", "hang")
    trying = machine.begin(f"nixel-update install {place} --yes")
    systems.wait_for_call(machine, "boot", "1.0")
    assert stage(machine) == "reverting"
    assert systems.standing(machine).boot_default == new
    for _ in range(2):
        machine.power_cut()
        machine.boot()
        machine.wait(f"grep -q reverting {installs.STATE}/transaction.json")
    trying.communicate(timeout=60)
    systems.take_back(machine, "boot", "1.0")
    machine.wait(f"! test -e {installs.STATE}/transaction.json")
    after = held(machine)
    assert after.verdicts == ["reverted"]
    assert (after.standing.running, after.standing.boot_default, after.standing.profile) == (old, old, old)


@pytest.mark.parametrize("how", ["HUP", "INT", "KILL"])
def test_whoever_watches_goes_away_and_the_update_goes_on(machine, stick, old, new, how):
    place = machine.plug("usb")
    systems.order(machine, "check", "1.1", "hang")
    watching = machine.begin(f"exec nixel-update install {place} --yes")
    systems.wait_for_call(machine, "check", "1.1")
    machine.run(f"pkill -{how} -x -f 'python3 -m nixel.update install.*'")
    _, said = watching.communicate(timeout=30)
    assert watching.returncode != 0
    assert "Traceback" not in said
    if how == "INT":
        assert "It goes on by itself. To see how far it is, type: nixel-update status" in said
    assert "An update is going on" in machine.run("nixel-update status")
    systems.take_back(machine, "check", "1.1")
    machine.wait(f"! test -e {installs.STATE}/transaction.json")
    after = held(machine)
    assert (after.verdicts, after.roots) == (["kept"], ())
    assert after.standing == Standing(new, old, new, new)
    assert "DONE. The new system is installed" in machine.run("nixel-update status")
