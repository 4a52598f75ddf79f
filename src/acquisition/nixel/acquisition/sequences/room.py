"""Whether the disk and the memory have room for a run, asked before it begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.acquisition.instrument_file import Problem
from nixel.acquisition.sequences.files import SequenceError

if TYPE_CHECKING:
    from nixel.acquisition.plan import Plan

__all__ = ["check_room"]

_SPARE = 2**26  # bytes that stay free on the disk: journal, metadata, and what others write meanwhile


def check_room(source: str, plan: Plan, folder: Path, buffer: int) -> None:
    """Refuse a run that the machine has no room for.

    Parameters
    ----------
    source : str
        The sequence's file.
    plan : Plan
    folder : Path
        Where it is recorded.
    buffer : int
        Bytes between the camera and the disk.

    Raises
    ------
    SequenceError
        Disk or memory are too full; both are told.
    """
    problems = []
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if plan.size + _SPARE > free:
        expected = f"at most the {free / 1e6:.0f} MB free at {folder}, less {_SPARE / 1e6:.0f} MB to spare"
        problems.append(
            Problem("size", f"{plan.size / 1e6:.0f} MB", f"{expected}: make room, or take fewer frames")
        )
    available = _available()
    if available is not None and buffer > available:
        expected = f"at most the {available / 1e6:.0f} MB of memory that are free: end other programs"
        problems.append(Problem("buffer", f"{buffer / 1e6:.0f} MB", expected))
    if problems:
        raise SequenceError(source, problems)


def _available() -> int | None:
    """Memory that programs can still have without swapping, in bytes; None where the kernel does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(values[0]) * 1024 if values else None
