"""The proof test as a person does it: switch an output on, stop the charge pump, see the relay drop, keep the date."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from nixel.safety.client import SafetyError

if TYPE_CHECKING:
    from nixel.safety.client import Proof, SafetyClient, Status

_PATIENCE = 10.0  # s for the outputs to come on, in their order
_ENDED = 5.0  # s for a proof to end; the daemon allows a relay at most one


def run(client: SafetyClient, output: str | None, sure: bool) -> int:
    """Prove that an output's relay drops when the charge pump stops.

    Parameters
    ----------
    client
        Of the daemon.
    output
        Which one; the only one if `None`.
    sure
        Whether the person has said already that the instrument may be switched on.

    Returns
    -------
    int
        0 if the relay dropped in time, 1 if it did not.

    Raises
    ------
    SafetyError
        If the proof could not be done, or came to no result.
    """
    status = client.status()
    name = _choose(status, output)
    _ready(status, name)
    allowed = _of(status, name).allowed_ms
    print(
        f"The proof test of {name}: it is switched ON now, with whatever must be on before it. Then the charge pump\n"
        f"of the safety daemon stops, as if the daemon had died, and the relay must drop within {allowed:.0f} ms.\n"
        "A fault is latched afterwards, which is part of the proof."
    )
    if not sure and not _asked():
        msg = "not proven: nobody has said that the instrument may be switched on"
        raise SafetyError(msg)
    proof = _prove(client, name)
    print(f"{proof.time}  {proof.result.upper()}: {proof.message}", flush=True)
    if proof.result == "passed":
        print("It is recorded with date and time in the event log. Clear the fault with: nixel safety reset")
        return 0
    if proof.result == "failed":
        print(
            f"nixel-safety: THE PROOF OF {name.upper()} FAILED. A daemon that dies would leave it ON.\n"
            "Take the instrument out of use until its charge pump and its relay have been repaired and proven.",
            file=sys.stderr,
        )
        return 1
    msg = f"the proof of {name} came to no result: {proof.message}. Put that right and prove it again"
    raise SafetyError(msg)


def _choose(status: Status, output: str | None) -> str:
    names = list(status.outputs)
    if output is None and len(names) == 1:
        return names[0]
    if output in names:
        return str(output)
    found = "there are several outputs" if output is None else f"there is no output {output!r}"
    msg = f"{found}; name one of {', '.join(names)} with --output"
    raise SafetyError(msg)


def _ready(status: Status, name: str) -> None:
    if status.state == "FAULT":
        msg = f"{name} cannot be switched on: {status.what_to_do}"
        raise SafetyError(msg)
    if any(status.outputs.values()):
        msg = "something is on; wait until it is off, or stop it"
        raise SafetyError(msg)
    if status.lease is not None:
        msg = f"{status.lease.holder!r} holds the lease; wait until it is done, or stop it"
        raise SafetyError(msg)


def _asked() -> bool:
    if not sys.stdin.isatty():
        msg = (
            "nobody is there to ask; make sure that the instrument may be switched on, then say so with --yes"
        )
        raise SafetyError(msg)
    said = input("Is nobody in or at the instrument, and may it be switched on? Type yes to go on: ")
    return said.strip().lower() == "yes"


def _prove(client: SafetyClient, name: str) -> Proof:
    if client.status().state == "SAFE":
        client.arm()
    try:
        return _switch_on_and_prove(client, name)
    except SafetyError:
        # It was armed for the proof alone.
        with contextlib.suppress(SafetyError):
            client.stop(f"the proof of {name} could not be done")
        raise


def _switch_on_and_prove(client: SafetyClient, name: str) -> Proof:
    before = _of(client.status(), name)
    with client.lease(f"proof of {name}") as lease:
        lease.enable(name)
        _wait_until_on(client, name)
        lease.prove(name)
        with contextlib.closing(client.subscribe()) as stream:
            deadline = time.monotonic() + _ENDED
            for status in stream:
                proof = _of(status, name)
                if proof.result != "running" and proof.time != before.time:
                    return proof
                if time.monotonic() >= deadline:
                    break
    msg = f"the proof of {name} has not ended after {_ENDED:g} s; look at the daemon's log"
    raise SafetyError(msg)


def _wait_until_on(client: SafetyClient, name: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    with contextlib.closing(client.subscribe()) as stream:
        for status in stream:
            reports = {
                reading.name: reading.value for reading in status.interlocks if reading.kind == "readback"
            }
            if status.outputs[name] and reports.get(f"{name} readback") is True:
                return
            if status.state not in ("ARMED", "ENERGISED") or time.monotonic() >= deadline:
                why = status.first_cause.message if status.first_cause is not None else status.off_reason
                msg = f"{name} did not come on: {why or 'it does not report that it is on'}"
                raise SafetyError(msg)


def _of(status: Status, name: str) -> Proof:
    return next(proof for proof in status.proofs if proof.output == name)
