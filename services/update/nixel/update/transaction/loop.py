"""A transaction's way from stage to stage: recorded durably, done, decided, recorded, until it is done.

Whatever an effect raises becomes its stage's failure; a stage that cannot be recorded is not begun.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from nixel.update.refusal import Refusal
from nixel.update.transaction.effects import EffectError
from nixel.update.transaction.history import entry_of
from nixel.update.transaction.machine import (
    AwaitConfirmation,
    Examine,
    Keep,
    Prepare,
    Restart,
    Revert,
    Try,
    action,
    step,
)
from nixel.update.transaction.model import (
    Confirmed,
    Copied,
    CopyFailed,
    Healthy,
    KeepFailed,
    Kept,
    Moment,
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
    from nixel.update.config import Config
    from nixel.update.system import Found
    from nixel.update.transaction.effects import Effects
    from nixel.update.transaction.history import History
    from nixel.update.transaction.journal import Journal
    from nixel.update.transaction.machine import Action
    from nixel.update.transaction.model import Event

_FAILURES: dict[
    Stage, type[CopyFailed | SwitchFailed | Unhealthy | Unconfirmed | KeepFailed | RevertFailed]
] = {
    Stage.COPYING: CopyFailed,
    Stage.TRYING: SwitchFailed,
    Stage.CHECKING: Unhealthy,
    Stage.CONFIRMING: Unconfirmed,
    Stage.KEEPING: KeepFailed,
    Stage.REVERTING: RevertFailed,
    Stage.RESTARTING: RevertFailed,
}
_WORK = {
    Stage.COPYING: "Making the new system ready",
    Stage.TRYING: "Switching to the new system",
    Stage.CHECKING: "Checking the new system",
    Stage.CONFIRMING: "Waiting for the confirmation",
    Stage.KEEPING: "Making the new system the boot default",
    Stage.REVERTING: "Bringing the old system back",
    Stage.RESTARTING: "Restarting the machine",
}
# What is not begun if it cannot be recorded. The way back is gone without a record as well: from the one that is there
# the next process goes back too, or, from KEEPING, keeps a system that was found good.
_NEEDS_RECORD = (Stage.TRYING, Stage.CHECKING, Stage.CONFIRMING, Stage.KEEPING, Stage.RESTARTING)


class Observer(Protocol):
    """Who watches a transaction, for example to show it. Whatever it raises is ignored: it may well be gone."""

    def entered(self, transaction: Transaction) -> None:
        """A stage is recorded and begins now; at the end: the verdict stands."""

    def copied(self, done: int, total: int) -> None:
        """So many bytes of all are copied."""


class Nobody:
    """An observer that looks away."""

    def entered(self, transaction: Transaction) -> None:
        """Ignore it."""

    def copied(self, done: int, total: int) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One process's way through a transaction, within one start of the machine.

    Attributes
    ----------
    effects, config, journal, history, observer
        As the driver has them.
    boot_id
        Which start of the machine this is.
    """

    effects: Effects
    config: Config
    journal: Journal
    history: History
    observer: Observer
    boot_id: str

    def on(self, transaction: Transaction) -> Transaction:
        """Go on to the end, or until the machine goes down."""
        while (todo := action(transaction)) is not None:
            self.tell(transaction)
            event = self.do(todo, transaction)
            if event is None:
                return transaction
            transaction = self.next(transaction, event)
        return self.finish(transaction)

    def next(self, transaction: Transaction, event: Event) -> Transaction:
        """Decide what follows from an event and record it; what cannot be recorded is not begun."""
        new = step(transaction, event, self.moment())
        try:
            self.journal.write(new)
        except Exception as error:  # noqa: BLE001 (nor would one here)
            why = (unexpected(f"Recording in {self.journal.path}", error), "So nothing further was begun.")
            if new.stage is not transaction.stage and new.stage in _NEEDS_RECORD:
                failed = new if new.stage is Stage.RESTARTING else transaction
                new = step(failed, _FAILURES[failed.stage](why), self.moment())
                with suppress(Exception):
                    self.journal.write(new)
        return new

    def do(self, todo: Action, transaction: Transaction) -> Event | None:
        """Do what a stage asks for; whatever goes wrong is its failure. `None`: the machine goes down."""
        try:
            return self.attempt(todo, transaction)
        except Exception as error:  # noqa: BLE001 (a traceback would leave the machine in the middle)
            return _FAILURES[transaction.stage](_words(_WORK[transaction.stage], error))

    def attempt(self, todo: Action, transaction: Transaction) -> Event | None:
        """Do what a stage asks for, or raise."""
        match todo:
            case Prepare():
                return self.prepare(todo)
            case Try(system):
                complaints = self.effects.switch(system, self.config.switch_within)
                self.expect_running(system)
                return Switched(complaints)
            case Examine(system):
                return self.examine(system, transaction)
            case AwaitConfirmation():
                return Confirmed(self.effects.await_confirmation(transaction.id, self.config.confirm_within))
            case Keep(system):
                self.effects.set_default(system)
                self.expect_default(system)
                return Kept()
            case Revert():
                return self.revert(todo)
            case Restart():
                self.effects.restart()
                return None
            case _:
                assert_never(todo)

    def prepare(self, todo: Prepare) -> Copied | CopyFailed:
        """Have the new system in the store, kept there with the old one; ask how the old one is."""
        self.effects.keep_reachable(todo.old)
        self.effects.keep_reachable(todo.new)
        if todo.copies:
            self.effects.copy(self.progress)
        try:
            before = self.effects.snapshot(todo.old, self.config.check_within)
            busy = _busy(before)
            return CopyFailed(busy) if busy else Copied(before)
        except Exception as error:  # noqa: BLE001 (a system that is not well must not keep out the one that mends it)
            told = "What this machine was like before is not known, so the new system is checked without it."
            return Copied(None, (*_words("Asking the old system how it is", error), told))

    def examine(self, system: str, transaction: Transaction) -> Healthy | Unhealthy:
        """Run the health check."""
        checks = self.effects.check(system, transaction.before, self.config.check_within)
        wrong = tuple(f"{check.name}: {check.words}" for check in checks if not check.passed)
        return Unhealthy(wrong, checks) if wrong else Healthy(checks)

    def revert(self, todo: Revert) -> Reverted | RevertFailed:
        """Put the boot default back, and switch back whether or not that came about."""
        why: list[str] = []
        complaints: tuple[str, ...] = ()
        if todo.default is not None:
            try:
                self.effects.set_default(todo.default)
                self.expect_default(todo.default)
            except Exception as error:  # noqa: BLE001
                why += _words("Putting the boot default back", error)
        try:
            complaints = self.effects.switch(todo.system, self.config.switch_within)
            self.expect_running(todo.system)
        except Exception as error:  # noqa: BLE001
            why += _words("Switching back", error)
        return RevertFailed(tuple(why)) if why else Reverted(complaints)

    def finish(self, transaction: Transaction) -> Transaction:
        """Tidy up, write the history, and only then forget the record."""
        todo = []
        if transaction.verdict is Verdict.KEPT:
            todo.append(("Removing old generations", self.effects.prune))
        if transaction.verdict is not Verdict.STUCK:
            todo.append(("Tidying up", self.effects.let_go))
        for what, effect in todo:
            try:
                effect()
            except Exception as error:  # noqa: BLE001 (the verdict stands)
                transaction = replace(transaction, why=transaction.why + _words(what, error))
        try:
            self.journal.release()
            self.history.add(entry_of(transaction))
            self.journal.remove()
        except OSError as error:
            told = f"{self.history.path} could not be written ({error.strerror}); `nixel-update resume` does it later."
            transaction = replace(transaction, why=(*transaction.why, told))
        self.tell(transaction)
        return transaction

    def expect_running(self, system: str) -> None:
        """Believe no switch that says it is done."""
        running, _ = paths(self.effects.look())
        if running != system:
            raise EffectError(f"The switch said that it was done, and {running} runs instead of {system}.")

    def expect_default(self, system: str) -> None:
        """Likewise."""
        _, default = paths(self.effects.look())
        if default != system:
            raise EffectError(
                f"Setting the boot default said that it was done, and it is {default} instead of {system}."
            )

    def moment(self) -> Moment:
        """Tell the time."""
        return Moment(self.effects.now(), self.effects.boottime(), self.boot_id)

    def tell(self, transaction: Transaction) -> None:
        """Tell whoever watches."""
        with suppress(Exception):
            self.observer.entered(transaction)

    def progress(self, done: int, total: int) -> None:
        """Likewise."""
        with suppress(Exception):
            self.observer.copied(done, total)


