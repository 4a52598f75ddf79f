"""A stick, checked whole before anything is taken from it. It is only read, and so is the machine's store."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from nixel.update import keys
from nixel.update.manifest.model import MOST_BYTES, MOST_NARINFO_BYTES, MOST_SIGNATURE_BYTES
from nixel.update.manifest.parse import CACHE_INFO, HOST, README, parse
from nixel.update.manifest.verify import authentic, complete, differing, fits, some
from nixel.update.progress import nobody
from nixel.update.refusal import Refusal
from nixel.update.stick import layout, narinfo
from nixel.update.stick.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from nixel.update.identity import Identity
    from nixel.update.keys import PublicKey
    from nixel.update.manifest.model import Entry, File, Info, Manifest
    from nixel.update.progress import Progress

    # What the machine's store knows of paths; `None` for one that it lacks.
    Known = Callable[[Sequence[str]], Mapping[str, Info | None]]

_AGAIN = "Do not use this stick; have it written again."
_CHECKERS = min(os.cpu_count() or 1, 8)


@dataclass(frozen=True, slots=True)
class Verified:
    """A manifest that a trusted key signed.

    Attributes
    ----------
    manifest
        What it says.
    key
        The name of the key.
    content, signature
        The bytes of both, for passing on exactly what was checked.
    cache
        The stick's binary cache, as Nix names it.
    """

    manifest: Manifest
    key: str
    content: bytes
    signature: bytes
    cache: str

    @property
    def brings(self) -> tuple[Entry, ...]:
        """The paths that are on the stick."""
        return tuple(each for each in self.manifest.paths if not each.present)

    @property
    def size(self) -> int:
        """How much the stick holds for this host, in bytes."""
        return sum(each.size for each in _nars(self.manifest))


def hosts(folder: Path) -> list[str]:
    """List for which hosts a stick says that it brings something; nothing is checked.

    Parameters
    ----------
    folder
        The stick's folder.

    Returns
    -------
    list of str
        Their names, sorted.

    Raises
    ------
    Refusal
        If it is no folder.
    """
    with Folder(folder) as stick:
        return [name for name in stick.names(layout.HOSTS) if HOST.fullmatch(name)]


def read(folder: Path, host: str, trusted: Sequence[PublicKey]) -> Verified:
    """Read a host's manifest, and check what follows from it alone: who signed it, and that it is complete.

    Parameters
    ----------
    folder
        The stick's folder.
    host
        The host's name.
    trusted
        The keys of which one must have signed.

    Returns
    -------
    Verified
        The files that it lists are not looked at yet.

    Raises
    ------
    Refusal
        If there is none for that host, or it does not hold.
    """
    if not HOST.fullmatch(host):
        raise Refusal(f"{host!r} is no host's name, so no stick can be for it.", "Name the host otherwise.")
    with Folder(folder) as stick:
        offered = [name for name in stick.names(layout.HOSTS) if HOST.fullmatch(name)]
        if not offered:
            raise Refusal(
                f"{folder} is no stick of nixel: it holds no {layout.HOSTS}.", "Name the stick's folder."
            )
        if host not in offered:
            raise Refusal(
                f"This stick is for {some(offered)}, and this machine is {host}.", "Use this machine's stick."
            )
        content = stick.read(layout.manifest(host), MOST_BYTES)
        signature = stick.read(layout.signature(host), MOST_SIGNATURE_BYTES)
    where = str(folder / layout.manifest(host))
    key = authentic(content, signature, trusted, where)
    manifest = parse(content, where)
    if manifest.host != host:
        raise Refusal(f"{where} is for the host {manifest.host}.", _AGAIN)
    complete(manifest)
    return Verified(manifest, key, content, signature, cache(folder))


def cache(folder: Path) -> str:
    """Name a stick's binary cache as Nix does.

    Parameters
    ----------
    folder
        The stick's folder.

    Returns
    -------
    str
        An URL.
    """
    # A stick's name may hold spaces, and what an URL takes for its end.
    return f"file://{quote(str((folder / layout.CACHE).absolute()))}"


def verify(
    folder: Path,
    host: str,
    trusted: Sequence[PublicKey],
    *,
    running: Identity | None = None,
    allow_older: bool = False,
    known: Known | None = None,
    progress: Progress = nobody,
) -> Verified:
    """Check everything on a stick that a host would use; the cheap checks come first.

    Parameters
    ----------
    folder
        The stick's folder; it may be mounted read-only.
    host
        The host's name.
    trusted
        The keys of which one must have signed the manifest, and one each path.
    running
        Whose system the machine runs; `None` off the machine, where that cannot be compared.
    allow_older
        Whether somebody asked for an older system in so many words.
    known
        Asks the machine's store; `None` off the machine, where left-out paths cannot be looked for.
    progress
        Told how much was read.

    Returns
    -------
    Verified
        What may be copied.

    Raises
    ------
    Refusal
        At the first thing that does not hold.
    """
    found = read(folder, host, trusted)
    manifest = found.manifest
    if running is not None:
        fits(manifest, running, allow_older=allow_older)
    with Folder(folder) as stick:
        if {each.name for each in manifest.files} != {README, CACHE_INFO}:
            raise Refusal(f"The manifest for {host} pins no {README} and {CACHE_INFO}.", _AGAIN)
        nars = _nars(manifest)
        for file in (*manifest.files, *_narinfos(found.brings), *nars):
            stick.check_size(file)
        for file in manifest.files:
            stick.check(file)
        with ThreadPoolExecutor(_CHECKERS) as pool:
            # Taken in order, so that the first fault is the one that is named, and the rest is not begun.
            try:
                for _ in pool.map(lambda each: _check_path(stick, each, trusted), found.brings):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if known is not None:
            _check_present(manifest, known)
        done, total = 0, sum(each.size for each in nars)

        def moved(count: int) -> None:
            nonlocal done
            done += count
            progress(min(done, total), total)

        for file in nars:
            stick.check(file, moved)
    return found


def _check_path(stick: Folder, entry: Entry, trusted: Sequence[PublicKey]) -> None:
    """Check a path's narinfo against the manifest, and that a trusted key vouches for the path itself.

    Nix would take a content-addressed path without a signature; here each path has one.
    """
    if entry.narinfo is None or entry.nar is None:
        raise Refusal(f"The manifest says of no file that it holds {entry.path}.", _AGAIN)
    content = stick.read(entry.narinfo.name, MOST_NARINFO_BYTES)
    where = stick.path / entry.narinfo.name
    if hashlib.sha256(content).hexdigest() != entry.narinfo.sha256:
        raise Refusal(f"{where} is damaged or was changed: the manifest pins other bytes.", _AGAIN)
    try:
        found = narinfo.parse(content)
    except ValueError as error:
        raise Refusal(f"{where} is no narinfo: {error}.", _AGAIN) from error
    differs = narinfo.differences(found, entry, entry.nar)
    if differs:
        raise Refusal(f"{where} says another {' and '.join(differs)} than the manifest.", _AGAIN)
    if keys.signed_by(trusted, found.signatures, entry.fingerprint) is None:
        raise Refusal(f"{entry.path} is signed by no key that this machine trusts ({where}).", _AGAIN)


def _check_present(manifest: Manifest, known: Known) -> None:
    """Check that what the stick leaves out is in the machine's store, as it was in its maker's."""
    left_out = [each for each in manifest.paths if each.present]
    if not left_out:
        return
    lacking, other = differing(left_out, known([each.path for each in left_out]))
    if lacking or other:
        what = f"lacks {some(lacking)}" if lacking else f"has another {some(other)}"
        raise Refusal(
            f"This stick leaves out what {manifest.since} consists of, and this machine {what}.",
            "Have a stick written without --since.",
        )


def _narinfos(entries: Iterable[Entry]) -> list[File]:
    return [each.narinfo for each in entries if each.narinfo is not None]


def _nars(manifest: Manifest) -> list[File]:
    """Each archive once: two paths with the same content share one."""
    return sorted({each.nar for each in manifest.paths if each.nar is not None}, key=lambda each: each.name)
