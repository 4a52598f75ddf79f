"""The invariants of the safety logic, as an oracle that judges every tick by what was read and asked for.

It asks the code under test nothing but what it did: whether a reading is healthy, who may hold the lease, what is
latched and what may be on are worked out here a second time, from the raw readings and requests alone. What the
oracle has to remember for that is the `Ghost`. The numbers are those of docs/safety.md:

1 an output is on only if every interlock that gates it is healthy and fresh in this tick; 2 and nothing is latched;
3 a latch clears only by a reset in this tick, with all healthy; 4 a reset never energises; 5 off to on only from
ARMED, by an enable of the holder of a live lease; 6 the emergency stop, and a stop, win over every other request of
the tick; 7 missing, NaN, stale and frozen are faults; 8 a start comes up off and latched; 9 the first cause is kept,
later ones are recorded; 10 the heartbeat toggles if and only if outputs are permitted and everything was looked at;
11 a bypass ends, is logged and never covers the emergency stop; 12 a fault switches off in its own tick; 13 a lease
that is not renewed ends, and nobody renews another's.

Two more go without a number: "order" (of start-up and teardown) and "record" (every request is answered, every change
is an event).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from judged import Seen, gap_of, healths

from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Bypass,
    Disable,
    Disconnect,
    Enable,
    EndBypass,
    Heartbeat,
    Mode,
    Rate,
    ReleaseLease,
    RenewLease,
    Reset,
    Stop,
)

START_GRACE = 1.0
NUMBERS = (*range(1, 14), "order", "record")


@dataclass(frozen=True)
class Ghost:
    """What the oracle remembers of the ticks so far.

    Attributes
    ----------
    first
        The name and the time of the first cause of the latched fault; `None` when nothing is latched.
    armed
        Whether a person has armed since outputs were last forbidden.
    wanted
        The outputs that a holder of the lease has enabled since, and those that they need.
    lease
        Who holds it, for how long it is granted, and until when.
    granted
        The bypasses, each with the time at which it must have ended.
    switched, used
        When each output last changed, and how much of its longest time on it has used up.
    """

    started: float
    ticked: float | None = None
    first: tuple[str, float] | None = ("start", 0.0)
    armed: bool = False
    on: frozenset = frozenset()
    wanted: frozenset = frozenset()
    lease: tuple[int, float, float] | None = None
    granted: dict[str, float] = field(default_factory=dict)
    switched: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)

    @property
    def last(self) -> float:
        """The latest time that has been told of; earlier than that the clock has gone back."""
        return self.started if self.ticked is None else self.ticked


class Found(list):
    """What does not hold: pairs of the invariant and a sentence."""

    def unless(self, holds, number, text):
        """Add to it what does not hold."""
        if not holds:
            self.append((number, text))

    @property
    def numbers(self):
        """The invariants that do not hold."""
        return {number for number, _ in self}


def begin(state, now):
    """Judge the state that the daemon comes up in; give the ghost and what does not hold."""
    found = Found()
    found.unless(state.mode is Mode.FAULT and state.causes, 8, f"it comes up {state.mode}, not latched")
    found.unless(not state.on and not state.wanted, 8, "it comes up with an output on")
    found.unless(state.lease is None and not state.bypasses, 8, "it comes up with a lease or a bypass")
    return Ghost(now, first=("start", now)), found


def closure(config, name):
    """An output and all that must be on before it."""
    output = next(output for output in config.outputs if output.name == name)
    return {name}.union(*(closure(config, prior) for prior in output.after))


def judge(config, ghost, before, inputs, now, result):
    """Judge one tick.

    Parameters
    ----------
    config
        The instrument.
    ghost
        What the last call returned, or `begin`.
    before, inputs, now
        What `step` was given.
    result
        What it returned.

    Returns
    -------
    ghost : Ghost
        For the next tick.
    found : Found
        What does not hold.
    """
    after, outputs, events = result
    found = Found()
    asked = _Asked(config, ghost, inputs, now, outputs, found)
    seen, used, health = healths(config, ghost, inputs, now)
    live = asked.bypasses_before()
    bad = {name for name, why in health.items() if why and name not in live}
    dead = {name for name in bad if health[name] == "dead"}
    emergency = {each.name for each in config.interlocks if each.emergency_stop}
    # --- what must follow ---
    was_latched = ghost.first is not None
    cleared = was_latched and not bad and not asked.stopped and asked.any_of(Reset)
    latched = bool(bad) or (was_latched and not cleared)
    lease = asked.lapse()
    armed = asked.requests(latched=latched, latched_before=was_latched, lease=lease)
    # --- and whether it did ---
    on = outputs.on
    for output in config.outputs:
        if output.name in on:
            for gate in output.gated_by:
                found.unless(gate not in bad, 1, f"{output.name} is on although {gate} is {health[gate]}")
    _check_freshness(config, on, live, inputs, now, found)
    found.unless(not on or not (latched or after.causes), 2, "an output is on although a fault is latched")
    found.unless(not on or after.mode is Mode.ENERGISED, 2, f"an output is on in {after.mode}")
    if was_latched:
        left = after.mode is not Mode.FAULT
        found.unless(not left or cleared, 3, f"the latch cleared although {bad or 'nobody asked'}")
        found.unless(not left or after.mode is Mode.SAFE, 3, f"the latch cleared to {after.mode}")
        found.unless(left or not cleared, 3, "a reset with all healthy did not clear the latch")
        found.unless(not on and not outputs.permitted, 4, "an output is permitted out of a latched fault")
    elif asked.any_of(Reset):
        found.unless(not outputs.permitted or ghost.armed or asked.any_of(Arm), 4, "a reset armed")
    for name in on - ghost.on:
        found.unless(ghost.armed, 5, f"{name} went on although nothing was armed before")
        found.unless(name in asked.wanted, 5, f"{name} went on although nobody with the lease enabled it")
        found.unless(asked.lease is not None, 5, f"{name} went on without a live lease")
    if bad & emergency or asked.stopped:
        found.unless(not on and not outputs.permitted, 6, "a stop did not win")
        found.unless(after.mode not in {Mode.ARMED, Mode.ENERGISED}, 6, f"a stop led to {after.mode}")
    if bad & emergency and (live or ghost.granted):
        found.unless(after.mode is Mode.FAULT, 11, "a bypass covers the emergency stop")
    for name in dead:
        found.unless(after.mode is Mode.FAULT and not on, 7, f"{name} cannot be trusted and {after.mode}")
    if ghost.ticked is None:
        found.unless(not on and not outputs.permitted, 8, "the first tick permits outputs")
    _check_causes(ghost, bad, latched, before, after, inputs, config, now, events, seen, found)
    found.unless(outputs.permitted == armed, 10, f"permitted is {outputs.permitted}, armed is {armed}")
    found.unless((outputs.beat != before.beat) == armed, 10, "the heartbeat does not say what is permitted")
    found.unless(outputs.beat == after.beat, 10, "the heartbeat is not the one that is remembered")
    told = [verdict.name for verdict in outputs.verdicts]
    found.unless(sorted(told) == sorted(health), 10, f"looked at {told}, expected {sorted(health)}")
    granted = _check_bypasses(config, asked, live, before, after, outputs, events, now, found)
    found.unless(not bad or (after.mode is Mode.FAULT and not on), 12, f"{bad} and yet {after.mode}, {on} on")
    found.unless(not bad or not outputs.permitted, 12, f"{bad} and yet outputs are permitted")
    kept = after.lease and (after.lease.client, after.lease.duration, after.lease.expires)
    found.unless(kept == asked.lease, 13, f"the lease is {kept}, expected {asked.lease}")
    if on:
        held = asked.lease is not None and now < asked.lease[2] and asked.lease[0] not in asked.gone
        found.unless(held, 13, "an output is on although nobody who is there holds the lease")
    found.unless(not latched or after.mode is Mode.FAULT, 12, f"{after.mode} although a fault is latched")
    _check_order(config, ghost, inputs, now, on, armed, found)
    _check_record(ghost, before, after, outputs, events, asked, armed, latched, found)
    switched = {**ghost.switched, **dict.fromkeys(on ^ ghost.on, now)}
    first = (
        (after.causes[0].name, after.causes[0].time) if latched and not was_latched and after.causes else None
    )
    return Ghost(
        started=ghost.started,
        ticked=max(now, ghost.last),
        first=(ghost.first if was_latched else first or ("?", now)) if latched else None,
        armed=armed,
        on=on,
        wanted=asked.wanted if armed else frozenset(),
        lease=asked.lease,
        granted=granted,
        switched=switched,
        used=used,
        seen=seen,
    ), found


class _Asked:
    """What the requests of a tick may do, worked out one after the other in their order."""

    def __init__(self, config, ghost, inputs, now, outputs, found):
        self.config, self.ghost, self.now, self.found = config, ghost, now, found
        self.all = inputs.requests
        self.gone = {each.client for each in self.all if isinstance(each, Disconnect)}
        self.heard = [each for each in self.all if not isinstance(each, Disconnect)]
        self.stopped = any(isinstance(each, Stop) for each in self.all)
        self.refused = [reply.refused for reply in outputs.replies]
        numbers = [(reply.client, reply.number) for reply in outputs.replies]
        self.answered = numbers == [(each.client, each.number) for each in self.heard]
        found.unless(self.answered, "record", "not every request is answered, in order")
        self.lease, self.wanted = ghost.lease, ghost.wanted
        self.new_bypasses = {}

    def any_of(self, kind):
        """Whether somebody who is there asks for something of a kind."""
        return any(isinstance(each, kind) and each.client not in self.gone for each in self.heard)

    def bypasses_before(self):
        """The bypasses that still hold when the readings are judged."""
        ended = {e.interlock for e in self.heard if isinstance(e, EndBypass) and e.client not in self.gone}
        allowed = {each.name for each in self.config.interlocks if each.bypass and not each.emergency_stop}
        granted = self.ghost.granted.items()
        return {
            name: end for name, end in granted if end > self.now and name in allowed and name not in ended
        }

    def lapse(self):
        """Whether the lease ends by itself."""
        lease = self.ghost.lease
        lost = lease is not None and (self.now >= lease[2] or lease[0] in self.gone)
        if lost:
            self.lease, self.wanted = None, frozenset()
        return lost

    def requests(self, *, latched, latched_before, lease):
        """Follow the lease and what is wanted through the requests; give whether outputs are permitted at the end."""
        energised, armed = bool(self.ghost.on), self.ghost.armed
        # Whatever ends in this tick ends before any request is looked at.
        armed = armed and not latched and not self.stopped and not (energised and lease)
        if not armed:
            self.wanted = frozenset()
        for each, refused in zip(self.heard, self.refused, strict=False):
            done = refused is None
            if each.client in self.gone and not isinstance(each, Stop):
                self.found.unless(not done, "record", f"{each} was done for a connection that is gone")
                continue
            self._one(each, done, armed, latched_before)
            if isinstance(each, ReleaseLease) and done and energised:
                armed = False
                self.wanted = frozenset()
            safe = not self.ghost.armed and not latched_before and not latched and not self.stopped
            if isinstance(each, Arm) and safe:
                armed = True
        return armed

    def _one(self, each, done, armed, latched_before):
        holds = self.lease is not None and self.lease[0] == each.client
        if isinstance(each, AcquireLease):
            longest, shortest = self.config.lease, 2 * self.config.period
            length = longest if each.duration is None else each.duration
            may = self.lease is None and shortest <= length <= longest
            self.found.unless(done == may, 13, f"{each} was {'' if done else 'not '}granted")
            if may:
                self.lease = (each.client, length, self.now + length)
        elif isinstance(each, RenewLease | ReleaseLease):
            self.found.unless(done == holds, 13, f"{each} was {'' if done else 'not '}done")
            if holds and isinstance(each, RenewLease):
                self.lease = (each.client, self.lease[1], self.now + self.lease[1])
            elif holds:
                self.lease, self.wanted = None, frozenset()
        elif isinstance(each, Enable) and done:
            may = self.ghost.armed and not self.stopped and holds and not latched_before
            self.found.unless(may, 5, f"{each} was done: armed {self.ghost.armed}, holder {holds}")
            if may:
                self.wanted |= closure(self.config, each.output)
        elif isinstance(each, Disable) and done:
            others = (output.name for output in self.config.outputs)
            self.wanted -= {other for other in others if each.output in closure(self.config, other)}
        elif isinstance(each, Bypass) and done:
            guard = next((g for g in self.config.interlocks if g.name == each.interlock), None)
            may = guard is not None and not guard.emergency_stop and 0 < each.duration <= guard.bypass
            self.found.unless(may, 11, f"{each} was granted")
            self.found.unless(not self.stopped, 6, f"{each} was granted in spite of a stop")
            self.found.unless(not armed, 11, f"{each} was granted while outputs were permitted")
            self.new_bypasses[each.interlock] = self.now + each.duration
        elif isinstance(each, EndBypass) and done:
            self.new_bypasses.pop(each.interlock, None)
        elif isinstance(each, Stop):
            self.found.unless(done, 6, "a stop was refused")
        elif isinstance(each, Arm | Reset) and self.stopped:
            self.found.unless(not done, 6, f"{each} was done in spite of a stop")


def _check_freshness(config, on, live, inputs, now, found):
    """Straight from the readings, without any memory: what gates an output that is on has been read just now."""
    for interlock in config.interlocks:
        gates = any(output.name in on and interlock.name in output.gated_by for output in config.outputs)
        if gates and interlock.name not in live:
            for source in interlock.sources:
                why = gap_of(inputs.readings.get(source), interlock.max_age, now)
                found.unless(not why, 1, f"an output is on although {source} is {why}")


def _check_causes(ghost, bad, latched, before, after, inputs, config, now, events, seen, found):
    """9: which causes are told, and that they are true."""
    names = [cause.name for cause in after.causes]
    found.unless(bool(names) == (after.mode is Mode.FAULT), 9, f"{after.mode} with the causes {names}")
    found.unless(len(set(names)) == len(names), 9, f"a cause is told twice: {names}")
    if ghost.first is not None and latched:
        kept = after.causes[: len(before.causes)] == before.causes
        found.unless(kept, 9, "a cause was forgotten or another put before it")
        first = after.causes and (after.causes[0].name, after.causes[0].time)
        found.unless(first == ghost.first, 9, f"the first cause was {ghost.first} and is {first}")
    elif latched:
        found.unless(set(names) <= bad, 9, f"{set(names) - bad} is told and healthy")
    found.unless(latched or after.mode is not Mode.FAULT, 9, "a fault for which there is no cause")
    waiting = set()
    if ghost.first is not None and ghost.first[0] == "start" and now - ghost.started < START_GRACE:
        waiting = _early(config, inputs, seen)
    missing = bad - set(names) - waiting
    found.unless(not missing, 9, f"{missing} is bad and not among the causes {names}")
    told = {event.details.get("name") for event in events if event.kind == "cause"}
    new = {cause.name for cause in after.causes} - {cause.name for cause in before.causes}
    found.unless(new <= told, 9, f"{new - told} is a cause without an event")


def _early(config, inputs, seen):
    """What has not been seen for long enough to be judged; for a moment after the start that is no cause."""
    names = {i.name for i in config.interlocks if any(s not in inputs.readings for s in i.sources)}
    for interlock in config.interlocks:
        each = seen[interlock.name]
        if isinstance(interlock, Rate) and each.watched:
            names.add(interlock.name)
        if isinstance(interlock, Heartbeat) and each.still is not None and each.still[1] is None:
            names.add(interlock.name)
    sinks = {o.name for o in config.outputs if f"readback:{o.sink}" not in inputs.readings}
    return names | {f"{name} readback" for name in sinks}


def _check_bypasses(config, asked, live, before, after, outputs, events, now, found):
    """11: bypasses end, are logged and never cover the emergency stop; give those that hold from now on."""
    may = {**live, **asked.new_bypasses}
    for name, bypassed in after.bypasses.items():
        guard = next(each for each in config.interlocks if each.name == name)
        found.unless(name in may, 11, f"{name} is bypassed although nobody may have asked")
        found.unless(not guard.emergency_stop, 11, f"the emergency stop {name} is bypassed")
        latest = max(now, asked.ghost.last) + guard.bypass
        found.unless(now < bypassed.expires <= latest, 11, f"the bypass of {name} does not end")
        found.unless(bypassed.expires <= may.get(name, now), 11, f"the bypass of {name} was prolonged")
    for verdict in outputs.verdicts:
        found.unless(not verdict.bypassed or verdict.name in live, 11, f"{verdict.name} counts as bypassed")
    logged = {(e.details["name"], e.details["bypassed"]) for e in events if e.kind == "bypass"}
    begun = {name for name in after.bypasses if after.bypasses[name] != before.bypasses.get(name)}
    ended = set(before.bypasses) - set(after.bypasses)
    wanted = {(name, True) for name in begun} | {(name, False) for name in ended}
    found.unless(wanted <= logged, 11, f"{wanted - logged} is not logged")
    return {name: may[name] for name in after.bypasses if name in may}


def _check_order(config, ghost, inputs, now, on, armed, found):
    """Outputs go on after those that they need, and off, unless all do, before them; nothing stays on too long."""

    def says(output, value):
        reading = inputs.readings.get(f"readback:{output.sink}")
        since = ghost.switched.get(output.name, ghost.started)
        return (
            (output.name in ghost.on) is value and reading is not None and reading.value is value,
            since,
            reading,
        )

    outputs = {output.name: output for output in config.outputs}
    for name in on - ghost.on:
        for prior in outputs[name].after:
            said, since, reading = says(outputs[prior], True)
            fine = said and reading.time > since and now - since >= outputs[prior].settle
            found.unless(fine, "order", f"{name} went on before {prior} was")
    for name in on:
        found.unless(set(outputs[name].after) <= on, "order", f"{name} is on without what it needs")
    if armed:
        for name in ghost.on - on:
            for other in outputs.values():
                if name in other.after:
                    said, since, reading = says(other, False)
                    found.unless(
                        said and reading.time > since, "order", f"{name} went off before {other.name}"
                    )


def _check_record(ghost, before, after, outputs, events, asked, armed, latched, found):
    """Whatever changes is an event, and the state fits what is commanded."""
    found.unless(after.on == outputs.on, "record", "what is on is not what is commanded")
    mode = Mode.FAULT if latched else Mode.ENERGISED if outputs.on else Mode.ARMED if armed else Mode.SAFE
    found.unless(after.mode is mode, "record", f"the state is {after.mode}, expected {mode}")
    moves = [(event.details["old"], event.details["new"]) for event in events if event.kind == "transition"]
    chain = [before.mode, *(new for _, new in moves)]
    fine = [old for old, _ in moves] == chain[:-1] and chain[-1] == after.mode
    found.unless(
        fine, "record", f"the transitions told, {moves}, do not lead from {before.mode} to {after.mode}"
    )
    switched = {(e.details["output"], e.details["on"]) for e in events if e.kind == "output"}
    for name in outputs.on ^ ghost.on:
        told = (name, name in outputs.on) in switched
        found.unless(told, "record", f"the switching of {name} is not told")
    leases = {event.details["held"] for event in events if event.kind == "lease"}
    was, is_ = ghost.lease and ghost.lease[0], asked.lease and asked.lease[0]
    if was != is_:
        wanted = ({False} if was is not None else set()) | ({True} if is_ is not None else set())
        found.unless(wanted <= leases, "record", "a change of the lease is not told")
