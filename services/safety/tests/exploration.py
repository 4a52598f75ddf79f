"""Breadth-first exploration of every state that the safety logic can reach, with the oracle on every transition.

A state of the exploration is the state of the code under test together with the oracle's `Ghost`. Two of them are
held to be the same, and only the first one found is followed, if their keys are equal. The key leaves out or merges
only what no later tick can tell apart, so that equal keys have equal futures (a bisimulation):

- Times are ages, `now - t`. Neither `step` nor the oracle looks at a clock: they compare differences of times with
  constants of the configuration, and so does every letter, which is made relative to now.
- Ages above `horizon`, which is above every constant that an age is compared with, are merged: an age only grows
  until its event comes again, so all later comparisons come out the same. What remains of a lease or a bypass is
  bounded by what was granted, and what is used up of a time on by that time and one time step.
- The heartbeat's level is left out: `step` and the oracle only ask whether it changes.
- The two clients are told apart only by who holds the lease: the letters are closed under exchanging the two.
- A reading that must change is remembered to be compared for equality and to tell its class: its two good values
  are exchanged by a symmetry of the configuration (both lie on the same side of every level), under which the
  letters are closed. Readings of a rate are compared by differences only, so they are kept relative to the last.
- What the state keeps of a tick at rest, to repeat it, is left out too, because it is shown for every state that has
  it that repeating and evaluating come to the same.
- Texts, and names for people, are never read. `unhealthy` and `warned` only decide which events for people are
  told. Causes count by their names: which is first, and which are there at all (`causes="all"`).
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import judged
import pytest
from invariants import begin, judge

from nixel.safety.core import interlocks
from nixel.safety.core import step as core
from nixel.safety.core.model import Heartbeat, Inputs, Memory, Rate


@dataclass
class Explored:
    """What an exploration has found."""

    states: int = 0
    transitions: int = 0
    modes: dict = field(default_factory=dict)
    broken: dict = field(default_factory=dict)  # each invariant that did not hold, with the first example

    def __str__(self):
        modes = ", ".join(f"{count} {mode}" for mode, count in sorted(self.modes.items()))
        return f"{self.states} states ({modes}), {self.transitions} transitions"


@dataclass(frozen=True)
class Letter:
    """One tick's input: how much later it is, and what is read and asked for then."""

    later: float
    readings: dict
    requests: tuple = ()
    faults: dict | None = None
    name: str = ""


def key_of(config, state, ghost, now, horizon, causes="all"):
    """What decides the future, and nothing else."""

    def age(time):
        return None if time is None else min(now - time, horizon)

    memory = tuple(
        _memory(interlock, state.memory.get(interlock.name), age) for interlock in config.interlocks
    )
    names = [cause.name for cause in state.causes]
    starting = bool(names) and names[0] == "start"
    told = (names[0], frozenset(names[1:])) if names and causes == "all" else None
    first = (starting and age(state.causes[0].time), told)
    lease = state.lease and (state.lease.duration, state.lease.expires - now)
    outputs = tuple(
        (
            output.name in state.on,
            output.name in state.wanted,
            age(state.switched_at(output.name)),
            state.used.get(output.name),
        )
        for output in config.outputs
    )
    bypasses = tuple(sorted((name, each.expires - now) for name, each in state.bypasses.items()))
    return (
        (state.mode, now - state.last, first, lease, outputs, bypasses, memory),
        _ghost(config, ghost, now, age, state),
    )


def _memory(interlock, memory, age):
    if memory is None:
        memory = Memory()
    value = _merged(interlock, memory.value)
    samples = _relative(memory.samples, age)
    return (
        memory.healthy,
        age(memory.beyond),
        age(memory.well),
        value,
        age(memory.changed),
        samples,
        age(memory.apart),
        memory.stuck,
    )


def _merged(interlock, value):
    if value is None:
        return None
    if isinstance(interlock, Heartbeat):
        return "known"
    return "good" if value in (GOOD, ALSO_GOOD) else value


def _relative(samples, age):
    return tuple((age(time), value - samples[-1][1]) for time, value in samples)


def _ghost(config, ghost, now, age, state):
    """The oracle's memory, merged in the same way."""
    seen = []
    for interlock in config.interlocks:
        each = ghost.seen.get(interlock.name)
        if each is None:
            seen.append(None)
            continue
        since = age(each.beyond), age(each.well)
        still = each.still and (_merged(interlock, each.still[0]), age(each.still[1]))
        still = None if isinstance(interlock, Rate) and interlock.frozen_after is None else still
        seen.append((each.fine, since, still, _relative(each.watched, age), age(each.apart), each.stuck))
    holder = ghost.lease and state.lease and ghost.lease[0] == state.lease.client
    return (
        None if ghost.ticked is None else now - ghost.ticked,
        ghost.first is None,
        ghost.armed,
        ghost.on,
        ghost.wanted,
        ghost.lease and (holder, ghost.lease[1], ghost.lease[2] - now),
        tuple(sorted((name, end - now) for name, end in ghost.granted.items())),
        tuple(age(ghost.switched.get(output.name, ghost.started)) for output in config.outputs),
        tuple(sorted(ghost.used.items())),
        tuple(seen),
    )


