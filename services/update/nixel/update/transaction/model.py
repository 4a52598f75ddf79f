"""What a transaction is: its stages, what may happen in them, and how it may end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# It names files.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


class Stage(StrEnum):
    """How far a transaction is; each is recorded before anything of it is done."""

    COPYING = "copying"
    TRYING = "trying"
    CHECKING = "checking"
    CONFIRMING = "confirming"
    KEEPING = "keeping"
    REVERTING = "reverting"
    RESTARTING = "restarting"
    DONE = "done"


class Verdict(StrEnum):
    """How an update ended.

    KEPT: the new system is the boot default. REVERTED: it was tried, and the machine is back where it was. REFUSED:
    it was not begun. FAILED: nothing was changed. NOTHING: there was nothing to do. STUCK: a person has to help.
    """

    KEPT = "kept"
    REVERTED = "reverted"
    REFUSED = "refused"
    FAILED = "failed"
    NOTHING = "nothing"
    STUCK = "stuck"


class Kind(StrEnum):
    """What was asked for: a system that comes from elsewhere, or one that this machine had before."""

    INSTALL = "install"
    ROLLBACK = "rollback"


class Via(StrEnum):
    """On which way a system came."""

    STICK = "stick"
    SSH = "ssh"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a system came from.

    Attributes
    ----------
    via
        On which way.
    label
        Which stick or which host, for a person; empty if it has no name.
    who
        The account that asked for it.
    """

    via: Via
    label: str
    who: str


@dataclass(frozen=True, slots=True)
class Side:
    """The old or the new system, as far as words need it.

    Attributes
    ----------
    path
        Its store path.
    version
        What it calls itself; empty if it does not say.
    revision
        The revision of its source; empty if that is not known.
    date
        When its source was committed, in s since 1970; `None` if that is not known.
    """

    path: str
    version: str = ""
    revision: str = ""
    date: int | None = None

    def __str__(self) -> str:
        return f"{self.version} ({self.path})" if self.version else self.path


@dataclass(frozen=True, slots=True)
class Moment:
    """A time on a machine whose clock may be wrong.

    Attributes
    ----------
    wall
        What the clock said, in s since 1970.
    boottime
        Time since the machine's start, in s; it goes on whatever happens to the clock.
    boot_id
        Which start that was.
    """

    wall: float
    boottime: float
    boot_id: str

    def until(self, later: Moment) -> float:
        """Give the time between two moments.

        Parameters
        ----------
        later
            The other moment.

        Returns
        -------
        float
            In s: within one start of the machine exact, over a restart by the clock and never below 0.
        """
        if self.boot_id == later.boot_id:
            return later.boottime - self.boottime
        return max(0.0, later.wall - self.wall)


@dataclass(frozen=True, slots=True)
class Passed:
    """A stage, and when it was entered (or entered again after an interruption)."""

    stage: Stage
    at: Moment


@dataclass(frozen=True, slots=True)
class Check:
    """What one health check found.

    Attributes
    ----------
    name
        Which check.
    passed
        Whether it is good.
    words
        What it found, for a person.
    seconds
        How long it took.
    """

    name: str
    passed: bool
    words: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Transaction:
    """One attempt to put another system on this machine.

    Attributes
    ----------
    id
        Its name, unique on this machine.
    kind
        What was asked for.
    source
        Where the system came from.
    old, new
        What ran when it began, and what is to run.
    default_before
        Store path of what the next start brought when it began; nearly always the old system.
    asks_confirmation
        Whether somebody must come back and confirm after the health check (a deployer over the network).
    stages
        Every stage that was entered, in order; the last is the one it is in.
    before
        What the old system's health said before the switch; `None` if that is not known.
    checks
        What the new system's health check found; empty until then.
    why
        Sentences for a person: what went wrong, what was noticed.
    verdict
        How it ended; `None` until it is done.
    restarts
        How often the machine was restarted to bring the old system back.
    """

    id: str
    kind: Kind
    source: Source
    old: Side
    new: Side
    default_before: str
    asks_confirmation: bool
    stages: tuple[Passed, ...]
    before: dict[str, Any] | None = None
    checks: tuple[Check, ...] = ()
    why: tuple[str, ...] = ()
    verdict: Verdict | None = None
    restarts: int = 0

    @property
    def stage(self) -> Stage:
        """The stage it is in."""
        return self.stages[-1].stage

    @property
    def began(self) -> Moment:
        """When it began."""
        return self.stages[0].at

    @property
    def boot_id(self) -> str:
        """In which start of the machine it was last worked on."""
        return self.stages[-1].at.boot_id

    @property
    def keeping_began(self) -> bool:
        """Whether the boot default may have been changed."""
        return any(passed.stage is Stage.KEEPING for passed in self.stages)


# --- events: what may happen in a stage ---


@dataclass(frozen=True, slots=True)
class Copied:
    """The new system is in the store, and what the old one looked like is known (or why it is not)."""

    before: dict[str, Any] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CopyFailed:
    """The new system is not, or not wholly, in the store."""

    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Switched:
    """The new system runs; `complaints` are those of the switch that the health check is to judge."""

    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SwitchFailed:
    """The new system does not run, or runs in part."""

    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Healthy:
    """Every health check passed."""

    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """A health check did not pass, or could not be made."""

    why: tuple[str, ...]
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Somebody came back and confirmed; `by` says who."""

    by: str


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Nobody did in time, or somebody came back and said no."""

    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """The new system is the boot default."""


@dataclass(frozen=True, slots=True)
class KeepFailed:
    """It could not be made the boot default, or only in part."""

    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reverted:
    """The old system runs, and the boot default is what it was."""

    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RevertFailed:
    """The old system could not be brought back; while restarting: the machine did not take the restart."""

    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """The program had died and runs again; whether the machine was restarted shows by the moment's start.

    `running` and `default` are the store paths found now, `None` where that cannot be told.
    """

    running: str | None
    default: str | None


Event = (
    Copied
    | CopyFailed
    | Switched
    | SwitchFailed
    | Healthy
    | Unhealthy
    | Confirmed
    | Unconfirmed
    | Kept
    | KeepFailed
    | Reverted
    | RevertFailed
    | Resumed
)
