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
    bypassed: bool = False


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
class Bypassed:
    """An interlock that forbids nothing for `remaining_s` more, because `by` said so for `reason`."""

    interlock: str
    by: str
    reason: str
    remaining_s: float


@dataclass(frozen=True, slots=True)
class Proof:
    """The last proof that an output's relay drops when the charge pump stops.

    `result` is never, running, passed, failed or inconclusive; `time`, `passed` (when one last was) and `due` (when
    the next one is, if an interval is stated) are ISO 8601 in UTC; `took_ms` is `None` if it did not drop.
    """

    output: str
    result: str
    time: str | None
    by: str | None
    took_ms: float | None
    allowed_ms: float
    passed: str | None
    due: str | None
    overdue: bool
    message: str


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
    bypasses
        The interlocks that are bypassed.
    proofs
        The last proof of each output.
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
    bypasses: tuple[Bypassed, ...] = ()
    proofs: tuple[Proof, ...] = ()


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
        If something that we need is missing or of another kind: the daemon and this program are of different
        versions, or it is no safety daemon.
    """
    try:
        lease, first = parameters["lease"], parameters["first_cause"]
        outputs = {str(name): on for name, on in parameters["outputs"].items() if _fits(on, "bool")}
        made = {
            "causes": tuple(_pick(Cause, cause) for cause in parameters["causes"]),
            "lease": None if lease is None else _pick(LeaseInfo, lease),
            "bypasses": tuple(_pick(Bypassed, bypassed) for bypassed in parameters["bypasses"]),
            "proofs": tuple(_pick(Proof, proof) for proof in parameters["proofs"]),
            "first_cause": None if first is None else _pick(Cause, first),
            "interlocks": tuple(_pick(Interlock, interlock) for interlock in parameters["interlocks"]),
            "outputs": outputs,
        }
        status: Status = _pick(Status, {**parameters, **made}, made)
    except KeyError as error:
        raise SafetyError(_OTHER.format(f"lacks {error}")) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise SafetyError(_OTHER.format(f"is not of the kind that is expected ({error})")) from error
    return status


_OTHER = "the safety daemon's status {}; it is of another version, restart it after an update"
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": (int, float),
    "None": type(None),
}


def _pick(kind: Any, values: Mapping[str, Any], made: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
    """Make any of the dataclasses above; what is not `made` already is held against its annotation."""
    for name, described in kind.__dataclass_fields__.items():
        if name not in (made or {}):
            _fits(values[name], described.type, name)
    return kind(**{name: values[name] for name in kind.__dataclass_fields__})


def _fits(value: object, annotation: str, name: str = "an output") -> bool:
    """Make sure that a value is of one of the kinds of an annotation such as "float | None"."""
    for word in annotation.split(" | "):
        # A bool is an int to Python, and to nobody else.
        if isinstance(value, _KINDS[word]) and (word == "bool" or not isinstance(value, bool)):
            return True
    msg = f"{name} is {value!r}"
    raise TypeError(msg)
