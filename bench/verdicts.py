"""What was measured of a case, judged by the case's bounds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from measure import FLOOR, OURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """One bound.

    Parameters
    ----------
    text
        The bound and what was found, in words.
    met
        None where it could not be judged: the peer that it is about did not run.
    """

    text: str
    met: bool | None

    @property
    def word(self) -> str:
        """How it is printed."""
        return "not judged" if self.met is None else "met" if self.met else "MISSED"


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of one value or more."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(statistics.median(values), low, high)


def times(measured: Mapping[str, Any], name: str) -> Spread:
    """Seconds of a run."""
    return spread(measured["seconds"][name])


def ratio(measured: Mapping[str, Any], above: str, below: str) -> Spread:
    """How many times one takes as long as another, from round to round: median and quartiles of the rounds' ratios.

    The runs of a round stand side by side in time, so that what disturbs the machine for longer than a round drops out.

    Parameters
    ----------
    measured
        Of a case.
    above, below
        Whose time is divided by whose.
    """
    seconds = measured["seconds"]
    return spread([a / b for a, b in zip(seconds[above], seconds[below], strict=True)])


def absent(measured: Mapping[str, Any]) -> dict[str, str]:
    """Peers that did not run, and why."""
    return {**measured["about"]["absent"], **measured["failed"]}


def judge(measured: Mapping[str, Any]) -> list[Verdict]:
    """Judge every bound of a case.

    Parameters
    ----------
    measured
        What `measure.py` found of it, `time` and `memory` together; or {"broken": why} where it found nothing.
    """
    if "broken" in measured:
        return [Verdict(f"it runs: {measured['broken']}", False)]
    about = measured["about"]
    bounds, verdicts = about["bounds"], []
    if (limit := bounds["at_most_floors"]) is not None:
        found = ratio(measured, OURS, FLOOR).median
        verdicts.append(Verdict(f"at most {limit:g} x {about['floor_name']}: {found:.2f} x", found <= limit))
    for peer, limit in bounds["times_faster"].items():
        text = f"at least {limit:g} x faster than {peer}"
        if peer in measured["seconds"]:
            found = ratio(measured, peer, OURS).median
            verdicts.append(Verdict(f"{text}: {found:.2f} x", found >= limit))
        else:
            verdicts.append(Verdict(text, None))
    verdicts += _errors(measured, bounds, about["error_name"])
    if (limit := bounds["extra_memory_at_most"]) is not None:
        memory = measured["memory"][OURS]
        text = f"at most {mebibytes(limit)} of extra memory: {mebibytes(memory)}"
        verdicts.append(Verdict(text, memory <= limit))
    if (limit := bounds["per_second_at_least"]) is not None:
        rate = about["per_second"] / times(measured, OURS).median
        verdicts.append(Verdict(f"at least {limit:g} a second: {rate:.3g}", rate >= limit))
    return verdicts


def _errors(measured: Mapping[str, Any], bounds: Mapping[str, Any], what: str) -> list[Verdict]:
    errors, verdicts = measured["error"], []
    ours = errors.get(OURS)
    if (limit := bounds["error_at_most"]) is not None:
        # An error that is no number is told as none, and is above every bound.
        text = f"{what} at most {limit:g}: {number(ours)}"
        verdicts.append(Verdict(text, ours is not None and ours <= limit))
    for peer in bounds["error_below"]:
        text = f"{what} below that of {peer}"
        theirs = errors.get(peer)
        if peer not in measured["seconds"]:
            verdicts.append(Verdict(text, None))
        else:
            met = ours is not None and (theirs is None or ours < theirs)
            verdicts.append(Verdict(f"{text}: {number(ours)}, {number(theirs)}", met))
    return verdicts


def number(value: float | None) -> str:
    """Write an error: "no number" for what is none."""
    return "no number" if value is None else f"{value:.2g}"


def mebibytes(size: float) -> str:
    """Write a size of memory."""
    return f"{size / 2**20:.4g} MiB"


def seconds(value: float) -> str:
    """Write a time in the unit that suits it."""
    unit, scale = next(((u, s) for u, s in (("s", 1.0), ("ms", 1e-3)) if value >= s), ("µs", 1e-6))
    return f"{value / scale:.3g} {unit}"
