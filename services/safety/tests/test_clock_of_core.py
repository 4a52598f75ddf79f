"""A clock that goes back is a fault: every time limit would otherwise have outlived itself."""

from __future__ import annotations

import math

import pytest
from core_bench import HOLDER, Bench

from nixel.safety.core.model import Enable, Mode, Reset


def energised():
    bench = Bench().armed()
    bench.tick(Enable(HOLDER, 1, "amplifier"))
    assert bench.outputs.on
    return bench


@pytest.mark.parametrize("to", [-1e-9, -1.0, -1e6, math.nan])
def test_a_clock_that_goes_back_switches_off_in_that_tick(to):
    bench = energised()
    before = bench.now
    bench.tick(after=to)
    assert (bench.outputs.on, bench.state.mode) == (frozenset(), Mode.FAULT)
    verdict = bench.verdict("clock")
    assert (verdict.kind, verdict.healthy) == ("device", False)
    assert verdict.message == (
        f"the clock went back from {before:g} s to {before + to:g} s; restart the safety daemon"
    )


def test_it_stays_a_fault_until_the_clock_has_caught_up():
    bench = energised()
    before = bench.now
    bench.tick(after=-0.5)
    while bench.now < before:
        refused = bench.ask(Reset(HOLDER, 1))
        assert (bench.state.mode is Mode.FAULT) == (bench.now < before)
    assert refused is None


def test_a_time_that_is_none_is_forgotten_when_the_clock_goes_on():
    bench = energised()
    before = bench.now
    bench.tick(after=math.nan)
    bench.now = before
    bench.tick(Reset(HOLDER, 1))
    assert bench.state.mode is Mode.SAFE


def test_a_clock_that_stands_still_between_two_ticks_is_no_fault():
    bench = energised()
    bench.tick(after=0.0)
    assert bench.outputs.on


def test_the_first_tick_comes_after_the_start():
    bench = Bench()
    bench.tick(after=-1.0)
    assert [cause.name for cause in bench.state.causes] == ["start", "clock"]
    bench = Bench()
    bench.tick(after=0.0)
    assert [cause.name for cause in bench.state.causes] == ["start"]


def test_one_that_goes_back_twice_has_to_catch_up_with_the_start():
    bench = Bench()
    for after, back in [(-1.0, True), (-1.0, True), (1.0, True), (1.0, False)]:
        bench.tick(after=after)
        assert ("clock" in [verdict.name for verdict in bench.outputs.verdicts]) is back, bench.now
