"""Programs as transient units of systemd.

They outlive the connection that asked for them, and all of their processes end together.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# What a unit has beyond its time for being told, asked to end and killed.
_MARGIN_S = 40
_STOP_S = 10


class UnitError(Exception):
    """A unit that could not be started, with systemd's words."""


def start(name: str, argv: Sequence[str], properties: Mapping[str, str], words: str) -> None:
    """Start a program as a service and do not wait for its end.

    Parameters
    ----------
    name
        The unit's name, without `.service`.
    argv
        Program and arguments.
    properties
        Further settings of the unit.
    words
        What it is, for a person who lists units.

    Raises
    ------
    UnitError
        If systemd does not start it; one of that name may be running.
    """
    done = subprocess.run(
        [*_asked(name, properties), f"--description={words}", *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnitError(f"systemd-run {name}: {done.stderr.strip()}")


def run(name: str, argv: Sequence[str], *, within: float, log: Path) -> int | None:
    """Run a program as a service and wait for its end.

    A program that takes longer is killed with everything that it started.

    Parameters
    ----------
    name
        The unit's name, without `.service`.
    argv
        Program and arguments.
    within
        How long it may take, in s.
    log
        What it prints is appended there.

    Returns
    -------
    int or None
        Its exit status; `None` if it was cut off.

    Raises
    ------
    UnitError
        If systemd does not start it.
    """
    properties = {
        "RuntimeMaxSec": f"{within:g}",
        "TimeoutStopSec": f"{_STOP_S}",
        "StandardOutput": f"append:{log}",
        "StandardError": f"append:{log}",
    }
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*_asked(name, properties), "--wait", *argv],
            capture_output=True,
            text=True,
            check=False,
            timeout=within + _MARGIN_S,
        )
    except subprocess.TimeoutExpired:
        stop(name)
        return None
    if done.returncode != 0 and time.monotonic() - began >= within:
        return None
    if done.returncode != 0 and "Failed to start transient" in done.stderr:
        raise UnitError(f"systemd-run {name}: {done.stderr.strip()}")
    return done.returncode


def stop(name: str) -> None:
    """Stop a service with everything that it started, if there is one of that name.

    Parameters
    ----------
    name
        The unit's name, without `.service`.
    """
    subprocess.run(["systemctl", "stop", f"{name}.service"], capture_output=True, check=False)


def active(name: str) -> bool:
    """Say whether a service runs or is about to.

    Parameters
    ----------
    name
        The unit's name, without `.service`.

    Returns
    -------
    bool
        Whether it does.
    """
    asked = ["systemctl", "show", "--property=ActiveState,SubState", f"{name}.service"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    # One that is kept for done (RemainAfterExit) has nothing running.
    works = found.get("ActiveState") in ("active", "activating", "reloading", "deactivating")
    return works and found.get("SubState") != "exited"


def _asked(name: str, properties: Mapping[str, str]) -> list[str]:
    settings = [f"--property={key}={value}" for key, value in properties.items()]
    passed = [f"--setenv={key}={os.environ[key]}" for key in ("PATH", "PYTHONPATH") if os.environ.get(key)]
    return [
        "systemd-run", f"--unit={name}", "--quiet", "--collect", "--no-ask-password", "--service-type=exec",
        *settings, *passed,
    ]  # fmt: skip
