"""`nixel-update diff A B`: what changes from one system to another."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.update import technical, words
from nixel.update.active import active_units
from nixel.update.closure import closure
from nixel.update.describe import describe, locate
from nixel.update.difference import difference
from nixel.update.refusal import Refusal
from nixel.update.system import RUNNING, resolve

if TYPE_CHECKING:
    import argparse

    from nixel.update.cli.registry import Commands

_MOST_ANNOUNCED = 4 * 1024 * 1024


def add(commands: Commands) -> None:
    """Describe the command's arguments.

    Parameters
    ----------
    commands
        Where its parser is made.
    """
    parser = commands.add_parser("diff", help="what changes from one system to another")
    parser.add_argument(
        "old", type=Path, metavar="A", help="a system, as /run/current-system or a store path"
    )
    parser.add_argument(
        "new",
        type=Path,
        metavar="B",
        help="the system that is to come; - for what `describe` printed, on stdin",
    )
    parser.add_argument("--technical", action="store_true", help="also compare closures and derivations")
    parser.add_argument("--all", action="store_true", help="leave nothing out of a list, however long")
    parser.add_argument("--json", action="store_true", help="for programs; always with everything")
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="the systems of the machine under DIR"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Say what changes.

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
        If one is no system, or Nix cannot tell what it needs.
    """
    root: Path = arguments.root
    if not root.is_dir():
        raise Refusal(f"{root} is not a folder.", "Name the root folder of a machine.")
    store = None if root == Path("/") else str(root.absolute())
    announced = str(arguments.new) == "-"
    if announced and arguments.technical:
        raise Refusal("--technical needs both systems in the store.", "Name two systems.")
    try:
        old, before = _look(root, arguments.old, store)
        new, after = ("", _announced()) if announced else _look(root, arguments.new, store)
    except OSError as error:
        raise Refusal(
            f"{error.filename} cannot be read: {error.strerror}.", "Run it as a user who may read it."
        ) from error
    here = root == Path("/") and old == resolve(root, RUNNING)
    found = difference(before, after, active_units() if here else None)
    if arguments.json:
        described = words.as_json(found)
        if arguments.technical:
            described["technical"] = _kept(old, new, store)
        print(json.dumps(described, indent=2))
        return 0
    print("\n".join(words.fitted(words.sentences(found, arguments.all))))
    if arguments.technical:
        _show(old, new, store, arguments.all)
    return 0


def _look(root: Path, system: Path, store: str | None) -> tuple[str, dict[str, Any]]:
    """A system's store path and its description."""
    place = _below(root, system)
    path = locate(place, root)
    return path, describe(place, closure(path, store), root)


def _announced() -> dict[str, Any]:
    text = sys.stdin.buffer.read(_MOST_ANNOUNCED + 1)
    try:
        found = json.loads(text) if len(text) <= _MOST_ANNOUNCED else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refusal("What came on standard input describes no system.", "Give it what `describe` printed.")
    return found


def _below(root: Path, system: Path) -> Path:
    """A path on the machine under `root`, as this process finds it."""
    if root == Path("/") or not system.is_absolute() or system.is_relative_to(root.absolute()):
        return system
    return root / system.relative_to("/")


def _kept(old: str, new: str, store: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [asdict(technical.run(technical.closures(old, new, store)))]
    command = technical.derivations(old, new, store)
    found.append({"missing": command} if isinstance(command, str) else asdict(technical.run(command)))
    return found


def _show(old: str, new: str, store: str | None, everything: bool) -> None:
    for title, command in (
        ("Closures", technical.closures(old, new, store)),
        ("How the systems are made", technical.derivations(old, new, store)),
    ):
        print(f"\n{title}:", flush=True)
        if isinstance(command, str):
            print(command)
            continue
        done = technical.run(command, write=_write if everything else None)
        if not everything:
            print(done.text.rstrip("\n"))
        for line in technical.about(done, all_shown=everything):
            print(line)


def _write(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
