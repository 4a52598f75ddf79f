"""A microscope's sequence as the steps that it takes on one instrument: our units, our devices, within its limits.

useq counts lengths in µm and exposures in ms; steps count in m and s. What the sequence asks for and this instrument
cannot do is told here, all of it at once, before anything moves.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import useq

from nixel.acquisition.instrument_file import Problem
from nixel.acquisition.sequences.files import SequenceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.microscope_tables import Microscope

__all__ = ["Step", "steps"]

_UM, _MS = 1e-6, 1e-3
_MOST = 1_000_000  # frames: more is a slip of the pen
_UNNAMED = "image"  # the channel of a sequence without channels


@dataclass(frozen=True)
class Step:
    """One frame, and what is done before it.

    Parameters
    ----------
    index : mapping of str to int
        Of the axes that the sequence has: t, p, g, c, z.
    channel : str
    light : str, optional
        The device; None for the instrument's only one, if there is one.
    properties : tuple of (str, str, value)
        Device, property and what it is set to before the frame.
    exposure : float
        In s.
    position : mapping of str to float
        Of the stages' axes, in m; an axis that is missing stays where it is.
    from_start : frozenset of str
        The axes whose position counts from where they are when the run begins.
    not_before : float, optional
        In s since the last step with `new_clock`.
    new_clock : bool
    stay_lit : bool
        The light stays on until the next step.
    place : str
        The position's name, or empty.
    """

    index: Mapping[str, int]
    channel: str
    light: str | None
    properties: tuple[tuple[str, str, Any], ...]
    exposure: float
    position: Mapping[str, float]
    from_start: frozenset[str]
    not_before: float | None
    new_clock: bool
    stay_lit: bool
    place: str


def steps(source: str, sequence: useq.MDASequence, instrument: Instrument) -> tuple[Step, ...]:
    """Work out the steps of a sequence.

    Parameters
    ----------
    source : str
        Where it comes from, for errors.
    sequence : useq.MDASequence
    instrument : Instrument

    Returns
    -------
    tuple of Step

    Raises
    ------
    SequenceError
        The instrument cannot do them.
    """
    microscope = instrument.microscope
    if microscope is None:
        kind = f"a {instrument.instrument.kind} ({instrument.name})"
        raise SequenceError(source, [Problem("instrument", kind, "a microscope")])
    problems = [*_unsupported(sequence, "")]
    if not problems:
        sequence = _with_field_of_view(sequence, microscope)
        problems = [*_too_many(sequence, "")]
    if problems:
        raise SequenceError(source, problems)
    found: dict[str, Problem] = {}
    made = []
    for event in sequence:
        step = _step(event, sequence, instrument, microscope, found)
        made.append(step)
    if not made:
        found["file"] = Problem(
            "file", "a sequence without a frame", "channels, positions, or a time or z plan"
        )
    if found:
        raise SequenceError(source, list(found.values()))
    if sequence.setup and sequence.setup.properties:
        extra = tuple((p.device_name, p.property_name, p.property_value) for p in sequence.setup.properties)
        made[0] = _replaced(made[0], extra + made[0].properties)
    return tuple(made)


def _replaced(step: Step, properties: tuple[tuple[str, str, Any], ...]) -> Step:
    return Step(**{**step.__dict__, "properties": properties})


def _unsupported(sequence: useq.MDASequence, prefix: str) -> Iterator[Problem]:
    if sequence.autofocus_plan is not None:
        yield Problem(f"{prefix}autofocus_plan", "one", "none: nixel drives no hardware autofocus")
    setup = sequence.setup
    if setup is not None and (setup.roi or setup.slm_image or setup.channel or setup.exposure):
        yield Problem(f"{prefix}setup", "more than properties", "properties only")
    if isinstance(sequence.stage_positions, useq.WellPlatePlan):
        yield Problem(f"{prefix}stage_positions", "a well plate", "a list of positions")
        return
    for number, position in enumerate(sequence.stage_positions):
        if position.sequence is not None:
            yield from _unsupported(position.sequence, f"{prefix}stage_positions.{number}.sequence.")
    for number, channel in enumerate(sequence.channels):
        if channel.camera is not None:
            key = f"{prefix}channels.{number}.camera"
            yield Problem(key, repr(channel.camera), "none: the instrument's only camera takes every frame")


def _with_field_of_view(sequence: useq.MDASequence, microscope: Microscope) -> useq.MDASequence:
    """Fill in what a grid leaves to the instrument: how much a frame shows."""
    changes: dict[str, Any] = {}
    grid = sequence.grid_plan
    if grid is not None and getattr(grid, "fov_width", 0) is None:
        height, width = (count * microscope.pixel_size / _UM for count in microscope.shape)
        changes["grid_plan"] = grid.model_copy(update={"fov_width": width, "fov_height": height})
    if any(position.sequence for position in sequence.stage_positions):
        changes["stage_positions"] = tuple(
            position.model_copy(update={"sequence": _with_field_of_view(position.sequence, microscope)})
            if position.sequence
            else position
            for position in sequence.stage_positions
        )
    # A copy has the axes of its original already worked out: validated anew, so that it works out its own.
    return sequence.replace(**changes) if changes else sequence


def _too_many(sequence: useq.MDASequence, prefix: str) -> Iterator[Problem]:
    """Count before the library makes lists of what may be endless."""
    total = max(1, len(sequence.channels)) * max(1, len(sequence.stage_positions))
    for key, count in (
        ("time_plan", "num_timepoints"),
        ("z_plan", "num_positions"),
        ("grid_plan", "num_positions"),
    ):
        plan = getattr(sequence, key)
        if plan is None:
            continue
        try:
            number = len(plan) if not hasattr(plan, count) else int(getattr(plan, count)())
            # Of times alone the first two are cheap to have: the others are made as whole lists.
            first = list(itertools.islice(iter(plan), 2)) if key == "time_plan" else []
        except (ArithmeticError, ValueError, TypeError) as error:
            yield Problem(
                prefix + key, f"what has no number of points ({error})", "steps and intervals above zero"
            )
            continue
        if number < 1:
            yield Problem(prefix + key, f"{number} points", "one or more (mind the signs of range and step)")
        if first != sorted(first):
            yield Problem(prefix + key, "times that go backwards", "an interval of zero or more")
        total *= max(1, number)
    if total > _MOST:
        yield Problem(prefix or "file", f"{total} frames", f"at most {_MOST}")
    for number, position in enumerate(sequence.stage_positions):
        if position.sequence is not None:
            yield from _too_many(position.sequence, f"{prefix}stage_positions.{number}.sequence.")


def _step(
    event: useq.MDAEvent,
    sequence: useq.MDASequence,
    instrument: Instrument,
    microscope: Microscope,
    found: dict[str, Problem],
) -> Step:
    name = event.channel.config if event.channel else _UNNAMED
    light, properties = None, []
    if event.channel is not None:
        known = microscope.channels.get(name)
        if known is None:
            expected = ", ".join(sorted(microscope.channels)) or "no channels: there are none"
            key = f"channels.{name}"
            found[key] = Problem(
                key, "no such channel", f"one of the instrument's microscope.channels, {expected}"
            )
        else:
            light = known.light
            properties += [(*key.split(".", 1), value) for key, value in known.properties.items()]
    for device, prop, value in event.properties or ():
        if device not in instrument.devices:
            key = f"stage_positions.{event.index.get('p', 0)}.properties"
            found[key] = Problem(key, f"the device {device!r}", f"one of {', '.join(instrument.devices)}")
        properties.append((device, prop, value))
    position = {
        axis: value * _UM
        for axis, value in (("x", event.x_pos), ("y", event.y_pos), ("z", event.z_pos))
        if value is not None
    }
    from_start = _from_start(event, sequence) & position.keys()
    _check_travel(event, position, from_start, microscope, found)
    return Step(
        index=dict(event.index),
        channel=name,
        light=light,
        properties=tuple(properties),  # type: ignore[arg-type]
        exposure=_exposure(event, name, instrument, microscope, found),
        position=position,
        from_start=frozenset(from_start),
        not_before=event.min_start_time,
        new_clock=event.reset_event_timer,
        stay_lit=event.keep_shutter_open,
        place=event.pos_name or "",
    )


def _from_start(event: useq.MDAEvent, sequence: useq.MDASequence) -> set[str]:
    """Axes of a relative plan at a position that does not say where it is on them."""
    number = event.index.get("p")
    place = None if number is None else sequence.stage_positions[number]
    inner = place.sequence if place is not None and place.sequence is not None else None
    axes: set[str] = set()
    z_plan = (inner.z_plan if inner else None) or sequence.z_plan
    if z_plan is not None and z_plan.is_relative and (place is None or place.z is None):
        axes.add("z")
    grid = (inner.grid_plan if inner else None) or sequence.grid_plan
    if grid is not None and grid.is_relative:
        axes |= {axis for axis in "xy" if place is None or getattr(place, axis) is None}
    return axes


def _check_travel(
    event: useq.MDAEvent,
    position: Mapping[str, float],
    from_start: set[str],
    microscope: Microscope,
    found: dict[str, Problem],
) -> None:
    where = f"stage_positions.{event.index['p']}" if "p" in event.index else "file"
    for axis, value in position.items():
        # What counts from the start is known once the stage says where it is.
        low, high = microscope.limits.travel.get(axis, (-float("inf"), float("inf")))  # type: ignore[call-overload]
        if axis not in from_start and not low <= value <= high:
            found.setdefault(
                f"{where}.{axis}",
                Problem(
                    f"{where}.{axis}",
                    f"{value / _UM:g} µm",
                    f"{low / _UM:g} to {high / _UM:g} µm, the instrument's microscope.limits.travel.{axis}",
                ),
            )


def _exposure(
    event: useq.MDAEvent,
    channel: str,
    instrument: Instrument,
    microscope: Microscope,
    found: dict[str, Problem],
) -> float:
    key, limit = f"channels.{channel}.exposure", microscope.limits.exposure
    if event.exposure is not None:
        exposure = event.exposure * _MS
    else:
        asked = [getattr(device, "exposure", None) for device in instrument.devices.values()]
        given = [value for value in asked if value is not None]
        if len(given) != 1:
            found[key] = Problem(key, "nothing", "an exposure in ms, because the instrument file says none")
            return 0.0
        exposure = float(given[0])
    if exposure > limit:
        expected = f"at most the instrument's microscope.limits.exposure, {limit / _MS:g} ms"
        found[key] = Problem(key, f"{exposure / _MS:g} ms", expected)
    return exposure
