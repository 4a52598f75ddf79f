"""Ticks in which nothing can happen: nothing is on, all is healthy, nobody asks, and every reading says the same.

While nothing is on the units are asked less often than the loop ticks, so most of its ticks see the very readings that
the last one saw. Such a tick can only find again what that one found, unless a reading has grown stale or a heartbeat
is overdue; until then nothing is looked at, and `step` would find the same at fifty times the cost. So it is when
contacts were asked anew and say what they said. Where anything is on, under way or wrong, every tick is evaluated in
full.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nixel.safety.core.model import Heartbeat, Mode, Outputs, Rest, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.core.model import Config, Inputs, Memory, Reading

# Sums and differences of times round otherwise; that near to the end of `until` a tick is evaluated [s].
_ROUNDING = 1e-6
_NOTHING_ON: frozenset[str] = frozenset()


def keep(
    config: Config, state: State, memory: Mapping[str, Memory], inputs: Inputs, outputs: Outputs
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
    overdue = math.inf
    for interlock in config.interlocks:
        each = memory[interlock.name]
        if each.stuck or not (each.beyond is each.well is each.apart is None):
            return None
        if isinstance(interlock, Heartbeat) and each.changed is not None:
            overdue = min(overdue, each.changed + interlock.interval)
    return Rest(config, outputs.verdicts, readings, overdue, _until(config, readings, overdue))


def _until(config: Config, readings: Mapping[str, Reading], overdue: float) -> float:
    """Give up to when all that is guarded by is surely fresh, and no heartbeat overdue [s]."""
    until = overdue
    for source, longest in config.longest.items():
        until = min(until, readings[source].time + longest)
    return until - _ROUNDING


def repeat(
    config: Config, state: State, inputs: Inputs, now: float
) -> tuple[State, Outputs, tuple[()]] | None:
    """Give what `step` would, if nothing but time has gone by, and not too much of it.

    Contacts that were read anew and say the same count as nothing but time, too: what is found of a contact does not
    depend on when it was read, as long as it is fresh. Numbers that were read anew are judged.

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
    if rest is None or state.ticked is None or inputs.requests or inputs.faults or config is not rest.config:
        return None
    if inputs.readings is not rest.readings:
        if not _the_same(rest.readings, inputs.readings, now):
            return None
        until = _until(config, inputs.readings, rest.overdue)
        rest = Rest(config, rest.verdicts, inputs.readings, rest.overdue, until)
    if not state.ticked <= now <= rest.until:
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
    return new, Outputs(_NOTHING_ON, permitted, beat, rest.verdicts, ()), ()


def _the_same(before: Mapping[str, Reading], readings: Mapping[str, Reading], now: float) -> bool:
    """Whether all readings are those of before, or of contacts that say again what they said."""
    if readings.keys() != before.keys():
        return False
    for source, reading in readings.items():
        last = before[source]
        if reading is last:
            continue
        value = reading.value
        # By identity, so that neither 1 nor 1.0 passes for what a contact says; nor what was read in the future.
        if not (value is True or value is False) or value is not last.value or reading.time > now:
            return False
    return True
