"""What must hold of every tick, over random sequences of readings, faults and requests.

The checks below judge the raw readings themselves and do not ask the code under test what is healthy.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from nixel.safety.core import start, step
from nixel.safety.model import (
    AcquireLease,
    Arm,
    Boolean,
    Config,
    Disable,
    Disconnect,
    Enable,
    Inputs,
    Limit,
    Mode,
    Output,
    Reading,
    ReleaseLease,
    RenewLease,
    Reset,
    Stop,
)

AGE = 0.15
CONFIG = Config(
    period=0.01,
    lease=0.5,
    interlocks=(
        Limit("coil", "analog:0", "degC", trip=60.0, max_age=AGE, warn=50.0),
        Boolean("estop", "digital:0", healthy=True, max_age=AGE),
    ),
    outputs=(Output("amplifier", "ac", ("coil", "estop")), Output("light", "lamp", ("estop",))),
)
PERMITTED = {Mode.ARMED, Mode.ENERGISED}

clients = st.integers(1, 3)
names = st.sampled_from(["amplifier", "light", "heater"])
requests = st.one_of(
    st.builds(AcquireLease, clients, st.just(0), st.just("x"), st.sampled_from([None, 0.1, 0.5, 9.0])),
    st.builds(RenewLease, clients, st.just(0)),
    st.builds(ReleaseLease, clients, st.just(0)),
    st.builds(Disconnect, clients, st.just(0)),
    st.builds(Arm, clients, st.just(0)),
    st.builds(Enable, clients, st.just(0), names),
    st.builds(Disable, clients, st.just(0), names),
    st.builds(Stop, clients, st.just(0), st.just("x")),
    st.builds(Reset, clients, st.just(0)),
)
# Mostly healthy, or no sequence would ever climb.
good = st.just(None)
levels = st.one_of(*[good] * 12, st.sampled_from(["old", "gone", math.nan, 60.0, 59.0, -math.inf, True]))
contacts = st.one_of(*[good] * 12, st.sampled_from(["old", "gone", False, 1.0]))
readbacks = st.one_of(*[good] * 12, st.sampled_from(["old", "gone", True, False]))
# A helpful beginning of a tick, so that the interesting states are reached often, with noise around it.
climbs = st.sampled_from(
    [
        (),
        (),
        (Reset(1, 0),),
        (AcquireLease(1, 0, "x"), Arm(1, 0)),
        (Enable(1, 0, "amplifier"),),
        (RenewLease(1, 0),),
    ]
)
noise = st.lists(requests, max_size=2).map(tuple)
ticks = st.lists(
    st.tuples(
        st.sampled_from([0.01, 0.01, 0.01, 0.1, 0.6]),
        levels,
        contacts,
        readbacks,
        st.one_of(*[good] * 12, st.just({"surveillance": "unplugged"})),
        climbs,
        st.one_of(st.just(()), st.just(()), noise),
    ),
    max_size=40,
)


def _reading(choice, healthy, now):
    if choice == "gone":
        return None
    if choice == "old":
        return Reading(healthy, now - 0.3)
    return Reading(healthy if choice is None else choice, now - 0.005)


def _is_healthy(inputs: Inputs, state, now: float) -> dict[str, bool]:
    """Judge by the rules of the instrument, straight from the raw readings."""

    def fresh(source, age):
        reading = inputs.readings.get(source)
        return reading is not None and abs(now - reading.time) <= age

    def value(source):
        return inputs.readings[source].value

    found = {
        "coil": fresh("analog:0", AGE)
        and type(value("analog:0")) is float
        and -1e9 < value("analog:0") < 60.0,
        "estop": fresh("digital:0", AGE) and value("digital:0") is True,
        "devices": not inputs.faults,
    }
    for output in CONFIG.outputs:
        source = f"readback:{output.sink}"
        follows = fresh(source, 0.25) and value(source) is (output.name in state.on)
        found[source] = fresh(source, 0.25) and (follows or now - state.switched_at(output.name) <= 0.25)
    return found


def _check_tick(before, inputs, after, outputs, events, now):
    asked = inputs.requests
    healthy = _is_healthy(inputs, before, now)
    gone = {r.client for r in asked if isinstance(r, Disconnect)}
    stopped = any(isinstance(r, Stop) for r in asked)
    # 1, 2: on means that every gate is healthy in this tick and nothing is latched
    for output in CONFIG.outputs:
        if output.name in outputs.on:
            assert all(healthy[gate] for gate in output.gated_by)
    if outputs.on:
        assert all(healthy.values())
        assert (after.mode, after.causes) == (Mode.ENERGISED, ())
        # 13: and that somebody who is there answers for it
        assert after.lease is not None
        assert now < after.lease.expires
        assert after.lease.client not in gone
    assert (outputs.on != frozenset()) == (after.mode is Mode.ENERGISED)
    assert after.on == outputs.on
    assert bool(after.causes) == (after.mode is Mode.FAULT)
    # 3, 4: only a reset with all healthy clears the latch, and it leads to SAFE
    if before.mode is Mode.FAULT:
        assert after.mode in {Mode.FAULT, Mode.SAFE}
        assert not outputs.permitted
        if after.mode is Mode.SAFE:
            assert any(isinstance(r, Reset) and r.client not in gone for r in asked)
            assert all(healthy.values())
            assert not stopped
    # 5: off to on only from where outputs were permitted, by an enable of the holder of the lease
    for name in outputs.on - before.on:
        assert before.mode in PERMITTED
        assert any(
            isinstance(r, Enable) and (r.output, r.client) == (name, after.lease.client) for r in asked
        )
    # 6: a stop wins
    if stopped:
        assert after.mode in {Mode.SAFE, Mode.FAULT}
    # 7, 12: whatever is unhealthy is a fault in this tick
    if not all(healthy.values()):
        assert after.mode is Mode.FAULT
        assert not outputs.on
    elif before.mode is not Mode.FAULT:
        assert after.mode is not Mode.FAULT
    # 9: the first cause is kept, causes are only added
    if before.mode is Mode.FAULT and after.mode is Mode.FAULT:
        assert after.causes[: len(before.causes)] == before.causes
    # 10: the heartbeat
    assert outputs.permitted == (after.mode in PERMITTED)
    assert (outputs.beat != before.beat) == outputs.permitted
    # 13: nobody renews the lease of another
    if before.lease and after.lease and after.lease.expires > before.lease.expires:
        own = {r.client for r in asked if isinstance(r, RenewLease | AcquireLease)}
        assert after.lease.client in own
    # every request is answered, every change of state is an event
    assert len(outputs.replies) == sum(not isinstance(r, Disconnect) for r in asked)
    moves = [(e.details["old"], e.details["new"]) for e in events if e.kind == "transition"]
    chain = [before.mode, *(new for _, new in moves)]
    assert [old for old, _ in moves] == chain[:-1]
    assert chain[-1] == after.mode
    switched = {(e.details["output"], e.details["on"]) for e in events if e.kind == "output"}
    assert {(name, True) for name in after.on - before.on} <= switched
    assert {(name, False) for name in before.on - after.on} <= switched


@settings(max_examples=400, deadline=None)
@given(ticks)
def test_invariants_hold_over_random_sequences(sequence):
    now = 50.0
    state = start(now)
    for delay, level, contact, readback, faults, climb, more in sequence:
        now += delay
        given_readings = {
            "analog:0": _reading(level, 25.0, now),
            "digital:0": _reading(contact, True, now),
            "readback:ac": _reading(readback, "amplifier" in state.on, now),
            "readback:lamp": _reading(None, "light" in state.on, now),
        }
        inputs = Inputs({k: v for k, v in given_readings.items() if v is not None}, climb + more, faults)
        after, outputs, events = step(CONFIG, state, inputs, now)
        _check_tick(state, inputs, after, outputs, events, now)
        state = after


def _modes_reached(sequence):
    """The states that a sequence passes through when nothing is ever unhealthy but what it says of the contact."""
    now = 50.0
    state = start(now)
    reached = {state.mode}
    for delay, _, contact, _, _, climb, more in sequence:
        now += delay
        found = {
            "analog:0": Reading(25.0, now),
            "digital:0": _reading(contact, True, now),
            "readback:ac": Reading("amplifier" in state.on, now),
            "readback:lamp": Reading("light" in state.on, now),
        }
        present = {source: reading for source, reading in found.items() if reading is not None}
        state, _, _ = step(CONFIG, state, Inputs(present, climb + more), now)
        reached.add(state.mode)
    return reached


@pytest.mark.parametrize("mode", Mode)
def test_the_random_sequences_can_reach_every_state(mode):
    """The property above would be empty if its sequences never switched anything on."""
    # Searched for, so that no release's way of drawing decides; a state that cannot be reached is NoSuchExample.
    effort = settings(
        max_examples=20_000, deadline=None, database=None, derandomize=True, phases=[Phase.generate]
    )
    find(ticks, lambda sequence: mode in _modes_reached(sequence), settings=effort)
