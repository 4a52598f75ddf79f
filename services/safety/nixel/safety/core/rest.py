"""Ticks in which nothing can happen: nothing is on, all is healthy, nobody asks, and every reading is the last one's.

While nothing is on the units are asked less often than the loop ticks, so most of its ticks see the very readings that
the last one saw. Such a tick can only find again what that one found, unless a reading has grown stale or a heartbeat
is overdue; until then nothing is looked at, and `step` would find the same at fifty times the cost. Where anything is
on, under way or wrong, every tick is evaluated in full.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nixel.safety.core import interlocks
from nixel.safety.core.model import Heartbeat, Mode, Outputs, Rate, Rest, State

if TYPE_CHECKING:
    from nixel.safety.core.model import Config, Inputs, Verdict

# Sums and differences of times round otherwise; that near to the end of `until` a tick is evaluated [s].
_ROUNDING = 1e-6
_NOTHING_ON: frozenset[str] = frozenset()


def keep(config: Config, before: State, after: State, inputs: Inputs, outputs: Outputs) -> Rest | None:
    """Keep what a tick without events has found, if the next one can only find it again.

    Parameters
    ----------
    config
        The instrument.
    before, after
        The states that the tick began and ended with.
    inputs, outputs
        What came in, and what was found.

    Returns
    -------
    Rest or None
        `None` if the next tick must be evaluated whatever it sees.
    """
    asked = inputs.requests or after.lease or after.bypasses
    if asked or after.on or after.wanted or any(after.used.values()):
        return None
    if not all(verdict.healthy for verdict in outputs.verdicts):
        return None
    readings = inputs.readings
    if any(readings[f"readback:{output.sink}"].value is not False for output in config.outputs):
        return None  # it still follows, and may take too long
    verdicts = _again(config, before, after, inputs, outputs)
    if verdicts is None:
        return None
    stale = [readings[source].time + longest for source, longest in config.longest.items()]
    overdue = [
        (after.memory[each.name].changed or 0.0) + each.interval
        for each in config.interlocks
        if isinstance(each, Heartbeat)
    ]
    until = min(stale + overdue, default=math.inf) - _ROUNDING
    return Rest(config, verdicts, after.last, readings, until)


def _again(
    config: Config, before: State, after: State, inputs: Inputs, outputs: Outputs
) -> tuple[Verdict, ...] | None:
    """Say what the same readings will be found to mean if they are looked at again; `None` if that takes a look."""
    verdicts = list(outputs.verdicts)
    for place, interlock in enumerate(config.interlocks):
        memory = after.memory[interlock.name]
        if memory.stuck or not (memory.beyond is memory.well is memory.apart is None):
            return None
        if isinstance(interlock, Rate):
            earlier = before.memory.get(interlock.name)
            if earlier is None or memory.samples != earlier.samples:
                # A new sample is one that the same reading is compared with.
                verdicts[place], then = interlocks.judge(interlock, memory, inputs.readings, after.last)
                if then != memory or not verdicts[place].healthy:
                    return None
    return tuple(verdicts)


def repeat(
    config: Config, state: State, inputs: Inputs, now: float
) -> tuple[State, Outputs, tuple[()]] | None:
    """Give what `step` would, if nothing but time has gone by, and not too much of it.

    Parameters
    ----------
    config, state, inputs, now
        As given to `step`.

    Returns
    -------
    tuple or None
        What `step` returns; `None` if the tick must be evaluated.
    """
    rest = state.rest
    if rest is None or state.ticked is None or inputs.requests or inputs.faults:
        return None
    if (
        config is not rest.config
        or inputs.readings is not rest.readings
        or not state.ticked <= now <= rest.until
    ):
        return None
    permitted = state.mode is Mode.ARMED
    beat = state.beat != permitted
    # Spelt out, because `replace` takes twice as long and this is done in most of all ticks.
    new = State(
        state.mode,
        state.causes,
        state.on,
        state.wanted,
        state.lease,
        state.started,
        state.switched,
        now,
        state.used,
        beat,
        state.off_reason,
        state.unhealthy,
        state.warned,
        state.memory,
        state.bypasses,
        rest,
    )
    return new, Outputs(_NOTHING_ON, permitted, beat, rest.verdicts, (), now - rest.judged), ()
