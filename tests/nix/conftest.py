"""Which of the Nix tiers can run here; what cannot is skipped with the reason, which the run repeats."""

import native_build
import nix_tools
import pytest


@pytest.fixture(scope="session")
def nix():
    """Nix itself, without nixpkgs."""
    reason = nix_tools.why_no_nix()
    if reason:
        pytest.skip(f"Nix: {reason}")
    return nix_tools


@pytest.fixture(scope="session")
def nixpkgs(nix):
    """Nix with a tree for every input of the flake."""
    for name in nix_tools.TREES:
        if nix_tools.tree(name) is None:
            pytest.skip(f"Nix with nixpkgs: {nix_tools.why_no_tree(name)}")
    return nix_tools


@pytest.fixture(scope="session")
def native(nixpkgs):
    """Builds for real, with this machine's own tools."""
    *_, reason = native_build.prepare()
    if reason:
        pytest.skip(f"Nix, packages built for real: {reason}")
    return native_build
