"""The rendered systemd units: as reviewed, understood by systemd, and closed as far as they can be."""

import os
import re
import shutil
import subprocess

import golden_units
import pytest

ALL = [(machine, unit) for machine, units in golden_units.UNITS.items() for unit in units]
# systemd's own measure, 0 (closed) to 10: what DESIGN.md promises, and for the simulators' units the same.
EXPOSURE = {
    "nixel-safety.service": 1.5,
    "nixel-imaging.service": 1.0,
    "nixel-virtual-microscope.service": 1.0,
    "nixel-virtual-scanner.service": 1.5,
    "nixel-virtual-stage.service": 1.0,
    # Reads what anybody may have written on a stick.
    "nixel-update-offer@.service": 1.0,
    # Mounts it for everybody to see, so it has no mount namespace of its own, on which most walls rest.
    "nixel-update-stick@.service": 4.5,
}
# The others end before anybody enters, are a program of the operator's own session, or switch systems and remove from
# the store: the whole machine is what those work on, and no wall would stand.
JUDGED = [(machine, unit) for machine, unit in ALL if unit in EXPOSURE]


@pytest.fixture(scope="module")
def units(nixpkgs):
    return golden_units.rendered()


@pytest.fixture(scope="module")
def analyze():
    """This machine's systemd-analyze, if it can judge a unit file that is not installed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on this machine (Debian: apt install systemd)")
    version = int(
        subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    )
    if version < 252:
        pytest.skip(f"systemd-analyze of systemd {version} cannot judge unit files offline as 252 can")
    return program


@pytest.mark.parametrize(("machine", "unit"), ALL)
def test_a_unit_is_as_reviewed(units, machine, unit):
    kept = golden_units.FOLDER / machine / unit
    assert kept.is_file(), (
        f"{kept} is missing: run python tests/nix/golden_units.py and review what it writes"
    )
    assert golden_units.normalised(units[machine, unit]) == kept.read_text(), (
        "the unit has changed. If that is meant, run python tests/nix/golden_units.py and review what it writes"
    )


def test_nothing_is_kept_that_is_not_rendered():
    kept = {(path.parent.name, path.name) for path in golden_units.FOLDER.rglob("*") if path.is_file()}
    assert kept == set(ALL)


@pytest.mark.parametrize(
    ("machine", "manager"),
    [*((machine, "--system") for machine in golden_units.UNITS), ("scanner", "--user")],
)
def test_systemd_understands_them(units, analyze, machine, manager, tmp_path):
    paths = []
    for unit in golden_units.UNITS[machine]:
        if (unit in golden_units.USER) != (manager == "--user"):
            continue
        text = units[machine, unit]
        # Programs in the store are not here; stand-ins are, so that everything else about them is looked at.
        for program in re.findall(r'^Exec(?:StartPre|Start|StopPost|Stop)="?([^" \n]+)', text, re.MULTILINE):
            stand_in = tmp_path / program.lstrip("/")
            stand_in.parent.mkdir(parents=True, exist_ok=True)
            stand_in.write_text("#!/bin/sh\n")
            stand_in.chmod(0o755)
        paths.append(tmp_path / unit)
        paths[-1].write_text(text.replace("/nix/store/", f"{tmp_path}/nix/store/"))
    # The manager of a session wants a folder of the session's.
    (tmp_path / "session").mkdir(mode=0o700)
    done = subprocess.run(
        [analyze, "verify", manager, "--man=no", "--recursive-errors=no", *map(str, paths)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "session")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(("machine", "unit"), JUDGED)
def test_a_service_is_closed(units, analyze, machine, unit, tmp_path, capsys):
    file = tmp_path / unit
    file.write_text(units[machine, unit])
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)[1])
    with capsys.disabled():
        print(f"\n  {machine:10} {unit:30} exposure {exposure}")
    opened = "\n".join(line for line in done.stdout.splitlines() if line.startswith("✗"))
    assert exposure <= EXPOSURE[unit], opened


def properties(text):
    found = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("machine", golden_units.UNITS)
def test_safety_needs_no_network_and_nobody_else(units, machine):
    unit = properties(units[machine, "nixel-safety.service"])
    assert unit["PrivateNetwork"] == ["true"]
    assert unit["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["Type"] == ["notify"]
    assert unit["WatchdogSec"]
    assert int(unit["LimitRTPRIO"][0]) >= 10
    assert not {"Requires", "BindsTo", "Requisite", "PartOf"} & set(unit)


@pytest.mark.parametrize("machine", golden_units.UNITS)
def test_imaging_depends_on_safety_and_never_controls_it(units, machine):
    unit = properties(units[machine, "nixel-imaging.service"])
    assert "nixel-safety.service" in unit["Wants"][0].split()
    assert "nixel-safety.service" in unit["After"][0].split()
    for binding in ("Requires", "BindsTo", "Requisite", "PartOf", "PropagatesStopTo", "Conflicts"):
        assert "nixel-safety.service" not in " ".join(unit.get(binding, []))


def test_only_named_devices_are_allowed(units):
    scanner = properties(units["scanner", "nixel-safety.service"])
    assert scanner["DevicePolicy"] == ["closed"]
    assert scanner["DeviceAllow"] == ["char-ttyUSB rw"]
    for machine in ("microscope", "demo-vm"):
        assert properties(units[machine, "nixel-safety.service"])["PrivateDevices"] == ["true"]


def test_what_imaging_may_reach(units):
    assert properties(units["scanner", "nixel-imaging.service"])["IPAddressAllow"] == ["10.10.0.2"]
    assert properties(units["demo-vm", "nixel-imaging.service"])["IPAddressAllow"] == ["localhost"]
    microscope = properties(units["microscope", "nixel-imaging.service"])
    assert microscope["PrivateNetwork"] == ["true"]
    assert "IPAddressAllow" not in microscope