def paths(found: Found) -> tuple[str | None, str | None]:
    """Say which system runs and which the next start brings.

    Parameters
    ----------
    found
        What was found on the machine.

    Returns
    -------
    tuple
        Their store paths; `None` where that cannot be told.
    """
    running = None if found.running is None else found.running.path
    default = None if found.default is None else found.default.path
    return running, default


def _busy(before: dict[str, Any]) -> tuple[str, ...]:
    """What the machine is doing that a switch would break off."""
    facts = before.get("facts")
    found = facts.values() if isinstance(facts, dict) else ()
    return tuple(
        each["busy"] for each in found if isinstance(each, dict) and isinstance(each.get("busy"), str)
    )


def _words(what: str, error: Exception) -> tuple[str, ...]:
    """Say for a person what an effect raised."""
    if isinstance(error, EffectError) and error.why:
        return error.why
    if isinstance(error, Refusal):
        return (error.what, error.todo)
    return (unexpected(what, error),)


def unexpected(what: str, error: Exception) -> str:
    """Say for a person what was raised where nothing was to be raised.

    Parameters
    ----------
    what
        What was being done; the beginning of a sentence.
    error
        What was raised.

    Returns
    -------
    str
        One sentence.
    """
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{what} failed: {where}{error.strerror}."
    return f"{what} failed in a way that this program did not expect: {type(error).__name__}: {error}."
