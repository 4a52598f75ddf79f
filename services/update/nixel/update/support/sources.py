"""What goes into a bundle: this list and nothing else. No entry is a folder, and none is found by searching.

Only the safety daemon's recordings have names that are not known before; they have its form, and so must what is in
them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.update.cli.status import as_json
from nixel.update.support.machine import NotTakenError
from nixel.update.system import BOOTED, DEFAULT, RUNNING, judge, look, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nixel.update.support.machine import Machine

KIB, MIB = 1024, 1024 * 1024
SAFETY_EVENTS = "/var/lib/nixel-safety/events.jsonl"

_RECORDING = re.compile(r"trip-([0-9]{6,})-[0-9]{8}T[0-9]{6}Z\.csv")
_PACKAGE = re.compile(r"[0-9a-z]{32}-(.+)")


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the bundle.

    Attributes
    ----------
    name
        In the bundle.
    what
        For the manifest.
    most
        How many bytes at most; of more, the last are taken.
    take
        Gets it; raises `NotTakenError`.
    """

    name: str
    what: str
    most: int
    take: Callable[[Machine], str]


def sources(safety_events: str = SAFETY_EVENTS) -> tuple[Source, ...]:
    """List what is taken, in the order of the bundle.

    Parameters
    ----------
    safety_events
        Where the safety daemon writes its events.

    Returns
    -------
    tuple of Source
        Sorted by name.
    """

    def command(*argv: str, most: int) -> Callable[[Machine], str]:
        return lambda machine: machine.run(argv, most)

    def file(path: str, most: int) -> Callable[[Machine], str]:
        return lambda machine: machine.text(path, most)

    journal = (
        "journalctl",
        "--no-pager",
        "--quiet",
        "--output=short-iso",
        "--since=-7 days",
        "--lines=20000",
    )
    units = ("systemctl", "list-units", "--failed", "--all", "--plain", "--no-legend", "--no-pager")
    return tuple(
        sorted(
            (
                Source("closure.txt", "how the running system differs from others", MIB, _closures),
                Source("cpu.txt", "processors", 64 * KIB, file("/proc/cpuinfo", 64 * KIB)),
                Source("disk-space.txt", "disk space", 64 * KIB, command("df", "-P", "-k", most=64 * KIB)),
                Source("disks.txt", "block devices", 64 * KIB, _disks),
                Source("failed-units.txt", "units that failed", 64 * KIB, command(*units, most=64 * KIB)),
                Source("journal.txt", "the journal's last week", 8 * MIB, command(*journal, most=8 * MIB)),
                Source("kernel.txt", "kernel", 4 * KIB, file("/proc/version", 4 * KIB)),
                Source("memory.txt", "memory", 16 * KIB, file("/proc/meminfo", 16 * KIB)),
                Source("model.txt", "board", 4 * KIB, file("/proc/device-tree/model", 4 * KIB)),
                Source("packages.txt", "nixel's packages", 16 * KIB, _packages),
                Source("pci.txt", "PCI devices", 256 * KIB, command("lspci", "-nn", "-k", most=256 * KIB)),
                Source("safety-events.jsonl", "safety events", 4 * MIB, _events(safety_events, 4 * MIB)),
                Source(
                    "safety-verified.txt",
                    "whether the safety events are whole",
                    64 * KIB,
                    _verified(safety_events),
                ),
                *(
                    Source(
                        f"safety-trip-{back}.csv",
                        f"recording of {which} trip",
                        4 * MIB,
                        _trip(safety_events, back),
                    )
                    for back, which in enumerate(("the last", "the last but one", "the last but two"), 1)
                ),
                Source("system.json", "running, booted and default system", 16 * KIB, _system),
                Source("usb.txt", "USB devices", 256 * KIB, command("lsusb", most=256 * KIB)),
            ),
            key=lambda each: each.name,
        )
    )


def _system(machine: Machine) -> str:
    return json.dumps(as_json(judge(look(machine.root))), indent=2) + "\n"


def _packages(machine: Machine) -> str:
    found = machine.packages()
    if not found:
        raise NotTakenError("no package of nixel's is installed where this command runs")
    return "".join(f"{name} {version}\n" for name, version in sorted(found.items()))


