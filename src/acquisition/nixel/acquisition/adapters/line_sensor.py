"""A sensor on a serial line that answers one line of numbers, as most microcontroller boards do."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.sensor_table import sensor_table
from nixel.acquisition.adapters.serial_line import DevicePath, SerialConnection
from nixel.acquisition.devices import Channel, DeviceError, HasProperties
from nixel.acquisition.quantities import Second
from nixel.acquisition.settings import DeviceSettings

__all__ = ["ADAPTER", "LineSensor", "LineSensorAdapter"]


class LineSensor(DeviceSettings):
    """A sensor that answers a line of numbers."""

    adapter: Literal["line-sensor"]
    path: DevicePath
    baudrate: int = Field(default=115200, ge=300)
    timeout: Second = 2.0
    request: str = Field(default="READ?", min_length=1, pattern=r"^[ -~]+$")
    separator: str = Field(default=",", min_length=1)
    channels: dict[str, str] = Field(min_length=1)

    addresses = ("path",)

    @model_validator(mode="after")
    def _consistent(self) -> LineSensor:
        if not self.timeout > 0:
            raise ValueError("timeout: expected more than zero")
        for name in self.channels:
            if not (name.isidentifier() and name.isascii() and name == name.lower()):
                raise ValueError(
                    f"channels: found {name!r}; expected lower-case letters, digits and underscores"
                )
        return self


class LineSensorAdapter(HasProperties):
    """A sensor; a `nixel.acquisition.devices.Sensor`.

    Parameters
    ----------
    name : str
    settings : LineSensor
    """

    def __init__(self, name: str, settings: LineSensor) -> None:
        self.name, self._given = name, settings
        self._line = SerialConnection(
            settings.path, name, baudrate=settings.baudrate, timeout=settings.timeout
        )
        self.where = self._line.where
        self.channels = tuple(Channel(channel, unit) for channel, unit in settings.channels.items())
        self._table = sensor_table(self.where, self.channels, self.read)

    def open(self) -> None:
        """Connect, and read it once.

        Raises
        ------
        DeviceError
        """
        self._line.open()
        try:
            self.read()
        except DeviceError:
            self._line.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        self._line.close()

    def read(self) -> tuple[float, ...]:
        """Return the value of each channel, freshly measured.

        Raises
        ------
        DeviceError
            It does not answer, or not with one finite number for each channel.
        """
        request = self._given.request
        answer = self._line.query(request)
        try:
            values = tuple(float(text) for text in answer.split(self._given.separator))
        except ValueError:
            values = ()
        if len(values) != len(self.channels) or not all(map(math.isfinite, values)):
            names = ", ".join(channel.name for channel in self.channels)
            raise self._line.wrong(request, f"one number each for {names}", repr(answer), "Check the sensor.")
        return values


def _make(name: str, settings: LineSensor, _around: Surroundings) -> LineSensorAdapter:
    return LineSensorAdapter(name, settings)


ADAPTER = Adapter(LineSensor, _make)
