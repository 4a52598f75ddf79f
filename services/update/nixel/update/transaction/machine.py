"""The decisions of a transaction, without any effect: what follows from what happened, and what is to be done next.

What it holds to, whatever happens and however often the program or the machine dies:

- the boot default is touched only in KEEPING, and in REVERTING after that to put it back; so before KEEPING a restart
  brings what it would have brought without the update;
- KEEPING is entered only by a system that is healthy and, where that was asked for, confirmed;
- once entered, KEEPING is left only by its own outcome: an interruption takes no decision back;
- the machine is restarted by itself at most once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nixel.update.transaction.model import (
    ID,
    Confirmed,
    Copied,
    CopyFailed,
    Healthy,
    KeepFailed,
    Kept,
    Kind,
    Passed,
    Resumed,
    Reverted,
    RevertFailed,
    Stage,
    Switched,
    SwitchFailed,
    Transaction,
    Unconfirmed,
    Unhealthy,
    Verdict,
)

if TYPE_CHECKING:
    from nixel.update.transaction.model import Event, Moment, Side, Source

_DOING = {
    Stage.COPYING: "the new system was being made ready",
    Stage.TRYING: "the new system was being started on trial",
    Stage.CHECKING: "the new system was being checked",
    Stage.CONFIRMING: "a confirmation was being waited for",
    Stage.KEEPING: "the new system was being made the boot default",
    Stage.REVERTING: "the old system was being brought back",
    Stage.RESTARTING: "the machine was being restarted",
}
# What each failure is called; its own sentences follow.
_FAILED = {
    Stage.COPYING: "The new system could not be made ready.",
    Stage.TRYING: "The switch to the new system failed.",
    Stage.CHECKING: "The new system did not pass its health check.",
    Stage.CONFIRMING: "The new system was not confirmed.",
    Stage.KEEPING: "The new system could not be made the boot default.",
    Stage.REVERTING: "The way back to the old system failed.",
    Stage.RESTARTING: "The machine could not be restarted.",
}
_UNCHANGED = "Nothing was changed: this machine runs as before."
_AGAIN = "Try again; what was copied already is not copied twice."


class Impossible(Exception):  # noqa: N818 (a state of affairs, and not one that a caller handles)
    """An event that cannot come in that stage: the program that drives the machine is wrong."""


# --- what is to be done in a stage ---


@dataclass(frozen=True, slots=True)
class Prepare:
    """Have the new system in the store (`copies`: it comes from elsewhere), and note how the old one is."""

    new: str
    old: str
    copies: bool


@dataclass(frozen=True, slots=True)
class Try:
    """Switch to a system without making it the boot default."""

    system: str


@dataclass(frozen=True, slots=True)
class Examine:
    """Run a system's health check."""

    system: str


@dataclass(frozen=True, slots=True)
class AwaitConfirmation:
    """Wait for somebody to come back and confirm."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Make a system the boot default."""

    system: str


