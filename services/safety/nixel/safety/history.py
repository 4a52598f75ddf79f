"""`nixel-safety history`: what happened, and whether the event log is whole."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from nixel.safety.chain import Verdict, verify
from nixel.safety.client import SafetyError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_EVENTS = "/var/lib/nixel-safety/events.jsonl"
_TORN_SHOWN = 5


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Parameters
    ----------
    commands
        To add it to.
    """
    made = commands.add_parser("history", help="what happened; --verify: whether the event log is whole")
    made.add_argument(
        "--events",
        type=Path,
        default=Path(os.environ.get("NIXEL_SAFETY_EVENTS", DEFAULT_EVENTS)),
        metavar="FILE",
        help="the event log (default: $NIXEL_SAFETY_EVENTS, else %(default)s)",
    )
    made.add_argument("--last", type=_count, default=50, metavar="N", help="how many events (default: 50)")
    made.add_argument("--verify", action="store_true", help="check every line; status 1 if not whole")
    made.add_argument(
        "--expect",
        type=_hash,
        metavar="HASH",
        help="with --verify: a hash that was noted earlier must still be in the log",
    )
    made.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Show or verify an event log.

    Parameters
    ----------
    arguments
        As parsed.

    Returns
    -------
    int
        0, or 1 if the log was to be verified and is not whole.

    Raises
    ------
    SafetyError
        If the log cannot be read.
    """
    if arguments.expect and not arguments.verify:
        raise SafetyError("--expect says what --verify is to find. Say --verify too.")
    try:
        with arguments.events.open("rb") as file:
            lines = _up_to(file, os.fstat(file.fileno()).st_size)
            if not arguments.verify:
                _show(deque(lines, arguments.last), as_json=arguments.json)
                return 0
            verdict = verify(lines, arguments.expect or "")
    except OSError as error:
        text = f"the event log {arguments.events} cannot be read: {error.strerror}"
        raise SafetyError(
            f"{text}. Name it with --events; the daemon's own is for root and its group."
        ) from error
    if arguments.json:
        print(json.dumps({**dataclasses.asdict(verdict), "whole": verdict.whole}, indent=2))
    else:
        print(report(str(arguments.events), verdict))
    return 0 if verdict.whole else 1


def report(name: str, verdict: Verdict) -> str:
    """Write what a verification found for people.

    Parameters
    ----------
    name
        Of the log.
    verdict
        What was found.

    Returns
    -------
    str
        Several lines.
    """
    lines = [f"{name} is {'whole' if verdict.whole else 'NOT whole'}"]
    if verdict.events:
        lines.append(f"  {verdict.events} sealed events from {verdict.first} to {verdict.last}")
    else:
        lines.append("  no sealed event")
    if verdict.older:
        lines.append(f"  {verdict.older} lines before the first sealed one, of a daemon that did not seal")
    if verdict.torn:
        numbers = ", ".join(str(number) for number in verdict.torn[:_TORN_SHOWN])
        more = ", ..." if len(verdict.torn) > _TORN_SHOWN else ""
        lines.append(f"  {len(verdict.torn)} torn by a power cut or a kill: line {numbers}{more}")
    if verdict.broken is not None:
        lines.append(f"  breaks at {verdict.broken}")
        lines.append("  What stands before that line is as it was written; from there on nothing is sure.")
    if verdict.latest:
        lines.append(f"  latest hash {verdict.latest}")
        lines.append("  Lines cut off the end cannot be seen here: note the hash, and --expect it next time.")
    return "\n".join(lines)


def _up_to(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Give the lines that were there when we began, so that an event being written now is not half of one."""
    left = size
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        yield line


def _show(lines: deque[bytes], *, as_json: bool) -> None:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if as_json and event is not None:
            print(line.decode().rstrip("\n"))
        elif not as_json:
            print(_event(event) if isinstance(event, dict) else "(no event; --verify says more)")


def _event(event: dict[str, Any]) -> str:
    return f"{event.get('time', '-'):24}  {event.get('kind', '-'):10}  {event.get('text', '')}"


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number was expected, found {text!r}")
    return int(text)


def _hash(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"64 hexadecimal digits were expected, found {text!r}")
    return text
