"""A machine with the simulated instrument's units on it; what cannot be had here is skipped with its reason."""

import lab as the_lab
import native_build
import nix_tools
import pytest
from instrument import Instrument

WHAT = "the instrument's units under a real systemd"


@pytest.fixture(scope="session")
def lab():
    reason = nix_tools.why_no_nix() or (
        nix_tools.tree("nixpkgs") is None and nix_tools.why_no_tree("nixpkgs")
    )
    reason = reason or native_build.prepare()[-1] or the_lab.containers()[1]
    if reason:
        pytest.skip(f"{WHAT}: {reason}")
    with the_lab.Lab() as running:
        yield running


@pytest.fixture(scope="session")
def bare(lab):
    """A machine with the units, before their first start."""
    return lambda name, **how: Instrument(lab, lab.start(name, binds=[], **how))


@pytest.fixture(scope="session")
def instrument(bare, pytestconfig):
    """The instrument, started with its machine and up."""
    made = bare("instrument")
    made.machine.reboot()
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for line in made.missing():
            print(f"\n  not tried on this machine: {line}", end="")
        print()
    return made
