"""What changes, in words for the person at the machine, who knows the instrument and not its software.

First what must be known before saying yes (another machine's system, an older one, a restart), then what happens to the
instrument, then what is new. Lists are short unless everything is asked for.
"""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from nixel.update.switching import Change, Happens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nixel.update.difference import Difference, Program, System
    from nixel.update.switching import UnitChange

_SHORT = 10
_WIDEST = 110
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WEEK, _MONTH, _YEAR = 7 * _DAY, 30.44 * _DAY, 365.25 * _DAY

# Services that a technician knows, in the order in which they matter, and what it means that they stop.
KNOWN = {
    "nixel-safety.service": (
        "The safety daemon",
        "outputs go off, and it must be reset and armed again",
    ),
    "nixel-imaging.service": (
        "The imaging service",
        "a scan that runs is lost, and the page is away for some seconds",
    ),
    "nixel-virtual-scanner.service": ("The simulated scanner", "a scan that runs on it is lost"),
    "sshd.service": ("Remote login (sshd)", "sessions that are open stay open"),
    "systemd-networkd.service": ("The network", "connections may pause for a moment"),
}
_VERBS = {
    Happens.RESTARTS: "restarts",
    Happens.STOPS_UNTIL_USED: "stops, and starts again when it is next used",
    Happens.RELOADS: "reads its settings again without stopping",
    Happens.STARTS: "starts",
    Happens.STOPS: "stops, and the new system has it no more",
    Happens.STAYS_OLD: "changes, but goes on as it is until the machine restarts",
    Happens.APPLIES: "has new settings, which hold at once",
    Happens.ON_DEMAND: "changes for its next use",
}
_OTHERS = {
    Happens.RESTARTS: "Also restarting",
    Happens.STOPS_UNTIL_USED: "Stopping until next used",
    Happens.RELOADS: "Reading their settings again without stopping",
    Happens.STARTS: "Starting",
    Happens.STOPS: "Stopping, as the new system has them no more",
    Happens.STAYS_OLD: "Changed, but going on as they are until the machine restarts",
}
_QUIET = {
    Happens.APPLIES: "With new settings, which hold at once",
    Happens.ON_DEMAND: "Changed for their next use",
}
_STOPPING = (Happens.RESTARTS, Happens.STOPS_UNTIL_USED, Happens.STOPS)
_PARTS = {
    "kernel": "the kernel",
    "kernel-modules": "the kernel's modules",
    "initrd": "the image it starts from (initrd)",
    "dtbs": "the description of its board (device tree)",
    "firmware": "its devices' firmware",
    "kernel-parameters": "the kernel's parameters",
}
_TABLES = {"packages": "programs", "units": "services", "etc": "configuration files", "paths": "store paths"}


def sentences(difference: Difference, everything: bool = False) -> list[str]:
    """Say what changes.

    Parameters
    ----------
    difference
        From `difference.difference`.
    everything
        Whether lists are whole.

    Returns
    -------
    list of str
        Lines of text; an empty one parts two paragraphs.
    """
    paragraphs = [_systems(difference), _warnings(difference)]
    if difference.same:
        paragraphs = [[f"Nothing changes: both are the same system, {_call(difference.new)}."]]
    elif difference.empty:
        paragraphs.append(_nothing(difference))
    else:
        paragraphs += [
            _restart(difference),
            _services(difference, everything),
            _programs(difference.programs, everything),
            _files(difference, everything),
            _size(difference),
            _incomplete(difference),
        ]
    lines: list[str] = []
    for paragraph in filter(None, paragraphs):
        lines += ["", *paragraph] if lines else paragraph
    return ["".join(each if each.isprintable() else "?" for each in line) for line in lines]


