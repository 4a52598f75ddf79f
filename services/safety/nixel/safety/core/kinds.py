"""What a fresh and sensible reading means to each kind of interlock: pure functions, delays left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
    from collections.abc import Sequence

    from nixel.safety.core.model import Interlock, Reading

# A rate looks at its window through so many samples: it sees every change that lasts a window and an eighth.
_SAMPLES = 8
_SENSES = {Sense.RISING: "upwards", Sense.FALLING: "downwards", Sense.EITHER: "up or down"}


# What is remembered of a tick in which there was nothing to remember; made once, for making it takes its time.
NOTHING = Memory()
_WORDS = {
    Limit: "limit",
    Rate: "rate",
    Boolean: "boolean",
    TwoContacts: "two-channel",
    TwoSensors: "two-channel",
    Heartbeat: "heartbeat",
}


_MEASURED = (Limit, TwoSensors)  # a tuple, because a union would be made anew each time


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


def word(interlock: Interlock) -> str:
    """Give the kind of an interlock in one word.

    Parameters
    ----------
    interlock
        Of any kind.

    Returns
    -------
    str
        As instrument files write it.
    """
    return _WORDS[type(interlock)]


def unit(interlock: Interlock) -> str | None:
    """Give the unit of what an interlock shows.

    Parameters
    ----------
    interlock
        Of any kind.

    Returns
    -------
    str or None
        `None` for contacts and heartbeats.
    """
    if isinstance(interlock, Rate):
        return f"{interlock.unit}/s"
    return interlock.unit if isinstance(interlock, _MEASURED) else None


def look(interlock: Interlock, before: Memory, readings: Sequence[Reading], now: float) -> Finding:
    """Judge readings that are fresh and make sense.

    Parameters
    ----------
    interlock
        Of any kind.
    before
        What it remembers.
    readings
        One for each of its sources.
    now
        The time of the tick [s].

    Returns
    -------
    Finding
        Before any delay.
    """
    if isinstance(interlock, TwoContacts):
        return _contacts(interlock, before, (readings[0].value, readings[1].value), now)
    if isinstance(interlock, Boolean):
        return _contact(interlock, readings[0])
    if isinstance(interlock, Heartbeat):
        return _heartbeat(interlock, before, readings[0], now)
    reading = readings[0]
    value = float(reading.value or 0.0)
    if isinstance(interlock, TwoSensors):
        return _sensors(interlock, before, value - float(readings[1].value or 0.0), now)
    if isinstance(interlock, Limit):
        finding = _level(interlock, before, judged(interlock, value))
    else:
        finding = _rate(interlock, before, value, reading.time)
    longest = interlock.frozen_after
    return finding if longest is None else _unfrozen(interlock, before, reading, finding, longest)


def judged(interlock: Limit, value: float) -> float:
    """Give the quantity that a limit judges.

    Parameters
    ----------
    interlock
        The limit.
    value
        What its source reads.

    Returns
    -------
    float
        In the unit of the limit; infinite where it is too large for a number.
    """
    size = abs(value) if interlock.magnitude else value
    # Not `**`, which raises where a product is infinite.
    return interlock.factor * (size * size if interlock.power == 2 else size)


def _contact(interlock: Boolean, reading: Reading) -> Finding:
    if reading.value == interlock.healthy:
        return Finding(True, "", reading.value, NOTHING)
    text = f"{interlock.name} reads {int(not interlock.healthy)}, healthy is {int(interlock.healthy)}"
    return Finding(False, interlock.message or text, reading.value, NOTHING)


def _level(interlock: Limit, before: Memory, value: float) -> Finding:
    sign = 1.0 if interlock.direction is Direction.ABOVE else -1.0
    trip = sign * interlock.trip - (0.0 if before.healthy else interlock.hysteresis)
    if sign * value >= sign * interlock.trip:
        text = f"{_at(interlock, value)} its limit of {interlock.trip:g} {interlock.unit}"
        return Finding(False, _because(interlock.message, text), value, NOTHING)
    if sign * value >= trip:
        back = f"{interlock.hysteresis:g} {interlock.unit} within its limit of {interlock.trip:g}"
        text = f"{interlock.name} is {value:g} {interlock.unit}, not yet {back} {interlock.unit} again"
        return Finding(False, _because(interlock.message, text), value, NOTHING)
    if interlock.warn is not None:
        warn = sign * interlock.warn - (interlock.hysteresis if before.warning else 0.0)
        if sign * value >= warn:
            text = f"{_at(interlock, value)} its warning level of {interlock.warn:g} {interlock.unit}"
            return Finding(True, text, value, NOTHING, warning=True)
    return Finding(True, "", value, NOTHING)


def _at(interlock: Limit, value: float) -> str:
    return f"{interlock.name} is {value:g} {interlock.unit}, at or {interlock.direction}"


def _rate(interlock: Rate, before: Memory, value: float, time: float) -> Finding:
    samples = before.samples
    while len(samples) > 1 and time - samples[1][0] >= interlock.window:
        samples = samples[1:]
    known = bool(samples) and time - samples[0][0] >= interlock.window
    rates = [(value - old) / max(time - then, interlock.window) for then, old in samples]
    if interlock.sense is Sense.EITHER:
        rates = [abs(rate) for rate in rates]
    elif interlock.sense is Sense.FALLING:
        rates = [-rate for rate in rates]
    speed = max(rates, default=0.0)
    if not samples or time - samples[-1][0] >= interlock.window / _SAMPLES:
        samples = (*samples, (time, value))
    memory = Memory(samples=samples)
    if speed >= interlock.trip:
        found = f"{interlock.name} is {speed:g} {interlock.unit}/s {_SENSES[interlock.sense]}"
        text = f"{found}, at or above its limit of {interlock.trip:g} {interlock.unit}/s"
        return Finding(False, _because(interlock.message, text), speed, memory)
    if not known:
        text = (
            f"{interlock.name} has not been watched for {interlock.window:g} s yet, so its rate is not known"
        )
        return Finding(False, text, speed, memory, fault=True, early=True)
    return Finding(True, "", speed, memory)


def _unfrozen(
    interlock: Limit | Rate, before: Memory, reading: Reading, finding: Finding, longest: float
) -> Finding:
    """Find a sensor at fault whose reading has not changed at all for too long."""
    changed = before.changed
    if changed is None or reading.value != before.value:
        changed = reading.time
    memory = Memory(value=reading.value, changed=changed, samples=finding.memory.samples)
    if reading.time - changed < longest:
        return Finding(
            finding.well,
            finding.message,
            finding.value,
            memory,
            finding.warning,
            finding.fault,
            finding.early,
        )
    still = f"has given exactly {reading.value:g} for {longest:g} s"
    text = f"{interlock.name}: {interlock.source} {still}; it is frozen"
    return Finding(False, text, finding.value, memory, fault=True)


def _contacts(
    interlock: TwoContacts, before: Memory, values: tuple[float | bool | None, ...], now: float
) -> Finding:
    good = [values[0] == interlock.healthy[0], values[1] == interlock.healthy[1]]
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


def _sensors(interlock: TwoSensors, before: Memory, difference: float, now: float) -> Finding:
    if abs(difference) <= interlock.tolerance:
        return Finding(True, "", difference, NOTHING)
    apart = now if before.apart is None else before.apart
    memory = Memory(apart=apart)
    found = f"{' and '.join(interlock.sources)} differ by {abs(difference):g} {interlock.unit}"
    text = f"{interlock.name}: {found}, at most {interlock.tolerance:g} {interlock.unit} is right"
    if before.healthy and now - apart <= interlock.discrepancy:
        return Finding(True, text, difference, memory, warning=True)
    return Finding(False, _because(interlock.message, text), difference, memory)


def _heartbeat(interlock: Heartbeat, before: Memory, reading: Reading, now: float) -> Finding:
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


def _because(message: str, text: str) -> str:
    return f"{message}: {text}" if message else text
