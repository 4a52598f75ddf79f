"""What the rendered units keep a program from, looked at in the running services and from behind the same walls."""

import pytest
from instrument import IMAGING, SAFETY, SCANNER

# The first time everything is built.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SERVICES = (SAFETY, IMAGING, SCANNER)
ROOT = ("nixel-provision.service", "nixel-provision-activate.service", "nixel-update-offer@.service")
PSEUDO = {
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
    "ptmx",
    "pts",
    "shm",
    "mqueue",
    "hugepages",
    "log",
}
PSEUDO |= {"char", "core", "fd", "stdin", "stdout", "stderr"}
# Where a unit may write that has no folder of its own there.
ALSO = {
    "nixel-provision.service": {"/boot", "/var/lib/nixel-provision"},
    "nixel-update-offer@.service": {"/run/nixel-update"},
}
# What a unit is there to do.
DOES = {"nixel-provision-activate.service": {"host name"}}


@pytest.fixture(scope="module")
def free(instrument):
    """What root finds without any walls, so that a refusal says something about the walls."""
    instrument.machine.run(f"systemctl start {IMAGING}")
    return instrument.do("walls")


@pytest.fixture(scope="module")
def walls(instrument):
    """What each unit's user finds behind its walls."""
    return {unit: instrument.inside(unit) for unit in (*SERVICES, *ROOT)}


def test_without_walls_there_is_much(free):
    assert {place: error for place, error in free["write"].items() if error} == {}
    assert {name: error for name, error in free["connect"].items() if error} == {}
    assert len(free["processes"]) > 2
    # A container's root may not do these two either.
    assert {name for name, error in free["do"].items() if error} <= {"kernel log", "clock"}


@pytest.mark.parametrize("unit", SERVICES)
def test_a_running_service_has_no_rights_and_a_world_of_its_own(instrument, unit):
    instrument.machine.run(f"systemctl start {unit}")
    lines = instrument.process(unit, "status").splitlines()
    status = dict(line.split(":\t") for line in lines if ":\t" in line)
    rights = {name: int(value, 16) for name, value in status.items() if name.startswith("Cap")}
    assert rights == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    asked = {"ipc": "PrivateIPC", "net": "PrivateNetwork", "user": "PrivateUsers"}
    other = {"mnt"} | {name for name, line in asked.items() if f"{line}=true" in instrument.units[unit]}
    process = instrument.show(unit, "MainPID")
    for name in ("mnt", *asked):
        links = instrument.machine.run(f"readlink /proc/1/ns/{name} /proc/{process}/ns/{name}").split()
        assert (links[0] != links[1]) == (name in other), name


@pytest.mark.parametrize("unit", [*SERVICES, *ROOT])
def test_it_writes_to_its_own_folders_alone(walls, unit):
    found = walls[unit]
    assert found["own"] in (None, "none")
    assert {place for place, error in found["write"].items() if error is None} == ALSO.get(unit, set())
    assert found["temporary"] == []
    assert found["home"] == "EACCES"


@pytest.mark.parametrize("unit", [*SERVICES, *ROOT])
def test_it_reaches_nobody_elsewhere(instrument, walls, unit):
    found = walls[unit]
    assert found["connect"]["elsewhere"]
    assert found["connect"]["packet"] == found["connect"]["netlink"] == "EAFNOSUPPORT"
    if "PrivateNetwork=true" in instrument.units[unit]:
        assert found["connect"]["itself"] == "EAFNOSUPPORT"
        assert found["interfaces"] == ["lo"]
    else:
        # Its wires end at this machine.
        assert found["connect"]["itself"] is None


@pytest.mark.parametrize("unit", [*SERVICES, *ROOT])
def test_it_sees_no_devices_but_pseudo_ones(walls, unit):
    assert set(walls[unit]["devices"]) <= PSEUDO


@pytest.mark.parametrize("unit", SERVICES)
def test_it_sees_no_processes_of_others(walls, unit):
    # The kernel hides none from the group root, so that ProtectProc= does nothing for units that run as root.
    assert walls[unit]["processes"] == [walls[unit]["user"]]


@pytest.mark.parametrize("unit", [*SERVICES, *ROOT])
def test_it_does_nothing_that_it_is_not_for(walls, unit):
    assert {name for name, error in walls[unit]["do"].items() if error is None} == DOES.get(unit, set())
