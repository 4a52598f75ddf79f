"""What the daemon says of itself: a tick as plain data, and what a person should do about it."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from nixel.safety.core.frozen import dataclass
from nixel.safety.core.model import Mode
from nixel.safety.core.wrong import wrong
from nixel.safety.proof import Result
from nixel.safety.records.event_json import finite, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.core.model import Cause, Config, Reading, State, Verdict
    from nixel.safety.proof import Proof

_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One completed tick, as the socket server sees it.

    `time` is that of the tick [s], `ticks` and `missed` count ticks and missed deadlines since the start, `proofs`
    are the last of each output, `readings` are those that the verdicts were found from.
    """

    state: State
    verdicts: tuple[Verdict, ...]
    time: float
    ticks: int
    missed: int
    proofs: tuple[Proof, ...] = ()
    readings: Mapping[str, Reading] = field(default_factory=dict)


def later(snapshot: Snapshot, now: float, ticks: int) -> Snapshot:
    """Give the snapshot of a later tick that has found the same.

    Parameters
    ----------
    snapshot
        Of the tick that was evaluated.
    now
        The time of the later one [s].
    ticks
        Its number.

    Returns
    -------
    Snapshot
        The same, but that what was read has aged.
    """
    return replace(snapshot, time=now, ticks=ticks)


def describe(
    config: Config,
    simulated: bool,
    snapshot: Snapshot,
    wall_offset: float,
    proof_interval: float | None = None,
) -> dict[str, Any]:
    """Describe a snapshot in the words of the socket's Status.

    Parameters
    ----------
    config
        The instrument.
    simulated
        Whether its surveillance unit is a virtual one.
    snapshot
        The tick.
    wall_offset
        What to add to the daemon's clock to get seconds since 1970.
    proof_interval
        The longest time between two proofs of an output [s]; `None` if nobody has stated one.

    Returns
    -------
    dict
        Fit for JSON.
    """
    state = snapshot.state
    causes = [_cause(cause, wall_offset) for cause in state.causes]
    lease = state.lease
    ages = _ages(config, snapshot)
    return {
        "state": str(state.mode),
        "outputs": {output.name: output.name in state.on for output in config.outputs},
        "interlocks": [_interlock(verdict, ages.get(verdict.name)) for verdict in snapshot.verdicts],
        "lease": None
        if lease is None
        else {"holder": lease.name, "remaining_s": round(lease.expires - snapshot.time, 3)},
        "first_cause": causes[0] if causes else None,
        "causes": causes,
        "bypasses": [
            {
                "interlock": name,
                "by": bypassed.by,
                "reason": bypassed.reason,
                "remaining_s": round(bypassed.expires - snapshot.time, 3),
            }
            for name, bypassed in sorted(state.bypasses.items())
        ],
        "proofs": [_proof(proof, snapshot.time + wall_offset, proof_interval) for proof in snapshot.proofs],
        "off_reason": state.off_reason or None,
        "simulated": simulated,
        "ticks": snapshot.ticks,
        "missed_deadlines": snapshot.missed,
        "what_to_do": what_to_do(state, snapshot.verdicts),
    }


def what_to_do(state: State, verdicts: tuple[Verdict, ...]) -> str:
    """Say in a sentence what a person who wants to go on should do.

    Parameters
    ----------
    state, verdicts
        Of the last tick.

    Returns
    -------
    str
        One sentence, and another if an interlock is bypassed.
    """
    todo = _to_go_on(state, verdicts)
    if not state.bypasses:
        return todo
    names = ", ".join(f"{name} (by {bypassed.by})" for name, bypassed in sorted(state.bypasses.items()))
    return f"{todo} BYPASSED, so it protects nobody: {names}."


def _to_go_on(state: State, verdicts: tuple[Verdict, ...]) -> str:
    if state.mode is Mode.FAULT:
        unhealthy = wrong(verdicts)
        if unhealthy:
            return f"Put this right, then reset: {'; '.join(unhealthy)}."
        return f"Everything is healthy now: reset to go on (the fault was: {state.causes[0].text})."
    if state.mode is Mode.SAFE:
        return "Nothing is on; arm when the instrument may be energised."
    if state.mode is Mode.ARMED:
        return "Armed with nothing on; the holder of the lease may enable an output."
    return f"On: {', '.join(sorted(state.on))}; stop switches everything off."


def _cause(cause: Cause, wall_offset: float) -> dict[str, Any]:
    return {"name": cause.name, "time": stamp(cause.time + wall_offset), "message": cause.text}


def _ages(config: Config, snapshot: Snapshot) -> dict[str, float | None]:
    """How old the oldest reading of each interlock and readback is [s]; `None` while one has never come."""
    sources = {interlock.name: interlock.sources for interlock in config.interlocks}
    sources |= {f"{output.name} readback": (f"readback:{output.sink}",) for output in config.outputs}
    ages: dict[str, float | None] = {}
    for name, each in sources.items():
        taken = [snapshot.readings[source].time for source in each if source in snapshot.readings]
        ages[name] = snapshot.time - min(taken) if len(taken) == len(each) else None
    return ages


def _interlock(verdict: Verdict, age: float | None) -> dict[str, Any]:
    return {
        "name": verdict.name,
        "kind": verdict.kind,
        "healthy": verdict.healthy,
        "warning": verdict.warning,
        "bypassed": verdict.bypassed,
        "value": finite(verdict.value),
        "unit": verdict.unit,
        "age_s": None if age is None else round(age, 4),
        "message": verdict.message,
    }


def _proof(proof: Proof, wall: float, interval: float | None) -> dict[str, Any]:
    due = None if interval is None or proof.passed is None else proof.passed + interval
    # One that is dated in the future was dated by a clock that was wrong, then or now.
    dated = proof.passed is not None and proof.passed <= wall + _DAY
    overdue = interval is not None and not (dated and due is not None and wall < due)
    return {
        "output": proof.output,
        "result": str(proof.result),
        "time": None if proof.began is None or proof.result is Result.NEVER else stamp(proof.began),
        "by": proof.by or None,
        "took_ms": None if proof.took is None else round(proof.took * 1e3, 1),
        "allowed_ms": round(proof.allowed * 1e3, 1),
        "passed": None if proof.passed is None else stamp(proof.passed),
        "due": None if due is None else stamp(due),
        "overdue": overdue,
        "message": proof.message,
    }
