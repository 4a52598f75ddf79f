"""What made a picture: the whole running system, the software, the inputs and the parameters."""

import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

DISTRIBUTIONS = ("acquisition", "imaging", "physics", "reconstruction", "safety")
LOCKS = ("flake.lock", "requirements/runtime.lock")


def canonical_json(record: Mapping[str, Any]) -> str:
    """One text for one record: sorted keys, no spaces, no NaN; what is hashed and kept in files."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _checkout() -> Path | None:
    """The checkout that this code runs from, if it does."""
    root = Path(__file__).resolve().parents[4]
    return root if (root / "requirements" / "runtime.lock").is_file() else None


def running_system(root: Path = Path("/")) -> dict[str, Any]:
    """Identify the whole running system.

    On NixOS that is the store path of /run/current-system. Elsewhere the hashes of the lock files stand in, or,
    installed without a checkout, the versions of all installed distributions; the record says which.

    Parameters
    ----------
    root : Path
        The file system's root.
    """
    current = root / "run/current-system"
    if current.exists():
        return {"store_path": str(current.resolve())}
    checkout = _checkout()
    if checkout is not None:
        locks = {
            name: hashlib.sha256((checkout / name).read_bytes()).hexdigest()
            for name in LOCKS
            if (checkout / name).is_file()
        }
        return {
            "store_path": None,
            "note": "this machine does not run NixOS: the hashes of the lock files stand in for the system",
            "locks": locks,
        }
    installed = sorted(f"{name}=={version}" for name, version in _installed().items())
    return {
        "store_path": None,
        "note": "this machine does not run NixOS: the hash of the installed versions stands in for the system",
        "installed_sha256": hashlib.sha256("\n".join(installed).encode()).hexdigest(),
    }


def _installed() -> dict[str, str]:
    """Name and version of every distribution that an import can reach.

    A name may be found more than once, for instance where a folder on the path holds a build's leftovers beside the
    installed distribution. The first is the one that is imported: only it counts, or two processes of one machine
    would tell of different software.
    """
    found: dict[str, str] = {}
    for distribution in distributions():
        # An installation that was broken off leaves a folder without metadata. Depending on who looks, the standard
        # library or the package that stands in for a newer one of it, they are empty or an error.
        try:
            metadata = distribution.metadata
        except FileNotFoundError:
            continue
        if "Name" in metadata:
            found.setdefault(re.sub(r"[-_.]+", "-", metadata["Name"]).lower(), distribution.version)
    return found


def _revision() -> str | None:
    """The checkout's commit, marked when the tree differs from it; None without a checkout or git."""
    checkout = _checkout()
    if checkout is None:
        return None
    git = ("git", "-C", str(checkout))
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        )
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() + ("+changed" if status.stdout.strip() else "")


@cache
def software() -> dict[str, Any]:
    """The programs that compute: our revision and version, Python, the numerical libraries, the architecture.

    Found out once a process: it is the code that runs now, not what the checkout may turn into later.
    """
    versions: dict[str, str | None] = {}
    for name in (*(f"nixel-{d}" for d in DISTRIBUTIONS), "numpy", "scipy", "h5py"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "revision": _revision(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
    }


def record(
    *,
    kind: str,
    inputs: Mapping[str, str],
    parameters: Mapping[str, Any],
    seed: int | None,
    instrument: Mapping[str, Any],
    simulated: bool,
) -> dict[str, Any]:
    """Everything that is needed to make a dataset or picture again.

    Parameters
    ----------
    kind : str
        "measurement", "calibration" or "picture".
    inputs : mapping of str
        Role to content hash (SHA-256, hexadecimal).
    parameters : mapping
        All of them, defaults too.
    seed : int or None
        Of what is random; None where nothing is.
    instrument : mapping
        Name and fingerprint.
    simulated : bool
        Whether any of it comes from a simulated device.
    """
    return {
        "kind": kind,
        "inputs": dict(inputs),
        "parameters": dict(parameters),
        "seed": seed,
        "instrument": dict(instrument),
        "simulated": simulated,
        "software": software(),
        "system": running_system(),
    }
