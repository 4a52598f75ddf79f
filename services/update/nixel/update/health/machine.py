"""The machine itself: its devices, its units, its disks, its clock. Never whether a cable is plugged in."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from nixel.update.health.model import PATIENCE, Facts, Finding

_FEW = 5
_YEAR = 365.25 * 86400
# A clock that is further ahead of its own system than an instrument lasts is not right.
_MOST_YEARS = 20
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Devices:
    """The check of kind `devices`: those that were there before are there again.

    Attributes
    ----------
    paths
        Device nodes, or links to them.
    """

    paths: tuple[str, ...]

    def snapshot(self) -> Facts:
        """Note which are there."""
        return {"there": [path for path in self.paths if Path(path).exists()]}

    def look(self, before: Facts | None, patience: float) -> Finding:  # noqa: ARG002 (answers at once)
        """See whether those are there."""
        noted = before.get("there") if before else None
        there = [path for path in self.paths if Path(path).exists()]
        if not isinstance(noted, list):
            return Finding(
                True,
                f"What was there before is not known; {len(there)} of {len(self.paths)} devices are there now.",
            )
        gone = [path for path in self.paths if path in noted and path not in there]
        if gone:
            return Finding(
                False,
                f"{_listed(gone)} was there before the update and is not now. See that it is plugged in and "
                "switched on; dmesg says what the kernel thinks of it.",
            )
        return Finding(True, f"All of the {len(noted)} devices that were there before are there.")


@dataclass(frozen=True, slots=True)
class Units:
    """The check of kind `units`: none has failed that had not before.

    Attributes
    ----------
    ignored
        Patterns of units that do not count, such as those that wait for a network.
    """

    ignored: tuple[str, ...]

    def snapshot(self) -> Facts:
        """Note which have failed."""
        try:
            return {"failed": sorted(failed_units(PATIENCE))}
        except OSError as error:
            return {"unknown": str(error)}

    def look(self, before: Facts | None, patience: float) -> Finding:
        """See which have failed since."""
        try:
            failed = failed_units(min(patience, PATIENCE))
        except OSError as error:
            return Finding(
                False, f"systemd does not say which units have failed: {error}. Try: systemctl status."
            )
        noted = before.get("failed") if before else None
        old = set(map(str, noted)) if isinstance(noted, list) else set()
        new = {
            name: words
            for name, words in failed.items()
            if name not in old and not any(fnmatchcase(name, pattern) for pattern in self.ignored)
        }
        if new:
            named = _listed([f"{name} ({words})" for name, words in sorted(new.items())])
            return Finding(
                False,
                f"Failed since the update: {named}. Look: journalctl --boot --unit {min(new)} --lines 50.",
            )
        return Finding(True, "No unit has failed that had not failed before.")


def failed_units(patience: float) -> dict[str, str]:
    """Ask systemd for the units that have failed.

    Parameters
    ----------
    patience
        How long it may take to answer, in s.

    Returns
    -------
    dict of str to str
        Their descriptions by their names.

    Raises
    ------
    OSError
        If it gives no answer.
    """
    command = ["systemctl", "list-units", "--all", "--state=failed", "--output=json", "--no-pager"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"systemctl did not answer within {patience:.1f} s") from error
    if done.returncode != 0:
        raise OSError(done.stderr.strip() or f"systemctl ended with {done.returncode}")
    try:
        return {str(each["unit"]): str(each["description"]) for each in json.loads(done.stdout)}
    except (ValueError, TypeError, KeyError) as error:
        raise OSError("systemctl did not answer with a list of units in JSON") from error


@dataclass(frozen=True, slots=True)
class Disk:
    """The check of kind `disk`: it takes data, and there is room for it.

    Attributes
    ----------
    path
        A folder on it.
    free
        How much has to be free, in bytes.
    writable
        Whether it must not be mounted read-only, as a file system is after an error.
    """

    path: str
    free: int
    writable: bool

    def snapshot(self) -> Facts:
        """Nothing: it has to have room whatever it had before."""
        return {}

    def look(self, before: Facts | None, patience: float) -> Finding:  # noqa: ARG002 (answers at once)
        """Ask the file system."""
        try:
            found = os.statvfs(self.path)
        except OSError as error:
            return Finding(
                False,
                f"{self.path} cannot be looked at ({error.strerror}). See whether its disk is mounted: findmnt.",
            )
        if self.writable and found.f_flag & os.ST_RDONLY:
            return Finding(
                False,
                f"{self.path} is mounted read-only and has to be writable; a file system becomes so after an error. "
                "Look at dmesg, and have the disk checked.",
            )
        free = found.f_bavail * found.f_frsize
        room = f"{free / _MIB:.0f} MiB free"
        if free < self.free:
            return Finding(
                False,
                f"{self.path} has {room}, and {self.free / _MIB:.0f} MiB were expected. Make room on it.",
            )
        return Finding(True, f"{self.path} has {room}.")


@dataclass(frozen=True, slots=True)
class Clock:
    """The check of kind `clock`: it is not before its own system, nor absurdly long after.

    Attributes
    ----------
    not_before
        The date of the system, in s since 1970 (UTC).
    """

    not_before: int

    def snapshot(self) -> Facts:
        """Nothing: it has to be right whatever it was before."""
        return {}

    def look(self, before: Facts | None, patience: float) -> Finding:  # noqa: ARG002 (answers at once)
        """Look at the clock."""
        return judge_clock(time.time(), self.not_before)


def judge_clock(now: float, not_before: int) -> Finding:
    """Say whether a clock can be right.

    Parameters
    ----------
    now
        What it says, in s since 1970 (UTC).
    not_before
        The date of the system, in the same.

    Returns
    -------
    Finding
        Good if it is not before that date and not more than 20 years after it.
    """
    says = f"The clock says {_date(now)}"
    what_to_do = "Set it: sudo date --utc --set '2030-12-31 13:45', with the time of now."
    if now < not_before:
        return Finding(
            False, f"{says}, which is before this system was made ({_date(not_before)}). {what_to_do}"
        )
    if now > not_before + _MOST_YEARS * _YEAR:
        made = _date(not_before)
        return Finding(
            False, f"{says}, more than {_MOST_YEARS} years after this system was made ({made}). {what_to_do}"
        )
    return Finding(True, f"{says}, which can be right.")


def _date(seconds: float) -> str:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)).strftime(
        "%Y-%m-%d %H:%M UTC"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
