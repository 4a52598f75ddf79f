"""A temperature and humidity sensor that the kernel has a driver for: its files below /sys.

Two of the kernel's interfaces are understood. Industrial I/O (``/sys/bus/iio/devices``; ``dht11`` for DHT11 and DHT22,
``bme280``, ``si7020``, ...) has ``in_temp_input`` and ``in_humidityrelative_input``, or ``..._raw`` with ``..._offset``
and ``..._scale``. Hardware monitoring (``/sys/class/hwmon``; ``sht3x``, ``sht4x``, ``lm75``, ...) has ``temp1_input``
and ``humidity1_input``. All of them are in thousandths of a degree Celsius or of a percent.

Numbers of devices change from start to start, so a device is named by what its file ``name`` says.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Literal

from pydantic import Field

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.sensor_table import sensor_table
from nixel.acquisition.adapters.serial_line import DevicePath
from nixel.acquisition.devices import Channel, DeviceError, HasProperties
from nixel.acquisition.settings import DeviceSettings

__all__ = ["ADAPTER", "KernelSensor", "KernelSensorAdapter"]

_CHANNELS = {
    "temperature": ("degC", ("in_temp", "temp1")),
    "humidity": ("percent", ("in_humidityrelative", "humidity1")),
}
_THOUSANDTH = 1e-3
_TRIES = 3  # the one-wire protocol of a DHT22 fails now and then, which its driver tells as an I/O error
_PAUSE = 0.1  # s


class KernelSensor(DeviceSettings):
    """A sensor with a driver in the kernel."""

    adapter: Literal["kernel-sensor"]
    folder: DevicePath = "/sys/bus/iio/devices"
    device: str = Field(min_length=1)

    addresses = ("folder",)


class KernelSensorAdapter(HasProperties):
    """A sensor; a `nixel.acquisition.devices.Sensor`. Its channels are known when it is open.

    Parameters
    ----------
    name : str
    settings : KernelSensor
    """

    def __init__(self, name: str, settings: KernelSensor) -> None:
        self.name, self._given = name, settings
        self.where = f"{name}, the {settings.device} in {settings.folder}"
        self.channels: tuple[Channel, ...] = ()
        self._files: tuple[Path, ...] = ()
        self._table = sensor_table(self.where, (), self.read)

    def open(self) -> None:
        """Find the device and read it once.

        Raises
        ------
        DeviceError
            There is none of that name, or several, or it measures neither temperature nor humidity.
        """
        place = self._find()
        found = {
            channel: place / start
            for channel, (_, starts) in _CHANNELS.items()
            for start in starts
            if (place / f"{start}_input").exists() or (place / f"{start}_raw").exists()
        }
        if not found:
            expected = "a temperature or a humidity (in_temp_input, temp1_input, ...)"
            raise self._error("opening", expected, f"neither in {place}", "Choose another device.")
        self._files = tuple(found.values())
        self.channels = tuple(Channel(channel, _CHANNELS[channel][0]) for channel in found)
        self._table = sensor_table(self.where, self.channels, self.read)
        try:
            self.read()
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """Forget where it is."""
        self._files = ()

    def read(self) -> tuple[float, ...]:
        """Return the value of each channel, freshly measured.

        Raises
        ------
        DeviceError
            The driver cannot read it, or it is gone.
        """
        if not self._files:
            raise self._error("reading", "an open device", "a closed one", "Open it again.")
        return tuple(self._value(start) for start in self._files)

    def _value(self, start: Path) -> float:
        for left in reversed(range(_TRIES)):
            try:
                return self._once(start)
            except (OSError, ValueError) as error:
                if not left:
                    found = getattr(error, "strerror", None) or str(error)
                    expected = f"a number from its driver in {_TRIES} tries"
                    raise self._error(
                        f"reading {start.name}", expected, found, "Check its wiring."
                    ) from error
                time.sleep(_PAUSE)
        raise AssertionError

    @staticmethod
    def _once(start: Path) -> float:
        def number(kind: str, default: float | None = None) -> float:
            path = start.with_name(f"{start.name}_{kind}")
            if default is not None and not path.exists():
                return default
            return float(path.read_text(encoding="ascii"))

        if start.with_name(f"{start.name}_input").exists():
            value = number("input")
        else:
            value = (number("raw") + number("offset", 0.0)) * number("scale", 1.0)
        if not math.isfinite(value):
            raise ValueError(f"the value {value}")
        return value * _THOUSANDTH

    def _find(self) -> Path:
        folder = Path(self._given.folder)
        names: dict[Path, str] = {}
        try:
            for place in sorted(folder.iterdir()):
                if (place / "name").is_file():
                    names[place] = (place / "name").read_text(encoding="ascii", errors="replace").strip()
        except OSError as error:
            remedy = "Check that the kernel's driver is loaded."
            raise self._error(
                "opening", "a folder of devices", error.strerror or str(error), remedy
            ) from error
        found = [place for place, called in names.items() if called == self._given.device]
        if len(found) != 1:
            seen = ", ".join(f"{place.name} ({called})" for place, called in names.items()) or "no devices"
            remedy = "Check that the kernel's driver is loaded, and what it calls itself."
            raise self._error("opening", f"one device whose name is {self._given.device}", seen, remedy)
        return found[0]

    def _error(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=remedy)


def _make(name: str, settings: KernelSensor, _around: Surroundings) -> KernelSensorAdapter:
    return KernelSensorAdapter(name, settings)


ADAPTER = Adapter(KernelSensor, _make)
