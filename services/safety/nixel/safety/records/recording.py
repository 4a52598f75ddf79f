"""A black box recording: what was read, commanded and decided around a trip, as a text file.

The first line is a JSON object (`Header`), the second names the columns, every further one is a tick, oldest first:
numbers separated by commas, an empty field where there was nothing. The columns are `t` (seconds from the trip),
`state` (its number in the header's `states`), `missed` (deadlines since the daemon's start), `out:NAME` (whether the
output was commanded on), and for each source `SOURCE` (as it was read; a contact is 0 or 1) and `age:SOURCE` (how old
that reading was in that tick [s]).
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from nixel.safety.core.frozen import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FORMAT = "nixel black box 1"
STATES = ("SAFE", "ARMED", "ENERGISED", "FAULT")
LONGEST_HEADER = 4 * 1024 * 1024


class RecordingError(Exception):
    """A file is no recording; the text says what was expected and found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a recording says of itself.

    Attributes
    ----------
    trip
        When the fault latched (ISO 8601, UTC).
    cause, message
        The first cause: which interlock or device, and its sentence.
    before
        The state before the trip.
    instrument
        The name of the instrument file.
    simulated
        Whether any of its devices is a virtual one.
    rate
        Ticks a second.
    complete
        Whether what followed the trip is in it; not in a recording that a power cut overtook.
    sources, outputs
        The names, in the order of the columns.
    interlocks
        What was judged: for each its name, kind, sources and, where they apply, unit, levels and healthy state.
    events
        What happened meanwhile: `t` [s], `kind` and `text`.
    requests
        What clients asked for meanwhile: `t` [s] and `text`; renewals of the lease are left out.
    rows
        How many ticks there are.
    states
        What the numbers in the column `state` mean.
    format
        Of the file.
    """

    trip: str
    cause: str
    message: str
    before: str
    instrument: str
    simulated: bool
    rate: float
    complete: bool
    sources: tuple[str, ...]
    outputs: tuple[str, ...]
    interlocks: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]
    requests: tuple[Mapping[str, Any], ...]
    rows: int
    states: tuple[str, ...] = STATES
    format: str = FORMAT

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        outputs = tuple(f"out:{name}" for name in self.outputs)
        readings = tuple(name for source in self.sources for name in (source, f"age:{source}"))
        return ("t", "state", "missed", *outputs, *readings)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that was read.

    Attributes
    ----------
    header
        What it says of itself.
    columns
        The values by column, NaN where there was nothing; each as long as there are ticks.
    """

    header: Header
    columns: Mapping[str, Sequence[float]]


def begin(header: Header) -> str:
    """Write the first two lines.

    Parameters
    ----------
    header
        What the recording says of itself.

    Returns
    -------
    str
        With their newlines.
    """
    said = json.dumps(dataclasses.asdict(header), ensure_ascii=False, allow_nan=False)
    return said.encode(errors="replace").decode() + "\n" + ",".join(header.columns) + "\n"


def row(values: Sequence[float]) -> str:
    """Write a tick.

    Parameters
    ----------
    values
        One for each column; NaN for nothing.

    Returns
    -------
    str
        With its newline.
    """
    return ",".join([f"{value:.10g}" if value == value else "" for value in values]) + "\n"


def read(path: Path) -> Recording:
    """Read a recording.

    Parameters
    ----------
    path
        Of the file.

    Returns
    -------
    Recording
        Complete.

    Raises
    ------
    RecordingError
        If it is none, or not as long as it says.
    OSError
        If it cannot be read.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        header = _header(path, file.readline(LONGEST_HEADER))
        names = file.readline(LONGEST_HEADER).rstrip("\n").split(",")
        if tuple(names) != header.columns:
            raise RecordingError(f"{path}: line 2 does not name the columns that line 1 announces")
        columns: dict[str, list[float]] = {name: [] for name in names}
        count = 0
        for values in _rows(path, file, len(names)):
            for name, value in zip(names, values, strict=True):
                columns[name].append(value)
            count += 1
    if count != header.rows:
        raise RecordingError(f"{path}: expected {header.rows} ticks, found {count}: the file is cut short")
    return Recording(header, columns)


def read_header(path: Path) -> Header:
    """Read what a recording says of itself, without the ticks.

    Parameters
    ----------
    path
        Of the file.

    Returns
    -------
    Header
        From its first line.

    Raises
    ------
    RecordingError
        If it is no recording.
    OSError
        If it cannot be read.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        return _header(path, file.readline(LONGEST_HEADER))


def _header(path: Path, line: str) -> Header:
    try:
        found = json.loads(line)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise RecordingError(f'{path}: line 1 does not say "format": "{FORMAT}"; it is no such recording')
        for name in ("sources", "outputs", "interlocks", "events", "requests", "states"):
            found[name] = tuple(found[name])
        # Names that we do not know are ignored, for the daemon may be newer.
        return Header(**{name: found[name] for name in Header.__dataclass_fields__})
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path}: line 1 is no JSON object ({error}); it is no recording") from error
    except (KeyError, TypeError) as error:
        raise RecordingError(f"{path}: line 1 lacks {error}; it is no recording") from error


def _rows(path: Path, lines: Iterator[str], width: int) -> Iterator[list[float]]:
    for number, line in enumerate(lines, 3):
        try:
            values = [float(text) if text else math.nan for text in line.rstrip("\n").split(",")]
        except ValueError as error:
            raise RecordingError(f"{path}: line {number}: {error}") from error
        if len(values) != width or not line.endswith("\n"):
            raise RecordingError(f"{path}: line {number}: expected {width} values, found {len(values)}")
        yield values
