"""What the safety logic talks about: configuration, readings, requests, state, events.

Everything here is frozen data. Times are seconds of one monotonic clock, durations are seconds, a client
is the number of its connection. What an instrument declares stands in `declared` and is named here too.
"""

from __future__ import annotations

import math
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from nixel.safety.core.declared import Boolean as Boolean
from nixel.safety.core.declared import Config as Config
from nixel.safety.core.declared import Direction as Direction
from nixel.safety.core.declared import Heartbeat as Heartbeat
from nixel.safety.core.declared import Interlock as Interlock
from nixel.safety.core.declared import Limit as Limit
from nixel.safety.core.declared import Output as Output
from nixel.safety.core.declared import Rate as Rate
from nixel.safety.core.declared import Sense as Sense
from nixel.safety.core.declared import TwoContacts as TwoContacts
from nixel.safety.core.declared import TwoSensors as TwoSensors
from nixel.safety.core.frozen import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICE_KIND = "device"
READBACK_KIND = "readback"
ON_TIME_KIND = "on-time"
START = "start"
CLOCK = "clock"


class Mode(StrEnum):
    """The four states of the instrument's power."""

    SAFE = "SAFE"
    ARMED = "ARMED"
    ENERGISED = "ENERGISED"
    FAULT = "FAULT"


# --- what comes in with a tick ---


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source said, and when it was asked; `None` is a reply that made no sense."""

    value: float | bool | None
    time: float


@dataclass(frozen=True, slots=True)
class Request:
    """What a connection asks for; `number` is given back in the reply."""

    client: int
    number: int


@dataclass(frozen=True, slots=True)
class AcquireLease(Request):
    """Take the lease under a name that people can read, for `duration` seconds or the most allowed."""

    name: str
    duration: float | None = None


@dataclass(frozen=True, slots=True)
class RenewLease(Request):
    """Say that the holder of the lease is still there."""


@dataclass(frozen=True, slots=True)
class ReleaseLease(Request):
    """Give the lease back."""


@dataclass(frozen=True, slots=True)
class Disconnect(Request):
    """The connection is gone, and with it whatever it held."""


@dataclass(frozen=True, slots=True)
class Arm(Request):
    """Permit outputs to be enabled."""


@dataclass(frozen=True, slots=True)
class Enable(Request):
    """Energise an output."""

    output: str


@dataclass(frozen=True, slots=True)
class Disable(Request):
    """De-energise an output."""

    output: str


@dataclass(frozen=True, slots=True)
class Stop(Request):
    """De-energise everything; `by` tells who asked, for the record."""

    reason: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Reset(Request):
    """Clear the latched fault."""


@dataclass(frozen=True, slots=True)
class Bypass(Request):
    """Let outputs be on although an interlock is unhealthy, for `duration` seconds.

    `by` and `reason` tell who asked and why, for the record.
    """

    interlock: str
    duration: float
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EndBypass(Request):
    """End the bypass of an interlock before its time."""

    interlock: str


AnyRequest = (
    AcquireLease
    | RenewLease
    | ReleaseLease
    | Disconnect
    | Arm
    | Enable
    | Disable
    | Stop
    | Reset
    | Bypass
    | EndBypass
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a tick looks at.

    Attributes
    ----------
    readings
        The newest reading of each source; a source that has never answered is absent. Nobody changes it afterwards:
        the same mapping is taken to hold the same readings.
    requests
        What clients asked for since the last tick, in the order of arrival.
    faults
        Devices that do not work, by name, each with a sentence.
    """

    readings: Mapping[str, Reading]
    requests: tuple[AnyRequest, ...] = ()
    faults: Mapping[str, str] | None = None


