"""`nixel-safety blackbox`: the recordings of trips, listed and told in words."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.safety.cli.history import DEFAULT_EVENTS
from nixel.safety.client import SafetyError
from nixel.safety.records.recording import Recording, RecordingError, read, read_header
from nixel.safety.records.recordings import FOLDER, recordings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_EVENTS_SHOWN = 20


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Parameters
    ----------
    commands
        To add it to.
    """
    made = commands.add_parser("blackbox", help="what was read and commanded around each trip")
    chosen = made.add_subparsers(dest="what", required=True, metavar="list|show")
    listed = chosen.add_parser("list", help="the recordings there are, the newest last")
    shown = chosen.add_parser("show", help="one of them in words")
    shown.add_argument(
        "recording", nargs="?", default="latest", metavar="FILE", help="a file, a number, or latest"
    )
    for each in (listed, shown):
        each.add_argument(
            "--folder",
            type=Path,
            metavar="DIR",
            help=f"where they are (default: {FOLDER} beside $NIXEL_SAFETY_EVENTS, else beside {DEFAULT_EVENTS})",
        )
        each.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """List the recordings, or show one.

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
    SafetyError
        If there is no such recording, or it cannot be read.
    """
    if arguments.what == "list":
        _list(arguments.folder, as_json=arguments.json)
        return 0
    path = find(arguments.recording, arguments.folder)
    try:
        found = read(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except RecordingError as error:
        raise SafetyError(str(error)) from error
    if arguments.json:
        print(json.dumps(dataclasses.asdict(found.header), ensure_ascii=False, indent=2))
    else:
        print("\n".join(_told(path, found)))
    return 0


def find(which: str, folder: Path | None = None) -> Path:
    """Find a recording.

    Parameters
    ----------
    which
        A file, the number of one in the folder, or "latest".
    folder
        Where to look; the daemon's if `None`.

    Returns
    -------
    Path
        Of a file.

    Raises
    ------
    SafetyError
        If there is none.
    """
    if which != "latest" and not which.isdecimal():
        return Path(which)
    place, found = _folder(folder)
    if not found:
        raise SafetyError(f"{place} holds no recording: nothing has tripped yet")
    if which == "latest":
        return found[-1][1]
    path = dict(found).get(int(which))
    if path is None:
        raise SafetyError(f"{place} holds no recording {which}; there are {found[0][0]} to {found[-1][0]}")
    return path


def _folder(folder: Path | None) -> tuple[Path, list[tuple[int, Path]]]:
    place = folder or Path(os.environ.get("NIXEL_SAFETY_EVENTS", DEFAULT_EVENTS)).parent / FOLDER
    try:
        return place, recordings(place)
    except OSError as error:
        raise _unreadable(place, error) from error


def _unreadable(path: Path, error: OSError) -> SafetyError:
    return SafetyError(
        f"{path} cannot be read: {error.strerror}. The daemon's own recordings are for root and its group; "
        "name another folder with --folder."
    )


def _list(folder: Path | None, *, as_json: bool) -> None:
    for number, path in _folder(folder)[1]:
        try:
            header = read_header(path)
        except (OSError, RecordingError) as error:
            print(
                json.dumps({"number": number, "file": str(path), "problem": str(error)}) if as_json else error
            )
            continue
        if as_json:
            said = {"number": number, "file": str(path), "trip": header.trip, "cause": header.cause}
            print(json.dumps({**said, "message": header.message, "complete": header.complete}))
        else:
            print(f"{number:6}  {header.trip}  {_printable(header.message)}")


def _told(path: Path, found: Recording) -> Iterator[str]:
    header = found.header
    times = found.columns["t"]
    yield f"{path}"
    yield f"  {header.trip}  {header.before} -> FAULT: {_printable(header.message)}"
    simulated = " (simulated)" if header.simulated else ""
    span = f"{-times[0]:.1f} s before the trip, {times[-1]:.1f} s after it" if times else "nothing"
    yield f"  {header.instrument}{simulated}; {span}, {header.rate:g} ticks a second"
    if not header.complete:
        yield "  What followed is not in it: the daemon ended before it was written."
    before = max((index for index, t in enumerate(times) if t < 0.0), default=0)
    if times:
        yield f"  {'':24} {'lowest':>12} {'highest':>12} {'before':>12} {'at the trip':>12}"
        trip = min(before + 1, len(times) - 1)
        for source in header.sources:
            values = found.columns[source]
            known = [value for value in values if value == value]
            cells = (min(known), max(known), values[before], values[trip]) if known else ()
            yield f"  {source:24} " + (" ".join(f"{cell:12.6g}" for cell in cells) or "never read")
    notes = sorted((*header.events, *header.requests), key=lambda note: float(note["t"]))
    shown = [note for note in notes if note["t"] <= 0.0][-_EVENTS_SHOWN:]
    shown += [note for note in notes if note["t"] > 0.0][:_EVENTS_SHOWN]
    if len(shown) < len(notes):
        yield f"  {len(notes) - len(shown)} events and requests are not shown; --json has all"
    for note in shown:
        yield f"  {note['t']:+9.3f} s  {note.get('kind', 'asked'):10}  {_printable(str(note['text']))}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
