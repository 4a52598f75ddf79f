"""`nixel-update offer` and `install`: what a stick brings to this machine, and having it."""

from __future__ import annotations

import json
import shlex
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.update import carry, here, invocation, progress, request
from nixel.update.cli import show
from nixel.update.follow import follow, stage, standing, status, words
from nixel.update.refusal import Refusal
from nixel.update.stick.verify import verify
from nixel.update.transaction.model import Kind, Source, Stage, Via

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from nixel.update.cli.registry import Commands
    from nixel.update.here import Here
    from nixel.update.stick.verify import Verified

STICK = Path("/run/nixel-update/stick")


def add(commands: Commands) -> None:
    """Describe the commands' arguments.

    Parameters
    ----------
    commands
        Where their parsers are made.
    """
    offer = commands.add_parser("offer", help="check a stick, and say what it would change")
    install = commands.add_parser("install", help="install from a stick, after asking")
    for parser in (offer, install):
        parser.add_argument(
            "folder",
            nargs="?",
            type=Path,
            metavar="DIR",
            help="the stick's folder; without it the one plugged in",
        )
        parser.add_argument(
            "--allow-older", action="store_true", help="even if the machine runs a newer system"
        )
        parser.add_argument("--all", action="store_true", help="name everything that changes")
        parser.add_argument("--json", action="store_true", help="for programs")
    install.add_argument("--yes", action="store_true", help="do not ask")
    install.add_argument(
        "--offer", metavar="ID", help="what `receive` or `rollback --offer` named, instead of a stick"
    )
    install.add_argument(
        "--asks-confirmation", action="store_true", help="go back unless somebody comes and says `confirm`"
    )
    offer.set_defaults(run=run_offer)
    install.set_defaults(run=run_install)


def run_offer(arguments: argparse.Namespace) -> int:
    """Check a stick and show what it would change.

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
        If the stick is not for this machine, or not to be trusted.
    """
    machine = here.look()
    verified = _verified(machine, arguments)
    if arguments.json:
        print(json.dumps(show.as_json(machine, verified.manifest), indent=2))
    else:
        print(show.offer(machine, verified.manifest, everything=arguments.all))
        wanted = ["sudo", "nixel-update", "install"]
        wanted += [] if arguments.folder in (None, STICK) else [str(arguments.folder)]
        wanted += ["--allow-older"] if arguments.allow_older else []
        print(f"\nTo install it, type: {shlex.join(wanted)}")
    return 0


def run_install(arguments: argparse.Namespace) -> int:
    """Install from a stick, or what came over the network.

    Parameters
    ----------
    arguments
        As parsed.

    Returns
    -------
    int
        0 if the new system runs and is kept, or did so already; 1 if not.

    Raises
    ------
    Refusal
        If it is refused, or nobody says yes.
    """
    machine = here.look()
    state = machine.config.state
    if arguments.json and not arguments.yes:
        raise Refusal("A program cannot be asked.", "Look at `nixel-update offer --json`, then say --yes.")
    if arguments.offer:
        if arguments.folder:
            raise Refusal("Both a stick and an offer were named.", "Name one of them.")
        asked = replace(request.load(state, arguments.offer), asks_confirmation=arguments.asks_confirmation)
        request.save(state, asked)
    else:
        identifier, source = request.name(), Source(Via.STICK, str(arguments.folder or STICK), request.who())
        with recorded(machine, identifier, Kind.INSTALL, source):
            # Before a stick is read for minutes; it is looked at once more when the update starts.
            carry.alone()
            verified = _verified(machine, arguments)
        manifest = verified.manifest
        if not _runs_already(machine, manifest.system):
            if not arguments.json:
                print(show.offer(machine, manifest, everything=arguments.all), "", sep="\n", flush=True)
            if not arguments.yes and not agreed("Install this? [y/N] "):
                print("Not installed. Nothing was changed.")
                return 1
        folder = str(_folder(arguments).resolve())
        asked = request.Request(
            identifier, Kind.INSTALL, source, manifest.system, folder, arguments.asks_confirmation
        )
        request.save(state, asked, verified.content, verified.signature)
    return carried_out(machine, asked, as_json=arguments.json)