# --- state ---


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one connection to keep outputs on, until `expires` unless renewed."""

    client: int
    name: str
    duration: float
    expires: float


@dataclass(frozen=True, slots=True)
class Bypassed:
    """An interlock that forbids nothing until `expires`, because `by` said so for `reason`."""

    expires: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What an interlock carries from tick to tick; a fresh one has seen nothing and counts as unhealthy.

    Attributes
    ----------
    healthy, warning
        What the last tick found.
    beyond
        Since when it has been beyond its level, with interruptions, without having tripped yet.
    well
        Since when everything has been well without it counting as healthy, or as no longer beyond, yet.
    value, changed
        The last value of what must not stand still, and when it last changed.
    samples
        Earlier readings, oldest first, for a rate.
    apart
        Since when two channels have disagreed.
    stuck
        Whether a channel is held to be stuck until both have been seen tripped together.
    """

    healthy: bool = False
    warning: bool = False
    beyond: float | None = None
    well: float | None = None
    value: float | bool | None = None
    changed: float | None = None
    samples: tuple[tuple[float, float], ...] = ()
    apart: float | None = None
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the fault latched: which interlock or device, since when, in a sentence."""

    name: str
    time: float
    text: str


@dataclass(frozen=True, slots=True)
class Rest:
    """A tick in which nothing happened, and how long the next ones are the same.

    Attributes
    ----------
    config
        The instrument's, by its identity.
    verdicts
        What was found.
    readings
        All that was read.
    overdue
        When the first of the heartbeats will be [s].
    until
        Up to when these very readings are surely fresh and the heartbeats not overdue [s].
    """

    config: object
    verdicts: tuple[Verdict, ...]
    readings: Mapping[str, Reading]
    overdue: float
    until: float


@dataclass(frozen=True, slots=True)
class State:
    """What one tick hands to the next.

    Attributes
    ----------
    causes
        Why the fault is latched, first cause first; empty when it is not.
    on
        The outputs that are commanded on.
    wanted
        The outputs that are to be on once those before them are: what `on` is led to, step by step.
    started
        When the daemon started [s].
    switched
        When each output was last switched [s]; at the start for one that has not been.
    ticked
        The time of the last tick [s]; `None` before the first.
    used
        How much of its longest time on each output has used up [s].
    beat
        The level of the charge-pump heartbeat.
    off_reason
        Why the outputs were last switched off, for the people who wonder; empty while any is on.
    unhealthy, warned
        The interlocks that were unhealthy, or beyond their warning level, in the last tick.
    memory
        What each interlock remembers.
    bypasses
        The interlocks that are bypassed.
    rest
        What the next tick finds if it sees the same readings; `None` if it must be evaluated. It repeats what the
        rest of the state says, so it does not count when states are compared.
    """

    mode: Mode
    causes: tuple[Cause, ...] = ()
    on: frozenset[str] = frozenset()
    wanted: frozenset[str] = frozenset()
    lease: Lease | None = None
    started: float = -math.inf
    switched: Mapping[str, float] = field(default_factory=dict)
    ticked: float | None = None
    used: Mapping[str, float] = field(default_factory=dict)
    beat: bool = False
    off_reason: str = ""
    unhealthy: frozenset[str] = frozenset()
    warned: frozenset[str] = frozenset()
    memory: Mapping[str, Memory] = field(default_factory=dict)
    bypasses: Mapping[str, Bypassed] = field(default_factory=dict)
    rest: Rest | None = field(default=None, compare=False, repr=False)

    @property
    def last(self) -> float:
        """The time of the last tick, or of the start [s]."""
        return self.started if self.ticked is None else self.ticked

    def switched_at(self, output: str) -> float:
        """Say when an output was last switched [s]."""
        return self.switched.get(output, self.started)


# --- what a tick yields ---


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tick found of one interlock, readback, on-time or device.

    `gap` is true where there was no fresh reading to judge, `early` where too little has been seen yet to judge;
    `value` and `unit` are `None` where they do not apply. A bypassed interlock says what it finds like any
    other, and forbids nothing.
    """

    name: str
    kind: str
    healthy: bool
    message: str
    warning: bool = False
    value: float | bool | None = None
    unit: str | None = None
    gap: bool = False
    early: bool = False
    bypassed: bool = False

    @property
    def permits(self) -> bool:
        """Whether this lets outputs be on."""
        return self.healthy or self.bypassed


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request: `refused` says why not, `None` means done."""

    client: int
    number: int
    refused: str | None


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a tick commands.

    Attributes
    ----------
    on
        The outputs that are energised from now on.
    permitted
        Whether outputs may be on at all; the heartbeat `beat` toggles in these ticks and in no other.
    verdicts
        What this tick found: interlocks, readbacks, on-times, then devices that do not work.
    replies
        One for each request but `Disconnect`.
    """

    on: frozenset[str]
    permitted: bool
    beat: bool
    verdicts: tuple[Verdict, ...]
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth remembering.

    `kind` is one of transition, output, lease, cause, interlock, bypass, request, start, proof.
    """

    time: float
    kind: str
    text: str
    details: Mapping[str, str | float | bool | None]
