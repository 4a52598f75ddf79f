"""What turns a recording into a dataset: one finisher a format, which needs nothing but the recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nixel.acquisition.recording.spool import Recovered

__all__ = ["Finisher", "Plan", "counted", "shortfall"]


@dataclass(frozen=True)
class Plan:
    """What is made of a recording.

    Parameters
    ----------
    kept : bool
        Whether a dataset can be made of it at all.
    complete : bool
        Whether that dataset is what was asked for, with every frame.
    text : str
        What is kept or not, in words.
    why : str
        Why it is not complete; empty if it is.
    """

    kept: bool
    complete: bool
    text: str
    why: str = ""


@dataclass(frozen=True)
class Finisher:
    """The finisher of one format, the ``format`` of what a recording was begun with.

    Parameters
    ----------
    plan : callable
        Says what would be made of a recording, and changes nothing.
    write : callable
        Writes the dataset of a recording that is kept, at a path where there is nothing, whole or not at all. The same
        recording gives the same bytes.
    """

    plan: Callable[[Recovered], Plan]
    write: Callable[[Recovered, Path], object]


def counted(found: Recovered, planned: int) -> str:
    """Return how many of the planned frames there are, in words."""
    good = len(found.journal.frames)
    return f"all {planned} frames" if good == planned else f"{good} of {planned} frames"


def shortfall(found: Recovered, planned: int) -> str:
    """Return why there are not as many frames as planned, in words; empty if there are."""
    if len(found.journal.frames) == planned:
        return ""
    words, end = [], found.journal.end
    if found.damaged:
        words.append(f"damaged on the disk, and left out: {', '.join(map(str, found.damaged))}")
    if end is None:
        words.append("it was cut off")
    elif end["reason"] != "complete":
        words.append(f"it ended early: {end['reason']}")
    return "; ".join(words)
