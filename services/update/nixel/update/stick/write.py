"""A stick, written or brought up to date: shared paths once, the manifests last, and everything read back."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nixel.update import identity, keys
from nixel.update.failure import Failure
from nixel.update.manifest.build import build
from nixel.update.manifest.model import MOST_BYTES, PREFIX, Entry
from nixel.update.manifest.verify import some
from nixel.update.progress import nobody
from nixel.update.refusal import Refusal
from nixel.update.stick import layout
from nixel.update.stick.cache import Cache, put
from nixel.update.stick.folder import Folder
from nixel.update.stick.verify import hosts, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nixel.update.identity import Identity
    from nixel.update.keys import SecretKey
    from nixel.update.manifest.model import File, Info, Manifest
    from nixel.update.nix import Nix
    from nixel.update.progress import Progress

    # Given what begins now, in a word or two, gives whom to tell how far it is.
    Stage = Callable[[str], Progress]


@dataclass(frozen=True, slots=True)
class Source:
    """From where the systems come.

    Attributes
    ----------
    nix
        Asks their store.
    root
        The folder in which that `/nix/store` stands.
    describe
        Says what a system brings, given its folder.
    """

    nix: Nix
    root: Path
    describe: Callable[[Path], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class About:
    """What a manifest says of its making.

    Attributes
    ----------
    made
        When, in s since 1970.
    made_by
        By which program.
    note
        What its maker says; one line.
    """

    made: int
    made_by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What was done.

    Attributes
    ----------
    hosts
        For whom, sorted.
    copied
        The store paths that were not on the stick before, sorted.
    shared
        How many were.
    size
        What the stick holds for these hosts, in bytes; what they share is counted once.
    removed
        How many files went that no host needs any more.
    stale
        Other hosts whose manifests no longer hold, because something that they share had to be written anew.
    """

    hosts: tuple[str, ...]
    copied: tuple[str, ...]
    shared: int
    size: int
    removed: int
    stale: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _System:
    path: str
    identity: Identity
    closure: Mapping[str, Info]
    present: frozenset[str]
    description: Mapping[str, Any]


def write(
    folder: Path,
    systems: Sequence[str],
    key: SecretKey,
    source: Source,
    about: About,
    *,
    since: str | None = None,
    stage: Stage = lambda _: nobody,
) -> Written:
    """Write systems to a stick; what is on it for other hosts stays.

    Parameters
    ----------
    folder
        The stick's folder; made if it is missing.
    systems
        The store paths of the toplevels, one for each host.
    key
        What signs the paths and the manifests.
    source
        Where the systems are.
    about
        What the manifests say of their making.
    since
        The store path of a system that every one of those machines has; its paths are left out.
    stage
        Told what begins, and then how far it is.

    Returns
    -------
    Written
        What was done.

    Raises
    ------
    Refusal
        If such systems would be refused by their machines, or the stick holds what another key signed; it is as
        before.
    Failure
        If the stick cannot be written, or a path in the store is damaged. What is whole on the stick
        stays, and the next try goes on from there.
    """
    known = frozenset() if since is None else frozenset(source.nix.closure(since))
    planned = _plan(systems, source, about, since, known)
    try:
        folder.mkdir(exist_ok=True)
        with _alone(folder):
            return _write(folder, planned, key, source, about, since, stage)
    except OSError as error:
        raise Failure(
            f"The stick could not be written ({error.filename or folder}): {error.strerror or error}.",
            "Make room or take another stick, and write again: what is on it is not written twice.",
        ) from error


def _plan(
    systems: Sequence[str], source: Source, about: About, since: str | None, known: frozenset[str]
) -> dict[str, _System]:
    """Find everything out, and refuse what can be refused, before the stick is touched."""
    planned: dict[str, _System] = {}
    for path in systems:
        place = source.root / path.lstrip("/")
        whose = identity.read(place)
        if whose.host in planned:
            raise Refusal(
                f"{planned[whose.host].path} and {path} are both for {whose.host}.", "Name one system a host."
            )
        closure = source.nix.closure(path)
        present = frozenset(closure) & known
        system = _System(path, whose, closure, present, source.describe(place))
        _manifest(system, about, since, (), None)
        planned[whose.host] = system
    if not planned:
        raise Refusal("No system was named.", "Name at least one.")
    return planned


