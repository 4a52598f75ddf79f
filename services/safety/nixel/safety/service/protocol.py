"""The language of the socket: JSON in varlink's shape, ended by a newline or a NUL and answered alike."""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any

from nixel.safety.core.frozen import dataclass
from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Bypass,
    Disable,
    Enable,
    EndBypass,
    ReleaseLease,
    RenewLease,
    Reset,
    Stop,
)
from nixel.safety.proof import Prove
from nixel.safety.service.interface import INTERFACE, SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.core.model import AnyRequest

# A call needs a few hundred bytes; the longest that is read holds the interpreter for well below a tick.
LONGEST_LINE = 16 * 1024
LONGEST_TEXT = 200

REFUSED = f"{INTERFACE}.Refused"
MALFORMED = f"{INTERFACE}.Malformed"
EXPECTED_MORE = f"{SERVICE}.ExpectedMore"
INVALID_PARAMETER = f"{SERVICE}.InvalidParameter"
METHOD_NOT_FOUND = f"{SERVICE}.MethodNotFound"
INTERFACE_NOT_FOUND = f"{SERVICE}.InterfaceNotFound"

_END = re.compile(rb"[\n\0]")
# Terminators, and what JSON allows before a value.
_BLANK = b"\n\0 \t\r"


class CallError(Exception):
    """A call that cannot be answered as it stands; carries varlink's error name and parameters."""

    def __init__(self, error: str, **parameters: str) -> None:
        super().__init__(error)
        self.error = error
        self.parameters = parameters


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it came over the socket; `method` is the full name."""

    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    more: bool = False
    oneway: bool = False

    @property
    def short(self) -> str:
        """The method's name without io.nixel.Safety, or the full name if it is of another interface."""
        return self.method.removeprefix(f"{INTERFACE}.")


def join(buffer: bytes, data: bytes) -> bytes:
    """Add what came in to what is there, less the empty messages at the front.

    Parameters
    ----------
    buffer
        What is there, as `cut` or this function left it.
    data
        What came in.

    Returns
    -------
    bytes
        The new buffer.
    """
    return buffer + data if buffer else data.lstrip(_BLANK)


def cut(buffer: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Cut the first message off a buffer.

    Parameters
    ----------
    buffer
        What was received.

    Returns
    -------
    tuple or None
        The message, its terminator and the rest, less the empty messages at its front, so that any number
        of them costs one pass; `None` if there is no whole message yet.
    """
    end = _END.search(buffer)
    if end is None:
        return None
    return buffer[: end.start()], end.group(), buffer[end.end() :].lstrip(_BLANK)


def parse(message: bytes) -> Call:
    """Understand a message.

    Parameters
    ----------
    message
        Without its terminator.

    Returns
    -------
    Call
        Of the right shape; its parameters are not looked at yet.

    Raises
    ------
    CallError
        If it is not a call.
    """
    try:
        value = json.loads(message)
    except (ValueError, RecursionError) as error:
        text = f"this is not JSON ({error}); a call looks like {_EXAMPLE}"
        raise CallError(MALFORMED, message=text) from error
    if not isinstance(value, dict) or not isinstance(value.get("method"), str):
        raise CallError(MALFORMED, message=f'a call is an object with a "method", like {_EXAMPLE}')
    parameters = value.get("parameters")
    if parameters is None:
        parameters = {}
    flags = {name: value.get(name, False) for name in ("more", "oneway")}
    if not isinstance(parameters, dict) or not all(isinstance(flag, bool) for flag in flags.values()):
        text = f'"parameters" is an object, "more" and "oneway" are true or false, like {_EXAMPLE}'
        raise CallError(MALFORMED, message=text)
    return Call(value["method"], parameters, **flags)


def encode(message: Mapping[str, Any]) -> bytes:
    """Write an answer, without its terminator.

    Parameters
    ----------
    message
        Fit for JSON.

    Returns
    -------
    bytes
        ASCII on one line.
    """
    return json.dumps(message, separators=(",", ":")).encode()


_EXAMPLE = '{"method": "io.nixel.Safety.Status", "parameters": {}}'

_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "Status": (),
    "Subscribe": (),
    "History": ("since", "limit"),
    "AcquireLease": ("name", "duration_ms"),
    "RenewLease": (),
    "ReleaseLease": (),
    "Arm": (),
    "Enable": ("output",),
    "Disable": ("output",),
    "Stop": ("reason",),
    "Reset": (),
    "Bypass": ("interlock", "duration_ms", "reason"),
    "EndBypass": ("interlock",),
    "Prove": ("output",),
}


def check(call: Call) -> None:
    """Check that a call of io.nixel.Safety names a method that exists and no parameter that does not.

    Parameters
    ----------
    call
        What was asked.

    Raises
    ------
    CallError
        If not.
    """
    known = _PARAMETERS.get(call.short)
    if known is None:
        raise CallError(METHOD_NOT_FOUND, method=call.method)
    for name in call.parameters:
        # A stop is never refused, however it is worded.
        if name not in known and call.short != "Stop":
            raise CallError(INVALID_PARAMETER, parameter=name)


def to_request(call: Call, client: int, number: int, by: str) -> AnyRequest | Prove:
    """Turn a checked call into what the safety logic understands.

    Parameters
    ----------
    call
        Any of io.nixel.Safety but Status, Subscribe and History.
    client, number
        The connection, and the number of the request.
    by
        Who asks, for the record.

    Returns
    -------
    AnyRequest or Prove
        For the next tick.

    Raises
    ------
    CallError
        If a parameter is missing or of the wrong kind.
    """
    match call.short:
        case "AcquireLease":
            given = call.parameters.get("duration_ms") is not None
            return AcquireLease(client, number, _text(call, "name"), _duration(call) if given else None)
        case "Bypass":
            reason = _text(call, "reason")
            return Bypass(client, number, _text(call, "interlock"), _duration(call), by, reason)
        case "EndBypass":
            return EndBypass(client, number, _text(call, "interlock"))
        case "Prove":
            return Prove(client, number, _text(call, "output"), by)
        case "Enable":
            return Enable(client, number, _text(call, "output"))
        case "Disable":
            return Disable(client, number, _text(call, "output"))
        case "Stop":
            return Stop(client, number, _reason(call), by)
        case "RenewLease":
            return RenewLease(client, number)
        case "ReleaseLease":
            return ReleaseLease(client, number)
        case "Arm":
            return Arm(client, number)
        case _:
            return Reset(client, number)


def _text(call: Call, name: str) -> str:
    value = call.parameters.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or not value.isprintable():
        raise CallError(INVALID_PARAMETER, parameter=name)
    return value


def _duration(call: Call) -> float:
    """Give the duration of a lease or a bypass [s]; how long it may be, the safety logic says."""
    value = call.parameters.get("duration_ms")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**8:
        raise CallError(INVALID_PARAMETER, parameter="duration_ms")
    return value * 1e-3


def _reason(call: Call) -> str:
    value = call.parameters.get("reason")
    text = value if isinstance(value, str) else ""
    shown = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return shown[:LONGEST_TEXT].rstrip() or "no reason given"
