"""What goes into a bundle: this list and nothing else. No entry is a folder, and none is found by searching."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.update.cli.status import as_json
from nixel.update.system import BOOTED, DEFAULT, RUNNING, judge, look, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nixel.update.support.machine import Machine

KIB, MIB = 1024, 1024 * 1024
SAFETY_EVENTS = "/var/lib/nixel-safety/events.jsonl"

_PACKAGE = re.compile(r"[0-9a-z]{32}-(.+)")


class NotTakenError(Exception):
    """Something of the list cannot be had; the text says why."""


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
