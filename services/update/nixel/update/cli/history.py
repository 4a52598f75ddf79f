"""`nixel-update history`: what was installed here, when, by whom, from where, and how it ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from textwrap import indent
from typing import TYPE_CHECKING

from nixel.update import config
from nixel.update.follow import verdict_of
from nixel.update.refusal import Refusal
from nixel.update.transaction.history import History

if TYPE_CHECKING:
    import argparse

    from nixel.update.cli.registry import Commands
    from nixel.update.transaction.history import Entry


def add(commands: Commands) -> None:
    """Describe the command's arguments.

    Parameters
    ----------
    commands
        Where its parser is made.
    """
    parser = commands.add_parser("history", help="what was installed here, by whom, and how it ended")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the history, the newest last.

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
        If it cannot be read.
    """
    history = History(config.read().state)
    try:
        told = history.read()
    except OSError as error:
        raise Refusal(f"{history.path} cannot be read ({error.strerror}).", "Run it as root.") from error
    if arguments.json:
        found = {"entries": [each.as_json() for each in told.entries], "unreadable": told.unreadable}
        print(json.dumps(found, indent=2))
        return 0
    print("\n\n".join(map(_words, told.entries)) or "No update was ever tried on this machine.")
    if told.unreadable:
        print(
            f"\n{told.unreadable} lines of {history.path} cannot be read: a power cut, or a newer nixel-update."
        )
    return 0


def _words(entry: Entry) -> str:
    began = datetime.fromtimestamp(entry.began, UTC).strftime("%Y-%m-%d %H:%M UTC")
    asked = f"{entry.kind} by {entry.source.who}" if entry.kind and entry.source else "unknown"
    label = entry.source.label if entry.source else ""
    way = f", from {label}" if label and not asked.endswith(f" from {label}") else ""
    # The same words as on the day itself.
    verdict = verdict_of(entry).partition(".")[0]
    lines = [f"{began}  {verdict}  {asked}{way}  ({entry.seconds:.0f} s)  {entry.id}"]
    lines += [f"    {name}: {side}" for name, side in (("old", entry.old), ("new", entry.new)) if side]
    lines += [indent(why, "    ") for why in entry.why]
    return "\n".join(lines)
