"""Recordings become datasets, at a run's end or when what a crash left is repaired: one way, to the same bytes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nixel.acquisition.formats.atomic import content_sha256
from nixel.acquisition.recording import RecordingError, recover, spools
from nixel.acquisition.recording.spool import SUFFIX, sweep
from nixel.acquisition.scan_recording import CALIBRATION, MEASUREMENT
from nixel.acquisition.sequences.recorded import FORMAT, SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nixel.acquisition.recording import Recovered
    from nixel.acquisition.recording.finisher import Finisher, Plan

__all__ = ["FINISHERS", "Outcome", "finish", "recording_of", "repair"]

FINISHERS: dict[str, Finisher] = {
    "mdf-measurement": MEASUREMENT,
    "mdf-calibration": CALIBRATION,
    FORMAT: SEQUENCE,
}
"""By the ``format`` of what a recording was begun with."""

_JOURNALLESS = "it was cut off before its first frame"


@dataclass(frozen=True)
class Outcome:
    """What became of a recording.

    Parameters
    ----------
    recording : Path
    dataset : Path or None
        Made of it (or that would be, of a dry run); None if there is none.
    result : str
        ``"finished"`` (a complete dataset), ``"incomplete"`` (a dataset that says so), ``"discarded"`` (nothing of it
        could be kept), ``"busy"`` (it is still being written) or ``"left"`` (it stays, for the reason given).
    damaged : tuple of int
        Frames that had been committed and are not what was written.
    tail : int
        Bytes that were not committed and are discarded.
    text : str
        What is kept or not, in words.
    why : str
        Why it is not complete.
    """

    recording: Path
    dataset: Path | None
    result: Literal["finished", "incomplete", "discarded", "busy", "left"]
    text: str
    why: str = ""
    damaged: tuple[int, ...] = ()
    tail: int = 0

    @property
    def words(self) -> str:
        """All of it, for the person who repairs."""
        tail = f"a tail of {self.tail} bytes had not been committed and is discarded" if self.tail else ""
        return "; ".join(part for part in (self.text, self.why, tail) if part)


def recording_of(dataset: Path) -> Path:
    """Where a dataset is recorded while it is measured: beside it."""
    return dataset.with_name(dataset.name + SUFFIX)


def finish(recording: Path, *, held: int | None = None, dry_run: bool = False) -> Outcome:
    """Make a dataset of a recording beside it, and delete the recording when that is safe on the disk.

    Parameters
    ----------
    recording : Path
    held : int, optional
        What `Spool.hold` gave, in the process that recorded it.
    dry_run : bool
        Say what would be done, and do nothing.

    Returns
    -------
    Outcome

    Raises
    ------
    OSError, ValueError, RuntimeError
        The dataset cannot be written; the recording is as it was.
    """
    dataset = recording.with_name(recording.name.removesuffix(SUFFIX))
    try:
        with recover(recording, held) as found:
            if found is None:
                return Outcome(recording, None, "busy", "it is being written")
            finisher = FINISHERS.get(found.what.get("format", ""))
            if finisher is None:
                text = (
                    f"expected a recording whose format is {' or '.join(FINISHERS)}, found "
                    f"{found.what.get('format')!r}; left as it is. A newer nixel may know it."
                )
                return Outcome(recording, None, "left", text)
            return _finish(found, finisher, finisher.plan(found), dataset, dry_run=dry_run)
    except RecordingError as error:
        if not _is_empty(recording):
            return Outcome(recording, None, "left", f"{error}")
        if not dry_run:
            shutil.rmtree(recording)
        return Outcome(recording, None, "discarded", _JOURNALLESS)


def repair(folder: Path, *, dry_run: bool = False) -> Iterator[Outcome]:
    """Finish every recording that was left behind in a folder, one by one; what is being written is left alone."""
    if not dry_run:
        sweep(folder)
    for recording in spools(folder):
        try:
            yield finish(recording, dry_run=dry_run)
        except (OSError, ValueError, RuntimeError) as error:
            yield Outcome(recording, None, "left", f"its dataset could not be written: {error}")


def _finish(found: Recovered, finisher: Finisher, plan: Plan, dataset: Path, *, dry_run: bool) -> Outcome:
    text, rest = plan.text, (plan.why, found.damaged, found.tail)
    if not plan.kept:
        if not dry_run:
            found.discard()
        return Outcome(found.folder, None, "discarded", text, *rest)
    if dry_run:
        pass
    elif dataset.exists():
        # A crash between the dataset's being whole and the recording's end; or another file of that name.
        again = found.folder / f"again-{dataset.name}"
        _remove(again)
        finisher.write(found, again)
        same = content_sha256(again) == content_sha256(dataset)
        _remove(again)
        if not same:
            text = f"{dataset.name} is there already and is not made of it; left as it is. Move one of the two away."
            return Outcome(found.folder, None, "left", text, *rest)
    else:
        finisher.write(found, dataset)
    if not dry_run:
        found.discard()
    result: Literal["finished", "incomplete"] = "finished" if plan.complete else "incomplete"
    return Outcome(found.folder, dataset, result, text, *rest)


def _is_empty(recording: Path) -> bool:
    """Whether it was cut off before its journal's first line was whole, so that nothing can have been committed."""
    try:
        return b"\n" not in (recording / "journal").read_bytes() and not any(recording.glob("frames.*"))
    except FileNotFoundError:
        return recording.is_dir() and not any(recording.glob("frames.*"))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
