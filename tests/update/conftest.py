"""The machines of the deployment tests: a lab a session, a target a test.

A case is written so (`Lab`, `Machine` and systems.py say what else there is):

    def test_a_system_that_fails_its_check_is_taken_back(lab, target):
        old = systems.build(lab, "alpha", "1.0", date=1000)
        new = systems.build(lab, "alpha", "1.1", date=2000, packages={"imaging": "1.1"})
        machine = target("alpha", system=old)            # a fresh disk with that system, booted; about 0.7 s
        systems.order(machine, "check", "1.1", "fail")   # what the new system's health check will do

        done = lab.developer.attempt(f"/opt/nixel/deploy.sh push alpha=root@{machine.address} --system alpha={new}")

        assert done.returncode == 1, done.stderr
        assert systems.standing(machine) == systems.Standing(old, old, old, old)
        assert systems.Call("test", "1.1", 0) in systems.calls(machine)

To hit a moment: order "hang", start the command with `begin`, `systems.wait_for_call`, then do what is to happen
(`machine.power_cut()` and `boot()`, `machine.cut()` and `rejoin()`, `machine.pull(stick)`, `machine.limit_disk(...)`).
A stick is a folder: `lab.stick("usb")` makes it, /lab/sticks/usb is it on the developer's machine, and
`machine.plug("usb")` puts it at /media/usb; what `lab.stick` returns is the same folder for the test to spoil.
"""

import lab as the_lab
import nix_tools
import pushing
import pytest
import systems


@pytest.fixture(scope="session")
def lab():
    """The lab, with its developer's machine."""
    _, reason = the_lab.containers()
    if reason:
        pytest.skip(f"deployment on test machines: {reason}")
    with the_lab.Lab() as running:
        yield running


@pytest.fixture
def target(lab):
    """`lab.start`, for machines that go with the test."""
    made = []

    def start(name, *arguments, **more):
        made.append(lab.start(name, *arguments, **more))
        return made[-1]

    yield start
    for machine in made:
        lab.remove(machine)


@pytest.fixture(scope="session")
def old(lab):
    """A system of the host alpha."""
    return systems.build(lab, "alpha", "1.0", 1000)


@pytest.fixture(scope="session")
def new(lab):
    """The one after it."""
    return systems.build(lab, "alpha", "1.1", 2000, packages={"imaging": "1.1", "safety": "1.0"})


@pytest.fixture(scope="session")
def deployer(lab):
    """What the cases of deploy.sh need on the developer's machine."""
    pushing.prepare(lab)


@pytest.fixture(scope="session")
def nix():
    """Nix itself, without nixpkgs."""
    reason = nix_tools.why_no_nix()
    if reason:
        pytest.skip(f"Nix: {reason}")
    return nix_tools
