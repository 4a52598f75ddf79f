"""`nixel-update rollback`: back to the system that ran before, with the same care as forward."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nixel.update import here, profile, request
from nixel.update.cli import show
from nixel.update.cli.offer import agreed, carried_out
from nixel.update.closure import closure
from nixel.update.describe import describe
from nixel.update.refusal import Refusal
from nixel.update.transaction.model import Kind, Source, Via

if TYPE_CHECKING:
    import argparse

    from nixel.update.cli.registry import Commands


def add(commands: Commands) -> None:
    """Describe the command's arguments.

    Parameters
    ----------
    commands
        Where its parser is made.
    """
    parser = commands.add_parser("rollback", help="go back to the system before, on trial and checked")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--offer",
        action="store_true",
        help="name it for `install --offer`, and change nothing (deploy.sh does)",
    )
    parser.add_argument("--all", action="store_true", help="name everything that changes")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Go back.

    Parameters
    ----------
    arguments
        As parsed.

    Returns
    -------
    int
        0 if the system before runs and is kept, or was only named; 1 if not.

    Raises
    ------
    Refusal
        If there is none, or nobody says yes.
    """
    machine = here.look()
    before = profile.before(profile.generations(machine.config.profile), machine.running.path)
    if before is None or not Path(before).is_dir():
        raise Refusal("This machine has no system before this one.", "Install the one that is wanted.")
    show.can_be_tried(machine, describe(Path(before), closure(before)))
    if arguments.offer or not arguments.yes:
        print(show.stored(machine, here.side(before), everything=arguments.all))
        if not arguments.offer and not agreed("Go back to this? [y/N] "):
            print("Not done. Nothing was changed.")
            return 1
    asked = request.Request(
        request.name(),
        Kind.ROLLBACK,
        Source(Via.ROLLBACK, "", request.who()),
        before,
        None,
        asks_confirmation=arguments.offer,
    )
    request.save(machine.config.state, asked)
    if arguments.offer:
        print(f"offer: {asked.id}")
        return 0
    return carried_out(machine, asked, as_json=arguments.json)
