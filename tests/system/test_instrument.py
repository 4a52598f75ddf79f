"""The instrument at work: what starts, who may do what, a scan from end to end, and who takes whom down."""

import golden_units
import pytest
from instrument import IMAGING, SAFETY, SCANNER

# The first time everything is built.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SERVICES = (SCANNER, SAFETY, IMAGING)
PAGE = "curl --silent --max-time 20 --output /dev/null --write-out %{http_code}"


@pytest.fixture(scope="module")
def picture(instrument):
    """A calibration and a scan, measured by the imaging service for an operator's machine."""
    instrument.arm()
    return instrument.do("scan", within=120)


def test_these_are_the_reviewed_units(instrument):
    # What demo-vm has not, the scanner has; the others differ by the instrument.
    reviewed = dict.fromkeys((*golden_units.FIRST, *golden_units.UPDATE), "scanner")
    reviewed |= dict.fromkeys(golden_units.UNITS["demo-vm"], "demo-vm")
    # It belongs to the first stage of a start, which a container has not.
    del reviewed["nixel-machine-id.service"]
    for name, machine in reviewed.items():
        found = golden_units.normalised(instrument.units[name])
        assert found == (golden_units.FOLDER / machine / name).read_text(), name


def test_everything_comes_up_the_first_time(instrument):
    # `reboot` has waited for systemd to say that nothing failed.
    for unit in (SCANNER, SAFETY):
        assert instrument.show(unit, "ActiveState") == "active", unit
        assert instrument.show(unit, "NRestarts") == "0", unit
    assert instrument.show("nixel-imaging.socket", "SubState") in ("listening", "running")
    assert instrument.show(SAFETY, "StatusText") == instrument.status()["state"]


def test_an_update_that_never_was_needs_no_ending(instrument):
    assert instrument.show("nixel-update-resume.service", "ExecMainStatus") == "0"
    assert instrument.show("nixel-update-resume.service", "SubState") == "exited"


def test_safety_comes_up_latched_and_obeys_operators(instrument):
    instrument.machine.run(f"systemctl restart {SAFETY}")
    status = instrument.status()
    assert (status["state"], status["outputs"]) == ("FAULT", {"amplifier": False})

    # The interlocks are healthy, so that nothing but who asks makes the difference.
    instrument.machine.wait(
        f"{instrument.programs}/nixel-safety status --json | jq --exit-status 'all(.interlocks[]; .healthy)'"
    )
    refused = instrument.safety("reset", user="visitor")
    assert refused.returncode == 2
    assert "nixel-operator" in refused.stderr
    assert instrument.status()["state"] == "FAULT"
    assert instrument.safety("reset", user="operator").returncode == 0
    assert instrument.safety("arm", user="visitor").returncode == 2
    assert instrument.status()["state"] == "SAFE"
    assert instrument.safety("arm", user="operator").returncode == 0
    assert instrument.status()["state"] == "ARMED"
    # Anyone may stop.
    assert instrument.safety("stop", user="visitor").returncode == 0
    assert instrument.status()["state"] == "SAFE"


def test_a_scan_from_end_to_end(instrument, picture):
    file = f"/var/lib/nixel-imaging/{picture['path']}"
    assert instrument.do("correlation", file, picture["subject"]) > 0.9
    assert picture["simulated"] is True
    # The amplifier was on for it, and is not any more.
    events = instrument.machine.read("/var/lib/nixel-safety/events.jsonl")
    assert "ENERGISED" in events
    assert instrument.status()["outputs"] == {"amplifier": False}


def test_what_was_measured_is_for_operators(instrument, picture):
    file = f"/var/lib/nixel-imaging/{picture['path']}"
    assert instrument.machine.attempt(f"test -r {file}", user="operator").returncode == 0
    for private in (file, "/var/lib/nixel-safety/events.jsonl"):
        assert instrument.machine.attempt(f"test -r {private}", user="visitor").returncode == 1


def test_the_page_is_served_here_and_to_others_under_its_name(instrument, lab):
    here, there = "http://localhost:8642/", f"http://{instrument.machine.address}:8642/"
    for machine, asked in ((instrument.machine, here), (lab.developer, f"--header Host:localhost {there}")):
        assert machine.run(f"{PAGE} {asked}") == "200"
        assert machine.run(f"{PAGE} --header Host:elsewhere.example {asked.split()[-1]}") == "400"


def test_neither_takes_the_other_down(instrument):
    instrument.machine.run(f"systemctl start {IMAGING}")
    safety, imaging = (instrument.show(unit, "InvocationID") for unit in (SAFETY, IMAGING))

    instrument.machine.run(f"systemctl stop {IMAGING}")
    assert instrument.machine.run(f"{PAGE} http://localhost:8642/api/v1/status") == "200"
    assert instrument.show(SAFETY, "InvocationID") == safety
    assert instrument.show(IMAGING, "InvocationID") != imaging

    imaging = instrument.show(IMAGING, "InvocationID")
    instrument.machine.run(f"systemctl restart {SAFETY}")
    assert instrument.show(SAFETY, "InvocationID") != safety
    assert instrument.show(IMAGING, "InvocationID") == imaging
    assert instrument.show(IMAGING, "NRestarts") == "0"


def test_the_journal_holds_no_complaint(instrument, picture):
    units = " ".join(f"--unit {unit}" for unit in SERVICES)
    said = instrument.machine.run(f"journalctl --sync; journalctl --boot --no-pager --output cat {units}")
    assert "ready /run/nixel/safety.sock" in said
    warnings = "journalctl --boot --no-pager --output cat --priority 4 --quiet"
    assert instrument.machine.run(f"{warnings} {units}") == ""
    # What a program writes to its error stream has no priority of its own.
    for word in ("Traceback", "rror", "denied", "not permitted", "Read-only", "warning"):
        assert word not in said, said
