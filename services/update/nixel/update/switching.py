"""What happens to systemd's units when a machine switches from one system to another.

The rules are those of nixpkgs' switch-to-configuration-ng (`collect_unit_changes`, `handle_modified_unit`). It acts on
units that run; unless the caller knows which do, those that the old system starts by itself are taken to run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from nixel.update.unitfile import WhenChanged

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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
class UnitChange:
    """A unit that changes.

    Attributes
    ----------
    name, description
        Which one.
    change
        Whether it is new, gone, or another.
    happens
        What the switch does with it.
    along_with
        The unit because of which, if it is not its own change.
    """

    name: str
    description: str
    change: Change
    happens: Happens
    along_with: str = ""


def changes(
    old: Mapping[str, Unit], new: Mapping[str, Unit], active: Collection[str] | None = None
) -> tuple[UnitChange, ...]:
    """Tell what a switch does with the units of a system.

    Parameters
    ----------
    old
        Units of the system that is there, by name.
    new
        Those of the system that is to come.
    active
        Names of those that run; `None` if that is not known.

    Returns
    -------
    tuple of UnitChange
        By name; those that are as before, or differ in nothing of weight, are left out.
    """
    found: dict[str, UnitChange] = {}
    running = _running(old) if active is None else set(active)
    for name in sorted(set(old) | set(new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        happens = decide(name, before, after, new, runs=name in running)
        if happens is not None:
            change = Change.NEW if before is None else Change.GONE if after is None else Change.DIFFERS
            description = next(unit.description for unit in (after, before) if unit is not None)
            found[name] = UnitChange(name, description, change, happens)
    _restart_sockets(found, old, new, running)
    _restart_followers(found, old, new, running)
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
                stays = socket in new
                found[socket] = UnitChange(
                    socket,
                    old[socket].description,
                    Change.DIFFERS if stays else Change.GONE,
                    Happens.RESTARTS if stays else Happens.STOPS,
                    change.name,
                )


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
                found[name] = UnitChange(name, new[name].description, Change.DIFFERS, Happens.RESTARTS, cause)
                todo.append(name)


_STOPPED = (Happens.RESTARTS, Happens.STOPS, Happens.STOPS_UNTIL_USED)
