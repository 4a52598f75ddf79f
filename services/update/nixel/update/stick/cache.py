"""The binary cache of a stick, written path by path.

Each archive is hashed as it is read, so that a damaged store is found here and not at the machine, and is on the stick
before its narinfo appears. What a manifest does not vouch for yet is read again before it is relied on: a stick that
was pulled may hold anything.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING

from nixel.update import disk, hashes, keys
from nixel.update.failure import Failure
from nixel.update.manifest.model import MOST_NARINFO_BYTES, File
from nixel.update.manifest.parse import CACHE_INFO, README, narinfo_name
from nixel.update.refusal import Refusal
from nixel.update.stick import layout, nar, narinfo
from nixel.update.stick.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from nixel.update.keys import SecretKey
    from nixel.update.manifest.model import Entry
    from nixel.update.progress import Progress

    # A path's narinfo and its archive.
    Stored = tuple[File, File]

# xz at its usual setting takes 100 MB for each archive under way.
_WRITERS = min(os.cpu_count() or 1, 4)
_PART = ".part"
# Only what this program writes is ever removed.
_LEFT_OVER = re.compile(rf"[{hashes.DIGITS}]{{32}}\.part|\..*\.nixel-new")
_KEPT = re.compile(rf"[{hashes.DIGITS}]{{32}}\.narinfo|[{hashes.DIGITS}]{{52}}\.nar\.xz")


class _Stopped(Exception):  # noqa: N818 (it tells a thread to end)
    """Another archive failed."""


class Cache:
    """The cache of one stick, of which this program is the only writer.

    Parameters
    ----------
    folder
        The stick's folder.
    key
        What signs its paths.
    """

    def __init__(self, folder: Path, key: SecretKey) -> None:
        self._folder = folder
        self._key = key

    def begin(self) -> tuple[File, ...]:
        """Make the cache's folders, sweep out what a pulled stick left half written, and write the two fixed files.

        Returns
        -------
        tuple of File
            Those two.
        """
        for below in (layout.NARS, *layout.EMPTY):
            (self._folder / below).mkdir(parents=True, exist_ok=True)
        self._remove(lambda name: _LEFT_OVER.fullmatch(name) is not None)
        return tuple(
            put(self._folder, name, text)
            for name, text in ((README, layout.README_TEXT), (CACHE_INFO, layout.CACHE_INFO_TEXT))
        )

    def stored(self, entry: Entry, pinned: Collection[File]) -> Stored | None:
        """Look whether a path is on the stick as it should be.

        Parameters
        ----------
        entry
            The path.
        pinned
            The files that a manifest signed by this key vouches for: of those archives a look at the size will do,
            others are read.

        Returns
        -------
        tuple of File or None
            Its narinfo and its archive; `None` if they are missing, damaged, or not signed by this key.
        """
        name = narinfo_name(entry.path)
        with Folder(self._folder) as stick:
            try:
                content = stick.read(name, MOST_NARINFO_BYTES)
                found = narinfo.parse(content)
                files = (_file(name, content), _archive(found.file_hash, found.file_size))
                ours = [self._key.public]
                if narinfo.differences(found, entry, files[1]) or not (
                    files[0] in pinned or keys.signed_by(ours, found.signatures, entry.fingerprint)
                ):
                    return None
                (stick.check_size if files[1] in pinned else stick.check)(files[1])
            except (Refusal, ValueError):
                return None
        return files

    def add(self, entries: Collection[Entry], store: Path, progress: Progress) -> dict[str, Stored]:
        """Write paths, several at a time.

        Parameters
        ----------
        entries
            The paths.
        store
            The folder in which their `/nix/store` stands.
        progress
            Told how much of them was read.

        Returns
        -------
        dict
            Each path's narinfo and archive.

        Raises
        ------
        Failure
            If the store's copy of a path is damaged.
        OSError
            If something cannot be read or written; what is whole on the stick stays.
        """
        total = sum(each.nar_size for each in entries)
        done, lock, stop = 0, threading.Lock(), threading.Event()

        def moved(count: int) -> None:
            nonlocal done
            if stop.is_set():
                raise _Stopped
            with lock:
                done += count
                progress(min(done, total), total)

        progress(0, total)
        with ThreadPoolExecutor(_WRITERS) as pool:
            # The largest first: one alone cannot be shared out.
            todo = sorted(entries, key=lambda each: -each.nar_size)
            under_way = {each.path: pool.submit(self._add, each, store, moved) for each in todo}
            try:
                wait(under_way.values(), return_when=FIRST_EXCEPTION)
                for each in under_way.values():
                    if each.done() and (error := each.exception()) is not None:
                        raise error
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
        stored = {path: each.result() for path, each in under_way.items()}
        for narinfo_file, _ in stored.values():
            _flush(self._folder / narinfo_file.name)
        for below in (layout.CACHE, layout.NARS):
            disk.settle(self._folder / below)
        return stored

    def read_back(self, stored: Collection[Stored], progress: Progress) -> None:
        """Read archives from the stick: some sticks lose what was written to them.

        Parameters
        ----------
        stored
            What was written.
        progress
            Told how much was read.

        Raises
        ------
        Failure
            If one is not what was written.
        """
        archives = {each for _, each in stored}
        done, total = 0, sum(each.size for each in archives)

        def moved(count: int) -> None:
            nonlocal done
            done += count
            progress(done, total)

        with Folder(self._folder) as stick:
            for each in sorted(archives, key=lambda each: each.name):
                try:
                    stick.check(each, moved)
                except Refusal as error:
                    raise Failure(
                        f"{error.what} It was written a moment ago.",
                        "Write again; if it happens again, take another stick.",
                    ) from error

    def keep_only(self, names: Collection[str]) -> int:
        """Remove the paths that no manifest needs any more.

        Parameters
        ----------
        names
            The files to keep, below the stick's folder.

        Returns
        -------
        int
            How many files were removed.
        """
        kept = {name.rpartition("/")[2] for name in names}
        return self._remove(lambda name: _KEPT.fullmatch(name) is not None and name not in kept)

    def _add(self, entry: Entry, store: Path, moved: Callable[[int], None]) -> Stored:
        part = self._folder / layout.NARS / (entry.path[len("/nix/store/") :][:32] + _PART)
        try:
            archive = _pack(entry, store, part, moved)
            part.replace(self._folder / archive.name)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        signature = keys.sign(self._key, entry.fingerprint)
        content = narinfo.render(entry, archive, signature)
        name = narinfo_name(entry.path)
        new = self._folder / layout.CACHE / f"{name[len(layout.CACHE) + 1 :][:32]}{_PART}"
        new.write_bytes(content)
        new.replace(self._folder / name)
        return _file(name, content), archive

    def _remove(self, unwanted: Callable[[str], bool]) -> int:
        count = 0
        for below in (layout.CACHE, layout.NARS):
            for each in sorted((self._folder / below).iterdir()):
                if unwanted(each.name) and (each.is_symlink() or each.is_file()):
                    each.unlink()
                    count += 1
        return count


def put(folder: Path, name: str, content: bytes) -> File:
    """Write a small file, unless it is there already.

    Parameters
    ----------
    folder
        The stick's folder.
    name
        Below it.
    content
        What.

    Returns
    -------
    File
        As a manifest pins it.
    """
    file = _file(name, content)
    with Folder(folder) as stick:
        try:
            stick.check(file)
        except Refusal:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            disk.write(place, content, None)
            # Everybody may read it, where the stick's file system knows of that.
            with suppress(OSError):
                place.chmod(0o644)
            disk.settle(place.parent.parent)
    return file


def _pack(entry: Entry, store: Path, part: Path, moved: Callable[[int], None]) -> File:
    """Write a path's compressed archive, and be sure that it is the path that the store's database knows."""
    packer = lzma.LZMACompressor()
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    with part.open("wb") as stream:

        def write(block: bytes) -> None:
            nonlocal size
            packed.update(block)
            size += len(block)
            stream.write(block)

        for block in nar.archive(store / entry.path.lstrip("/")):
            plain.update(block)
            write(packer.compress(block))
            moved(len(block))
        write(packer.flush())
        stream.flush()
        os.fsync(stream.fileno())
    if hashes.canonical(plain.digest()) != entry.nar_hash:
        raise Failure(
            f"{entry.path} in this machine's store is damaged: it is not what the store's database says.",
            f"Repair it: nix store repair {entry.path}",
        )
    return _archive(packed.digest(), size)


def _archive(digest: bytes, size: int) -> File:
    return File(f"{layout.NARS}/{hashes.base32(digest)}.nar.xz", digest.hex(), size)


def _file(name: str, content: bytes) -> File:
    return File(name, hashlib.sha256(content).hexdigest(), len(content))


def _flush(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
