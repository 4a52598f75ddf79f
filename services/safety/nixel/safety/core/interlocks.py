"""Whether each interlock, readback, on-time and device is healthy in this tick: pure functions of what was read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from nixel.safety.core import kinds
from nixel.safety.core.model import (
    CLOCK,
    DEVICE_KIND,
    ON_TIME_KIND,
    READBACK_KIND,
    Memory,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.core.kinds import Finding
    from nixel.safety.core.model import Config, Inputs, Interlock, Output, Reading, State

# What most interlocks remember; made once, for making it takes its time.
_PLAIN = {
    (healthy, warning): Memory(healthy, warning) for healthy in (False, True) for warning in (False, True)
}


def assess(
    config: Config, state: State, inputs: Inputs, now: float
) -> tuple[tuple[Verdict, ...], dict[str, Memory]]:
    """Judge everything that can forbid an output.

    Parameters
    ----------
    config, state, inputs
        As given to `step`.
    now
        The time of the tick [s].

    Returns
    -------
    verdicts : tuple of Verdict
        Interlocks, readbacks and on-times in the order of the configuration, then the devices that do not work.
    memory : dict
        What each interlock remembers for the next tick.
    """
    readings = inputs.readings
    found: list[Verdict] = []
    memory: dict[str, Memory] = {}
    for interlock in config.interlocks:
        before = state.memory.get(interlock.name, kinds.NOTHING)
        verdict, memory[interlock.name] = judge(interlock, before, readings, now)
        if interlock.bypass and interlock.name in state.bypasses:
            verdict = replace(verdict, bypassed=True)
        found.append(verdict)
    for output in config.outputs:
        reading = readings.get(f"readback:{output.sink}")
        on = output.name in state.on
        found.append(judge_readback(output, reading, on, state.switched_at(output.name), now))
    found += [
        judge_on_time(output, output.on_time, output.name in state.on, state.used[output.name])
        for output in config.outputs
        if output.on_time is not None
    ]
    if not now >= state.last:
        text = f"the clock went back from {state.last:g} s to {now:g} s; restart the safety daemon"
        found.append(Verdict(CLOCK, DEVICE_KIND, healthy=False, message=text))
    found += [
        Verdict(name, DEVICE_KIND, healthy=False, message=text)
        for name, text in sorted((inputs.faults or {}).items())
    ]
    return tuple(found), memory


def judge(
    interlock: Interlock, before: Memory, readings: Mapping[str, Reading], now: float
) -> tuple[Verdict, Memory]:
    """Judge one interlock.

    Missing, stale and senseless readings (NaN, infinite, of the wrong kind) are unhealthy at once, whatever they
    say and whatever delay the interlock allows for.

    Parameters
    ----------
    interlock
        The interlock's configuration.
    before
        What it remembers of the last tick.
    readings
        The newest reading of each source; one that has never answered is absent.
    now
        The time of the tick [s].

    Returns
    -------
    verdict : Verdict
        Healthy or not, and why.
    memory : Memory
        For the next tick.
    """
    kind = kinds.KINDS[type(interlock)]
    name, unit, longest = interlock.name, interlock.shown_in, interlock.max_age
    taken: list[Reading] = []
    gaps: list[str] = []
    senseless: tuple[str, float | bool | None] | None = None
    for source in interlock.sources:
        reading = readings.get(source)
        if reading is None:
            gaps.append(_missing(source))
            continue
        taken.append(reading)
        value, old = reading.value, now - reading.time
        # A reading from the future would stay fresh for ever; a small lead is the I/O thread ahead of the tick.
        if not -longest <= old <= longest:
            gaps.append(_stale(source, old, longest))
        if value is True or value is False:
            sensible = kind.states
        else:
            sensible = kind.numbers and value is not None and math.isfinite(value)
        if not sensible and senseless is None:
            senseless = source, value
    if gaps:
        early = len(taken) < len(interlock.sources)
        text = f"{name}: {'; '.join(gaps)}"
        return Verdict(name, kind.word, False, text, unit=unit, gap=True, early=early), _forget(before)
    if senseless is not None:
        source, value = senseless
        no_state = f"{name}: {source} gives no state, expected 0 or 1"
        text = kinds.no_number(name, source) if kind.numbers else no_state
        return Verdict(name, kind.word, False, text, value=value, unit=unit), _forget(before)
    finding = kind.look(interlock, before, taken, now)
    healthy, warning, message, memory = _settle(interlock, before, finding, now)
    told = Verdict(name, kind.word, healthy, message, warning, finding.value, unit, False, finding.early)
    return told, memory


def _forget(before: Memory) -> Memory:
    """Forget all that must be seen anew, which is everything but the suspicion of a stuck channel."""
    return Memory(apart=before.apart, stuck=before.stuck)


def _settle(
    interlock: Interlock, before: Memory, finding: Finding, now: float
) -> tuple[bool, bool, str, Memory]:
    """Apply the delays: of tripping, up to its bound, and of clearing.

    The delay of tripping counts from when it was first beyond, and anew only after it has been well for as long, so
    that chatter cannot put it off.
    """
    healthy, message, _, memory, warning, fault, _ = finding
    if healthy and before.healthy and before.beyond is not None:
        since = now if before.well is None else before.well
        if now - since < interlock.trips_after:
            memory = replace(memory, beyond=before.beyond, well=since)
    elif healthy and not before.healthy:
        since = now if before.well is None else before.well
        if now - since < interlock.clears_after:
            healthy, warning, memory = False, False, replace(memory, well=since)
            wanted = f"{interlock.clears_after * 1e3:.0f} ms on end"
            message = f"{interlock.name} has tripped and has not been well for {wanted} since"
    elif not healthy and before.healthy and not fault:
        since = now if before.beyond is None else before.beyond
        if now - since < interlock.trips_after:
            healthy, warning, memory = True, True, replace(memory, beyond=since)
    if memory is kinds.NOTHING:
        return healthy, warning, message, _PLAIN[healthy, warning]
    # Spelt out, because `replace` takes several times as long and this is done for each interlock in each tick.
    memory = Memory(
        healthy,
        warning,
        memory.beyond,
        memory.well,
        memory.value,
        memory.changed,
        memory.samples,
        memory.apart,
        memory.stuck,
    )
    return healthy, warning, message, memory


def judge_readback(
    output: Output, reading: Reading | None, commanded: bool, switched: float, now: float
) -> Verdict:
    """Judge whether an output does what it is told.

    Parameters
    ----------
    output
        The output's configuration.
    reading
        What its sink last reported of itself; `None` if it never did.
    commanded
        Whether the output is commanded on.
    switched
        When it was last commanded otherwise [s]; until `readback_within` after that either answer is right.
    now
        The time of the tick [s].

    Returns
    -------
    Verdict
        Named "<output> readback".
    """
    name = f"{output.name} readback"
    gap = _gap(f"readback:{output.sink}", reading, output.readback_within, now)
    if reading is None or gap:
        text, early = f"{name}: {gap}", reading is None
        return Verdict(name, READBACK_KIND, healthy=False, message=text, gap=True, early=early)
    value, message = reading.value, ""
    if not _is_bool(value):
        message = f"{name}: the reply makes no sense"
    elif value != commanded and now - switched > output.readback_within:
        said, told = ("on", "off") if value else ("off", "on")
        message = f"{output.name} reports that it is {said} although it is commanded {told}"
    return Verdict(name, READBACK_KIND, healthy=not message, message=message, value=value)


def judge_on_time(output: Output, longest: float, commanded: bool, used: float) -> Verdict:
    """Judge whether an output has been on for longer than it may.

    Parameters
    ----------
    output
        The output's configuration.
    longest
        Its longest time on [s].
    commanded
        Whether it is commanded on.
    used
        How much of that time it has used up [s].

    Returns
    -------
    Verdict
        Named "<output> on-time"; healthy whenever the output is off.
    """
    healthy = not (commanded and used >= longest)
    message = "" if healthy else f"{output.name} has been on for as long as it may ({longest:g} s)"
    return Verdict(f"{output.name} on-time", ON_TIME_KIND, healthy, message, value=used, unit="s")


def use(config: Config, state: State, now: float) -> dict[str, float]:
    """Add up how much of its longest time on each output has used up.

    Being on uses it up as fast as time goes by, being off gives it back at `duty / (1 - duty)` of that.

    Parameters
    ----------
    config, state
        As given to `step`.
    now
        The time of the tick [s].

    Returns
    -------
    dict
        Seconds, by the names of the outputs that have a longest time.
    """
    passed = 0.0 if state.ticked is None else max(0.0, now - state.ticked)
    used: dict[str, float] = {}
    for output in config.outputs:
        if output.on_time is None:
            continue
        before = state.used.get(output.name, 0.0)
        if output.name in state.on:
            used[output.name] = before + passed
        else:
            regained = math.inf if output.duty >= 1.0 else passed * output.duty / (1.0 - output.duty)
            used[output.name] = max(0.0, before - regained)
    return used


def _gap(source: str, reading: Reading | None, max_age: float, now: float) -> str:
    """Say why there is nothing to judge; empty if there is."""
    if reading is None:
        return _missing(source)
    old = now - reading.time
    return "" if -max_age <= old <= max_age else _stale(source, old, max_age)


def _missing(source: str) -> str:
    return f"no reading from {source} yet"


def _stale(source: str, old: float, longest: float) -> str:
    limit = f"{longest * 1e3:.0f} ms is allowed"
    return f"the last reading from {source} is {abs(old) * 1e3:.0f} ms old, at most {limit}"


def _is_bool(value: object) -> bool:
    return value is True or value is False
