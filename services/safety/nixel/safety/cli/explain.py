"""Why an output is off, and what to do: in a sentence for the person who stands before it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nixel.safety.core.wrong import not_read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nixel.safety.client.answers import Bypassed, Cause, Interlock, Proof, Status

_RESET = "run `nixel safety reset`"
# What helps where the daemon's own message tells what is wrong, but not where to look.
_FOR_NAME = {
    "deadlines": "find out what keeps this machine so busy and end it",
    "surveillance": "see that the surveillance unit is connected and powered",
    "gpio": "see that the GPIO lines are there and free",
    "server": "restart the daemon (`systemctl restart nixel-safety`)",
    "proof": "have the relay repaired",
}
_PROOF = timedelta(seconds=1)  # that a proof may take beyond what is allowed to the relay
_FOR_KIND = {
    "readback": "check that output's relay and its wiring",
    "on-time": "let it rest",
    "heartbeat": "see that the device behind it is on and running",
}


def explain(status: Status) -> str:
    """Say why the outputs are off, and what to do.

    Parameters
    ----------
    status
        From the daemon.

    Returns
    -------
    str
        One sentence; a line more for each interlock that is bypassed and each proof that is overdue or failed.
    """
    notes = [_bypassed(bypassed) for bypassed in status.bypasses]
    notes += [note for proof in status.proofs if (note := _proof(proof))]
    return "\n".join((_sentence(status), *notes))


def unreachable(error: Exception) -> str:
    """Say what is known when no daemon answers: nothing.

    Parameters
    ----------
    error
        Why it does not.

    Returns
    -------
    str
        One sentence.
    """
    return (
        f"Nothing is known of the outputs, so take them to be ON, because {error}; "
        "see `systemctl status nixel-safety` and `journalctl -u nixel-safety`."
    )


def duration(seconds: float) -> str:
    """Write a duration for people.

    Parameters
    ----------
    seconds
        Not negative.

    Returns
    -------
    str
        Such as "4 min 10 s".
    """
    if seconds < 10.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _sentence(status: Status) -> str:
    on = [name for name, energised in status.outputs.items() if energised]
    off = [name for name, energised in status.outputs.items() if not energised]
    if on and off:
        return (
            f"{_are(off)} off because nobody has enabled {_it(off)}, or {_it(off)} must wait for what comes before, "
            f"while {_are(on)} on; the holder of the lease enables, and `nixel safety stop` switches everything off."
        )
    if on:
        holder = f"by {status.lease.holder!r}" if status.lease is not None else "by the holder of the lease"
        return f"{_are(on)} on, enabled {holder}; `nixel safety stop` switches everything off."
    if status.state == "FAULT":
        return _fault(status, off)
    if status.state == "ARMED":
        return _armed(status, off)
    reason = status.off_reason or "nobody has armed the instrument"
    if "lease ended" in reason:
        first = "find out what became of that program, then "
    elif reason.startswith("stopped: "):
        reason, first = f"the instrument was {reason}", "make sure that it may be energised again, then "
    else:
        first = ""
    return f"{_are(off)} off because {reason}; {first}run `nixel safety arm` and start anew."


def _fault(status: Status, off: list[str]) -> str:
    bad = [interlock for interlock in status.interlocks if not (interlock.healthy or interlock.bypassed)]
    first = status.first_cause
    # Whatever is unhealthy without having a cause of its own was healthy when the fault latched.
    cause = (
        "a fault is latched" if first is None else f"{first.message} (a fault since {first.time}, latched)"
    )
    why = f"{_are(off)} off because {cause}"
    if not bad:
        proof = next((proof for proof in status.proofs if _proven_by(proof, first)), None)
        if proof is not None:
            return f"{why}; that is what the proof test of {proof.output}, which it passed, leaves: {_RESET}."
        before = _FOR_NAME.get(first.name) if first is not None else None
        if first is not None and first.name == "start":
            return f"{why}; everything is healthy, so {_RESET}."
        look = f"{before} first, then" if before is not None else "if you know why it happened,"
        return f"{why}; everything is healthy again: {look} {_RESET}."
    still, bad = _wrong(bad)
    advice = list(dict.fromkeys(_advice(interlock) for interlock in bad))
    if first is not None and still == [first.message]:
        return f"{why}, and it is still so; {', '.join(advice)}, then {_RESET}."
    return f"{why}, and this is not right now: {'; '.join(still)}; {', '.join(advice)}, then {_RESET}."


def _wrong(bad: list[Interlock]) -> tuple[list[str], list[Interlock]]:
    """Say what is wrong, and which of it to look at: a device before those that it leaves without a reading."""
    devices = [interlock for interlock in bad if interlock.kind == "device"]
    unread = [interlock for interlock in bad if interlock.kind != "device" and interlock.value is None]
    if not devices or not unread:
        return [interlock.message for interlock in bad], bad
    first = devices + [
        interlock for interlock in bad if interlock.kind != "device" and interlock.value is not None
    ]
    left = not_read([interlock.name for interlock in unread])
    return [*(interlock.message for interlock in first), left], first


def _proven_by(proof: Proof, first: Cause | None) -> bool:
    """Whether the fault is the one that a proof has just brought about."""
    if (
        first is None
        or first.name != f"{proof.output} readback"
        or proof.result != "passed"
        or not proof.time
    ):
        return False
    after = datetime.fromisoformat(first.time) - datetime.fromisoformat(proof.time)
    return timedelta() <= after <= timedelta(milliseconds=proof.allowed_ms) + _PROOF


def _armed(status: Status, off: list[str]) -> str:
    if status.lease is not None:
        why = f"{status.lease.holder!r} holds the lease and has enabled nothing"
        return f"{_are(off)} off because {why}; wait for it, or run `nixel safety stop`."
    why = "nobody has enabled anything since the instrument was armed"
    if status.off_reason not in (None, "armed"):
        why = f"{status.off_reason} and nobody has enabled anything since"
    return f"{_are(off)} off because {why}; start a scan, or run `nixel safety stop`."


def _advice(interlock: Interlock) -> str:
    if interlock.kind == "device":
        return _FOR_NAME.get(interlock.name, "put that right")
    if interlock.kind in _FOR_KIND:
        return _FOR_KIND[interlock.kind]
    if interlock.value is None:
        return f"check the sensor of {interlock.name} and its cable"
    return "put that right"


def _bypassed(bypassed: Bypassed) -> str:
    who = f"by {bypassed.by} for {duration(max(0.0, bypassed.remaining_s))} more ({bypassed.reason})"
    end = f"`nixel safety bypass --end {bypassed.interlock}` ends that"
    return f"{bypassed.interlock} is BYPASSED {who} and protects nobody; {end}."


def _proof(proof: Proof) -> str:
    again = f"run `nixel safety prove --output {proof.output}`"
    if proof.result == "failed":
        return f"{proof.output} FAILED its proof test of {proof.time}: {proof.message}; once it is, {again}."
    if not proof.overdue:
        return ""
    last = f"was last passed on {proof.passed}" if proof.passed else "has never been passed"
    return f"The proof test of {proof.output} is overdue, for it {last}; {again}."


def _are(names: Iterable[str]) -> str:
    names = list(names)
    if not names:
        return "Everything is"
    if len(names) == 1:
        return f"{names[0]} is"
    return f"{', '.join(names[:-1])} and {names[-1]} are"


def _it(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"
