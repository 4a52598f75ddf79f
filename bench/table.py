"""The table that `make bench` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from measure import FLOOR, OURS
from verdicts import absent, judge, mebibytes, number, ratio, seconds, times

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = ("", "time", "ours / it  (quartiles)", "extra memory", "error")


def table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """Write every case: a line for ours, the floor and each peer, and one for each bound.

    Parameters
    ----------
    cases
        What was measured, by the case's name.
    """
    rows: list[tuple[str, ...] | str] = [_HEAD]
    for name, measured in cases.items():
        rows += ["", *_case(name, measured)]
    widths = [max(len(row[column]) for row in rows if isinstance(row, tuple)) for column in range(len(_HEAD))]
    lines = []
    for row in rows:
        cells = (row,) if isinstance(row, str) else (row[0].ljust(widths[0]), *_right(row[1:], widths[1:]))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _right(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]


def _case(name: str, measured: Mapping[str, Any]) -> list[tuple[str, ...] | str]:
    if "broken" in measured:
        return [name, *_bounds(measured)]
    about = measured["about"]
    threads, rounds = about["threads"], len(measured["seconds"][OURS])
    rows: list[tuple[str, ...] | str] = [f"{name}  ({threads} thread{'s' * (threads > 1)}, {rounds} rounds)"]
    rows += [_row(who, measured) for who in measured["seconds"]]
    rows += [f"  {peer}: did not run: {why}" for peer, why in absent(measured).items()]
    if about["error_name"]:
        rows.append(f"  error: {about['error_name']}")
    rows += _bounds(measured)
    if about["note"]:
        rows.append(f"  note: {about['note']}")
    return rows


def _row(who: str, measured: Mapping[str, Any]) -> tuple[str, ...]:
    about = measured["about"]
    label = f"floor: {about['floor_name']}" if who == FLOOR else who
    against = ""
    if who != OURS:
        found = ratio(measured, OURS, who)
        against = f"{found.median:.3g}  ({found.low:.3g} to {found.high:.3g})"
    time = seconds(times(measured, who).median)
    if who == OURS and about["per_second"] is not None:
        time += f" = {about['per_second'] / times(measured, OURS).median:.3g}/s"
    memory = measured["memory"].get(who)
    error = number(measured["error"][who]) if who in measured["error"] else ""
    return (f"  {label}", time, against, "" if memory is None else mebibytes(memory), error)


def _bounds(measured: Mapping[str, Any]) -> list[str]:
    return [f"  [{verdict.word}] {verdict.text}" for verdict in judge(measured)]
