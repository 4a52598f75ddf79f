"""Protocols: what a run of the scanner measures, as data, with a plan of what it will take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nixel.acquisition.adapters.scpi_daq_settings import ScpiDaq
from nixel.acquisition.adapters.scpi_robot import ScpiRobot
from nixel.acquisition.collision import CollisionError
from nixel.acquisition.plan import Plan, coil_heating
from nixel.acquisition.quantities import Metre
from nixel.acquisition.scan_timing import Timeline
from nixel.physics.grid import Grid

if TYPE_CHECKING:
    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.scanner_tables import Scanner

__all__ = ["CalibrationProtocol", "Plan", "ProtocolError", "ScanProtocol"]

_MOST_PATCHES = 1000
_ROUNDING = 1 + 1e-9
_LARGEST_FRAME = 2**26  # bytes: a frame of many patches has to pass the buffer

_Row = Field(strict=False)


class ProtocolError(ValueError):
    """A protocol that the instrument cannot run; nothing has been done."""


class _Protocol(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)

    averages: int = Field(default=10, ge=1, le=65536, description="periods averaged into one frame")
    background_frames: int = Field(default=4, ge=0, le=10_000, description="frames of the empty bore, first")
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="of a simulated scanner's noise")

    def _checked(self, timeline: Timeline, size: int, frames: int, scanner: Scanner, *notes: str) -> Plan:
        """Make the plan of a run that goes through these phases, if the scanner can run it."""
        phases = timeline.phases
        on_time = max(time for time, on in phases if on)
        if on_time > scanner.limits.transmit_time:
            raise ProtocolError(
                f"the protocol would transmit for {on_time:.3g} s at a stretch; expected at most "
                f"the instrument's scanner.limits.transmit_time, {scanner.limits.transmit_time:g} s. "
                "Choose fewer averages or frames"
            )
        heating = coil_heating(scanner, phases)
        limit = scanner.thermal.limit if scanner.thermal else None
        if heating is not None and limit is not None and heating.peak > limit:
            raise ProtocolError(
                f"the {heating.part} would warm to {heating.peak:.1f} degC by the estimate; expected at most the "
                f"instrument's scanner.thermal.limit, {limit:g} degC. Choose fewer averages or frames"
            )
        duty = sum(time for time, on in phases if on) / timeline.duration
        return Plan(timeline.duration, size, frames, on_time, min(1.0, duty), heating, notes)


def _uncounted(scanner: Scanner, *, moves: bool) -> tuple[str, ...]:
    """What the plan does not count because the instrument file does not say it, in a sentence."""
    named = {"taking the sample out and in": scanner.times.exchange}
    named |= {"moves of the robot": scanner.times.move} if moves else {}
    left_out = [text for text, value in named.items() if value is None]
    if not left_out:
        return ()
    return (f"Not counted: {', '.join(left_out)} (the instrument file has no [scanner.times] for it).",)


def _daq(instrument: Instrument) -> ScpiDaq:
    daq = next((device for device in instrument.devices.values() if isinstance(device, ScpiDaq)), None)
    if daq is None:
        raise ProtocolError(
            f'instrument {instrument.name}: expected a device with adapter "scpi-daq", found none'
        )
    return daq


def _scanner(instrument: Instrument) -> Scanner:
    if instrument.scanner is None:
        raise ProtocolError(
            f"instrument {instrument.name}: expected a scanner, found {instrument.instrument.kind}"
        )
    return instrument.scanner


class ScanProtocol(_Protocol):
    """Frames of one subject, preceded by frames of the empty bore and, if wanted, interleaved with such.

    On a simulated scanner the subject is the name of the phantom that is put into the bore.
    """

    frames: int = Field(default=4, ge=1, le=100_000)
    averages: int = Field(default=50, ge=1, le=65536, description="periods averaged into one frame")
    subject: str = Field(default="stenosis", pattern=r"^[\w .-]{1,64}$")
    background_every: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="frames of the subject between two of the empty bore; 0: none",
    )
    patches: Annotated[tuple[Annotated[tuple[Metre, ...], _Row], ...], _Row] = Field(
        default=(),
        max_length=_MOST_PATCHES,
        description="where focus fields move the middle of the field of view to, (x, y) of each drive-field channel; "
        "a frame goes through all of them; none: it stays where it is",
    )

    def focus_fields(self, instrument: Instrument) -> tuple[tuple[float, ...], ...]:
        """Offset fields (T) of each patch, one for each drive-field channel; none without patches.

        The field-free point lies where the focus field and the selection field's gradient cancel.

        Parameters
        ----------
        instrument : Instrument

        Raises
        ------
        ProtocolError
            The instrument cannot bring them.
        """
        if not self.patches:
            return ()
        scanner, channels = _scanner(instrument), len(_scanner(instrument).dividers)
        limit = scanner.limits.focus_field
        if limit is None or _daq(instrument).focus_field_per_volt is None:
            raise ProtocolError(
                f"instrument {instrument.name}: expected scanner.limits.focus_field and the DAQ's "
                "focus_field_per_volt, because the protocol has patches, found none. Leave the patches out"
            )
        for number, place in enumerate(self.patches):
            if len(place) != channels:
                raise ProtocolError(
                    f"patches.{number}: found {len(place)} coordinates; expected one for each of the {channels} "
                    "drive-field channels"
                )
            for axis, (centre, gradient) in enumerate(zip(place, scanner.gradient, strict=False)):
                if abs(centre * gradient) > limit * _ROUNDING:
                    raise ProtocolError(
                        f"patches.{number}: {'xyz'[axis]} = {centre * 1e3:g} mm takes a focus field of "
                        f"{abs(centre * gradient) * 1e3:.3g} mT; expected at most the instrument's "
                        f"scanner.limits.focus_field, {limit * 1e3:g} mT. Choose a place nearer to the middle"
                    )
        return tuple(
            tuple(-c * g + 0.0 for c, g in zip(place, scanner.gradient, strict=False))
            for place in self.patches
        )

    def stages(self) -> list[tuple[bool, int]]:
        """What is measured in turn: whether it is the empty bore, and how many frames."""
        stages = [(True, self.background_frames)] if self.background_frames else []
        every = self.background_every or self.frames
        for taken in range(0, self.frames, every):
            count = min(every, self.frames - taken)
            stages.append((False, count))
            if count == self.background_every:
                stages.append((True, 1))
        return stages

    def plan(self, instrument: Instrument) -> Plan:
        """Work out what a run takes.

        Parameters
        ----------
        instrument : Instrument

        Returns
        -------
        Plan

        Raises
        ------
        ProtocolError
            The instrument cannot run it.
        """
        scanner = _scanner(instrument)
        fields, stages = self.focus_fields(instrument), self.stages()
        places = max(1, len(fields))
        timeline = Timeline(scanner, _daq(instrument), self.averages, places)
        for _, count in stages:
            timeline.exchange()
            timeline.on()
            timeline.frames(count)
            timeline.off()
        frames = sum(count for _, count in stages)
        frame = (
            places * scanner.receive_channels * scanner.samples_per_period * (2 if self.averages == 1 else 4)
        )
        if frame > _LARGEST_FRAME:
            raise ProtocolError(
                f"a frame of {places} patches has {frame / 1e6:.3g} MB; expected at most "
                f"{_LARGEST_FRAME / 1e6:.3g} MB. Choose fewer patches"
            )
        notes = _uncounted(scanner, moves=False)
        if fields:
            notes += ("Not counted: heating by the focus fields (the instrument file has no data for it).",)
        return self._checked(timeline, frames * frame, frames, scanner, *notes)


class CalibrationProtocol(_Protocol):
    """A system matrix, measured with a small sample that a robot moves over a grid, row by row."""

    # Defaults are validated like what is given, hence written as people write them.
    grid: Annotated[tuple[int, int], _Row] = Field(default=(25, 25), description="positions (y, x)")
    field_of_view: Annotated[tuple[Metre, Metre], _Row] = Field(  # type: ignore[assignment]
        default=("20 mm", "20 mm"), description="(y, x), from outer edge to outer edge"
    )
    background_every: int = Field(default=1, ge=0, description="rows between two frames of the empty bore")
    delta_sample: Annotated[tuple[Metre, Metre, Metre], _Row] = Field(  # type: ignore[assignment]
        default=("0.8 mm", "0.8 mm", "1 mm"), description="size (x, y, z)"
    )

    @model_validator(mode="after")
    def _sizes_are_positive(self) -> Self:
        if not 1 <= min(self.grid) <= max(self.grid) <= 1000:
            raise ValueError(f"grid: found {self.grid}; expected 1 to 1000 positions an axis")
        if not min(*self.field_of_view, *self.delta_sample) > 0:
            raise ValueError("field_of_view, delta_sample: expected lengths above zero")
        return self

    def positions(self) -> Grid:
        """Grid of the positions; its thickness is the delta sample's."""
        return Grid(self.grid, self.field_of_view, self.delta_sample[2])

    def _check_moves(self, instrument: Instrument, scanner: Scanner) -> None:
        """Refuse positions that a robot cannot reach, or not without touching something on the way."""
        places = [(float(x), float(y)) for x, y in self.positions().positions()]
        for name, robot in instrument.devices.items():
            if not isinstance(robot, ScpiRobot) or scanner.robot not in (None, name):
                continue
            low, high = robot.travel
            for x, y in places:
                if not (low <= x <= high and low <= y <= high):
                    raise ProtocolError(
                        f"the protocol would move {name} to ({x * 1e3:g}, {y * 1e3:g}) mm; expected positions "
                        f"within its travel, {low * 1e3:g} mm to {high * 1e3:g} mm. Choose a smaller field of view"
                    )
            if scanner.geometry is None:
                continue
            largest = scanner.geometry.sample
            if any(size > limit for size, limit in zip(self.delta_sample, largest, strict=True)):
                raise ProtocolError(
                    f"delta_sample: found {[f'{size * 1e3:g} mm' for size in self.delta_sample]}; expected at most "
                    f"scanner.geometry.sample, {[f'{size * 1e3:g} mm' for size in largest]}, with which every move "
                    "is checked"
                )
            try:
                scanner.geometry.check_path([robot.home, *places, robot.home])
            except CollisionError as error:
                raise ProtocolError(f"the protocol's moves of {name}: {error}") from error

    @property
    def interleaved_background_frames(self) -> int:
        """Frames of the empty bore between and after the rows."""
        return self.grid[0] // self.background_every if self.background_every else 0

    def plan(self, instrument: Instrument) -> Plan:
        """Work out what a run takes.

        Parameters
        ----------
        instrument : Instrument

        Returns
        -------
        Plan

        Raises
        ------
        ProtocolError
            The instrument cannot run it.
        """
        scanner = _scanner(instrument)
        self._check_moves(instrument, scanner)
        rows, columns = self.grid
        frames = rows * columns + self.background_frames + self.interleaved_background_frames
        timeline = Timeline(scanner, _daq(instrument), self.averages)

        def background(count: int) -> None:
            timeline.exchange()
            timeline.on()
            timeline.frames(count)
            timeline.off()

        if self.background_frames:
            background(self.background_frames)
        for number in range(1, rows + 1):
            timeline.exchange()
            timeline.on()
            for _ in range(columns):
                timeline.move()
                timeline.frames(1)
            timeline.off()
            if self.background_every and number % self.background_every == 0:
                background(1)
        timeline.move()
        size = frames * scanner.receive_channels * (scanner.samples_per_period // 2 + 1) * 8
        return self._checked(timeline, size, frames, scanner, *_uncounted(scanner, moves=True))
