"""The verification of a whole event log: its file, those put aside before it, and what holds them together."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from nixel.safety.core.frozen import dataclass
from nixel.safety.records.chain import Break, Verdict, verify
from nixel.safety.records.logfile import KEPT, put_aside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Audit:
    """What the verification of a log found.

    Attributes
    ----------
    files
        The verdict on each file by its path, oldest first; the last is the one that is being written.
    dropped
        How many older files have been dropped, as they are beyond those that are kept; their events are gone.
    """

    files: tuple[tuple[str, Verdict], ...]
    dropped: int

    @property
    def whole(self) -> bool:
        """Whether nothing was changed, removed, inserted or swapped since it was sealed."""
        return all(verdict.whole for _, verdict in self.files)

    @property
    def latest(self) -> str:
        """The hash of the last sealed line; what to remember."""
        return next((verdict.latest for _, verdict in reversed(self.files) if verdict.latest), "")


def audit(path: Path, expect: Iterable[str] = ()) -> Audit:
    """Verify a log.

    Parameters
    ----------
    path
        Of the file that is being written; those put aside stand beside it.
    expect
        Hashes that were remembered and must be somewhere in the log.

    Returns
    -------
    Audit
        What was found.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    aside = put_aside(path)
    files: list[tuple[str, Verdict]] = []
    missing = tuple(expect)
    after: tuple[int, str] | None = None
    for number, each in aside:
        verdict = _verify(each, missing, after, newest=False)
        missing, after = verdict.missing, (number, verdict.latest)
        files.append((str(each), verdict))
    # A power cut between putting a file aside and beginning the next leaves the last one put aside as the newest.
    begun = path.exists() and path.stat().st_size > 0 if aside else True
    if begun:
        files.append((str(path), _verify(path, missing, after, newest=True)))
    elif missing:
        last = Break(1, f"the hash {missing[0]} before the end", "a log without it")
        files.append((str(path), replace(verify(()), broken=last, missing=missing)))
    dropped = _dropped(files[0][1], [number for number, _ in aside])
    first, verdict = files[0]
    newest = aside[-1][0] if aside else dropped
    oldest = max(1, newest - KEPT + 1)
    if verdict.broken is None and dropped >= oldest:
        gone = Break(1, f"the files from number {oldest} before it", f"none before number {dropped + 1}")
        files[0] = (first, replace(verdict, broken=gone))
    return Audit(tuple(files), dropped)


def _dropped(oldest: Verdict, numbers: list[int]) -> int:
    """Say how many files came before the oldest that is there."""
    if numbers:
        return numbers[0] - 1
    return oldest.continues[0] if oldest.continues is not None else 0


def _verify(path: Path, expect: tuple[str, ...], after: tuple[int, str] | None, *, newest: bool) -> Verdict:
    with path.open("rb") as file:
        return verify(up_to(file, os.fstat(file.fileno()).st_size), expect, after, newest=newest)


def up_to(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Give the lines that were there when we began, so that an event being written now is not half of one.

    Parameters
    ----------
    file
        Opened.
    size
        Where to end [bytes].

    Yields
    ------
    bytes
        A line with its newline.
    """
    left = size
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        yield line
