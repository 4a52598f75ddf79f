"""``[devices.NAME]`` of a data-acquisition server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from nixel.acquisition.quantities import Quantity, Second
from nixel.acquisition.settings import Address, DeviceSettings, Row

if TYPE_CHECKING:
    from nixel.acquisition.settings import InstrumentTables

__all__ = ["OnScpiDaq", "ScpiDaq"]

TeslaPerVolt = Annotated[float, Quantity("T/V")]
Volt = Annotated[float, Quantity("V")]

_LONGEST_RAMP = 10.0  # s


class ScpiDaq(DeviceSettings):
    """A data-acquisition server: SCPI on a control connection, samples on a data connection."""

    addresses = ("control", "data")

    adapter: Literal["scpi-daq"]
    control: Address
    data: Address
    timeout: Second = 2.0
    drive_field_per_volt: Annotated[tuple[TeslaPerVolt, ...], Row]
    focus_field_per_volt: Annotated[tuple[TeslaPerVolt, ...], Row] | None = None
    feedback_channels: Annotated[tuple[int, ...], Row] | None = None
    feedback_field_per_volt: Annotated[tuple[TeslaPerVolt, ...], Row] | None = None
    voltage_limit: Annotated[tuple[Volt, ...], Row] | None = None
    ramp: Second = 0.0
    settle_periods: int = Field(default=1, ge=1, le=10_000)

    @model_validator(mode="after")
    def _positive(self) -> ScpiDaq:
        if not self.timeout > 0:
            raise ValueError('timeout: expected a time above zero, such as "2 s"')
        if not 0 <= self.ramp <= _LONGEST_RAMP:
            raise ValueError(f"ramp: expected a time from 0 s to {_LONGEST_RAMP:g} s")
        for key in (
            "drive_field_per_volt",
            "focus_field_per_volt",
            "feedback_field_per_volt",
            "voltage_limit",
        ):
            values = getattr(self, key)
            if values is not None and not all(value > 0 for value in values):
                raise ValueError(f"{key}: expected values above zero")
        if (self.feedback_channels is None) != (self.feedback_field_per_volt is None):
            raise ValueError("feedback_channels: expected it and feedback_field_per_volt, or neither")
        return self

    def check(self, name: str, instrument: InstrumentTables) -> None:
        """Expect a factor for each drive-field channel of the scanner."""
        if instrument.scanner is None:
            raise ValueError(f'devices.{name}.adapter: found "scpi-daq"; expected it in a scanner only')
        scanner = instrument.scanner
        channels = len(scanner.dividers)
        for key in (
            *("drive_field_per_volt", "focus_field_per_volt", "voltage_limit"),
            *("feedback_channels", "feedback_field_per_volt"),
        ):
            values = getattr(self, key)
            if values is not None and len(values) != channels:
                raise ValueError(
                    f"devices.{name}.{key}: found {len(values)}; "
                    f"expected one for each of the {channels} drive-field channels"
                )
        taken = range(scanner.receive_channels)
        if self.feedback_channels is not None and (
            len(set(self.feedback_channels)) < channels or min(self.feedback_channels) < len(taken)
        ):
            raise ValueError(
                f"devices.{name}.feedback_channels: found {list(self.feedback_channels)}; expected channels of "
                f"their own, each {len(taken)} or more: those before are the receive channels"
            )
        if scanner.field_control is not None and self.feedback_channels is None:
            raise ValueError(
                f"devices.{name}.feedback_channels: found none; expected one for each of the {channels} "
                "drive-field channels, because there is a table scanner.field_control"
            )


class OnScpiDaq(DeviceSettings):
    """A device that is spoken to over its DAQ's control connection."""

    daq: str

    @property
    def needs(self) -> tuple[str, ...]:
        """The DAQ."""
        return (self.daq,)

    def check(self, name: str, instrument: InstrumentTables) -> None:
        """Expect its DAQ to be one."""
        if not isinstance(instrument.devices.get(self.daq), ScpiDaq):
            known = ", ".join(n for n, d in instrument.devices.items() if isinstance(d, ScpiDaq)) or "none"
            raise ValueError(f'devices.{name}.daq: found "{self.daq}"; expected a scpi-daq device ({known})')
