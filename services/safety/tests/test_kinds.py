"""What each kind of interlock means: from level to verdict, tick by tick."""

from __future__ import annotations

import math

import pytest

from nixel.safety.interlocks import judge
from nixel.safety.model import Direction, Limit, Memory, Reading

NOW = 100.0


def seen(interlock, value, before=None, now=NOW):
    """Judge an interlock of one source that reads `value` now; it has been healthy before unless told otherwise."""
    before = Memory(healthy=True) if before is None else before
    return judge(interlock, before, {interlock.source: Reading(value, now)}, now)


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
