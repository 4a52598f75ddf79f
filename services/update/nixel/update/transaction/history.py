"""What was done to this machine, when, by whom and how it ended: one line of JSON for each attempt, never changed.

Several processes may add lines, and any of them may be killed in the middle of one: a torn line is closed by the next
that is added, and read over.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nixel.update import disk
from nixel.update.transaction.journal import side_as_json, side_of
from nixel.update.transaction.model import Kind, Side, Source, Verdict, Via

if TYPE_CHECKING:
    from pathlib import Path

    from nixel.update.transaction.model import Transaction

FILE = "history.jsonl"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt.

    Attributes
    ----------
    id
        Its name; no two lines have the same.
    began, ended
        When, in s since 1970 by the machine's clock.
    seconds
        How long it took, whatever the clock did meanwhile.
    kind, source
        What was asked for and where the system came from; `None` if that is not known.
    old, new
        What ran and what was to run; `None` where that is not known.
    verdict
        How it ended.
    why
        Sentences for a person.
    stages
        Each stage with the seconds from the beginning at which it was entered.
    """

    id: str
    began: float
    ended: float
    seconds: float
    kind: Kind | None
    source: Source | None
    old: Side | None
    new: Side | None
    verdict: Verdict
    why: tuple[str, ...]
    stages: tuple[tuple[str, float], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Describe it as plain data, as in the file.

        Returns
        -------
        dict
            Fit for JSON.
        """
        return {
            "format": FORMAT,
            "id": self.id,
            "began": self.began,
            "ended": self.ended,
            "seconds": round(self.seconds, 3),
            "kind": self.kind,
            "from": self.source and self.source.via,
            "label": self.source and self.source.label,
            "who": self.source and self.source.who,
            "old": self.old and side_as_json(self.old),
            "new": self.new and side_as_json(self.new),
            "verdict": self.verdict,
            "why": list(self.why),
            "stages": [[stage, round(seconds, 3)] for stage, seconds in self.stages],
        }


@dataclass(frozen=True, slots=True)
class Told:
    """What the history holds.

    Attributes
    ----------
    entries
        Oldest first.
    unreadable
        How many lines cannot be read: torn by a power cut, or written by a newer program.
    """

    entries: tuple[Entry, ...]
    unreadable: int


def entry_of(transaction: Transaction) -> Entry:
    """Describe a transaction that is done.

    Parameters
    ----------
    transaction
        Which one.

    Returns
    -------
    Entry
        Its line.

    Raises
    ------
    ValueError
        If it is not done.
    """
    if transaction.verdict is None:
        raise ValueError(f"{transaction.id} is not done")
    began, ended = transaction.began, transaction.stages[-1].at
    return Entry(
        transaction.id,
        began.wall,
        ended.wall,
        began.until(ended),
        transaction.kind,
        transaction.source,
        transaction.old,
        transaction.new,
        transaction.verdict,
        transaction.why,
        tuple((each.stage.value, began.until(each.at)) for each in transaction.stages),
    )


class History:
    """The file.

    Parameters
    ----------
    state
        The folder in which it stands.
    """

    def __init__(self, state: Path) -> None:
        self.path = state / FILE

    def add(self, entry: Entry) -> bool:
        """Add a line, and have it on the disk; one that is there already is not added again.

        Parameters
        ----------
        entry
            What to add.

        Returns
        -------
        bool
            Whether it was not there yet.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        disk.folder(self.path.parent, 0o755)
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            # Whoever adds looks first, so nobody may come between.
            fcntl.flock(handle, fcntl.LOCK_EX)
            content = self.path.read_bytes()
            there = any(found.id == entry.id for found in _entries(content).entries)
            if not there:
                line = json.dumps(entry.as_json()).encode() + b"\n"
                closing = b"" if not content or content.endswith(b"\n") else b"\n"
                _write(handle, closing + line)
            os.fsync(handle)
        finally:
            os.close(handle)
        disk.settle(self.path.parent)
        return not there

    def read(self) -> Told:
        """Read it; somebody may be adding a line meanwhile.

        Returns
        -------
        Told
            Nothing if there is no file yet.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        try:
            return _entries(self.path.read_bytes())
        except FileNotFoundError:
            return Told((), 0)


def _write(handle: int, content: bytes) -> None:
    written = os.write(handle, content)
    if written != len(content):
        raise OSError(
            errno.ENOSPC, os.strerror(errno.ENOSPC)
        )  # the disk was full in the middle of it: the next line closes the torn one


def _entries(content: bytes) -> Told:
    found = []
    unreadable = 0
    for line in content.split(b"\n"):
        if line:
            try:
                found.append(_entry(json.loads(line)))
            except (ValueError, TypeError, KeyError, RecursionError):
                unreadable += 1
    return Told(tuple(found), unreadable)


def _entry(line: Any) -> Entry:  # noqa: ANN401 (what JSON may hold)
    if line["format"] != FORMAT:
        raise ValueError(line["format"])
    via = line["from"]
    return Entry(
        id=line["id"],
        began=line["began"],
        ended=line["ended"],
        seconds=line["seconds"],
        kind=None if line["kind"] is None else Kind(line["kind"]),
        source=None if via is None else Source(Via(via), line["label"], line["who"]),
        old=None if line["old"] is None else side_of(line["old"]),
        new=None if line["new"] is None else side_of(line["new"]),
        verdict=Verdict(line["verdict"]),
        why=tuple(line["why"]),
        stages=tuple((stage, seconds) for stage, seconds in line["stages"]),
    )
