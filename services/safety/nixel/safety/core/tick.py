"""What a tick does by itself: bypasses that end, faults that latch, leases that lapse, outputs in their order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nixel.safety.core.interlocks import assess
from nixel.safety.core.model import START, Cause, EndBypass, Event, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.core.model import Config, Inputs, Lease, Memory, State, Stop, Verdict

PERMITTED = frozenset({Mode.ARMED, Mode.ENERGISED})
# For so long after the start [s] a source that has not answered yet is no cause of its own.
_START_GRACE = 1.0


class Tick:
    """The working copy of one tick: `state` and `events` grow while it is evaluated, nothing else does.

    Attributes
    ----------
    verdicts, memory, unhealthy, warned
        What `judge` has found; there is nothing to look at before.
    """

    verdicts: tuple[Verdict, ...]
    memory: Mapping[str, Memory]
    unhealthy: frozenset[str]
    warned: frozenset[str]

    def __init__(self, config: Config, state: State, inputs: Inputs, now: float) -> None:
        self.config = config
        self.began = state.mode
        self.state = state
        self.inputs = inputs
        self.ended: set[str] = set()
        self.asked = ""
        self.now = now
        self.events: list[Event] = []

    def end_bypasses(self, gone: frozenset[int]) -> None:
        """End the bypasses whose time is over, and those that somebody asks to end, before anything is judged."""
        for name, bypassed in sorted(self.state.bypasses.items()):
            if self.now >= bypassed.expires:
                self.end_bypass(name, "its time is over")
        for request in self.inputs.requests:
            if not isinstance(request, EndBypass) or request.client in gone:
                continue
            if request.interlock in self.state.bypasses:
                self.end_bypass(request.interlock, "it was asked to end")
                self.ended.add(request.interlock)

    def end_bypass(self, name: str, why: str) -> None:
        """End one bypass."""
        left = {other: bypassed for other, bypassed in self.state.bypasses.items() if other != name}
        self.state = replace(self.state, bypasses=left)
        self.event("bypass", f"the bypass of {name} ended: {why}", name=name, bypassed=False)

    def end_every_bypass(self, why: str) -> None:
        """End all bypasses."""
        for name in sorted(self.state.bypasses):
            self.end_bypass(name, why)

    def judge(self) -> None:
        """Record what became unhealthy or healthy, and latch the fault on anything that does not permit."""
        self.verdicts, self.memory = assess(self.config, self.state, self.inputs, self.now)
        wrong: list[Verdict] = []
        warned: list[str] = []
        for verdict in self.verdicts:
            if verdict.warning:
                warned.append(verdict.name)
                if verdict.name not in self.state.warned:
                    self.event("interlock", f"warning: {verdict.message}", name=verdict.name)
            if not verdict.healthy:
                wrong.append(verdict)
                if verdict.bypassed and verdict.name not in self.state.unhealthy:
                    self.event("interlock", f"bypassed: {verdict.message}", name=verdict.name)
        self.unhealthy = frozenset([verdict.name for verdict in wrong])
        self.warned = frozenset(warned)
        for name in sorted(self.state.unhealthy - self.unhealthy):
            self.event("interlock", f"{name} is healthy again", name=name)
        for verdict in wrong:
            if not verdict.bypassed and not self.waiting_for(verdict):
                self.latch(verdict)

    def waiting_for(self, verdict: Verdict) -> bool:
        """Whether this only has not been seen for long enough yet so shortly after the start.

        The fault is latched anyway; this keeps its list of causes to what went wrong.
        """
        first = self.state.causes[0] if self.state.causes else None
        starting = first is not None and first.name == START and self.now - first.time < _START_GRACE
        return starting and verdict.early

    def latch(self, verdict: Verdict) -> None:
        """Go to FAULT, or add a cause to the latched one."""
        state = self.state
        if any(cause.name == verdict.name for cause in state.causes):
            return
        self.state = replace(state, causes=(*state.causes, Cause(verdict.name, self.now, verdict.message)))
        self.event("cause", verdict.message, name=verdict.name, value=verdict.value)
        self.end_every_bypass(f"{verdict.name} tripped")
        self.go(Mode.FAULT, verdict.message)

    def end_lease(self, gone: frozenset[int]) -> None:
        """End the lease whose holder has gone or fallen silent; without one nothing stays on."""
        lease = self.state.lease
        if lease is None:
            if self.state.mode is Mode.ENERGISED:
                self.go(Mode.SAFE, "nobody holds the lease")
        elif lease.client in gone:
            self.drop_lease(lease, f"the connection of {lease.name!r} closed, and with it its lease ended")
        elif self.now >= lease.expires:
            silence = f"{lease.duration * 1e3:.0f} ms"
            self.drop_lease(lease, f"{lease.name!r} was silent for longer than {silence}, so its lease ended")

    def drop_lease(self, lease: Lease, reason: str) -> None:
        """End the lease, and with it whatever is on."""
        self.state = replace(self.state, lease=None, wanted=frozenset())
        self.event("lease", reason, name=lease.name, held=False)
        if self.state.mode is Mode.ENERGISED:
            self.go(Mode.SAFE, reason)

    def stop(self, request: Stop) -> None:
        """De-energise and end the bypasses; a latched fault stays latched."""
        text = f"stopped: {request.reason}"
        self.event("request", text, by=request.by)
        self.end_every_bypass(text)
        if self.state.mode is not Mode.FAULT:
            self.go(Mode.SAFE, text)

    def advance(self) -> None:
        """Switch what is due: on what follows only outputs that are on, off what is needed by none that is on.

        Both as the outputs report it, so that outputs that need each other never switch in one tick. A report that
        does not come is a fault by itself and ends the waiting.
        """
        if self.state.mode not in PERMITTED:
            return
        on = set(self.state.on)
        for output in self.config.outputs:
            name = output.name
            later = (other.name for other in self.config.outputs if name in other.after)
            if name in self.state.wanted and all(self.reports(prior, on=True) for prior in output.after):
                on.add(name)
            elif name not in self.state.wanted and all(self.reports(other, on=False) for other in later):
                on.discard(name)
        if on == self.state.on:
            return
        ended = f"{', '.join(sorted(self.state.on - on))} was disabled"
        self.go(Mode.ENERGISED if on else Mode.ARMED, self.asked if on else ended)
        self.switch(frozenset(on))

    def reports(self, name: str, *, on: bool) -> bool:
        """Whether an output is commanded on, or off, and has said so since, and for long enough."""
        output = next(output for output in self.config.outputs if output.name == name)
        reading, switched = self.inputs.readings.get(f"readback:{output.sink}"), self.state.switched_at(name)
        follows = reading is not None and reading.value is on and reading.time > switched
        settled = not on or self.now - switched >= output.settle
        return (name in self.state.on) is on and follows and settled

    # --- the state ---

    def go(self, mode: Mode, reason: str) -> None:
        """Change the state; every state begins with all outputs off."""
        old = self.state.mode
        if old is mode:
            return
        self.state = replace(
            self.state,
            mode=mode,
            causes=self.state.causes if mode is Mode.FAULT else (),
            wanted=self.state.wanted if mode is Mode.ENERGISED else frozenset(),
            off_reason="" if mode is Mode.ENERGISED else reason,
        )
        self.event("transition", f"{old} -> {mode}: {reason}", old=str(old), new=str(mode), reason=reason)
        self.switch(frozenset())

    def switch(self, on: frozenset[str]) -> None:
        """Command the outputs."""
        changed = self.state.on ^ on
        if changed:
            switched = {**self.state.switched, **dict.fromkeys(changed, self.now)}
            self.state = replace(self.state, on=on, switched=switched)
        for output in sorted(changed):
            self.event(
                "output", f"{output} {'on' if output in on else 'off'}", output=output, on=output in on
            )

    def event(self, kind: str, text: str, **details: str | float | bool | None) -> None:
        """Record something."""
        self.events.append(Event(self.now, kind, text, details))
