"""The status for a terminal: as a table, and as one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.safety.cli.explain import duration

if TYPE_CHECKING:
    from nixel.safety.client.answers import Interlock, Proof, Status


def show(status: Status) -> str:
    """Write a status for a terminal.

    Parameters
    ----------
    status
        From the daemon.

    Returns
    -------
    str
        Several lines.
    """
    named = [*status.outputs, *(interlock.name for interlock in status.interlocks)]
    width = max((len(name) for name in named), default=0)
    rows = [("output", f"{name:{width}}  {'ON' if on else 'off'}") for name, on in status.outputs.items()]
    for interlock in status.interlocks:
        value = _value(interlock)
        warning = f"  {interlock.message}" if interlock.message else ""
        told = f"{interlock.name:{width}}  {_verdict(interlock):10}{value:>12}{warning}"
        rows.append((interlock.kind, told.rstrip()))
    for bypassed in status.bypasses:
        left = duration(max(0.0, bypassed.remaining_s))
        told = f"{bypassed.interlock:{width}}  {left} left, by {bypassed.by}: {bypassed.reason}"
        rows.append(("BYPASSED", told))
    if status.lease is not None:
        rows.append(("lease", f"{status.lease.holder}, {status.lease.remaining_s * 1e3:.0f} ms left"))
    rows += [("cause", f"{cause.time}  {cause.message}") for cause in status.causes]
    rows += [
        ("proof", f"{proof.output:{width}}  {_proof(proof)}")
        for proof in status.proofs
        if proof.result != "never" or proof.overdue
    ]
    if status.missed_deadlines:
        rows.append(("deadlines", f"{status.missed_deadlines} missed in {status.ticks} ticks"))
    lines = [status.state + ("  (simulated)" if status.simulated else "")]
    lines += [f"  {what:11}  {told}" for what, told in rows]
    lines.append(f"  {status.what_to_do}")
    return "\n".join(lines)


def line(status: Status) -> str:
    """Write what matters of a status on one line; equal lines mean that nothing of note has changed.

    Parameters
    ----------
    status
        From the daemon.

    Returns
    -------
    str
        Without a newline.
    """
    parts = [f"{name} {'ON' if on else 'off'}" for name, on in status.outputs.items()]
    if status.lease is not None:
        parts.append(f"lease of {status.lease.holder!r}")
    parts += [f"{bypassed.interlock} BYPASSED by {bypassed.by}" for bypassed in status.bypasses]
    parts += [
        f"{interlock.name} {_verdict(interlock)}"
        for interlock in status.interlocks
        if interlock.warning or not interlock.healthy
    ]
    parts += [
        f"proof of {proof.output} {proof.result}" for proof in status.proofs if proof.result == "running"
    ]
    why = f"fault: {status.first_cause.message}" if status.first_cause is not None else status.off_reason
    if why:
        parts.append(why)
    return f"{status.state:9}  {'; '.join(parts)}"


def _verdict(interlock: Interlock) -> str:
    if interlock.bypassed:
        return "BYPASSED"
    if not interlock.healthy:
        return "UNHEALTHY"
    return "warning" if interlock.warning else "ok"


def _proof(proof: Proof) -> str:
    said = f"{proof.result} {proof.time or ''}".rstrip()
    took = f", {proof.took_ms:.0f} of {proof.allowed_ms:.0f} ms" if proof.took_ms is not None else ""
    due = f", next one due {proof.due}" if proof.due else ""
    return f"{said}{took}{due}{'  OVERDUE' if proof.overdue else ''}"


def _value(interlock: Interlock) -> str:
    value, unit = interlock.value, interlock.unit
    if value is None:
        return "" if interlock.kind == "device" else "-"
    if isinstance(value, bool):
        # Which level of a contact is the healthy one is the configuration's; the word beside it tells.
        return ("on" if value else "off") if interlock.kind == "readback" else ""
    return f"{value:.4g} {unit}" if unit else f"{value:.4g}"
