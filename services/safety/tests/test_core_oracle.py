"""The oracle can fail: for each invariant a way to break it is planted in the safety logic, and must be found."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from abstract import HORIZON, REST, VARIED, T, climb, config, disturbances, letter, shorten_the_start, single
from exploration import explore
from invariants import NUMBERS, begin, judge

from nixel.safety.core import rest
from nixel.safety.core import step as core
from nixel.safety.core.model import (
    Arm,
    Disable,
    Disconnect,
    Enable,
    Event,
    Inputs,
    Lease,
    Mode,
    Reading,
    RenewLease,
    Reply,
    Reset,
    Stop,
)

ONE, TWO = config("flow", "estop", outputs=1), config("flow", "estop")
NAMES = {each.name for each in TWO.outputs}


@pytest.fixture(autouse=True)
def _short_start(monkeypatch):
    shorten_the_start(monkeypatch)


def asks(inputs, kind):
    return any(isinstance(each, kind) for each in inputs.requests)


def led_to(result, **changes):
    """The result, but with another state, and the outputs that go with it."""
    state, outputs, events = result
    state = replace(state, **changes)
    permitted = state.mode in {Mode.ARMED, Mode.ENERGISED}
    return state, replace(outputs, on=state.on, permitted=permitted, beat=state.beat), events


def without(inputs, source, value):
    """The inputs, but one source says that all is well."""
    old = inputs.readings.get(source)
    time = old.time if old is not None else max(each.time for each in inputs.readings.values())
    return replace(inputs, readings={**inputs.readings, source: Reading(value, time)})


def on_in_spite_of_the_flow(config, state, inputs, now):
    """The output that is on stays on although its gate trips; everything else is right."""
    result = core.step(config, state, inputs, now)
    tripped = any(cause.name == "flow" for cause in result[0].causes)
    if state.mode is Mode.ENERGISED and tripped:
        return result[0], replace(result[1], on=state.on), result[2]
    return result


def stays_on_while_latched(config, state, inputs, now):
    result = core.step(config, state, inputs, now)
    if state.mode is Mode.ENERGISED and result[0].mode is Mode.FAULT:
        return led_to(result, on=state.on)
    return result


def a_latch_clears_by_itself(config, state, inputs, now):
    result = core.step(config, state, inputs, now)
    if state.mode is Mode.FAULT and not result[0].unhealthy:
        return led_to(result, mode=Mode.SAFE, causes=())
    return result


def a_reset_is_remembered(config, state, inputs, now):
    """Pressed while something was unhealthy, it works as soon as that is over."""
    pressed = asks(inputs, Reset) or (state.mode is Mode.FAULT and "amplifier" in state.wanted)
    more = (Reset(1, 9),) if pressed and not asks(inputs, Reset) else ()
    new, outputs, events = core.step(config, state, replace(inputs, requests=inputs.requests + more), now)
    if pressed and new.mode is Mode.FAULT:
        new = replace(new, wanted=frozenset({"amplifier"}))
    return new, replace(outputs, replies=outputs.replies[: len(outputs.replies) - len(more)]), events


def a_reset_energises(config, state, inputs, now):
    result = core.step(config, state, inputs, now)
    if state.mode is Mode.FAULT and result[0].mode is Mode.SAFE:
        return led_to(result, mode=Mode.ENERGISED, on=frozenset({"amplifier"}))
    return result


def a_reset_arms(config, state, inputs, now):
    result = core.step(config, state, inputs, now)
    if asks(inputs, Reset) and result[0].mode is Mode.SAFE:
        return led_to(result, mode=Mode.ARMED, beat=not state.beat)
    return result


def anybody_enables(config, state, inputs, now):
    """Whoever enables is taken for the holder of the lease."""
    lease = state.lease
    if lease is None:
        return core.step(config, state, inputs, now)
    asked = tuple(
        replace(each, client=lease.client) if isinstance(each, Enable) else each for each in inputs.requests
    )
    new, outputs, events = core.step(config, state, replace(inputs, requests=asked), now)
    clients = [each.client for each in inputs.requests]
    replies = tuple(
        replace(reply, client=client) for reply, client in zip(outputs.replies, clients, strict=False)
    )
    return new, replace(outputs, replies=replies), events


def arming_energises(config, state, inputs, now):
    result = core.step(config, state, inputs, now)
    if asks(inputs, Arm) and result[0].mode is Mode.ARMED and result[0].lease is not None:
        return led_to(
            result, mode=Mode.ENERGISED, on=frozenset({"amplifier"}), wanted=frozenset({"amplifier"})
        )
    return result


def enabling_beats_the_emergency_stop(config, state, inputs, now):
    if asks(inputs, Enable) and state.mode is Mode.ARMED:
        return core.step(config, state, without(inputs, "digital:0", True), now)
    return core.step(config, state, inputs, now)


def a_stop_comes_after_the_rest(config, state, inputs, now):
    """Stops are left to the next tick if there is something else to do in this one."""
    others = tuple(each for each in inputs.requests if not isinstance(each, Stop))
    if not others or len(others) == len(inputs.requests):
        return core.step(config, state, inputs, now)
    new, outputs, events = core.step(config, state, replace(inputs, requests=others), now)
    replies = iter(outputs.replies)
    heard = [each for each in inputs.requests if not isinstance(each, Disconnect)]
    whole = [Reply(e.client, e.number, None) if isinstance(e, Stop) else next(replies) for e in heard]
    return new, replace(outputs, replies=tuple(whole)), events


def missing_is_well(config, state, inputs, now):
    if "digital:0" not in inputs.readings:
        return core.step(config, state, without(inputs, "digital:0", True), now)
    return core.step(config, state, inputs, now)


def age_is_not_looked_at(config, state, inputs, now):
    fresh = {source: Reading(reading.value, now) for source, reading in inputs.readings.items()}
    return core.step(config, state, replace(inputs, readings=fresh), now)


def comes_up_safe(now):
    return replace(core.start(now), mode=Mode.SAFE, causes=())


def comes_up_as_it_was(now):
    return replace(core.start(now), lease=Lease(1, "x", 3 * T, now + 3 * T))


def the_last_cause_is_told_first(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    return replace(new, causes=new.causes[::-1]), outputs, events


def later_causes_are_dropped(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    return replace(new, causes=new.causes[:1]), outputs, events


def beats_always(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    return replace(new, beat=not state.beat), replace(outputs, beat=not state.beat), events


def beats_only_when_on(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    beat = state.beat != (new.mode is Mode.ENERGISED)
    return replace(new, beat=beat), replace(outputs, beat=beat), events


def beats_before_all_was_looked_at(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    return new, replace(outputs, verdicts=outputs.verdicts[:-1]), events


def a_bypass_covers_the_emergency_stop(config, state, inputs, now):
    if "flow" in state.bypasses:
        return core.step(config, state, without(inputs, "digital:0", True), now)
    return core.step(config, state, inputs, now)


def the_emergency_stop_is_bypassed(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    if "flow" in new.bypasses:
        both = {**new.bypasses, "estop": new.bypasses["flow"]}
        events += (Event(now, "bypass", "x", {"name": "estop", "bypassed": True}),)
        return replace(new, bypasses=both), outputs, events
    return new, outputs, events


def a_bypass_never_ends(config, state, inputs, now):
    for_ever = {name: replace(each, expires=now + 1.0) for name, each in state.bypasses.items()}
    return core.step(config, replace(state, bypasses=for_ever), inputs, now)


def a_bypass_is_not_logged(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    return new, outputs, tuple(event for event in events if event.kind != "bypass")


def off_a_tick_late(config, state, inputs, now):
    """A fault is believed only when it has been there for two ticks."""
    new, outputs, events = core.step(config, state, inputs, now)
    if state.mode is Mode.ENERGISED and new.mode is Mode.FAULT and state.off_reason != "once":
        return (
            replace(state, off_reason="once", ticked=now),
            replace(outputs, on=state.on, permitted=True),
            (),
        )
    return new, outputs, events


def anybody_renews(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    if new.lease is not None and asks(inputs, RenewLease):
        new = replace(new, lease=replace(new.lease, expires=now + new.lease.duration))
        replies = tuple(replace(reply, refused=None) for reply in outputs.replies)
        return new, replace(outputs, replies=replies), events
    return new, outputs, events


def a_lease_never_ends(config, state, inputs, now):
    lease = state.lease and replace(state.lease, expires=now + state.lease.duration)
    return core.step(config, replace(state, lease=lease), inputs, now)


def no_order(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    if new.mode is Mode.ENERGISED and "transmit" in new.wanted:
        events += (Event(now, "output", "x", {"output": "transmit", "on": True}),)
        return replace(new, on=frozenset(NAMES)), replace(outputs, on=frozenset(NAMES)), events
    return new, outputs, events


def teardown_the_wrong_way_round(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    if state.on == NAMES and asks(inputs, Disable) and new.mode is Mode.ENERGISED:
        return led_to((new, outputs, events), on=frozenset({"transmit"}))
    return new, outputs, events


def nothing_is_told(config, state, inputs, now):
    new, outputs, events = core.step(config, state, inputs, now)
    return new, outputs, tuple(event for event in events if event.kind != "output")


PLANTED = [
    (1, on_in_spite_of_the_flow),
    (2, stays_on_while_latched),
    (3, a_latch_clears_by_itself),
    (3, a_reset_is_remembered),
    (4, a_reset_energises),
    (4, a_reset_arms),
    (5, anybody_enables),
    (5, arming_energises),
    (6, enabling_beats_the_emergency_stop),
    (6, a_stop_comes_after_the_rest),
    (7, missing_is_well),
    (7, age_is_not_looked_at),
    (8, comes_up_safe),
    (8, comes_up_as_it_was),
    (9, the_last_cause_is_told_first),
    (9, later_causes_are_dropped),
    (10, beats_always),
    (10, beats_only_when_on),
    (10, beats_before_all_was_looked_at),
    (11, a_bypass_covers_the_emergency_stop),
    (11, the_emergency_stop_is_bypassed),
    (11, a_bypass_never_ends),
    (11, a_bypass_is_not_logged),
    (12, off_a_tick_late),
    (13, anybody_renews),
    (13, a_lease_never_ends),
    ("order", no_order),
    ("order", teardown_the_wrong_way_round),
    ("record", nothing_is_told),
]


def test_there_is_a_way_to_break_each_invariant():
    assert {number for number, _ in PLANTED} == set(NUMBERS)


def letters_of(instrument):
    """One thing wrong at a time, and each request alone, and with a stop behind it."""

    def letters(state, ghost, now):
        for found in disturbances(instrument, state, ghost, now + T, grade=VARIED):
            yield letter(T, found)
            for asked in single(instrument, state) if found[0] == REST else climb(instrument, state):
                yield letter(T, found, asked)
                if found[0] == REST:
                    yield letter(T, found, (*asked, Stop(2, 2, "x")))

    return letters


@pytest.mark.parametrize(
    ("number", "planted"), PLANTED, ids=lambda each: getattr(each, "__name__", str(each))
)
def test_what_is_planted_is_found(number, planted):
    instrument = TWO if number == "order" else ONE
    code = {"start" if number == 8 else "step": planted}
    limits = {"causes": "first", "until": (number,), "most": 40_000}
    explored = explore(instrument, letters_of(instrument), HORIZON, **limits, **code)
    assert number in explored.broken, f"{explored}; found {set(explored.broken)}"


def test_nothing_is_found_where_nothing_is_planted():
    assert not explore(ONE, letters_of(ONE), HORIZON, causes="first", most=5_000).broken


def test_a_clock_that_goes_back_before_the_first_tick_is_back_until_it_has_caught_up_with_the_start():
    state = core.start(5.0)
    ghost, found = begin(state, 5.0)
    for now in (4.0, 3.0, 4.0, 5.0):
        inputs = Inputs({})
        result = core.step(ONE, state, inputs, now)
        ghost, wrong = judge(ONE, ghost, state, inputs, now, result)
        state, found = result[0], found + wrong
    assert found == []


def test_a_tick_that_is_repeated_although_its_readings_have_aged_is_found(monkeypatch):
    repeat = rest.repeat

    def blindly(config, state, inputs, now):
        endless = state.rest and replace(state.rest, until=math.inf)
        return repeat(config, replace(state, rest=endless), inputs, now)

    monkeypatch.setattr(rest, "repeat", blindly)
    explored = explore(ONE, letters_of(ONE), HORIZON, causes="first", until=("rest",), most=20_000)
    assert "rest" in explored.broken


def test_a_contact_that_is_not_judged_although_it_says_something_else_is_found(monkeypatch):
    monkeypatch.setattr(rest, "_the_same", lambda before, readings, now: readings.keys() == before.keys())
    explored = explore(ONE, letters_of(ONE), HORIZON, causes="first", until=(9,), most=20_000)
    assert 9 in explored.broken
