"""docs/performance.md, made from what `make bench` kept: `python bench/page.py [RESULTS [PAGE]]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import FLOOR, OURS
from verdicts import absent, judge, mebibytes, number, ratio, seconds, times

from bench import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"

_HEAD = """\
# Performance

What our numerical code costs, beside its peers and beside what no implementation can do without. `make bench` measures
everything anew, keeps it in `bench/results.json` and makes this page from that: every case in processes of its own,
ours, the peers and the floor by turns on the same input, with equally many threads. Ratios are the
median of those of the rounds, with their quartiles; a ratio says what a time cannot, because a time belongs to a
machine. The extra memory is the peak beyond what is held before the call, the result included. The cases are
`bench/cases_*.py`.
"""


def page(results: Mapping[str, Any]) -> str:
    """Make the page.

    Parameters
    ----------
    results
        What `bench.py` has written.

    Returns
    -------
    str
        Markdown; the same results give the same page.
    """
    return "\n".join(line.rstrip() for line in _lines(results)) + "\n"


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    cases = results["cases"]
    machine, dates = results["machine"], sorted({measured["date"] for measured in cases.values()})
    yield _HEAD
    yield ""
    yield (
        f"Measured {dates[0] if dates else 'never'}"
        + (f" to {dates[-1]}" if len(dates) > 1 else "")
        + f" on {machine['cores']} cores ({machine['processor']}), {machine['memory']}; Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + "."
        + _load([measured["load"] for measured in cases.values() if "load" in measured])
    )
    yield ""
    judged = {name: judge(measured) for name, measured in cases.items()}
    verdicts = [verdict for each in judged.values() for verdict in each]
    missed = {name: [v for v in each if v.met is False] for name, each in judged.items()}
    yield (
        f"{len(cases)} cases, {len(verdicts)} bounds: {sum(v.met is True for v in verdicts)} met, "
        f"{sum(v.met is False for v in verdicts)} missed, {sum(v.met is None for v in verdicts)} not judged (the peer "
        "did not run)."
    )
    yield ""
    if any(missed.values()):
        yield "## Missed"
        yield ""
        for name, each in missed.items():
            if each:
                note = cases[name].get("about", {}).get("note")
                yield f"- **{name}**: {'; '.join(v.text for v in each)}." + (f" {note}" if note else "")
        yield ""
    for name, measured in cases.items():
        yield from _case(name, measured)


def _load(found: list[float]) -> str:
    """How busy the machine was: what alternating runs make bearable, and a reader should know."""
    if not found:
        return ""
    low, high = min(found), max(found)
    return f" The load average was {low:.1f} to {high:.1f} as the cases began; about 1 is the bench itself."


def _case(name: str, measured: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    if "broken" in measured:
        yield f"It did not run: {measured['broken']}"
        yield ""
        return
    about = measured["about"]
    yield f"| | time | ours / it | extra memory |{' error |' if about['error_name'] else ''}"
    yield f"|---|---:|---:|---:|{'---:|' if about['error_name'] else ''}"
    for who in measured["seconds"]:
        cells = [
            f"floor: {about['floor_name']}" if who == FLOOR else who,
            seconds(times(measured, who).median),
        ]
        found = None if who == OURS else ratio(measured, OURS, who)
        cells.append("" if found is None else f"{found.median:.3g} ({found.low:.3g} to {found.high:.3g})")
        memory = measured["memory"].get(who)
        cells.append("" if memory is None else mebibytes(memory))
        if about["error_name"]:
            cells.append(number(measured["error"][who]) if who in measured["error"] else "")
        yield f"| {' | '.join(cells)} |"
    yield ""
    details = [
        f"{about['threads']} thread{'s' * (about['threads'] > 1)}, {len(measured['seconds'][OURS])} rounds"
    ]
    if about["per_second"] is not None:
        details.append(f"{about['per_second'] / times(measured, OURS).median:.3g} a second")
    if about["error_name"]:
        details.append(f"error: {about['error_name']}")
    yield "; ".join(details) + "."
    yield ""
    yield from (f"- **{verdict.word}**: {verdict.text}" for verdict in judge(measured))
    yield from (f"- {peer} did not run: {why}" for peer, why in absent(measured).items())
    if about["note"]:
        yield f"- {about['note']}"
    yield ""


def main(results: Path = KEPT, target: Path = PAGE) -> None:
    """Write the page."""
    target.write_text(page(json.loads(results.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))