def wrapped(lines: Iterable[str], width: int) -> list[str]:
    """Break lines for a terminal.

    Parameters
    ----------
    lines
        From `sentences`.
    width
        How many characters a line has.

    Returns
    -------
    list of str
        Continued lines are indented by four further blanks.
    """
    found = []
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())] + "    "
        found += textwrap.wrap(
            line, max(width, 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return found


def fitted(lines: Iterable[str]) -> list[str]:
    """Break lines for the terminal that this program runs in.

    Parameters
    ----------
    lines
        From `sentences`.

    Returns
    -------
    list of str
        As `wrapped`; no wider than can be read with ease.
    """
    return wrapped(lines, min(shutil.get_terminal_size().columns, _WIDEST))


def as_json(difference: Difference) -> dict[str, Any]:
    """Describe a difference as plain data, with everything in it.

    Parameters
    ----------
    difference
        From `difference.difference`.

    Returns
    -------
    dict
        Fit for JSON.
    """
    found: dict[str, Any] = _plain(difference)
    found["empty"] = difference.empty
    found["restart_needed"] = bool(difference.restart)
    found["sentences"] = sentences(difference)
    return found


def _plain(found: object) -> Any:  # noqa: ANN401
    if isinstance(found, Enum):
        return found.value
    if is_dataclass(found):
        return {each.name: _plain(getattr(found, each.name)) for each in fields(found)}
    return [_plain(each) for each in found] if isinstance(found, tuple) else found


def age(seconds: float) -> str:
    """Say a time span as a person would.

    Parameters
    ----------
    seconds
        How long, in s; its sign does not matter.

    Returns
    -------
    str
        As "3 weeks".
    """
    span = abs(seconds)
    for unit, name, least in (
        (_YEAR, "year", 2 * _YEAR),
        (_MONTH, "month", 2 * _MONTH),
        (_WEEK, "week", 2 * _WEEK),
        (_DAY, "day", 2 * _DAY),
        (_HOUR, "hour", 2 * _HOUR),
        (_MINUTE, "minute", _MINUTE),
    ):
        if span >= least:
            return counted(int(span / unit), name)
    return "less than a minute"


def counted(number: int, name: str) -> str:
    """Say a number of things: "1 file", "2,000 files"."""
    return f"{number:,} {name}" + ("" if number == 1 else "s")


def size(number: int) -> str:
    """Say a number of bytes, in powers of 1,000."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def moment(seconds: int) -> str:
    """Say a time, in s since 1970, as a date in UTC; no year of four digits: the seconds."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s since 1970"


def _call(system: System) -> str:
    whose = system.identity
    if whose is None:
        return (
            f"{system.path} ({system.nixos or 'no version'}; it does not say for which machine it was made)"
        )
    named = whose.version or system.nixos or system.path
    return f"{whose.product} {named} for {whose.host}, of {moment(whose.date)}"


def _systems(found: Difference) -> list[str]:
    by = found.newer_by
    compared = "" if not by else f" ({age(by)} {'newer' if by > 0 else 'older'})"
    return [f"Now:     {_call(found.old)}", f"Offered: {_call(found.new)}{compared}"]


def _warnings(found: Difference) -> list[str]:
    lines = [
        f"NOT FOR THIS MACHINE: its {what} is {before}, and the offered system was made for {after}."
        for what, before, after in found.foreign
    ]
    if found.newer_by is not None and found.newer_by < 0:
        lines.append(
            f"OLDER: the offered system was made {age(found.newer_by)} before the present one;"
            " it takes the machine back."
        )
    if found.untried:
        lines.append(
            f"NOT WHILE THE MACHINE RUNS: {_listed(found.untried)} cannot change in a running system."
            " The machine would have to be started with it."
        )
    return lines


def _nothing(found: Difference) -> list[str]:
    differing = (
        f" {counted(found.new_paths, 'store path')} of {found.all_paths:,} differ." if found.all_paths else ""
    )
    return [
        "No program's version, service, configuration file or kernel changes; the systems differ inside only."
        + differing
    ]


def _restart(found: Difference) -> list[str]:
    lines = []
    if found.restart:
        first = [each for part in _PARTS for each in found.restart if each.part == part]
        rest = [each for each in found.restart if each.part not in _PARTS]
        parts = [_part(each.part, each.before, each.after) for each in (*first, *rest)]
        lines.append(f"NEEDS A RESTART of the machine to be complete: {_listed(parts)}.")
        for what, parameters in (("new", found.parameters_new), ("gone", found.parameters_gone)):
            if parameters:
                lines.append(f"  {what} kernel parameters: {' '.join(parameters)}")
    else:
        lines.append("No restart of the machine is needed.")
    if found.systemd:
        before, after = found.systemd
        lines.append(
            f"systemd, which runs all services, goes from {before or 'none'} to {after or 'none'} without a restart."
        )
    return lines


def _part(part: str, before: str, after: str) -> str:
    named = _PARTS.get(part, part)
    if part == "kernel" and before != after:
        return f"{named} ({before or 'none'} -> {after or 'none'})"
    return named


def _services(found: Difference, everything: bool) -> list[str]:
    lines = []
    units = {each.name: each for each in found.units}
    for name, (called, consequence) in KNOWN.items():
        each = units.pop(name, None)
        if each is not None:
            lines.append(_known(each, called, consequence))
    # That a service's socket goes with it has been said with the service.
    units = {name: each for name, each in units.items() if everything or each.along_with not in KNOWN}
    for happens, said in {**_OTHERS, **(_QUIET if everything else {})}.items():
        names = [_unit(each) for each in units.values() if each.happens is happens]
        if names:
            lines.append(f"{said}: {_some(names, everything)}.")
    lines += [f"The file system at {mount.path} {_MOUNTS[mount.change]}." for mount in found.mounts]
    return (
        ["When it is installed:", *(f"  {line}" for line in lines)] if lines else ["No service is touched."]
    )


_MOUNTS = {
    Change.NEW: "is new and is mounted",
    Change.GONE: "is unmounted",
    Change.DIFFERS: "is mounted in another way",
}


def _known(each: UnitChange, called: str, consequence: str) -> str:
    because = f" (with {each.along_with})" if each.along_with else ""
    after = f": {consequence}" if each.happens in _STOPPING else ""
    return f"{called} {_VERBS[each.happens]}{because}{after}."


def _unit(each: UnitChange) -> str:
    return each.name.removesuffix(".service")


def _programs(programs: Sequence[Program], everything: bool) -> list[str]:
    if not programs:
        return ["No program changes its version."]
    ours = [each for each in programs if "nixel" in each.name]
    known = [each for each in programs if each.name in _FIRST and each not in ours]
    rest = [each for each in programs if each not in ours and each not in known]
    updated = [each for each in rest if each.before and each.after]
    ordered = [*ours, *known, *updated, *(each for each in rest if each not in updated)]
    shown = ordered if everything else ordered[:_SHORT]
    width = max(len(each.name) for each in shown)
    lines = [f"  {each.name:<{width}}  {_versions(each, everything)}" for each in shown]
    return ["Programs:", *lines, *_more(len(ordered) - len(shown))]


_FIRST = ("linux", "systemd", "openssl", "openssh", "python3", "glibc", "nix")


def _versions(program: Program, everything: bool) -> str:
    before, after = (_some(each, everything) for each in (program.before, program.after))
    if not program.before:
        return f"{after} (new)"
    return f"{before} -> {after}" if program.after else f"{before} (gone)"


def _files(found: Difference, everything: bool) -> list[str]:
    told = [each for each in found.files if each.change is not Change.STORE_PATHS]
    only_paths = [each for each in found.files if each.change is Change.STORE_PATHS]
    if everything:
        told = list(found.files)
    if not found.files:
        return ["No configuration file differs."]
    lines = ["Configuration files that differ:"] if told else []
    shown = told if everything else told[:_SHORT]
    marks = {
        Change.NEW: " (new)",
        Change.GONE: " (gone)",
        Change.STORE_PATHS: " (only in which programs are named there)",
    }
    lines += [f"  /etc/{each.path}{marks.get(each.change, '')}" for each in shown]
    lines += _more(len(told) - len(shown))
    if only_paths and not everything:
        lines.append(
            f"{counted(len(only_paths), ('more ' if told else '') + 'configuration file')}"
            f" {'differs' if len(only_paths) == 1 else 'differ'} only in which programs are named there."
        )
    return lines


def _size(found: Difference) -> list[str]:
    if "paths" in found.incomplete:
        return []
    much = "" if found.new_bytes is None else f", {size(found.new_bytes)} unpacked"
    return [f"New: {found.new_paths:,} of {counted(found.all_paths, 'store path')}{much}."]


def _incomplete(found: Difference) -> list[str]:
    if not found.incomplete:
        return []
    what = _listed([_TABLES.get(each, each) for each in found.incomplete])
    return [
        f"NOT EVERYTHING IS KNOWN: there are too many {what} for a system's description to name them all."
    ]


def _some(names: Sequence[str], everything: bool) -> str:
    shown = names if everything else names[:_SHORT]
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def _more(left: int) -> list[str]:
    return [f"  and {left:,} more"] if left else []


def _listed(words: Iterable[str]) -> str:
    every = list(words)
    return " and ".join(filter(None, (", ".join(every[:-1]), every[-1])))
