"""Every state that the safety logic can reach, of an abstract instrument with one interlock of each kind.

What is explored is not one product of everything: seven interlocks with up to 64 combinations of readings, two
outputs and two clients would be some 10^12 transitions. It is cut by what cannot interact. The memory of an
interlock follows from its own readings alone; the control (modes, lease, bypasses, outputs) sees of it only whether
it is healthy. So these are explored to their ends, each with the oracle on every transition:

- all kinds together, where one part at a time (an interlock, a sink's report, a device) is disturbed, in every way
  and for as long as it likes, until it is at rest again, with each request alone;
- each kind alone, with every reading of its sources;
- every two kinds together, both disturbed at once;
- two requests in one tick, in both orders, of which one takes something away (a stop, a lease given back, ...);
- the start-up order, on-time and duty, with both sinks' reports;
- causes, with the whole set of those that are told.

In each, time goes on by a tick or by a second (a loop that stood still); with the emergency stop
alone also back by a tick, and in the long run everywhere.

`NIXEL_PROOF=long` adds what takes minutes: every combination of unreadable sources, bypasses in the exploration of
all kinds together, every two kinds and every two requests.
"""

from __future__ import annotations

from itertools import combinations

import pytest
from abstract import (
    BASIC,
    FULL,
    HORIZON,
    KINDS,
    LONG,
    REST,
    VARIED,
    T,
    climb,
    config,
    disturbances,
    letter,
    pairs,
    shorten_the_start,
    single,
)
from exploration import explore
from thorough import LIMIT, THOROUGH

from nixel.safety.core.model import Bypass, EndBypass, Mode, Reset

pytestmark = pytest.mark.timeout(LIMIT)


@pytest.fixture(autouse=True)
def _short_start(monkeypatch):
    shorten_the_start(monkeypatch)


@pytest.fixture
def tell(capsys):
    """Print past pytest's capture: the counts are to be seen in every run."""

    def _tell(what, explored):
        with capsys.disabled():
            print(f"\n{what}: {explored}", flush=True)
        assert not explored.broken, "\n".join(explored.broken.values())
        assert set(explored.modes) == set(map(str, Mode)), "a mode that is not reached is not checked"

    return _tell


def fed(instrument, *, width=1, grade=BASIC, leave=(), back=THOROUGH, resting, restless):
    """Letters: with all at rest those requests, with each disturbance these, and nothing asked with either."""

    def letters(state, ghost, now):
        for found in disturbances(instrument, state, ghost, now + T, width, grade, leave):
            yield letter(T, found)
            if found[0] > BASIC:
                yield letter(T, found, climb(instrument, state)[-1])
            else:
                for asked in resting(instrument, state) if found[0] == REST else restless(instrument, state):
                    yield letter(T, found, asked)
        # A loop that stood still; and a clock that went back, once, because ages below zero would have no end.
        for later in (LONG, -T) if back and now >= state.last else (LONG,):
            found = next(disturbances(instrument, state, ghost, now + later))
            yield letter(later, found)
            yield letter(later, found, climb(instrument, state)[-1])

    return letters


def alone_and_climbing(instrument, state):
    """Each request, and two in one tick that lead on."""
    return [*single(instrument, state), climb(instrument, state)[-1]]


def without_bypasses(instrument, state):
    """Each request but for bypasses, and two in one tick that lead on."""
    return [*single(instrument, state, bypasses=False), climb(instrument, state)[-1]]


def leading_on(instrument, state):
    """Only what leads on."""
    return climb(instrument, state)[-1:]


def each_and_every_two(instrument, state):
    """Each request, and two in both orders."""
    return [*single(instrument, state), *pairs(instrument, state, every=THOROUGH)]


@pytest.mark.slow
def test_one_interlock_of_each_kind(tell):
    instrument = config(*KINDS)
    letters = fed(
        instrument,
        grade=VARIED if THOROUGH else BASIC,
        resting=alone_and_climbing if THOROUGH else without_bypasses,
        restless=climb if THOROUGH else leading_on,
    )
    tell("one interlock of each kind", explore(instrument, letters, HORIZON, causes="first"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_alone_with_every_reading(kind, tell):
    instrument = config(kind, outputs=1)
    letters = fed(
        instrument,
        grade=FULL if THOROUGH else VARIED,
        back=THOROUGH or kind == "estop",
        resting=alone_and_climbing,
        restless=leading_on,
    )
    tell(f"{kind} alone", explore(instrument, letters, HORIZON, causes="first"))


# Of two memories that both go on while the other is disturbed; the rest only with NIXEL_PROOF=long.
TWO = list(combinations(KINDS, 2)) if THOROUGH else [("rate", "heartbeat")]


@pytest.mark.parametrize("kinds", TWO, ids=" and ".join)
def test_two_kinds_disturbed_at_once(kinds, tell):
    instrument = config(*kinds, outputs=1)
    sinks = ("ac", "device")
    letters = fed(instrument, width=2, leave=sinks, resting=leading_on, restless=leading_on)
    tell(" and ".join(kinds), explore(instrument, letters, HORIZON, causes="first"))


@pytest.mark.slow
def test_two_requests_of_one_tick(tell):
    instrument = config("flow", "estop", outputs=1)
    letters = fed(
        instrument,
        width=2 if THOROUGH else 1,
        resting=each_and_every_two,
        restless=each_and_every_two if THOROUGH else alone_and_climbing,
    )
    tell("two requests of one tick", explore(instrument, letters, HORIZON, causes="first"))


@pytest.mark.parametrize("duty", [1.0, 0.5])
def test_the_order_of_outputs_their_reports_and_their_time_on(duty, tell):
    # What is used up of a time on, once it comes back only by and by, multiplies the states of all outputs.
    outputs = 2 if THOROUGH or duty == 1.0 else 1
    instrument = config("estop", outputs=outputs, on_time=(3 if THOROUGH else 2) * T, duty=duty)
    letters = fed(instrument, width=2, leave=("device",), resting=without_bypasses, restless=leading_on)
    tell(f"outputs in their order, duty {duty:g}", explore(instrument, letters, HORIZON, causes="first"))


def test_every_set_of_causes(tell):
    instrument = config("flow", "estop", outputs=1)

    def asked(_, state):
        some = Reset(2, 1), Bypass(2, 1, "flow", 5 * T), EndBypass(2, 1, "flow")
        return [(each,) for each in some] + climb(instrument, state)[-1:]

    letters = fed(instrument, width=2, leave=("ac",), resting=asked, restless=asked)
    tell("every set of causes", explore(instrument, letters, HORIZON, causes="all"))
