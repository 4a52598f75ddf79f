"""What an instrument's devices say of themselves at one moment, and changing one property of one of them."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nixel.acquisition.devices import (
    Camera,
    Daq,
    DeviceError,
    Light,
    PowerSupply,
    Sensor,
    Stage,
    from_text,
    to_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.acquisition.devices import Device, Property, Value
    from nixel.acquisition.opened import OpenDevices
    from nixel.acquisition.settings import DeviceSettings

__all__ = [
    "Change",
    "DeviceReading",
    "PropertyReading",
    "PropertyRefusedError",
    "adapter_fault",
    "change",
    "failed",
    "never",
    "read_device",
    "read_open",
]

_KINDS: dict[str, type] = {
    "camera": Camera,
    "stage": Stage,
    "light": Light,
    "sensor": Sensor,
    "power supply": PowerSupply,
    "daq": Daq,
}
_ROUNDING = 0.01  # of a number: a device may hold the nearest that it can
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PropertyReading:
    """A property with its value, or why there is none."""

    prop: Property
    value: Value | None
    error: str = ""

    @property
    def text(self) -> str:
        """The value for a person, with its unit."""
        return "" if self.value is None else to_text(self.prop, self.value)


@dataclass(frozen=True)
class DeviceReading:
    """A device as it was when it was asked.

    Parameters
    ----------
    name, adapter : str
        As the instrument file has them.
    kinds : tuple of str
        What it can do, as ``"camera"``; empty where it never opened.
    where : str
        Its address.
    error : str
        Why it does not answer; empty when it does.
    properties : tuple of PropertyReading
    """

    name: str
    adapter: str
    kinds: tuple[str, ...]
    where: str
    error: str = ""
    properties: tuple[PropertyReading, ...] = ()


@dataclass(frozen=True)
class Change:
    """A property that was set: what it was before, what was asked for, and what the device says it is."""

    prop: Property
    before: Value
    asked: Value
    value: Value


class PropertyRefusedError(ValueError):
    """A property that is not changed; the text says why.

    Parameters
    ----------
    reason : str
        What kind of refusal it is.
    text : str
    """

    def __init__(self, reason: Literal["unknown", "read-only", "value", "busy"], text: str) -> None:
        self.reason = reason
        super().__init__(text)


def never() -> bool:
    """Answer that nothing interrupts."""
    return False


def adapter_fault(name: str, error: Exception) -> str:
    """Say that an adapter, which may be anybody's, raised what it should not; the log has where."""
    _log.error("%s: its adapter failed", name, exc_info=error)
    return (
        f"{name}: an error of its adapter's own ({type(error).__name__}: {error}). Report it to who wrote it."
    )


def _where(name: str, settings: DeviceSettings, device: Device | None) -> str:
    if device is None:
        return ", ".join(str(getattr(settings, key)) for key in settings.addresses)
    return device.where.removeprefix(name).strip().removeprefix("at ")


def _kinds(device: Device) -> tuple[str, ...]:
    found = []
    for kind, protocol in _KINDS.items():
        try:
            has = isinstance(device, protocol)
        except Exception as error:  # noqa: BLE001 (looking for an attribute may run an adapter's own code)
            adapter_fault(device.name, error)
            has = False
        if has:
            found.append(kind)
    return tuple(found)


def failed(name: str, settings: DeviceSettings, error: str, device: Device | None = None) -> DeviceReading:
    """Give the reading of a device that is not open."""
    kinds = () if device is None else _kinds(device)
    return DeviceReading(name, settings.adapter, kinds, _where(name, settings, device), error)


def read_device(
    name: str, settings: DeviceSettings, device: Device, interrupted: Callable[[], bool] = never
) -> DeviceReading | None:
    """Read every property of an open device.

    A property that cannot be read has its error. A device of which no property can be read does not answer; two
    failures in a row end the reading, so that a silent device costs its time limit twice at most.

    Parameters
    ----------
    name : str
    settings : DeviceSettings
    device : Device
        Open.
    interrupted : callable
        Asked before each property whether to give up.

    Returns
    -------
    DeviceReading or None
        None if it was interrupted.
    """
    found: list[PropertyReading] = []
    failures: list[str] = []
    try:
        properties = device.properties
    except Exception as error:  # noqa: BLE001
        return failed(name, settings, adapter_fault(name, error), device)
    for prop in properties:
        if interrupted():
            return None
        if len(failures) > 1:
            found.append(PropertyReading(prop, None, failures[-1]))
            continue
        try:
            found.append(PropertyReading(prop, device.get(prop.name)))
            failures.clear()
        except DeviceError as error:
            failures.append(str(error))
            found.append(PropertyReading(prop, None, str(error)))
        except Exception as error:  # noqa: BLE001
            failures.append(adapter_fault(name, error))
            found.append(PropertyReading(prop, None, failures[-1]))
    silent = bool(found) and all(reading.error for reading in found)
    return DeviceReading(
        name,
        settings.adapter,
        _kinds(device),
        _where(name, settings, device),
        found[0].error if silent else "",
        tuple(found),
    )


def read_open(
    devices: OpenDevices, interrupted: Callable[[], bool] = never
) -> tuple[DeviceReading, ...] | None:
    """Read every property of devices that somebody else opened; None if it was interrupted."""
    found = []
    for name, device in devices.items():
        reading = read_device(name, devices.instrument.devices[name], device, interrupted)
        if reading is None:
            return None
        found.append(reading)
    return tuple(found)


def change(device: Device, name: str, text: str) -> Change:
    """Set a property of an open device, and read it back.

    Parameters
    ----------
    device : Device
    name : str
        Of the property.
    text : str
        The value as a person writes it, as `nixel.acquisition.devices.from_text` reads it.

    Returns
    -------
    Change

    Raises
    ------
    PropertyRefusedError
        There is no such property, it is read-only, or the value is none of its values; the device heard nothing of it.
    DeviceError
        The device failed, or holds another value afterwards. A number may differ by a hundredth, because a device holds
        the nearest that it can.
    """
    where = f"{device.name}.{name}"
    prop = next((prop for prop in device.properties if prop.name == name), None)
    if prop is None:
        known = ", ".join(prop.name for prop in device.properties) or "none"
        raise PropertyRefusedError(
            "unknown", f"{where}: expected one of {device.name}'s properties ({known}), found {name!r}."
        )
    if prop.read_only:
        raise PropertyRefusedError("read-only", f"{where} is read-only: {device.name} lets nobody set it.")
    try:
        asked = from_text(prop, text)
    except ValueError as error:
        raise PropertyRefusedError("value", f"{where}: {error}. Nothing was changed.") from error
    before = device.get(name)
    device.set(name, asked)
    value = device.get(name)
    if not _kept(asked, value):
        raise DeviceError(
            f"setting {name}",
            where=device.where,
            expected=f"{to_text(prop, asked)} when it was read back",
            found=to_text(prop, value),
            remedy="Look what holds it where it is.",
        )
    return Change(prop, before, asked, value)


def _kept(asked: Value, value: Value) -> bool:
    if isinstance(asked, float) and isinstance(value, float):
        return math.isclose(asked, value, rel_tol=_ROUNDING, abs_tol=1e-12)
    return asked == value
