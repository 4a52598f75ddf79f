"""Whether each interlock, readback and device is healthy in this tick: pure functions of what was read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nixel.safety.model import DEVICE_KIND, READBACK_KIND, Boolean, Direction, Limit, Verdict

if TYPE_CHECKING:
    from nixel.safety.model import Config, Inputs, Interlock, Output, Reading, State


def assess(config: Config, state: State, inputs: Inputs, now: float) -> tuple[Verdict, ...]:
    """Judge everything that can forbid an output.

    Parameters
    ----------
    config, state, inputs
        As given to `step`.
    now
        The time of the tick [s].

    Returns
    -------
    tuple of Verdict
        Interlocks and readbacks in the order of the configuration, then the devices that do not work.
    """
    readings = inputs.readings
    found = [judge(interlock, readings.get(interlock.source), now) for interlock in config.interlocks]
    found += [
        judge_readback(
            output, readings.get(f"readback:{output.sink}"), output.name in state.on, state.switched, now
        )
        for output in config.outputs
    ]
    found += [
        Verdict(name, DEVICE_KIND, healthy=False, message=text)
        for name, text in sorted((inputs.faults or {}).items())
    ]
    return tuple(found)


def judge(interlock: Interlock, reading: Reading | None, now: float) -> Verdict:
    """Judge one interlock.

    Missing, stale and senseless readings (NaN, infinite, of the wrong kind) are unhealthy, whatever they say.

    Parameters
    ----------
    interlock
        The interlock's configuration.
    reading
        The newest reading of its source; `None` if there has never been one.
    now
        The time of the tick [s].

    Returns
    -------
    Verdict
        Healthy or not, and why.
    """
    name, kind, unit = interlock.name, "boolean", None
    if isinstance(interlock, Limit):
        kind, unit = "limit", interlock.unit
    age = None if reading is None else now - reading.time
    gap = _gap(interlock.source, reading, interlock.max_age, now)
    if reading is None or gap:
        return Verdict(name, kind, healthy=False, message=f"{name}: {gap}", unit=unit, age=age, gap=True)
    if isinstance(interlock, Boolean):
        warning = False
        healthy, message = _contact(interlock, reading.value)
    else:
        healthy, warning, message = _level(interlock, reading.value)
    return Verdict(name, kind, healthy, message, warning, reading.value, unit, age)


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
    age = None if reading is None else now - reading.time
    gap = _gap(f"readback:{output.sink}", reading, output.readback_within, now)
    if reading is None or gap:
        return Verdict(name, READBACK_KIND, healthy=False, message=f"{name}: {gap}", age=age, gap=True)
    value, message = reading.value, ""
    if not _is_bool(value):
        message = f"{name}: the reply makes no sense"
    elif value != commanded and now - switched > output.readback_within:
        said, told = ("on", "off") if value else ("off", "on")
        message = f"{output.name} reports that it is {said} although it is commanded {told}"
    return Verdict(name, READBACK_KIND, healthy=not message, message=message, value=value, age=age)


def _gap(source: str, reading: Reading | None, max_age: float, now: float) -> str:
    """Say why there is nothing to judge; empty if there is."""
    if reading is None:
        return f"no reading from {source} yet"
    # A reading from the future would stay fresh for ever; a small lead is the I/O thread ahead of the tick.
    age = abs(now - reading.time)
    if not age <= max_age:
        limit = f"{max_age * 1e3:.0f} ms is allowed"
        return f"the last reading from {source} is {age * 1e3:.0f} ms old, at most {limit}"
    return ""


def _contact(interlock: Boolean, value: float | bool | None) -> tuple[bool, str]:
    if not _is_bool(value):
        return False, f"{interlock.name}: {interlock.source} gives no state, expected 0 or 1"
    if value != interlock.healthy:
        text = f"{interlock.name} reads {int(not interlock.healthy)}, healthy is {int(interlock.healthy)}"
        return False, interlock.message or text
    return True, ""


def _level(interlock: Limit, value: float | bool | None) -> tuple[bool, bool, str]:
    if value is None or _is_bool(value) or not math.isfinite(value):
        text = f"{interlock.name}: {interlock.source} gives no number; is the sensor connected?"
        return False, False, text
    sign = 1.0 if interlock.direction is Direction.ABOVE else -1.0
    side = f"or {interlock.direction}"
    found = f"{interlock.name} is {value:g} {interlock.unit}"
    if sign * value >= sign * interlock.trip:
        text = f"{found}, at {side} its limit of {interlock.trip:g} {interlock.unit}"
        return False, False, f"{interlock.message}: {text}" if interlock.message else text
    if interlock.warn is not None and sign * value >= sign * interlock.warn:
        return True, True, f"{found}, at {side} its warning level of {interlock.warn:g} {interlock.unit}"
    return True, False, ""


def _is_bool(value: object) -> bool:
    return value is True or value is False
