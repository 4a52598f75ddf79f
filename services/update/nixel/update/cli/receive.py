"""`nixel-update receive`: a deployer announces a system over the network; it is looked at before anything is sent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nixel.update import carry, here, request
from nixel.update.cli import show
from nixel.update.cli.offer import recorded
from nixel.update.manifest import authentic, complete, fits, parse
from nixel.update.manifest.model import MOST_BYTES, MOST_SIGNATURE_BYTES
from nixel.update.refusal import Refusal
from nixel.update.transaction.model import Kind, Source, Via

if TYPE_CHECKING:
    import argparse

    from nixel.update.cli.registry import Commands

_WHERE = "the announced manifest"


def add(commands: Commands) -> None:
    """Describe the command's arguments.

    Parameters
    ----------
    commands
        Where its parser is made.
    """
    parser = commands.add_parser(
        "receive", help="take a deployer's announcement from standard input (deploy.sh does)"
    )
    parser.add_argument("--allow-older", action="store_true", help="even if the machine runs a newer system")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check an announcement, keep it, and say what it would change.

    Parameters
    ----------
    arguments
        As parsed.

    Returns
    -------
    int
        0; the last line printed is `offer: ID`, or is missing if there is nothing to do, which the history has then.

    Raises
    ------
    Refusal
        If it is not for this machine, or not to be trusted.
    """
    machine = here.look()
    who = request.who()
    identifier, source = request.name(), Source(Via.SSH, who.partition(" from ")[2], who)
    with recorded(machine, identifier, Kind.INSTALL, source):
        carry.alone()
        announced = sys.stdin.buffer.read(MOST_BYTES + MOST_SIGNATURE_BYTES + 1)
        if len(announced) > MOST_BYTES + MOST_SIGNATURE_BYTES:
            raise Refusal(f"The announcement has more than {MOST_BYTES} bytes.", "Use deploy.sh.")
        first, newline, content = announced.partition(b"\n")
        signature = first + newline
        authentic(content, signature, machine.trusted, _WHERE)
        manifest = parse(content, _WHERE)
        complete(manifest)
        fits(manifest, machine.identity, allow_older=arguments.allow_older)
        here.clock_is_plausible(machine, manifest)
        here.room(machine, manifest)
        show.can_be_tried(machine, manifest.description)
    asked = request.Request(identifier, Kind.INSTALL, source, manifest.system, None, asks_confirmation=True)
    request.save(machine.config.state, asked, content, signature)
    if machine.running.path == manifest.system == machine.default:
        carry.carry_out(identifier)
        print("This machine runs that system already. Nothing to do.")
        return 0
    # What is sent now is nobody's yet, and must not be collected as garbage before it is installed.
    carry.driver(machine.config, identifier, None).effects.keep_reachable(manifest.system)
    print(show.offer(machine, manifest, everything=False))
    print(f"offer: {identifier}")
    return 0
