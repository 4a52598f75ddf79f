"""Ticks at rest are shortened, and find nothing but what the whole evaluation would."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nixel.safety.core import interlocks, rest
from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Boolean,
    Bypass,
    Bypassed,
    Config,
    Direction,
    Enable,
    Heartbeat,
    Inputs,
    Lease,
    Limit,
    Memory,
    Mode,
    Output,
    Outputs,
    Rate,
    Reading,
    Reset,
    Sense,
    State,
    Stop,
    TwoContacts,
    TwoSensors,
    Verdict,
)
from nixel.safety.core.step import start, step
from nixel.safety.service.status import Snapshot, describe

PERIOD = 0.01


def good(beat):
    """Readings of something that works: what stands still is not measured."""
    analog = {"analog:0": 25.0 + 0.1 * beat, "analog:1": 4.0, "analog:2": 24.0}
    digital = {"digital:0": True, "digital:1": True, "digital:2": False, "digital:3": beat}
    return {**analog, **digital, "readback:ac": False}


CONFIG = Config(
    PERIOD,
    0.5,
    (
        Limit(
            "coil",
            "analog:0",
            "degC",
            60.0,
            0.2,
            warn=50.0,
            hysteresis=2.0,
            frozen_after=0.3,
            trips_after=0.03,
        ),
        Limit("flow", "analog:1", "l/min", 2.0, 0.2, direction=Direction.BELOW, clears_after=0.05),
        Rate("drift", "analog:0", "degC", 400.0, 0.08, 0.08, sense=Sense.RISING, frozen_after=0.3),
        TwoSensors("agreement", ("analog:0", "analog:2"), "degC", 5.0, 0.15, 0.05),
        Boolean("door", "digital:0", True, 0.2, bypass=10.0),
        TwoContacts("chain", ("digital:1", "digital:2"), (True, False), 0.2, 0.03, emergency_stop=True),
        Heartbeat("daq", "digital:3", 0.2, 0.2),
    ),
    (
        Output(
            "amplifier",
            "ac",
            ("coil", "flow", "drift", "agreement", "door", "chain", "daq"),
            0.1,
            on_time=0.3,
            duty=0.5,
        ),
    ),
)


def bare(state):
    """The state of one who knows nothing of ticks at rest."""
    return replace(state, rest=None)


def compared(outputs):
    """What is told; a value that is no number equals itself here."""
    values = ["nan" if v.value != v.value else v.value for v in outputs.verdicts]
    told = [replace(v, value=None) for v in outputs.verdicts]
    return replace(outputs, verdicts=(*zip(told, values, strict=True),))


def check(state, inputs, now):
    """Do a tick both ways; give what it led to."""
    new, outputs, events = step(CONFIG, state, inputs, now)
    whole = step(CONFIG, bare(state), inputs, now)
    assert (new, events) == (whole[0], whole[2])
    assert compared(outputs) == compared(whole[1])
    # What is kept is what would be kept, so that the ticks after this one find the same, too.
    assert (new.rest is None) == (whole[0].rest is None)
    if new.rest is not None:
        assert (new.rest.until, new.rest.overdue) == (whole[0].rest.until, whole[0].rest.overdue)
        assert new.rest.readings is inputs.readings
    return new, outputs


REQUESTS = [
    Reset(1, 0),
    Arm(1, 0),
    AcquireLease(1, 0, "a scan", None),
    Enable(1, 0, "amplifier"),
    Stop(1, 0, "enough", "somebody"),
    Bypass(1, 0, "door", 0.2, "somebody", "a test"),
]
CHANGES = [
    *[("analog:0", value) for value in (25.5, 49.0, 51.0, 61.0, None, float("nan"), True)],
    *[("analog:1", value) for value in (1.0, 4.5)],
    *[("analog:2", value) for value in (24.5, 31.0)],
    *[(f"digital:{n}", value) for n in range(4) for value in (True, False, None)],
    *[("readback:ac", value) for value in (True, False)],
]
CONTACTS = [("contacts", late) for late in (0.0, 0.0, 0.0, 0.5, 9.0, -0.5, -25.0)]  # periods ago
STEP = st.tuples(
    st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0, 3.0, 12.0, 25.0, -2.0]),  # periods since the last tick
    st.sampled_from([None, None, None, "copy", "all", "all", *CONTACTS, *CHANGES]),  # what is read anew
    st.sampled_from([None] * 8 + REQUESTS),
    st.sampled_from([None] * 12 + [{"server": "it is gone"}]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=80))
def test_a_tick_at_rest_finds_what_the_whole_evaluation_finds(steps):
    now, beat = 100.0, True
    state = start(now)
    readings = {}
    for _ in range(12):  # healthy, as after some time
        now += PERIOD
        beat = not beat
        readings = {source: Reading(value, now) for source, value in good(beat).items()}
        state, _ = check(state, Inputs(readings), now)
    for later, change, request, faults in steps:
        now += later * PERIOD
        if change == "all":
            beat = not beat
            values = {**good(beat), "readback:ac": "amplifier" in state.on}
            readings = {source: Reading(value, now) for source, value in values.items()}
        elif change == "copy":
            readings = dict(readings)
        elif change in CONTACTS:
            taken = now - change[1] * PERIOD
            anew = {
                source: replace(r, time=taken) for source, r in readings.items() if r.value in (True, False)
            }
            readings = {**readings, **anew}
        elif change is not None:
            readings = {**readings, change[0]: Reading(change[1], now)}
        state, _ = check(state, Inputs(readings, (request,) if request else (), faults), now)


def at_rest(mode=Mode.FAULT):
    """A state at rest, its readings and its time."""
    now, beat, state = 100.0, True, start(100.0)
    for number in range(40):
        now += PERIOD
        beat = not beat
        readings = {source: Reading(value, now) for source, value in good(beat).items()}
        asked = {20: (Reset(1, 0),), 22: (Arm(1, 0),)}.get(number, ()) if mode is Mode.ARMED else ()
        state, _ = check(state, Inputs(readings, asked), now)
    now += PERIOD
    state, _ = check(state, Inputs(readings), now)
    assert state.mode is mode
    assert state.rest is not None
    return state, readings, now


@pytest.fixture
def judged(monkeypatch):
    """How many interlocks have been judged."""
    counted = []
    real = interlocks.judge
    monkeypatch.setattr(interlocks, "judge", lambda *given: counted.append(given) or real(*given))
    return counted


@pytest.mark.parametrize("mode", [Mode.FAULT, Mode.ARMED])
def test_the_same_readings_are_not_judged_again_and_their_ages_go_on(mode, judged):
    state, readings, now = at_rest(mode)
    judged.clear()
    beats = [state.beat]
    for number in range(1, 4):
        state, outputs, events = step(CONFIG, state, Inputs(readings), now + number * PERIOD)
        beats.append(state.beat)
        assert (events, outputs.permitted, outputs.beat) == ((), mode is Mode.ARMED, state.beat)
        snapshot = Snapshot(state, outputs.verdicts, now + number * PERIOD, 1, 0, readings=readings)
        told = describe(CONFIG, True, snapshot, 0.0)["interlocks"]
        assert {each["age_s"] for each in told if each["age_s"] is not None} == {
            round((number + 1) * PERIOD, 4)
        }
    assert judged == []
    # The charge pump toggles in every tick in which outputs are permitted, and in no other.
    assert len(set(beats)) == (2 if mode is Mode.ARMED else 1)
    assert all((a != b) is (mode is Mode.ARMED) for a, b in itertools.pairwise(beats))


def changed(source, value, later=0.0):
    """Something else that is read of a source, so much later than what was read of it."""
    return lambda readings: Inputs({**readings, source: Reading(value, readings[source].time + later)})


@pytest.mark.parametrize(
    "given",
    [
        changed("digital:0", False),
        changed("digital:0", 1),
        changed("digital:0", None),
        changed("digital:2", 0.0),
        changed("digital:3", False),  # a heartbeat
        changed("readback:ac", True),
        changed("analog:1", 4.0),  # the very same, but a number
        changed("digital:0", True, 2 * PERIOD + 1e-7),  # in the future
        lambda readings: Inputs({s: r for s, r in readings.items() if s != "readback:ac"}),
        lambda readings: Inputs({**readings, "digital:9": Reading(True, readings["digital:0"].time)}),
        lambda readings: Inputs(
            {("digital:9" if s == "digital:0" else s): r for s, r in readings.items()},
        ),
        lambda readings: Inputs(readings, (Stop(1, 0, "enough", "somebody"),)),
        lambda readings: Inputs(readings, (), {"server": "gone"}),
    ],
)
def test_anything_else_is_judged(given, judged):
    state, readings, now = at_rest()
    assert readings["analog:1"].value == 4.0
    assert readings["digital:3"].value is True
    judged.clear()
    step(CONFIG, state, given(readings), now + PERIOD)
    assert len(judged) == len(CONFIG.interlocks)


@pytest.mark.parametrize(
    "given",
    [
        lambda readings: Inputs(dict(readings)),
        changed("digital:2", False, PERIOD),
        changed("digital:3", True, PERIOD),
        changed("readback:ac", False, -PERIOD),
    ],
)
@pytest.mark.parametrize("mode", [Mode.FAULT, Mode.ARMED])
def test_contacts_that_say_the_same_again_are_not_judged(given, mode, judged):
    state, readings, now = at_rest(mode)
    readings = {**readings, "digital:3": Reading(True, readings["digital:3"].time)}
    state, _ = check(replace(state, rest=None), Inputs(readings), now)
    judged.clear()
    later, _, _ = step(CONFIG, state, given(readings), now + PERIOD)
    assert judged == []
    assert later.rest.readings == given(readings).readings
    assert later.rest.verdicts is state.rest.verdicts
    check(state, given(readings), now + PERIOD)


@pytest.mark.parametrize(("ahead", "judges"), [(0.0, False), (1e-9, True)])
def test_a_contact_may_be_read_in_the_moment_of_the_tick_and_not_after_it(ahead, judges, judged):
    state, readings, now = at_rest()
    judged.clear()
    step(CONFIG, state, Inputs({**readings, "digital:0": Reading(True, now + PERIOD + ahead)}), now + PERIOD)
    assert bool(judged) is judges


def test_a_contact_is_fresh_for_as_long_as_it_says_the_same_anew_and_no_longer(judged):
    """And what is asked anew ends the rest by its own time, not by that of the reading before."""
    door = Boolean("door", "digital:0", True, 0.2)
    made = replace(
        CONFIG,
        interlocks=(door,),
        outputs=(replace(CONFIG.outputs[0], gated_by=("door",), readback_within=0.5),),
    )
    values = {"digital:0": True, "readback:ac": False}
    state = start(100.0)
    for now in (100.0, 100.1, 100.2, 100.3):
        readings = {source: Reading(value, now) for source, value in values.items()}
        state, _, _ = step(made, state, Inputs(readings, (Reset(1, 0),) if now == 100.1 else ()), now)
    assert state.mode is Mode.SAFE
    judged.clear()
    taken = now
    for _ in range(20):
        taken += 0.15
        readings = {source: Reading(value, taken) for source, value in values.items()}
        for late in (0.01, 0.14):
            state, outputs, _ = step(made, state, Inputs(readings), taken + late)
            assert outputs.verdicts[0].healthy
    assert judged == []
    state, _, _ = step(made, state, Inputs(readings), taken + 0.1999)
    assert (judged, state.mode) == ([], Mode.SAFE)
    state, _, _ = step(made, state, Inputs(readings), taken + 0.2001)
    assert "200 ms old" in state.causes[0].text
    assert state.mode is Mode.FAULT


def test_another_configuration_and_a_clock_that_goes_back_are_judged(judged):
    state, readings, now = at_rest()
    judged.clear()
    step(replace(CONFIG, lease=0.4), state, Inputs(readings), now + PERIOD)
    assert len(judged) == len(CONFIG.interlocks)
    step(CONFIG, state, Inputs(readings), now - PERIOD)
    assert len(judged) == 2 * len(CONFIG.interlocks)


def test_what_grows_stale_at_rest_latches_in_the_first_tick_beyond_its_age():
    state, readings, _ = at_rest(Mode.ARMED)
    taken = readings["digital:0"].time
    # The rate's reading may be oldest by 80 ms.
    state, _, _ = step(CONFIG, state, Inputs(readings), taken + 0.0799)
    assert state.mode is Mode.ARMED
    state, outputs, _ = step(CONFIG, state, Inputs(readings), taken + 0.0801)
    assert state.mode is Mode.FAULT
    assert not outputs.permitted
    assert "80 ms old" in state.causes[0].text


@pytest.mark.parametrize("ages", [(0.1, 0.2), (0.2, 0.1)])
def test_of_two_interlocks_with_one_source_the_stricter_age_ends_the_rest(ages):
    guards = tuple(Boolean(f"door {age}", "digital:0", True, age) for age in ages)
    amplifier = replace(
        CONFIG.outputs[0], gated_by=tuple(guard.name for guard in guards), readback_within=0.5
    )
    made = replace(CONFIG, interlocks=guards, outputs=(amplifier,))
    readings = {name: Reading(value, 100.0) for name, value in (("digital:0", True), ("readback:ac", False))}
    state = start(100.0)
    for now in (100.0, 100.01):
        state, _, _ = step(made, state, Inputs(readings), now)
    assert state.rest is not None
    for late, healthy in ((0.0999, True), (0.1001, False)):
        _, outputs, _ = step(made, state, Inputs(readings), 100.0 + late)
        assert all(verdict.healthy for verdict in outputs.verdicts) is healthy


def test_readings_that_nobody_has_changed_are_looked_through_only_shortly_before_they_are_stale():
    looked = []

    class Watched(dict):
        def get(self, *given):
            looked.append(given)
            return super().get(*given)

    state, readings, now = at_rest()
    readings = Watched(readings)
    # The readings are of the tick before; the rate's may be oldest by 80 ms.
    state, _ = check(replace(state, rest=None), Inputs(readings), now + 0.002)
    taken = readings["analog:0"].time
    looked.clear()
    for later in (0.015, 0.05, 0.0799):
        state, _, _ = step(CONFIG, state, Inputs(readings), taken + later)
    assert looked == []
    for later in (0.08 - 1e-7, 0.08 + 1e-7):
        looked.clear()
        _, outputs, _ = step(CONFIG, state, Inputs(readings), taken + later)
        assert looked
        assert all(verdict.healthy for verdict in outputs.verdicts) == (later < 0.08)


def test_an_instrument_that_watches_nothing_finds_the_same_for_ever():
    nothing = Config(0.01, 0.5, (), ())
    state, _, _ = step(nothing, start(100.0), Inputs({}), 100.01)
    assert state.rest.until == math.inf


@pytest.mark.parametrize("late", [False, True])
def test_a_heartbeat_is_overdue_to_the_microsecond(late):
    daq = replace(CONFIG.interlocks[-1], max_age=0.5)
    made = replace(
        CONFIG,
        interlocks=(daq,),
        outputs=(replace(CONFIG.outputs[0], gated_by=("daq",), readback_within=0.5),),
    )
    state = start(100.0)
    for number in range(3):
        now = 100.0 + number * PERIOD
        values = {"digital:3": number == 1, "readback:ac": False}
        readings = {source: Reading(value, now) for source, value in values.items()}
        state, _, _ = step(made, state, Inputs(readings, (Reset(1, 0),) if number == 2 else ()), now)
    state, _, _ = step(made, state, Inputs(readings), now + 0.01)
    assert state.rest is not None
    step_to = now + 0.2 + (1e-7 if late else -1e-7)
    _, outputs, _ = step(made, state, Inputs(readings), step_to)
    assert outputs.verdicts[0].healthy is not late


def test_a_heartbeat_that_stops_at_rest_latches():
    fresh = replace(
        CONFIG, interlocks=CONFIG.interlocks[-1:], outputs=(replace(CONFIG.outputs[0], gated_by=("daq",)),)
    )
    readings, state = {}, start(100.0)
    for number in range(3):
        now = 100.0 + number * PERIOD
        values = {"digital:3": number == 1, "readback:ac": False}
        readings = {source: Reading(value, now) for source, value in values.items()}
        state, _, _ = step(fresh, state, Inputs(readings, (Reset(1, 0),) if number == 2 else ()), now)
    assert state.mode is Mode.SAFE
    state, _, _ = step(fresh, state, Inputs(readings), now + 0.01)
    assert state.rest is not None
    # Its reading is asked anew and says the same.
    later = {source: replace(reading, time=now + 0.19) for source, reading in readings.items()}
    state, _, _ = step(fresh, state, Inputs(later), now + 0.19)
    assert state.rest is not None
    state, _, _ = step(fresh, state, Inputs(later), now + 0.21)
    assert state.mode is Mode.FAULT
    assert "has not changed for 200 ms" in state.causes[0].text


def test_a_readback_that_still_follows_is_looked_at_in_every_tick(judged):
    state, readings, now = at_rest(Mode.ARMED)
    # Nothing is commanded on, and for a moment after the last switching the sink may still say that it is.
    state = replace(state, switched={"amplifier": now}, rest=None)
    late = {**readings, "readback:ac": Reading(True, now)}
    for _ in range(3):
        judged.clear()
        now += PERIOD
        late = {source: replace(reading, time=now) for source, reading in late.items()}
        state, _ = check(state, Inputs(late), now)
        state, _ = check(state, Inputs(late), now)
        assert state.mode is Mode.ARMED
        assert state.rest is None
    state, _ = check(state, Inputs(late), state.switched["amplifier"] + 0.1001)
    assert state.mode is Mode.FAULT


def test_sensors_that_differ_are_looked_at_in_every_tick():
    state, readings, now = at_rest(Mode.ARMED)
    apart = {
        source: Reading(31.0 if source == "analog:2" else r.value, now) for source, r in readings.items()
    }
    state, _ = check(state, Inputs(apart), now)  # warns
    for later in (0.02, 0.04):
        state, _ = check(state, Inputs(apart), now + later)
        assert state.mode is Mode.ARMED
        assert state.rest is None
    state, _ = check(state, Inputs(apart), now + 0.06)
    assert state.mode is Mode.FAULT


def test_a_rate_is_told_as_it_is_found_when_its_newest_sample_is_compared_with_itself():
    state, readings, now = at_rest()
    falling = {source: replace(r, time=now + PERIOD) for source, r in readings.items()}
    falling["analog:0"] = Reading(24.9, now + PERIOD)
    for number in range(1, 4):
        state, _ = check(state, Inputs(falling), now + number * PERIOD)
    assert state.rest is not None


@pytest.mark.parametrize("sense", Sense)
@pytest.mark.parametrize("values", [(20.0, 20.0, 20.5), (20.5, 20.0, 20.0), (20.0, 21.0, 20.5)])
def test_a_rate_that_is_looked_at_again_is_found_the_same_and_never_below_zero(sense, values):
    drift = Rate("drift", "analog:0", "K", trip=2.0, max_age=0.5, window=1.0, sense=sense)
    samples = tuple((97.0 + 1.5 * number, value) for number, value in enumerate(values[:-1]))
    readings = {"analog:0": Reading(values[-1], 100.0)}
    first, memory = interlocks.judge(drift, Memory(healthy=True, samples=samples), readings, 100.0)
    assert memory.samples == (samples[-1], (100.0, values[-1]))
    change = (values[-1] - values[-2]) / 1.5
    assert (
        first.value
        == {
            Sense.EITHER: abs(change),
            Sense.RISING: max(change, 0.0),
            Sense.FALLING: max(-change, 0.0),
        }[sense]
    )
    assert interlocks.judge(drift, memory, readings, 100.0) == (first, memory)


@pytest.mark.parametrize("waiting", [{"beyond": 99.0}, {"well": 99.0}, {"apart": 99.0}, {"stuck": True}])
def test_what_waits_for_something_is_looked_at_again(waiting):
    door = Boolean("door", "digital:0", True, 0.5)
    made = Config(0.01, 0.5, (door,), (Output("amplifier", "ac", ("door",)),))
    readings = {"digital:0": Reading(True, 100.0), "readback:ac": Reading(False, 100.0)}
    outputs = Outputs(frozenset(), False, False, (Verdict("door", "boolean", True, ""),), ())
    for more, kept in (({}, True), (waiting, False)):
        memory = {"door": Memory(healthy=True, **more)}
        found = rest.keep(made, State(Mode.SAFE), memory, Inputs(readings), outputs)
        assert (found is not None) == kept


@pytest.mark.parametrize(
    "busy",
    [
        {"requests": (Arm(1, 1),)},
        {"lease": Lease(1, "a scan", 0.5, 100.5)},
        {"bypasses": {"door": Bypassed(200.0, "anna", "the probe is out")}},
        {"on": frozenset({"amplifier"})},
        {"wanted": frozenset({"amplifier"})},
        {"used": {"amplifier": 0.1}},
    ],
    ids=lambda busy: next(iter(busy)),
)
def test_nothing_is_repeated_while_something_is_asked_held_bypassed_on_wanted_or_used(busy):
    """A lease and a bypass must end in their time, and an on-time must be given back."""
    door = Boolean("door", "digital:0", True, 0.5, bypass=9.0)
    made = Config(0.01, 0.5, (door,), (Output("amplifier", "ac", ("door",)),))
    readings = {"digital:0": Reading(True, 100.0), "readback:ac": Reading(False, 100.0)}
    fine, memory = (Verdict("door", "boolean", True, ""),), {"door": Memory(healthy=True)}
    for more, kept in (({}, True), (busy, False)):
        requests, on = more.get("requests", ()), more.get("on", frozenset())
        of_state = {key: value for key, value in more.items() if key not in ("requests", "on")}
        outputs, state = Outputs(on, False, False, fine, ()), State(Mode.SAFE, **of_state)
        found = rest.keep(made, state, memory, Inputs(readings, requests), outputs)
        assert (found is not None) == kept
