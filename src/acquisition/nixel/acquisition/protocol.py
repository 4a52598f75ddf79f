"""Protocols: what a run of the scanner measures, as data, with a plan of what it will take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nixel.acquisition.quantities import Metre
from nixel.physics.grid import Grid

if TYPE_CHECKING:
    from nixel.acquisition.instrument import Instrument, Scanner

__all__ = ["CalibrationProtocol", "Plan", "ProtocolError", "ScanProtocol"]

_MOVE_TIME = 0.1  # s, of a robot's step; an estimate
_EXCHANGE_TIME = 1.0  # s, of taking the sample out or in; an estimate
_SETTLE_PERIODS = 1

_Row = Field(strict=False)


class ProtocolError(ValueError):
    """A protocol that the instrument cannot run; nothing has been done."""


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Parameters
    ----------
    duration : float
        In s; an estimate.
    size : int
        Of the measured data in bytes.
    frames : int
        Foreground and background frames.
    transmit_time : float
        The longest time at a stretch that the drive field is on, in s; an estimate.
    """

    duration: float
    size: int
    frames: int
    transmit_time: float


class _Protocol(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)

    averages: int = Field(default=10, ge=1, le=65536, description="periods averaged into one frame")
    background_frames: int = Field(default=4, ge=0, le=10_000, description="frames of the empty bore, first")
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="of a simulated scanner's noise")

    def _frame_time(self, scanner: Scanner) -> float:
        return self.averages * scanner.samples_per_period / scanner.base_frequency

    def _settled_frame_time(self, scanner: Scanner) -> float:
        settling = _SETTLE_PERIODS * scanner.samples_per_period / scanner.base_frequency
        return self._frame_time(scanner) + settling

    def _checked(self, plan: Plan, scanner: Scanner) -> Plan:
        if plan.transmit_time > scanner.limits.transmit_time:
            raise ProtocolError(
                f"the protocol would transmit for {plan.transmit_time:.3g} s at a stretch; expected at most "
                f"the instrument's scanner.limits.transmit_time, {scanner.limits.transmit_time:g} s. "
                "Choose fewer averages or frames"
            )
        return plan


def _scanner(instrument: Instrument) -> Scanner:
    if instrument.scanner is None:
        raise ProtocolError(
            f"instrument {instrument.name}: expected a scanner, found {instrument.instrument.kind}"
        )
    return instrument.scanner


class ScanProtocol(_Protocol):
    """Frames of one subject, preceded by frames of the empty bore.

    On a simulated scanner the subject is the name of the phantom that is put into the bore.
    """

    frames: int = Field(default=4, ge=1, le=100_000)
    averages: int = Field(default=50, ge=1, le=65536, description="periods averaged into one frame")
    subject: str = Field(default="stenosis", pattern=r"^[\w .-]{1,64}$")

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
        frames = self.frames + self.background_frames
        itemsize = 2 if self.averages == 1 else 4
        stretch = max(self.frames, self.background_frames)
        longest = (stretch - 1) * self._frame_time(scanner) + self._settled_frame_time(scanner)
        plan = Plan(
            duration=frames * self._frame_time(scanner) + 2 * _EXCHANGE_TIME,
            size=frames * scanner.receive_channels * scanner.samples_per_period * itemsize,
            frames=frames,
            transmit_time=longest,
        )
        return self._checked(plan, scanner)


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
        rows, columns = self.grid
        interleaved = self.interleaved_background_frames
        frames = rows * columns + self.background_frames + interleaved
        settled = self._settled_frame_time(scanner)
        row = columns * (settled + _MOVE_TIME)
        plan = Plan(
            duration=rows * row
            + (frames - rows * columns) * settled
            + (2 * interleaved + 2) * _EXCHANGE_TIME,
            size=frames * scanner.receive_channels * (scanner.samples_per_period // 2 + 1) * 8,
            frames=frames,
            transmit_time=max(row, self.background_frames * settled),
        )
        return self._checked(plan, scanner)
