"""What is healthy, worked out from raw readings a second time, by the words of what instruments declare.

The oracle of `invariants` must not ask the code under test what is healthy. So this knows nothing of it but the
declarations, and is written in another way: a kind says whether what was read is well, beyond its level or "dead"
(cannot be trusted), and one rule for all kinds adds the delays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from nixel.safety.core.model import (
    Boolean,
    Direction,
    Heartbeat,
    Limit,
    Rate,
    Sense,
    TwoContacts,
    TwoSensors,
)

WELL, BEYOND, DEAD = "", "beyond", "dead"


@dataclass(frozen=True)
class Seen:
    """What is remembered of one interlock.

    Attributes
    ----------
    fine
        Whether it was healthy in the last tick.
    beyond, well
        Since when it has been beyond, or well, while that has not decided yet.
    still
        The last value, and when it was first read; for a heartbeat `None` in place of a time before any change.
    watched
        Readings of the window of a rate, as (time, value), oldest first.
    apart
        Since when two channels have disagreed.
    stuck
        Whether a channel is held to be stuck.
    """

    fine: bool = False
    beyond: float | None = None
    well: float | None = None
    still: tuple[float | bool, float | None] | None = None
    watched: tuple[tuple[float, float], ...] = ()
    apart: float | None = None
    stuck: bool = False


def gap_of(reading, max_age, now):
    """Why a reading is none; empty if it is one."""
    if reading is None:
        return "missing"
    return "" if -max_age <= now - reading.time <= max_age else "stale"


def healths(config, ghost, inputs, now):
    """Judge everything that can forbid an output.

    Returns
    -------
    seen : dict of Seen
        To be remembered of the interlocks.
    used : dict of float
        How much of its longest time on each output has used up.
    health : dict of str
        Of each interlock, readback, on-time and broken device: "" for healthy, "beyond" or "dead".
    """
    seen, health = {}, {}
    for interlock in config.interlocks:
        before = ghost.seen.get(interlock.name, Seen())
        seen[interlock.name], health[interlock.name] = judge(interlock, before, inputs.readings, now)
    used = {}
    for output in config.outputs:
        reading = inputs.readings.get(f"readback:{output.sink}")
        on = output.name in ghost.on
        if gap_of(reading, output.readback_within, now) or not isinstance(reading.value, bool):
            found = DEAD
        else:
            late = now - ghost.switched.get(output.name, ghost.started) > output.readback_within
            found = BEYOND if reading.value != on and late else WELL
        health[f"{output.name} readback"] = found
        if output.on_time is not None:
            used[output.name] = _used(output, ghost, now)
            spent = on and used[output.name] >= output.on_time
            health[f"{output.name} on-time"] = BEYOND if spent else WELL
    if now < ghost.last:
        health["clock"] = DEAD
    health.update(dict.fromkeys(inputs.faults or {}, DEAD))
    return seen, used, health


def _used(output, ghost, now):
    """A bucket that fills while the output is on and leaks while it is off, so that `duty` is the long run."""
    passed = 0.0 if ghost.ticked is None else max(0.0, now - ghost.ticked)
    used = ghost.used.get(output.name, 0.0)
    if output.name in ghost.on:
        return used + passed
    return 0.0 if output.duty == 1.0 else max(0.0, used - passed * output.duty / (1.0 - output.duty))


def judge(interlock, before, readings, now):
    """Judge one interlock: what is remembered of it, and its health."""
    taken = [readings.get(source) for source in interlock.sources]
    if any(gap_of(reading, interlock.max_age, now) or not _sensible(interlock, reading) for reading in taken):
        return Seen(apart=before.apart, stuck=before.stuck), DEAD
    seen, how = _KINDS[type(interlock)](interlock, before, taken, now)
    if how == DEAD:
        return replace(seen, fine=False), DEAD
    if how == BEYOND:
        if not before.fine:
            return replace(seen, fine=False), BEYOND
        # Beyond for as long as may be, and not well in between for as long: it trips.
        beyond = now if before.beyond is None else before.beyond
        trips = now - beyond >= interlock.trips_after
        return replace(seen, fine=not trips, beyond=None if trips else beyond), BEYOND if trips else WELL
    well = now if before.well is None else before.well
    over = now - well >= (interlock.trips_after if before.fine else interlock.clears_after)
    if before.fine:
        waits = before.beyond is not None and not over
        return replace(seen, fine=True, **({"beyond": before.beyond, "well": well} if waits else {})), WELL
    return replace(seen, fine=over, well=None if over else well), WELL if over else BEYOND


def _sensible(interlock, reading):
    value = reading.value
    if isinstance(interlock, Boolean | TwoContacts):
        return isinstance(value, bool)
    if isinstance(value, bool):
        return isinstance(interlock, Heartbeat)
    if value is None or not math.isfinite(value):
        return False
    return not isinstance(interlock, Limit) or math.isfinite(_quantity(interlock, value))


def _quantity(interlock, value):
    """What a limit judges: the factor times the reading, or its size, or its square."""
    if interlock.power == 2:
        return interlock.factor * value * value if abs(value) < 1e150 else math.inf
    return interlock.factor * (abs(value) if interlock.magnitude else value)


def _limit(interlock, before, taken, now):
    reading = taken[0]
    worse = interlock.direction is Direction.BELOW
    quantity = _quantity(interlock, reading.value)
    distance = quantity - interlock.trip if worse else interlock.trip - quantity
    wanted = 0.0 if before.fine else interlock.hysteresis
    beyond = distance <= 0.0 or distance <= wanted
    return _moving(interlock, before, reading, BEYOND if beyond else WELL)


def _moving(interlock, before, reading, how, **more):
    if interlock.frozen_after is None:
        return Seen(**more), how
    same = before.still is not None and before.still[0] == reading.value
    since = before.still[1] if same else reading.time
    frozen = reading.time - since >= interlock.frozen_after
    return Seen(still=(reading.value, since), **more), DEAD if frozen else how


def _rate(interlock, before, taken, now):
    # Exact only for readings an eighth of the window or more apart: what happens within an eighth may be missed.
    time, value = taken[0].time, taken[0].value
    old = [each for each in before.watched if time - each[0] >= interlock.window]
    young = [each for each in before.watched if time - each[0] < interlock.window]
    changes = [value - each for _, each in (*old[-1:], *young)]
    spans = [max(interlock.window, time - then) for then, _ in (*old[-1:], *young)]
    worst = {Sense.RISING: lambda x: x, Sense.FALLING: lambda x: -x, Sense.EITHER: abs}[interlock.sense]
    beyond = any(worst(change) / span >= interlock.trip for change, span in zip(changes, spans, strict=True))
    # A reading of the same time again, or of a clock that went back, is none that later ones are compared with.
    newer = not before.watched or time > before.watched[-1][0]
    watched = (*old[-1:], *young, (time, value)) if newer else (*old[-1:], *young)
    how = BEYOND if beyond else WELL if old else DEAD
    return _moving(interlock, before, taken[0], how, watched=watched)


def _boolean(interlock, before, taken, now):
    return Seen(), WELL if taken[0].value is interlock.healthy else BEYOND


def _contacts(interlock, before, taken, now):
    good = [reading.value is healthy for reading, healthy in zip(taken, interlock.healthy, strict=True)]
    if all(good):
        return Seen(stuck=before.stuck), DEAD if before.stuck else WELL
    if not any(good):
        return Seen(), BEYOND
    apart = now if before.apart is None else before.apart
    stuck = before.stuck or now - apart > interlock.discrepancy
    return Seen(apart=apart, stuck=stuck), DEAD if stuck else BEYOND


def _sensors(interlock, before, taken, now):
    if abs(taken[0].value - taken[1].value) <= interlock.tolerance:
        return Seen(), WELL
    apart = now if before.apart is None else before.apart
    tolerated = before.fine and now - apart <= interlock.discrepancy
    return Seen(apart=apart), WELL if tolerated else BEYOND


def _heartbeat(interlock, before, taken, now):
    reading, changed = taken[0], None
    if before.still is not None:
        changed = before.still[1] if before.still[0] == reading.value else min(now, reading.time)
    alive = changed is not None and now - changed <= interlock.interval
    return Seen(still=(reading.value, changed)), WELL if alive else BEYOND


_KINDS = {
    Limit: _limit,
    Rate: _rate,
    Boolean: _boolean,
    TwoContacts: _contacts,
    TwoSensors: _sensors,
    Heartbeat: _heartbeat,
}
