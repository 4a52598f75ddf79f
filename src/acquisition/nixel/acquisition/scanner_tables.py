"""``[scanner]`` and what is below it in an instrument file."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from nixel.acquisition.collision import Geometry
from nixel.acquisition.quantities import Hertz, Quantity, Second, Tesla
from nixel.acquisition.tables import Row, Table

__all__ = ["FieldControlSettings", "Scanner", "ScannerLimits", "ScannerThermal", "ScannerTimes"]

TeslaPerAmpere = Annotated[float, Quantity("T/A")]
Ohm = Annotated[float, Quantity("ohm")]
KelvinPerWatt = Annotated[float, Quantity("K/W")]
JoulePerKelvin = Annotated[float, Quantity("J/K")]
Celsius = Annotated[float, Quantity("degC")]
TeslaPerMetre = Annotated[float, Quantity("T/m")]


class ScannerLimits(Table):
    """``[scanner.limits]``: what no sequence may exceed; without a focus field there are no patches."""

    drive_field: Tesla
    transmit_time: Second
    focus_field: Tesla | None = None


class ScannerTimes(Table):
    """``[scanner.times]``: what a run takes beside its samples, for its preview; not counted if left out.

    Parameters
    ----------
    move : float, optional
        Of the robot from one position to the next, in s.
    exchange : float, optional
        Of taking the sample out or putting it in, in s.
    """

    move: Second | None = None
    exchange: Second | None = None

    @model_validator(mode="after")
    def _not_negative(self) -> ScannerTimes:
        if min(self.move or 0.0, self.exchange or 0.0) < 0:
            raise ValueError('move, exchange: expected times of zero or more, such as "1 s"')
        return self


class ScannerThermal(Table):
    """``[scanner.thermal]``: what it takes to estimate how warm the drive coils become; one body a coil."""

    ambient: Celsius
    coil_resistance: Annotated[tuple[Ohm, ...], Row]
    field_per_ampere: Annotated[tuple[TeslaPerAmpere, ...], Row]
    thermal_resistance: KelvinPerWatt
    heat_capacity: JoulePerKelvin
    limit: Celsius | None = None

    @model_validator(mode="after")
    def _positive(self) -> ScannerThermal:
        if not min(*self.coil_resistance, *self.field_per_ampere) > 0:
            raise ValueError("coil_resistance, field_per_ampere: expected values above zero")
        if not min(self.thermal_resistance, self.heat_capacity) > 0:
            raise ValueError("thermal_resistance, heat_capacity: expected values above zero")
        return self


class FieldControlSettings(Table):
    """``[scanner.field_control]``: how the drive field is brought to its amplitude and held there."""

    tolerance: Tesla = 50e-6
    relative_tolerance: float | None = Field(default=None, gt=0, lt=1)
    steps: int = Field(default=20, ge=1, le=1000)
    voltage_step: Annotated[float, Quantity("V")]
    periods: int = Field(default=4, ge=1, le=10_000)
    interval: Second = 5.0

    def tolerance_of(self, amplitudes: tuple[float, ...]) -> float:
        """How far from its goal the field may be, in T: the stricter one where a relative one is given too."""
        relative = self.relative_tolerance
        return self.tolerance if relative is None else min(self.tolerance, relative * min(amplitudes))

    @model_validator(mode="after")
    def _positive(self) -> FieldControlSettings:
        if not min(self.tolerance, self.voltage_step, self.interval) > 0:
            raise ValueError(
                'tolerance, voltage_step, interval: expected values above zero, such as "50 uT", "0.4 V" and "5 s"'
            )
        return self


class Scanner(Table):
    """``[scanner]``: the fields and the receiver of an MPI scanner. Axes are x, y(, z).

    ``robot`` names the stage that moves the calibration sample, in the scanner's coordinates; it may be left out where
    there is one stage only.
    """

    base_frequency: Hertz
    dividers: Annotated[tuple[int, ...], Row]
    drive_field: Annotated[tuple[Tesla, ...], Row]
    gradient: Annotated[tuple[TeslaPerMetre, TeslaPerMetre, TeslaPerMetre], Row]
    receive_channels: int = Field(ge=1)
    samples_per_period: int = Field(ge=2)
    robot: str | None = None
    limits: ScannerLimits
    times: ScannerTimes = Field(default_factory=ScannerTimes)
    thermal: ScannerThermal | None = None
    field_control: FieldControlSettings | None = None
    geometry: Geometry | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Scanner:
        if not 1 <= len(self.dividers) <= 3 or min(self.dividers) < 2:
            raise ValueError(
                f"dividers: found {list(self.dividers)}; expected one to three integers of 2 or more"
            )
        if len(self.drive_field) != len(self.dividers):
            raise ValueError(
                f"drive_field: found {len(self.drive_field)} amplitudes; "
                f"expected one for each of the {len(self.dividers)} dividers"
            )
        for axis, amplitude in enumerate(self.drive_field):
            if not 0 < amplitude <= self.limits.drive_field:
                raise ValueError(
                    f"drive_field.{axis}: found {amplitude:g} T; expected more than zero and at most "
                    f"limits.drive_field, {self.limits.drive_field:g} T"
                )
        if not self.base_frequency > 0:
            raise ValueError(f'base_frequency: found {self.base_frequency:g} Hz; expected such as "2.5 MHz"')
        if self.samples_per_period != math.lcm(*self.dividers):
            raise ValueError(
                f"samples_per_period: found {self.samples_per_period}; expected {math.lcm(*self.dividers)}, "
                f"the least common multiple of the dividers {list(self.dividers)}"
            )
        if self.receive_channels > len(self.dividers):
            raise ValueError(
                f"receive_channels: found {self.receive_channels}; expected at most one for each of "
                f"{len(self.dividers)} axes"
            )
        if abs(sum(self.gradient)) > 1e-9 * max(map(abs, self.gradient)):
            raise ValueError(
                f"gradient: found {list(self.gradient)} T/m; expected components that sum to zero "
                "(a magnetic field has no divergence)"
            )
        if self.limits.focus_field is not None and not self.limits.focus_field > 0:
            raise ValueError('limits.focus_field: expected a field above zero, such as "20 mT"')
        if not self.limits.transmit_time > 0:
            raise ValueError('limits.transmit_time: expected a time above zero, such as "120 s"')
        if self.thermal is not None:
            for name in ("coil_resistance", "field_per_ampere"):
                if len(getattr(self.thermal, name)) != len(self.dividers):
                    raise ValueError(
                        f"thermal.{name}: found {len(getattr(self.thermal, name))} values; "
                        f"expected one for each of the {len(self.dividers)} dividers"
                    )
        return self
