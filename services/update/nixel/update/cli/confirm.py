"""`nixel-update confirm`: whoever sent a system over the network came back, so the network still works."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from nixel.update import config, disk, request
from nixel.update.follow import find, follow, stage, standing, status, words
from nixel.update.refusal import Refusal
from nixel.update.transaction.model import Stage

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from nixel.update.cli.registry import Commands
    from nixel.update.transaction.history import Entry

_LOOK_EVERY_S = 0.2


def add(commands: Commands) -> None:
    """Describe the command's arguments.

    Parameters
    ----------
    commands
        Where its parser is made.
    """
    parser = commands.add_parser("confirm", help="say that the new system can be reached over the network")
    parser.add_argument("id", nargs="?", metavar="ID", help="which update; without it the one that waits")
    parser.add_argument("--wait", action="store_true", help="until it asks, and then for its verdict")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Confirm an update.

    Parameters
    ----------
    arguments
        As parsed.

    Returns
    -------
    int
        0 if it was confirmed and (with `--wait`) kept; 1 if it ended otherwise.

    Raises
    ------
    Refusal
        If none waits for a confirmation.
    """
    state = config.read().state
    found = stage(state)
    identifier: str | None = arguments.id or (found and found[0])
    if identifier is None:
        raise Refusal("No update is going on.", "Look at `nixel-update history`.")
    entry = find(state, identifier)
    if entry is None and arguments.wait:
        entry = _ended(state, identifier, until=Stage.CONFIRMING)
    if entry is None:
        found = stage(state)
        if found != (identifier, Stage.CONFIRMING):
            if found is None or found[0] != identifier:
                raise Refusal(f"The update {identifier} is not going on.", "Look at `nixel-update history`.")
            if found[1] is Stage.RESTARTING:
                raise Refusal("The machine restarts.", "Ask again when it is back.")
            raise Refusal(
                f"The update {identifier} does not wait for a confirmation: it is {found[1]}.", "Wait."
            )
        note = request.confirmation(state, identifier)
        disk.folder(note.parent, 0o755)
        disk.write(note, request.who().encode(), 0o644)
        if not arguments.wait:
            print(f"Confirmed: {identifier}.")
            return 0
        while stage(state) == (identifier, Stage.CONFIRMING):
            time.sleep(_LOOK_EVERY_S)
        entry = _ended(state, identifier, until=None)
        if entry is None:
            raise Refusal(f"The update {identifier} is not going on.", "Look at `nixel-update history`.")
    print(json.dumps(entry.as_json(), indent=2) if arguments.json else words(entry, standing()))
    return status(entry.verdict)


def _ended(state: Path, identifier: str, until: Stage | None) -> Entry | None:
    """Watch an update; over a restart the connection breaks, and whoever asked asks again when the machine is back."""
    while True:
        entry = follow(state, identifier, until=until, quiet=True)
        found = stage(state)
        if entry is not None or found is None or found[1] is not Stage.RESTARTING:
            return entry
        time.sleep(_LOOK_EVERY_S)
