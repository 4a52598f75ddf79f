"""What the daemon's clients get to see: the errors, and the status as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class SafetyError(Exception):
    """Something between us and the safety daemon; the text is for a person."""


class SafetyUnavailable(SafetyError):  # noqa: N818  named for what is wrong, as callers read it
    """There is no safety daemon at the path, or it no longer answers."""


class SafetyRefused(SafetyError):  # noqa: N818
    """The safety daemon said no; the text is its reason."""


class LeaseLost(SafetyError):  # noqa: N818
    """What the lease kept on is off; the text is the daemon's reason."""


@dataclass(frozen=True, slots=True)
class Interlock:
    """What the daemon found of an interlock, a readback or a device in its last tick; `age_s` in seconds."""

    name: str
    kind: str
    healthy: bool
    warning: bool
    value: float | bool | None
    unit: str | None
    age_s: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the fault latched; `time` is ISO 8601 in UTC."""

    name: str
    time: str
    message: str


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """Who holds the lease, and how long it lasts without renewal [s]."""

    holder: str
    remaining_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """One tick of the daemon.

    Attributes
    ----------
    state
        SAFE, ARMED, ENERGISED or FAULT.
    outputs
        Whether each output is on.
    interlocks
        Interlocks, readbacks and broken devices.
    lease
        Who holds it, if anyone.
    first_cause, causes
        Why the fault is latched, if it is; the first, and all in order.
    off_reason
        Why the outputs were last switched off; `None` while any is on.
    simulated
        Whether the surveillance unit is a virtual one.
    ticks, missed_deadlines
        Counted since the daemon started.
    what_to_do
        A sentence.
    """

    state: str
    outputs: Mapping[str, bool]
    interlocks: tuple[Interlock, ...]
    lease: LeaseInfo | None
    first_cause: Cause | None
    causes: tuple[Cause, ...]
    off_reason: str | None
    simulated: bool
    ticks: int
    missed_deadlines: int
    what_to_do: str


@dataclass(frozen=True, slots=True)
class History:
    """What happened last, as the daemon remembers it.

    Attributes
    ----------
    events
        Oldest first; each with `time`, `monotonic`, `kind`, `text` and `details`.
    earlier
        Whether there are older ones that match; the event log has them.
    latest
        The hash of the last line of the event log; empty while the daemon does not know it.
    lost
        How many events could not be kept since the daemon started.
    problem
        Why the log cannot be written at present; empty if it can.
    """

    events: tuple[Mapping[str, Any], ...]
    earlier: bool
    latest: str
    lost: int
    problem: str


def parse_status(parameters: Mapping[str, Any]) -> Status:
    """Turn the parameters of a Status reply into a `Status`.

    Parameters
    ----------
    parameters
        As decoded from JSON; names that we do not know are ignored, for the daemon may be newer.

    Returns
    -------
    Status
        Complete.

    Raises
    ------
    SafetyError
        If something that we need is missing: the daemon and this program are of different versions.
    """
    try:
        causes = tuple(_pick(Cause, cause) for cause in parameters["causes"])
        lease, first = parameters["lease"], parameters["first_cause"]
        given = {name: parameters[name] for name in Status.__dataclass_fields__}
    except KeyError as error:
        msg = (
            f"the safety daemon's status lacks {error}; it is of another version, restart it after an update"
        )
        raise SafetyError(msg) from error
    given["causes"] = causes
    given["lease"] = None if lease is None else _pick(LeaseInfo, lease)
    given["first_cause"] = None if first is None else _pick(Cause, first)
    given["interlocks"] = tuple(_pick(Interlock, interlock) for interlock in parameters["interlocks"])
    return Status(**given)


def _pick(kind: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  any of the dataclasses above
    return kind(**{name: values[name] for name in kind.__dataclass_fields__})
