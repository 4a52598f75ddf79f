"""The devices of a microscope as a sequence needs them: which stage has which axis, which light is a channel's.

Everything that a sequence asks of them is held against what they say they can do, before anything moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.acquisition.devices import Camera, Light, Stage, from_text
from nixel.acquisition.instrument_file import Problem
from nixel.acquisition.sequences.files import SequenceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nixel.acquisition.devices import Value
    from nixel.acquisition.opened import OpenDevices
    from nixel.acquisition.sequences.steps import Step

__all__ = ["Bench", "bench"]

_UM, _MS = 1e-6, 1e-3
_SLACK = 1e-9  # m: below what any stage resolves


@dataclass(frozen=True)
class Bench:
    """Devices that can do every step of a sequence; made by `bench`.

    Parameters
    ----------
    devices : OpenDevices
    camera : Camera
    stages : mapping of str to Stage
        By axis: those that the sequence moves.
    lights : mapping of str to Light
        By name; under None the one of steps that name none, if there is one.
    start : mapping of str to float
        Where each axis was when the run began, in m.
    sets_exposure : bool
        Whether the camera's exposure can be set; if not, it is what every step asks for.
    times_begin : bool
        Whether the camera says, by a property ``time_of_exposure``, that a frame's time is its exposure's start to the
        point; of others it may be that of the frame's arrival.
    """

    devices: OpenDevices
    camera: Camera
    stages: dict[str, Stage]
    lights: dict[str | None, Light]
    start: dict[str, float]
    sets_exposure: bool
    times_begin: bool

    def target(self, step: Step) -> dict[str, float]:
        """Where a step is, in m by axis."""
        return {
            axis: value + (self.start[axis] if axis in step.from_start else 0.0)
            for axis, value in step.position.items()
        }

    def value(self, device: str, name: str, given: object) -> Value:
        """Return what a property is set to, as the device takes it.

        Raises
        ------
        ValueError
            There is no such property, it is read-only, or the value is refused.
        """
        known = {prop.name: prop for prop in self.devices[device].properties if not prop.read_only}
        if name not in known:
            raise ValueError(
                f"expected one of {device}'s properties ({', '.join(known) or 'none'}), found {name!r}"
            )
        prop = known[name]
        if isinstance(given, str) and prop.kind != "text":
            return from_text(prop, given)
        return prop.accept(given)


def bench(source: str, steps: Sequence[Step], devices: OpenDevices) -> Bench:
    """Assign the devices, and hold every step against them.

    Parameters
    ----------
    source : str
        The sequence's file, for the error.
    steps : sequence of Step
    devices : OpenDevices

    Returns
    -------
    Bench

    Raises
    ------
    SequenceError
        They cannot do it; everything that stands in the way is told.
    DeviceError
        There is not exactly one camera, or a device does not answer.
    """
    camera = devices.one(Camera)
    problems: list[Problem] = []
    stages = _stages(steps, devices, problems)
    named = devices.every(Light)
    lights: dict[str | None, Light] = {name: light for name, light in named.items()}  # noqa: C416 (also None)
    only = list(named.values())
    wanted = {step.light for step in steps}
    if None in wanted and len(only) == 1:
        lights[None] = only[0]
    elif None in wanted and only:
        found = f"several lights ({', '.join(map(str, lights))})"
        problems.append(Problem("channels", found, "channels that name theirs, in microscope.channels"))
    problems += [
        Problem(f"microscope.channels: light {name}", "no light", "a device that is one")
        for name in sorted(wanted - {None} - lights.keys(), key=str)
    ]
    start = {axis: stage.position()[axis] for axis, stage in stages.items()}
    settable = {prop.name: prop for prop in camera.properties if not prop.read_only}
    stamped = any(prop.name == "time_of_exposure" for prop in camera.properties)
    begins = stamped and bool(camera.get("time_of_exposure"))
    made = Bench(devices, camera, stages, lights, start, "exposure" in settable, begins)
    if not problems:
        problems += [*_out_of_reach(steps, made), *_refused(steps, made)]
    if problems:
        raise SequenceError(source, problems)
    return made


def _stages(steps: Sequence[Step], devices: OpenDevices, problems: list[Problem]) -> dict[str, Stage]:
    stages = {}
    for axis in sorted({axis for step in steps for axis in step.position}):
        having = {name: stage for name, stage in devices.every(Stage).items() if axis in stage.axes}
        if len(having) == 1:
            stages[axis] = next(iter(having.values()))
        else:
            found = f"several ({', '.join(having)})" if having else "none"
            problems.append(Problem(f"the stage's axis {axis}", found, "exactly one stage with it"))
    return stages


def _out_of_reach(steps: Sequence[Step], made: Bench) -> Iterator[Problem]:
    microscope = made.devices.instrument.microscope
    limits = dict(microscope.limits.travel) if microscope is not None else {}
    told = set()
    for step in steps:
        where = f"stage_positions.{step.index['p']}" if "p" in step.index else "file"
        for axis, value in made.target(step).items():
            low, high = made.stages[axis].travel[axis]
            for narrower in (limits[axis],) if axis in limits else ():
                low, high = max(low, narrower[0]), min(high, narrower[1])
            if not low - _SLACK <= value <= high + _SLACK and (where, axis) not in told:
                told.add((where, axis))
                reach = f"{low / _UM:g} to {high / _UM:g} µm, which {made.stages[axis].where} reaches"
                yield Problem(f"{where}.{axis}", f"{value / _UM:g} µm", reach)


def _refused(steps: Sequence[Step], made: Bench) -> Iterator[Problem]:
    known = {prop.name: prop for prop in made.camera.properties}
    now = None if made.sets_exposure or "exposure" not in known else made.camera.get("exposure")
    for channel, exposure in dict.fromkeys((step.channel, step.exposure) for step in steps):
        key, found = f"channels.{channel}.exposure", f"{exposure / _MS:g} ms"
        if made.sets_exposure:
            try:
                known["exposure"].accept(exposure)
            except ValueError:
                expected = f"{known['exposure'].expected}, as {made.camera.where} takes it"
                yield Problem(key, found, expected)
        elif isinstance(now, float) and abs(exposure - now) > 0.01 * now:
            yield Problem(key, found, f"{now / _MS:g} ms: the exposure of {made.camera.where} is fixed")
    asked = {repr(entry): entry for step in steps for entry in step.properties}
    for device, name, value in asked.values():
        try:
            made.value(device, name, value)
        except ValueError as error:
            expected = str(error).partition(", found ")[0].removeprefix("expected ")
            yield Problem(f"{device}.{name}", repr(value), expected)