def _events(path: str, most: int) -> Callable[[Machine], str]:
    """Take only lines that are events, so that no other file can stand in for the log."""

    def take(machine: Machine) -> str:
        lines = machine.text(path, most).splitlines()
        kept = [line for line in lines if _is_event(line)]
        if lines and not kept:
            raise NotTakenError(f"{path} holds no events, one JSON object with a kind a line")
        return "".join(line + "\n" for line in kept)

    return take


def _verified(path: str) -> Callable[[Machine], str]:
    """Let the safety daemon's own command judge its log; here its hashes are taken out, so nobody else could."""

    def take(machine: Machine) -> str:
        # A report quotes what is no event: of a file that is no log it would quote anything.
        _events(path, 64 * KIB)(machine)
        place = resolve(machine.root, path)
        if place is None:
            raise NotTakenError(f"{path} is not there")
        log = str(machine.root / place.lstrip("/"))
        return machine.run(("nixel-safety", "history", "--verify", "--events", log), 64 * KIB, (0, 1))

    return take


def _trip(events: str, back: int) -> Callable[[Machine], str]:
    """Take one of the recordings beside the event log, counted from the newest; only what says that it is one."""

    def take(machine: Machine) -> str:
        folder = events.rpartition("/")[0] + "/recordings"
        found = sorted(
            (int(each[1]), each[0]) for each in map(_RECORDING.fullmatch, machine.names(folder)) if each
        )
        if len(found) < back:
            raise NotTakenError(f"{folder} holds {len(found)} recordings")
        path = f"{folder}/{found[-back][1]}"
        text = machine.text(path, 4 * MIB)
        header = text.partition("\n")[0]
        try:
            said = json.loads(header)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or not str(said.get("format", "")).startswith("nixel black box "):
            raise NotTakenError(f"{path} is no recording of a trip, or longer than {4 * MIB} bytes")
        return text

    return take


def _is_event(line: str) -> bool:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("kind"), str)


def _disks(machine: Machine) -> str:
    lines = []
    for name in machine.names("/sys/block"):
        if name.startswith(("loop", "ram", "zram")):
            continue
        facts = [name]
        for fact, unit in (
            ("size", " x 512 bytes"),
            ("device/model", ""),
            ("queue/rotational", " (rotational)"),
        ):
            try:
                facts.append(f"{fact}={machine.text(f'/sys/block/{name}/{fact}', KIB).strip()}{unit}")
            except NotTakenError:
                continue  # a device without a model is still a device
        lines.append(" ".join(facts) + "\n")
    return "".join(lines)


# --- closures ---


def _closures(machine: Machine) -> str:
    running = resolve(machine.root, RUNNING)
    if running is None:
        raise NotTakenError(f"{RUNNING} is missing or leads nowhere: this machine does not run NixOS")
    parts = []
    mine = _requisites(machine, running)
    for name, link in (("booted", BOOTED), ("boot default", DEFAULT)):
        other = resolve(machine.root, link)
        if other is None:
            parts.append(f"The {name} system cannot be told: {link} is missing or leads nowhere.\n")
        elif other == running:
            parts.append(f"The {name} system is the running one: {running}\n")
        else:
            parts.append("".join(_difference(name, other, running, mine, _requisites(machine, other))))
    return "\n".join(parts)


def _requisites(machine: Machine, path: str) -> set[str]:
    return set(machine.run(("nix-store", "--query", "--requisites", path), 8 * MIB).split())


def _difference(name: str, other: str, running: str, mine: set[str], theirs: set[str]) -> Iterator[str]:
    yield f"The running system is {running}; the {name} one is {other}.\n"
    for where, only in (("the running system", mine - theirs), (f"the {name} system", theirs - mine)):
        names = sorted(_name(path) for path in only)
        yield f"Only in {where}: {len(names)}\n"
        yield from (f"  {each}\n" for each in names)


def _name(path: str) -> str:
    found = _PACKAGE.fullmatch(path.rpartition("/")[2])
    return found[1] if found else path
