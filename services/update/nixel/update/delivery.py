"""How a system that was found good gets into this machine's store, and that it is there as it was signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.update.failure import Failure
from nixel.update.manifest import arrived
from nixel.update.stick.verify import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nixel.update.manifest.model import Entry, Manifest
    from nixel.update.nix import Nix

# A batch is in the store when it is done: what a pulled stick or a power cut costs at most.
_BATCH_BYTES = 64 * 1024 * 1024
_BATCH_PATHS = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """A system on its way.

    Attributes
    ----------
    manifest
        What it consists of, as signed.
    nix
        The machine's store.
    stick
        The folder of the stick that brings the paths; `None` if somebody has copied them into the store already.
    trusted_keys
        The keys of which one must have signed each path.
    """

    manifest: Manifest
    nix: Nix
    stick: Path | None
    trusted_keys: tuple[str, ...]

    def bring(self, progress: Callable[[int, int], None]) -> None:
        """Copy what is missing, and compare the store with what was signed.

        Parameters
        ----------
        progress
            Told the bytes done and the bytes in all.

        Raises
        ------
        Failure
            If it cannot be copied, or the store holds something else. What was copied stays, and is not copied again.
        """
        paths = [each.path for each in self.manifest.paths]
        known = self.nix.path_info(paths)
        missing = [each for each in self.manifest.paths if known.get(each.path) is None]
        if missing and self.stick is not None:
            try:
                self._copy(missing, self.stick, progress)
            except Failure as failure:
                # Nix names the first file that it misses; a technician has to know that it is the stick. (It makes a
                # new cache where it finds none, so that only the paths themselves tell.)
                files = [each.narinfo.name for each in missing if each.narinfo is not None]
                if not all((self.stick / each).is_file() for each in files):
                    raise Failure(
                        f"{self.stick} is gone: the stick was pulled out, or cannot be read any more.",
                        "Plug it in again.",
                    ) from failure
                raise
            known = self.nix.path_info(paths)
        arrived(self.manifest, known)

    def _copy(self, missing: Sequence[Entry], stick: Path, progress: Callable[[int, int], None]) -> None:
        total = sum(each.nar_size for each in missing)
        done = 0
        progress(done, total)
        for batch in batches(missing):
            size = sum(each.nar_size for each in batch)
            # Root may switch these checks off; here they are on, whatever the machine's own settings say.
            self.nix.copy(
                {each.path: each.nar_size for each in batch},
                *("--from", cache(stick), "--option", "require-sigs", "true"),
                *("--option", "trusted-public-keys", " ".join(self.trusted_keys)),
                progress=lambda moved, _, before=done: progress(before + moved, total),  # type: ignore[misc]
            )
            done += size
            progress(done, total)


def batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Order paths so that each comes after those that it names, in portions.

    Parameters
    ----------
    entries
        Paths of one closure; what they name elsewhere is in the store already.

    Returns
    -------
    iterator of list of Entry
        All of them, each once.
    """
    batch: list[Entry] = []
    size = 0
    for entry in _ordered({each.path: each for each in entries}):
        batch.append(entry)
        size += entry.nar_size
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_PATHS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _ordered(entries: Mapping[str, Entry]) -> Iterator[Entry]:
    """Depth first without recursion: a chain of references may be longer than Python's stack."""
    entered: set[str] = set()
    left: set[str] = set()
    for start in sorted(entries):
        todo = [(start, False)]
        while todo:
            path, leave = todo.pop()
            if leave:
                if path not in left:
                    left.add(path)
                    yield entries[path]
            elif path not in entered:
                entered.add(path)
                todo.append((path, True))
                todo += [
                    (each, False)
                    for each in entries[path].references
                    if each in entries and each not in entered
                ]