def _manifest(
    system: _System,
    about: About,
    since: str | None,
    files: Sequence[File],
    stored: Mapping[str, tuple[File, File]] | None,
) -> Manifest:
    return build(
        system.path,
        system.identity,
        system.closure,
        made=about.made,
        made_by=about.made_by,
        note=about.note,
        description=system.description,
        since=since,
        present=system.present,
        files=files,
        stored=stored,
    )


def _write(
    folder: Path,
    planned: Mapping[str, _System],
    key: SecretKey,
    source: Source,
    about: About,
    since: str | None,
    stage: Stage,
) -> Written:
    others, pinned = _there(folder, planned, key)
    cache = Cache(folder, key)
    files = cache.begin()
    needed = {
        info.path: Entry(info.path, info.nar_hash, info.nar_size, info.references, info.ca)
        for system in planned.values()
        for info in system.closure.values()
        if info.path not in system.present
    }
    stored, todo = {}, []
    for entry in needed.values():
        found = cache.stored(entry, pinned)
        if found is None:
            todo.append(entry)
        else:
            stored[entry.path] = found
    added = cache.add(todo, source.root, stage("Writing"))
    cache.read_back(added.values(), stage("Reading back"))
    stored |= added
    manifests = [_manifest(system, about, since, files, stored) for system in planned.values()]
    for manifest in manifests:
        content = manifest.encode()
        if len(content) > MOST_BYTES:
            raise Refusal(
                f"The manifest for {manifest.host} has {len(content)} bytes; at most {MOST_BYTES} are taken.",
                "Make the system smaller.",
            )
        signature = keys.sign(key, PREFIX + content)
        put(folder, layout.manifest(manifest.host), content)
        put(folder, layout.signature(manifest.host), signature.encode() + b"\n")
    needed_files = {name for manifest in (*manifests, *others) for name in _names(manifest)}
    return Written(
        hosts=tuple(sorted(planned)),
        copied=tuple(sorted(added)),
        shared=len(needed) - len(added),
        size=sum(each.size for each in {nar for _, nar in stored.values()}),
        removed=cache.keep_only(needed_files),
        stale=tuple(sorted(other.host for other in others if _stale(other, stored))),
    )


def _there(
    folder: Path, planned: Mapping[str, _System], key: SecretKey
) -> tuple[list[Manifest], frozenset[File]]:
    """The manifests of the hosts that stay, and every file that a manifest on the stick vouches for."""
    staying: list[Manifest] = []
    pinned: set[File] = set()
    foreign: list[str] = []
    with Folder(folder) as stick:
        # Where this program writes, no link of a stick may lead elsewhere.
        for below in (layout.CACHE, layout.NARS, *(f"{layout.HOSTS}/{host}" for host in planned)):
            stick.names(below)
    for host in hosts(folder):
        try:
            manifest = read(folder, host, [key.public]).manifest
        except Refusal:
            # One that is about to be written anew need not hold.
            if host not in planned:
                foreign.append(host)
            continue
        pinned |= {file for each in manifest.paths for file in (each.narinfo, each.nar) if file is not None}
        if host not in planned:
            staying.append(manifest)
    if foreign:
        raise Refusal(
            f"{folder} holds systems for {some(foreign)} that the key {key.public.name} did not sign, or whose "
            "writing was cut off.",
            f"Write those hosts as well, remove their folders below {folder / layout.HOSTS}, or take another stick.",
        )
    return staying, frozenset(pinned)


def _names(manifest: Manifest) -> Iterator[str]:
    for each in manifest.paths:
        yield from (file.name for file in (each.narinfo, each.nar) if file is not None)


def _stale(manifest: Manifest, stored: Mapping[str, tuple[File, File]]) -> bool:
    return any(
        each.narinfo is not None and each.path in stored and stored[each.path] != (each.narinfo, each.nar)
        for each in manifest.paths
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the stick: two that write at once would sweep away each other's files."""
    with Folder(folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refusal(
                f"{folder} is being written by somebody else.", "Wait until that has ended."
            ) from error
        yield
    finally:
        os.close(handle)
