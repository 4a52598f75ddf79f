"""The flake as text and as Nix sees it without nixpkgs: its pins, its size, its outputs' names."""

import json
import re

import nix_tools
import pytest

LOCK = json.loads((nix_tools.ROOT / "flake.lock").read_text())


def test_every_input_is_pinned():
    for name, node in LOCK["nodes"].items():
        if name != "root":
            assert re.fullmatch(r"[0-9a-f]{40}", node["locked"]["rev"]), name
            assert node["locked"]["narHash"].startswith("sha256-"), name


def test_the_other_inputs_follow_our_nixpkgs():
    assert set(LOCK["nodes"]) == {"root", "nixpkgs", "nixos-hardware", "disko"}
    for name in ("nixos-hardware", "disko"):
        assert LOCK["nodes"][name]["inputs"] == {"nixpkgs": ["nixpkgs"]}


def test_the_flake_fits_on_two_screens():
    assert len((nix_tools.ROOT / "flake.nix").read_text().splitlines()) < 80


def test_the_hardware_tree_is_the_locked_one(nixpkgs):
    # Where a tree stands in offline, its hash says whether it is what the lock names.
    path = nixpkgs.in_store("nixos-hardware")
    found = nixpkgs.run("nix", "hash", "path", path).strip()
    assert found == LOCK["nodes"]["nixos-hardware"]["locked"]["narHash"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_flake_is_checked_in_one_command(nixpkgs):
    # Every output of both platforms is evaluated to its derivation, without an import from one and without impurity;
    # nothing is built, and no machine of a check is run. Where the nixpkgs tree lacks the Haskell packages, the
    # formatter is shown to be a derivation of some nixfmt and not of nixpkgs' own, and only it.
    overrides = nixpkgs.overrides(completed=not nixpkgs.is_complete())
    # A check that builds nothing writes nothing to the store either, not even the file that completes a tree.
    nixpkgs.run(
        "nix", "eval", "--raw", f"git+file://{nix_tools.ROOT}#formatter.x86_64-linux.name", *overrides
    )
    nixpkgs.run(
        # Two minutes and 10.5 GiB; a checkout that needs far more no longer fits a developer's machine.
        *("env", "GC_MAXIMUM_HEAP_SIZE=14G"),
        *("nix", "flake", "check", f"git+file://{nix_tools.ROOT}", "--no-build", "--all-systems"),
        *("--option", "allow-import-from-derivation", "false"),
        *overrides,
        timeout=1100,
    )
