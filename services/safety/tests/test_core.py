"""The safety logic, state by state: every state x every command x every kind of health."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Boolean,
    Cause,
    Config,
    Direction,
    Disable,
    Disconnect,
    Enable,
    Inputs,
    Lease,
    Limit,
    Mode,
    Output,
    Reading,
    ReleaseLease,
    RenewLease,
    Reset,
    State,
    Stop,
)
from nixel.safety.core.step import start, step

TEMPERATURE = Limit("coil", "analog:0", "degC", trip=60.0, max_age=0.15, warn=50.0)
STOP_CHAIN = Boolean("estop", "digital:0", healthy=True, max_age=0.15, message="emergency stop pressed")
CONFIG = Config(
    period=0.01,
    lease=0.5,
    interlocks=(TEMPERATURE, STOP_CHAIN),
    outputs=(Output("amplifier", "ac", ("coil", "estop")),),
)
NOW = 100.0
HOLDER, OTHER = 1, 2
LEASE = Lease(HOLDER, "a scan", 0.5, NOW + 0.4)

STATES = {
    Mode.FAULT: State(Mode.FAULT, (Cause("coil", 1.0, "it was hot"),), lease=LEASE, off_reason="it was hot"),
    Mode.SAFE: State(Mode.SAFE, lease=LEASE),
    Mode.ARMED: State(Mode.ARMED, lease=LEASE),
    Mode.ENERGISED: State(
        Mode.ENERGISED,
        on=frozenset({"amplifier"}),
        wanted=frozenset({"amplifier"}),
        lease=LEASE,
        started=NOW - 10,
    ),
}

COMMANDS = {
    "nothing": None,
    "acquire": AcquireLease(OTHER, 7, "another"),
    "renew": RenewLease(HOLDER, 7),
    "renew by another": RenewLease(OTHER, 7),
    "release": ReleaseLease(HOLDER, 7),
    "release by another": ReleaseLease(OTHER, 7),
    "disconnect": Disconnect(HOLDER, 7),
    "disconnect of another": Disconnect(OTHER, 7),
    "arm": Arm(OTHER, 7),
    "enable": Enable(HOLDER, 7, "amplifier"),
    "enable by another": Enable(OTHER, 7, "amplifier"),
    "enable what is not": Enable(HOLDER, 7, "heater"),
    "disable": Disable(OTHER, 7, "amplifier"),
    "disable what is not": Disable(OTHER, 7, "heater"),
    "stop": Stop(OTHER, 7, "I saw smoke"),
    "reset": Reset(OTHER, 7),
}

# With all healthy: the state that follows, from FAULT, SAFE, ARMED, ENERGISED; "!" where it is refused.
HEALTHY = {
    "nothing": "FAULT SAFE ARMED ENERGISED",
    "acquire": "FAULT! SAFE! ARMED! ENERGISED!",
    "renew": "FAULT SAFE ARMED ENERGISED",
    "renew by another": "FAULT! SAFE! ARMED! ENERGISED!",
    "release": "FAULT SAFE ARMED SAFE",
    "release by another": "FAULT! SAFE! ARMED! ENERGISED!",
    "disconnect": "FAULT SAFE ARMED SAFE",
    "disconnect of another": "FAULT SAFE ARMED ENERGISED",
    "arm": "FAULT! ARMED ARMED ENERGISED!",
    "enable": "FAULT! SAFE! ENERGISED ENERGISED",
    "enable by another": "FAULT! SAFE! ARMED! ENERGISED!",
    "enable what is not": "FAULT! SAFE! ARMED! ENERGISED!",
    "disable": "FAULT SAFE ARMED ARMED",
    "disable what is not": "FAULT! SAFE! ARMED! ENERGISED!",
    "stop": "FAULT SAFE SAFE SAFE",
    "reset": "SAFE SAFE ARMED ENERGISED",
}
# With anything unhealthy the state that follows is FAULT; these are refused then.
CLIMBING = {name for name in COMMANDS if name.startswith(("acquire", "arm", "enable", "reset"))}
REFUSED_UNHEALTHY = CLIMBING | {
    "renew by another",
    "release by another",
    "disable what is not",
}


def readings(now: float = NOW, on: bool = False, **changes) -> dict[str, Reading]:
    found = {
        "analog:0": Reading(25.0, now - 0.01),
        "digital:0": Reading(True, now - 0.01),
        "readback:ac": Reading(on, now - 0.01),
    }
    for name, reading in changes.items():
        source = name.replace("_", ":")
        if reading is None:
            del found[source]
        else:
            found[source] = reading
    return found


UNHEALTHY = {
    "tripped": {"analog_0": Reading(60.0, NOW)},
    "pressed": {"digital_0": Reading(False, NOW)},
    "stale": {"analog_0": Reading(25.0, NOW - 0.151)},
    "stale contact": {"digital_0": Reading(True, NOW - 0.151)},
    "from the future": {"analog_0": Reading(25.0, NOW + 0.151)},
    "missing": {"analog_0": None},
    "missing contact": {"digital_0": None},
    "NaN": {"analog_0": Reading(math.nan, NOW)},
    "infinite": {"analog_0": Reading(-math.inf, NOW)},
    "senseless": {"analog_0": Reading(None, NOW)},
    "a state for a level": {"analog_0": Reading(True, NOW)},
    "a level for a state": {"digital_0": Reading(1.0, NOW)},
    "a senseless state": {"digital_0": Reading(None, NOW)},
    "readback missing": {"readback_ac": None},
    "readback senseless": {"readback_ac": Reading(None, NOW)},
    "readback stale": {"readback_ac": Reading(False, NOW - 0.251)},
}


def tick(state: State, *requests, now: float = NOW, faults=None, **changes):
    given = readings(now, "amplifier" in state.on, **changes)
    return step(CONFIG, state, Inputs(given, requests, faults), now)


@pytest.mark.parametrize("mode", STATES, ids=str)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_every_state_when_healthy(mode, command):
    expected = HEALTHY[command].split()[list(STATES).index(mode)]
    request = COMMANDS[command]
    state, outputs, events = tick(STATES[mode], *([request] if request else []))
    assert state.mode == expected.removesuffix("!")
    if request is not None and not isinstance(request, Disconnect):
        (reply,) = outputs.replies
        assert (reply.client, reply.number) == (request.client, 7)
        assert bool(reply.refused) == expected.endswith("!")
    assert outputs.on == ({"amplifier"} if state.mode is Mode.ENERGISED else frozenset())
    moves = [(event.details["old"], event.details["new"]) for event in events if event.kind == "transition"]
    assert moves == ([(mode, state.mode)] if state.mode is not mode else [])


@pytest.mark.parametrize("mode", STATES, ids=str)
@pytest.mark.parametrize("health", [*UNHEALTHY, "device"])
def test_whatever_is_unhealthy_switches_off_in_the_same_tick_whatever_is_asked(mode, health):
    for command, request in COMMANDS.items():
        faults = {"surveillance": "the unit is unplugged"} if health == "device" else None
        requests = [request] if request else []
        state, outputs, events = tick(STATES[mode], *requests, faults=faults, **UNHEALTHY.get(health, {}))
        assert state.mode is Mode.FAULT, command
        assert outputs.on == state.on == frozenset(), command
        assert not outputs.permitted, command
        assert outputs.beat == STATES[mode].beat, command
        for reply in outputs.replies:
            assert bool(reply.refused) == (command in REFUSED_UNHEALTHY), command
        cause = STATES[mode].causes[0] if mode is Mode.FAULT else state.causes[0]
        assert state.causes[0] == cause, command
        if mode is not Mode.FAULT:
            moves = [event.details["new"] for event in events if event.kind == "transition"]
            assert moves == ["FAULT"], command
            assert state.off_reason == state.causes[0].text, command


def test_start_is_latched_and_only_a_reset_with_all_healthy_leads_on():
    state = start(NOW)
    assert (state.mode, state.causes[0].name, state.on) == (Mode.FAULT, "start", frozenset())
    state, outputs, _ = tick(state, Reset(1, 1), analog_0=None)
    assert state.mode is Mode.FAULT
    assert "no reading from analog:0" in outputs.replies[0].refused
    state, outputs, _ = tick(state, Reset(1, 1))
    assert (state.mode, state.causes, outputs.on) == (Mode.SAFE, (), frozenset())


def test_sources_that_have_not_answered_yet_are_no_cause_of_their_own_right_after_the_start():
    state, _, _ = tick(start(NOW), analog_0=None)
    assert [cause.name for cause in state.causes] == ["start"]
    late, _, _ = tick(state, now=NOW + 1.0, analog_0=None)
    assert [cause.name for cause in late.causes] == ["start", "coil"]
    tripped, _, _ = tick(state, analog_0=Reading(99.0, NOW))
    assert [cause.name for cause in tripped.causes] == ["start", "coil"]


def test_the_first_cause_is_kept_and_later_ones_are_recorded_once():
    state, _, events = tick(STATES[Mode.ENERGISED], digital_0=Reading(False, NOW))
    assert [cause.text for cause in state.causes] == ["emergency stop pressed"]
    assert [event.kind for event in events] == ["cause", "transition", "output"]
    later = NOW + 0.01
    state, _, _ = tick(state, now=later, digital_0=Reading(False, later), analog_0=Reading(61.0, later))
    state, _, events = tick(state, now=later, digital_0=Reading(False, later), analog_0=Reading(62.0, later))
    assert [cause.name for cause in state.causes] == ["estop", "coil"]
    assert "61 degC" in state.causes[1].text
    assert events == ()
    state, _, events = tick(state, now=later)
    assert [event.text for event in events] == ["coil is healthy again", "estop is healthy again"]
    assert [cause.name for cause in state.causes] == ["estop", "coil"]


def test_a_warning_is_told_once_and_changes_nothing():
    state, outputs, events = tick(STATES[Mode.ENERGISED], analog_0=Reading(50.0, NOW))
    assert (state.mode, outputs.on) == (Mode.ENERGISED, {"amplifier"})
    assert [event.kind for event in events] == ["interlock"]
    assert outputs.verdicts[0].warning
    assert "warning level of 50 degC" in outputs.verdicts[0].message
    _, _, events = tick(state, analog_0=Reading(51.0, NOW))
    assert events == ()


@pytest.mark.parametrize(
    ("value", "healthy", "warning"), [(59.99, True, True), (49.99, True, False), (60.0, False, False)]
)
def test_a_limit_trips_at_its_level_not_beyond_it(value, healthy, warning):
    _, outputs, _ = tick(STATES[Mode.SAFE], analog_0=Reading(value, NOW))
    assert (outputs.verdicts[0].healthy, outputs.verdicts[0].warning) == (healthy, warning)


@pytest.mark.parametrize(("value", "healthy"), [(2.01, True), (2.0, False), (0.0, False)])
def test_a_lower_limit_trips_below(value, healthy):
    flow = Limit("flow", "analog:0", "l/min", 2.0, 0.15, direction=Direction.BELOW, message="no coolant")
    config = replace(CONFIG, interlocks=(flow,), outputs=(Output("amplifier", "ac", ("flow",)),))
    _, outputs, _ = step(config, STATES[Mode.SAFE], Inputs(readings(analog_0=Reading(value, NOW))), NOW)
    assert outputs.verdicts[0].healthy == healthy
    if not healthy:
        assert outputs.verdicts[0].message.startswith("no coolant: flow is")


def test_a_reading_is_fresh_up_to_its_maximum_age():
    state, _, _ = tick(STATES[Mode.SAFE], now=NOW, analog_0=Reading(25.0, NOW - 0.1499))
    assert state.mode is Mode.SAFE


def test_an_age_of_exactly_the_maximum_is_fresh_enough_and_a_readback_may_take_exactly_its_time():
    # Numbers that binary fractions hold exactly.
    coil, amplifier = replace(TEMPERATURE, max_age=0.125), replace(CONFIG.outputs[0], readback_within=0.25)
    config = replace(CONFIG, interlocks=(coil, STOP_CHAIN), outputs=(amplifier,))
    found = readings(analog_0=Reading(25.0, NOW - 0.125), readback_ac=Reading(True, NOW))
    state, _, _ = step(config, replace(STATES[Mode.SAFE], started=NOW - 0.25), Inputs(found), NOW)
    assert state.mode is Mode.SAFE
    state, _, _ = step(config, replace(STATES[Mode.SAFE], started=NOW - 0.26), Inputs(found), NOW)
    assert state.mode is Mode.FAULT


def test_an_unexplained_contact_is_explained():
    config = replace(CONFIG, interlocks=(TEMPERATURE, replace(STOP_CHAIN, message="")))
    state, _, _ = step(config, STATES[Mode.SAFE], Inputs(readings(digital_0=Reading(False, NOW))), NOW)
    assert state.causes[0].text == "estop reads 0, healthy is 1"


# --- readback ---


@pytest.mark.parametrize("on", [True, False])
def test_an_output_that_does_not_follow_its_command_is_a_fault(on):
    before = replace(STATES[Mode.ENERGISED if on else Mode.ARMED], started=NOW - 0.24)
    wrong = Reading(not on, NOW)
    state, _, _ = tick(before, readback_ac=wrong)
    assert state.mode is before.mode, "it has 250 ms to follow"
    state, _, _ = tick(replace(before, started=NOW - 0.26), readback_ac=wrong)
    assert state.mode is Mode.FAULT
    said = "is off although it is commanded on" if on else "is on although it is commanded off"
    assert said in state.causes[0].text


# --- the lease ---


def test_silence_ends_the_lease_and_what_it_kept_on_in_the_same_tick():
    state = replace(STATES[Mode.ENERGISED], lease=replace(LEASE, expires=NOW))
    state, outputs, events = tick(state)
    assert (state.mode, state.lease, outputs.on) == (Mode.SAFE, None, frozenset())
    assert "silent for longer than 500 ms" in state.off_reason
    assert [event.kind for event in events] == ["lease", "transition", "output"]


def test_a_renewal_that_comes_too_late_is_refused():
    state = replace(STATES[Mode.ENERGISED], lease=replace(LEASE, expires=NOW))
    state, outputs, _ = tick(state, RenewLease(HOLDER, 1))
    assert state.mode is Mode.SAFE
    assert "has ended" in outputs.replies[0].refused


def test_a_renewal_prolongs_the_lease_by_its_own_duration():
    state, _, _ = tick(replace(STATES[Mode.SAFE], lease=replace(LEASE, duration=0.2)), RenewLease(HOLDER, 1))
    assert state.lease.expires == NOW + 0.2


def test_the_lease_is_granted_once():
    free = replace(STATES[Mode.SAFE], lease=None)
    state, outputs, _ = tick(free, AcquireLease(1, 1, "first"), AcquireLease(2, 2, "second"))
    assert state.lease == Lease(1, "first", 0.5, NOW + 0.5)
    assert [reply.refused for reply in outputs.replies] == [
        None,
        "the lease is held by 'first'; there is one at a time",
    ]
    _, outputs, _ = tick(state, AcquireLease(1, 3, "first"))
    assert "already holds" in outputs.replies[0].refused


@pytest.mark.parametrize(
    ("duration", "granted"), [(0.02, True), (0.5, True), (0.0199, False), (0.501, False)]
)
def test_a_lease_is_two_ticks_at_least_and_the_configured_one_at_most(duration, granted):
    state, outputs, _ = tick(replace(STATES[Mode.SAFE], lease=None), AcquireLease(1, 1, "x", duration))
    assert (state.lease is not None) == granted
    assert (outputs.replies[0].refused is None) == granted


@pytest.mark.parametrize("duration", [math.nan, math.inf, -1.0])
def test_a_senseless_duration_is_refused(duration):
    state, _, _ = tick(replace(STATES[Mode.SAFE], lease=None), AcquireLease(1, 1, "x", duration))
    assert state.lease is None


def test_a_connection_that_has_closed_gets_no_lease_whatever_the_order():
    free = replace(STATES[Mode.ARMED], lease=None)
    state, outputs, _ = tick(free, AcquireLease(3, 1, "ghost"), Enable(3, 2, "amplifier"), Disconnect(3, 3))
    assert (state.lease, outputs.on) == (None, frozenset())
    assert [reply.refused for reply in outputs.replies] == ["the connection has closed"] * 2


def test_a_stop_is_honoured_even_from_a_connection_that_has_closed():
    state, outputs, _ = tick(STATES[Mode.ENERGISED], Stop(9, 1, "bye"), Disconnect(9, 2))
    assert (state.mode, state.off_reason) == (Mode.SAFE, "stopped: bye")
    assert outputs.replies[0].refused is None


# --- precedence within a tick ---


@pytest.mark.parametrize("order", [1, -1])
def test_a_stop_wins_over_every_command_of_the_same_tick(order):
    climbing = [Reset(2, 1), Arm(2, 2), Enable(HOLDER, 3, "amplifier"), Stop(5, 4, "no")][::order]
    for mode, state in STATES.items():
        after, outputs, _ = tick(state, *climbing)
        assert after.mode is (Mode.FAULT if mode is Mode.FAULT else Mode.SAFE)
        assert not outputs.permitted
        assert sorted(reply.number for reply in outputs.replies if reply.refused) == [1, 2, 3]


def test_a_tick_climbs_one_step_at_most():
    steps = [Reset(2, 1), Arm(2, 2), Enable(HOLDER, 3, "amplifier")]
    for mode, expected in [(Mode.FAULT, Mode.SAFE), (Mode.SAFE, Mode.ARMED), (Mode.ARMED, Mode.ENERGISED)]:
        after, _, _ = tick(STATES[mode], *steps)
        assert after.mode is expected


def test_switching_is_recorded_with_what_and_which_way():
    _, _, events = tick(STATES[Mode.ARMED], Enable(HOLDER, 1, "amplifier"))
    assert [(event.kind, event.text, event.details) for event in events[1:]] == [
        ("output", "amplifier on", {"output": "amplifier", "on": True})
    ]
    _, _, events = tick(STATES[Mode.ENERGISED], Disable(OTHER, 1, "amplifier"))
    assert [(event.kind, event.text, event.details) for event in events[1:]] == [
        ("output", "amplifier off", {"output": "amplifier", "on": False})
    ]


def test_who_has_the_lease_is_told_to_those_who_have_it_not():
    _, outputs, _ = tick(STATES[Mode.ARMED], Enable(OTHER, 1, "amplifier"))
    assert outputs.replies[0].refused == "this connection holds no lease; 'a scan' has it"
    _, outputs, _ = tick(replace(STATES[Mode.ARMED], lease=None), Enable(OTHER, 1, "amplifier"))
    assert outputs.replies[0].refused == "this connection holds no lease, or it has ended; acquire one first"


def test_switching_on_what_is_on_and_off_what_is_off_changes_nothing():
    state, _, events = tick(STATES[Mode.ENERGISED], Enable(HOLDER, 1, "amplifier"))
    assert (state.switched, events) == ({}, ())
    state, _, events = tick(STATES[Mode.ARMED], Disable(HOLDER, 1, "amplifier"))
    assert events == ()


def test_one_of_two_outputs_goes_off_alone_and_the_last_one_disarms_to_armed():
    heater = Output("heater", "relay", ("coil",))
    config = replace(CONFIG, outputs=(*CONFIG.outputs, heater))
    names = frozenset({"amplifier", "heater"})
    both = replace(STATES[Mode.ENERGISED], on=names, wanted=names)
    given = {**readings(on=True), "readback:relay": Reading(True, NOW)}
    state, outputs, _ = step(config, both, Inputs(given, (Disable(1, 1, "heater"),)), NOW)
    assert (state.mode, outputs.on, state.off_reason) == (Mode.ENERGISED, {"amplifier"}, "")
    state, outputs, _ = step(config, state, Inputs(given, (Disable(1, 1, "amplifier"),)), NOW)
    assert (state.mode, outputs.on) == (Mode.ARMED, frozenset())


# --- the heartbeat ---


@pytest.mark.parametrize(
    ("mode", "toggles"),
    [(Mode.FAULT, False), (Mode.SAFE, False), (Mode.ARMED, True), (Mode.ENERGISED, True)],
)
@pytest.mark.parametrize("level", [True, False])
def test_the_heartbeat_toggles_exactly_while_outputs_are_permitted(mode, toggles, level):
    state, outputs, _ = tick(replace(STATES[mode], beat=level))
    assert (outputs.beat != level) == toggles == outputs.permitted
    assert state.beat == outputs.beat
