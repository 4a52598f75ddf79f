"""Ticks in which nothing can happen: nothing is on, all is healthy, nobody asks, and every reading is the last one's.

While nothing is on the units are asked less often than the loop ticks, so most of its ticks see the very readings that
the last one saw. Such a tick can only find again what that one found, unless a reading has grown stale or a heartbeat
is overdue; until then nothing is looked at, and `step` would find the same at fifty times the cost. Where anything is
on, under way or wrong, every tick is evaluated in full.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nixel.safety.core.model import Heartbeat, Mode, Outputs, Rest, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.core.model import Config, Inputs, Memory

# Sums and differences of times round otherwise; that near to the end of `until` a tick is evaluated [s].
_ROUNDING = 1e-6
_NOTHING_ON: frozenset[str] = frozenset()


def keep(
    config: Config, state: State, memory: Mapping[str, Memory], now: float, inputs: Inputs, outputs: Outputs
) -> Rest | None:
    """Keep what a tick without events has found, if the next one can only find it again.

    Parameters
    ----------
    config
        The instrument.
    state
        As the tick leaves it, but for what it found.
    memory
        What the interlocks remember of it.
    now
        The time of the tick [s].
    inputs, outputs
        What came in, and what was found.

    Returns
    -------
    Rest or None
        `None` if the next tick must be evaluated whatever it sees.
    """
    asked = inputs.requests or state.lease or state.bypasses
    if asked or outputs.on or state.wanted or any(state.used.values()):
        return None
    for verdict in outputs.verdicts:
        if not verdict.healthy:
            return None
    readings = inputs.readings
    for output in config.outputs:
        if readings[f"readback:{output.sink}"].value is not False:
            return None  # it still follows, and may take too long
    until = math.inf
    for interlock in config.interlocks:
        each = memory[interlock.name]
        if each.stuck or not (each.beyond is each.well is each.apart is None):
            return None
        if isinstance(interlock, Heartbeat) and each.changed is not None:
            until = min(until, each.changed + interlock.interval)
    for source, longest in config.longest.items():
        until = min(until, readings[source].time + longest)
    return Rest(config, outputs.verdicts, now, readings, until - _ROUNDING)


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
