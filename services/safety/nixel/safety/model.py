"""What the safety logic talks about: configuration, readings, requests, state, events.

Everything here is frozen data. Times are seconds of one monotonic clock, durations are seconds, a client
is the number of its connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICE_KIND = "device"
READBACK_KIND = "readback"
START = "start"


class Mode(StrEnum):
    """The four states of the instrument's power."""

    SAFE = "SAFE"
    ARMED = "ARMED"
    ENERGISED = "ENERGISED"
    FAULT = "FAULT"


class Direction(StrEnum):
    """On which side of its levels a limit trips."""

    ABOVE = "above"
    BELOW = "below"


# --- configuration ---


@dataclass(frozen=True, slots=True)
class Limit:
    """An interlock on a measured quantity: it warns at `warn` and trips at `trip`, both in `unit`."""

    name: str
    source: str
    unit: str
    trip: float
    max_age: float
    warn: float | None = None
    direction: Direction = Direction.ABOVE
    message: str = ""


@dataclass(frozen=True, slots=True)
class Boolean:
    """An interlock on a contact: anything but `healthy` trips it."""

    name: str
    source: str
    healthy: bool
    max_age: float
    message: str = ""


Interlock = Limit | Boolean


@dataclass(frozen=True, slots=True)
class Output:
    """Something that can be energised through `sink`, gated by the interlocks named in `gated_by`.

    What the sink reports of itself must follow the command within `readback_within` seconds, and never be
    older than that.
    """

    name: str
    sink: str
    gated_by: tuple[str, ...]
    readback_within: float = 0.25


@dataclass(frozen=True, slots=True)
class Config:
    """All that the pure logic needs to know of an instrument.

    `period` is the time between two ticks, `lease` the longest silence that a client may ask for.
    """

    period: float
    lease: float
    interlocks: tuple[Interlock, ...]
    outputs: tuple[Output, ...]


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


AnyRequest = AcquireLease | RenewLease | ReleaseLease | Disconnect | Arm | Enable | Disable | Stop | Reset


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a tick looks at.

    Attributes
    ----------
    readings
        The newest reading of each source; a source that has never answered is absent.
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
class Cause:
    """Why the fault latched: which interlock or device, since when, in a sentence."""

    name: str
    time: float
    text: str


@dataclass(frozen=True, slots=True)
class State:
    """What one tick hands to the next.

    Attributes
    ----------
    causes
        Why the fault is latched, first cause first; empty when it is not.
    on
        The outputs that are commanded on.
    switched
        When an output was last switched [s].
    beat
        The level of the charge-pump heartbeat.
    off_reason
        Why the outputs were last switched off, for the people who wonder; empty while any is on.
    unhealthy, warned
        The interlocks that were unhealthy, or beyond their warning level, in the last tick.
    """

    mode: Mode
    causes: tuple[Cause, ...] = ()
    on: frozenset[str] = frozenset()
    lease: Lease | None = None
    switched: float = 0.0
    beat: bool = False
    off_reason: str = ""
    unhealthy: frozenset[str] = frozenset()
    warned: frozenset[str] = frozenset()


# --- what a tick yields ---


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tick found of one interlock, readback or device.

    `gap` is true where there was no fresh reading to judge; `value`, `unit` and `age` are `None` where they
    do not apply.
    """

    name: str
    kind: str
    healthy: bool
    message: str
    warning: bool = False
    value: float | bool | None = None
    unit: str | None = None
    age: float | None = None
    gap: bool = False


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
        What this tick found, interlocks first, then readbacks, then devices that do not work.
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
    """Something worth remembering; `kind` is one of transition, output, lease, cause, interlock, request."""

    time: float
    kind: str
    text: str
    details: Mapping[str, str | float | bool | None]
