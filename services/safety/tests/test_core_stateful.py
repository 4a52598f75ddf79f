"""The invariants over instruments drawn at random, and over whatever may happen to them, judged by the same oracle.

`NIXEL_PROOF=long` draws a hundred times as much, and not the same each time.
"""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from invariants import begin, judge
from thorough import LIMIT, THOROUGH

from nixel.safety.core import step as core
from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Boolean,
    Bypass,
    Config,
    Direction,
    Disable,
    Disconnect,
    Enable,
    EndBypass,
    Heartbeat,
    Inputs,
    Limit,
    Mode,
    Output,
    Rate,
    Reading,
    ReleaseLease,
    RenewLease,
    Reset,
    Sense,
    Stop,
    TwoContacts,
    TwoSensors,
)

T = 1 / 128  # s, so that sums of times are exact


def ticks(least, most):
    """Durations of whole numbers of ticks."""
    return st.integers(least, most).map(lambda count: count * T)


AGE = ticks(1, 12)
GUARD = {"trips_after": ticks(0, 6), "clears_after": ticks(0, 8), "bypass": st.sampled_from([0.0, 0.2, 1.0])}
FROZEN = st.none() | ticks(3, 20)


@st.composite
def interlocks(draw, number):
    """An interlock of any kind, and what each of its sources says when all is well."""
    name, source, other = f"i{number}", f"analog:{2 * number}", f"analog:{2 * number + 1}"
    common = {key: draw(values) for key, values in GUARD.items()} | {"max_age": draw(AGE)}
    kind = draw(st.sampled_from(["limit", "rate", "boolean", "contacts", "sensors", "heartbeat"]))
    if kind == "limit":
        below, square = draw(st.booleans()), draw(st.sampled_from([1, 1, 2]))
        extra = {
            "hysteresis": draw(st.sampled_from([0.0, 2.0])),
            "frozen_after": draw(FROZEN),
            "power": square,
        }
        extra |= {"factor": draw(st.sampled_from([1.0, 0.5])), "magnitude": draw(st.booleans())}
        direction = Direction.BELOW if below else Direction.ABOVE
        return Limit(name, source, "A", 3.0 if below else 60.0, direction=direction, **extra, **common)
    if kind == "rate":
        # Readings are a tick apart, which is an eighth of the longest window.
        window = draw(
            ticks(1, 8).filter(lambda window: window >= common["max_age"]) | st.just(common["max_age"])
        )
        window = min(window, 8 * T)
        common["max_age"] = min(common["max_age"], window)
        sense = draw(st.sampled_from(Sense))
        return Rate(
            name, source, "K", 2.0 / T, window=window, sense=sense, frozen_after=draw(FROZEN), **common
        )
    if kind == "boolean":
        if draw(st.booleans()):
            common |= {"trips_after": 0.0, "bypass": 0.0, "emergency_stop": True}
        return Boolean(name, source, draw(st.booleans()), **common)
    if kind == "contacts":
        senses = draw(st.tuples(st.booleans(), st.booleans()))
        return TwoContacts(name, (source, other), senses, discrepancy=draw(ticks(0, 6)), **common)
    if kind == "sensors":
        return TwoSensors(name, (source, other), "K", 1.0, discrepancy=draw(ticks(0, 6)), **common)
    return Heartbeat(name, source, interval=draw(ticks(1, 10)), **common)


@st.composite
def configs(draw):
    """An instrument of up to four interlocks and three outputs."""
    guards = tuple(draw(interlocks(number)) for number in range(draw(st.integers(1, 4))))
    names = [guard.name for guard in guards]
    outputs = []
    for number in range(draw(st.integers(1, 3))):
        on_time = draw(st.none() | ticks(4, 30))
        some = st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
        before = [output.name for output in outputs]
        after = draw(st.lists(st.sampled_from(before), unique=True).map(tuple)) if before else ()
        duty = 1.0 if on_time is None else draw(st.sampled_from([1.0, 0.5, 0.25]))
        timed = {"readback_within": draw(ticks(2, 12)), "settle": draw(ticks(0, 4)), "on_time": on_time}
        outputs.append(Output(f"o{number}", f"gpio:{number}", draw(some), after=after, duty=duty, **timed))
    return Config(T, draw(ticks(4, 60)), guards, tuple(outputs))


