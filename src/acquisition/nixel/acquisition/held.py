"""Devices that are looked at for a while: those that fail are tried again, and the others go on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.devices.order import opening_order
from nixel.acquisition.opened import close_devices, make_device
from nixel.acquisition.readings import PropertyRefusedError, adapter_fault, change, failed, never, read_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.acquisition.devices import Device
    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.readings import Change, DeviceReading

__all__ = ["HeldDevices"]

_RETRY = 2.0  # s after which a device that failed is tried again


class HeldDevices:
    """The devices of an instrument, opened one by one and held until `close`.

    Unlike `nixel.acquisition.opened.open_devices`, which is for who needs all of them, it keeps what answers. Not for
    several threads at a time.

    Parameters
    ----------
    instrument : Instrument
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._order = opening_order({name: device.needs for name, device in instrument.devices.items()})
        self._open: dict[str, Device] = {}
        self._failed: dict[str, tuple[float, DeviceReading]] = {}

    def read(self, interrupted: Callable[[], bool] = never) -> tuple[DeviceReading, ...] | None:
        """Read every property of every device, freshly; None if it was interrupted.

        Parameters
        ----------
        interrupted : callable
            Asked before each device and property whether to give up.
        """
        found: dict[str, DeviceReading] = {}
        for name in self._order:
            if interrupted():
                return None
            reading = self._read(name, interrupted)
            if reading is None:
                return None
            found[name] = reading
        # In the file's order, whatever the order of opening.
        return tuple(found[name] for name in self._instrument.devices)

    def change(self, name: str, prop: str, text: str) -> Change:
        """Set a property of a device, which is opened for it, and read it back.

        Parameters
        ----------
        name, prop : str
            Of the device and its property.
        text : str
            The value as a person writes it.

        Raises
        ------
        PropertyRefusedError
            There is no such device, or as `nixel.acquisition.readings.change`.
        DeviceError
            It cannot be opened, or one that it needs, or as `nixel.acquisition.readings.change`.
        """
        if name not in self._instrument.devices:
            known = ", ".join(self._instrument.devices)
            raise PropertyRefusedError(
                "unknown",
                f"expected one of the devices of {self._instrument.name} ({known}), found {name!r}.",
            )
        try:
            return change(self._opened(name), prop, text)
        except DeviceError:
            # What has lost its connection is let go, so that the next attempt opens it anew.
            if name in self._open:
                self._read(name, never)
            raise
        except PropertyRefusedError:
            raise
        except Exception as error:
            raise DeviceError(
                f"setting {prop}",
                where=name,
                expected="its adapter to do it or to say why not",
                found=adapter_fault(name, error),
                remedy="Look whether the device is as it should be.",
            ) from error

    def _opened(self, name: str) -> Device:
        """Return a device, open, with those that it needs."""
        for needed in self._instrument.devices[name].needs:
            self._opened(needed)
        if name not in self._open:
            device = make_device(self._instrument, name, self._open)
            device.open()
            self._open[name] = device
            self._failed.pop(name, None)
        return self._open[name]

    def close(self) -> dict[str, str]:
        """Close what is open, and return why some could not be closed, by device."""
        opened, self._open, self._failed = self._open, {}, {}
        return close_devices(opened)

    def _read(self, name: str, interrupted: Callable[[], bool]) -> DeviceReading | None:
        settings = self._instrument.devices[name]
        if missing := [needed for needed in settings.needs if needed not in self._open]:
            return failed(
                name,
                settings,
                f"{name}: not tried, because it needs {', '.join(missing)}, which does not answer.",
            )
        if name not in self._open:
            before = self._failed.get(name)
            if before is not None and time.monotonic() - before[0] < _RETRY:
                return before[1]
            if (reading := self._try_to_open(name)) is not None:
                return reading
        reading = read_device(name, settings, self._open[name], interrupted)
        if reading is not None and reading.error:
            # Whether it is gone or has lost its connection: opened anew, it answers when it can.
            self._let_go(name)
            self._failed[name] = time.monotonic(), reading
        return reading

    def _try_to_open(self, name: str) -> DeviceReading | None:
        """Open a device, or return why not."""
        settings, device = self._instrument.devices[name], None
        try:
            device = make_device(self._instrument, name, self._open)
            device.open()
        except DeviceError as error:
            reading = failed(name, settings, str(error), device)
        except Exception as error:  # noqa: BLE001 (the other devices go on)
            reading = failed(name, settings, adapter_fault(name, error), device)
        else:
            self._open[name] = device
            self._failed.pop(name, None)
            return None
        self._failed[name] = time.monotonic(), reading
        return reading

    def _let_go(self, name: str) -> None:
        """Close a device and those that need it."""
        gone = {name}
        for other in self._order:
            if gone.intersection(self._instrument.devices[other].needs):
                gone.add(other)
        close_devices(
            {other: self._open.pop(other) for other in self._order if other in gone & self._open.keys()}
        )
