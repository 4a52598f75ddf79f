"""The longest time that an output may be on, and its duty."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from core_bench import AMPLIFIER, HOLDER, Bench, instrument

from nixel.safety.core.interlocks import judge_on_time, use
from nixel.safety.core.model import Arm, Disable, Enable, Mode, Output, Reset, State
from nixel.safety.core.step import start

LASER = replace(AMPLIFIER, name="laser", on_time=0.5)
ON = Enable(HOLDER, 1, "laser")
OFF = Disable(HOLDER, 1, "laser")
SPENT = "laser has been on for as long as it may; give it a rest"


def lit(output=LASER):
    bench = Bench(instrument(output)).armed()
    bench.tick(ON)
    assert bench.outputs.on == {"laser"}
    return bench


def test_an_output_is_switched_off_when_its_longest_time_is_over_and_that_is_a_fault():
    bench = lit()
    since = bench.now
    while bench.outputs.on:
        bench.tick()
    assert bench.now - since == 0.5
    assert bench.state.mode is Mode.FAULT
    (cause,) = bench.state.causes
    assert (cause.name, cause.text) == ("laser on-time", "laser has been on for as long as it may (0.5 s)")


def test_the_on_time_is_shown():
    bench = lit()
    bench.ticks(16)
    verdict = bench.verdict("laser on-time")
    assert (verdict.kind, verdict.healthy, verdict.value, verdict.unit) == ("on-time", True, 0.25, "s")
    assert (verdict.message, verdict.gap) == ("", False)


def test_an_output_without_a_longest_time_stays_on_and_has_no_such_verdict():
    bench = lit(replace(LASER, on_time=None))
    bench.ticks(200)
    assert bench.outputs.on == {"laser"}
    assert [verdict.name for verdict in bench.outputs.verdicts] == ["coil", "door", "estop", "laser readback"]
    assert bench.state.used == {}


def test_without_a_duty_a_moment_off_gives_it_all_back():
    bench = lit()
    bench.ticks(20)
    bench.tick(OFF)
    bench.tick()
    assert bench.state.used == {"laser": 0.0}
    bench.tick(ON)
    bench.ticks(31)
    assert bench.outputs.on == {"laser"}
    bench.tick()
    assert not bench.outputs.on


def test_off_gives_back_what_the_duty_says():
    bench = lit(replace(LASER, duty=0.25))
    bench.ticks(20)
    bench.tick(OFF)
    assert bench.state.used["laser"] == 21 / 64
    bench.ticks(30)
    assert bench.state.used["laser"] == pytest.approx(11 / 64)
    bench.ticks(60)
    assert bench.state.used["laser"] == 0.0


def test_a_spent_output_can_be_reset_but_not_enabled_until_it_has_rested():
    bench = lit(replace(LASER, duty=0.5))
    bench.ticks(40)
    assert bench.state.mode is Mode.FAULT
    bench.state = replace(bench.state, used={"laser": 0.75})
    bench.reset()
    bench.tick(Arm(HOLDER, 1))
    assert bench.ask(ON) == SPENT
    assert not bench.outputs.on
    while bench.state.used["laser"] - 1 / 64 >= 0.5:
        bench.tick()
        assert bench.state.used["laser"] >= 0.5
    assert bench.ask(replace(ON)) is None
    assert bench.state.used["laser"] < 0.5


def test_the_limit_is_reached_exactly_and_a_spent_output_is_one_that_is_off_with_it():
    assert not judge_on_time(LASER, 0.5, True, 0.5).healthy
    assert judge_on_time(LASER, 0.5, True, 0.499).healthy
    assert judge_on_time(LASER, 0.5, False, 0.5).healthy
    bench = Bench(instrument(replace(LASER, duty=0.5))).armed()
    bench.state = replace(bench.state, used={"laser": 0.5 + 1 / 64})
    assert bench.ask(ON) == SPENT
    assert bench.state.used == {"laser": 0.5}
    bench.state = replace(bench.state, used={"laser": 0.499})
    assert bench.ask(ON) is None


def test_what_is_on_already_may_be_enabled_although_little_is_left():
    bench = lit()
    bench.ticks(30)
    assert bench.ask(ON) is None


def test_an_output_that_needs_a_spent_one_cannot_be_enabled_either():
    pump = Output("pump", "gpio:1", ("coil",), on_time=0.5, duty=0.5)
    lamp = Output("lamp", "gpio:3", ("coil",), on_time=0.5, duty=0.5)
    laser = Output("laser", "gpio:2", ("coil",), after=("pump", "lamp"))
    bench = Bench(instrument(pump, lamp, laser)).armed()
    bench.state = replace(bench.state, used={"pump": 0.75, "lamp": 0.75})
    assert bench.ask(ON) == "pump, lamp has been on for as long as it may; give it a rest"
    bench.state = replace(bench.state, used={"pump": 0.75, "lamp": 0.0})
    assert bench.ask(ON).startswith("pump has been on")
    assert bench.state.wanted == frozenset()


@pytest.mark.parametrize("duty", [0.25, 0.5])
def test_in_any_stretch_it_is_on_for_no_longer_than_promised(duty):
    """A client that wants it on whenever it can: on for as long as it may, off for the least that lets it on again."""
    bench = Bench(instrument(replace(LASER, duty=duty))).armed()
    history = []
    for _ in range(64 * 12):
        if bench.state.mode is Mode.FAULT:
            bench.tick(Reset(HOLDER, 1))
        elif bench.state.mode is Mode.SAFE:
            bench.tick(Arm(HOLDER, 1))
        elif not bench.state.on:
            bench.tick(ON)
        else:
            bench.tick()
        history.append(bool(bench.outputs.on))
    total = list(itertools.accumulate(history, initial=0))
    assert total[-1] > 64, "it must have been on for a good while"
    for length in range(1, len(history) + 1, 7):
        most = max(total[end] - total[end - length] for end in range(length, len(total)))
        assert most / 64 <= duty * length / 64 + (1 - duty) * 0.5 + 1 / 64 + 1e-9


def test_a_clock_that_goes_back_gives_nothing_back_and_takes_nothing():
    made = instrument(replace(LASER, duty=0.5))
    for on in (frozenset({"laser"}), frozenset()):
        state = State(Mode.SAFE, on=on, ticked=10.0, used={"laser": 0.25})
        assert use(made, state, 9.0) == {"laser": 0.25}


def test_nothing_is_used_before_the_first_tick():
    assert use(instrument(LASER), start(5.0), 9.0) == {"laser": 0.0}
    assert use(instrument(LASER), State(Mode.ENERGISED, on=frozenset({"laser"})), 9.0) == {"laser": 0.0}


def test_each_output_has_its_own_account():
    other = Output("lamp", "gpio:1", ("coil",))
    third = Output("flash", "gpio:2", ("coil",), on_time=9.0)
    state = State(Mode.ENERGISED, on=frozenset({"laser", "lamp", "flash"}), ticked=1.0, used={"laser": 0.25})
    assert use(instrument(other, LASER, third), state, 1.125) == {"laser": 0.375, "flash": 0.125}
