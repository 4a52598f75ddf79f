"""Reading a system's files: links are followed inside a root folder, and no further than the store.

A system is a folder of links into the store, which lead to further links. What lies outside the store (`/proc/mounts`,
`/etc/zoneinfo`, `/dev/null`) belongs to the machine and not to the system, so that such a link is a fact by itself and
is never followed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from nixel.update.storenames import STORE

_MOST_LINKS = 40


class Kind(Enum):
    """What a path leads to."""

    FILE = "file"
    FOLDER = "folder"
    OUTSIDE = "outside"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    Attributes
    ----------
    kind
        What is there.
    path
        The path on the machine, without links; for `OUTSIDE` and `NOTHING`, as far as it could be followed.
    """

    kind: Kind
    path: str


@dataclass(slots=True)
class Tree:
    """The files below a root folder.

    Parameters
    ----------
    root
        The folder that is the machine's `/`.
    """

    root: Path
    _prefix: str = ""
    _folders: dict[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._prefix = os.fspath(self.root.absolute()).rstrip("/")

    def at(self, path: str) -> Path:
        """Where this process finds a path of the machine."""
        return Path(self._prefix + path)

    def find(self, path: str) -> Place:
        """Follow a path's links within the store.

        Parameters
        ----------
        path
            An absolute path on the machine.

        Returns
        -------
        Place
            Where it leads.
        """
        return self._find(os.path.normpath(path), _MOST_LINKS)

    def _find(self, path: str, links: int) -> Place:
        parent, name = os.path.split(path)
        if not name:
            return Place(Kind.FOLDER, "/")
        if parent != "/":
            folder = self._folders.get(parent)
            if folder is None:
                folder = self._folders[parent] = self._find(parent, links)
            if folder.kind is not Kind.FOLDER:
                return Place(Kind.NOTHING if folder.kind is Kind.FILE else folder.kind, path)
            path = f"{folder.path.rstrip('/')}/{name}"
        here = self._prefix + path
        try:
            target = os.readlink(here)  # noqa: PTH115 (thousands of them)
        except FileNotFoundError:
            return Place(Kind.NOTHING, path)
        except OSError:
            return Place(Kind.FOLDER if Path(here).is_dir() else Kind.FILE, path)
        leads = os.path.normpath(os.path.join(os.path.dirname(path), target))  # noqa: PTH118, PTH120
        if not leads.startswith(STORE):
            return Place(Kind.OUTSIDE, leads)
        return self._find(leads, links - 1) if links else Place(Kind.NOTHING, path)

    def names(self, path: str) -> list[str]:
        """The names in a folder that `find` found, sorted."""
        return sorted(os.listdir(self._prefix + path))  # noqa: PTH208 (names alone, thousands of them)

    def read(self, path: str, most: int) -> bytes:
        """Read a file that `find` found: its first `most` bytes."""
        with open(self._prefix + path, "rb") as stream:  # noqa: PTH123
            return stream.read(most)

    def text(self, path: str, most: int = 64 * 1024) -> str | None:
        """The text of a small file, links followed; `None` if there is none."""
        place = self.find(path)
        if place.kind is not Kind.FILE:
            return None
        return self.read(place.path, most).decode("utf-8", "replace")
