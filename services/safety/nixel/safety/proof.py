"""The proof test: the charge pump is withheld while an output is on, and its relay must drop by itself.

It is the one time when the daemon does on purpose what a dead daemon would do. Nothing here can switch anything on:
`Prover.step` withholds beats and hands faults to the safety logic, and that is all it can do.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from nixel.safety.core.frozen import dataclass
from nixel.safety.core.model import Event, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.core.model import Config, Output, Reading, State

FAULT = "proof"  # the name of the fault that a relay latches which does not drop


@dataclass(frozen=True, slots=True)
class Prove(Request):
    """Stop the charge pump while `output` is on, and see its relay drop; `by` tells who asked."""

    output: str
    by: str


class Result(StrEnum):
    """How the last proof of an output ended, if it did."""

    NEVER = "never"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Proof:
    """The last proof of an output.

    Attributes
    ----------
    allowed
        The time that its relay is allowed [s].
    began, passed
        When it began, and when one was last passed [s since 1970, UTC].
    took
        From the last beat of the charge pump to the report that the output is off [s].
    by, message
        Who asked for it, and what came of it, in a sentence.
    """

    output: str
    allowed: float
    result: Result = Result.NEVER
    began: float | None = None
    took: float | None = None
    by: str = ""
    message: str = "has never been proven"
    passed: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What a tick of the prover asks for: beats withheld, faults for the safety logic; and what it tells."""

    withheld: bool
    faults: Mapping[str, str]
    events: tuple[Event, ...] = ()
    replies: tuple[Reply, ...] = ()


class Prover:
    """Proofs, one at a time.

    Parameters
    ----------
    config
        The instrument.
    earlier
        What is known from before the daemon started, by output.
    """

    def __init__(self, config: Config, earlier: Mapping[str, Proof]) -> None:
        self._outputs = {output.name: output for output in config.outputs}
        fresh = (Proof(output.name, output.readback_within) for output in config.outputs)
        self.proofs = tuple(
            replace(earlier.get(proof.output, proof), allowed=proof.allowed) for proof in fresh
        )
        self._running: Output | None = None
        self._dropped = ""  # an output whose relay has dropped while the safety logic still commands it on
        self._since = -math.inf

    @property
    def at_work(self) -> bool:
        """Whether `step` has anything to do although nobody asks for a proof."""
        return self._running is not None or self._dropped != ""

    def step(
        self,
        state: State,
        readings: Mapping[str, Reading],
        asked: tuple[Prove, ...],
        now: float,
        wall: float,
    ) -> Turn:
        """Go one tick further; called before the safety logic, which may see the same relay drop.

        Parameters
        ----------
        state
            As the last tick left it.
        readings
            As the safety logic is about to judge them.
        asked
            The proofs that clients ask for.
        now, wall
            The time of the tick on the monotonic clock, and in seconds since 1970.

        Returns
        -------
        Turn
            For the rest of the tick.
        """
        if self._dropped not in state.on:
            self._dropped = ""
        if not asked and not self.at_work:
            return IDLE
        events: list[Event] = []
        faults: dict[str, str] = {}
        # A relay that has dropped must not be picked up again by the next beat.
        withheld = self.at_work
        if self._running is not None:
            fault = self._look(self._running, state, readings, now, events)
            if fault:
                faults[FAULT] = fault
        replies = []
        for request in asked:
            refused = self._refusal(request, state, readings)
            if not refused:
                self._begin(request, state, now, wall)
                withheld = True
            replies.append(Reply(request.client, request.number, refused or None))
        return Turn(withheld, faults, tuple(events), tuple(replies))

    def _refusal(self, request: Prove, state: State, readings: Mapping[str, Reading]) -> str:
        output, lease = self._outputs.get(request.output), state.lease
        if output is None:
            return f"there is no output {request.output!r}; this instrument has {', '.join(self._outputs)}"
        running = self._dropped if self._running is None else self._running.name
        if running:
            return f"the proof of {running} is under way; there is one at a time"
        if lease is None or lease.client != request.client:
            return "a proof needs the lease; acquire it, enable the output, then prove"
        reading = readings.get(f"readback:{output.sink}")
        if output.name not in state.on:
            return f"{output.name} is off; enable it, then prove that it drops"
        if reading is None or reading.value is not True or reading.time < state.switched_at(output.name):
            return f"{output.name} does not report yet that it is on; ask again"
        return ""

    def _begin(self, request: Prove, state: State, now: float, wall: float) -> None:
        self._running = self._outputs[request.output]
        # The last beat was that of the last tick; a time that is measured from there is never too short.
        self._since = now if state.ticked is None else state.ticked
        message = "is under way: the charge pump is withheld, and the relay must drop"
        self._note(Result.RUNNING, None, message, began=wall, by=request.by)

    def _look(
        self, output: Output, state: State, readings: Mapping[str, Reading], now: float, events: list[Event]
    ) -> str:
        """See whether the proof has ended; give the fault that it ends with, if so."""
        reading, took, name = readings.get(f"readback:{output.sink}"), now - self._since, output.name
        told = reading is not None and reading.time > self._since
        allowed = f"{output.readback_within * 1e3:.0f} ms"
        if output.name not in state.on:
            why = state.off_reason or "it was disabled"
            message = f"{name} was switched off before its relay had dropped by itself: {why}"
            self._end(Result.INCONCLUSIVE, None, message, now, events)
            return ""
        if told and reading is not None and reading.value is False:
            self._dropped = name
            message = f"the relay of {name} dropped {took * 1e3:.0f} ms after the charge pump had stopped"
            if took <= output.readback_within:
                self._end(Result.PASSED, took, f"{message}, of {allowed} allowed", now, events)
                return ""
            message += f"; it is allowed {allowed}. Do not use the instrument before it is repaired"
            self._end(Result.FAILED, took, message, now, events)
            return message
        if took <= output.readback_within:
            return ""
        if told and reading is not None and reading.value is True:
            message = (
                f"the relay of {name} did NOT drop within {allowed} after the charge pump had stopped; it was "
                "switched off by command. Do not use the instrument before it is repaired"
            )
            self._end(Result.FAILED, None, message, now, events)
        else:
            message = f"{name} did not report within {allowed} whether its relay had dropped"
            self._end(Result.INCONCLUSIVE, None, message, now, events)
        return message

    def _end(self, result: Result, took: float | None, message: str, now: float, events: list[Event]) -> None:
        proof = self._note(result, took, message)
        self._running = None
        details: dict[str, str | float | bool | None] = {
            "output": proof.output,
            "result": str(result),
            "took_ms": None if took is None else round(took * 1e3, 1),
            "allowed_ms": round(proof.allowed * 1e3, 1),
            "by": proof.by,
        }
        events.append(Event(now, "proof", f"proof {result}: {message}", details))

    def _note(
        self,
        result: Result,
        took: float | None,
        message: str,
        began: float | None = None,
        by: str | None = None,
    ) -> Proof:
        name = "" if self._running is None else self._running.name
        before = next(proof for proof in self.proofs if proof.output == name)
        proof = replace(
            before,
            result=result,
            took=took,
            message=message,
            began=before.began if began is None else began,
            by=before.by if by is None else by,
        )
        if result is Result.PASSED:
            proof = replace(proof, passed=proof.began)
        self.proofs = tuple(proof if other.output == name else other for other in self.proofs)
        return proof


IDLE = Turn(withheld=False, faults={})
