"""A device of a vendor's, behind the C interface of nixel_device.h."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.devices import Channel, DeviceError, HasProperties, Property, PropertyTable
from nixel.acquisition.plugins.host import PluginProcess
from nixel.acquisition.quantities import Second
from nixel.acquisition.settings import DeviceSettings, Row

if TYPE_CHECKING:
    from nixel.acquisition.settings import InstrumentTables

__all__ = ["ADAPTER", "VendorPlugin", "VendorPluginAdapter", "VendorSensorAdapter"]

_SIMULATED = "simulated"  # the setting and the property by which a plugin is asked and says so

Finite = Annotated[float, Field(allow_inf_nan=False)]


class VendorPlugin(DeviceSettings):
    """A vendor's plugin: a shared library, and what its device is opened with."""

    addresses: ClassVar[tuple[str, ...]] = ("library",)

    adapter: Literal["vendor-plugin"]
    library: str
    settings: dict[str, bool | int | Finite | str] = Field(default_factory=dict)
    channels: Annotated[tuple[str, ...], Row] = ()
    """Numbers among its properties that are measured, and recorded as a sensor's."""
    timeout: Second = 10.0

    @model_validator(mode="after")
    def _usable(self) -> VendorPlugin:
        if not Path(self.library).is_absolute():
            raise ValueError(f'library: found "{self.library}"; expected an absolute path')
        if not self.timeout > 0:
            raise ValueError('timeout: expected a time above zero, such as "10 s"')
        if any("\0" in name for name in self.settings):
            raise ValueError("settings: expected names without a NUL")
        return self

    def check(self, name: str, instrument: InstrumentTables) -> None:
        """Expect a simulated device in a simulated instrument only."""
        if self.settings.get(_SIMULATED) is True and not instrument.simulated:
            raise ValueError(
                f"devices.{name}.settings.simulated: found true; expected a real device, "
                "because instrument.simulated is false"
            )


class VendorPluginAdapter(HasProperties):
    """The device of a vendor plugin.

    Its properties are what the plugin says there is, once the device has been open.

    Parameters
    ----------
    settings : VendorPlugin
    name : str
        The device's name in the instrument.
    simulated : bool
        Whether the instrument is: a plugin that says its device is simulated is refused by one that is not.
    """

    def __init__(self, settings: VendorPlugin, name: str, *, simulated: bool) -> None:
        self.name = name
        self.where = f"{name} at {settings.library}"
        self._settings, self._simulated = settings, simulated
        self._plugin = PluginProcess(Path(settings.library), self.where, settings.timeout)
        self._table = PropertyTable(self.where)

    def open(self) -> None:
        """Load the plugin in a worker process of its own, and open its device.

        Raises
        ------
        DeviceError
            The plugin cannot be used, its device does not open, or it is simulated in a real instrument.
        """
        self._table = PropertyTable(self.where)
        _, properties = self._plugin.open(self._settings.settings)
        for prop in properties:
            write = None if prop.read_only else functools.partial(self._plugin.set, prop.name)
            self._table.add(prop, functools.partial(self._plugin.get, prop.name), write)
        try:
            self._check(properties)
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """Give the device back, exactly once, and end the worker process."""
        self._plugin.close()

    def _check(self, properties: tuple[Property, ...]) -> None:
        says_so = any(prop.name == _SIMULATED and prop.kind == "boolean" for prop in properties)
        if says_so and self.get(_SIMULATED) and not self._simulated:
            raise self._error("a real device, because instrument.simulated is false", "a simulated one")
        numbers = [prop.name for prop in properties if prop.kind in ("number", "integer")]
        if unknown := [name for name in self._settings.channels if name not in numbers]:
            expected = f"channels among its numbers ({', '.join(numbers) or 'none'})"
            raise self._error(expected, ", ".join(unknown))

    def _error(self, expected: str, found: str) -> DeviceError:
        remedy = "Correct the instrument file."
        return DeviceError("opening", where=self.where, expected=expected, found=found, remedy=remedy)


class VendorSensorAdapter(VendorPluginAdapter):
    """The device of a vendor plugin that measures: `nixel.acquisition.devices.Sensor`."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The properties that are measured, with their units, once the device has been open."""
        units = {prop.name: prop.unit for prop in self.properties}
        return tuple(Channel(name, units.get(name, "")) for name in self._settings.channels)

    def read(self) -> tuple[float, ...]:
        """Return the value of each channel, freshly measured."""
        return tuple(float(self.get(name)) for name in self._settings.channels)


def _make(name: str, settings: VendorPlugin, around: Surroundings) -> VendorPluginAdapter:
    kind = VendorSensorAdapter if settings.channels else VendorPluginAdapter
    return kind(settings, name, simulated=around.instrument.simulated)


ADAPTER = Adapter(VendorPlugin, _make)