CLIENTS = st.integers(1, 3)
BAD = st.sampled_from([None, math.nan, math.inf, True, False, 1.0, 2.0, 57.0, 59.0, 60.0, -61.0, 1e200])
ODDLY = st.sampled_from(["keeps", "gone", "old", "ahead", "says"])


class Machine(RuleBasedStateMachine):
    """The daemon's core, what its wires say, and people who ask for things."""

    @initialize(config=configs())
    def _start(self, config):
        self.config, self.now = config, 64.0
        self.state = core.start(self.now)
        self.ghost, found = begin(self.state, self.now)
        assert not found, found
        self.readings, self.faults, self.asked, self.odd = {}, {}, [], {}
        self.was_on = []  # (from, to, what was on) of every tick
        self.phase = 0

    @rule(count=st.integers(1, 12))
    def time_goes_on(self, count):
        """Ticks, with what was asked for in the first."""
        for _ in range(count):
            self._tick(T)

    @rule()
    def the_lease_is_renewed_for_a_while(self):
        """A client that does its duty."""
        for _ in range(8):
            if self.state.lease is not None:
                self.asked.append(RenewLease(self.state.lease.client, 9))
            self._tick(T)

    @rule(pause=st.sampled_from([0.05, 0.25, 2.0, -T]))
    def the_loop_stands_still(self, pause):
        """Or the clock goes back."""
        self._tick(pause)

    @rule(source=st.integers(0, 7), how=ODDLY, value=BAD)
    def a_source_goes_wrong(self, source, how, value):
        """Until it is mended."""
        self.odd[f"analog:{source}"] = (how, value)

    @rule(number=st.integers(0, 2), how=ODDLY, value=BAD)
    def a_report_goes_wrong(self, number, how, value):
        """The same for what a sink says of itself."""
        self.odd[f"readback:gpio:{number}"] = (how, value)

    @rule()
    def all_is_mended(self):
        """So that the machine does not stay in FAULT for ever."""
        self.odd, self.faults = {}, {}
        for _ in range(24):
            self._tick(T)

    @rule()
    def a_device_breaks(self):
        """Until it is mended."""
        self.faults = {"unit": "unplugged"}

    @rule(client=CLIENTS, number=st.integers(0, 3))
    def climb(self, client, number):
        """What a person does who wants an output on, while all is well."""
        self.all_is_mended()
        self._climb(client, number)

    @rule(client=CLIENTS, number=st.integers(0, 3), chosen=st.integers(0, 3))
    def climb_with_a_bypass(self, client, number, chosen):
        """The same while an interlock is bypassed, and trips."""
        able = [interlock for interlock in self.config.interlocks if interlock.bypass]
        if able:
            self.all_is_mended()
            guard = able[chosen % len(able)]
            self.asked += [Stop(client, 1, "x")]
            self._tick(T)
            self.asked += [Bypass(client, 1, guard.name, guard.bypass)]
            self._tick(T)
            self.odd[guard.sources[0]] = ("gone", None)
            self._climb(client, number)

    def _climb(self, client, number):
        for kind, more in ((Reset, ()), (Arm, ()), (AcquireLease, ("x",)), (Enable, (f"o{number}",))):
            self.asked.append(kind(client, 1, *more))
            self._tick(T)

    @rule(client=CLIENTS, kind=st.sampled_from([RenewLease, ReleaseLease, Disconnect, Arm, Reset]))
    def somebody_asks(self, client, kind):
        """With the next tick."""
        self.asked.append(kind(client, len(self.asked)))

    @rule(client=CLIENTS, output=st.integers(0, 3), kind=st.sampled_from([Enable, Disable]))
    def somebody_switches(self, client, output, kind):
        """Also what is not there."""
        self.asked.append(kind(client, len(self.asked), f"o{output}"))

    @rule(client=CLIENTS, duration=st.sampled_from([None, 2 * T, 0.1, 9.0]))
    def somebody_acquires(self, client, duration):
        """Also for too long."""
        self.asked.append(AcquireLease(client, len(self.asked), "x", duration))

    @rule(client=CLIENTS, interlock=st.integers(0, 4), duration=st.sampled_from([0.0, 0.1, 0.5, 1.0, 9.0]))
    def somebody_bypasses(self, client, interlock, duration):
        """Also what may not be."""
        self.asked.append(Bypass(client, len(self.asked), f"i{interlock}", duration))

    @rule(client=CLIENTS, interlock=st.integers(0, 4))
    def somebody_ends_a_bypass(self, client, interlock):
        """Also one that is not."""
        self.asked.append(EndBypass(client, len(self.asked), f"i{interlock}"))

    @rule(client=CLIENTS)
    def somebody_stops(self, client):
        """Whoever it is."""
        self.asked.append(Stop(client, len(self.asked), "x"))

    @rule()
    def the_daemon_is_killed(self):
        """And started again; it knows nothing of before."""
        self.state = core.start(self.now)
        self.ghost, found = begin(self.state, self.now)
        assert not found, found
        self.was_on = []

    @invariant()
    def no_output_is_on_for_longer_than_its_duty(self):
        """In any stretch of T that ends now: `duty T + (1 - duty) on_time`, and one tick, however long that was."""
        for output in self.config.outputs if hasattr(self, "config") else ():
            if output.on_time is None:
                continue
            used, longest = 0.0, max((to - since for since, to, _ in self.was_on), default=0.0)
            end = self.was_on[-1][1] if self.was_on else self.now
            for since, to, on in reversed(self.was_on):
                used += (to - since) * (output.name in on)
                allowed = output.duty * (end - since) + (1.0 - output.duty) * output.on_time
                assert output.duty == 1.0 or used <= allowed + longest + 1e-9

    def _well(self, interlock, place):
        if isinstance(interlock, Boolean):
            return interlock.healthy
        if isinstance(interlock, TwoContacts):
            return interlock.healthy[place]
        if isinstance(interlock, Heartbeat):
            return self.phase % 2 == 0
        return 20.0 if isinstance(interlock, TwoSensors) else 6.0 + (self.phase % 2) / 8

    def _tick(self, passed):
        before, self.now, self.phase = self.now, self.now + passed, self.phase + 1
        new = {
            source: self._well(interlock, place)
            for interlock in self.config.interlocks
            for place, source in enumerate(interlock.sources)
        }
        new |= {f"readback:{output.sink}": output.name in self.state.on for output in self.config.outputs}
        for source, value in new.items():
            self._say(source, value, *self.odd.get(source, ("says well", None)))
        inputs = Inputs(dict(self.readings), tuple(self.asked), self.faults)
        result = core.step(self.config, self.state, inputs, self.now)
        self.ghost, found = judge(self.config, self.ghost, self.state, inputs, self.now, result)
        assert not found, found
        if passed > 0:
            self.was_on.append((before, self.now, self.state.on))
        self.state, self.asked = result[0], []
        assert self.state.mode in Mode

    def _say(self, source, value, how, instead):
        if how == "gone":
            self.readings.pop(source, None)
        elif how != "keeps":
            lead = {"old": -1.0, "ahead": 1.0}.get(how, 0.0)
            said = instead if how == "says" else value
            self.readings[source] = Reading(said, self.now + lead)


@pytest.mark.timeout(LIMIT)
def test_the_invariants_hold_over_instruments_drawn_at_random(capsys):
    reached = Counter()

    class Counted(Machine):
        def _tick(self, passed):
            super()._tick(passed)
            reached.update([str(self.state.mode)])
            reached["bypassed while on"] += bool(self.state.on and self.state.bypasses)

    run = settings(
        max_examples=4000 if THOROUGH else 100,
        stateful_step_count=60 if THOROUGH else 30,
        derandomize=not THOROUGH,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(Counted, settings=run)
    with capsys.disabled():
        print(f"\nticks of instruments drawn at random: {dict(reached)}", flush=True)
    # The run would be empty if it never switched anything on; which instruments are drawn is another matter.
    assert {str(mode) for mode in Mode} <= set(reached)
