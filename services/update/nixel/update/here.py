"""The machine that this runs on, as a command that is about to change it finds it."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.update import config, identity, keys, system
from nixel.update.nix import Nix
from nixel.update.progress import size
from nixel.update.refusal import Refusal
from nixel.update.transaction.model import Side

if TYPE_CHECKING:
    from nixel.update.config import Config
    from nixel.update.identity import Identity
    from nixel.update.keys import PublicKey
    from nixel.update.manifest.model import Manifest

STORE = Path("/nix/store")
_DAY_S = 24 * 3600.0
# An instrument's system is not used for longer than that; a clock that says so is wrong.
LONG_S = 30 * 365 * _DAY_S
# What Nix's database and the file system need beside the files themselves.
_OVERHEAD = 1.05


@dataclass(frozen=True, slots=True)
class Here:
    """The machine that this runs on.

    Attributes
    ----------
    config
        Its settings of updates.
    trusted
        The keys that it trusts.
    running, default
        What runs, and the store path of what the next start brings.
    identity
        Whose system the running one is.
    nix
        Its store.
    """

    config: Config
    trusted: tuple[PublicKey, ...]
    running: Side
    default: str
    identity: Identity
    nix: Nix


def look() -> Here:
    """Look at this machine.

    Returns
    -------
    Here
        As it is now.

    Raises
    ------
    Refusal
        If this is not root, not a machine of ours, or not one whose systems can be told.
    """
    if os.geteuid() != 0:
        raise Refusal("Only root may change which system runs.", "Say sudo before the command.")
    settings = config.read()
    found = system.look(Path("/"))
    if found.running is None or found.default is None:
        missing = system.RUNNING if found.running is None else system.DEFAULT
        raise Refusal(
            f"{missing} is missing or leads nowhere, so there would be no way back.",
            "Restart the machine; if it stays so, have it installed anew.",
        )
    whose = identity.read(Path(found.running.path))
    return Here(
        settings,
        tuple(keys.parse_public(each) for each in settings.trusted_keys),
        Side(found.running.path, whose.version, whose.revision, whose.date),
        found.default.path,
        whose,
        Nix(),
    )


def side(path: str) -> Side:
    """Name a system of this machine's store.

    Parameters
    ----------
    path
        Its store path.

    Returns
    -------
    Side
        With what it says of itself.

    Raises
    ------
    Refusal
        If it does not say whose it is.
    """
    whose = identity.read(Path(path))
    return Side(path, whose.version, whose.revision, whose.date)


def offered(manifest: Manifest) -> Side:
    """Name the system of a manifest.

    Parameters
    ----------
    manifest
        The manifest.

    Returns
    -------
    Side
        With what it says of itself.
    """
    whose = manifest.identity
    return Side(manifest.system, whose.version, whose.revision, whose.date)


def clock_is_plausible(here: Here, manifest: Manifest, now: float | None = None) -> None:
    """Refuse to go on with a clock that is certainly wrong: the history would tell wrong times for ever.

    A system of the future is refused as well, for every later one would be older than it.

    Parameters
    ----------
    here
        This machine.
    manifest
        Of the system on offer.
    now
        What the clock says, in s since 1970; asked for if `None`.

    Raises
    ------
    Refusal
        If the clock is before the running or the offered system's date, before the offer was made, or decades after
        it.
    """
    now = time.time() if now is None else now
    known = {
        "the system that it runs is of": here.identity.date,
        "the system on offer is of": manifest.identity.date,
        "this offer was made": manifest.made,
    }
    latest = max(known, key=lambda each: known[each])
    # A day of grace: clocks are set to the wrong time zone, and offers are made on machines with clocks of their own.
    if now < known[latest] - _DAY_S:
        what, date = latest, known[latest]
    elif now > manifest.made + LONG_S:
        what, date = "this offer was made", manifest.made
    else:
        return
    raise Refusal(
        f"This machine's clock says {_moment(now)}, and {what} {_moment(date)}.",
        'If the clock is wrong, set it: sudo nixel-update set-clock "YYYY-MM-DD HH:MM" (in UTC). Then try again. If it '
        "is right, the clock of whoever made the system was not.",
    )


def room(here: Here, manifest: Manifest) -> int:
    """See that the store has room for what is missing.

    Parameters
    ----------
    here
        This machine.
    manifest
        Of the system on offer.

    Returns
    -------
    int
        The size of what is missing, in bytes.

    Raises
    ------
    Refusal
        If there is not enough room.
    """
    known = here.nix.path_info([each.path for each in manifest.paths])
    missing = sum(each.nar_size for each in manifest.paths if known.get(each.path) is None)
    free = shutil.disk_usage(STORE).free
    if missing * _OVERHEAD > free:
        raise Refusal(
            f"The new system needs {size(missing)} more, and the disk of {STORE} has {size(free)} free.",
            "Make room: nix-collect-garbage removes what no system needs.",
        )
    return missing


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.0f} s after 1970"
