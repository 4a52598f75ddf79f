"""A recording on the disk while it grows: raw frames, and a journal of those that are committed.

A frame is committed when its journal line is durable, and the line is written only after the frame is. So whatever
moment the power fails at, every line speaks of a frame that is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import sync_folder
from nixel.acquisition.recording.errors import RecordingError
from nixel.acquisition.recording.journal import VERSION, Journal, encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["SUFFIX", "Recovered", "Spool", "recover", "spools", "sweep"]

SUFFIX = ".recording"
_JOURNAL = "journal"
_LEAVING = ".part"


@dataclass(frozen=True)
class _Layout:
    """Where frame n lies: `per_file` of them in each of the files frames.0, frames.1, ..."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    per_file: int

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> _Layout:
        return cls(tuple(header["shape"]), np.dtype(header["dtype"]), header["per_file"])

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def place(self, index: int) -> tuple[str, int]:
        return f"frames.{index // self.per_file}", index % self.per_file * self.size


class Spool:
    """A recording that is being written; made by `Spool.create`, one thread at a time.

    Attributes
    ----------
    folder : Path
    committed : int
        Frames that are safe.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], lock: int) -> None:
        self.folder, self.header = folder, header
        self._layout = _Layout.of(header)
        self._lock: int | None = lock
        self._journal = os.open(folder / _JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._data: int | None = None
        self._name = ""
        self._lines: list[bytes] = []
        self.committed = 0

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        shape: Sequence[int],
        dtype: str,
        what: Mapping[str, Any],
        per_file: int = 2**62,
    ) -> Spool:
        """Begin a recording.

        Parameters
        ----------
        folder : Path
            Which is made; its name ends in ``.recording``.
        shape, dtype
            Of every frame; the type as NumPy writes it, with its byte order (``"<u2"``).
        what : mapping
            All that is needed to make a dataset of the frames, as JSON.
        per_file : int
            Frames in a file.

        Raises
        ------
        RecordingError
            The folder cannot be made.
        """
        header = {
            "shape": list(shape),
            "dtype": np.dtype(dtype).str,
            "per_file": per_file,
            "what": dict(what),
        }
        line = encode({"version": VERSION, "recording": header})
        try:
            folder.mkdir()
            lock = _locked(folder)
            if lock is None:
                raise RecordingError(
                    f"{folder}: recording: another process took the new folder. Begin again."
                )
            with (folder / _JOURNAL).open("xb") as journal:
                journal.write(line)
                journal.flush()
                os.fsync(journal.fileno())
            sync_folder(folder)
            sync_folder(folder.parent)
        except OSError as error:
            raise _unwritable(folder, error) from error
        return cls(folder, header, lock)

    def append(self, frames: NDArray[Any], notes: Sequence[Mapping[str, Any]]) -> None:
        """Write frames; they count only when `commit` has returned.

        Raises
        ------
        RecordingError
            The disk does not take them.
        """
        first = self.committed + len(self._lines)
        try:
            for index, (frame, note) in enumerate(zip(frames, notes, strict=True), start=first):
                data = np.ascontiguousarray(frame).data.cast("B")
                self._write(index, data)
                digest = hashlib.sha256(data).hexdigest()
                self._lines.append(encode({"frame": index, "sha256": digest, "note": dict(note)}))
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def commit(self) -> None:
        """Make what was appended durable.

        Raises
        ------
        RecordingError
            The disk does not take it.
        """
        if not self._lines:
            return
        try:
            assert self._data is not None
            os.fdatasync(self._data)
            _write_all(self._journal, memoryview(b"".join(self._lines)))
            os.fdatasync(self._journal)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        self.committed += len(self._lines)
        self._lines.clear()

    def end(self, reason: str, counters: Mapping[str, int | float]) -> None:
        """Commit, and write down how the recording ended.

        Raises
        ------
        RecordingError
            The disk does not take it.
        """
        self.commit()
        try:
            line = encode({"end": {"reason": reason, "counters": dict(counters)}})
            _write_all(self._journal, memoryview(line))
            os.fdatasync(self._journal)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def hold(self) -> int:
        """Return a descriptor that keeps the recording this process's own after `close`, for `recover`."""
        assert self._lock is not None
        return os.dup(self._lock)

    def close(self) -> None:
        """Let go of the files; the folder stays, for `recover`."""
        for descriptor in (self._data, self._journal, self._lock):
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._data = self._lock = None
        self._journal = -1

    def _write(self, index: int, data: memoryview) -> None:
        name, offset = self._layout.place(index)
        if name != self._name:
            if self._data is not None:
                os.fdatasync(self._data)
                os.close(self._data)
            self._data = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._name = name
            sync_folder(self.folder)
        assert self._data is not None
        os.lseek(self._data, offset, os.SEEK_SET)
        _write_all(self._data, data)


