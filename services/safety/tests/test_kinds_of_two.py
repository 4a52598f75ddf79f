"""What two channels and a heartbeat mean: from readings to verdict, tick by tick."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core_bench import both, seen

from nixel.safety.core.interlocks import judge
from nixel.safety.core.model import (
    Heartbeat,
    Memory,
    Reading,
    TwoContacts,
    TwoSensors,
)

DOORS = TwoContacts("door", ("digital:0", "digital:1"), (True, False), 0.2, discrepancy=0.5)


def test_two_contacts_are_healthy_only_when_both_are():
    for first in (True, False):
        for second in (True, False):
            verdict, _ = both(DOORS, (first, second))
            assert verdict.healthy == (first and not second)
            assert verdict.value == (first and not second)
            assert (verdict.kind, verdict.unit) == ("two-channel", None)
            assert bool(verdict.message) != verdict.healthy


def test_two_contacts_say_which_channel_has_tripped():
    opened = replace(DOORS, message="the door is open")
    assert both(DOORS, (False, True))[0].message == "both channels of door have tripped"
    assert both(opened, (False, True))[0].message == "the door is open"
    assert both(DOORS, (False, False))[0].message == "door: digital:0 has tripped and digital:1 has not"
    assert both(DOORS, (True, True))[0].message == "door: digital:1 has tripped and digital:0 has not"
    assert both(opened, (True, True))[0].message.startswith("the door is open: door: digital:1 has tripped")


def test_channels_that_disagree_for_too_long_must_both_be_seen_tripped():
    verdict, memory = both(DOORS, (False, False), now=10.0)
    assert not memory.stuck
    verdict, memory = both(DOORS, (False, False), memory, 10.5)
    assert not memory.stuck
    verdict, memory = both(DOORS, (False, False), memory, 10.51)
    assert memory.stuck
    assert verdict.message == (
        "door: digital:0 has tripped and digital:1 has not for over 500 ms; one of them is stuck"
    )
    verdict, memory = both(DOORS, (True, False), memory, 10.6)
    assert not verdict.healthy
    assert verdict.message == (
        "door: its channels disagreed; trip both together to show that neither is stuck"
    )
    verdict, memory = both(DOORS, (True, False), memory, 99.0)
    assert (verdict.healthy, verdict.value) == (False, True)
    verdict, memory = both(DOORS, (False, True), memory, 99.1)
    assert not verdict.healthy
    verdict, memory = both(DOORS, (True, False), memory, 99.2)
    assert verdict.healthy


def test_two_contacts_say_for_how_long_they_have_disagreed():
    slow = replace(DOORS, discrepancy=4.0)
    _, memory = both(slow, (False, False), now=10.0)
    verdict, memory = both(slow, (False, False), memory, 14.5)
    assert "for over 4000 ms" in verdict.message


def test_channels_that_disagree_for_a_moment_are_not_stuck():
    _, memory = both(DOORS, (False, False), now=10.0)
    verdict, memory = both(DOORS, (True, False), memory, 10.5)
    assert verdict.healthy
    _, memory = both(DOORS, (False, False), memory, 10.6)
    assert not memory.stuck


def test_the_disagreement_counts_from_its_beginning_whichever_channel_it_is():
    _, memory = both(DOORS, (False, False), now=10.0)
    _, memory = both(DOORS, (True, True), memory, 10.3)
    _, memory = both(DOORS, (False, False), memory, 10.6)
    assert memory.stuck


def test_a_missing_reading_does_not_clear_the_suspicion_of_a_stuck_channel():
    _, memory = both(DOORS, (False, False), now=10.0)
    _, memory = both(DOORS, ("missing", False), memory, 10.3)
    verdict, memory = both(DOORS, (False, False), memory, 10.6)
    assert "stuck" in verdict.message
    _, memory = both(DOORS, ("missing", False), memory, 10.7)
    verdict, _ = both(DOORS, (True, False), memory, 10.8)
    assert not verdict.healthy


@pytest.mark.parametrize("values", [(True, False), (False, False)])
def test_a_stuck_channel_is_no_matter_of_delay(values):
    doors = replace(DOORS, trips_after=0.05)
    verdict, _ = both(doors, values, Memory(healthy=True, stuck=True))
    assert not verdict.healthy


TWINS = TwoSensors("twins", ("analog:0", "analog:1"), "K", tolerance=2.0, max_age=0.2, discrepancy=0.5)


@pytest.mark.parametrize("values", [(20.0, 22.0), (22.0, 20.0), (0.0, 0.0), (-1.0, 1.0), (0.0, 2.0)])
def test_two_sensors_may_differ_by_their_tolerance(values):
    verdict, memory = both(TWINS, values)
    assert (verdict.healthy, verdict.warning, verdict.message) == (True, False, "")
    assert (verdict.value, verdict.unit, verdict.kind) == (values[0] - values[1], "K", "two-channel")
    assert memory.apart is None


@pytest.mark.parametrize("values", [(20.0, 23.0), (23.0, 20.0)])
def test_two_sensors_that_differ_warn_and_then_trip(values):
    text = "twins: analog:0 and analog:1 differ by 3 K, at most 2 K is right"
    verdict, memory = both(TWINS, values, now=10.0)
    assert (verdict.healthy, verdict.warning, verdict.message) == (True, True, text)
    assert verdict.value == values[0] - values[1]
    verdict, memory = both(TWINS, values, memory, 10.5)
    assert verdict.healthy
    verdict, memory = both(TWINS, values, memory, 10.51)
    assert (verdict.healthy, verdict.warning, verdict.message) == (False, False, text)
    assert verdict.value == values[0] - values[1]
    verdict, memory = both(TWINS, values, memory, 10.52)
    assert not verdict.healthy
    verdict, memory = both(TWINS, (20.0, 20.0), memory, 10.6)
    assert verdict.healthy


def test_two_sensors_that_differ_from_the_start_are_unhealthy():
    twins = replace(TWINS, message="one of them lies")
    verdict, _ = both(twins, (20.0, 30.0), Memory())
    assert not verdict.healthy
    assert verdict.message.startswith("one of them lies: twins: ")


# --- a heartbeat ---

BEAT = Heartbeat("daq", "digital:0", interval=0.5, max_age=0.2)


@pytest.mark.parametrize("values", [(True, False), (7.0, 8.0), (0.0, 1.0)])
def test_a_heartbeat_must_keep_changing(values):
    old, new = values
    verdict, memory = seen(BEAT, old, Memory(), 10.0)
    assert not verdict.healthy, "nothing has changed yet"
    assert verdict.early
    verdict, memory = seen(BEAT, new, memory, 10.1)
    assert verdict.healthy
    assert (verdict.kind, verdict.unit, verdict.value, verdict.message) == ("heartbeat", None, new, "")
    verdict, memory = seen(BEAT, new, memory, 10.6)
    assert verdict.healthy
    verdict, memory = seen(BEAT, new, memory, 10.61)
    assert not verdict.healthy
    assert (verdict.message, verdict.value) == ("daq: digital:0 has not changed for 500 ms", new)
    assert not verdict.early
    verdict, memory = seen(BEAT, old, memory, 20.0)
    assert verdict.healthy


def test_a_heartbeat_that_stopped_is_told_in_the_words_of_the_instrument():
    verdict, _ = seen(replace(BEAT, message="the DAQ has stopped"), True, Memory(), 10.0)
    assert verdict.message == "the DAQ has stopped: daq: digital:0 has not changed for 500 ms"
    verdict, _ = seen(replace(BEAT, interval=4.0), True, Memory(), 10.0)
    assert verdict.message == "daq: digital:0 has not changed for 4000 ms"


def test_after_a_gap_a_heartbeat_must_be_seen_again():
    _, memory = seen(BEAT, True, Memory(), 10.0)
    _, memory = seen(BEAT, False, memory, 10.1)
    _, memory = judge(BEAT, memory, {}, 10.2)
    verdict, _ = seen(BEAT, True, memory, 10.3)
    assert not verdict.healthy


def test_a_reading_ahead_of_the_tick_does_not_prolong_a_heartbeat():
    _, memory = seen(BEAT, True, Memory(), 10.0)
    _, memory = judge(BEAT, memory, {"digital:0": Reading(False, 10.3)}, 10.1)
    verdict, _ = seen(BEAT, False, memory, 10.61)
    assert not verdict.healthy
