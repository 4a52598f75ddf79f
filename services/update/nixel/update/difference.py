"""What changes from one described system to another: a pure function of two documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nixel.update import document
from nixel.update.switching import Change, changes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nixel.update.document import Document
    from nixel.update.identity import Identity
    from nixel.update.switching import UnitChange
    from nixel.update.unitfile import Unit


@dataclass(frozen=True, slots=True)
class System:
    """One of the two systems."""

    path: str
    identity: Identity | None
    nixos: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program whose versions differ; none before: it is new; none after: it is gone."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A file below /etc, or a mount point, that changes."""

    path: str
    change: Change


@dataclass(frozen=True, slots=True)
class Restart:
    """A part that only a restart of the machine replaces, with what is known of it before and after."""

    part: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes.

    Attributes
    ----------
    old, new
        The two systems.
    same
        Whether they are one.
    newer_by
        How much newer the new one's source is, in s; `None` if one does not say.
    foreign
        What is not equal and must be (product, host): before, after.
    untried
        Why the machine cannot switch to it while the old one runs; empty if it can.
    restart
        What only a restart replaces.
    parameters_gone, parameters_new
        Of the kernel.
    systemd
        Its version before and after, if they differ.
    programs, units, files, mounts
        What changes of each.
    new_paths, all_paths
        How many store paths the new system has that the old one lacks, and how many in all.
    new_bytes
        The size of the former; `None` if it is not known.
    incomplete
        Tables of which a document names a part only, so that a change may be missing here.
    """

    old: System
    new: System
    same: bool
    newer_by: int | None
    foreign: tuple[tuple[str, str, str], ...]
    untried: tuple[str, ...]
    restart: tuple[Restart, ...]
    parameters_gone: tuple[str, ...]
    parameters_new: tuple[str, ...]
    systemd: tuple[str, str] | None
    programs: tuple[Program, ...]
    units: tuple[UnitChange, ...]
    files: tuple[Named, ...]
    mounts: tuple[Named, ...]
    new_paths: int
    all_paths: int
    new_bytes: int | None
    incomplete: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing that a document tells of changes; the store paths may differ all the same."""
        return not (
            self.restart
            or self.parameters_gone
            or self.parameters_new
            or self.systemd
            or self.programs
            or self.units
            or self.files
            or self.mounts
            or self.foreign
            or self.untried
        )


def difference(old: object, new: object, active: Collection[str] | None = None) -> Difference:
    """Tell what changes.

    Parameters
    ----------
    old
        The document of the system that is there, as `describe` makes it.
    new
        That of the system that is to come.
    active
        The units that run; `None` if that is not known.

    Returns
    -------
    Difference
        Everything sorted by name.

    Raises
    ------
    Refusal
        If one is no document that this program understands.
    """
    before = document.parse(old, "The old system")
    after = document.parse(new, "The new system")
    incomplete = tuple(sorted(set(before.left_out) | set(after.left_out)))
    added = set(after.paths) - set(before.paths) if "paths" not in incomplete else set()
    sizes = [after.paths[each] for each in added]
    return Difference(
        old=System(before.path, before.identity, before.nixos),
        new=System(after.path, after.identity, after.nixos),
        same=before.path == after.path,
        newer_by=after.identity.date - before.identity.date if before.identity and after.identity else None,
        foreign=_foreign(before.identity, after.identity),
        untried=_untried(before, after),
        restart=_restart(before, after),
        parameters_gone=_without(before.parameters, after.parameters),
        parameters_new=_without(after.parameters, before.parameters),
        systemd=(before.systemd, after.systemd) if before.systemd != after.systemd else None,
        programs=tuple(
            Program(name, tuple(before.packages.get(name, ())), tuple(after.packages.get(name, ())))
            for name in _differing(before.packages, after.packages, "packages" in incomplete)
        ),
        units=changes(
            *_common(before.units, after.units, "units" in incomplete),
            active,
        ),
        files=_named(before.etc, after.etc, _about_file, "etc" in incomplete),
        mounts=_named(before.mounts, after.mounts, lambda _old, _new: Change.DIFFERS, False),
        new_paths=len(added),
        all_paths=len(after.paths) + after.left_out.get("paths", 0),
        new_bytes=None if "paths" in incomplete or -1 in sizes else sum(sizes),
        incomplete=incomplete,
    )


def _foreign(old: Identity | None, new: Identity | None) -> tuple[tuple[str, str, str], ...]:
    if old is None or new is None:
        return ()
    found = (("product", old.product, new.product), ("host", old.host, new.host))
    return tuple(each for each in found if each[1] != each[2])


def _untried(old: Document, new: Document) -> tuple[str, ...]:
    """As switch-to-configuration and NixOS's own check before it decide."""
    facts = [
        ("systemd's interface", old.interface, new.interface),
        *((key, old.inhibitors[key], new.inhibitors.get(key)) for key in sorted(old.inhibitors)),
    ]
    return tuple(
        f"{name} ({before or 'none'} -> {after or 'none'})"
        for name, before, after in facts
        if after is not None and before != after
    )


def _restart(old: Document, new: Document) -> tuple[Restart, ...]:
    versions = {"kernel": (old.kernel, new.kernel), "kernel-modules": (old.kernel, new.kernel)}
    found = [Restart(part, *versions.get(part, ("", ""))) for part in _differing(old.parts, new.parts)]
    if old.parameters != new.parameters:
        found.append(Restart("kernel-parameters", " ".join(old.parameters), " ".join(new.parameters)))
    return tuple(found)


def _without(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in some if each not in others)


def _common(
    old: Mapping[str, Unit], new: Mapping[str, Unit], common_only: bool
) -> tuple[Mapping[str, Unit], Mapping[str, Unit]]:
    if not common_only:
        return old, new
    both = set(old) & set(new)
    return {name: old[name] for name in both}, {name: new[name] for name in both}


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], common_only: bool = False) -> list[str]:
    names = set(old) & set(new) if common_only else set(old) | set(new)
    return sorted(name for name in names if old.get(name) != new.get(name))


def _about_file(old: list[str], new: list[str]) -> Change:
    return Change.DIFFERS if old[1] != new[1] else Change.STORE_PATHS


def _named(
    old: Mapping[str, list[str]],
    new: Mapping[str, list[str]],
    about: Callable[[list[str], list[str]], Change],
    common_only: bool,
) -> tuple[Named, ...]:
    found = []
    for path in _differing(old, new, common_only):
        if path not in old:
            found.append(Named(path, Change.NEW))
        elif path not in new:
            found.append(Named(path, Change.GONE))
        else:
            found.append(Named(path, about(old[path], new[path])))
    return tuple(found)
