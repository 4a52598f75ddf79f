"""What the socket answers without asking the control loop: the status, and what the service is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nixel.safety.service import interface, protocol
from nixel.safety.service.protocol import CallError
from nixel.safety.service.status import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.config.instrument import Instrument
    from nixel.safety.service.protocol import Call
    from nixel.safety.service.status import Snapshot


def introspect(call: Call, version: str) -> Mapping[str, Any]:
    """Answer a call of org.varlink.service.

    Parameters
    ----------
    call
        What was asked.
    version
        Ours.

    Returns
    -------
    Mapping
        The parameters of the answer.

    Raises
    ------
    CallError
        If there is no such method or interface.
    """
    match call.method.removeprefix(f"{interface.SERVICE}."):
        case "GetInfo":
            return {
                "vendor": "nixel",
                "product": "nixel safety daemon",
                "version": version,
                "url": "",
                "interfaces": list(interface.DESCRIPTIONS),
            }
        case "GetInterfaceDescription":
            name = call.parameters.get("interface")
            if not isinstance(name, str):
                raise CallError(protocol.INVALID_PARAMETER, parameter="interface")
            if name not in interface.DESCRIPTIONS:
                raise CallError(protocol.INTERFACE_NOT_FOUND, interface=name)
            return {"description": interface.DESCRIPTIONS[name]}
    raise CallError(protocol.METHOD_NOT_FOUND, method=call.method)


def status(instrument: Instrument, snapshot: Snapshot | None) -> dict[str, Any]:
    """Answer a call of Status.

    Parameters
    ----------
    instrument
        What is described.
    snapshot
        The newest tick; `None` before the first.

    Returns
    -------
    dict
        The parameters of the answer.

    Raises
    ------
    CallError
        Before the first tick.
    """
    if snapshot is None:
        raise CallError(protocol.REFUSED, message="the safety daemon has just started; ask again")
    offset = time.time() - time.monotonic()
    return describe(instrument.core, instrument.simulated, snapshot, offset, instrument.proof_interval)


def granted(instrument: Instrument, call: Call, ticks: int) -> dict[str, int]:
    """Answer a request that the control loop has granted.

    Parameters
    ----------
    instrument
        What is guarded.
    call
        The request.
    ticks
        The number of the tick that granted it.

    Returns
    -------
    dict
        The parameters of the answer; of a lease also how long a silence ends it [ms].
    """
    parameters = {"ticks": ticks}
    if call.short == "AcquireLease":
        asked = call.parameters.get("duration_ms")
        parameters["duration_ms"] = round(instrument.core.lease * 1e3) if asked is None else int(asked)
    return parameters
