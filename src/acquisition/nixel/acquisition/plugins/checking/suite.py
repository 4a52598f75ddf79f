"""The conformance suite, run: every rule in a process that it may take down."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.plugins.checking.rules import RULES, Rule
from nixel.acquisition.plugins.checking.tools import MemoryTool, Plain, Sanitizer, Valgrind
from nixel.acquisition.workers.worker import Worker, WorkerRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nixel.acquisition.devices import Value

__all__ = ["Mode", "Result", "check"]

Mode = Literal["plain", "sanitize", "valgrind"]
Verdict = Literal["pass", "fail", "none"]

_TIME = 30.0  # s for a rule
_TRIP = 0.05  # s more for each round trip of those that make many
_SLOWEST = 5.0  # s: "every call returns within a few seconds"
_TOO_SLOW = 10.0  # times slower: a process takes too long to start for one rule


@dataclass(frozen=True)
class Result:
    """What became of a rule.

    Parameters
    ----------
    rule, says : str
        Its name, and what must hold.
    verdict : {"pass", "fail", "none"}
        None if it could not be tried with this plugin.
    found : str
        What was found, or why it could not be tried.
    do : str
        What to do; empty unless it failed.
    """

    rule: str
    says: str
    verdict: Verdict
    found: str
    do: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def check(
    path: Path, settings: Mapping[str, Value], *, mode: Mode = "plain", trips: int = 10_000
) -> Iterator[Result]:
    """Try every rule of nixel_device.h on a plugin.

    It writes to every property of the device that the settings open.

    Parameters
    ----------
    path : Path
        The plugin's library.
    settings : mapping of str to value
        What the device is opened with.
    mode : {"plain", "sanitize", "valgrind"}
    trips : int
        Round trips of the rules that need many.

    Yields
    ------
    Result
        As each becomes known.

    Raises
    ------
    DeviceError
        There is no such file, or the memory checker cannot be had.
    """
    if not path.is_file():
        remedy = "Build it first, or correct the path."
        raise DeviceError(
            "checking", where=str(path), expected="a library", found="no such file", remedy=remedy
        )
    with tempfile.TemporaryDirectory(prefix="nixel-plugin-") as folder:
        tool: MemoryTool
        match mode:
            case "sanitize":
                tool = Sanitizer(path, Path(folder))
            case "valgrind":
                tool = Valgrind(path, Path(folder))
            case "plain":
                tool = Plain()
        yield from _Suite(path, settings, tool, trips).results()


class _Suite:
    def __init__(self, path: Path, settings: Mapping[str, Value], tool: MemoryTool, trips: int) -> None:
        self._settings, self._tool = dict(settings), tool
        self._trips = trips if tool.trips is None else min(trips, tool.trips)
        self._worker = Worker(
            "nixel.acquisition.plugins.checking.worker",
            [str(path)],
            where=str(path),
            environment=tool.environment(),
            command=tool.command(),
        )
        self._slowest: tuple[float, str] = (0.0, "")
        self._hangs = False

    def results(self) -> Iterator[Result]:
        missing = ""
        try:
            for rule in RULES:
                if rule.fresh and self._tool.slowness > _TOO_SLOW:
                    yield Result(rule.name, rule.says, "none", f"not tried under {self._tool.name}", "")
                    continue
                if missing:
                    yield Result(rule.name, rule.says, "none", missing, "")
                    continue
                result = self._try(rule)
                yield result
                if rule.foundation and result.verdict != "pass":
                    missing = f"not tried, because {rule.name} does not hold"
                elif self._hangs:
                    missing = "not tried, because the plugin hangs"
        except BaseException:
            with contextlib.suppress(DeviceError):
                self._worker.stop(_TIME * self._tool.slowness)
            raise
        yield self._end()
        if not self._tool.name:
            yield self._time()
        else:
            yield self._memory()

    def _try(self, rule: Rule) -> Result:
        limit = (_TIME + rule.many * self._trips * _TRIP) * self._tool.slowness
        try:
            if rule.fresh:
                self._worker.stop(limit)
            if self._worker.pid is None:
                self._worker.start()
                self._worker.call("begin", self._settings, self._trips, timeout=limit)
            answer = self._worker.call("check", rule.name, timeout=limit, what=f"rule {rule.name}")
        except DeviceError as error:
            self._hangs = "within" in error.expected
            found = f"no return within {limit:g} s" if self._hangs else error.found
            return _result(rule, "fail", found)
        except WorkerRefused as refused:
            return _result(rule, "fail", refused.message)
        seconds, call = answer["slowest"]
        self._slowest = max(self._slowest, (float(seconds), str(call)))
        return _result(rule, answer["verdict"], str(answer["found"]))

    def _end(self) -> Result:
        do = "Leave nothing behind that runs at the end: threads, handlers of signals, functions of atexit()."
        found = ""
        try:
            self._worker.stop(_TIME * self._tool.slowness)
        except DeviceError as error:
            found = error.found
        return _plain_result("ends", "The process that has loaded it ends well.", found, do)

    def _time(self) -> Result:
        seconds, call = self._slowest
        found = f"{call} took {seconds:.1f} s" if seconds > _SLOWEST else ""
        do = f"Return NIXEL_TIMEOUT before {_SLOWEST:g} s are over."
        return _plain_result("time", "Every call returns within a few seconds.", found, do)

    def _memory(self) -> Result:
        found = "; ".join(self._tool.findings()[:10])
        says = f"{self._tool.name} finds no wrong access, no block that is freed twice and none that is left."
        return _plain_result("memory", says, found, "Correct what it names; -g in the build gives the lines.")


def _plain_result(name: str, says: str, found: str, do: str) -> Result:
    return Result(name, says, "fail" if found else "pass", found, do if found else "")


def _result(rule: Rule, verdict: Any, found: str) -> Result:  # noqa: ANN401
    assert verdict in ("pass", "fail", "none")
    return Result(rule.name, rule.says, verdict, found, rule.do if verdict == "fail" else "")