@dataclass(frozen=True, slots=True)
class Revert:
    """Put the boot default back (`default`; `None`: it was not touched), then switch back to a system."""

    system: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart the machine."""


Action = Prepare | Try | Examine | AwaitConfirmation | Keep | Revert | Restart


def begin(
    identifier: str,
    kind: Kind,
    source: Source,
    old: Side,
    new: Side,
    default_before: str,
    at: Moment,
    *,
    asks_confirmation: bool,
) -> Transaction:
    """Begin a transaction.

    A system that runs but is not the boot default, or is the boot default but does not run, goes the whole way: it is
    tried, checked and kept like any other.

    Parameters
    ----------
    identifier
        Its name, unique on this machine: letters, digits and hyphens.
    kind, source
        What was asked for, and where the system came from.
    old, new
        What runs, and what is to run.
    default_before
        Store path of what the next start brings.
    at
        When.
    asks_confirmation
        Whether somebody must come back and confirm after the health check.

    Returns
    -------
    Transaction
        In COPYING; or done, with the verdict NOTHING, if the new system runs and is the boot default already.

    Raises
    ------
    ValueError
        If the name is none.
    """
    if not ID.fullmatch(identifier):
        raise ValueError(
            f"{identifier!r} is no name of a transaction: letters, digits and hyphens, 64 at most"
        )
    nothing = new.path == old.path == default_before
    return Transaction(
        id=identifier,
        kind=kind,
        source=source,
        old=old,
        new=new,
        default_before=default_before,
        asks_confirmation=asks_confirmation,
        stages=(Passed(Stage.DONE if nothing else Stage.COPYING, at),),
        why=(f"This machine runs {new} already, and starts with it.",) if nothing else (),
        verdict=Verdict.NOTHING if nothing else None,
    )


def action(transaction: Transaction) -> Action | None:
    """Say what is to be done in the stage that a transaction is in.

    Parameters
    ----------
    transaction
        Which one.

    Returns
    -------
    Action or None
        `None` if it is done.
    """
    match transaction.stage:
        case Stage.COPYING:
            copies = transaction.kind is Kind.INSTALL
            return Prepare(transaction.new.path, transaction.old.path, copies)
        case Stage.TRYING:
            return Try(transaction.new.path)
        case Stage.CHECKING:
            return Examine(transaction.new.path)
        case Stage.CONFIRMING:
            return AwaitConfirmation()
        case Stage.KEEPING:
            return Keep(transaction.new.path)
        case Stage.REVERTING:
            default = transaction.default_before if transaction.keeping_began else None
            return Revert(transaction.old.path, default)
        case Stage.RESTARTING:
            return Restart()
    return None


def step(transaction: Transaction, event: Event, at: Moment) -> Transaction:
    """Decide what follows from an event.

    Parameters
    ----------
    transaction
        As it stands.
    event
        What happened.
    at
        When. If an interruption has another start of the machine behind it, the machine was restarted.

    Returns
    -------
    Transaction
        As it stands now.

    Raises
    ------
    Impossible
        If the event cannot come in that stage.
    """
    if isinstance(event, Resumed):
        return _resume(transaction, event, at)
    failed = _FAILED.get(transaction.stage, "")
    match transaction.stage, event:
        case Stage.COPYING, Copied(before, notes):
            return _enter(replace(transaction, before=before), Stage.TRYING, at, *notes)
        case Stage.COPYING, CopyFailed(why):
            return _end(transaction, Verdict.FAILED, at, failed, *why, *_unchanged(transaction))
        case Stage.TRYING, Switched(complaints):
            return _enter(transaction, Stage.CHECKING, at, *complaints)
        case Stage.TRYING, SwitchFailed(why):
            return _enter(transaction, Stage.REVERTING, at, failed, *why)
        case Stage.CHECKING, Healthy(checks):
            then = Stage.CONFIRMING if transaction.asks_confirmation else Stage.KEEPING
            return _enter(replace(transaction, checks=checks), then, at)
        case Stage.CHECKING, Unhealthy(why, checks):
            return _enter(replace(transaction, checks=checks), Stage.REVERTING, at, failed, *why)
        case Stage.CONFIRMING, Confirmed(by):
            return _enter(transaction, Stage.KEEPING, at, f"Confirmed by {by}.")
        case Stage.CONFIRMING, Unconfirmed(why):
            return _enter(transaction, Stage.REVERTING, at, failed, *why)
        case Stage.KEEPING, Kept():
            return _end(transaction, Verdict.KEPT, at)
        case Stage.KEEPING, KeepFailed(why):
            return _enter(transaction, Stage.REVERTING, at, failed, *why)
        case Stage.REVERTING, Reverted(complaints):
            return _reverted(transaction, at, *complaints, f"The old system, {transaction.old}, runs again.")
        case Stage.REVERTING, RevertFailed(why) if transaction.restarts:
            return _stuck(transaction, at, failed, *why)
        case Stage.REVERTING, RevertFailed(why):
            told = "So the machine is restarted, which brings the system that it starts with."
            again = replace(transaction, restarts=transaction.restarts + 1)
            return _enter(again, Stage.RESTARTING, at, failed, *why, told)
        case Stage.RESTARTING, RevertFailed(why):
            return _stuck(transaction, at, failed, *why)
    raise Impossible(f"{type(event).__name__} cannot come while {transaction.stage}")


# --- after an interruption ---


def _resume(transaction: Transaction, found: Resumed, at: Moment) -> Transaction:
    restarted = at.boot_id != transaction.boot_id
    what = "The machine was restarted" if restarted else "The update was interrupted"
    stage = transaction.stage
    if stage is Stage.DONE:
        return transaction
    told = f"{what} while {_DOING[stage]}."
    if restarted and stage is Stage.RESTARTING:
        told = "The machine was restarted to bring the old system back."
    if stage is Stage.COPYING:
        return _end(transaction, Verdict.FAILED, at, told, *_unchanged(transaction))
    if stage is Stage.KEEPING:
        waits = restarted and found.running != transaction.new.path
        later = f"The new system was good and is kept; it runs from the next restart, until then {found.running} runs."
        return _enter(transaction, Stage.KEEPING, at, told, *((later,) if waits else ()))
    if not restarted:
        then = Stage.RESTARTING if stage is Stage.RESTARTING else Stage.REVERTING
        return _enter(transaction, then, at, told)
    if _in_order(transaction, found):
        return _reverted(transaction, at, told, f"It came up in {_call(transaction, found.running)}.")
    known = (transaction.old.path, transaction.new.path, transaction.default_before)
    if stage is Stage.RESTARTING and found.running not in known:
        return _stuck(transaction, at, told, f"It came up in {_call(transaction, found.running)}.")
    return _enter(transaction, Stage.REVERTING, at, told)


def _in_order(transaction: Transaction, found: Resumed) -> bool:
    """Whether a machine that was restarted is what it would be without the update."""
    was_default = found.running == transaction.default_before != transaction.new.path
    if transaction.keeping_began:
        # The boot default may be put back in part: what the start brought says what the boot loader holds.
        return was_default and found.default == transaction.default_before
    return was_default or found.running == transaction.old.path


def _call(transaction: Transaction, path: str | None) -> str:
    if path is None:
        return "a system that cannot be told"
    for side, name in ((transaction.old, "the old system"), (transaction.new, "the new system")):
        if path == side.path:
            return f"{name}, {side}"
    return f"its boot default, {path}" if path == transaction.default_before else f"another system, {path}"


# --- how it goes on and how it ends ---


def _enter(transaction: Transaction, stage: Stage, at: Moment, *why: str) -> Transaction:
    passed = (*transaction.stages, Passed(stage, at))
    return replace(transaction, stages=passed, why=transaction.why + why)


def _unchanged(transaction: Transaction) -> tuple[str, ...]:
    return (_UNCHANGED, _AGAIN) if transaction.kind is Kind.INSTALL else (_UNCHANGED,)


def _end(transaction: Transaction, verdict: Verdict, at: Moment, *why: str) -> Transaction:
    return replace(_enter(transaction, Stage.DONE, at, *why), verdict=verdict)


def _reverted(transaction: Transaction, at: Moment, *why: str) -> Transaction:
    warning = (
        f"The new system, {transaction.new}, was the boot default before this update and still is: the next restart "
        "brings it. To start with the old one, run `nixel-update rollback`."
    )
    warns = transaction.default_before == transaction.new.path
    return _end(transaction, Verdict.REVERTED, at, *why, *((warning,) if warns else ()))


def _stuck(transaction: Transaction, at: Moment, *why: str) -> Transaction:
    todo = (
        f"This machine could not be brought back wholly to the old system, {transaction.old}, by itself. Do not use "
        "the instrument until it is: switch the machine off and on; if `nixel-update status` then names another "
        "system, restart it and choose the old one in the start menu. Send a support bundle (`nixel-support`)."
    )
    return _end(transaction, Verdict.STUCK, at, *why, todo)
