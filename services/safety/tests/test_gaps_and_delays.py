"""What holds of interlocks of every kind: no reading is a fault at once, and delays have their bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from core_bench import NOW, seen

from nixel.safety.core.interlocks import judge
from nixel.safety.core.model import (
    Boolean,
    Heartbeat,
    Limit,
    Memory,
    Rate,
    Reading,
    TwoContacts,
    TwoSensors,
)

TWINS = TwoSensors("twins", ("analog:0", "analog:1"), "K", tolerance=2.0, max_age=0.2, discrepancy=0.5)
EVERY = [
    Limit("it", "analog:0", "K", 60.0, 0.25, trips_after=0.05),
    Rate("it", "analog:0", "K", 60.0, 0.25, 1.0, trips_after=0.05),
    Boolean("it", "analog:0", True, 0.25, trips_after=0.05),
    TwoContacts("it", ("analog:0", "analog:1"), (True, True), 0.25, 0.5, trips_after=0.05),
    TwoSensors("it", ("analog:0", "analog:1"), "K", 2.0, 0.25, 0.5, trips_after=0.05),
    Heartbeat("it", "analog:0", 0.5, 0.25, trips_after=0.05),
]
TOLD_AS = {
    Limit: ("limit", "K"),
    Rate: ("rate", "K/s"),
    Boolean: ("boolean", None),
    TwoContacts: ("two-channel", None),
    TwoSensors: ("two-channel", "K"),
    Heartbeat: ("heartbeat", None),
}
kinds_of_interlock = pytest.mark.parametrize(
    "interlock", EVERY, ids=lambda interlock: type(interlock).__name__
)


def healthy_before(interlock):
    """What it remembers, and a value that keeps it healthy now."""
    value = True if isinstance(interlock, Boolean | TwoContacts) else 20.0
    samples = ((NOW - 2.0, 20.0), (NOW - 1.0, 20.0)) if isinstance(interlock, Rate) else ()
    memory = Memory(healthy=True, samples=samples)
    if isinstance(interlock, Heartbeat):
        memory = Memory(healthy=True, value=19.0, changed=NOW - 0.1)
    return memory, value


@kinds_of_interlock
def test_every_kind_is_healthy_up_to_the_maximum_age_on_either_side_of_now(interlock):
    memory, value = healthy_before(interlock)
    for age in (-0.25, 0.0, 0.25):
        readings = {source: Reading(value, NOW - age) for source in interlock.sources}
        verdict, _ = judge(interlock, memory, readings, NOW)
        assert verdict.healthy


@kinds_of_interlock
@pytest.mark.parametrize(
    "gap", ["missing", "stale", "future", "no time", "nan", "inf", "-inf", "none", "kind"]
)
def test_every_kind_is_at_fault_at_once_without_a_fresh_and_sensible_reading_of_each_source(interlock, gap):
    memory, value = healthy_before(interlock)
    contact = isinstance(interlock, Boolean | TwoContacts)
    wrong = {
        "missing": None,
        "stale": Reading(value, NOW - 0.26),
        "future": Reading(value, NOW + 0.26),
        "no time": Reading(value, math.nan),
        "nan": Reading(math.nan, NOW),
        "inf": Reading(math.inf, NOW),
        "-inf": Reading(-math.inf, NOW),
        "none": Reading(None, NOW),
        "kind": Reading(1.0 if contact else True, NOW),
    }[gap]
    if gap == "kind" and isinstance(interlock, Heartbeat):
        return  # A heartbeat may be a contact as well as a counter.
    absent = gap in {"missing", "stale", "future", "no time"}
    for broken in interlock.sources:
        readings = {source: Reading(value, NOW) for source in interlock.sources} | {broken: wrong}
        present = {source: reading for source, reading in readings.items() if reading is not None}
        verdict, after = judge(interlock, memory, present, NOW)
        assert (verdict.healthy, verdict.warning, verdict.gap) == (False, False, absent)
        assert verdict.early == (gap == "missing")
        assert verdict.message.startswith(f"it: {broken} gives no " if not absent else "it: ")
        assert broken in verdict.message
        assert after == Memory()
        assert (verdict.name, verdict.kind, verdict.unit) == ("it", *TOLD_AS[type(interlock)])


def test_gaps_are_told_in_words():
    verdict, _ = judge(TWINS, Memory(), {}, NOW)
    assert verdict.message == "twins: no reading from analog:0 yet; no reading from analog:1 yet"
    half, _ = judge(TWINS, Memory(), {"analog:1": Reading(20.0, NOW - 0.5)}, NOW)
    assert half.message == (
        "twins: no reading from analog:0 yet; the last reading from analog:1 is 500 ms old, at most 200 ms is allowed"
    )
    slow, _ = judge(replace(TWINS, max_age=4.0), Memory(), {"analog:1": Reading(20.0, NOW - 8.0)}, NOW)
    assert slow.message.endswith("from analog:1 is 8000 ms old, at most 4000 ms is allowed")
    lost, _ = seen(Limit("coil", "analog:0", "degC", 60.0, 0.2), math.nan)
    assert lost.message == "coil: analog:0 gives no number; is the sensor connected?"
    assert math.isnan(lost.value)
    assert lost.unit == "degC"
    loose, _ = seen(Boolean("door", "digital:0", True, 0.2), 1.0)
    assert (loose.message, loose.value) == ("door: digital:0 gives no state, expected 0 or 1", 1.0)


# --- delays ---


def test_tripping_is_delayed_by_no_more_than_it_says():
    coil = Limit("coil", "analog:0", "degC", 60.0, 0.2, trips_after=0.03125)
    verdict, memory = seen(coil, 70.0, now=10.0)
    assert (verdict.healthy, verdict.warning) == (True, True)
    assert "limit of 60 degC" in verdict.message
    verdict, memory = seen(coil, 70.0, memory, 10.03)
    assert verdict.healthy
    verdict, memory = seen(coil, 70.0, memory, 10.03125)
    assert (verdict.healthy, verdict.warning) == (False, False)


def test_what_is_not_delayed_trips_at_once():
    assert not seen(Limit("coil", "analog:0", "degC", 60.0, 0.2), 70.0)[0].healthy


def test_what_is_unhealthy_already_is_not_made_healthy_by_the_delay_of_tripping():
    coil = Limit("coil", "analog:0", "degC", 60.0, 0.2, trips_after=0.05)
    assert not seen(coil, 70.0, Memory())[0].healthy


def test_chatter_cannot_put_off_tripping():
    coil = Limit("coil", "analog:0", "degC", 60.0, 0.2, trips_after=0.05)
    memory = Memory(healthy=True)
    for number in range(6):
        verdict, memory = seen(coil, 20.0 if number % 2 else 70.0, memory, 10.0 + number / 100)
        assert verdict.healthy
    verdict, memory = seen(coil, 70.0, memory, 10.06)
    assert not verdict.healthy


def test_an_excursion_is_forgotten_after_as_long_a_time_well():
    coil = Limit("coil", "analog:0", "degC", 60.0, 0.2, trips_after=0.03125)
    _, memory = seen(coil, 70.0, Memory(healthy=True), 10.0)
    verdict, memory = seen(coil, 20.0, memory, 10.125)
    assert (verdict.healthy, verdict.warning) == (True, False)
    _, memory = seen(coil, 20.0, memory, 10.125 + 0.03)
    verdict, _ = seen(coil, 70.0, memory, 10.2)
    assert not verdict.healthy, "it was well for 30 ms only"
    _, memory = seen(coil, 20.0, memory, 10.125 + 0.03125)
    verdict, _ = seen(coil, 70.0, memory, 10.2)
    assert verdict.healthy


def test_clearing_waits_until_it_has_been_well_on_end():
    door = Boolean("door", "digital:0", True, 0.2, clears_after=0.5)
    verdict, memory = seen(door, False, now=10.0)
    assert not verdict.healthy
    verdict, memory = seen(door, True, memory, 10.25)
    assert (verdict.healthy, verdict.warning) == (False, False)
    assert verdict.message == "door has tripped and has not been well for 500 ms on end since"
    _, waiting = seen(replace(door, clears_after=4.0), True, memory, 10.25)
    verdict, _ = seen(replace(door, clears_after=4.0), True, waiting, 10.5)
    assert "well for 4000 ms" in verdict.message
    verdict, memory = seen(door, True, memory, 10.74)
    assert not verdict.healthy
    _, interrupted = seen(door, False, memory, 10.745)
    verdict, _ = seen(door, True, interrupted, 10.75)
    assert not verdict.healthy
    verdict, memory = seen(door, True, memory, 10.75)
    assert (verdict.healthy, verdict.message) == (True, "")
    verdict, memory = seen(door, False, memory, 10.76)
    assert not verdict.healthy, "clearing is delayed, tripping is not"


def test_a_warning_waits_for_clearing_too():
    coil = Limit("coil", "analog:0", "degC", 60.0, 0.2, warn=50.0, clears_after=0.5)
    verdict, memory = seen(coil, 55.0, Memory(), 10.0)
    assert (verdict.healthy, verdict.warning, memory.warning) == (False, False, False)
    verdict, memory = seen(coil, 55.0, memory, 10.5)
    assert (verdict.healthy, verdict.warning, memory.warning) == (True, True, True)


def test_a_reading_whose_quantity_is_too_large_for_a_number_is_no_number_and_waits_for_no_delay():
    power = Limit("power", "analog:0", "W", 60.0, 0.25, factor=2.0, power=2, trips_after=0.05)
    verdict, after = seen(power, 1e200)
    assert (verdict.healthy, verdict.warning, verdict.value) == (False, False, 1e200)
    assert verdict.message == "power: analog:0 gives no number; is the sensor connected?"
    assert after == Memory()