@dataclass(frozen=True)
class Recovered:
    """A recording that nobody writes any more; made by `recover`.

    Parameters
    ----------
    folder : Path
    journal : Journal
        With the committed frames whose bytes are there and have their hash.
    damaged : tuple of int
        Committed frames whose bytes are not what was written: the disk failed. They are not among the journal's.
    """

    folder: Path
    journal: Journal
    damaged: tuple[int, ...]

    @property
    def what(self) -> Mapping[str, Any]:
        """What the recording was begun with."""
        what: Mapping[str, Any] = self.journal.header["what"]
        return what

    @property
    def tail(self) -> int:
        """Bytes behind the last committed frame and the journal's last good line: what was still on its way."""
        layout = _Layout.of(self.journal.header)
        written = sum(path.stat().st_size for path in self.folder.glob("frames.*"))
        committed = len(self.journal.frames) + len(self.damaged)
        return max(0, written - committed * layout.size) + len(self.journal.torn)

    @property
    def complete(self) -> bool:
        """Whether it ended as it was meant to, with every frame."""
        return bool(self.journal.end and self.journal.end["reason"] == "complete" and not self.damaged)

    @property
    def files(self) -> list[Path]:
        """The files of frames, in order."""
        layout = _Layout.of(self.journal.header)
        count = -(-len(self.journal.frames) // layout.per_file)
        return [self.folder / f"frames.{number}" for number in range(count)]

    def frames(self) -> Iterator[NDArray[Any]]:
        """Give the good frames one by one."""
        layout = _Layout.of(self.journal.header)
        for record in self.journal.frames:
            yield _read(self.folder, layout, record.index)

    def truncate(self) -> None:
        """Cut off what follows the last good frame in its file.

        Raises
        ------
        RecordingError
            Frames before the last good one are damaged: what is left is no row of frames.
        """
        if self.damaged:
            raise RecordingError(
                f"{self.folder}: frames {_listed(self.damaged)} are damaged; take the others singly."
            )
        layout, count = _Layout.of(self.journal.header), len(self.journal.frames)
        kept = {path.name for path in self.files}
        for path in self.folder.glob("frames.*"):
            if path.name not in kept:
                path.unlink()
        if count:
            name, offset = layout.place(count - 1)
            os.truncate(self.folder / name, offset + layout.size)

    def discard(self) -> None:
        """Delete the recording: its name in one step, so that a crash leaves it whole or not at all."""
        leaving = self.folder.with_name(f".{self.folder.name}{_LEAVING}")
        shutil.rmtree(leaving, ignore_errors=True)
        self.folder.rename(leaving)
        sync_folder(self.folder.parent)
        shutil.rmtree(leaving, ignore_errors=True)


@contextlib.contextmanager
def recover(folder: Path, held: int | None = None) -> Iterator[Recovered | None]:
    """Look at what a recording left, holding it for the time of the block; gives None if it is still being written.

    Every committed frame is read and its hash compared.

    Parameters
    ----------
    folder : Path
    held : int, optional
        What `Spool.hold` gave to this process, and is given up at the end of the block.

    Raises
    ------
    RecordingError
        There is no readable journal.
    """
    try:
        lock = _locked(folder) if held is None else held
        if lock is None:
            yield None
            return
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        try:
            data = (folder / _JOURNAL).read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise RecordingError(
                f"{folder / _JOURNAL}: expected a recording's journal, found: {reason}. It was cut off before its "
                "first frame; delete the folder."
            ) from error
        journal = Journal.parse(data, str(folder / _JOURNAL))
        layout = _Layout.of(journal.header)
        good, damaged = [], []
        for record in journal.frames:
            frame = _read(folder, layout, record.index, missing_ok=True)
            if frame is not None and hashlib.sha256(frame.tobytes()).hexdigest() == record.sha256:
                good.append(record)
            else:
                damaged.append(record.index)
        yield Recovered(folder, Journal(journal.header, good, journal.end, journal.torn), tuple(damaged))
    finally:
        os.close(lock)


def sweep(folder: Path) -> None:
    """Delete what is left of recordings whose deletion a crash cut off."""
    for leaving in folder.glob(f".*{SUFFIX}{_LEAVING}"):
        shutil.rmtree(leaving, ignore_errors=True)


def spools(folder: Path) -> list[Path]:
    """Recordings in a folder, sorted by name."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_dir())


def _read(folder: Path, layout: _Layout, index: int, *, missing_ok: bool = False) -> NDArray[Any]:
    name, offset = layout.place(index)
    count = math.prod(layout.shape)
    try:
        frame = np.fromfile(folder / name, layout.dtype, count, offset=offset)
    except OSError:
        frame = np.empty(0, layout.dtype)
    if frame.size != count:
        if missing_ok:
            return None  # type: ignore[return-value]
        raise RecordingError(f"{folder / name}: expected frame {index}, found the file's end.")
    return frame.reshape(layout.shape)


def _locked(folder: Path) -> int | None:
    """Take the lock that says that somebody writes here; None if somebody does."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # The kernel lets go of it when the process ends, however it ends.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _unwritable(folder: Path, error: OSError) -> RecordingError:
    return RecordingError(
        f"{folder}: recording: {error.strerror or error}. Free the disk or mend it, or choose another folder; what was "
        "committed is safe (`nixel datasets repair`)."
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (" …" if len(numbers) > 10 else "")
