"""`nixel-update stick`, `announce` and `describe`: the developer's side, where systems are built and signed."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.update import identity, keys, progress, request
from nixel.update.closure import closure
from nixel.update.describe import describe, locate
from nixel.update.manifest import build
from nixel.update.manifest.model import PREFIX
from nixel.update.nix import Nix
from nixel.update.refusal import Refusal
from nixel.update.stick.write import About, Source, write

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from nixel.update.cli.registry import Commands

_TELL_EVERY_S = 2.0


def add(commands: Commands) -> None:
    """Describe the commands' arguments.

    Parameters
    ----------
    commands
        Where their parsers are made.
    """
    stick = commands.add_parser("stick", help="write systems to a stick (deploy.sh usb write does)")
    verbs = stick.add_subparsers(dest="verb", required=True, metavar="write")
    writing = verbs.add_parser("write", help="write or bring up to date")
    writing.add_argument("folder", type=Path, metavar="DIR", help="the stick's folder")
    writing.add_argument(
        "--system",
        action="append",
        required=True,
        type=_named,
        metavar="HOST=PATH",
        help="a host and its system; may be repeated",
    )
    writing.add_argument("--since", metavar="PATH", help="leave out what this system consists of")
    announce = commands.add_parser(
        "announce", help="sign what a system consists of (deploy.sh push sends it)"
    )
    announce.add_argument("system", type=_named, metavar="HOST=PATH", help="a host and its system")
    for parser in (writing, announce):
        parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the signing key")
        parser.add_argument("--note", default="", metavar="TEXT", help="a word to the technician")
    about = commands.add_parser("describe", help="what a system is made of, as data for `diff`")
    about.add_argument("system", type=Path, metavar="SYSTEM", help="its store path, or a link to it")
    writing.set_defaults(run=run_write)
    announce.set_defaults(run=run_announce)
    about.set_defaults(run=run_describe)


def run_write(arguments: argparse.Namespace) -> int:
    """Write systems to a stick.

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
        If a system, the key or the stick is not fit for it.
    """
    for host, system in arguments.system:
        _is_for(host, system)
    written = write(
        arguments.folder,
        [system for _, system in arguments.system],
        keys.read_secret(arguments.key),
        Source(Nix(), Path("/"), _description),
        _about(arguments.note),
        since=arguments.since,
        stage=_Telling,
    )
    print(
        f"{arguments.folder} brings {', '.join(written.hosts)} their systems: {progress.size(written.size)}, "
        f"{len(written.copied)} store paths written, {written.shared} were there already."
    )
    if written.stale:
        print(
            f"What is on it for {', '.join(written.stale)} no longer holds: write those hosts again.",
            file=sys.stderr,
        )
        return 1
    return 0


def run_announce(arguments: argparse.Namespace) -> int:
    """Print the signature and the manifest of a system, one line each.

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
        If the system or the key is not fit for it.
    """
    host, system = arguments.system
    whose = _is_for(host, system)
    about = _about(arguments.note)
    manifest = build(
        system,
        whose,
        Nix().closure(system),
        made=about.made,
        made_by=about.made_by,
        note=about.note,
        description=_description(Path(system)),
    )
    content = manifest.encode()
    print(keys.sign(keys.read_secret(arguments.key), PREFIX + content))
    sys.stdout.write(content.decode("ascii"))
    return 0


def run_describe(arguments: argparse.Namespace) -> int:
    """Print what a system is made of.

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
        If it is no system.
    """
    print(json.dumps(_description(arguments.system)))
    return 0


def _named(text: str) -> tuple[str, str]:
    host, equals, system = text.partition("=")
    if not (host and equals and system.startswith("/nix/store/")):
        raise Refusal(f"{text!r} is no host with its system.", "Write HOST=/nix/store/...")
    return host, system


def _is_for(host: str, system: str) -> identity.Identity:
    """A system that was named for one machine and made for another would be refused there."""
    whose = identity.read(Path(system))
    if whose.host != host:
        raise Refusal(
            f"{system} was made for {whose.host}, not for {host}.", f"Name it {whose.host}={system}."
        )
    return whose


def _about(note: str) -> About:
    return About(made=int(time.time()), made_by=request.who(), note=" ".join(note.split()))


def _description(system: Path) -> Mapping[str, Any]:
    return describe(system, closure(locate(system)))


class _Telling:
    """Says how far the writing is, now and then."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._at = time.monotonic()
        self._left = progress.TimeLeft(self._at)

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        left = self._left.left(done, total, now)
        if now - self._at < _TELL_EVERY_S and done < total:
            return
        self._at = now
        more = "" if left is None or done >= total else f", {progress.time(left)} left"
        print(
            f"{self._what}: {progress.size(done)} of {progress.size(total)}{more}",
            file=sys.stderr,
            flush=True,
        )
