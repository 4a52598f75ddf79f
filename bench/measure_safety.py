"""Measure the safety daemon on the wires of the virtual devices; docs/safety-measured.md tells what and how.

    .venv/bin/python bench/measure_safety.py all                       everything that docs/ tells, in about two hours
    .venv/bin/python bench/measure_safety.py trips [--load] [--count 10000]
    .venv/bin/python bench/measure_safety.py kills [--count 1000]
    .venv/bin/python bench/measure_safety.py idle  [--seconds 60] [--count 100]

Of the scanner, or with --instrument microscope of that one; `all` measures both, unless it is told which.
--json FILE keeps every single value. Exit status 1: a bound was missed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
import math
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safety_idle import Idle, measure_idle
from safety_kills import Kills, measure_kills
from safety_rig import BUSY, INSTRUMENTS, SUBSCRIBED, realtime
from safety_trips import Trips, measure_trips

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What the project holds itself to. Times in s.
NONE_OVER = 0.25
P99_LOADED, P99_UNLOADED = 0.025, 0.015
IDLE_SHARE = 0.02  # of one core
RESIDENT = 30 * 2**20  # bytes
READY = 0.15


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least this share of the values does not exceed; infinite if there is none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.inf


def _line(name: str, values: Sequence[float]) -> str:
    ms = [percentile(values, share) * 1e3 for share in (0.5, 0.99, 0.999, 1.0)]
    p50, p99, p999, most = (f"{value:6.1f}" for value in ms)
    return f"{name:<34}{len(values):>7}  p50 {p50}  p99 {p99}  p99.9 {p999}  max {most} ms"


def report_trips(found: Trips, loaded: bool) -> bool:
    """Print, and say whether the bounds hold."""
    print(f"with {BUSY} busy processes and {SUBSCRIBED} subscribed clients" if loaded else "without load")
    every, limit = found.all(), P99_LOADED if loaded else P99_UNLOADED
    print(_line("fault to relay off", every))
    for kind in found.fault_to_off:
        print(_line(f"  {kind}", found.fault_to_off[kind]))
        print(_line(f"  {kind}, from its first answer", found.answer_to_off[kind]))
    print(f"dropped by the watchdog of the relay: {found.by_unit}")
    print(f"missed deadlines: {found.missed_deadlines} of {found.ticks} ticks")
    for text in found.troubles:
        print(f"NOT MEASURED: {text}")
    print(f"bounds: none over {NONE_OVER * 1e3:g} ms, p99 at most {limit * 1e3:g} ms, every trip measured")
    return not found.troubles and percentile(every, 1.0) <= NONE_OVER and percentile(every, 0.99) <= limit


def report_kills(found: Kills) -> bool:
    """Print, and say whether the bounds hold."""
    print(f"{found.count} SIGKILLs, {found.before_ready} of them before ready")
    print(_line("kill to relay off, where it was on", found.kill_to_off))
    print(f"starts after a kill that were looked at and came up latched: {found.latched}")
    print(f"events of the log that verify: {found.events}")
    for text in found.wrong:
        print(f"WRONG: {text}")
    print(f"bounds: relay off within {NONE_OVER * 1e3:g} ms every time, every start latched, event log whole")
    return not found.wrong and percentile(found.kill_to_off, 1.0) <= NONE_OVER


def report_idle(found: Idle) -> bool:
    """Print, and say whether the bounds hold."""
    shares = f"idle {found.share:.2%}, armed {found.share_armed:.2%}, on {found.share_on:.2%}"
    before, after = found.floor
    print(f"share of one core: {shares}")
    print(f"a program that only sleeps as often, before and after the idle one: {before:.2%}, {after:.2%}")
    print(f"resident memory: {found.resident / 2**20:.1f} MiB; {'locked' if found.locked else 'not locked'}")
    print(_line("exec to ready", found.ready))
    limits = (
        f"idle at most {IDLE_SHARE:.0%}, {RESIDENT >> 20} MiB, ready within {READY * 1e3:g} ms (the median)"
    )
    print(f"bounds: {limits}")
    good = found.share <= IDLE_SHARE and found.resident <= RESIDENT
    return good and percentile(found.ready, 0.5) <= READY


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("what", choices=("trips", "kills", "idle", "all"))
    made.add_argument("--count", type=int, help="trips (10,000), kills (1,000) or starts (100)")
    made.add_argument("--instrument", choices=tuple(INSTRUMENTS), help="of which instrument")
    made.add_argument(
        "--load", action="store_true", help="trips beside busy processes and subscribed clients"
    )
    made.add_argument("--seconds", type=float, default=60.0, help="how long it is watched idle, and armed")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    return made


def main() -> int:
    """Measure what the command line asks for."""
    options = _parser().parse_args()
    # A realtime daemon that outlived us would be in the way of whatever comes next.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    counts = {"trips": 10000, "kills": 1000, "idle": 100}
    if options.count:
        counts = dict.fromkeys(counts, options.count)
    parts: dict[str, tuple[Callable[[str], Any], Callable[[Any], bool]]] = {
        "idle": (lambda of: measure_idle(options.seconds, counts["idle"], of), report_idle),
        "trips": (
            lambda of: measure_trips(counts["trips"], False, instrument=of),
            lambda found: report_trips(found, False),
        ),
        "trips, loaded": (
            lambda of: measure_trips(counts["trips"], True, instrument=of),
            lambda found: report_trips(found, True),
        ),
        "kills": (lambda of: measure_kills(counts["kills"], instrument=of), report_kills),
    }
    asked = {"all": tuple(parts), "trips": ("trips, loaded" if options.load else "trips",)}
    all_of = tuple(INSTRUMENTS) if options.what == "all" else ("scanner",)
    instruments = (options.instrument,) if options.instrument else all_of
    kept: dict[str, Any] = {"machine": _machine()}
    print("; ".join(f"{key} {value}" for key, value in kept["machine"].items()))
    missed = []
    for of, part in itertools.product(instruments, asked.get(options.what, (options.what,))):
        measure, report = parts[part]
        name = f"{of}: {part}"
        before = os.getloadavg()[0]
        found = measure(of)
        print(f"\n== {name}; load average {before:.1f} before, {os.getloadavg()[0]:.1f} after")
        good = report(found)
        print("within bounds" if good else "BOUND MISSED", flush=True)
        kept[name] = {"within_bounds": good, **asdict(found)}
        missed += [] if good else [name]
        if options.json:
            # After every part: the next one may take long, and may be interrupted.
            options.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


def _machine() -> dict[str, str]:
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "kernel": os.uname().release + " " + os.uname().version,
        "python": sys.version.split()[0],
        "cores": str(os.cpu_count()),
        "realtime": "granted" if realtime() else "refused",
    }


if __name__ == "__main__":
    sys.exit(main())
