"""What an instrument declares: its interlocks, its outputs, and the bounds that no declaration can weaken.

Everything here is frozen data that refuses (`ValueError`) to be made beyond those bounds, whoever makes it; the
reader of instrument files refuses the same earlier and in words that name the file and the key. Times are in
seconds.
"""

from __future__ import annotations

import math
import sys
from dataclasses import field
from enum import StrEnum

from nixel.safety.core.frozen import dataclass

LONGEST_TRIP_DELAY = 0.05
# The longest silence of a sensor, a contact or a heartbeat that may pass for a sign of life.
LONGEST_AGE = 5.0
LONGEST_DISCREPANCY = 10.0
LONGEST_WINDOW = 60.0
LONGEST_READBACK = 1.0
LONGEST_BYPASS = 3600.0
LONGEST_LEASE = 10.0
LONGEST_PERIOD = 0.1
MOST_MISSED = 100  # deadlines
SHORTEST_COUNT, LONGEST_COUNT = 0.1, 60.0  # s in which they are counted


class Direction(StrEnum):
    """On which side of its levels a limit trips."""

    ABOVE = "above"
    BELOW = "below"


class Sense(StrEnum):
    """Which changes a rate trips on."""

    RISING = "rising"
    FALLING = "falling"
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What interlocks of every kind have in common.

    Attributes
    ----------
    trips_after
        For so long a value beyond its level may be seen without tripping; what is missing, senseless, stale or
        frozen trips at once all the same.
    clears_after
        For so long everything must have been well before a tripped interlock counts as healthy again.
    bypass
        The longest time for which a person may bypass it; 0 for never.
    emergency_stop
        Whether this is the emergency stop: never bypassed, never delayed.
    shown_in
        The unit of what people are shown of it; `None` for contacts and heartbeats.

    Raises
    ------
    ValueError
        Beyond a bound.
    """

    trips_after: float = 0.0
    clears_after: float = 0.0
    bypass: float = 0.0
    emergency_stop: bool = False
    shown_in: str | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        _from_zero("trips_after", self.trips_after, LONGEST_TRIP_DELAY)
        _from_zero("clears_after", self.clears_after)
        _from_zero("bypass", self.bypass, LONGEST_BYPASS)
        if self.emergency_stop and (self.bypass or self.trips_after):
            msg = "an emergency stop can be neither bypassed nor delayed"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class OneSource(Guard):
    """An interlock that reads one source; `sources` names it as those with two do."""

    name: str
    source: str
    sources: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        Guard.__post_init__(self)
        object.__setattr__(self, "sources", (self.source,))


@dataclass(frozen=True, slots=True)
class Limit(OneSource):
    """An interlock on a measured quantity: it warns at `warn` and trips at `trip`, both in `unit`.

    Once beyond a level it must come back by `hysteresis` to count as within it. A reading that has not changed at
    all for `frozen_after` is a fault; `None` for a quantity that may stand still.

    What is judged, and shown, is `factor * x ** power` of a reading `x`, so that the reading of a current can be
    limited as a field (power 1) or as a power (power 2). With `magnitude` it is `factor * abs(x) ** power`: a
    current or a field is as dangerous in one direction as in the other, a temperature below zero is not. A square
    has no sign either way.
    """

    unit: str
    trip: float
    max_age: float
    warn: float | None = None
    direction: Direction = Direction.ABOVE
    message: str = ""
    hysteresis: float = 0.0
    frozen_after: float | None = None
    factor: float = 1.0
    power: int = 1
    magnitude: bool = False

    def __post_init__(self) -> None:
        OneSource.__post_init__(self)
        object.__setattr__(self, "shown_in", self.unit)
        _positive("max_age", self.max_age, LONGEST_AGE)
        _finite("trip", self.trip)
        _from_zero("hysteresis", self.hysteresis)
        _positive("factor", self.factor)
        if self.frozen_after is not None:
            _positive("frozen_after", self.frozen_after)
        if self.power not in (1, 2):
            msg = f"power is {self.power!r}, expected 1 or 2"
            raise ValueError(msg)
        if self.warn is not None:
            _finite("warn", self.warn)
            if self.warn >= self.trip if self.direction is Direction.ABOVE else self.warn <= self.trip:
                msg = f"warn is {self.warn:g}, expected a level that comes before trip = {self.trip:g}"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Rate(OneSource):
    """An interlock on how fast a quantity changes: it trips at `trip`, in `unit` per second, over `window`.

    A jump counts as spread over the window, so that one noisy reading does not make an infinite rate. Until the
    quantity has been watched for a whole window nothing is known of its rate, and that is unhealthy. The window is
    no shorter than `max_age`, or a change between two readings could count as spread over longer than the window.
    """

    unit: str
    trip: float
    max_age: float
    window: float
    sense: Sense = Sense.EITHER
    message: str = ""
    frozen_after: float | None = None

    def __post_init__(self) -> None:
        OneSource.__post_init__(self)
        object.__setattr__(self, "shown_in", f"{self.unit}/s")
        _positive("max_age", self.max_age, LONGEST_AGE)
        _positive("trip", self.trip)
        _positive("window", self.window, LONGEST_WINDOW)
        if self.frozen_after is not None:
            _positive("frozen_after", self.frozen_after)
        if self.window < self.max_age:
            msg = f"window is {self.window:g}, expected at least max_age = {self.max_age:g}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Boolean(OneSource):
    """An interlock on a contact: anything but `healthy` trips it."""

    healthy: bool
    max_age: float
    message: str = ""

    def __post_init__(self) -> None:
        OneSource.__post_init__(self)
        _positive("max_age", self.max_age, LONGEST_AGE)


@dataclass(frozen=True, slots=True)
class TwoContacts(Guard):
    """A two-channel interlock on contacts: either channel trips it.

    Channels that disagree for longer than `discrepancy` mean that one of them is stuck; then both must have been
    seen tripped together before it is healthy again. `healthy` tells the healthy state of each, so that channels of
    opposite sense can be had.
    """

    name: str
    sources: tuple[str, str]
    healthy: tuple[bool, bool]
    max_age: float
    discrepancy: float
    message: str = ""

    def __post_init__(self) -> None:
        Guard.__post_init__(self)
        _two(self.sources)
        _positive("max_age", self.max_age, LONGEST_AGE)
        _from_zero("discrepancy", self.discrepancy, LONGEST_DISCREPANCY)


@dataclass(frozen=True, slots=True)
class TwoSensors(Guard):
    """A two-channel interlock on sensors of one quantity: they may differ by `tolerance` or less, in `unit`.

    A larger difference trips when it has lasted for longer than `discrepancy`: two sensors lag differently. It
    guards the sensors, not the quantity, which each of them has a limit for.
    """

    name: str
    sources: tuple[str, str]
    unit: str
    tolerance: float
    max_age: float
    discrepancy: float
    message: str = ""

    def __post_init__(self) -> None:
        Guard.__post_init__(self)
        object.__setattr__(self, "shown_in", self.unit)
        _two(self.sources)
        _positive("max_age", self.max_age, LONGEST_AGE)
        _from_zero("tolerance", self.tolerance)
        _from_zero("discrepancy", self.discrepancy, LONGEST_DISCREPANCY)


@dataclass(frozen=True, slots=True)
class Heartbeat(OneSource):
    """An interlock on something that must keep changing: a counter or a toggling contact, at least each `interval`."""

    interval: float
    max_age: float
    message: str = ""

    def __post_init__(self) -> None:
        OneSource.__post_init__(self)
        _positive("max_age", self.max_age, LONGEST_AGE)
        _positive("interval", self.interval, LONGEST_AGE)


Interlock = Limit | Rate | Boolean | TwoContacts | TwoSensors | Heartbeat


@dataclass(frozen=True, slots=True)
class Output:
    """Something that can be energised through `sink`, gated by the interlocks named in `gated_by`.

    Attributes
    ----------
    readback_within
        What the sink reports of itself must follow the command within so long, and never be older than that.
    after
        The outputs that must be on, and report so, before this one is switched on; they stay on until this one is
        off and reports so.
    settle
        For so long it must have been on before an output that comes after it is switched on.
    on_time
        The longest time that it may stay on; `None` for no limit.
    duty
        The largest fraction of time that it may be on in the long run, above 0 and up to 1; below 1 only with an
        `on_time`. In any stretch of length T it is on for at most `duty * T + (1 - duty) * on_time`, and one tick.

    Raises
    ------
    ValueError
        Beyond a bound, or if no interlock gates it.
    """

    name: str
    sink: str
    gated_by: tuple[str, ...]
    readback_within: float = 0.25
    after: tuple[str, ...] = ()
    settle: float = 0.0
    on_time: float | None = None
    duty: float = 1.0

    def __post_init__(self) -> None:
        if not self.gated_by:
            msg = f"no interlock gates the output {self.name!r}"
            raise ValueError(msg)
        _positive("readback_within", self.readback_within, LONGEST_READBACK)
        _from_zero("settle", self.settle)
        _positive("duty", self.duty, 1.0)
        if self.on_time is not None:
            _positive("on_time", self.on_time)
        elif self.duty < 1.0:
            msg = f"duty is {self.duty:g} without an on_time, which it is a share of"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How many deadlines of the control loop may be missed within `window` before that is a fault.

    Raises
    ------
    ValueError
        Beyond a bound: a loop that is late for longer is none.
    """

    limit: int = 10
    window: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.limit <= MOST_MISSED:
            msg = f"limit is {self.limit}, expected 0 to {MOST_MISSED} missed deadlines"
            raise ValueError(msg)
        if not SHORTEST_COUNT <= self.window <= LONGEST_COUNT:
            expected = f"{SHORTEST_COUNT:g} to {LONGEST_COUNT:g} s"
            msg = f"window is {self.window:g} s, expected {expected}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Config:
    """All that the pure logic needs to know of an instrument.

    Attributes
    ----------
    period
        The time between two ticks.
    lease
        The longest silence that a client may ask for.
    interlocks
        In the order in which they are told.
    outputs
        In the order of the start-up: an output comes after those that it names in `after`.

    Raises
    ------
    ValueError
        Beyond a bound, if a name or a sink is used twice, if a gate is no interlock, or if an output comes before one
        that it must follow.
    """

    period: float
    lease: float
    interlocks: tuple[Interlock, ...]
    outputs: tuple[Output, ...]
    # For each output the outputs that it needs and those that need it, itself included, at any remove.
    needs: dict[str, frozenset[str]] = field(init=False, repr=False, compare=False)
    needed_by: dict[str, frozenset[str]] = field(init=False, repr=False, compare=False)
    # How old the reading of each source may be at most, whoever looks at it [s].
    longest: dict[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _positive("period", self.period, LONGEST_PERIOD)
        _positive("lease", self.lease, LONGEST_LEASE)
        _once("interlock", [interlock.name for interlock in self.interlocks])
        _once("output", [output.name for output in self.outputs])
        _once("sink", [output.sink for output in self.outputs])
        names = {interlock.name for interlock in self.interlocks}
        for output in self.outputs:
            for gate in output.gated_by:
                if gate not in names:
                    msg = f"the output {output.name!r} is gated by {gate!r}, which is no interlock"
                    raise ValueError(msg)
        needs: dict[str, frozenset[str]] = {}
        for output in self.outputs:
            for prior in output.after:
                if prior not in needs:
                    msg = f"the output {output.name!r} comes after {prior!r}, which does not come before it"
                    raise ValueError(msg)
            needs[output.name] = frozenset({output.name}).union(*(needs[prior] for prior in output.after))
        object.__setattr__(self, "needs", needs)
        needed_by = {name: frozenset(other for other in needs if name in needs[other]) for name in needs}
        object.__setattr__(self, "needed_by", needed_by)
        longest = {f"readback:{output.sink}": output.readback_within for output in self.outputs}
        for interlock in self.interlocks:
            for source in interlock.sources:
                longest[source] = min(longest.get(source, interlock.max_age), interlock.max_age)
        object.__setattr__(self, "longest", longest)


def _from_zero(key: str, value: float, most: float = sys.float_info.max) -> None:
    if not 0.0 <= value <= most:
        msg = f"{key} is {value:g}, expected 0 to {most:g}"
        raise ValueError(msg)


def _positive(key: str, value: float, most: float = sys.float_info.max) -> None:
    if not 0.0 < value <= most:
        msg = f"{key} is {value:g}, expected more than 0 and at most {most:g}"
        raise ValueError(msg)


def _finite(key: str, value: float) -> None:
    if not math.isfinite(value):
        msg = f"{key} is {value:g}, expected a finite number"
        raise ValueError(msg)


def _two(sources: tuple[str, str]) -> None:
    if len(set(sources)) != 2:
        msg = f"the sources are {', '.join(sources)}, expected two different ones"
        raise ValueError(msg)


def _once(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            msg = f"the {what} {name!r} is there more than once"
            raise ValueError(msg)
