"""What a microscope's sequence will take: its steps walked through on paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.acquisition.instrument_file import Problem
from nixel.acquisition.plan import Plan
from nixel.acquisition.sequences.files import SequenceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.microscope_tables import Microscope
    from nixel.acquisition.sequences.steps import Step

__all__ = ["preview"]

_BYTES = 2  # of a pixel, as of every camera with more than 8 bits


@dataclass
class _Light:
    """When the light is on, and whether that is within the limits."""

    allowance: float
    regained: float
    spent: float = 0.0
    since: float | None = None
    off_at: float = 0.0
    longest: float = 0.0
    total: float = 0.0
    overspent: float = 0.0
    lamp: str | None = None

    def on(self, now: float) -> None:
        if self.since is None:
            self.since = now
            self.spent = max(0.0, self.spent - (now - self.off_at) * self.regained)

    def off(self, now: float) -> None:
        if self.since is not None:
            lasted = now - self.since
            self.spent += lasted
            self.total += lasted
            self.longest = max(self.longest, lasted)
            self.overspent = max(self.overspent, self.spent - self.allowance)
            self.since, self.off_at = None, now


def preview(source: str, steps: Sequence[Step], instrument: Instrument) -> Plan:
    """Walk through the steps of a sequence, and sum up.

    A step waits for its time, moves, switches its light on, exposes, and switches it off unless it stays on. What a
    move, the switching and the read-out take is counted as far as the instrument's ``[microscope.times]`` say.

    Parameters
    ----------
    source : str
        The file, for the error.
    steps : sequence of Step
    instrument : Instrument
        A microscope.

    Returns
    -------
    Plan
        Its size counts two bytes a pixel.

    Raises
    ------
    SequenceError
        The light would be on for longer than the instrument allows.
    """
    microscope = instrument.microscope
    assert microscope is not None
    limits, times = microscope.limits, microscope.times
    duty = (limits.duty or 100.0) / 100.0
    light = _Light(limits.on_time, duty / (1.0 - duty) if duty < 1.0 else math.inf)
    clock = origin = 0.0
    at: dict[str, float] = {}
    for step in steps:
        if step.new_clock:
            origin = clock
        clock = max(clock, origin + (step.not_before or 0.0))
        if light.lamp != step.light:
            light.off(clock)
            light.lamp = step.light
        if any(at.get(axis) != value for axis, value in step.position.items()):
            clock += times.move or 0.0
            at.update(step.position)
        if light.since is None:
            light.on(clock)
            clock += times.light or 0.0
        clock += step.exposure + (times.readout or 0.0)
        if not step.stay_lit:
            light.off(clock)
    light.off(clock)
    _within_limits(source, light, microscope)
    rows, columns = microscope.shape
    return Plan(
        duration=clock,
        size=len(steps) * rows * columns * _BYTES,
        frames=len(steps),
        on_time=light.longest,
        duty=min(1.0, light.total / clock) if clock else 0.0,
        notes=tuple(_notes(steps, microscope)),
    )


def _within_limits(source: str, light: _Light, microscope: Microscope) -> None:
    limits, problems = microscope.limits, []
    if light.longest > limits.on_time:
        problems.append(
            Problem(
                "keep_shutter_open_across",
                f"the light on for {light.longest:.3g} s at a stretch",
                f"at most the instrument's microscope.limits.on_time, {limits.on_time:g} s",
            )
        )
    elif light.overspent > 0 and limits.duty is not None:
        problems.append(
            Problem(
                "channels",
                f"the light on for {light.total:.3g} s with too little time in between",
                f"at most {limits.duty:g} percent of the time (microscope.limits.duty) once {limits.on_time:g} s are "
                "used up: longer intervals or shorter exposures",
            )
        )
    if problems:
        raise SequenceError(source, problems)


def _notes(steps: Sequence[Step], microscope: Microscope) -> list[str]:
    left_out = [
        text
        for text, value, counts in (
            ("moves of the stage", microscope.times.move, any(step.position for step in steps)),
            ("switching of the light", microscope.times.light, True),
            ("the camera's read-out", microscope.times.readout, True),
        )
        if value is None and counts
    ]
    if not left_out:
        return []
    return [f"Not counted: {', '.join(left_out)} (the instrument file has no [microscope.times] for it)."]
