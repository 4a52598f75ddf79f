"""Bypasses: they need permission of the instrument, expire, are recorded, and cover nothing but their interlock."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from core_bench import COIL, ESTOP, HOLDER, Bench, instrument

from nixel.safety.core.model import (
    Arm,
    Bypass,
    Bypassed,
    Disconnect,
    Enable,
    EndBypass,
    Mode,
    Output,
    Reset,
    Stop,
)

OTHER = 2


def bypass(name, duration=1.0, client=OTHER):
    return Bypass(client, 7, name, duration, "anna", "the probe is out")


@pytest.fixture
def bench():
    return Bench().reset()


@pytest.fixture
def hot():
    """An instrument whose coil is hot, which is bypassed for a second, reset with that."""
    made = Bench().reset()
    made.values["analog:0"] = 70.0
    made.tick()
    assert made.ask(bypass("coil")) is None
    made.tick(Reset(OTHER, 1))
    assert made.state.mode is Mode.SAFE
    return made


def test_a_bypassed_interlock_forbids_nothing_and_still_says_what_it_finds(hot):
    verdict = hot.verdict("coil")
    assert (verdict.healthy, verdict.bypassed, verdict.permits) == (False, True, True)
    assert verdict.message == "coil is 70 degC, at or above its limit of 60 degC"
    hot.tick(Arm(HOLDER, 1))
    hot.tick(Enable(HOLDER, 1, "amplifier"))
    assert (hot.outputs.on, hot.state.mode) == ({"amplifier"}, Mode.ENERGISED)


def test_a_reset_of_the_same_tick_does_not_see_the_bypass_yet(bench):
    bench.tick(analog_0=70.0)
    bench.values["analog:0"] = 70.0
    bench.tick(bypass("coil"), Reset(OTHER, 8))
    assert bench.state.mode is Mode.FAULT
    assert bench.outputs.replies[-1].refused == (
        "cannot reset: coil is 70 degC, at or above its limit of 60 degC"
    )


@pytest.mark.parametrize("broken", [math.nan, "missing", None, -math.inf])
def test_a_bypass_covers_a_sensor_that_is_missing_or_broken(hot, broken):
    hot.values["analog:0"] = broken
    hot.tick()
    assert hot.state.mode is Mode.SAFE


def test_a_bypass_expires_and_what_it_covered_trips_in_that_tick(hot):
    hot.tick(Arm(HOLDER, 1))
    hot.tick(Enable(HOLDER, 1, "amplifier"))
    expires = hot.state.bypasses["coil"].expires
    while hot.now + 1 / 64 < expires:
        hot.tick()
        assert hot.outputs.on
    hot.tick()
    assert hot.now == expires
    assert (hot.state.mode, hot.outputs.on, hot.state.bypasses) == (Mode.FAULT, frozenset(), {})
    assert hot.state.causes[0].name == "coil"
    assert hot.texts("bypass")[-1] == "the bypass of coil ended: its time is over"


def test_a_bypass_is_recorded_with_who_why_and_how_long(bench):
    bench.ask(bypass("coil", 1.5))
    assert bench.state.bypasses == {"coil": Bypassed(bench.now + 1.5, "anna", "the probe is out")}
    event = bench.events[-1]
    assert (event.kind, event.text) == ("bypass", "coil is bypassed for 1.5 s by anna: the probe is out")
    assert event.details == {"name": "coil", "bypassed": True, "duration": 1.5, "by": "anna"}
    bench.ask(EndBypass(OTHER, 7, "coil"))
    event = bench.events[-1]
    assert (event.kind, event.text) == ("bypass", "the bypass of coil ended: it was asked to end")
    assert event.details == {"name": "coil", "bypassed": False}


def test_what_a_bypass_covers_is_recorded_once(bench):
    bench.ask(bypass("coil"))
    for _ in range(3):
        bench.tick(analog_0=70.0)
    found = [event for event in bench.events if event.text.startswith("bypassed")]
    assert [(event.kind, event.text, event.details) for event in found] == [
        ("interlock", "bypassed: coil is 70 degC, at or above its limit of 60 degC", {"name": "coil"})
    ]
    bench.tick()
    assert bench.events[-1].text == "coil is healthy again"


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("estop", "estop may never be bypassed on this instrument"),
        ("lid", "there is no interlock 'lid'; those that may be bypassed: coil, door"),
        (
            "amplifier readback",
            "there is no interlock 'amplifier readback'; those that may be bypassed: coil, door",
        ),
        ("amplifier on-time", None),
        ("surveillance", None),
        ("start", None),
    ],
)
def test_only_an_interlock_that_allows_it_can_be_bypassed(bench, name, refused):
    bench.faults = {"surveillance": "unplugged"}
    found = bench.ask(bypass(name))
    assert found == refused if refused else found.startswith(f"there is no interlock {name!r}")
    assert bench.state.bypasses == {}


def test_where_nothing_may_be_bypassed_that_is_said():
    bench = Bench(instrument(Output("amplifier", "ac", ("estop",)), interlocks=(ESTOP,))).reset()
    assert bench.ask(bypass("coil")) == "there is no interlock 'coil'; those that may be bypassed: none"


def test_the_emergency_stop_is_not_covered_even_by_a_state_that_says_so(bench):
    bench.state = replace(bench.state, bypasses={"estop": Bypassed(1e9, "x", "y")})
    bench.tick(digital_0=False)
    assert bench.state.mode is Mode.FAULT
    assert bench.state.causes[0].text == "emergency stop pressed"
    assert not bench.verdict("estop").bypassed


def test_a_state_that_says_so_covers_no_readback_on_time_or_device(bench):
    names = ("amplifier readback", "amplifier on-time", "surveillance")
    covered = {name: Bypassed(1e9, "x", "y") for name in names}
    for break_it in (
        lambda: bench.reports.update({"readback:ac": "missing"}),
        lambda: bench.faults.update(surveillance="unplugged"),
    ):
        bench.faults, bench.reports = {}, {}
        bench.reset()
        bench.state = replace(bench.state, bypasses=covered)
        break_it()
        bench.tick()
        assert bench.state.mode is Mode.FAULT


@pytest.mark.parametrize(
    ("duration", "allowed"),
    [
        (2.0, True),
        (1e-9, True),
        (2.1, False),
        (0.0, False),
        (-1.0, False),
        (math.nan, False),
        (math.inf, False),
    ],
)
def test_a_bypass_lasts_no_longer_than_its_interlock_allows(bench, duration, allowed):
    refused = bench.ask(bypass("coil", duration))
    assert (refused is None) == allowed
    assert bool(bench.state.bypasses) == allowed
    if not allowed:
        assert refused == f"coil may be bypassed for up to 2 s, not for {duration:g} s"


@pytest.mark.parametrize("energised", [False, True])
def test_nothing_is_bypassed_while_outputs_are_permitted(energised):
    bench = Bench().armed()
    if energised:
        bench.tick(Enable(HOLDER, 1, "amplifier"))
    mode = bench.state.mode
    assert bench.ask(bypass("coil")) == f"the state is {mode}; stop, then bypass"
    assert (bench.state.mode, bench.state.bypasses) == (mode, {})


def test_an_armed_instrument_keeps_a_bypass_and_cannot_get_one_by_arming_first(bench):
    bench.ask(bypass("coil"))
    bench.tick(Arm(HOLDER, 1), bypass("door"))
    assert bench.outputs.replies[-1].refused == "the state is ARMED; stop, then bypass"
    assert list(bench.state.bypasses) == ["coil"]


def test_a_bypass_can_be_ended_by_anyone_and_what_it_covered_trips_in_that_tick(hot):
    hot.tick(Arm(HOLDER, 1))
    hot.tick(Enable(HOLDER, 1, "amplifier"))
    assert hot.ask(EndBypass(3, 7, "coil")) is None
    assert (hot.state.mode, hot.outputs.on, hot.state.bypasses) == (Mode.FAULT, frozenset(), {})


def test_ending_what_is_not_bypassed_is_refused(bench):
    assert bench.ask(EndBypass(OTHER, 7, "coil")) == "'coil' is not bypassed"
    assert bench.texts("bypass") == []


def test_bypassing_and_ending_in_one_tick_leaves_nothing(bench):
    bench.tick(bypass("coil"), EndBypass(OTHER, 8, "coil"))
    assert bench.state.bypasses == {}
    assert [reply.refused for reply in bench.outputs.replies if reply.number] == [None, None]
    assert bench.texts("bypass")[-1] == "the bypass of coil ended: it was asked to end"


def test_ending_and_bypassing_in_one_tick_leaves_the_new_one(bench):
    bench.ask(bypass("coil", 1.0))
    bench.tick(EndBypass(OTHER, 7, "coil"), bypass("coil", 2.0))
    assert bench.state.bypasses["coil"].expires == bench.now + 2.0


def test_a_bypass_can_be_prolonged_while_nothing_can_be_on(bench):
    bench.ask(bypass("coil", 1.0))
    bench.ask(bypass("coil", 2.0))
    assert bench.state.bypasses["coil"].expires == bench.now + 2.0


def test_the_end_of_one_bypass_leaves_the_others(bench):
    bench.ask(bypass("coil"))
    bench.ask(bypass("door"))
    bench.ask(EndBypass(OTHER, 7, "coil"))
    assert list(bench.state.bypasses) == ["door"]


def test_any_fault_ends_every_bypass(bench):
    bench.ask(bypass("door"))
    bench.ask(bypass("coil"))
    bench.tick(digital_0=False)
    assert bench.state.bypasses == {}
    assert bench.texts("bypass")[-2:] == [
        "the bypass of coil ended: estop tripped",
        "the bypass of door ended: estop tripped",
    ]


def test_a_further_fault_ends_every_bypass_of_a_latched_one(bench):
    bench.tick(analog_0=70.0)
    bench.ask(bypass("coil"))
    bench.tick(digital_0=False)
    assert bench.state.bypasses == {}


def test_a_stop_ends_every_bypass_and_wins_over_a_new_one(bench):
    bench.ask(bypass("coil"))
    bench.tick(bypass("door"), Stop(OTHER, 8, "no"))
    assert bench.state.bypasses == {}
    assert bench.outputs.replies[1].refused == "a stop was asked for in the same moment; it wins"
    assert bench.texts("bypass")[-1] == "the bypass of coil ended: stopped: no"


def test_a_connection_that_has_closed_neither_bypasses_nor_ends_a_bypass(bench):
    bench.tick(bypass("coil"), Disconnect(OTHER, 0))
    assert bench.state.bypasses == {}
    bench.ask(bypass("coil"))
    bench.tick(EndBypass(OTHER, 7, "coil"), Disconnect(OTHER, 0))
    assert list(bench.state.bypasses) == ["coil"]
    bench.tick(EndBypass(3, 7, "door"), EndBypass(3, 8, "coil"))
    assert bench.state.bypasses == {}


def test_a_restart_forgets_every_bypass(bench):
    bench.ask(bypass("coil"))
    again = Bench(bench.config)
    assert again.state.bypasses == {}


def test_a_reset_does_not_end_a_bypass_and_a_bypass_is_none_without_a_clock_that_goes_on(hot):
    assert list(hot.state.bypasses) == ["coil"]
    hot.tick(after=-0.25)
    assert hot.state.bypasses == {}
    assert hot.state.mode is Mode.FAULT


def test_an_interlock_that_is_no_longer_there_is_not_bypassed_by_an_old_state():
    output = Output("amplifier", "ac", ("coil", "estop"))
    bench = Bench(instrument(output, interlocks=(COIL, ESTOP))).reset()
    bench.state = replace(bench.state, bypasses={"door": Bypassed(1e9, "x", "y")})
    bench.tick()
    assert bench.state.mode is Mode.SAFE
