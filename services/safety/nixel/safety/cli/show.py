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
    lines = [status.state + ("  (simulated surveillance unit)" if status.simulated else "")]
    lines += [f"  output     {name:24} {'ON' if on else 'off'}" for name, on in status.outputs.items()]
    for interlock in status.interlocks:
        value = _value(interlock.value, interlock.unit)
        warning = f"  {interlock.message}" if interlock.message else ""
        lines.append(
            f"  {interlock.kind:10} {interlock.name:24} {_verdict(interlock):10}{value:>12}{warning}"
        )
    for bypassed in status.bypasses:
        left = duration(max(0.0, bypassed.remaining_s))
        lines.append(f"  BYPASSED   {bypassed.interlock:24} {left} left, by {bypassed.by}: {bypassed.reason}")
    if status.lease is not None:
        lines.append(f"  lease      {status.lease.holder}, {status.lease.remaining_s * 1e3:.0f} ms left")
    lines += [f"  cause      {cause.time}  {cause.message}" for cause in status.causes]
    lines += [_proof(proof) for proof in status.proofs if proof.result != "never" or proof.overdue]
    if status.missed_deadlines:
        lines.append(f"  deadlines  {status.missed_deadlines} missed in {status.ticks} ticks")
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
    return f"  proof      {proof.output:24} {said}{took}{due}{'  OVERDUE' if proof.overdue else ''}"


def _value(value: float | bool | None, unit: str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.4g} {unit}" if unit else f"{value:.4g}"
