"""Watching an update that runs in a unit of its own, and telling a person how far it is."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from nixel.update import carry, progress, unit
from nixel.update.refusal import Refusal
from nixel.update.system import judge, look
from nixel.update.transaction.history import History
from nixel.update.transaction.journal import Journal, UnreadableError
from nixel.update.transaction.model import Kind, Stage, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nixel.update.system import Standing
    from nixel.update.transaction.history import Entry
    from nixel.update.transaction.model import Transaction

_LOOK_EVERY_S = 0.1
_PERCENT_EVERY_S = 1.0
# A unit that is being started again is not there for a moment, and what a start of the machine ends waits for more.
_GONE_AFTER_S = 30.0
_NOW = {
    Stage.COPYING: "Bringing the system into the store. This machine goes on as it is meanwhile.",
    Stage.TRYING: "Starting the system on trial.",
    Stage.CHECKING: "Checking the instrument's health.",
    Stage.CONFIRMING: "Healthy. Waiting for whoever asked for it to come back over the network and confirm.",
    Stage.KEEPING: "Making it the system that the next start brings.",
    Stage.REVERTING: "Going back to the system that ran before.",
    Stage.RESTARTING: "Restarting the machine, which brings the system that ran before.",
}
VERDICTS = {
    Verdict.KEPT: "DONE. The new system is installed, and the next start brings it.",
    Verdict.REVERTED: "TAKEN BACK. This machine runs its old system again.",
    Verdict.REFUSED: "REFUSED. Nothing was changed.",
    Verdict.FAILED: "NOT INSTALLED. This machine runs as before.",
    Verdict.NOTHING: "NOTHING TO DO. This machine runs that system already.",
    Verdict.STUCK: "THIS MACHINE NEEDS HELP.",
}
_WENT_BACK = {
    Verdict.KEPT: "DONE. The system before runs again, and the next start brings it.",
    Verdict.REVERTED: "STAYED. This machine did not go back: it runs the system that it ran.",
    Verdict.FAILED: "DID NOT GO BACK. This machine runs as before.",
}
_STATUS = {Verdict.KEPT: 0, Verdict.NOTHING: 0, Verdict.REFUSED: 2}


def status(verdict: Verdict) -> int:
    """Say how a program ends whose update ended so.

    Parameters
    ----------
    verdict
        How it ended.

    Returns
    -------
    int
        0: the system that was asked for runs. 2: refused. 1: anything else.
    """
    return _STATUS.get(verdict, 1)


def words(entry: Entry, standing: Standing | None = None) -> str:
    """Say how an update ended.

    Parameters
    ----------
    entry
        Its line of the history.
    standing
        How the machine stands after it, if that is known: a new kernel runs from the next start only.

    Returns
    -------
    str
        Lines for a person.
    """
    why = list(entry.why)
    if standing is not None and entry.verdict in (Verdict.KEPT, Verdict.NOTHING) and standing.restart_needed:
        why.append(standing.sentences[-1])
    return "\n".join((verdict_of(entry), *(indent(each, "  ") for each in why)))


def verdict_of(entry: Entry) -> str:
    """Say how an update ended, in a line.

    Parameters
    ----------
    entry
        Its line of the history.

    Returns
    -------
    str
        A word in capitals, and a sentence.
    """
    said = _WENT_BACK if entry.kind is Kind.ROLLBACK else {}
    return said.get(entry.verdict, VERDICTS[entry.verdict])


def standing() -> Standing | None:
    """Look how the machine stands.

    Returns
    -------
    Standing or None
        `None` if it cannot be told.
    """
    with suppress(OSError):
        return judge(look(Path("/")))
    return None


def find(state: Path, identifier: str) -> Entry | None:
    """Look up how an update ended.

    Parameters
    ----------
    state
        The folder of updates.
    identifier
        Its name.

    Returns
    -------
    Entry or None
        `None` if it has not ended.
    """
    return next((each for each in History(state).read().entries if each.id == identifier), None)


def doing(what: Stage) -> str:
    """Say what a stage is.

    Parameters
    ----------
    what
        Which one.

    Returns
    -------
    str
        A sentence; empty for one that nobody waits in.
    """
    return _NOW.get(what, "")


def stage(state: Path) -> tuple[str, Stage] | None:
    """Say which update is going on, and how far it is.

    Parameters
    ----------
    state
        The folder of updates.

    Returns
    -------
    tuple or None
        Its name and its stage; `None` if there is none.
    """
    found = _record(state)
    return None if found is None else (found.id, found.stage)


def _record(state: Path) -> Transaction | None:
    try:
        return Journal(state).read()
    except UnreadableError:
        return None


def follow(state: Path, identifier: str, *, until: Stage | None = None, quiet: bool = False) -> Entry | None:
    """Watch an update until it ends.

    Parameters
    ----------
    state
        The folder of updates.
    identifier
        Its name.
    until
        A stage at which to stop watching; `None` for its end, which the history has a moment after the record.
    quiet
        Whether to say nothing meanwhile.

    Returns
    -------
    Entry or None
        How it ended; `None` if it goes on (it reached that stage, or the machine restarts).

    Raises
    ------
    Refusal
        If nobody works on it.
    """
    told = 0
    gone_since: float | None = None
    percent_at, percent = 0.0, ""
    while True:
        entry = find(state, identifier)
        if entry is not None:
            if not quiet:
                _tell_stages([Stage(name) for name, _ in entry.stages[told:]])
            return entry
        now = time.monotonic()
        found = _record(state)
        if found is not None and found.id == identifier:
            if not quiet:
                _tell_stages([each.stage for each in found.stages[told:]])
            told = len(found.stages)
            if found.stage is until or found.stage is Stage.RESTARTING:
                return None
            if found.stage is Stage.COPYING and not quiet and now - percent_at >= _PERCENT_EVERY_S:
                percent_at, before, percent = now, percent, _copied(identifier)
                if percent != before:
                    print(f"  {percent}", file=sys.stderr, flush=True)
        if unit.active(carry.UNIT) or unit.active(carry.RESUME_UNIT):
            gone_since = None
        elif gone_since is None:
            gone_since = now
        elif now - gone_since > _GONE_AFTER_S:
            raise Refusal(
                f"Nothing works on the update {identifier}.",
                f"Look at `journalctl -u {carry.UNIT}`; `nixel-update resume` ends what was begun.",
            )
        time.sleep(_LOOK_EVERY_S)


def _tell_stages(stages: Sequence[Stage]) -> None:
    """Name each stage, also one that was over before anybody looked."""
    for each in stages:
        if each in _NOW:
            print(_NOW[each], file=sys.stderr, flush=True)


def _copied(identifier: str) -> str:
    """How far a copy is; empty if that is not noted (yet)."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(carry.PROGRESS.read_text())
        if found["id"] == identifier and found["total"]:
            done, total = found["done"], found["total"]
            share = 100 * done // total
            return f"{share} % of {progress.size(total)}"
    return ""
