"""Runs transactions on a machine, one at a time: begins them, goes on with one that was interrupted, refuses.

Nothing is decided here (see `machine`) and nothing is known of how a machine is changed (see `effects`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.update.refusal import Refusal
from nixel.update.transaction.history import Entry, History
from nixel.update.transaction.journal import Journal, UnreadableError
from nixel.update.transaction.lock import held
from nixel.update.transaction.loop import Loop, paths, unexpected
from nixel.update.transaction.model import (
    Kind,
    Resumed,
    Side,
    Source,
    Stage,
    Transaction,
    Verdict,
)

if TYPE_CHECKING:
    from nixel.update.config import Config
    from nixel.update.transaction.effects import Effects
    from nixel.update.transaction.loop import Observer


class RecordLostError(Exception):
    """The record of an interrupted update could not be read; what that means stands in the history too.

    Parameters
    ----------
    entry
        The line of the history.
    """

    def __init__(self, entry: Entry) -> None:
        super().__init__(" ".join(entry.why))
        self.entry = entry


@dataclass(frozen=True, slots=True)
class Driver:
    """Runs transactions on one machine.

    Attributes
    ----------
    effects
        The machine.
    config
        Its settings; time limits are taken from them.
    journal, history
        What it remembers.
    observer
        Who watches.
    """

    effects: Effects
    config: Config
    journal: Journal
    history: History
    observer: Observer

    def run(self, transaction: Transaction) -> Transaction:
        """Carry out a transaction from its beginning.

        Parameters
        ----------
        transaction
            From `machine.begin`.

        Returns
        -------
        Transaction
            Done, with its verdict; or RESTARTING, without one: the machine goes down now, and `resume` after its
            start says how it ended.

        Raises
        ------
        Refusal
            If another update runs or waits to be resumed, if the machine is not as it was when this one began, or
            if nothing can be recorded. Nothing was changed, and the history says so.
        """
        try:
            with held(self.config.state):
                loop = self._loop()
                self._admit(transaction)
                if transaction.stage is Stage.DONE:
                    return loop.finish(transaction)
                self._open(transaction)
                return loop.on(transaction)
        except Refusal as refusal:
            self.refuse(
                refusal,
                transaction.id,
                transaction.began.wall,
                transaction.kind,
                transaction.source,
                transaction.old,
                transaction.new,
            )
            raise

    def resume(self) -> Transaction | None:
        """Bring to its end what a process that died, or a restart, left in the middle.

        Returns
        -------
        Transaction or None
            As from `run`; `None` if there is nothing to resume.

        Raises
        ------
        Refusal
            If the process has not died, or nothing can be recorded.
        RecordLostError
            If the record cannot be read. Nothing is guessed and the machine is not touched.
        """
        with held(self.config.state):
            loop = self._loop()
            try:
                transaction = self.journal.read()
            except UnreadableError as error:
                raise RecordLostError(self._lose(error)) from error
            if transaction is None:
                with suppress(OSError):  # room that an update kept which died before its first record
                    self.journal.release()
                return None
            if transaction.stage is Stage.DONE:
                return loop.finish(transaction)
            running = default = None
            # A machine that cannot be looked at is brought back like one that is wrong.
            with suppress(Exception):
                running, default = paths(self.effects.look())
            return loop.on(loop.next(transaction, Resumed(running, default)))

    def refuse(
        self,
        refusal: Refusal,
        identifier: str,
        began: float,
        kind: Kind | None,
        source: Source | None,
        old: Side | None = None,
        new: Side | None = None,
    ) -> None:
        """Put a refusal on record, if that is possible; it is for the caller to raise it.

        Parameters
        ----------
        refusal
            Why it is turned down.
        identifier
            The attempt's name.
        began
            When it began, in s since 1970.
        kind, source
            What was asked for, and where from.
        old, new
            What runs and what was offered, as far as that is known.
        """
        now = self.effects.now()
        why = (refusal.what, refusal.todo)
        entry = Entry(
            identifier, began, now, max(0.0, now - began), kind, source, old, new, Verdict.REFUSED, why
        )
        with suppress(OSError):  # whoever may not write the history is told why all the same
            self.history.add(entry)

    def _loop(self) -> Loop:
        try:
            boot_id = self.effects.boot_id()
        except Exception as error:
            raise Refusal(
                unexpected("Telling this start of the machine from the next", error), "Restart the machine."
            ) from error
        return Loop(self.effects, self.config, self.journal, self.history, self.observer, boot_id)

    def _admit(self, transaction: Transaction) -> None:
        """Refuse a transaction that does not begin on the machine as it is."""
        try:
            waiting = self.journal.path.exists()
            running, default = paths(self.effects.look())
        except Exception as error:
            raise Refusal(
                unexpected("Looking which system runs", error),
                "Nothing was changed. Restart the machine and try again.",
            ) from error
        if waiting:
            raise Refusal(
                "An update that was interrupted has not been brought to its end.",
                "Run `nixel-update resume`, or restart the machine; then try again.",
            )
        for name, before, now in (
            ("runs", transaction.old.path, running),
            ("starts with", transaction.default_before, default),
        ):
            if now != before:
                raise Refusal(
                    f"This machine {name} {now or 'a system that cannot be told'}, and when this update was "
                    f"prepared that was {before}.",
                    "Somebody else changed it meanwhile. Look at `nixel-update status`, then try again.",
                )

    def _open(self, transaction: Transaction) -> None:
        try:
            self.journal.reserve()
            self.journal.write(transaction)
        except OSError as error:
            with suppress(OSError):
                self.journal.release()
            raise Refusal(
                f"{self.journal.path} cannot be written ({error.strerror}), so an update could not be taken back.",
                "Make room on the disk, or have it looked at; then try again.",
            ) from error

    def _lose(self, error: UnreadableError) -> Entry:
        """Say what is known without the record, and take it out of the way."""
        now = self.effects.now()
        why = [
            "The record of an update that was interrupted cannot be used, so nothing is done by it.",
            str(error),
        ]
        verdict = Verdict.STUCK
        running = default = None
        with suppress(Exception):
            running, default = paths(self.effects.look())
        if running is None or default is None:
            why.append(
                "It cannot be told which system runs and which the next start brings. Restart the machine."
            )
        elif running == default:
            verdict = Verdict.FAILED
            why.append(f"This machine runs {running}, which is also what it starts with: it is in order.")
        else:
            why.append(
                f"This machine runs {running}, perhaps on trial only, and starts with {default}. Restart it: that "
                "brings the system that was kept last."
            )
        entry = Entry(f"unreadable-{error.mark}", now, now, 0.0, None, None, None, None, verdict, tuple(why))
        with suppress(OSError):  # on a disk that takes nothing the record stays, and is found again
            self.history.add(entry)
            self.journal.put_aside()
            self.journal.release()
        return entry
