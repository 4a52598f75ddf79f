"""`nixel-update run` and `resume`: what the unit of an update runs, and what a machine runs after its start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nixel.update import carry, config
from nixel.update.transaction.driver import RecordLostError

if TYPE_CHECKING:
    import argparse

    from nixel.update.cli.registry import Commands


def add(commands: Commands) -> None:
    """Describe the commands' arguments.

    Parameters
    ----------
    commands
        Where their parsers are made.
    """
    run = commands.add_parser("run", help="carry out what was asked for (its unit does)")
    run.add_argument("id", metavar="ID", help="the request's name")
    run.set_defaults(run=run_one)
    resume = commands.add_parser("resume", help="end what was interrupted (every start of the machine does)")
    resume.set_defaults(run=run_resume)


def run_one(arguments: argparse.Namespace) -> int:
    """Carry out a request.

    Parameters
    ----------
    arguments
        As parsed.

    Returns
    -------
    int
        0 if it ended, however it ended: the history says how.

    Raises
    ------
    Refusal
        If it is not done.
    """
    try:
        carry.carry_out(arguments.id)
    except RecordLostError as error:
        print(f"nixel-update: {error}", file=sys.stderr)
        return 1
    return 0


def run_resume(arguments: argparse.Namespace) -> int:  # noqa: ARG001 (every command is called alike)
    """End what was interrupted.

    Parameters
    ----------
    arguments
        As parsed.

    Returns
    -------
    int
        0 if nothing is left in the middle.

    Raises
    ------
    Refusal
        If that cannot be done now.
    """
    settings = config.read()
    try:
        transaction = carry.resume(settings)
    except RecordLostError as error:
        print(f"nixel-update: {error}", file=sys.stderr)
        return 1
    if transaction is not None:
        print(
            f"{transaction.id}: {transaction.verdict or transaction.stage}. {' '.join(transaction.why)}".strip()
        )
    return 0
