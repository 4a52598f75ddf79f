"""The data folder: its layout, and the lock that lets one service at a time write to it."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from nixel.acquisition.formats.atomic import probe_folder
from nixel.imaging.errors import UserError


def default_data_folder() -> Path:
    """Where nixel keeps its data unless told otherwise: $NIXEL_DATA, else the user's data home."""
    named = os.environ.get("NIXEL_DATA")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "nixel"


class DataFolder:
    """The one folder that holds everything the appliance remembers.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._lock: int | None = None

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "nixel.db"

    @property
    def datasets(self) -> Path:
        """The folder of measured data."""
        return self.path / "datasets"

    @property
    def pictures(self) -> Path:
        """The folder of reconstructed pictures."""
        return self.path / "pictures"

    def relative(self, path: Path) -> str:
        """`path` as the database keeps it: relative, so that the folder can be moved."""
        return path.relative_to(self.path).as_posix()

    def check_writable(self) -> None:
        """Raise `UserError` if the folder can neither be made nor written to; leaves nothing behind."""
        existing = self.path
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        try:
            if not existing.is_dir():
                raise NotADirectoryError(f"{existing} is not a folder")
            probe_folder(existing)
        except OSError as error:
            raise UserError(
                f"{self.path}: expected a data folder that this user can write to, found: "
                f"{error.strerror or error}. Name another one with --data DIR."
            ) from error

    def open(self) -> Self:
        """Make the folder if need be and take its lock.

        Raises
        ------
        UserError
            If it cannot be written, or another service has it.
        """
        self.check_writable()
        for folder in (self.path, self.datasets, self.pictures):
            folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 100).decode(errors="replace").strip()
            os.close(lock)
            raise UserError(
                f"{self.path}: another nixel uses this data folder (process {holder or 'unknown'}). "
                "Stop it, or name another folder with --data DIR."
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock
        return self

    def check_free(self) -> None:
        """Raise `UserError` if another service has the folder; takes and makes nothing."""
        self.check_writable()
        if (self.path / "lock").exists():
            self.open().close()

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
