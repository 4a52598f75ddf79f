"""How long it takes from a fault on the wire to the output off on the wire."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from safety_rig import load, progress, rig

from nixel.safety.client.answers import SafetyRefused

if TYPE_CHECKING:
    from safety_rig import Rig

    from nixel.safety.client.line import Line

# s between relay on and fault: one period of the loop for what follows the switching on, and then two, over which the
# fault is spread evenly: the relay is asked every other tick, so that is how often everything repeats.
_ON_FOR = (0.012, 0.032)
_PATIENCE = 2.0  # s
_MOST_TROUBLE = 20


@dataclass
class Trips:
    """Times from fault to relay off [s], and from its first answer on the wire to relay off, by kind of fault.

    Attributes
    ----------
    by_unit
        How many of them the unit itself switched off, because it was not fed.
    troubles
        What kept trips from being measured, a sentence each: a relay that did not drop is one, too.
    """

    fault_to_off: dict[str, list[float]] = field(default_factory=dict)
    answer_to_off: dict[str, list[float]] = field(default_factory=dict)
    by_unit: int = 0
    missed_deadlines: int = 0
    ticks: int = 0
    troubles: list[str] = field(default_factory=list)

    def all(self) -> list[float]:
        """Give the times from fault to off of every kind."""
        return [value for values in self.fault_to_off.values() for value in values]


def measure_trips(count: int, loaded: bool, seed: int = 1, instrument: str = "scanner") -> Trips:
    """Make `count` faults, half of each kind, while the relay of an instrument is on, and time the relay."""
    found = Trips()
    chance = random.Random(seed)  # noqa: S311  when, not what
    with rig(instrument) as bench, bench.daemon(), contextlib.ExitStack() as stack:
        kinds = bench.unit.faults
        for times in (found.fault_to_off, found.answer_to_off):
            times.update({kind: [] for kind in kinds})
        if loaded:
            stack.enter_context(load(bench.socket))
        before = bench.healthy()
        line = stack.enter_context(contextlib.closing(bench.lease()))
        for number in progress(count, "trips, loaded" if loaded else "trips"):
            try:
                _trip(bench, line, kinds[number % len(kinds)], chance.uniform(*_ON_FOR), found)
            except (TimeoutError, SafetyRefused) as trouble:
                found.troubles.append(f"trip {number}: {trouble}")
                if len(found.troubles) > _MOST_TROUBLE:
                    break
            bench.unit.tell("clear")
            bench.unit.wait_for("cleared", _PATIENCE)
        after = bench.client.status()
        found.missed_deadlines = after.missed_deadlines - before.missed_deadlines
        found.ticks = after.ticks - before.ticks
    return found


def _trip(bench: Rig, line: Line, kind: str, wait: float, found: Trips) -> None:
    bench.energise(line)
    try:
        bench.unit.wait_for("on", _PATIENCE)
    except TimeoutError as trouble:
        msg = f"the relay did not go on: {bench.client.status().off_reason}"
        raise TimeoutError(msg) from trouble
    time.sleep(wait)
    bench.unit.tell(kind)
    fault, earlier = bench.unit.wait_for("fault", _PATIENCE)
    if any(stamp.what == "off" for stamp in earlier):
        msg = f"the relay had dropped before the fault: {bench.client.status().off_reason}"
        raise TimeoutError(msg)
    off, between = bench.unit.wait_for("off", _PATIENCE)
    found.fault_to_off[kind].append(off.at - fault.at)
    found.answer_to_off[kind] += [off.at - stamp.at for stamp in between if stamp.what == "answered"]
    found.by_unit += "watchdog" in off.why
