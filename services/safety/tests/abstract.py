"""An abstract instrument with one interlock of each kind, and the letters that are fed to it.

Time goes in steps of a tick, T, which binary fractions hold exactly, so that no rounding blurs a bound; every
duration is one or two ticks, the shortest that make each rule different from its neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations, product

import invariants
from exploration import ALSO_GOOD, GOOD, Letter

from nixel.safety.core import tick
from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Boolean,
    Bypass,
    Config,
    Direction,
    Disable,
    Disconnect,
    Enable,
    EndBypass,
    Heartbeat,
    Limit,
    Mode,
    Output,
    Rate,
    Reading,
    ReleaseLease,
    RenewLease,
    Reset,
    Sense,
    Stop,
    TwoContacts,
    TwoSensors,
)

T = 1 / 64
LONG = 1.0  # a loop that stood still for so long has outlived every age and every lease
HORIZON = 2 * T
FIRST, SECOND = 1, 2

KINDS = {
    "limit": Limit(
        "limit",
        "analog:0",
        "degC",
        trip=60.0,
        warn=50.0,
        max_age=T,
        hysteresis=5.0,
        frozen_after=2 * T,
        trips_after=T,
        clears_after=T,
    ),
    "rate": Rate("rate", "analog:1", "K", trip=4.0 / T, max_age=T, window=T, sense=Sense.RISING),
    "estop": Boolean("estop", "digital:0", healthy=True, max_age=T, emergency_stop=True),
    "contacts": TwoContacts("contacts", ("digital:1", "digital:2"), (True, False), max_age=T, discrepancy=T),
    "sensors": TwoSensors("sensors", ("analog:2", "analog:3"), "degC", 1.0, max_age=T, discrepancy=T),
    "heartbeat": Heartbeat("heartbeat", "digital:3", interval=T, max_age=T),
    "flow": Limit("flow", "analog:4", "l/min", trip=2.0, max_age=T, direction=Direction.BELOW, bypass=5 * T),
}


def config(*kinds, outputs=2, **last):
    """An instrument with some of the kinds, and one output, or two of which the second follows the first."""
    names = tuple(kinds)
    first = Output("amplifier", "ac", names, readback_within=T, settle=T, **(last if outputs == 1 else {}))
    second = Output("transmit", "gpio:1", names[:1], readback_within=T, after=("amplifier",), **last)
    # A lease of three ticks is the shortest with which one client can acquire, enable and renew in a tick each.
    return Config(T, 3 * T, tuple(KINDS[name] for name in names), (first, second)[:outputs])


# --- readings ---


@dataclass(frozen=True)
class Way:
    """What the sources of one part say in one tick.

    Attributes
    ----------
    grade
        REST when nothing is wrong; BASIC for each class of readings once; VARIED for all unreadable ones, one
        source at a time; FULL for every combination of them.
    """

    name: str
    readings: tuple
    grade: int


REST, BASIC, VARIED, FULL = range(4)


def _numbers(interlock, seen):
    """What a source of numbers may say: each class of values once, at rest first."""
    if isinstance(interlock, Rate):
        last = seen.watched[-1][1] if seen is not None and seen.watched else GOOD
        return {"rests": last, "drifts": last + 3.0, "jumps": last + 4.0, "falls": last - 9.0}
    if isinstance(interlock, Heartbeat):
        last = seen is not None and seen.still is not None and seen.still[0]
        return {"beats": not last, "is stuck": last}
    if isinstance(interlock, TwoSensors):
        return {"agrees": GOOD, "differs": GOOD + 1.5}
    if interlock.direction is Direction.BELOW:
        return {"flows": GOOD, "is beyond": 2.0}
    last = seen.still[0] if seen is not None and seen.still is not None else None
    moved = ALSO_GOOD if last == GOOD else GOOD
    found = {"moves": moved, "warns": 50.0, "is in the band": 57.0, "is beyond": 60.0}
    if last in (GOOD, ALSO_GOOD):
        found["stands still"] = last
    return found


def _said(interlock, place, seen, now):
    """What one source of an interlock may say: (name, reading, grade)."""
    contact = isinstance(interlock, Boolean | TwoContacts)
    if contact:
        good = interlock.healthy[place] if isinstance(interlock, TwoContacts) else interlock.healthy
        values = {"is well": good, "has tripped": not good}
    else:
        values = _numbers(interlock, seen)
    good = next(iter(values.values()))
    found = [(name, Reading(value, now), BASIC) for name, value in values.items()]
    found[0] = (found[0][0], found[0][1], REST)
    odd = {"senseless": Reading(None, now), "stale": Reading(good, now - 1.5 * T)}
    odd["ahead"] = Reading(good, now + 1.5 * T)
    if not isinstance(good, bool):
        odd |= {
            "NaN": Reading(math.nan, now),
            "infinite": Reading(-math.inf, now),
            "a state": Reading(True, now),
        }
    elif contact:
        odd["a number"] = Reading(1.0, now)
    return [*found, ("gone", None, BASIC), *((name, reading, VARIED) for name, reading in odd.items())]


def _ways(interlock, seen, now):
    """Everything that the sources of an interlock may say together; at rest first."""
    sources = [_said(interlock, place, seen, now) for place in range(len(interlock.sources))]
    for chosen in product(*sources):
        grades = [grade for _, _, grade in chosen]
        odd, off = grades.count(VARIED), sum(grade != REST for grade in grades)
        grade = FULL if odd and off > 1 else max(grades)
        name = f"{interlock.name} {' and '.join(name for name, _, _ in chosen)}"
        readings = tuple((source, each[1]) for source, each in zip(interlock.sources, chosen, strict=True))
        yield Way(name, readings, grade)


def _reports(output, on, now):
    """What a sink may report of itself; at rest first."""
    source = f"readback:{output.sink}"
    found = [
        ("follows", Reading(on, now), REST),
        ("is contrary", Reading(not on, now), BASIC),
        ("is gone", None, BASIC),
        ("is senseless", Reading(None, now), VARIED),
        ("is stale", Reading(on, now - 1.5 * T), VARIED),
    ]
    return [Way(f"{source} {name}", ((source, reading),), grade) for name, reading, grade in found]


def at_rest(memory):
    """Whether nothing is under way in an interlock: it is healthy and would be so in the same way in any tick."""
    if memory is None or not memory.healthy:
        return False
    return (memory.beyond, memory.well, memory.apart, memory.stuck) == (None, None, None, False)


def disturbances(config, state, ghost, now, width=1, grade=FULL, leave=()):
    """Every way in which up to `width` parts, among those that are not at rest, say something else than at rest.

    A part is an interlock with all its sources, a sink's own report, or a device. While as many as `width` are
    disturbed and have not come to rest again, no other one is. Those named in `leave` always are at rest.

    Yields
    ------
    tuple
        The grade, the name, the readings and the broken devices.
    """
    parts = {}
    for interlock in config.interlocks:
        parts[interlock.name] = list(_ways(interlock, ghost.seen.get(interlock.name), now))
    for output in config.outputs:
        parts[output.sink] = _reports(output, output.name in ghost.on, now)
    parts["device"] = [Way("", (), REST), Way("the unit is unplugged", (), BASIC)]
    restless = {each.name for each in config.interlocks if not at_rest(state.memory.get(each.name))}
    base = {source: reading for ways in parts.values() for source, reading in ways[0].readings}
    yield REST, "", base, None
    for count in range(1, width + 1):
        for chosen in combinations([name for name in parts if name not in leave], count):
            if len(restless.union(chosen)) > width and not restless.issuperset(chosen):
                continue
            disturbed = ([way for way in parts[part] if REST < way.grade <= grade] for part in chosen)
            for ways in product(*disturbed):
                found = base | {source: reading for way in ways for source, reading in way.readings}
                found = {source: reading for source, reading in found.items() if reading is not None}
                faults = {"unit": "unplugged"} if "device" in chosen else None
                yield max(way.grade for way in ways), ", ".join(way.name for way in ways), found, faults


# --- requests ---


def clients(state):
    """The holder of the lease, if there is one, and another client."""
    holder = FIRST if state.lease is None else state.lease.client
    return holder, FIRST + SECOND - holder


def single(config, state, *, bypasses=True):
    """Every kind of request, by each of two clients where it matters who asks."""
    both = clients(state)
    found = [
        *(AcquireLease(client, 1, "x") for client in both),
        *(kind(client, 1) for kind in (RenewLease, ReleaseLease, Disconnect) for client in both),
        *(Enable(client, 1, output.name) for client in both for output in config.outputs),
        *(Disable(both[1], 1, output.name) for output in config.outputs),
        *(Arm(both[1], 1), Stop(both[1], 1, "x"), Reset(both[1], 1)),
    ]
    if bypasses:
        asked = [("flow", 5 * T), ("flow", 6 * T), ("estop", T)]
        found += [
            *(Bypass(both[1], 1, name, length) for name, length in asked),
            EndBypass(both[1], 1, "flow"),
        ]
    return [(each,) for each in found]


def pairs(config, state, *, every):
    """Two requests of one tick, in both orders: every two, or those of which one takes something away."""
    ones = [each for (each,) in single(config, state)]
    taking = Stop | Disconnect | ReleaseLease | Disable | EndBypass
    return [
        (one, replace(other, number=2))
        for one in ones
        for other in ones
        if every or isinstance(one, taking) or isinstance(other, taking)
    ]


def climb(config, state):
    """What leads on from a state: to the next mode or the last output, to a longer lease, and to both."""
    holder, _ = clients(state)
    lease = AcquireLease(holder, 1, "x") if state.lease is None else RenewLease(holder, 1)
    enable = Enable(holder, 2, config.outputs[-1].name)
    upwards = {Mode.FAULT: Reset(holder, 2), Mode.SAFE: Arm(holder, 2)}.get(state.mode, enable)
    return [(upwards,), (lease,), (lease, upwards)]


def shorten_the_start(monkeypatch):
    """Make the moment after the start, in which nothing can have been seen for long enough, two ticks long.

    The code is the same; with a second, which is 64 ticks, the exploration would only count them.
    """
    monkeypatch.setattr(tick, "_START_GRACE", 2 * T)
    monkeypatch.setattr(invariants, "START_GRACE", 2 * T)


def letter(later, disturbance, requests=()):
    """Put a letter together."""
    _, name, readings, faults = disturbance
    return Letter(later, readings, requests, faults, name)
