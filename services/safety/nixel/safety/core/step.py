"""The safety logic: `step(config, state, inputs, now) -> (state, outputs, events)`, a pure function.

The order within a tick is the order of precedence: bypasses that end come first, then what was read, then a
lease that is lost, then a stop, then everything else in the order of arrival, and at last the next step of a start-up
or a teardown. So no request can undo what an interlock or a stop demands.

Outputs go on in their order, each when those before it report that they are on, and go off in reverse when they
are disabled. Everything else switches all of them off in the same tick: a fault, a stop and a lost lease never wait
for an order, because each step of it would be time that nobody answers for, and because a power cut does not keep
the order either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nixel.safety.core import rest
from nixel.safety.core.interlocks import use
from nixel.safety.core.model import (
    START,
    AcquireLease,
    Arm,
    Bypass,
    Bypassed,
    Cause,
    Disable,
    Disconnect,
    Enable,
    EndBypass,
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
from nixel.safety.core.tick import PERMITTED, Tick
from nixel.safety.core.wrong import wrong

if TYPE_CHECKING:
    from nixel.safety.core.model import AnyRequest, Config, Inputs


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
    return State(Mode.FAULT, (Cause(START, now, text),), started=now, off_reason=text)


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
        The time of this tick [s]; less than that of the last is a fault.

    Returns
    -------
    state : State
        For the next tick.
    outputs : Outputs
        What to command, and the replies to the requests.
    events : tuple of Event
        What happened, in order.
    """
    same = rest.repeat(config, state, inputs, now)
    if same is not None:
        return same
    gone = frozenset(request.client for request in inputs.requests if isinstance(request, Disconnect))
    used = use(config, state, now)
    tick = _Asked(config, state if used == state.used else replace(state, used=used), inputs, now)
    tick.end_bypasses(gone)
    tick.judge()
    tick.end_lease(gone)
    stops = [request for request in inputs.requests if isinstance(request, Stop)]
    for stop in stops:
        tick.stop(stop)
    replies = []
    for request in inputs.requests:
        if not isinstance(request, Disconnect):
            refused = tick.answer(request, stopped=bool(stops), gone=request.client in gone)
            replies.append(Reply(request.client, request.number, refused))
    tick.advance()
    permitted = tick.state.mode in PERMITTED
    beat = tick.state.beat != permitted
    on = _gated(config, tick) if permitted and tick.state.on else frozenset()
    outputs = Outputs(on, permitted, beat, tick.verdicts, tuple(replies))
    kept = None if tick.events else rest.keep(config, tick.state, tick.memory, inputs, outputs)
    new = replace(
        tick.state,
        on=on,
        ticked=max(state.last, now),
        beat=beat,
        unhealthy=tick.unhealthy,
        warned=tick.warned,
        memory=tick.memory,
        rest=kept,
    )
    return new, outputs, tuple(tick.events)


def _gated(config: Config, tick: Tick) -> frozenset[str]:
    """Give the outputs that are on and whose interlocks all permit it.

    The state sees to this already; said again where the command is made, it holds whatever the state says.
    """
    healthy = frozenset(verdict.name for verdict in tick.verdicts if verdict.permits)
    return frozenset(
        output.name
        for output in config.outputs
        if output.name in tick.state.on and healthy.issuperset(output.gated_by)
    )


class _Asked(Tick):
    """The tick as those see it who ask for something."""

    def answer(self, request: AnyRequest, *, stopped: bool, gone: bool) -> str | None:
        """Do what is asked, or say why not."""
        if isinstance(request, Stop):
            return None
        if gone:
            return "the connection has closed"
        if stopped and isinstance(request, Arm | Enable | Reset | Bypass):
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
        if isinstance(request, Bypass):
            return self.bypass(request)
        if isinstance(request, EndBypass):
            return self.unbypass(request.interlock)
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
        if self.state.mode not in PERMITTED or self.began not in PERMITTED:
            was = f" and was {self.began}" if self.began is not self.state.mode else ""
            return f"the state is {self.state.mode}{was}; arm, then enable"
        if lease is None or lease.client != client:
            return self.not_the_holder()
        spent = [
            prior.name
            for prior in self.config.outputs
            if prior.name in self.config.needs[output] - self.state.on
            and prior.on_time is not None
            and self.state.used[prior.name] >= prior.on_time
        ]
        if spent:
            return f"{', '.join(spent)} has been on for as long as it may; give it a rest"
        self.asked = f"{output} was enabled by {lease.name!r}"
        self.state = replace(self.state, wanted=self.state.wanted | self.config.needs[output])
        return None

    def disable(self, output: str) -> None:
        """Let an output go off, and before it those that need it."""
        self.state = replace(self.state, wanted=self.state.wanted - self.config.needed_by[output])

    def reset(self) -> str | None:
        """FAULT to SAFE, if everything is healthy; never further."""
        if self.state.mode is Mode.FAULT:
            unhealthy = wrong(self.verdicts)
            if unhealthy:
                return f"cannot reset: {'; '.join(unhealthy)}"
            self.go(Mode.SAFE, "the fault was reset")
        return None

    def bypass(self, request: Bypass) -> str | None:
        """Bypass an interlock for a time, while nothing can be on."""
        name = request.interlock
        longest = next((guard.bypass for guard in self.config.interlocks if guard.name == name), None)
        if longest is None:
            names = ", ".join(guard.name for guard in self.config.interlocks if guard.bypass)
            return f"there is no interlock {name!r}; those that may be bypassed: {names or 'none'}"
        if not longest:
            return f"{name} may never be bypassed on this instrument"
        if self.state.mode in PERMITTED:
            return f"the state is {self.state.mode}; stop, then bypass"
        if not 0.0 < request.duration <= longest:
            return f"{name} may be bypassed for up to {longest:g} s, not for {request.duration:g} s"
        granted = Bypassed(self.now + request.duration, request.by, request.reason)
        self.state = replace(self.state, bypasses={**self.state.bypasses, name: granted})
        text = f"{name} is bypassed for {request.duration:g} s by {request.by}: {request.reason}"
        self.event("bypass", text, name=name, bypassed=True, duration=request.duration, by=request.by)
        return None

    def unbypass(self, name: str) -> str | None:
        """End a bypass; one that is older than this tick has ended before anything was judged."""
        if name in self.state.bypasses:
            self.end_bypass(name, "it was asked to end")
            return None
        return None if name in self.ended else f"{name!r} is not bypassed"

    def latched(self) -> str:
        """Say that a fault is latched, and its first cause."""
        return f"a fault is latched ({self.state.causes[0].text}); reset first"

    def not_the_holder(self) -> str:
        """Say that the client holds no lease, and who does."""
        lease = self.state.lease
        if lease is None:
            return "this connection holds no lease, or it has ended; acquire one first"
        return f"this connection holds no lease; {lease.name!r} has it"
