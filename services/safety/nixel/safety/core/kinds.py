"""What a fresh and sensible reading means to each kind of interlock: pure functions, delays left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nixel.safety.core.model import (
    Boolean,
    Direction,
    Heartbeat,
    Limit,
    Memory,
    Rate,
    Sense,
    TwoContacts,
    TwoSensors,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nixel.safety.core.model import Reading

# A rate looks at its window through so many samples: it sees every change that lasts a window and an eighth.
_SAMPLES = 8
_SENSES = {Sense.RISING: "upwards", Sense.FALLING: "downwards", Sense.EITHER: "up or down"}


# What is remembered of a tick in which there was nothing to remember; made once, for making it takes its time.
NOTHING = Memory()


class Finding(NamedTuple):
    """What the readings of one tick say.

    Attributes
    ----------
    well
        Whether nothing is beyond its level.
    message
        Why not, or the warning; empty when there is nothing to say.
    value
        What a person is shown.
    memory
        What is to be remembered, delays left out.
    warning
        Whether it is beyond its warning level.
    fault
        Whether what is wrong is not the quantity but how it is measured, so that no delay is allowed for.
    early
        Whether too little has been seen yet to judge.
    """

    well: bool
    message: str
    value: float | bool | None
    memory: Memory
    warning: bool = False
    fault: bool = False
    early: bool = False


def _judged(interlock: Limit, value: float) -> float:
    """Give the quantity that a limit judges, in its unit; infinite where it is too large for a number."""
    size = abs(value) if interlock.magnitude else value
    # Not `**`, which raises where a product is infinite.
    return interlock.factor * (size * size if interlock.power == 2 else size)


def _contact(interlock: Boolean, before: Memory, readings: Sequence[Reading], now: float) -> Finding:  # noqa: ARG001
    reading = readings[0]
    if reading.value == interlock.healthy:
        return Finding(True, "", reading.value, NOTHING)
    text = f"{interlock.name} reads {int(not interlock.healthy)}, healthy is {int(interlock.healthy)}"
    return Finding(False, interlock.message or text, reading.value, NOTHING)


def _limit(interlock: Limit, before: Memory, readings: Sequence[Reading], now: float) -> Finding:  # noqa: ARG001
    reading = readings[0]
    value = _judged(interlock, float(reading.value or 0.0))
    if not math.isfinite(value):
        return Finding(False, no_number(interlock.name, interlock.source), reading.value, NOTHING, fault=True)
    memory = NOTHING
    if interlock.frozen_after is not None:
        still, memory = _unchanged(before, reading)
        if still >= interlock.frozen_after:
            return Finding(False, _frozen(interlock, reading), value, memory, fault=True)
    sign = 1.0 if interlock.direction is Direction.ABOVE else -1.0
    if sign * value >= sign * interlock.trip:
        text = f"{_at(interlock, value)} its limit of {interlock.trip:g} {interlock.unit}"
        return Finding(False, _because(interlock.message, text), value, memory)
    if not before.healthy and sign * value >= sign * interlock.trip - interlock.hysteresis:
        back = f"{interlock.hysteresis:g} {interlock.unit} within its limit of {interlock.trip:g}"
        text = f"{interlock.name} is {value:g} {interlock.unit}, not yet {back} {interlock.unit} again"
        return Finding(False, _because(interlock.message, text), value, memory)
    if interlock.warn is not None:
        warn = sign * interlock.warn - (interlock.hysteresis if before.warning else 0.0)
        if sign * value >= warn:
            text = f"{_at(interlock, value)} its warning level of {interlock.warn:g} {interlock.unit}"
            return Finding(True, text, value, memory, warning=True)
    return Finding(True, "", value, memory)


def _at(interlock: Limit, value: float) -> str:
    return f"{interlock.name} is {value:g} {interlock.unit}, at or {interlock.direction}"


def _rate(interlock: Rate, before: Memory, readings: Sequence[Reading], now: float) -> Finding:  # noqa: ARG001
    reading = readings[0]
    value, time, window = float(reading.value or 0.0), reading.time, interlock.window
    samples = before.samples
    while len(samples) > 1 and time - samples[1][0] >= window:
        samples = samples[1:]
    known = bool(samples) and time - samples[0][0] >= window
    rates = [(value - old) / max(time - then, window) for then, old in samples]
    if interlock.sense is Sense.EITHER:
        rates = [abs(rate) for rate in rates]
    elif interlock.sense is Sense.FALLING:
        rates = [-rate for rate in rates]
    # Nothing is slower than not at all: looking again, when this is a sample itself, finds the same.
    speed = max([0.0, *rates])
    if not samples or time - samples[-1][0] >= window / _SAMPLES:
        samples = (*samples, (time, value))
    memory = Memory(samples=samples)
    if interlock.frozen_after is not None:
        still, memory = _unchanged(before, reading, samples)
        if still >= interlock.frozen_after:
            return Finding(False, _frozen(interlock, reading), speed, memory, fault=True)
    if speed >= interlock.trip:
        found = f"{interlock.name} is {speed:g} {interlock.unit}/s {_SENSES[interlock.sense]}"
        text = f"{found}, at or above its limit of {interlock.trip:g} {interlock.unit}/s"
        return Finding(False, _because(interlock.message, text), speed, memory)
    if not known:
        text = f"{interlock.name} has not been watched for {window:g} s yet, so its rate is not known"
        return Finding(False, text, speed, memory, fault=True, early=True)
    return Finding(True, "", speed, memory)


def _unchanged(
    before: Memory, reading: Reading, samples: tuple[tuple[float, float], ...] = ()
) -> tuple[float, Memory]:
    """Give for how long a reading has been exactly the same [s], and what is to be remembered of it."""
    changed = before.changed
    if changed is None or reading.value != before.value:
        changed = reading.time
    return reading.time - changed, Memory(value=reading.value, changed=changed, samples=samples)


def _frozen(interlock: Limit | Rate, reading: Reading) -> str:
    still = f"has given exactly {reading.value:g} for {interlock.frozen_after:g} s"
    return f"{interlock.name}: {interlock.source} {still}; it is frozen"


def _contacts(interlock: TwoContacts, before: Memory, readings: Sequence[Reading], now: float) -> Finding:
    good = [readings[0].value == interlock.healthy[0], readings[1].value == interlock.healthy[1]]
    if good[0] != good[1]:
        apart = now if before.apart is None else before.apart
        stuck = before.stuck or now - apart > interlock.discrepancy
        open_, shut = interlock.sources if good[1] else interlock.sources[::-1]
        text = f"{interlock.name}: {open_} has tripped and {shut} has not"
        if stuck:
            text += f" for over {interlock.discrepancy * 1e3:.0f} ms; one of them is stuck"
        text = _because(interlock.message, text)
        return Finding(False, text, False, Memory(apart=apart, stuck=stuck), fault=stuck)
    if not any(good):
        text = f"both channels of {interlock.name} have tripped"
        return Finding(False, interlock.message or text, False, NOTHING)
    if before.stuck:
        text = f"{interlock.name}: its channels disagreed; trip both together to show that neither is stuck"
        return Finding(False, text, True, Memory(stuck=True), fault=True)
    return Finding(True, "", True, NOTHING)


def _sensors(interlock: TwoSensors, before: Memory, readings: Sequence[Reading], now: float) -> Finding:
    difference = float(readings[0].value or 0.0) - float(readings[1].value or 0.0)
    if abs(difference) <= interlock.tolerance:
        return Finding(True, "", difference, NOTHING)
    apart = now if before.apart is None else before.apart
    memory = Memory(apart=apart)
    found = f"{' and '.join(interlock.sources)} differ by {abs(difference):g} {interlock.unit}"
    text = f"{interlock.name}: {found}, at most {interlock.tolerance:g} {interlock.unit} is right"
    if before.healthy and now - apart <= interlock.discrepancy:
        return Finding(True, text, difference, memory, warning=True)
    return Finding(False, _because(interlock.message, text), difference, memory)


def _heartbeat(interlock: Heartbeat, before: Memory, readings: Sequence[Reading], now: float) -> Finding:
    reading = readings[0]
    value, changed = reading.value, before.changed
    if before.value is not None and value != before.value:
        # A reading a little ahead of the tick must not count for longer than any other.
        changed = min(reading.time, now)
    memory = Memory(value=value, changed=changed)
    if changed is not None and now - changed <= interlock.interval:
        return Finding(True, "", value, memory)
    still = f"has not changed for {interlock.interval * 1e3:.0f} ms"
    text = f"{interlock.name}: {interlock.source} {still}"
    return Finding(False, _because(interlock.message, text), value, memory, early=changed is None)


def no_number(name: str, source: str) -> str:
    """Say that a source gives none.

    Parameters
    ----------
    name, source
        Of the interlock, and what it reads.

    Returns
    -------
    str
        A sentence.
    """
    return f"{name}: {source} gives no number; is the sensor connected?"


def _because(message: str, text: str) -> str:
    return f"{message}: {text}" if message else text


class Kind(NamedTuple):
    """What there is to know of a kind of interlock.

    Attributes
    ----------
    word
        Its name, as instrument files write it.
    states, numbers
        Whether a reading of it may be a state (true or false), and whether it may be a number.
    look
        Judges readings that are fresh and make sense: the interlock, what it remembers, a reading of each of its
        sources and the time of the tick [s]; delays are left out.
    """

    word: str
    states: bool
    numbers: bool
    look: Callable[[Any, Memory, Sequence[Reading], float], Finding]


KINDS: Final[Mapping[type, Kind]] = {
    Limit: Kind("limit", False, True, _limit),
    Rate: Kind("rate", False, True, _rate),
    Boolean: Kind("boolean", True, False, _contact),
    TwoContacts: Kind("two-channel", True, False, _contacts),
    TwoSensors: Kind("two-channel", False, True, _sensors),
    Heartbeat: Kind("heartbeat", True, True, _heartbeat),
}
