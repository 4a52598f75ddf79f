"""What a daemon with nothing on needs, and how soon it is ready."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from safety_rig import progress, rig

# Longer than this a light must not stay on [s].
_LONGEST_ON = 5.0
# What any loop of this rate needs here, by the same interpreter and with the same rights.
_FLOOR = """
import time
from nixel.safety.realtime import prefer_us

prefer_us()
deadline = time.monotonic()
print(flush=True)
while True:
    deadline += 0.01
    time.sleep(max(0.0, deadline - time.monotonic()))
"""


@dataclass
class Idle:
    """Shares of one core, resident memory [bytes], and times from exec to ready [s].

    Attributes
    ----------
    floor
        Of a program that only sleeps until the next hundredth of a second, just before and just after.
    share, share_armed
        With nothing on: with a fault latched as after the start, and armed.
    share_on
        With an output on.
    resident
        After that.
    locked
        How much of the memory is locked [bytes].
    ready
        Of every start.
    """

    floor: tuple[float, float]
    share: float
    share_armed: float
    share_on: float
    resident: int
    locked: int
    ready: list[float]


def measure_idle(seconds: float, starts: int, instrument: str = "scanner") -> Idle:
    """Measure what a daemon with nothing on needs for `seconds`, twice, and how soon `starts` daemons were ready."""
    with rig(instrument) as bench:
        ready = []
        with bench.daemon():
            pass  # compiles what has not been, as an installation would
        for _ in progress(starts, "starts"):
            began = time.monotonic()
            with bench.daemon():
                ready.append(time.monotonic() - began)
        with bench.daemon() as process:
            bench.healthy()
            time.sleep(0.5)
            before = _floor(seconds / 2)
            share = _share(process.pid, seconds)
            after = _floor(seconds / 2)
            bench.client.reset()
            bench.client.arm()
            share_armed = _share(process.pid, seconds)
            memory = {name: _memory(process.pid, name) for name in ("VmRSS", "VmLck")}
            with contextlib.closing(bench.lease()) as line:
                bench.energise(line)
                share_on = _share(process.pid, min(seconds, _LONGEST_ON))
    return Idle((before, after), share, share_armed, share_on, memory["VmRSS"], memory["VmLck"], ready)


def _floor(seconds: float) -> float:
    process = subprocess.Popen([sys.executable, "-c", _FLOOR], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        return _share(process.pid, seconds)
    finally:
        process.kill()
        process.communicate()


def _share(pid: int, seconds: float) -> float:
    began, used = time.monotonic(), _used(pid)
    time.sleep(seconds)
    return (_used(pid) - used) / (time.monotonic() - began)


def _used(pid: int) -> float:
    # The scheduler's own account, to the nanosecond; the one in clock ticks cannot see so little.
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) * 1e-9


def _memory(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
