"""A real daemon under attack beside one that is left alone: deadlines, memory, answers, and what is kept on.

Both run at the same time on the same machine, so that whatever else that machine does happens to both of them. What
the attack causes is what happens to one and not to the other.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from math import comb
from pathlib import Path

from abuse import ATTACKS

from nixel.safety.client import SafetyError
from nixel.safety.client.line import Line

ABUSE = Path(__file__).with_name("abuse.py")
MIB = 2**20
# These stop the instrument, among other things, so nothing stays on meanwhile.
STOPPING = ("deaf-subscribers", "noise")
# What the bounds of the server allow to all its connections together, and as much again for what is under way.
MOST_MEMORY = 48 * MIB
MOST_GROWTH = 1 * MIB  # between the ends of two equal attacks
BY_CHANCE = 1e-4  # how unlikely a difference must be to count as caused


class Watched:
    """One of the two daemons: asked for its status all the while, over a connection made before."""

    def __init__(self, daemon) -> None:
        self.daemon = daemon
        self.line = Line(str(daemon.socket), 10.0)
        self.waits: list[float] = []
        self.peak = self.resident()
        self.stalls = 0
        self._last = self._first = self.line.call("Status")

    def resident(self) -> int:
        """Resident memory [byte]."""
        return int(Path(f"/proc/{self.daemon.process.pid}/statm").read_text().split()[1]) * 4096

    def ask(self) -> None:
        began = time.monotonic()
        now = self.line.call("Status")
        self.waits.append(time.monotonic() - began)
        # One stall of the machine can cost many deadlines at once, so stalls are what is counted.
        self.stalls += now["missed_deadlines"] > self._last["missed_deadlines"]
        self.peak = max(self.peak, self.resident())
        self._last = now

    def passed(self, what: str) -> int:
        return self._last[what] - self._first[what]


@dataclass
class Siege:
    """What came of one attack; memory in bytes, times in seconds."""

    attack: str
    done: int
    ticks: int
    missed: tuple[int, int]  # deadlines of the attacked one, and of the one beside it
    stalls: tuple[int, int]
    resident: tuple[int, int, int, int]  # before, after the first half, after the second, at most
    waits: list[float]
    kept: tuple[bool, bool]  # whether what was on is still on
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        before, middle, after, peak = self.resident
        chance = by_chance(*self.stalls)
        if chance < BY_CHANCE:
            self.wrong.append(
                f"it missed deadlines in {self.stalls[0]} moments, the one beside it in {self.stalls[1]}"
            )
        if peak - before > MOST_MEMORY:
            self.wrong.append(f"its memory grew by {(peak - before) / MIB:.1f} MiB")
        if after - middle > MOST_GROWTH:
            self.wrong.append(
                f"its memory went on growing, by {(after - middle) / MIB:.1f} MiB for as much again"
            )
        if self.kept == (False, True):
            self.wrong.append("what was on went off, which the one beside it kept on")

    def __str__(self) -> str:
        waits = sorted(self.waits)
        before, middle, after, peak = (size / MIB for size in self.resident)
        ours, theirs = ("kept on" if kept else "went off" for kept in self.kept)
        return (
            f"{self.attack:21} x{self.done:<8} {self.ticks:6} ticks, missed {self.missed[0]:3} (beside it "
            f"{self.missed[1]:3}); {before:5.1f} MiB, then {middle:5.1f} and {after:5.1f}, at most {peak:5.1f}; "
            f"Status p99 {waits[int(len(waits) * 0.99)] * 1e3:6.1f} ms, max {waits[-1] * 1e3:6.1f} ms"
            + ("" if self.attack in STOPPING else f"; {ours} (beside it {theirs})")
            + "".join(f"\n    WRONG: {text}" for text in self.wrong)
        )


def by_chance(ours: int, theirs: int) -> float:
    """How likely it is that of the moments that both of them had, so many or more fell upon us by chance."""
    both = ours + theirs
    return sum(comb(both, hits) for hits in range(ours, both + 1)) / 2**both


def besiege(attacked, beside, attack: str, seconds: float) -> Siege:
    """Attack one of two daemons twice for half of the time each."""
    kept = []
    with contextlib.ExitStack() as stack:
        leases = [] if attack in STOPPING else [_on(daemon, stack) for daemon in (attacked, beside)]
        both = Watched(attacked), Watched(beside)
        for watched in both:
            stack.callback(watched.line.close)
        sizes, done = [both[0].resident()], 0
        for _ in range(2):
            command = [sys.executable, ABUSE, attacked.socket, attack, str(seconds / 2)]
            attacker = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(attacker.kill)
            while attacker.poll() is None:
                for watched in both:
                    watched.ask()
                time.sleep(0.005)
            done += int(attacker.stdout.read() or 0)
            assert attacker.returncode == 0, f"the attack itself failed: {attack}"
            time.sleep(0.3)
            sizes.append(both[0].resident())
        kept = [lease.lost is None for lease in leases] or [True, True]
    return Siege(
        attack,
        done,
        both[0].passed("ticks"),
        (both[0].passed("missed_deadlines"), both[1].passed("missed_deadlines")),
        (both[0].stalls, both[1].stalls),
        (*sizes, both[0].peak),
        both[0].waits,
        (kept[0], kept[1]),
    )


def _on(daemon, stack: contextlib.ExitStack):
    daemon.armed()
    lease = stack.enter_context(daemon.client.lease("what must stay on"))
    lease.enable("amplifier")
    return lease


def main(seconds: float) -> bool:
    """Every attack for so long; say what came of it, and whether all is well."""
    from conftest import Daemon, Unit

    good = True
    for attack in ATTACKS:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            pair = []
            for name in ("attacked", "beside"):
                (Path(folder) / name).mkdir()
                unit = Unit()
                stack.callback(unit.unplug)
                pair.append(Daemon(Path(folder) / name, unit.path))
                stack.callback(_end, pair[-1])
            try:
                siege = besiege(*pair, attack, seconds)
            except SafetyError as error:
                print(f"{attack}: WRONG: {error}", flush=True)
                good = False
                continue
            print(siege, flush=True)
            good = good and not siege.wrong
    return good


def _end(daemon) -> None:
    if daemon.process.poll() is None:
        daemon.process.kill()
    daemon.process.communicate()
