"""The folder of recordings: one file a trip, written whole or not at all, the oldest of too many removed."""

from __future__ import annotations

import os
import re
import time
from itertools import islice
from typing import TYPE_CHECKING

from nixel.safety.records.digest import sha256
from nixel.safety.records.event_json import stamp
from nixel.safety.records.logfile import sync_folder
from nixel.safety.records.recording import Header, begin, row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FOLDER = "recordings"  # beside the event log
KEPT = 50
_TOGETHER = 20  # rows that are written in one piece
_PAUSE = 0.002  # s

_NAME = re.compile(r"trip-(\d{6,})-\d{8}T\d{6}Z\.csv")


class Folder:
    """Where the recordings are.

    Files are numbered on, whatever the clock says: a machine that has lost its clock must not take its newest
    recording for its oldest.

    Parameters
    ----------
    path
        Made if it does not exist.

    Raises
    ------
    OSError
        If it cannot be made or read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(mode=0o750, exist_ok=True)
        for left in path.glob("*.new"):
            left.unlink(missing_ok=True)  # a power cut came before its name
        self._last = max((number for number, _ in recordings(path)), default=0)

    def name(self, wall: float) -> str:
        """Give the name of the next recording.

        Parameters
        ----------
        wall
            When the trip was [s since 1970, UTC].

        Returns
        -------
        str
            Of a file in this folder.
        """
        self._last += 1
        moment = stamp(wall).partition(".")[0].replace("-", "").replace(":", "")
        return f"trip-{self._last:06}-{moment}Z.csv"

    def save(self, name: str, header: Header, rows: Iterable[Sequence[float]]) -> str:
        """Write a recording, in place of one of the same name, and remove the oldest of too many.

        Parameters
        ----------
        name
            From `name`.
        header, rows
            What is recorded.

        Returns
        -------
        str
            The SHA-256 of the file.

        Raises
        ------
        OSError
            If the disk does not take it; what had the name before is still there.
        """
        new = self._path / f"{name}.new"
        digest = sha256()
        try:
            with open(new, "wb", opener=lambda path, flags: os.open(path, flags, 0o640)) as file:
                content = begin(header).encode()
                left = iter(rows)
                while content:
                    digest.update(content)
                    file.write(content)
                    time.sleep(_PAUSE)  # so that the control loop has its turn between any two pieces
                    content = "".join(map(row, islice(left, _TOGETHER))).encode()
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path / name)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        sync_folder(self._path)
        for _, old in recordings(self._path)[:-KEPT]:
            old.unlink(missing_ok=True)
        return digest.hexdigest()


def recordings(path: Path) -> list[tuple[int, Path]]:
    """List the recordings in a folder.

    Parameters
    ----------
    path
        Of the folder.

    Returns
    -------
    list of tuple
        Number and file, oldest first.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    found = []
    for each in path.iterdir():
        match = _NAME.fullmatch(each.name)
        if match:
            found.append((int(match[1]), each))
    return sorted(found)
