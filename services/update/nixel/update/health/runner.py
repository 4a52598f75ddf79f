"""Runs all checks at the same time, each until it is good or its time is up."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from nixel.update.health.model import Facts, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nixel.update.health.config import Watched

_PAUSE = 0.25
# What a check that keeps to its time may need to say so, in s.
_GRACE = 1.0
_SNAPSHOT_WITHIN = 15.0

_Kind = TypeVar("_Kind")


def check_all(checks: Sequence[Watched], before: Mapping[str, Facts]) -> list[Result]:
    """Look until every check is good or its time is up.

    Parameters
    ----------
    checks
        What is looked at.
    before
        What `snapshot_all` returned before the switch; empty if that is not known.

    Returns
    -------
    list of Result
        One for each check, in their order. A check that hangs is not waited for beyond its time.
    """
    began = time.monotonic()
    tasks = [_Task(partial(_watch, each, _facts(each, before))) for each in checks]
    results = []
    for each, task in zip(checks, tasks, strict=True):
        result = task.result(began + each.within + _GRACE)
        if result is None:
            seconds = time.monotonic() - began
            why = "hangs and was cut off" if task.runs else "broke off with an error of its own"
            words = f"The check {why}; an answer within {each.within:g} s was expected."
            result = Result(each.name, passed=False, words=words, seconds=seconds)
        results.append(result)
    return results


def snapshot_all(checks: Sequence[Watched]) -> dict[str, Facts]:
    """Note what is so before the switch.

    Parameters
    ----------
    checks
        What will be looked at.

    Returns
    -------
    dict of str to dict
        The facts of each check, and its kind, by its name; without those that gave none in time.
    """
    deadline = time.monotonic() + _SNAPSHOT_WITHIN
    tasks = [(each, _Task(each.check.snapshot)) for each in checks]
    noted = {}
    for each, task in tasks:
        facts = task.result(deadline)
        if facts is not None:
            noted[each.name] = {"kind": each.kind, **facts}
    return noted


def _facts(each: Watched, before: Mapping[str, Facts]) -> Facts | None:
    """The facts of the same check; a check of that name may have been another one in the system before."""
    facts = before.get(each.name)
    return facts if isinstance(facts, dict) and facts.get("kind") == each.kind else None


def _watch(each: Watched, before: Facts | None) -> Result:
    began = time.monotonic()
    good_since = None
    while True:
        left = began + each.within - time.monotonic()
        finding = each.check.look(before, max(left, _PAUSE))
        now = time.monotonic()
        good_since = (now if good_since is None else good_since) if finding.good else None
        if good_since is not None and now - good_since >= each.steady:
            return Result(each.name, True, finding.words, now - began)
        if now - began >= each.within:
            short = f" But that was not so for {each.steady:g} s at a stretch." if finding.good else ""
            return Result(each.name, False, finding.words + short, now - began)
        time.sleep(min(_PAUSE, began + each.within - now))


class _Task(Generic[_Kind]):
    """A function in a thread that nobody has to wait for."""

    def __init__(self, function: Callable[[], _Kind]) -> None:
        self._found: list[_Kind] = []
        self._thread = threading.Thread(target=lambda: self._found.append(function()), daemon=True)
        self._thread.start()

    @property
    def runs(self) -> bool:
        """Whether it has not come to an end."""
        return self._thread.is_alive()

    def result(self, deadline: float) -> _Kind | None:
        """What the function returned; `None` if it has not by then."""
        self._thread.join(max(deadline - time.monotonic(), 0))
        return self._found[0] if self._found else None
