"""The command line of `nixel-update`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.update.system import judge, look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nixel.update.system import Standing


def parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns
    -------
    argparse.ArgumentParser
        Of nixel-update.
    """
    made = argparse.ArgumentParser(
        prog="nixel-update", description="What this machine runs, and what its next start brings."
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="which system runs, and what the next start brings")
    status.add_argument("--json", action="store_true", help="for programs")
    status.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="look at the machine under DIR"
    )
    return made


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run nixel-update.

    Parameters
    ----------
    argv
        The arguments; those of the process if `None`.

    Returns
    -------
    int
        0, or 2 with one paragraph on stderr.
    """
    arguments = parser().parse_args(argv)
    root: Path = arguments.root
    if not root.is_dir():
        print(f"nixel-update: {root} is not a folder. Name the root folder of a machine.", file=sys.stderr)
        return 2
    try:
        standing = judge(look(root))
    except OSError as error:
        why = f"{error.filename} cannot be read: {error.strerror}"
        print(f"nixel-update: {why}. Run it as a user who may read it.", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(as_json(standing), indent=2))
    else:
        print("\n".join(standing.sentences))
    return 0


if __name__ == "__main__":
    sys.exit(main())
