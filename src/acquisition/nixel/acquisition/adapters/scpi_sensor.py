"""A sensor that a data-acquisition server answers for, on the control connection of that DAQ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.scpi_daq import ScpiDaqAdapter
from nixel.acquisition.adapters.scpi_daq_settings import OnScpiDaq
from nixel.acquisition.adapters.sensor_table import sensor_table
from nixel.acquisition.devices import Channel, DeviceError, HasProperties

if TYPE_CHECKING:
    from nixel.acquisition.adapters.scpi import ScpiConnection

__all__ = ["ADAPTER", "ScpiSensor", "ScpiSensorAdapter"]


class ScpiSensor(OnScpiDaq):
    """A sensor whose query is answered by numbers with commas between: one for each channel, in their order."""

    adapter: Literal["scpi-sensor"]
    query: str = Field(pattern=r"^[ -~]+\?$")
    channels: dict[str, str] = Field(min_length=1)


class ScpiSensorAdapter(HasProperties):
    """A sensor; a `nixel.acquisition.devices.Sensor`.

    Parameters
    ----------
    name : str
    settings : ScpiSensor
    control : ScpiConnection
        Of the DAQ that it shares a connection with.
    """

    def __init__(self, name: str, settings: ScpiSensor, control: ScpiConnection) -> None:
        self.name, self._given, self._control = name, settings, control
        self.where = f"{name} on {control.where}"
        self.channels = tuple(Channel(channel, unit) for channel, unit in settings.channels.items())
        self._table = sensor_table(self.where, self.channels, self.read)

    def open(self) -> None:
        """Read it once; the connection is its DAQ's."""
        self.read()

    def close(self) -> None:
        """Do nothing; the connection is its DAQ's."""

    def read(self) -> tuple[float, ...]:
        """Return the value of each channel, freshly measured.

        Raises
        ------
        DeviceError
            It does not answer, or not with one finite number for each channel.
        """
        answer = self._control.query(self._given.query)
        try:
            values = tuple(map(float, answer.split(",")))
        except ValueError:
            values = ()
        if len(values) != len(self.channels) or not all(map(math.isfinite, values)):
            names = ", ".join(channel.name for channel in self.channels)
            raise DeviceError(
                self._given.query,
                where=self.where,
                expected=f"one number each for {names}",
                found=repr(answer),
                remedy="Check the sensor, and its channels in the instrument file.",
            )
        return values


def _make(name: str, settings: ScpiSensor, around: Surroundings) -> ScpiSensorAdapter:
    daq = around.devices[settings.daq]
    assert isinstance(daq, ScpiDaqAdapter)  # checked with the instrument
    return ScpiSensorAdapter(name, settings, daq.control)


ADAPTER = Adapter(ScpiSensor, _make)
