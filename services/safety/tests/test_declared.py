"""What cannot be declared, whoever declares it: the bounds of interlocks, outputs and instruments."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import pytest
from core_bench import AMPLIFIER, COIL, DOOR, ESTOP, instrument

from nixel.safety.core import declared
from nixel.safety.core.declared import Deadlines
from nixel.safety.core.model import (
    Boolean,
    Config,
    Direction,
    Heartbeat,
    Limit,
    Output,
    Rate,
    TwoContacts,
    TwoSensors,
)

PAIR = ("digital:0", "digital:1")
KINDS = [
    Limit("it", "analog:0", "K", 60.0, 0.25, frozen_after=1.0),
    Rate("it", "analog:0", "K", 60.0, 0.25, 1.0, frozen_after=1.0),
    Boolean("it", "digital:0", True, 0.25),
    TwoContacts("it", PAIR, (True, True), 0.25, 0.5),
    TwoSensors("it", ("analog:0", "analog:1"), "K", 2.0, 0.25, 0.5),
    Heartbeat("it", "digital:0", 0.5, 0.25),
]
OUTPUT = replace(AMPLIFIER, on_time=1.0)
MOST = sys.float_info.max
TINY = 5e-324

# Kinds, key, the smallest and the largest value that may be.
BOUNDS = [
    *[(kind, "trips_after", 0.0, 0.05) for kind in KINDS],
    *[(kind, "clears_after", 0.0, MOST) for kind in KINDS],
    *[(kind, "bypass", 0.0, 3600.0) for kind in KINDS],
    *[(kind, "max_age", TINY, 1.0 if isinstance(kind, Rate) else 5.0) for kind in KINDS],
    (KINDS[0], "trip", -MOST, MOST),
    (KINDS[0], "hysteresis", 0.0, MOST),
    (KINDS[0], "factor", TINY, MOST),
    (KINDS[0], "frozen_after", TINY, MOST),
    (KINDS[1], "trip", TINY, MOST),
    (KINDS[1], "window", 0.25, 60.0),
    (KINDS[1], "frozen_after", TINY, MOST),
    (KINDS[3], "discrepancy", 0.0, 10.0),
    (KINDS[4], "discrepancy", 0.0, 10.0),
    (KINDS[4], "tolerance", 0.0, MOST),
    (KINDS[5], "interval", TINY, 5.0),
    (OUTPUT, "readback_within", TINY, 1.0),
    (OUTPUT, "settle", 0.0, MOST),
    (OUTPUT, "on_time", TINY, MOST),
    (OUTPUT, "duty", TINY, 1.0),
    (instrument(), "period", TINY, 0.1),
    (instrument(), "lease", TINY, 10.0),
]


@pytest.mark.parametrize(
    ("thing", "key", "low", "high"), BOUNDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_declared_is_within_its_bounds(thing, key, low, high):
    for value in (low, high):
        assert getattr(replace(thing, **{key: value}), key) == value
    for value in (math.nextafter(low, -math.inf), math.nextafter(high, math.inf), math.nan, -math.inf):
        with pytest.raises(ValueError, match=r"expected (0 to|more than 0 and|at least|a finite)") as caught:
            replace(thing, **{key: value})
        named = key if key != "max_age" or value != math.nextafter(1.0, 2.0) else "window"
        assert str(caught.value).startswith((f"{named} is", f"{key} is"))


def test_the_bounds_are_told():
    with pytest.raises(ValueError, match=r"^trips_after is 0\.06, expected 0 to 0\.05$"):
        Boolean("it", "digital:0", True, 0.25, trips_after=0.06)
    with pytest.raises(ValueError, match=r"^max_age is 6, expected more than 0 and at most 5$"):
        Boolean("it", "digital:0", True, 6.0)
    with pytest.raises(ValueError, match=r"^trip is inf, expected a finite number$"):
        replace(KINDS[0], trip=math.inf)
    with pytest.raises(ValueError, match=r"^window is 0\.2, expected at least max_age = 0\.25$"):
        replace(KINDS[1], window=0.2)
    with pytest.raises(ValueError, match=r"^max_age is 6, expected more than 0 and at most 5$"):
        replace(KINDS[1], window=60.0, max_age=6.0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_what_an_interlock_is_unless_told_otherwise(kind):
    assert (kind.trips_after, kind.clears_after, kind.bypass) == (0.0, 0.0, 0.0)
    assert (kind.emergency_stop, kind.message) == (False, "")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize("key", ["bypass", "trips_after"])
def test_an_emergency_stop_can_be_neither_bypassed_nor_delayed(kind, key):
    assert replace(kind, emergency_stop=True, clears_after=1.0).emergency_stop
    with pytest.raises(ValueError, match=r"^an emergency stop can be neither bypassed nor delayed$"):
        replace(kind, emergency_stop=True, **{key: 0.01})


@pytest.mark.parametrize("power", [0, 3, -1, 1.5, math.nan])
def test_a_limit_judges_its_reading_or_the_square_of_it(power):
    for allowed in (1, 2):
        assert replace(KINDS[0], power=allowed).power == allowed
    with pytest.raises(ValueError, match=rf"^power is {power!r}, expected 1 or 2$"):
        replace(KINDS[0], power=power)


@pytest.mark.parametrize(("direction", "sign"), [(Direction.ABOVE, 1.0), (Direction.BELOW, -1.0)])
def test_a_warning_comes_before_the_trip(direction, sign):
    coil = Limit("coil", "analog:0", "K", sign * 60.0, 0.25, direction=direction)
    assert replace(coil, warn=sign * 59.0).warn == sign * 59.0
    for warn in (60.0, 61.0):
        with pytest.raises(ValueError, match="expected a level that comes before trip"):
            replace(coil, warn=sign * warn)
    for warn in (math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match=rf"^warn is {sign * warn:g}, expected a finite number$"):
            replace(coil, warn=sign * warn)
    with pytest.raises(ValueError, match=r"^warn is 61, expected a level that comes before trip = 60$"):
        Limit("coil", "analog:0", "K", 60.0, 0.25, warn=61.0)


@pytest.mark.parametrize("kind", [KINDS[3], KINDS[4]], ids=["contacts", "sensors"])
def test_two_channels_are_two(kind):
    with pytest.raises(ValueError, match=r"^the sources are a, a, expected two different ones$"):
        replace(kind, sources=("a", "a"))


def test_a_duty_needs_an_on_time_and_an_output_a_gate():
    assert replace(OUTPUT, duty=0.5).duty == 0.5
    with pytest.raises(ValueError, match=r"^duty is 0\.5 without an on_time, which it is a share of$"):
        replace(AMPLIFIER, duty=0.5)
    with pytest.raises(ValueError, match=r"^no interlock gates the output 'amplifier'$"):
        replace(AMPLIFIER, gated_by=())


def test_what_an_output_is_unless_told_otherwise():
    output = Output("amplifier", "ac", ("coil",))
    assert (output.readback_within, output.after, output.settle) == (0.25, (), 0.0)
    assert (output.on_time, output.duty) == (None, 1.0)


def test_names_and_sinks_are_there_once_and_gates_exist():
    with pytest.raises(ValueError, match=r"^the interlock 'coil' is there more than once$"):
        Config(0.01, 0.5, (DOOR, ESTOP, COIL, replace(COIL, source="analog:1")), (AMPLIFIER,))
    with pytest.raises(ValueError, match=r"^the output 'amplifier' is there more than once$"):
        instrument(AMPLIFIER, replace(AMPLIFIER, sink="gpio:1"))
    with pytest.raises(ValueError, match=r"^the sink 'ac' is there more than once$"):
        instrument(AMPLIFIER, replace(AMPLIFIER, name="heater"))
    with pytest.raises(
        ValueError, match=r"^the output 'amplifier' is gated by 'lid', which is no interlock$"
    ):
        instrument(replace(AMPLIFIER, gated_by=("coil", "lid")))


def chain(*steps):
    return [
        Output(name, f"gpio:{number}", ("coil",), after=after) for number, (name, after) in enumerate(steps)
    ]


@pytest.mark.parametrize(
    "steps",
    [
        [("transmit", ("mains",)), ("mains", ())],
        [("mains", ("mains",))],
        [("mains", ()), ("amplifier", ("mains", "pump"))],
    ],
)
def test_an_output_comes_after_those_that_it_follows(steps):
    with pytest.raises(
        ValueError, match=r"^the output '\w+' comes after '\w+', which does not come before it$"
    ):
        instrument(*chain(*steps))


def test_what_an_output_needs_and_what_needs_it_at_any_remove():
    made = instrument(
        *chain(
            ("mains", ()),
            ("heating", ()),
            ("amplifier", ("mains",)),
            ("transmit", ("amplifier", "heating")),
            ("light", ()),
        )
    )
    assert made.needs == {
        "mains": {"mains"},
        "heating": {"heating"},
        "amplifier": {"mains", "amplifier"},
        "transmit": {"mains", "heating", "amplifier", "transmit"},
        "light": {"light"},
    }
    assert made.needed_by == {
        "mains": {"mains", "amplifier", "transmit"},
        "heating": {"heating", "transmit"},
        "amplifier": {"amplifier", "transmit"},
        "transmit": {"transmit"},
        "light": {"light"},
    }


def test_how_many_deadlines_may_be_missed_is_bounded():
    assert (Deadlines().limit, Deadlines().window) == (10, 1.0)
    for limit in (0, 100):
        assert Deadlines(limit=limit).limit == limit
    for limit in (-1, 101):
        with pytest.raises(ValueError, match=rf"^limit is {limit}, expected 0 to 100 missed deadlines$"):
            Deadlines(limit=limit)
    for window in (0.1, 60.0):
        assert Deadlines(window=window).window == window
    for window in (0.09, 60.1, math.nan):
        with pytest.raises(ValueError, match=rf"^window is {window:g} s, expected 0\.1 to 60 s$"):
            Deadlines(window=window)


def test_the_bounds_that_no_declaration_can_weaken():
    """Changing one of these is a decision about safety, so that it is made here as well."""
    assert declared.LONGEST_TRIP_DELAY == 0.05
    assert declared.LONGEST_AGE == 5.0
    assert declared.LONGEST_DISCREPANCY == 10.0
    assert declared.LONGEST_WINDOW == 60.0
    assert declared.LONGEST_READBACK == 1.0
    assert declared.LONGEST_BYPASS == 3600.0
    assert declared.LONGEST_LEASE == 10.0
    assert declared.LONGEST_PERIOD == 0.1
    assert declared.MOST_MISSED == 100
    assert (declared.SHORTEST_COUNT, declared.LONGEST_COUNT) == (0.1, 60.0)


def test_what_an_interlock_is_shown_in():
    two = ("analog:0", "analog:1")
    assert Limit("it", "analog:0", "K", 60.0, 0.25).shown_in == "K"
    assert Rate("it", "analog:0", "K", 60.0, 0.25, 1.0).shown_in == "K/s"
    assert TwoSensors("it", two, "degC", 2.0, 0.25, 0.5).shown_in == "degC"
    assert Boolean("it", "digital:0", True, 0.25).shown_in is None
    assert TwoContacts("it", two, (True, True), 0.25, 0.5).shown_in is None
    assert Heartbeat("it", "analog:0", 0.5, 0.25).shown_in is None
