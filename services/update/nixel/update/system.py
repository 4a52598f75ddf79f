"""Which system a machine runs, which one it booted, and which one its next start brings.

NixOS keeps these as symbolic links: `/run/current-system`, `/run/booted-system` and the profile
`/nix/var/nix/profiles/system`. A switch to another system changes the first (and usually the last) at once;
the kernel stays that of the booted one until a restart.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

RUNNING = "/run/current-system"
BOOTED = "/run/booted-system"
DEFAULT = "/nix/var/nix/profiles/system"
MARK = "/etc/NIXOS"
# What only a restart replaces.
BOOT_PARTS = ("kernel", "initrd", "kernel-modules")

_GENERATION = re.compile(r"system-([0-9]+)-link")
_MOST_LINKS = 64


@dataclass(frozen=True, slots=True)
class System:
    """One system in the store.

    Attributes
    ----------
    path
        Its store path.
    version
        What it calls itself (its `nixos-version`); empty if it does not say.
    parts
        Where its kernel, initrd and kernel modules stand in the store; those that it lacks are absent.
    """

    path: str
    version: str
    parts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found on a machine; `None` where a link is missing or leads nowhere."""

    nixos: bool
    running: System | None
    booted: System | None
    default: System | None
    generation: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What follows from that.

    Attributes
    ----------
    found
        What was found.
    next_start_changes
        Whether the next start brings another system than the one that runs; `None` if that cannot be told.
    restart_because
        In which parts the running system differs from the booted one; empty if nothing waits for a restart.
    sentences
        The same for a person.
    """

    found: Found
    next_start_changes: bool | None
    restart_because: tuple[str, ...]
    sentences: tuple[str, ...]

    @property
    def restart_needed(self) -> bool:
        """Whether the running system is complete only after a restart."""
        return bool(self.restart_because)


def judge(found: Found) -> Standing:
    """Conclude what the machine runs and what its next start brings.

    Parameters
    ----------
    found
        What was found on it.

    Returns
    -------
    Standing
        With sentences for a person.
    """
    if not found.nixos:
        text = (
            "This machine does not run NixOS, so there is no system to update; nixel runs here as a program."
        )
        return Standing(found, None, (), (text,))
    changes = None
    if found.running is not None and found.default is not None:
        changes = found.running.path != found.default.path
    because = _differing(found.running, found.booted)
    sentences = (_about_running(found), _about_next_start(found, changes), _about_restart(found, because))
    return Standing(found, changes, because, sentences)


def _differing(running: System | None, booted: System | None) -> tuple[str, ...]:
    if running is None or booted is None:
        return ()
    return tuple(part for part in BOOT_PARTS if running.parts.get(part) != booted.parts.get(part))


def _about_running(found: Found) -> str:
    if found.running is None:
        return f"It cannot be told which system runs: {RUNNING} is missing or leads nowhere."
    return f"This machine runs {_call(found.running)}."


def _about_next_start(found: Found, changes: bool | None) -> str:
    if found.default is None:
        return f"It cannot be told what the next start brings: {DEFAULT} is missing or leads nowhere."
    generation = "" if found.generation is None else f", generation {found.generation}"
    if changes is False:
        return f"The next start brings the same system{generation}."
    if changes is None:
        return f"The next start brings {_call(found.default)}{generation}."
    return f"The next start brings another system: {_call(found.default)}{generation}."


def _about_restart(found: Found, because: tuple[str, ...]) -> str:
    if found.booted is None:
        return f"It cannot be told whether a restart is needed: {BOOTED} is missing or leads nowhere."
    if because:
        named = " and ".join((", ".join(because[:-1]), because[-1])) if because[1:] else because[0]
        return f"A restart is needed: the running system has another {named} than the one that was started."
    return "No restart is needed."


def _call(system: System) -> str:
    return f"{system.version} ({system.path})" if system.version else system.path


# --- edges ---


def look(root: Path) -> Found:
    """Look at a machine's links.

    Parameters
    ----------
    root
        Its root folder; absolute links are followed inside it.

    Returns
    -------
    Found
        What is there. Nothing is changed.
    """
    running = _system(root, RUNNING)
    nixos = (root / MARK.lstrip("/")).exists() or running is not None
    return Found(nixos, running, _system(root, BOOTED), _system(root, DEFAULT), _generation(root))


def resolve(root: Path, path: str) -> str | None:
    """Follow every link of a path as the machine would that has `root` for its root folder.

    Parameters
    ----------
    root
        The root folder.
    path
        An absolute path on that machine.

    Returns
    -------
    str or None
        The path on that machine without links; `None` if it leads nowhere.
    """
    todo = list(reversed(PurePosixPath(path).parts[1:]))
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        here = root.joinpath(*done, part)
        if here.is_symlink():
            links += 1
            if links > _MOST_LINKS:
                return None
            target = PurePosixPath(os.fspath(here.readlink()))
            if target.is_absolute():
                done.clear()
            todo += reversed([step for step in target.parts if step != "/"])
        elif here.exists():
            done.append(part)
        else:
            return None
    return "/" + "/".join(done)


def _system(root: Path, link: str) -> System | None:
    path = resolve(root, link)
    if path is None:
        return None
    found = {part: resolve(root, f"{path}/{part}") for part in BOOT_PARTS}
    parts = {part: place for part, place in found.items() if place is not None}
    return System(path, _version(root, path), parts)


def _version(root: Path, system: str) -> str:
    place = resolve(root, f"{system}/nixos-version")
    if place is None:
        return ""
    try:
        return (root / place.lstrip("/")).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""  # a system without a name is still told by its path


def _generation(root: Path) -> int | None:
    link = root / DEFAULT.lstrip("/")
    match = _GENERATION.fullmatch(link.readlink().name) if link.is_symlink() else None
    return None if match is None else int(match[1])
