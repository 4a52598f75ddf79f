"""`nixel-safety history`: what happened, and whether the event log is whole."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import json
import os
import re
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.safety.client import SafetyError, SafetyRefused, SafetyUnavailable
from nixel.safety.client.line import Line
from nixel.safety.records.audit import Audit, audit, up_to
from nixel.safety.records.event_json import stamp
from nixel.safety.records.logfile import put_aside
from nixel.safety.service.telling import MOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DEFAULT_EVENTS = "/var/lib/nixel-safety/events.jsonl"
_TORN_SHOWN = 5
_PATIENCE = 2.0  # s
_AGO = {"s": 1, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class History:
    """What happened last, as the daemon remembers it.

    Attributes
    ----------
    events
        Oldest first; each with `time`, `monotonic`, `kind`, `text` and `details`.
    earlier
        Whether there are older ones that match; the event log has them.
    latest
        The hash of the last line of the event log; empty while the daemon does not know it.
    lost
        How many events could not be kept since the daemon started.
    problem
        Why the log cannot be written at present; empty if it can.
    """

    events: tuple[Mapping[str, Any], ...]
    earlier: bool
    latest: str
    lost: int
    problem: str


def ask(socket: str, since: str = "", limit: int = 50) -> History:
    """Ask the daemon what happened last.

    Parameters
    ----------
    socket
        Of the daemon.
    since
        Only what happened after this time, ISO 8601 as events have it; everything if empty.
    limit
        How many events, 200 at most; of more, the newest.

    Returns
    -------
    History
        From the daemon's memory.

    Raises
    ------
    SafetyRefused
        If this user may not.
    SafetyUnavailable
        If no daemon answers.
    """
    line = Line(socket, _PATIENCE)
    try:
        said = line.call("History", limit=limit, **({"since": since} if since else {}))
    finally:
        line.close()
    latest, problem = said["latest"] or "", said["problem"] or ""
    return History(tuple(said["events"]), said["earlier"], latest, said["lost"], problem)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Parameters
    ----------
    commands
        To add it to.
    """
    made = commands.add_parser("history", help="what happened; --verify: whether the event log is whole")
    made.add_argument("--since", type=_time, metavar="TIME", help='"2026-01-31 12:00" (UTC), or "2 h" ago')
    made.add_argument("--limit", type=_count, default=50, metavar="N", help="how many events (default: 50)")
    made.add_argument("--json", action="store_true", help="for programs: a line an event")
    made.add_argument(
        "--events",
        type=Path,
        metavar="FILE",
        help="read this event log instead of asking the daemon "
        f"(--verify always reads: $NIXEL_SAFETY_EVENTS, else {DEFAULT_EVENTS})",
    )
    made.add_argument("--verify", action="store_true", help="check every line; status 1 if not whole")
    made.add_argument(
        "--expect",
        type=_hash,
        metavar="HASH",
        help="with --verify: a hash that was noted earlier must still be in the log",
    )


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
        If neither the daemon nor the log can be had.
    """
    if arguments.expect and not arguments.verify:
        raise SafetyError("--expect says what --verify is to find. Say --verify too.")
    if arguments.verify:
        return _verify(arguments)
    if arguments.events is None:
        try:
            limit = min(arguments.limit, MOST)
            past = ask(arguments.socket, arguments.since or "", limit)
        except SafetyUnavailable as error:
            print(f"nixel-safety: {error} The event log itself says:", file=sys.stderr)
        else:
            for event in past.events:
                print(json.dumps(event, ensure_ascii=False) if arguments.json else _line(event))
            if past.problem:
                print(f"nixel-safety: the log cannot be written: {past.problem}", file=sys.stderr)
            if past.lost:
                print(f"nixel-safety: {past.lost} events could not be kept", file=sys.stderr)
            if past.earlier and len(past.events) < arguments.limit:
                print("nixel-safety: what is older stands in the log: --events FILE", file=sys.stderr)
            return 0
    _show(_read(_file(arguments), arguments.since or "", arguments.limit), as_json=arguments.json)
    return 0


def _file(arguments: argparse.Namespace) -> Path:
    return arguments.events or Path(os.environ.get("NIXEL_SAFETY_EVENTS", DEFAULT_EVENTS))


# --- verifying ---


def _verify(arguments: argparse.Namespace) -> int:
    path = _file(arguments)
    expect = [arguments.expect] if arguments.expect else []
    if arguments.events is None:
        # What the daemon has in its memory, nobody can cut off the end of the file. Asked before the file is read.
        # Without it only a remembered hash can tell, and the report says so.
        with contextlib.suppress(SafetyUnavailable, SafetyRefused):
            expect += filter(None, [ask(arguments.socket, limit=1).latest])
    try:
        found = audit(path, expect)
    except OSError as error:
        raise _unreadable(path, error) from error
    if arguments.json:
        files = [{"file": name, **dataclasses.asdict(verdict)} for name, verdict in found.files]
        said = {"whole": found.whole, "latest": found.latest, "dropped": found.dropped, "files": files}
        print(json.dumps(said, indent=2))
    else:
        print(report(found, anchored=bool(expect)))
    return 0 if found.whole else 1


def report(found: Audit, *, anchored: bool) -> str:
    """Write what a verification found for people.

    Parameters
    ----------
    found
        By the audit.
    anchored
        Whether a hash was looked for that somebody remembered.

    Returns
    -------
    str
        Several lines.
    """
    lines = []
    for name, verdict in found.files:
        lines.append(f"{name} is {'whole' if verdict.whole else 'NOT whole'}")
        if verdict.events:
            lines.append(f"  {verdict.events} sealed events from {verdict.first} to {verdict.last}")
        else:
            lines.append("  no sealed event")
        if verdict.older:
            lines.append(
                f"  {verdict.older} lines before the first sealed one, of a daemon that did not seal"
            )
        if verdict.torn:
            numbers = ", ".join(str(number) for number in verdict.torn[:_TORN_SHOWN])
            more = ", ..." if len(verdict.torn) > _TORN_SHOWN else ""
            lines.append(f"  {len(verdict.torn)} torn by a power cut or a kill: line {numbers}{more}")
        if verdict.broken is not None:
            lines.append(f"  breaks at {verdict.broken}")
            lines.append(
                "  What stands before that line is as it was written; from there on nothing is sure."
            )
    if found.dropped:
        lines.append(f"{found.dropped} older files are gone, as old ones go when the log grows")
    if found.latest:
        lines.append(f"latest hash {found.latest}")
    if anchored and found.whole:
        lines.append("The remembered hash is in it, so nothing up to it was cut off the end.")
    elif not anchored:
        lines.append("Lines cut off the end cannot be seen here: note the hash, and --expect it next time.")
    return "\n".join(lines)


def _unreadable(path: Path, error: OSError) -> SafetyError:
    return SafetyError(
        f"the event log {path} cannot be read: {error.strerror}. "
        "Name it with --events; the daemon's own is for root and its group."
    )


# --- showing ---


def _read(path: Path, since: str, limit: int) -> Iterable[bytes]:
    """Give the last lines of a log that are events, and what is none among them."""
    kept: deque[bytes] = deque(maxlen=limit)
    try:
        for each in [*(old for _, old in put_aside(path)), path]:
            kept.extend(line for line in _lines(each) if not since or _is_after(line, since))
    except OSError as error:
        raise _unreadable(path, error) from error
    return kept


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from up_to(file, os.fstat(file.fileno()).st_size)


def _is_after(line: bytes, since: str) -> bool:
    event = _parsed(line)
    return event is not None and str(event.get("time", "")) > since


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _show(lines: Iterable[bytes], *, as_json: bool) -> None:
    for line in lines:
        event = _parsed(line)
        if event is None:
            if not as_json:
                print("(no event; --verify says more)")
        else:
            print(line.decode().rstrip("\n") if as_json else _line(event))


def _line(event: Mapping[str, Any]) -> str:
    line = f"{event.get('time', '-')!s:24}  {event.get('kind', '-')!s:10}  {event.get('text', '')}"
    return "".join(letter if letter.isprintable() else " " for letter in line)


# --- what is typed ---


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a whole number above zero was expected, found {text!r}")
    return int(text)


def _hash(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"64 hexadecimal digits were expected, found {text!r}")
    return text


def _time(text: str) -> str:
    """Turn a time, or how long ago, into what the log writes; nothing stays nothing (argparse reads defaults too)."""
    if not text:
        return text
    ago = re.fullmatch(r"([0-9]{1,6}) ?(s|min|h|d)", text)
    if ago:
        return stamp(dt.datetime.now(dt.UTC).timestamp() - int(ago[1]) * _AGO[ago[2]])
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        expected = '"2026-01-31 12:00", or how long ago with its unit (s, min, h, d), such as "2 h"'
        raise argparse.ArgumentTypeError(f"expected {expected}; found {text!r}") from None
    return stamp(moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp())
