"""What cannot run here is skipped with its reason, which the run repeats at its end."""

import nix_tools
import pytest


@pytest.fixture(scope="session")
def nix():
    """Nix itself, without nixpkgs."""
    reason = nix_tools.why_no_nix()
    if reason:
        pytest.skip(f"Nix: {reason}")
    return nix_tools
