"""`nixel-update health`: what a system's own `nixel/health` runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.update.health.config import FORMAT, read, read_json
from nixel.update.health.runner import check_all, snapshot_all
from nixel.update.refusal import Refusal

if TYPE_CHECKING:
    import argparse

    from nixel.update.cli.registry import Commands


def add(commands: Commands) -> None:
    """Describe the command `health`.

    Parameters
    ----------
    commands
        Where its parser is made.
    """
    health = commands.add_parser("health", help="look whether the instrument has all that it needs")
    verbs = health.add_subparsers(dest="verb", required=True, metavar="snapshot|check")
    snapshot = verbs.add_parser("snapshot", help="note what is so before a switch, in JSON")
    check = verbs.add_parser("check", help="wait until all is well, and say in JSON whether it is")
    for verb in (snapshot, check):
        verb.add_argument("--config", type=Path, required=True, metavar="FILE", help="the checks, in JSON")
        verb.set_defaults(run=run)
    check.add_argument("--before", type=Path, metavar="FILE", help="what snapshot printed before the switch")


def run(arguments: argparse.Namespace) -> int:
    """Print a snapshot or the results of the checks.

    Parameters
    ----------
    arguments
        As `add` describes them.

    Returns
    -------
    int
        1 if a check did not pass, else 0.

    Raises
    ------
    Refusal
        If a file cannot be read or is wrong.
    """
    checks = read(arguments.config)
    if arguments.verb == "snapshot":
        print(json.dumps({"format": FORMAT, "facts": snapshot_all(checks)}, indent=2))
        return 0
    results = check_all(checks, _before(arguments.before))
    print(
        json.dumps({"format": FORMAT, "checks": [result.as_json() for result in results]}, indent=2),
        flush=True,
    )
    return 0 if all(result.passed for result in results) else 1


def _before(path: Path | None) -> dict[str, Any]:
    """The facts of a snapshot."""
    if path is None:
        return {}
    found = read_json(path)
    facts = found.get("facts") if isinstance(found, dict) and found.get("format") == FORMAT else None
    if not isinstance(facts, dict):
        raise Refusal(
            f"{path} is no snapshot of format {FORMAT}.", "Name a file with what health snapshot printed."
        )
    return facts
