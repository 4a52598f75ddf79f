"""A stick for several hosts, from the developer's folder to the verdict at the machine, by whoever stands there."""

import json

import installs
import pytest
import systems
from installs import DATE, DAY, Terminal, held, install, refused, settled, untouched, written
from systems import Call, Standing


@pytest.fixture(scope="module")
def old(lab):
    return systems.build(lab, "alpha", "1.0", DATE)


@pytest.fixture(scope="module")
def new(lab):
    changed = {"imaging": "1.1", "safety": "1.0"}
    return systems.build(lab, "alpha", "1.1", DATE + 7 * DAY, packages=changed, kernel="6.12.2")


@pytest.fixture(scope="module")
def beta(lab):
    return systems.build(lab, "beta", "1.1", DATE + 7 * DAY)


@pytest.fixture(scope="module")
def stick(lab, new, beta):
    folder = written(lab, "two hosts #1", {"alpha": new, "beta": beta}, "--note", "Sharper pictures")
    yield folder
    installs.discard(lab, "two hosts #1")


@pytest.fixture
def machine(target, old):
    return target("alpha", system=old, sudo=True)


@pytest.fixture
def place(machine, stick):
    return machine.plug("two hosts #1", read_only=True)


def test_a_technician_installs_from_a_stick_that_cannot_be_written_to(
    lab, target, machine, place, stick, old, new
):
    on_it, before = installs.files(stick), held(machine)
    offer = machine.attempt(["sudo", "nixel-update", "offer", str(place)], user="technician")
    assert offer.returncode == 0, offer.stderr
    for words in (
        "This machine is alpha.",
        "A note from its maker: Sharper pictures",
        "Now:     nixel 1.0 for alpha",
        "Offered: nixel 1.1 for alpha",
        "(7 days newer)",
        "imaging",
        "1.0 -> 1.1",
        "NEEDS A RESTART",
        f"To install it, type: sudo nixel-update install '{place}'",
    ):
        assert words in offer.stdout
    untouched(machine, before)

    done = install(machine, place, user="technician")
    assert done.returncode == 0, done.stderr
    assert "Offered: nixel 1.1 for alpha" in done.stdout
    assert "DONE. The new system is installed" in done.stdout
    assert "A restart is needed: the running system has another kernel" in done.stdout
    after = settled(machine, new, booted=old, verdict="kept")
    assert len(after.generations) == len(before.generations) + 1
    (line,) = after.history
    assert (line["from"], line["label"], line["who"]) == ("stick", str(place), "technician at alpha")
    assert (line["kind"], line["old"]["path"], line["new"]["path"]) == ("install", old, new)
    assert line["seconds"] > 0
    assert [name for name, _ in line["stages"]] == ["copying", "trying", "checking", "keeping", "done"]
    assert systems.calls(machine) == [
        Call("snapshot", "1.0", 0),
        Call("test", "1.1", 0),
        Call("check", "1.1", 0),
        Call("boot", "1.1", 0),
    ]
    machine.reboot()
    assert systems.standing(machine) == Standing(new, new, new, new)
    assert installs.files(stick) == on_it

    # The other host's system is on the same stick.
    other = target("beta", system=systems.build(lab, "beta", "1.0", DATE))
    assert install(other, other.plug("two hosts #1", read_only=True)).returncode == 0
    assert held(other).verdicts == ["kept"]
    assert installs.files(stick) == on_it


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04", "perhaps\n", "interrupt"])
def test_whoever_does_not_say_yes_changes_nothing(machine, place, answer):
    before = held(machine)
    terminal = Terminal(machine, ["nixel-update", "install", str(place)])
    terminal.wait_for("Install this? [y/N] ")
    if answer == "interrupt":
        machine.run("pkill -INT -x -f 'python3 -m nixel.update install.*'")
        status, said = terminal.end()
        assert status == 130
    else:
        terminal.type(answer)
        status, said = terminal.end()
        assert status == 1
        assert "Not installed. Nothing was changed." in said
    assert said.index("This machine is alpha.") < said.index("imaging") < said.index("Install this?")
    assert "Traceback" not in said
    untouched(machine, before)


def test_a_technician_says_yes_at_the_terminal(machine, place, old, new):
    terminal = Terminal(machine, ["nixel-update", "install", str(place)])
    terminal.wait_for("Install this? [y/N] ")
    systems.order(machine, "check", "1.1", "hang")
    terminal.type("y\n")
    terminal.wait_for("Checking the instrument's health.")
    status = machine.run("nixel-update status")
    assert "This machine runs 1.1" in status
    assert "The next start brings another system: 1.0" in status
    assert "An update is going on" in status
    assert json.loads(machine.run("nixel-update status --json"))["update"]["stage"] == "checking"
    again = install(machine, place)
    assert (again.returncode, "Another update is running on this machine." in again.stderr) == (2, True)
    systems.take_back(machine, "check", "1.1")
    status, said = terminal.end()
    assert status == 0
    told = [
        "Bringing the system into the store.",
        "Starting the system on trial.",
        "Checking the instrument's health.",
        "DONE. The new system is installed",
    ]
    assert [each for each in told if each in said] == told
    assert [said.index(each) for each in told] == sorted(said.index(each) for each in told)
    assert settled(machine, new, booted=old, verdict="kept").verdicts == ["refused", "kept"]
    assert "An update is going on" not in machine.run("nixel-update status")


