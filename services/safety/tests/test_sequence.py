"""The order in which outputs go on and off: start-up by what must report first, teardown in reverse, and its end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core_bench import HOLDER, Bench, instrument

from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Cause,
    Disable,
    Enable,
    Mode,
    Output,
    Reading,
    ReleaseLease,
    Reset,
    State,
    Stop,
)

GATES = ("coil", "door", "estop")
MAINS = Output("mains", "gpio:0", GATES)
HEATING = Output("heating-off", "gpio:1", GATES, after=("mains",))
AMPLIFIER = Output("amplifier", "gpio:2", GATES, after=("mains", "heating-off"), settle=0.25)
TRANSMIT = Output("transmit", "gpio:3", GATES, after=("amplifier",))
SCANNER = instrument(MAINS, HEATING, AMPLIFIER, TRANSMIT)
ALL = ["mains", "heating-off", "amplifier", "transmit"]
ON, OFF = Enable(HOLDER, 1, "transmit"), Disable(HOLDER, 1, "mains")


def steps(bench, count=80):
    """Tick on and give the outputs in the order in which they were switched."""
    found = []
    for _ in range(count):
        before = bench.state.on
        bench.tick()
        found += [sorted(before ^ bench.state.on)] if before != bench.state.on else []
    return found


def climbed():
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    bench.ticks(40)
    assert bench.state.on == set(ALL)
    return bench


def test_the_last_output_brings_up_what_it_needs_one_by_one_in_order():
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    assert (bench.state.on, bench.state.mode) == ({"mains"}, Mode.ENERGISED)
    assert bench.state.wanted == set(ALL)
    assert steps(bench) == [["heating-off"], ["amplifier"], ["transmit"]]


def test_an_output_brings_up_what_it_needs_and_nothing_else():
    bench = Bench(SCANNER).armed()
    bench.tick(replace(ON, output="heating-off"))
    steps(bench)
    assert bench.state.on == {"mains", "heating-off"}
    bench.tick(ON)
    steps(bench)
    assert bench.state.on == set(ALL)


def test_an_output_that_settles_holds_up_what_comes_after_it():
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    while "amplifier" not in bench.state.on:
        bench.tick()
    since = bench.now
    while "transmit" not in bench.state.on:
        bench.tick()
    assert bench.now - since == 0.25


def test_an_output_waits_until_those_before_it_report_that_they_are_on():
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    bench.reports = {"readback:gpio:0": False}
    bench.ticks(10)
    assert bench.state.on == {"mains"}
    bench.reports = {}
    bench.tick()
    assert bench.state.on == {"mains", "heating-off"}


def test_a_report_of_before_the_command_or_of_its_very_moment_is_no_answer():
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    commanded = bench.now
    for time in (commanded - 0.01, commanded):
        bench.reports = {"readback:gpio:0": Reading(True, time)}
        bench.tick()
        assert bench.state.on == {"mains"}
    bench.reports = {"readback:gpio:0": Reading(True, commanded + 0.001)}
    bench.tick()
    assert bench.state.on == {"mains", "heating-off"}


def test_an_output_that_never_reports_ends_the_start_up_with_everything_off():
    bench = Bench(SCANNER).armed()
    bench.reports = {"readback:gpio:1": False}
    bench.tick(ON)
    bench.tick()
    assert bench.state.on == {"mains", "heating-off"}
    bench.ticks(16)
    assert bench.state.on == {"mains", "heating-off"}
    bench.tick()
    assert (bench.state.mode, bench.outputs.on, bench.state.wanted) == (Mode.FAULT, frozenset(), frozenset())
    assert bench.state.causes[0].text == ("heating-off reports that it is off although it is commanded on")
    assert bench.state.causes[0].name == "heating-off readback"


def test_outputs_go_off_in_reverse_each_when_those_after_it_report_that_they_are_off():
    bench = climbed()
    bench.tick(OFF)
    assert (bench.state.wanted, bench.state.on) == (frozenset(), {"mains", "heating-off", "amplifier"})
    assert bench.state.mode is Mode.ENERGISED
    assert steps(bench) == [["amplifier"], ["heating-off"], ["mains"]]
    assert (bench.state.mode, bench.state.off_reason) == (Mode.ARMED, "mains was disabled")


def test_disabling_an_output_in_the_middle_takes_off_what_needs_it_and_keeps_the_rest():
    bench = climbed()
    bench.tick(replace(OFF, output="amplifier"))
    assert bench.state.on == {"mains", "heating-off", "amplifier"}
    assert steps(bench) == [["amplifier"]]
    assert (bench.state.on, bench.state.wanted) == ({"mains", "heating-off"}, {"mains", "heating-off"})
    assert (bench.state.mode, bench.state.off_reason) == (Mode.ENERGISED, "")


@pytest.mark.parametrize("report", ["missing", None, True, "old"])
def test_a_teardown_whose_report_never_comes_ends_with_everything_off_all_the_same(report):
    bench = climbed()
    bench.reports = {"readback:gpio:3": Reading(False, bench.now) if report == "old" else report}
    bench.tick(OFF)
    since = bench.now
    while bench.state.on:
        bench.tick()
        assert "transmit" not in bench.state.on
        assert bench.now - since < 0.3
    assert (bench.state.mode, bench.outputs.on) == (Mode.FAULT, frozenset())


@pytest.mark.parametrize("when", range(0, 24, 3))
@pytest.mark.parametrize("what", ["fault", "stop", "release", "silence", "device"])
def test_a_fault_a_stop_and_a_lost_lease_switch_everything_off_at_once_at_any_step(what, when):
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    bench.ticks(when)
    if what == "fault":
        bench.tick(digital_1=False)
    elif what == "stop":
        bench.tick(Stop(2, 1, "smoke"))
    elif what == "release":
        bench.tick(ReleaseLease(HOLDER, 1))
    elif what == "device":
        bench.faults = {"gpio": "unplugged"}
        bench.tick()
    else:
        bench.renew = False
        bench.tick(after=0.125)
        for _ in range(7):
            assert bench.outputs.on
            bench.tick(after=0.125)
    assert (bench.outputs.on, bench.state.on, bench.state.wanted) == (frozenset(),) * 3
    assert bench.state.mode is (Mode.FAULT if what in {"fault", "device"} else Mode.SAFE)
    bench.faults = {}
    bench.ticks(20)
    assert bench.state.on == frozenset()


def test_after_a_fault_nothing_of_the_start_up_goes_on():
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    bench.tick(digital_1=False)
    bench.reset()
    bench.tick(Arm(HOLDER, 1))
    bench.ticks(20)
    assert (bench.state.on, bench.state.mode) == (frozenset(), Mode.ARMED)


def test_a_change_of_mind_during_the_start_up_goes_back_down():
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    bench.tick()
    bench.tick(OFF)
    assert steps(bench)[-1] == ["mains"]
    assert bench.state.mode is Mode.ARMED


def test_a_change_of_mind_during_the_teardown_goes_up_again():
    bench = climbed()
    bench.tick(OFF)
    bench.tick(ON)
    assert "mains" in bench.state.on
    steps(bench)
    assert bench.state.on == set(ALL)


def test_outputs_without_an_order_go_on_and_off_together():
    bench = Bench(instrument(MAINS, Output("light", "gpio:9", GATES))).armed()
    bench.tick(replace(ON, output="mains"), replace(ON, output="light"))
    assert bench.state.on == {"mains", "light"}
    bench.tick(OFF, replace(OFF, output="light"))
    assert (bench.state.on, bench.state.off_reason) == (frozenset(), "light, mains was disabled")


def test_an_output_that_was_not_on_when_it_was_disabled_keeps_no_report_waiting():
    bench = Bench(SCANNER).armed()
    bench.tick(replace(ON, output="mains"))
    bench.tick(OFF)
    bench.ticks(2)
    assert bench.state.on == frozenset()


def test_why_an_output_went_on_is_told():
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    assert bench.texts("transition")[-1] == "ARMED -> ENERGISED: transmit was enabled by 'a scan'"
    event = next(event for event in bench.events if event.text.startswith("ARMED -> ENERGISED"))
    assert event.details == {
        "old": "ARMED",
        "new": "ENERGISED",
        "reason": "transmit was enabled by 'a scan'",
    }
    assert bench.texts("output") == ["mains on"]


def test_each_output_remembers_when_it_was_switched():
    bench = Bench(SCANNER).armed()
    bench.tick(ON)
    first = bench.now
    bench.tick()
    assert bench.state.switched == {"mains": first, "heating-off": bench.now}
    assert bench.state.switched_at("transmit") == bench.state.started == 64.0


@pytest.mark.parametrize("mode", [Mode.SAFE, Mode.FAULT])
def test_nothing_is_switched_on_where_it_is_not_permitted_whatever_is_wanted(mode):
    bench = Bench(SCANNER).reset()
    causes = bench.state.causes if mode is Mode.SAFE else (Cause("coil", 1.0, "it was hot"),)
    bench.state = replace(bench.state, mode=mode, wanted=frozenset(ALL), causes=causes)
    bench.tick()
    assert (bench.outputs.on, bench.state.mode) == (frozenset(), mode)


def test_nothing_stays_on_without_a_lease_whatever_a_state_says():
    bench = climbed()
    bench.state = replace(bench.state, lease=None)
    bench.tick()
    assert (bench.outputs.on, bench.state.mode) == (frozenset(), Mode.SAFE)
    assert bench.state.off_reason == "nobody holds the lease"


def test_a_commanded_output_is_one_that_its_gates_and_the_state_permit_whatever_a_state_says():
    bench = climbed()
    bench.state = replace(bench.state, mode=Mode.SAFE)
    bench.tick()
    assert (bench.outputs.on, bench.state.on) == (frozenset(), frozenset())


def test_a_lease_that_changes_hands_does_not_carry_on_a_start_up():
    bench = Bench(SCANNER).armed()
    bench.tick(ON, ReleaseLease(HOLDER, 2), AcquireLease(2, 3, "another"))
    assert (bench.state.on, bench.state.wanted, bench.state.mode) == (frozenset(), frozenset(), Mode.ARMED)
    assert bench.state.lease.client == 2


def test_the_reports_of_a_fresh_state_are_judged_from_the_start():
    assert State(Mode.SAFE, started=5.0).switched_at("mains") == 5.0
    assert State(Mode.SAFE, started=5.0, switched={"mains": 7.0}).switched_at("mains") == 7.0


def test_a_reset_and_an_arm_never_energise():
    bench = climbed()
    bench.tick(Stop(2, 1, "enough"))
    for request in (Reset(HOLDER, 1), Arm(HOLDER, 1), Reset(HOLDER, 1)):
        bench.tick(request)
        assert bench.outputs.on == frozenset()


def test_an_output_that_stays_on_is_a_fault_in_its_time_although_nothing_else_happens():
    bench = climbed()
    bench.reports = {"readback:gpio:0": True}
    bench.tick(ReleaseLease(HOLDER, 1))
    assert bench.state.mode is Mode.SAFE
    since = bench.now
    while bench.state.mode is Mode.SAFE:
        bench.tick()
        assert bench.now - since <= 0.25 + 1 / 64
    assert bench.state.causes[0].text == "mains reports that it is on although it is commanded off"
