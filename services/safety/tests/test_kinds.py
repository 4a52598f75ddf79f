"""What each kind of interlock means: from level to verdict, tick by tick."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from core_bench import NOW, seen

from nixel.safety.core.model import (
    Boolean,
    Direction,
    Limit,
    Memory,
    Rate,
    Sense,
)

# --- what a limit judges ---


@pytest.mark.parametrize(
    ("factor", "power", "magnitude", "reading", "judged"),
    [
        (1.0, 1, False, -30.0, -30.0),
        (1.0, 1, True, -30.0, 30.0),
        (2.5, 1, False, -4.0, -10.0),
        (2.5, 1, True, -4.0, 10.0),
        (2.0, 2, False, -3.0, 18.0),
        (2.0, 2, True, -3.0, 18.0),
        (2.0, 2, False, 3.0, 18.0),
        (0.5, 1, False, 0.0, 0.0),
    ],
)
def test_a_limit_judges_and_shows_the_quantity_that_its_reading_stands_for(
    factor, power, magnitude, reading, judged
):
    coil = Limit(
        "field", "analog:0", "T", 20.0, 0.2, factor=factor, power=power, magnitude=magnitude, message="field"
    )
    verdict, _ = seen(coil, reading)
    assert (verdict.value, verdict.unit) == (judged, "T")
    assert verdict.healthy == (judged < 20.0)


@pytest.mark.parametrize("current", [20.0, -20.0, 35.0, -35.0])
def test_a_current_beyond_its_limit_trips_in_both_directions(current):
    amplifier = Limit("over-current", "analog:0", "A", 20.0, 0.2, warn=15.0, magnitude=True)
    assert not seen(amplifier, current)[0].healthy
    assert seen(amplifier, math.copysign(19.9, current))[0].healthy
    assert seen(amplifier, math.copysign(15.0, current))[0].warning


def test_a_temperature_below_zero_is_not_hot():
    assert seen(Limit("coil", "analog:0", "degC", 60.0, 0.2), -70.0)[0].healthy


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("power", [1, 2])
def test_a_quantity_too_large_for_a_number_is_a_fault_and_no_crash(direction, power):
    coil = Limit("sar", "analog:0", "W/kg", 1.0, 0.2, direction=direction, factor=1e300, power=power)
    assert not seen(coil, 1e200)[0].healthy
    assert not seen(coil, -1e200)[0].healthy


# --- a limit, in words ---


def test_a_limit_says_what_it_found_and_what_it_allows():
    coil = Limit("coil", "analog:0", "degC", 60.0, 0.2, warn=50.0, hysteresis=5.0)
    verdict, memory = seen(coil, 70.5)
    assert verdict.message == "coil is 70.5 degC, at or above its limit of 60 degC"
    assert (verdict.name, verdict.kind, verdict.value, verdict.unit) == ("coil", "limit", 70.5, "degC")
    assert not verdict.gap
    assert seen(coil, 60.0)[0].message == "coil is 60 degC, at or above its limit of 60 degC"
    assert seen(coil, 58.0, memory)[0].message == (
        "coil is 58 degC, not yet 5 degC within its limit of 60 degC again"
    )
    assert seen(coil, 52.0)[0].message == "coil is 52 degC, at or above its warning level of 50 degC"
    assert seen(coil, 20.0)[0].message == ""
    cold = Limit("coil", "analog:0", "degC", -60.0, 0.2, direction=Direction.BELOW, message="too cold")
    assert seen(cold, -70.0)[0].message == ("too cold: coil is -70 degC, at or below its limit of -60 degC")
    assert seen(replace(coil, message="hot"), 58.0, memory)[0].message.startswith("hot: coil is 58 degC")


@pytest.mark.parametrize(("direction", "sign"), [(Direction.ABOVE, 1.0), (Direction.BELOW, -1.0)])
def test_a_tripped_limit_clears_only_after_the_hysteresis(direction, sign):
    coil = Limit("coil", "analog:0", "degC", sign * 60.0, 0.2, hysteresis=5.0, direction=direction)
    healthy, memory = seen(coil, sign * 59.0)
    assert healthy.healthy
    tripped, memory = seen(coil, sign * 60.0, memory)
    assert not tripped.healthy
    still, memory = seen(coil, sign * 55.0, memory)
    assert not still.healthy
    assert still.value == sign * 55.0
    clear, memory = seen(coil, sign * 54.9, memory)
    assert clear.healthy
    again, _ = seen(coil, sign * 59.0, memory)
    assert again.healthy


@pytest.mark.parametrize(("direction", "sign"), [(Direction.ABOVE, 1.0), (Direction.BELOW, -1.0)])
def test_a_warning_ends_only_after_the_hysteresis(direction, sign):
    coil = Limit(
        "coil", "analog:0", "degC", sign * 60.0, 0.2, warn=sign * 50.0, hysteresis=5.0, direction=direction
    )
    verdict, memory = seen(coil, sign * 49.9)
    assert (verdict.healthy, verdict.warning) == (True, False)
    verdict, memory = seen(coil, sign * 50.0, memory)
    assert (verdict.healthy, verdict.warning, verdict.value) == (True, True, sign * 50.0)
    verdict, memory = seen(coil, sign * 45.0, memory)
    assert verdict.warning
    verdict, memory = seen(coil, sign * 44.9, memory)
    assert (verdict.healthy, verdict.warning) == (True, False)


# --- what stands still ---


def test_a_reading_that_has_not_changed_at_all_for_too_long_is_a_fault_until_it_changes():
    coil = Limit("coil", "analog:0", "degC", 60.0, 0.5, frozen_after=2.0)
    memory = Memory(healthy=True)
    for now in (10.0, 10.5, 11.0, 11.5):
        verdict, memory = seen(coil, 25.0, memory, now)
        assert verdict.healthy
    verdict, memory = seen(coil, 25.0, memory, 12.0)
    assert not verdict.healthy
    assert verdict.message == "coil: analog:0 has given exactly 25 for 2 s; it is frozen"
    assert verdict.value == 25.0
    verdict, memory = seen(coil, 25.0, memory, 13.0)
    assert not verdict.healthy
    verdict, memory = seen(coil, 25.1, memory, 13.5)
    assert verdict.healthy
    verdict, memory = seen(coil, 25.1, memory, 15.4)
    assert verdict.healthy
    verdict, memory = seen(coil, 25.1, memory, 15.5)
    assert not verdict.healthy


def test_what_changes_is_never_frozen_and_what_may_stand_still_is_not_either():
    coil, memory = Limit("coil", "analog:0", "degC", 60.0, 0.5, frozen_after=0.5), Memory(healthy=True)
    for number in range(20):
        verdict, memory = seen(coil, 25.0 + number % 2, memory, 10.0 + number / 4)
        assert verdict.healthy
    still, memory = replace(coil, frozen_after=None), Memory(healthy=True)
    for number in range(20):
        verdict, memory = seen(still, 25.0, memory, 10.0 + number)
        assert verdict.healthy


@pytest.mark.parametrize("kind", ["limit", "rate"])
def test_a_frozen_reading_trips_without_the_delay_that_a_level_may_have(kind):
    if kind == "limit":
        coil = Limit("coil", "analog:0", "degC", 60.0, 0.5, frozen_after=1.0, trips_after=0.05)
        memory = Memory(healthy=True)
    else:
        coil = Rate("coil", "analog:0", "K", 60.0, 0.5, 0.5, frozen_after=1.0, trips_after=0.05)
        memory = Memory(healthy=True, samples=((9.0, 25.0), (9.5, 25.0)))
    _, memory = seen(coil, 25.0, memory, 10.0)
    verdict, memory = seen(coil, 25.0, memory, 10.75)
    assert verdict.healthy
    verdict, memory = seen(coil, 25.0, memory, 11.0)
    assert not verdict.healthy
    assert "frozen" in verdict.message
    assert verdict.value == (25.0 if kind == "limit" else 0.0)


@pytest.mark.parametrize("value", [20.0, 55.0, 65.0])
@pytest.mark.parametrize("memory", [Memory(healthy=True), Memory(healthy=True, samples=((98.0, 20.0),))])
@pytest.mark.parametrize("delay", [0.0, 0.05])
def test_while_it_is_not_frozen_a_reading_is_judged_as_if_it_might_stand_still(value, memory, delay):
    for still in (
        Limit("coil", "analog:0", "degC", 60.0, 0.5, warn=50.0, trips_after=delay),
        Rate("coil", "analog:0", "degC", 20.0, 0.5, 1.0, trips_after=delay),
    ):
        watched = replace(still, frozen_after=9.0)
        assert seen(watched, value, memory)[0] == seen(still, value, memory)[0]


def test_a_frozen_sensor_beyond_its_limit_is_unhealthy_as_well():
    coil = Limit("coil", "analog:0", "degC", 60.0, 0.5, frozen_after=1.0)
    memory = Memory(healthy=True)
    for now in (10.0, 10.5, 11.0, 11.5):
        verdict, memory = seen(coil, 70.0, memory, now)
        assert not verdict.healthy


# --- a rate ---

DRIFT = Rate("drift", "analog:0", "K", trip=2.0, max_age=0.5, window=1.0)


def ramp(interlock, speed, seconds=3.0, memory=None, begin=10.0, value=20.0):
    """Read a ramp eight times a second; give the verdicts and what is remembered."""
    memory, found = memory or Memory(), []
    for number in range(int(seconds * 8) + 1):
        verdict, memory = seen(interlock, value + speed * number / 8, memory, begin + number / 8)
        found.append(verdict)
    return found, memory


def test_a_rate_down_to_nothing_is_a_change_like_any_other():
    memory = Memory(healthy=True, samples=((NOW - 2.0, 2.0), (NOW - 1.0, 2.0)))
    verdict, after = seen(DRIFT, 0.0, memory)
    assert (verdict.healthy, verdict.value) == (False, 2.0)
    assert after.samples == ((NOW - 1.0, 2.0), (NOW, 0.0))


def test_a_rate_is_not_known_and_so_unhealthy_until_it_has_been_watched_for_its_window():
    found, _ = ramp(DRIFT, 0.0)
    assert [verdict.healthy for verdict in found] == [False] * 8 + [True] * 17
    assert [verdict.early for verdict in found] == [True] * 8 + [False] * 17
    text = "drift has not been watched for 1 s yet, so its rate is not known"
    assert {verdict.message for verdict in found} == {text, ""}
    assert {(verdict.value, verdict.unit, verdict.kind) for verdict in found} == {(0.0, "K/s", "rate")}


def test_a_rate_that_is_not_known_is_no_matter_of_delay():
    verdict, _ = seen(replace(DRIFT, trips_after=0.05), 20.0, Memory(healthy=True))
    assert not verdict.healthy


@pytest.mark.parametrize(
    ("sense", "speed", "trips"),
    [
        (Sense.RISING, 2.0, True),
        (Sense.RISING, 1.9, False),
        (Sense.RISING, -9.0, False),
        (Sense.FALLING, -2.0, True),
        (Sense.FALLING, -1.9, False),
        (Sense.FALLING, 9.0, False),
        (Sense.EITHER, 2.0, True),
        (Sense.EITHER, -2.0, True),
        (Sense.EITHER, 1.9, False),
        (Sense.EITHER, -1.9, False),
    ],
)
def test_a_rate_trips_at_its_speed_in_its_sense(sense, speed, trips):
    found, _ = ramp(replace(DRIFT, sense=sense), speed)
    assert not found[-1].early
    assert {verdict.healthy for verdict in found[8:]} == {not trips}
    if abs(speed) != 9.0:
        assert found[-1].value == pytest.approx(abs(speed))


@pytest.mark.parametrize(
    ("sense", "speed", "words"),
    [(Sense.RISING, 4.0, "upwards"), (Sense.FALLING, -4.0, "downwards"), (Sense.EITHER, -4.0, "up or down")],
)
def test_a_rate_says_how_fast_and_which_way(sense, speed, words):
    found, _ = ramp(replace(DRIFT, sense=sense, message="quench?"), speed)
    assert found[-1].message == f"quench?: drift is 4 K/s {words}, at or above its limit of 2 K/s"


def test_a_jump_within_the_window_trips_at_once_and_counts_for_a_window():
    _, memory = ramp(DRIFT, 0.0)
    later = 10.0 + 3.0
    verdict, memory = seen(DRIFT, 24.0, memory, later + 0.125)
    assert (verdict.healthy, verdict.value) == (False, 4.0)
    for number in range(2, 9):
        verdict, memory = seen(DRIFT, 24.0, memory, later + number / 8)
        assert not verdict.healthy
    verdict, memory = seen(DRIFT, 24.0, memory, later + 9 / 8)
    assert (verdict.healthy, verdict.value) == (True, 0.0)


def test_a_change_of_before_the_window_does_not_count_however_seldom_it_is_read():
    slow = replace(DRIFT, max_age=1.0)
    _, memory = seen(slow, 20.0, Memory(), 10.0)
    _, memory = seen(slow, 60.0, memory, 11.0)
    verdict, _ = seen(slow, 60.0, memory, 12.5)
    assert (verdict.healthy, verdict.value) == (True, 0.0)


def test_a_smaller_jump_does_not_trip_however_sudden():
    _, memory = ramp(DRIFT, 0.0)
    verdict, _ = seen(DRIFT, 21.9, memory, 13.001)
    assert verdict.healthy


def test_a_rate_keeps_few_samples_however_often_it_is_read():
    memory = Memory()
    for number in range(5000):
        _, memory = seen(DRIFT, 20.0, memory, 10.0 + number / 1000)
        assert len(memory.samples) <= 10
    assert memory.samples[-1][0] - memory.samples[0][0] >= 1.0 - 0.125


def test_a_rate_keeps_a_sample_for_each_eighth_of_its_window():
    _, memory = ramp(DRIFT, 8.0)
    assert [time for time, _ in memory.samples] == [12.0 + number / 8 for number in range(9)]


def test_a_slow_change_over_readings_that_come_seldom_is_spread_over_the_time_it_took():
    slow = replace(DRIFT, max_age=1.0)
    _, memory = seen(slow, 20.0, Memory(), 10.0)
    _, memory = seen(slow, 20.0, memory, 11.0)
    verdict, _ = seen(slow, 22.9, memory, 12.5)
    assert verdict.value == pytest.approx(2.9 / 1.5)
    assert verdict.healthy


# --- contacts ---


@pytest.mark.parametrize("healthy", [True, False])
def test_a_contact_is_healthy_in_its_healthy_state_only(healthy):
    door = Boolean("door", "digital:0", healthy, 0.2)
    good, _ = seen(door, healthy)
    assert (good.healthy, good.message, good.value, good.kind, good.unit) == (
        *(True, "", healthy, "boolean"),
        None,
    )
    bad, _ = seen(door, not healthy)
    assert (bad.healthy, bad.value) == (False, not healthy)
    assert bad.message == f"door reads {int(not healthy)}, healthy is {int(healthy)}"
    assert seen(replace(door, message="the door is open"), not healthy)[0].message == "the door is open"