class Reused:
    """A pure judgement of one interlock, not worked out again for the very same objects.

    The hundreds of letters that are followed from one state differ in few readings; what the others are judged to
    be is the same again.
    """

    def __init__(self, judge):
        self.judge = judge
        self.known = {}

    def __call__(self, interlock, before, readings, now):
        """Judge, or give what was judged."""
        arguments = (before, *(readings.get(source) for source in interlock.sources))
        key = (interlock.name, now, *map(id, arguments))
        if key not in self.known:
            # The arguments are kept with it, so that none of their identities can come to be another's.
            self.known[key] = (self.judge(interlock, before, readings, now), arguments)
        return self.known[key][0]


@contextmanager
def reusing():
    """Let both the code under test and the oracle judge each interlock once where nothing differs."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (interlocks, judged):
            found.append(Reused(module.judge))
            patch.setattr(module, "judge", found[-1])
        yield lambda: [each.known.clear() for each in found]


GOOD, ALSO_GOOD = 20.0, 21.0


def explore(config, letters, horizon, *, causes="all", step=core.step, start=core.start, until=(), most=None):
    """Follow every letter from every state that can be reached.

    Parameters
    ----------
    config
        The instrument.
    letters
        Gives, for (state, ghost, now), the letters to follow.
    horizon
        Above every constant that an age is compared with [s].
    causes
        "all", or "first" to tell latched faults apart by their first cause only.
    step, start
        The code under test.
    until
        Invariants with which to stop as soon as all of them are found broken.
    most
        A number of transitions after which to give up; for planted bugs that change what can be reached.

    Returns
    -------
    Explored
        What was found.
    """
    with reusing() as forget:
        return _explore(config, letters, horizon, causes, step, start, until, most, forget)


def _explore(config, letters, horizon, causes, step, start, until, most, forget):
    explored = Explored()
    now = 1024.0
    state = start(now)
    ghost, found = begin(state, now)
    _note(explored, found, "start", state)
    known = {key_of(config, state, ghost, now, horizon, causes)}
    waiting = deque([(state, ghost, now)])
    explored.states, explored.modes = 1, {str(state.mode): 1}
    while waiting:
        state, ghost, now = waiting.popleft()
        forget()
        for letter in letters(state, ghost, now):
            if (until and explored.broken.keys() >= set(until)) or explored.transitions == most:
                return explored
            then = now + letter.later
            inputs = Inputs(letter.readings, letter.requests, letter.faults)
            result = step(config, state, inputs, then)
            after, found = judge(config, ghost, state, inputs, then, result)
            explored.transitions += 1
            if found:
                _note(explored, found, letter, state)
            new = result[0]
            if new.rest is not None and new.rest is not state.rest:
                for pauses in _PAUSES:
                    for problem in _rests_wrongly(config, inputs, new, then, horizon, step, pauses):
                        _note(explored, [("rest", problem)], letter, state)
            key = key_of(config, new, after, then, horizon, causes)
            if key not in known:
                known.add(key)
                explored.states += 1
                explored.modes[str(new.mode)] = explored.modes.get(str(new.mode), 0) + 1
                waiting.append((new, after, then))
    return explored


# Of what part of the horizon the ticks at rest are apart, and whether its contacts are read anew before each.
_PAUSES = (
    ((4, False), (4, False), (2, False), (2, False), (1, False)),
    ((32, True), (4, False), (4, True), (32, True), (2, False), (2, True)),
)


def _rests_wrongly(config, inputs, state, now, horizon, step, pauses):
    """Whether the ticks that are not evaluated, because they see the same readings, differ from those that are.

    The very same, or of contacts that were read anew. As they do not, `rest` decides nothing and has no place in the
    key.
    """
    short, full = state, state
    held = replace(inputs, requests=(), faults=None)
    for part, anew in pauses:
        later = horizon / part
        now += later
        if anew:
            held = replace(held, readings={name: _again(each, now) for name, each in held.readings.items()})
        short, said, told = step(config, short, held, now)
        full, expected, events = step(config, replace(full, rest=None), held, now)
        same = [
            [(v.name, v.healthy, v.warning, v.bypassed, v.message) for v in each.verdicts]
            for each in (said, expected)
        ]
        commands = [(each.on, each.permitted, each.beat, each.replies) for each in (said, expected)]
        if short != full or same[0] != same[1] or commands[0] != commands[1] or told != events:
            yield f"{later:g} s later, with {held.readings}: {said} in {short}, expected {expected} in {full}"


def _again(reading, now):
    """A contact as it is read now, if it says what it said; a number as it was."""
    return replace(reading, time=now) if isinstance(reading.value, bool) else reading


def _note(explored, found, letter, state):
    for number, text in found:
        explored.broken.setdefault(number, f"{number}: {text}\n  by {letter}\n  in {state}")
