"""The profile of systems: its generations, and which of them may go.

A profile is a link to a numbered link to a system: `system -> system-12-link -> /nix/store/...`. What a numbered link
leads to stays in the store, and a boot loader offers it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def generations(profile: Path) -> dict[int, str]:
    """List the generations of a profile.

    Parameters
    ----------
    profile
        The link without a number.

    Returns
    -------
    dict of int to str
        Each generation's number and system, the oldest first.
    """
    numbered = re.compile(re.escape(profile.name) + r"-([0-9]+)-link")
    found = {}
    for each in profile.parent.iterdir() if profile.parent.is_dir() else ():
        match = numbered.fullmatch(each.name)
        if match and each.is_symlink():
            found[int(match[1])] = str(each.readlink())
    return dict(sorted(found.items()))


def superfluous(known: Mapping[int, str], keep: int, needed: Iterable[str]) -> list[int]:
    """Tell which generations may go.

    Parameters
    ----------
    known
        Each generation's number and system.
    keep
        How many of the newest stay.
    needed
        Systems of which every generation stays, however old: the running, the booted, the boot default and the one
        before.

    Returns
    -------
    list of int
        The numbers of those that may go, the oldest first.
    """
    needed = set(needed)
    newest = sorted(known)[-keep:] if keep > 0 else []
    return [number for number in sorted(known) if number not in newest and known[number] not in needed]


def before(known: Mapping[int, str], running: str) -> str | None:
    """Tell which system a profile had before the running one.

    Parameters
    ----------
    known
        Each generation's number and system.
    running
        The running system.

    Returns
    -------
    str or None
        The newest other system that is older than the running one's newest generation; `None` if there is none.
    """
    mine = [number for number, system in known.items() if system == running]
    newest = max(mine, default=max(known, default=0) + 1)
    for number in sorted(known, reverse=True):
        if number < newest and known[number] != running:
            return known[number]
    return None
