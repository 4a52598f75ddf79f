"""`nixel-update status`: which system runs, and what the next start brings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.update import config
from nixel.update.follow import doing, stage, verdict_of, words
from nixel.update.refusal import Refusal
from nixel.update.system import judge, look
from nixel.update.transaction.history import History
from nixel.update.transaction.model import Stage, Verdict
from nixel.update.words import moment

if TYPE_CHECKING:
    import argparse

    from nixel.update.cli.registry import Commands
    from nixel.update.system import Standing
    from nixel.update.transaction.history import Entry


def add(commands: Commands) -> None:
    """Describe the command's arguments.

    Parameters
    ----------
    commands
        Where its parser is made.
    """
    parser = commands.add_parser("status", help="which system runs, and what the next start brings")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="look at the machine under DIR"
    )
    parser.set_defaults(run=run)


def as_json(standing: Standing) -> dict[str, Any]:
    """Describe a standing as plain data.

    Parameters
    ----------
    standing
        From `judge`.

    Returns
    -------
    dict
        Fit for JSON; paths are `None` where they could not be told.
    """
    found = standing.found
    return {
        "nixos": found.nixos,
        "running": found.running and found.running.path,
        "running_version": (found.running and found.running.version) or None,
        "booted": found.booted and found.booted.path,
        "boot_default": found.default and found.default.path,
        "boot_default_version": (found.default and found.default.version) or None,
        "generation": found.generation,
        "next_start_changes": standing.next_start_changes,
        "restart_needed": standing.restart_needed,
        "restart_because": list(standing.restart_because),
        "sentences": list(standing.sentences),
    }


def run(arguments: argparse.Namespace) -> int:
    """Say which system runs.

    Parameters
    ----------
    arguments
        As parsed.

    Returns
    -------
    int
        0.

    Raises
    ------
    Refusal
        If the machine cannot be looked at.
    """
    root: Path = arguments.root
    if not root.is_dir():
        raise Refusal(f"{root} is not a folder.", "Name the root folder of a machine.")
    try:
        standing = judge(look(root))
        going, last = _updates(root)
    except OSError as error:
        raise Refusal(
            f"{error.filename} cannot be read: {error.strerror}.", "Run it as a user who may read it."
        ) from error
    if arguments.json:
        found = {
            **as_json(standing),
            "update": going and {"id": going[0], "stage": going[1]},
            "last_update": last and last.as_json(),
        }
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(standing.sentences))
        if going is not None:
            print(f"An update is going on ({going[0]}). {doing(going[1])}")
        elif last is not None:
            # Whoever comes back after a restart did not see how it ended.
            ended = words(last) if last.verdict is Verdict.STUCK else verdict_of(last)
            print(f"The last update, of {moment(int(last.ended))}: {ended}")
    return 0


def _updates(root: Path) -> tuple[tuple[str, Stage] | None, Entry | None]:
    """Which update is going on, and how the last one ended; only the machine's own settings say where that stands."""
    if root != Path("/"):
        return None, None
    try:
        state = config.read().state
        entries = History(state).read().entries
        found = stage(state)
    except (Refusal, OSError):
        return None, None
    return None if found is None or found[1] is Stage.DONE else found, entries[-1] if entries else None
