"""The edge: one text file, one folder's names, one command's output of the machine that is looked at."""

from __future__ import annotations

import subprocess
import threading
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from nixel.update.system import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE_S = 60.0
_CHUNK = 64 * 1024


class NotTakenError(Exception):
    """Something of the list cannot be had; the text says why."""


class Machine(Protocol):
    """What the sources ask of a machine; each method raises `NotTakenError` with the reason."""

    @property
    def root(self) -> Path:
        """Its root folder."""

    def text(self, path: str, most: int) -> str:
        """Read the last `most` bytes of a text file."""

    def names(self, folder: str) -> list[str]:
        """List a folder's entries, sorted."""

    def run(self, argv: Sequence[str], most: int, right: Sequence[int] = (0,)) -> str:
        """Run a command and return the last `most` bytes of what it printed."""

    def packages(self) -> dict[str, str]:
        """List nixel's packages with their versions."""


class ThisMachine:
    """The machine that this runs on, or what stands under another root folder.

    Parameters
    ----------
    root
        The root folder; links are followed inside it.
    never
        Folders of which nothing may be read, whatever leads into them: datasets and pictures.
    """

    def __init__(self, root: Path = Path("/"), never: Sequence[str] = ()) -> None:
        self._root = root
        self._never = tuple(each.rstrip("/") for each in never)

    @property
    def root(self) -> Path:
        """Its root folder."""
        return self._root

    def text(self, path: str, most: int) -> str:
        """Read the last `most` bytes of a text file.

        Parameters
        ----------
        path
            Absolute on that machine.
        most
            How many bytes at most.

        Returns
        -------
        str
            From the first whole line if not all of it is taken.

        Raises
        ------
        NotTakenError
            If it is not there, cannot be read, is no text, or stands where the data is.
        """
        place = resolve(self._root, path)
        if place is None:
            raise NotTakenError(f"{path} is not there")
        if any(place == each or place.startswith(each + "/") for each in self._never):
            raise NotTakenError(
                f"{path} leads to {place}, where the instrument's data is, which is never taken"
            )
        found = self._root / place.lstrip("/")
        if not found.is_file():
            raise NotTakenError(f"{path} is not a file")
        try:
            with found.open("rb") as file:
                content, cut = _last(file, most)
        except OSError as error:
            raise NotTakenError(f"{path} cannot be read: {error.strerror}") from error
        return _decoded(content, cut, path)

    def names(self, folder: str) -> list[str]:
        """List a folder's entries, sorted."""
        try:
            return sorted(each.name for each in (self._root / folder.lstrip("/")).iterdir())
        except OSError as error:
            raise NotTakenError(f"{folder} cannot be read: {error.strerror}") from error

    def run(self, argv: Sequence[str], most: int, right: Sequence[int] = (0,)) -> str:
        """Run a command and return the last `most` bytes of what it printed.

        Parameters
        ----------
        argv
            The command.
        most
            How many bytes at most.
        right
            The statuses that it may end with.

        Returns
        -------
        str
            From the first whole line if not all of it is taken.

        Raises
        ------
        NotTakenError
            If it is not on this machine, fails, or takes longer than a minute.
        """
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise NotTakenError(f"{argv[0]} is not on this machine ({error.strerror})") from error
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(_PATIENCE_S, give_up)
        timer.start()
        try:
            assert process.stdout is not None
            # Never more than twice what is kept is held in memory, and nothing is written: the disk may be full.
            content, cut = _last(process.stdout, most)
            status = process.wait()
        finally:
            timer.cancel()
        if late.is_set():
            raise NotTakenError(f"{' '.join(argv)} took longer than {_PATIENCE_S:g} s")
        if status not in right:
            raise NotTakenError(f"{' '.join(argv)} ended with status {status}; run the command as root")
        return _decoded(content, cut, argv[0])

    def packages(self) -> dict[str, str]:
        """List nixel's packages with their versions."""
        found = ((each.metadata["Name"], each.version) for each in metadata.distributions())
        return {name: version for name, version in found if name and name.startswith("nixel")}


def _last(stream: IO[bytes], most: int) -> tuple[bytes, bool]:
    kept = bytearray()
    cut = False
    while chunk := stream.read(_CHUNK):
        kept += chunk
        if len(kept) > 2 * most + _CHUNK:
            del kept[:-most]
            cut = True
    cut = cut or len(kept) > most
    return bytes(kept[-most:]), cut


def _decoded(content: bytes, cut: bool, name: str) -> str:
    if cut:
        content = content.partition(b"\n")[2]
    # The kernel ends some texts with a NUL; one anywhere else is no text.
    content = content.removesuffix(b"\0")
    if b"\0" in content:
        raise NotTakenError(f"{name} holds what is no text")
    return content.decode("utf-8", errors="replace")
