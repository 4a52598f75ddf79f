"""An instrument on the bench: the safety logic ticked by hand, with everything healthy unless told otherwise."""

from __future__ import annotations

from nixel.safety.core.interlocks import judge
from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Boolean,
    Config,
    Inputs,
    Limit,
    Memory,
    Mode,
    Output,
    Reading,
    RenewLease,
    Reset,
)
from nixel.safety.core.step import start, step

HOLDER = 1
NOW = 100.0
COIL = Limit("coil", "analog:0", "degC", trip=60.0, max_age=0.25, bypass=2.0)
DOOR = Boolean("door", "digital:1", healthy=True, max_age=0.25, bypass=1.0)
ESTOP = Boolean(
    "estop", "digital:0", healthy=True, max_age=0.25, message="emergency stop pressed", emergency_stop=True
)
AMPLIFIER = Output("amplifier", "ac", ("coil", "door", "estop"))


def instrument(*outputs, interlocks=(COIL, DOOR, ESTOP)):
    """Give an instrument with these outputs, or with an amplifier; 64 ticks a second, which adds up exactly."""
    return Config(1 / 64, 1.0, tuple(interlocks), outputs or (AMPLIFIER,))


def plain(judged):
    """Hold that a judgement is of the types that it says, and give it back."""
    verdict, memory = judged
    flags = (verdict.healthy, verdict.warning, verdict.gap, verdict.early, verdict.bypassed)
    assert all(type(flag) is bool for flag in (*flags, memory.healthy, memory.warning, memory.stuck))
    assert type(verdict.message) is str
    return judged


def seen(interlock, value, before=None, now=NOW):
    """Judge an interlock of one source that reads `value` now; it has been healthy before unless told otherwise."""
    before = Memory(healthy=True) if before is None else before
    return plain(judge(interlock, before, {interlock.source: Reading(value, now)}, now))


def both(interlock, values, before=None, now=NOW):
    """Judge an interlock of two sources, either of which may be "missing"."""
    before = Memory(healthy=True) if before is None else before
    readings = {
        source: Reading(value, now)
        for source, value in zip(interlock.sources, values, strict=True)
        if value != "missing"
    }
    return plain(judge(interlock, before, readings, now))


class Bench:
    """Ticks an instrument whose outputs report what they are commanded, and whose lease is renewed."""

    def __init__(self, config=None) -> None:
        self.config = config or instrument()
        self.now = 64.0
        self.state = start(self.now)
        self.values = {"analog:0": 25.0, "digital:0": True, "digital:1": True}
        self.reports = {}  # of sinks that do not say what they are told to
        self.renew = True
        self.faults = {}
        self.events = []
        self.outputs = None

    def tick(self, *requests, after=1 / 64, **values):
        """Do one tick; values are those of sources, `analog_0=70.0`, in this tick only."""
        self.now += after
        found = {**self.values, **{name.replace("_", ":"): value for name, value in values.items()}}
        for output in self.config.outputs:
            found[f"readback:{output.sink}"] = output.name in self.state.on
        found |= self.reports
        readings = {
            source: value if isinstance(value, Reading) else Reading(value, self.now)
            for source, value in found.items()
            if value != "missing"
        }
        if self.renew and self.state.lease is not None:
            requests = (RenewLease(HOLDER, 0), *requests)
        given = Inputs(readings, requests, self.faults)
        self.state, self.outputs, events = step(self.config, self.state, given, self.now)
        self.events += events
        return self.outputs

    def ask(self, request, **values):
        """Do one tick with one request and give the reply: `None`, or why it was refused."""
        replies = self.tick(request, **values).replies
        return next(reply.refused for reply in replies if reply.number == request.number)

    def ticks(self, count):
        for _ in range(count):
            self.tick()

    def reset(self):
        """Reach SAFE with a lease."""
        self.tick()
        self.tick(Reset(HOLDER, 9), *([] if self.state.lease else [AcquireLease(HOLDER, 9, "a scan")]))
        assert self.state.mode is Mode.SAFE
        return self

    def armed(self):
        """Reach ARMED with a lease."""
        self.reset()
        self.tick(Arm(HOLDER, 9))
        assert self.state.mode is Mode.ARMED
        return self

    def verdict(self, name):
        return next(verdict for verdict in self.outputs.verdicts if verdict.name == name)

    def texts(self, kind):
        return [event.text for event in self.events if event.kind == kind]
