"""What changes from one described system to another: a pure function of two documents.

What happens to units follows nixpkgs' switch-to-configuration-ng. It acts on units that run; unless the caller knows
which do, those that the old system starts by itself are taken to run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from nixel.update import document
from nixel.update.unitfile import WhenChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nixel.update.document import Document
    from nixel.update.identity import Identity
    from nixel.update.unitfile import Unit


class Happens(Enum):
    """What the switch does with a unit."""

    RESTARTS = "restarts"
    STOPS_UNTIL_USED = "stops-until-used"
    RELOADS = "reloads"
    STARTS = "starts"
    STOPS = "stops"
    STAYS_OLD = "stays-old"
    APPLIES = "applies"
    ON_DEMAND = "on-demand"


class Change(Enum):
    """What happened to a file or a mount point."""

    NEW = "new"
    GONE = "gone"
    DIFFERS = "differs"
    STORE_PATHS = "store-paths"


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
class UnitChange:
    """A unit that changes, and what happens to it; `along_with` names the unit because of which, if not its own."""

    name: str
    description: str
    happens: Happens
    along_with: str = ""


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
        units=_units(before, after, active, "units" in incomplete),
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
    found = []
    if old.interface != new.interface:
        found.append(f"systemd's interface ({old.interface or 'none'} -> {new.interface or 'none'})")
    for key in sorted(set(old.inhibitors) & set(new.inhibitors)):
        if old.inhibitors[key] != new.inhibitors[key]:
            found.append(f"{key} ({old.inhibitors[key]} -> {new.inhibitors[key]})")
    return tuple(found)


def _restart(old: Document, new: Document) -> tuple[Restart, ...]:
    versions = {"kernel": (old.kernel, new.kernel), "kernel-modules": (old.kernel, new.kernel)}
    found = [
        Restart(part, *versions.get(part, ("", "")))
        for part in _differing(old.parts, new.parts)
        if old.parts.get(part) != new.parts.get(part)
    ]
    if old.parameters != new.parameters:
        found.append(Restart("kernel-parameters", " ".join(old.parameters), " ".join(new.parameters)))
    return tuple(found)


def _without(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in some if each not in others)


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


# --- units ---


def _units(
    old: Document, new: Document, active: Collection[str] | None, common_only: bool
) -> tuple[UnitChange, ...]:
    found: dict[str, UnitChange] = {}
    running = _running(old.units) if active is None else set(active)
    for name in _differing(old.units, new.units, common_only):
        before, after = old.units.get(name), new.units.get(name)
        happens = decide(name, before, after, new.units, runs=name in running)
        if happens is not None:
            found[name] = UnitChange(name, (after or before).description, happens)  # type: ignore[union-attr]
    _restart_sockets(found, old.units, new.units, running)
    _restart_followers(found, old.units, new.units, running)
    return tuple(found[name] for name in sorted(found))


def _running(units: Mapping[str, Unit]) -> set[str]:
    """Which units run, as far as that can be told from the system alone."""
    found = {name for name, unit in units.items() if unit.wanted}
    return found | {name for name, unit in units.items() if found & set(_sockets(name, unit))}


def decide(
    name: str, old: Unit | None, new: Unit | None, new_units: Mapping[str, Unit], *, runs: bool
) -> Happens | None:
    """Tell what a switch does with one unit.

    Parameters
    ----------
    name
        The unit's name.
    old
        As the old system has it, if it does.
    new
        As the new system has it, if it does.
    new_units
        All units of the new system.
    runs
        Whether it runs before the switch.

    Returns
    -------
    Happens or None
        `None` if a running unit is not touched because nothing of weight changed.
    """
    if new is None:
        if not runs or old is None:
            return Happens.ON_DEMAND
        return Happens.STAYS_OLD if old.stays_when_removed else Happens.STOPS
    if old is None or not runs:
        starts = new.wanted and new.startable and (old is None or not old.wanted)
        if starts:
            return Happens.STARTS
        return Happens.ON_DEMAND if old is None or old.digest != new.digest else None
    if old.digest != new.digest:
        return _changed(name, new, new_units)
    reloads = any(value != old.reload.get(key) for key, value in new.reload.items())
    return Happens.RELOADS if reloads else None


def _changed(name: str, new: Unit, new_units: Mapping[str, Unit]) -> Happens:
    if new.when_changed is WhenChanged.STOP_START:
        by_socket = new.socket_starts_it and any(socket in new_units for socket in _sockets(name, new))
        return Happens.STOPS_UNTIL_USED if by_socket else Happens.RESTARTS
    return {
        WhenChanged.RESTART: Happens.RESTARTS,
        WhenChanged.RELOAD: Happens.RELOADS,
        WhenChanged.LEAVE: Happens.STAYS_OLD,
        WhenChanged.APPLY: Happens.APPLIES,
    }[new.when_changed]


def _sockets(name: str, unit: Unit) -> tuple[str, ...]:
    if not name.endswith(".service"):
        return ()
    return unit.sockets or (f"{name.removesuffix('.service').partition('@')[0]}.socket",)


def _restart_sockets(
    found: dict[str, UnitChange], old: Mapping[str, Unit], new: Mapping[str, Unit], running: Collection[str]
) -> None:
    """A service that is stopped and started takes its running sockets with it."""
    for change in list(found.values()):
        service = new.get(change.name)
        if (
            service is None
            or service.when_changed is not WhenChanged.STOP_START
            or change.happens not in (Happens.RESTARTS, Happens.STOPS_UNTIL_USED)
        ):
            continue
        for socket in _sockets(change.name, service):
            if socket in running and socket in old:
                happens = Happens.RESTARTS if socket in new else Happens.STOPS
                found[socket] = UnitChange(socket, old[socket].description, happens, change.name)


def _restart_followers(
    found: dict[str, UnitChange], old: Mapping[str, Unit], new: Mapping[str, Unit], running: Collection[str]
) -> None:
    """What requires a unit that stops is stopped by systemd, and started again by the targets that want it."""
    todo = [name for name, change in found.items() if change.happens in _STOPPED]
    while todo:
        cause = todo.pop()
        for name, unit in old.items():
            if name not in running or name not in new or cause not in unit.follows:
                continue
            change = found.get(name)
            if change is None or change.happens not in _STOPPED:
                found[name] = UnitChange(name, new[name].description, Happens.RESTARTS, cause)
                todo.append(name)


_STOPPED = (Happens.RESTARTS, Happens.STOPS, Happens.STOPS_UNTIL_USED)
