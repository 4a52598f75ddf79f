"""Measure the safety daemon on the wire of the virtual surveillance unit.

    .venv/bin/python bench/measure_safety.py trips [--load] [--count 10000]
    .venv/bin/python bench/measure_safety.py kills [--count 1000]
    .venv/bin/python bench/measure_safety.py idle  [--seconds 60] [--count 100]

Exit status 1: a bound was missed. docs/safety.md tells what is measured, and the numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from safety_rig import BUSY, SUBSCRIBED, Rig, load, realtime
from safety_unit import FAULTS

from nixel.safety.answers import SafetyRefused, SafetyUnavailable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

# What the project holds itself to. Times in s.
NONE_OVER = 0.25
P99_LOADED, P99_UNLOADED = 0.025, 0.015
IDLE_SHARE = 0.02  # of one core
RESIDENT = 30 * 2**20  # bytes
READY = 0.15

_ON_FOR = (0.02, 0.06)  # s between relay on and fault: several ticks, at any phase of the loop
_KILLED_WITHIN = 0.6  # s after exec: about half of the kills find the relay on


@dataclass
class Trips:
    """Times from fault to relay off [s], and from its first answer on the wire to relay off, by kind of fault."""

    fault_to_off: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in FAULTS})
    answer_to_off: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in FAULTS})
    by_watchdog: int = 0
    missed_deadlines: int = 0
    ticks: int = 0

    def all(self) -> list[float]:
        """Give the times from fault to off of every kind."""
        return [value for values in self.fault_to_off.values() for value in values]


@dataclass
class Kills:
    """What `count` SIGKILLs did: times from kill to relay off [s] of those that found it on, and what was wrong."""

    kill_to_off: list[float] = field(default_factory=list)
    count: int = 0
    before_ready: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Idle:
    """Share of one core and resident memory [bytes] of a daemon with nothing on, and times from exec to ready [s]."""

    share: float
    share_armed: float
    resident: int
    ready: list[float]


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    """Make a rig in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="nixel-safety-") as folder, contextlib.ExitStack() as stack:
        made = Rig(Path(folder))
        stack.callback(made.close)
        yield made


def measure_trips(count: int, loaded: bool, seed: int = 1) -> Trips:
    """Make `count` faults, half of each kind, while the relay is on, and time the relay.

    Raises
    ------
    TimeoutError
        If the relay did not drop at all.
    """
    found, kinds = Trips(), tuple(FAULTS)
    chance = random.Random(seed)  # noqa: S311  when, not what
    with rig() as bench, bench.daemon(), contextlib.ExitStack() as stack:
        if loaded:
            stack.enter_context(load(bench.socket))
        bench.healthy()
        before = bench.client.status()
        for number in range(count):
            kind = kinds[number % len(kinds)]
            with contextlib.closing(bench.energise()):
                bench.unit.wait_for("on", 2.0)
                time.sleep(chance.uniform(*_ON_FOR))
                bench.unit.tell(kind)
                fault, earlier = bench.unit.wait_for("fault", 2.0)
                if any(stamp.what == "off" for stamp in earlier):
                    msg = f"the relay dropped before fault {number}: {earlier}"
                    raise RuntimeError(msg)
                off, between = bench.unit.wait_for("off", 2.0)
            found.fault_to_off[kind].append(off.at - fault.at)
            found.answer_to_off[kind] += [off.at - s.at for s in between if s.what == "answered"]
            found.by_watchdog += "watchdog" in off.why
            bench.unit.tell("clear")
            bench.unit.wait_for("cleared", 2.0)
        after = bench.client.status()
        found.missed_deadlines = after.missed_deadlines - before.missed_deadlines
        found.ticks = after.ticks - before.ticks
    return found


def measure_kills(count: int, seed: int = 1) -> Kills:
    """Kill `count` daemons at random moments after exec, each while it is being energised or is on."""
    found = Kills()
    chance = random.Random(seed)  # noqa: S311  when, not what
    with rig() as bench:
        for number in range(count):
            _kill_one(bench, chance.uniform(0.0, _KILLED_WITHIN), found, number)
        with bench.daemon():
            _check_start(bench, found, count)
        torn = sum(not _is_json(line) for line in bench.events.read_text().splitlines())
        if torn:
            found.wrong.append(f"{torn} lines of the event log cannot be read")
    return found


def _kill_one(bench: Rig, delay: float, found: Kills, number: int) -> None:
    process = bench.exec()
    killed: list[float] = []
    timer = threading.Timer(delay, _kill, (process, killed))
    timer.start()
    line = None
    assert process.stdout is not None
    if process.stdout.readline():
        # SafetyRefused as well: an answer may be half read when the daemon dies.
        with contextlib.suppress(SafetyUnavailable, SafetyRefused):
            _check_start(bench, found, number)
            line = bench.energise()
    else:
        found.before_ready += 1
    process.wait()
    timer.join()
    process.stdout.close()
    found.count += 1
    stamps = bench.unit.so_far()
    if [stamp.what for stamp in stamps] == ["on"]:
        with contextlib.suppress(TimeoutError):
            stamps.append(bench.unit.wait_for("off", 2.0)[0])
    moves = [stamp.what for stamp in stamps]
    if moves not in ([], ["on", "off"]):
        found.wrong.append(f"kill {number}: the relay did {moves}, expected on and off, or nothing")
    elif moves:
        found.kill_to_off.append(stamps[1].at - killed[0])
    if line is not None:
        line.close()


