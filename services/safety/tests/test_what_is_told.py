"""What a tick tells: the words, times and details of verdicts, causes, events and replies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core_bench import COIL, DOOR, ESTOP, HOLDER, NOW, Bench, instrument

from nixel.safety.core.interlocks import judge_readback
from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Cause,
    Disable,
    Disconnect,
    Enable,
    Mode,
    Output,
    Reading,
    ReleaseLease,
    RenewLease,
    Reset,
    Stop,
)
from nixel.safety.core.step import start
from nixel.safety.core.wrong import not_read

AMPLIFIER = Output("amplifier", "ac", ("coil",), readback_within=0.25)


def told(bench, kind):
    event = [event for event in bench.events if event.kind == kind][-1]
    assert event.time == bench.now
    return event.text, event.details


def test_the_start_is_a_cause_of_its_own():
    text = "the safety daemon has started; after every start a person resets"
    state = start(NOW)
    assert (state.mode, state.started, state.off_reason) == (Mode.FAULT, NOW, text)
    assert state.causes == (Cause("start", NOW, text),)


def test_a_cause_is_told_with_its_time_and_value():
    bench = Bench().reset()
    bench.tick(analog_0=70.0)
    text = "coil is 70 degC, at or above its limit of 60 degC"
    assert bench.state.causes == (Cause("coil", bench.now, text),)
    assert told(bench, "cause") == (text, {"name": "coil", "value": 70.0})
    reason = {"old": "SAFE", "new": "FAULT", "reason": text}
    assert told(bench, "transition") == (f"SAFE -> FAULT: {text}", reason)


def test_a_warning_and_what_is_healthy_again_are_told_by_name():
    bench = Bench(instrument(interlocks=(replace(COIL, warn=50.0), DOOR, ESTOP))).reset()
    bench.tick(analog_0=55.0)
    text = "warning: coil is 55 degC, at or above its warning level of 50 degC"
    assert told(bench, "interlock") == (text, {"name": "coil"})
    bench.tick(analog_0=65.0)
    bench.tick()
    assert told(bench, "interlock") == ("coil is healthy again", {"name": "coil"})


def test_what_an_interlock_remembers_goes_from_tick_to_tick():
    bench = Bench(instrument(interlocks=(replace(COIL, hysteresis=5.0), DOOR, ESTOP))).reset()
    bench.tick(analog_0=57.0)
    assert bench.verdict("coil").healthy
    bench.tick(analog_0=61.0)
    bench.tick(analog_0=57.0)
    assert not bench.verdict("coil").healthy
    bench.tick(analog_0=54.0)
    assert bench.verdict("coil").healthy


def test_devices_that_do_not_work_are_told_by_name_in_order():
    bench = Bench().reset()
    bench.faults = {"surveillance": "the unit is unplugged", "gpio": "no such chip"}
    bench.tick()
    found = [verdict for verdict in bench.outputs.verdicts if verdict.kind == "device"]
    assert [(verdict.name, verdict.message) for verdict in found] == [
        ("gpio", "no such chip"),
        ("surveillance", "the unit is unplugged"),
    ]
    assert all(verdict.healthy is False for verdict in found)
    assert [cause.name for cause in bench.state.causes] == ["gpio", "surveillance"]
    assert bench.ask(Reset(HOLDER, 1)) == "cannot reset: no such chip; the unit is unplugged"


# --- readbacks ---


def test_a_readback_is_told_with_what_it_says():
    verdict = judge_readback(AMPLIFIER, Reading(True, NOW - 0.125), True, NOW - 9.0, NOW)
    assert (verdict.name, verdict.kind, verdict.healthy) == ("amplifier readback", "readback", True)
    assert (verdict.message, verdict.value, verdict.gap) == ("", True, False)
    wrong = judge_readback(AMPLIFIER, Reading(True, NOW - 0.125), False, NOW - 9.0, NOW)
    assert wrong.message == "amplifier reports that it is on although it is commanded off"
    assert (wrong.healthy, wrong.value, wrong.kind) == (False, True, "readback")


def test_a_readback_that_is_missing_or_too_old_is_a_gap():
    none = judge_readback(AMPLIFIER, None, True, NOW, NOW)
    assert none.message == "amplifier readback: no reading from readback:ac yet"
    assert (none.healthy, none.gap, none.kind, none.value) == (False, True, "readback", None)
    assert none.early is True
    old = judge_readback(AMPLIFIER, Reading(True, NOW - 0.5), True, NOW - 9.0, NOW)
    assert old.message == (
        "amplifier readback: the last reading from readback:ac is 500 ms old, at most 250 ms is allowed"
    )
    assert (old.healthy, old.gap, old.name) == (False, True, "amplifier readback")
    assert old.early is False
    assert all(type(verdict.healthy) is bool and verdict.gap is True for verdict in (none, old))
    for age in (-0.25, 0.25):
        assert not judge_readback(AMPLIFIER, Reading(True, NOW - age), True, NOW - 9.0, NOW).gap
        beyond = judge_readback(AMPLIFIER, Reading(True, NOW - 1.001 * age), True, NOW - 9.0, NOW)
        assert (beyond.healthy, beyond.gap) == (False, True)


@pytest.mark.parametrize("value", [None, 1.0, 0.0])
def test_a_readback_that_makes_no_sense_is_a_fault_at_once(value):
    verdict = judge_readback(AMPLIFIER, Reading(value, NOW), True, NOW, NOW)
    assert (verdict.healthy, verdict.message) == (False, "amplifier readback: the reply makes no sense")
    assert (verdict.value, verdict.gap) == (value, False)


@pytest.mark.parametrize("commanded", [True, False])
def test_either_answer_is_right_until_the_time_to_follow_is_over(commanded):
    for said in (True, False):
        assert judge_readback(AMPLIFIER, Reading(said, NOW), commanded, NOW - 0.25, NOW).healthy
        late = judge_readback(AMPLIFIER, Reading(said, NOW), commanded, NOW - 0.26, NOW)
        assert late.healthy == (said == commanded)


# --- leases ---


def test_a_lease_is_told_when_it_begins_and_however_it_ends():
    bench = Bench()
    assert bench.ask(AcquireLease(HOLDER, 1, "a scan")) is None
    assert told(bench, "lease") == ("'a scan' has the lease", {"name": "a scan", "held": True})
    assert bench.ask(ReleaseLease(HOLDER, 1)) is None
    assert told(bench, "lease") == ("'a scan' gave its lease back", {"name": "a scan", "held": False})
    bench.renew = False
    bench.ask(AcquireLease(HOLDER, 1, "a scan"))
    bench.tick(after=1.0)
    text = "'a scan' was silent for longer than 1000 ms, so its lease ended"
    assert told(bench, "lease") == (text, {"name": "a scan", "held": False})


def test_the_end_of_a_connection_is_the_end_of_its_lease():
    bench = Bench().armed()
    bench.tick(Disconnect(HOLDER, 1))
    text = "the connection of 'a scan' closed, and with it its lease ended"
    assert told(bench, "lease") == (text, {"name": "a scan", "held": False})
    assert bench.state.lease is None


def test_a_refused_lease_says_what_can_be_had():
    bench = Bench()
    assert bench.ask(AcquireLease(HOLDER, 1, "a scan", 3.0)) == (
        "a lease of 3000 ms is not allowed here; ask for 31.25 ms to 1000 ms"
    )
    bench.ask(AcquireLease(HOLDER, 1, "a scan"))
    assert bench.ask(AcquireLease(HOLDER, 1, "a scan")) == (
        "this connection already holds the lease; renew it"
    )
    assert bench.ask(AcquireLease(2, 1, "another")) == (
        "the lease is held by 'a scan'; there is one at a time"
    )
    assert bench.ask(RenewLease(2, 1)) == "this connection holds no lease; 'a scan' has it"


# --- requests ---


def test_a_stop_is_told_with_who_asked():
    bench = Bench().armed()
    bench.tick(Stop(2, 1, "I saw smoke", "anna"))
    assert told(bench, "request") == ("stopped: I saw smoke", {"by": "anna"})
    assert bench.state.off_reason == "stopped: I saw smoke"


def test_the_way_up_is_told():
    bench = Bench().armed()
    assert bench.texts("transition") == ["FAULT -> SAFE: the fault was reset", "SAFE -> ARMED: armed"]


def test_what_cannot_be_is_refused_in_words():
    bench = Bench(instrument(AMPLIFIER, Output("light", "gpio:1", ("coil",))))
    assert bench.ask(Enable(HOLDER, 1, "heater")) == (
        "there is no output 'heater'; this instrument has amplifier, light"
    )
    assert bench.ask(Disable(HOLDER, 1, "heater")).startswith("there is no output 'heater'")
    latched = (
        "a fault is latched (the safety daemon has started; after every start a person resets); reset first"
    )
    assert bench.ask(Arm(HOLDER, 1)) == latched
    assert bench.ask(Enable(HOLDER, 1, "light")) == latched
    bench.reset()
    assert bench.ask(Enable(HOLDER, 1, "light")) == "the state is SAFE; arm, then enable"
    bench.tick(Arm(HOLDER, 1), Enable(HOLDER, 2, "light"))
    assert bench.outputs.replies[-1].refused == "the state is ARMED and was SAFE; arm, then enable"
    bench.tick(Stop(2, 1, "x"))
    bench.tick(Arm(HOLDER, 1))
    bench.tick(Enable(HOLDER, 1, "light"))
    assert bench.ask(Arm(HOLDER, 1)) == "an output is already on"
    bench.tick(Stop(2, 1, "x"))
    bench.tick(Arm(HOLDER, 1))
    bench.tick(Enable(HOLDER, 1, "light"))
    bench.tick(ReleaseLease(HOLDER, 1), Arm(HOLDER, 2))
    assert bench.outputs.replies[-1].refused == (
        "the state went from ENERGISED to SAFE only in this moment; look again, then arm"
    )


def test_a_reset_says_all_that_is_in_its_way():
    bench = Bench()
    assert bench.ask(Reset(HOLDER, 1), analog_0=70.0, digital_0=False) == (
        "cannot reset: coil is 70 degC, at or above its limit of 60 degC; emergency stop pressed"
    )


def test_a_device_that_is_lost_comes_before_what_is_not_read_because_of_it():
    bench = Bench()
    bench.faults = {"surveillance": "the unit is unplugged"}
    assert bench.ask(Reset(HOLDER, 1), analog_0="missing", digital_0=False, digital_1="missing") == (
        "cannot reset: the unit is unplugged; emergency stop pressed; nothing fresh is read for coil, door"
    )
    bench.faults = {}
    coil, door = (
        f"{name}: no reading from {source} yet"
        for name, source in (("coil", "analog:0"), ("door", "digital:1"))
    )
    refused = bench.ask(Reset(HOLDER, 1), analog_0="missing", digital_1="missing")
    assert refused == f"cannot reset: {coil}; {door}"


def test_of_much_that_is_not_read_the_first_three_are_named():
    assert not_read(["bore"]) == "nothing fresh is read for bore"
    assert not_read(["a", "b", "c", "d"]) == "nothing fresh is read for a, b, c, d"
    assert not_read(["a", "b", "c", "d", "e"]) == "nothing fresh is read for a, b, c and 2 more"