def test_nobody_is_asked_where_nobody_can_answer(machine, place):
    before = held(machine)
    asked = machine.attempt(["nixel-update", "install", str(place)])
    assert (asked.returncode, "Nobody can be asked here." in asked.stderr) == (2, True)
    asked = machine.attempt(["nixel-update", "install", str(place), "--json"])
    assert (asked.returncode, json.loads(asked.stdout)["verdict"]) == (2, "refused")
    asked = machine.attempt(["sudo", "nixel-update", "install", "--yes"], user="technician")
    assert (asked.returncode, "No stick of nixel is plugged in." in asked.stderr) == (2, True)
    asked = machine.attempt(["nixel-update", "install", str(place), "--yes"], user="technician")
    assert (asked.returncode, "Only root" in asked.stderr) == (2, True)
    # Asking whom nobody can be asked is no attempt; naming no stick is one.
    assert held(machine).without_history() == before.without_history()
    assert held(machine).verdicts == ["refused"]


def test_every_command_answers_a_program(machine, place, old, new):
    def said(*arguments, status=0):
        done = machine.attempt(["nixel-update", *arguments, "--json"])
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    assert said("history") == {"entries": [], "unreadable": 0}
    offer = said("offer", str(place))
    assert (offer["host"], offer["running"], offer["offered"]) == ("alpha", old, new)
    assert (offer["identity"]["version"], offer["note"]) == ("1.1", "Sharper pictures")
    assert offer["difference"]["restart_needed"] is True
    assert {"name": "imaging", "before": ["1.0"], "after": ["1.1"]} in offer["difference"]["programs"]

    done = said("install", str(place), "--yes")
    assert (done["verdict"], done["old"]["path"], done["new"]["path"]) == ("kept", old, new)
    assert said("history") == {"entries": [done], "unreadable": 0}
    status = said("status")
    assert (status["running"], status["booted"], status["boot_default"]) == (new, old, new)
    assert (status["restart_needed"], status["next_start_changes"], status["update"]) == (True, False, None)
    difference = said("diff", old, new)
    assert difference["programs"] == offer["difference"]["programs"]
    assert difference["files"] == offer["difference"]["files"]
    assert said("install", str(place), "--yes")["verdict"] == "nothing"
    assert said("install", "/media/none", "--yes", status=2)["verdict"] == "refused"
    assert said("rollback", "--yes")["verdict"] == "kept"
    assert [each["verdict"] for each in said("history")["entries"]] == ["kept", "nothing", "refused", "kept"]
    assert systems.standing(machine) == Standing(old, old, old, old)


def test_the_same_system_again_is_nothing_to_do(machine, place, old, new):
    assert install(machine, place).returncode == 0
    before = held(machine)
    again = install(machine, place)
    assert again.returncode == 0
    assert again.stdout.startswith("NOTHING TO DO. This machine runs that system already.")
    line = untouched(machine, before, "nothing")
    assert line["new"]["path"] == new
    told = machine.run("nixel-update history")
    assert [word in told for word in ("  DONE  ", "  NOTHING TO DO  ", str(place), old, new)] == [True] * 5


def test_an_older_system_is_installed_only_if_that_is_said(lab, target, old, new, stick):
    machine = target("alpha", system=new)
    written(lab, "older", {"alpha": old})
    place = machine.plug("older")
    said = refused(machine, place, "is older than the running one (1.1, of 2026-")
    assert "say so: --allow-older" in said
    offer = machine.run(["nixel-update", "offer", str(place), "--allow-older"])
    assert "OLDER: the offered system was made 7 days before the present one" in offer
    assert f"sudo nixel-update install {place} --allow-older" in offer
    assert install(machine, place, "--allow-older").returncode == 0
    settled(machine, old, booted=new, verdict="kept")
    installs.discard(lab, "older")


def test_a_system_that_fails_its_check_is_taken_back_and_says_why(machine, place, old):
    before = held(machine)
    machine.write("/etc/rig/devices/camera", "")
    systems.order(machine, "check", "1.1", "garbage")
    done = install(machine, place)
    assert done.returncode == 1
    assert (
        "TAKEN BACK. This machine runs its old system again.\n"
        "  The new system did not pass its health check.\n" in done.stdout
    )
    after = settled(machine, old, booted=old, verdict="reverted")
    assert after.generations == before.generations
    assert [call.action for call in systems.calls(machine)] == ["snapshot", "test", "check", "test"]
    told = machine.run("nixel-update history")
    assert "  TAKEN BACK  " in told
    assert "health check" in told
    systems.take_back(machine, "check", "1.1")
    assert install(machine, place).returncode == 0
    assert held(machine).verdicts == ["reverted", "kept"]


def test_a_relative_folder_and_a_link_lead_to_the_stick(machine, place, new):
    machine.run(f"ln -s '{place}' /root/usb")
    done = machine.attempt("cd /root && nixel-update install usb --yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert systems.standing(machine).running == new
    assert held(machine).history[0]["label"] == "usb"
