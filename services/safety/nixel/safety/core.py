"""The safety logic: `step(config, state, inputs, now) -> (state, outputs, events)`, a pure function.

The order within a tick is the order of precedence: what was read comes first, then a lease that is lost, then
a stop, then everything else in the order of arrival. So no request can undo what an interlock or a stop
demands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nixel.safety.interlocks import assess
from nixel.safety.model import (
    START,
    AcquireLease,
    Arm,
    Cause,
    Disable,
    Disconnect,
    Enable,
    Event,
    Lease,
    Mode,
    Outputs,
    ReleaseLease,
    RenewLease,
    Reply,
    Reset,
    State,
    Stop,
)

if TYPE_CHECKING:
    from nixel.safety.model import AnyRequest, Config, Inputs, Verdict

_PERMITTED = frozenset({Mode.ARMED, Mode.ENERGISED})
# For so long after the start [s] a source that has not answered yet is no cause of its own.
_START_GRACE = 1.0


def start(now: float) -> State:
    """Give the state in which the daemon comes up: de-energised and latched.

    Parameters
    ----------
    now
        The time of the start [s].

    Returns
    -------
    State
        FAULT with the cause "start".
    """
    text = "the safety daemon has started; after every start a person resets"
    return State(Mode.FAULT, (Cause(START, now, text),), switched=now, off_reason=text)


def step(
    config: Config, state: State, inputs: Inputs, now: float
) -> tuple[State, Outputs, tuple[Event, ...]]:
    """Evaluate one tick.

    Parameters
    ----------
    config
        The instrument.
    state
        What the last tick returned, or `start()`.
    inputs
        What was read and asked for since.
    now
        The time of this tick [s], never less than that of the last.

    Returns
    -------
    state : State
        For the next tick.
    outputs : Outputs
        What to command, and the replies to the requests.
    events : tuple of Event
        What happened, in order.
    """
    verdicts = assess(config, state, inputs, now)
    tick = _Tick(config, state, verdicts, now)
    tick.note_health()
    gone = frozenset(request.client for request in inputs.requests if isinstance(request, Disconnect))
    tick.end_lease(gone)
    stops = [request for request in inputs.requests if isinstance(request, Stop)]
    for stop in stops:
        tick.stop(stop)
    replies = []
    for request in inputs.requests:
        if not isinstance(request, Disconnect):
            refused = tick.answer(request, stopped=bool(stops), gone=request.client in gone)
            replies.append(Reply(request.client, request.number, refused))
    permitted = tick.state.mode in _PERMITTED
    healthy = frozenset(verdict.name for verdict in verdicts if verdict.healthy)
    # The state sees to this already; said again where the command is made, it holds whatever the state says.
    on = frozenset(
        output.name
        for output in config.outputs
        if output.name in tick.state.on and permitted and healthy.issuperset(output.gated_by)
    )
    new = replace(
        tick.state,
        on=on,
        beat=tick.state.beat != permitted,
        unhealthy=frozenset(verdict.name for verdict in verdicts if not verdict.healthy),
        warned=frozenset(verdict.name for verdict in verdicts if verdict.warning),
    )
    return new, Outputs(on, permitted, new.beat, verdicts, tuple(replies)), tuple(tick.events)


class _Tick:
    """The working copy of one tick: `state` and `events` grow while it is evaluated, nothing else does."""

    def __init__(self, config: Config, state: State, verdicts: tuple[Verdict, ...], now: float) -> None:
        self.config = config
        self.began = state.mode
        self.state = state
        self.verdicts = verdicts
        self.now = now
        self.events: list[Event] = []

    # --- what needs no request ---

    def note_health(self) -> None:
        """Record what became unhealthy or healthy, and latch the fault on anything unhealthy."""
        for verdict in self.verdicts:
            if verdict.warning and verdict.name not in self.state.warned:
                self.event("interlock", f"warning: {verdict.message}", name=verdict.name)
        unhealthy = {verdict.name for verdict in self.verdicts if not verdict.healthy}
        for name in sorted(self.state.unhealthy - unhealthy):
            self.event("interlock", f"{name} is healthy again", name=name)
        for verdict in self.verdicts:
            if not verdict.healthy and not self.waiting_for(verdict):
                self.latch(verdict)

    def waiting_for(self, verdict: Verdict) -> bool:
        """Whether this is only a source that has not answered yet so shortly after the start.

        The fault is latched anyway; this keeps its list of causes to what went wrong.
        """
        first = self.state.causes[0] if self.state.causes else None
        starting = first is not None and first.name == START and self.now - first.time < _START_GRACE
        return starting and verdict.gap and verdict.age is None

    def latch(self, verdict: Verdict) -> None:
        """Go to FAULT, or add a cause to the latched one."""
        state = self.state
        if any(cause.name == verdict.name for cause in state.causes):
            return
        self.state = replace(state, causes=(*state.causes, Cause(verdict.name, self.now, verdict.message)))
        self.event("cause", verdict.message, name=verdict.name, value=verdict.value)
        self.go(Mode.FAULT, verdict.message)

    def end_lease(self, gone: frozenset[int]) -> None:
        """End the lease whose holder has gone or fallen silent."""
        lease = self.state.lease
        if lease is None:
            return
        if lease.client in gone:
            self.drop_lease(lease, f"the connection of {lease.name!r} closed, and with it its lease ended")
        elif self.now >= lease.expires:
            silence = f"{lease.duration * 1e3:.0f} ms"
            self.drop_lease(lease, f"{lease.name!r} was silent for longer than {silence}, so its lease ended")

    def drop_lease(self, lease: Lease, reason: str) -> None:
        """End the lease, and with it whatever is on."""
        self.state = replace(self.state, lease=None)
        self.event("lease", reason, name=lease.name, held=False)
        if self.state.mode is Mode.ENERGISED:
            self.go(Mode.SAFE, reason)

    def stop(self, request: Stop) -> None:
        """De-energise; a latched fault stays latched."""
        text = f"stopped: {request.reason}"
        self.event("request", text, by=request.by)
        if self.state.mode is not Mode.FAULT:
            self.go(Mode.SAFE, text)

    # --- requests ---

    def answer(self, request: AnyRequest, *, stopped: bool, gone: bool) -> str | None:
        """Do what is asked, or say why not."""
        if isinstance(request, Stop):
            return None
        if gone:
            return "the connection has closed"
        if stopped and isinstance(request, Arm | Enable | Reset):
            return "a stop was asked for in the same moment; it wins"
        return self.obey(request)

    def obey(self, request: AnyRequest) -> str | None:
        """Do what is asked in the present state, or say why not."""
        if isinstance(request, AcquireLease):
            return self.acquire(request)
        if isinstance(request, RenewLease | ReleaseLease):
            return self.renew_or_release(request)
        if isinstance(request, Enable | Disable):
            return self.switch_one(request)
        if isinstance(request, Arm):
            return self.arm()
        return self.reset()

    def acquire(self, request: AcquireLease) -> str | None:
        """Give the lease to a client if it is free."""
        lease, longest, shortest = self.state.lease, self.config.lease, 2 * self.config.period
        if lease is not None:
            if lease.client == request.client:
                return "this connection already holds the lease; renew it"
            return f"the lease is held by {lease.name!r}; there is one at a time"
        duration = longest if request.duration is None else request.duration
        if not shortest <= duration <= longest:
            allowed = f"{shortest * 1e3:g} ms to {longest * 1e3:g} ms"
            return f"a lease of {duration * 1e3:g} ms is not allowed here; ask for {allowed}"
        granted = Lease(request.client, request.name, duration, self.now + duration)
        self.state = replace(self.state, lease=granted)
        self.event("lease", f"{request.name!r} has the lease", name=request.name, held=True)
        return None

    def renew_or_release(self, request: RenewLease | ReleaseLease) -> str | None:
        """Prolong the client's own lease, or end it."""
        lease = self.state.lease
        if lease is None or lease.client != request.client:
            return self.not_the_holder()
        if isinstance(request, RenewLease):
            self.state = replace(self.state, lease=replace(lease, expires=self.now + lease.duration))
        else:
            self.drop_lease(lease, f"{lease.name!r} gave its lease back")
        return None

    def arm(self) -> str | None:
        """SAFE to ARMED."""
        mode = self.state.mode
        if mode is Mode.FAULT:
            return self.latched()
        if mode is Mode.ENERGISED:
            return "an output is already on"
        if mode is Mode.SAFE:
            if self.began is not Mode.SAFE:
                return f"the state went from {self.began} to SAFE only in this moment; look again, then arm"
            self.go(Mode.ARMED, "armed")
        return None

    def switch_one(self, request: Enable | Disable) -> str | None:
        """Switch one output on or off."""
        names = [output.name for output in self.config.outputs]
        if request.output not in names:
            return f"there is no output {request.output!r}; this instrument has {', '.join(names)}"
        if isinstance(request, Enable):
            return self.enable(request.output, request.client)
        self.disable(request.output)
        return None

    def enable(self, output: str, client: int) -> str | None:
        """ARMED to ENERGISED, for the holder of the lease."""
        lease = self.state.lease
        if self.state.mode is Mode.FAULT:
            return self.latched()
        if self.state.mode not in _PERMITTED or self.began not in _PERMITTED:
            return f"the state is {self.state.mode} and was {self.began}; arm, then enable"
        if lease is None or lease.client != client:
            return self.not_the_holder()
        self.go(Mode.ENERGISED, f"{output} was enabled by {lease.name!r}")
        self.switch(self.state.on | {output})
        return None

    def disable(self, output: str) -> None:
        """Switch an output off; ENERGISED to ARMED when it was the last."""
        if self.state.on == {output}:
            self.go(Mode.ARMED, f"{output} was disabled")
        self.switch(self.state.on - {output})

    def reset(self) -> str | None:
        """FAULT to SAFE, if everything is healthy; never further."""
        if self.state.mode is Mode.FAULT:
            unhealthy = [verdict.message for verdict in self.verdicts if not verdict.healthy]
            if unhealthy:
                return f"cannot reset: {'; '.join(unhealthy)}"
            self.go(Mode.SAFE, "the fault was reset")
        return None

    # --- helpers ---

    def latched(self) -> str:
        """Say that a fault is latched, and its first cause."""
        return f"a fault is latched ({self.state.causes[0].text}); reset first"

    def not_the_holder(self) -> str:
        """Say that the client holds no lease, and who does."""
        lease = self.state.lease
        if lease is None:
            return "this connection holds no lease, or it has ended; acquire one first"
        return f"this connection holds no lease; {lease.name!r} has it"

    def go(self, mode: Mode, reason: str) -> None:
        """Change the state; every state begins with all outputs off."""
        old = self.state.mode
        if old is mode:
            return
        self.state = replace(
            self.state,
            mode=mode,
            causes=self.state.causes if mode is Mode.FAULT else (),
            off_reason="" if mode is Mode.ENERGISED else reason,
        )
        self.event("transition", f"{old} -> {mode}: {reason}", old=str(old), new=str(mode), reason=reason)
        self.switch(frozenset())

    def switch(self, on: frozenset[str]) -> None:
        """Command the outputs."""
        changed = self.state.on ^ on
        if changed:
            self.state = replace(self.state, on=on, switched=self.now)
        for output in sorted(changed):
            self.event(
                "output", f"{output} {'on' if output in on else 'off'}", output=output, on=output in on
            )

    def event(self, kind: str, text: str, **details: str | float | bool | None) -> None:
        """Record something."""
        self.events.append(Event(self.now, kind, text, details))