def _check_start(bench: Rig, found: Kills, number: int) -> None:
    status = bench.client.status()
    cause = status.first_cause
    if status.state != "FAULT" or cause is None or cause.name != "start" or any(status.outputs.values()):
        found.wrong.append(
            f"start {number}: came up as {status.state}, outputs {status.outputs}, cause {cause}"
        )


def _kill(process: subprocess.Popen[str], killed: list[float]) -> None:
    killed.append(time.monotonic())
    process.kill()


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def measure_idle(seconds: float, starts: int) -> Idle:
    """Measure what a daemon with nothing on needs, and how soon `starts` daemons were ready."""
    with rig() as bench:
        ready = []
        for _ in range(starts):
            began = time.monotonic()
            with bench.daemon():
                ready.append(time.monotonic() - began)
        with bench.daemon() as process:
            bench.healthy()
            time.sleep(0.5)
            share = _share(process.pid, seconds)
            bench.client.reset()
            bench.client.arm()
            share_armed = _share(process.pid, seconds)
            resident = _resident(process.pid)
    return Idle(share, share_armed, resident, ready)


def _share(pid: int, seconds: float) -> float:
    began, used = time.monotonic(), _used(pid)
    time.sleep(seconds)
    return (_used(pid) - used) / (time.monotonic() - began)


def _used(pid: int) -> float:
    # The scheduler's own account, to the nanosecond; the one in clock ticks cannot see so little.
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) * 1e-9


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _line(name: str, values: Sequence[float]) -> str:
    ms = [percentile(values, share) * 1e3 for share in (0.5, 0.99, 0.999, 1.0)]
    p50, p99, p999, most = (f"{value:6.1f}" for value in ms)
    return f"{name:<34}{len(values):>7}  p50 {p50}  p99 {p99}  p99.9 {p999}  max {most} ms"


def report_trips(found: Trips, loaded: bool) -> bool:
    """Print, and say whether the bounds hold."""
    print(f"with {BUSY} busy processes and {SUBSCRIBED} subscribed clients" if loaded else "without load")
    every, limit = found.all(), P99_LOADED if loaded else P99_UNLOADED
    print(_line("fault to relay off", every))
    for kind in FAULTS:
        print(_line(f"  {kind}", found.fault_to_off[kind]))
        print(_line(f"  {kind}, from its first answer", found.answer_to_off[kind]))
    print(f"dropped by the unit's watchdog: {found.by_watchdog}")
    print(f"missed deadlines: {found.missed_deadlines} of {found.ticks} ticks")
    print(f"bounds: none over {NONE_OVER * 1e3:g} ms, p99 at most {limit * 1e3:g} ms")
    return max(every) <= NONE_OVER and percentile(every, 0.99) <= limit


def report_kills(found: Kills) -> bool:
    """Print, and say whether the bounds hold."""
    print(
        f"{found.count} SIGKILLs, {found.before_ready} before ready, {len(found.kill_to_off)} with the relay on"
    )
    print(_line("kill to relay off", found.kill_to_off))
    for text in found.wrong:
        print(f"WRONG: {text}")
    print(
        f"bounds: relay off within {NONE_OVER * 1e3:g} ms every time, every start latched, event log readable"
    )
    return not found.wrong and max(found.kill_to_off) <= NONE_OVER


def report_idle(found: Idle) -> bool:
    """Print, and say whether the bounds hold."""
    print(f"share of one core: idle {found.share:.2%}, armed {found.share_armed:.2%}")
    print(f"resident memory: {found.resident / 2**20:.1f} MiB")
    print(_line("exec to ready", found.ready))
    print(
        f"bounds: idle at most {IDLE_SHARE:.0%}, {RESIDENT >> 20} MiB, ready within {READY * 1e3:g} ms (the median)"
    )
    good = found.share <= IDLE_SHARE and found.resident <= RESIDENT
    return good and percentile(found.ready, 0.5) <= READY


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("trips", "kills", "idle"))
    parser.add_argument("--count", type=int, help="trips (10,000), kills (1,000) or starts (100)")
    parser.add_argument(
        "--load", action="store_true", help="trips beside busy processes and subscribed clients"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long the idle daemon is watched, twice"
    )
    options = parser.parse_args()
    where = f"Linux {os.uname().release}, Python {sys.version.split()[0]}, {os.cpu_count()} cores"
    print(f"{where}, realtime scheduling {'granted' if realtime() else 'refused'}")
    print(f"load average at the start: {os.getloadavg()[0]:.1f}")
    match options.what:
        case "trips":
            good = report_trips(measure_trips(options.count or 10000, options.load), options.load)
        case "kills":
            good = report_kills(measure_kills(options.count or 1000))
        case _:
            good = report_idle(measure_idle(options.seconds, options.count or 100))
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")
    print("within bounds" if good else "BOUND MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
