"""The command line of `nixel-update`: a module a command, and what all of them end with.

Exit status 0: done, or nothing to do. 1: the update does not stand. 2: refused, and nothing was changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from nixel.update.cli import (
    carry_out,
    clock,
    confirm,
    developer,
    diff,
    history,
    offer,
    receive,
    rollback,
    status,
)
from nixel.update.failure import Failure
from nixel.update.follow import VERDICTS
from nixel.update.health import cli as health
from nixel.update.refusal import Refusal
from nixel.update.transaction.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nixel.update.cli.registry import Command

# What is refused of these ends as any update does: with a verdict.
_INSTALLS = ("install", "rollback")
# registry.py says how to add one.
COMMANDS: tuple[Command, ...] = (
    status,
    offer,
    rollback,
    history,
    diff,
    confirm,
    clock,
    health,
    receive,
    carry_out,
    developer,
)


def parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns
    -------
    argparse.ArgumentParser
        Of nixel-update; what it parses carries the function that runs the command as `run`.
    """
    made = argparse.ArgumentParser(
        prog="nixel-update", description="What this machine runs, and how it gets another system."
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run nixel-update.

    Parameters
    ----------
    argv
        The arguments; those of the process if `None`.

    Returns
    -------
    int
        The command's exit status; 2 with one paragraph on stderr if what was asked for is refused.
    """
    arguments = parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except Refusal as refusal:
        # A program that reads the answer gets one; a person reads the other stream.
        if getattr(arguments, "json", False):
            print(json.dumps({"verdict": Verdict.REFUSED, "why": [refusal.what, refusal.todo]}, indent=2))
        if arguments.command in _INSTALLS:
            print(f"{VERDICTS[Verdict.REFUSED]}\n  {refusal.what}\n  {refusal.todo}", file=sys.stderr)
        else:
            print(f"nixel-update: {refusal}", file=sys.stderr)
        return 2
    except Failure as failure:
        print(f"nixel-update: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # As a shell tells it: ended by SIGINT.
        return 130