def carried_out(machine: Here, asked: request.Request, *, as_json: bool) -> int:
    """Have a request carried out, watch it, and say how it ended.

    Parameters
    ----------
    machine
        This machine.
    asked
        What is asked for.
    as_json
        Whether for a program.

    Returns
    -------
    int
        The exit status.
    """
    state = machine.config.state
    # A line of the history with the name of an update that runs would be taken for its end.
    with recorded(machine, request.name(), asked.kind, asked.source):
        try:
            carry.start(asked.id, invocation.argv0())
        except Refusal:
            request.drop(state, asked.id)
            raise
    until = Stage.CONFIRMING if asked.asks_confirmation else None
    try:
        entry = follow(state, asked.id, until=until, quiet=as_json)
    except KeyboardInterrupt:
        print("\nIt goes on by itself. To see how far it is, type: nixel-update status", file=sys.stderr)
        raise
    if entry is None:
        if as_json:
            print(json.dumps({"id": asked.id, "verdict": None}))
        # It waits for a confirmation; or the machine goes down, and then the update does not stand. Whoever is to
        # confirm comes back for the verdict anyway.
        if not asked.asks_confirmation and stage(state) == (asked.id, Stage.RESTARTING):
            print("When it is back, type: nixel-update status", file=sys.stderr)
            return 1
        return 0
    print(json.dumps(entry.as_json(), indent=2) if as_json else words(entry, standing()))
    request.drop(state, asked.id)
    return status(entry.verdict)


def agreed(question: str) -> bool:
    """Ask a person.

    Parameters
    ----------
    question
        What for.

    Returns
    -------
    bool
        Whether the answer was yes; an end of input is a no.

    Raises
    ------
    Refusal
        If nobody is there to answer.
    """
    if not sys.stdin.isatty():
        raise Refusal("Nobody can be asked here.", "Look at the offer, then say --yes.")
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


@contextmanager
def recorded(machine: Here, identifier: str, kind: Kind, source: Source) -> Iterator[None]:
    """Put a refusal into the history as well.

    Parameters
    ----------
    machine
        This machine.
    identifier, kind, source
        The attempt.
    """
    began = time.time()
    try:
        yield
    except Refusal as refusal:
        carry.driver(machine.config, identifier, None).refuse(
            refusal, identifier, began, kind, source, machine.running
        )
        raise


def _folder(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.folder or STICK
    if not folder.is_dir():
        if arguments.folder:
            raise Refusal(f"{folder} is not a folder.", "Name the folder of a stick.")
        raise Refusal("No stick of nixel is plugged in.", "Plug it in, or name its folder.")
    return folder


def _verified(machine: Here, arguments: argparse.Namespace) -> Verified:
    verified = verify(
        _folder(arguments),
        machine.identity.host,
        machine.trusted,
        running=machine.identity,
        allow_older=arguments.allow_older,
        known=machine.nix.path_info,
        progress=_Reading(quiet=arguments.json),
    )
    here.clock_is_plausible(machine, verified.manifest)
    here.room(machine, verified.manifest)
    show.can_be_tried(machine, verified.manifest.description)
    return verified


def _runs_already(machine: Here, system: str) -> bool:
    return machine.running.path == system == machine.default


class _Reading:
    """Says how far the check of a stick is, now and then."""

    EVERY_S = 2.0

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._at = self._began = time.monotonic()
        self._left = progress.TimeLeft(self._began)

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._quiet or now - self._at < self.EVERY_S:
            return
        self._at = now
        left = self._left.left(done, total, now)
        more = "" if left is None else f", {progress.time(left)} left"
        print(
            f"Checking the stick: {progress.size(done)} of {progress.size(total)}{more}",
            file=sys.stderr,
            flush=True,
        )
