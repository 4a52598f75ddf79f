"""The devices of an instrument, open for a while: opened in order, closed in reverse whatever happens."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from nixel.acquisition.adapters.adapter import Surroundings
from nixel.acquisition.adapters.registry import adapters
from nixel.acquisition.devices.errors import DeviceError, DevicesError
from nixel.acquisition.devices.order import opening_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nixel.acquisition.devices.properties import Value
    from nixel.acquisition.devices.protocols import Device
    from nixel.acquisition.instrument import Instrument

__all__ = ["OpenDevices", "Opening", "close_devices", "make_device", "open_devices"]

_Kind = TypeVar("_Kind")
_log = logging.getLogger(__name__)


class OpenDevices(Mapping[str, "Device"]):
    """Open devices by name; made by `open_devices`."""

    def __init__(self, instrument: Instrument, devices: Mapping[str, Device]) -> None:
        self.instrument = instrument
        self._devices = devices

    def __getitem__(self, name: str) -> Device:
        return self._devices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._devices)

    def __len__(self) -> int:
        return len(self._devices)

    def every(self, kind: type[_Kind]) -> dict[str, _Kind]:
        """Return the devices of one kind, a protocol of `nixel.acquisition.devices`."""
        return {name: device for name, device in self.items() if isinstance(device, kind)}

    def one(self, kind: type[_Kind]) -> _Kind:
        """Return the one device of a kind.

        Raises
        ------
        DeviceError
            There is none, or there are several.
        """
        found = self.every(kind)
        if len(found) != 1:
            raise DeviceError(
                f"choosing the {kind.__name__.lower()}",
                where=f"instrument {self.instrument.name}",
                expected="one such device",
                found=", ".join(found) or f"none among {', '.join(self) or 'no devices'}",
                remedy="Name the devices in the instrument file.",
            )
        return next(iter(found.values()))

    def snapshot(self) -> dict[str, dict[str, Value]]:
        """Read every property of every device, freshly, by device and name.

        Raises
        ------
        DeviceError
            A device does not answer.
        """
        return {
            name: {prop.name: device.get(prop.name) for prop in device.properties}
            for name, device in self.items()
        }


Opening = Callable[["Instrument"], contextlib.AbstractContextManager[OpenDevices]]
"""How a run comes by its devices: `open_devices`, or what also tells others of them."""


@contextlib.contextmanager
def open_devices(instrument: Instrument, names: Collection[str] | None = None) -> Iterator[OpenDevices]:
    """Open devices of an instrument for the time of the block.

    Each is opened after those that it needs, and closed in reverse, whatever happens. When some fail to open, the
    others that do not need them are tried all the same, so that one error names all that failed.

    Parameters
    ----------
    instrument : Instrument
    names : collection of str, optional
        Those to open, with what they need; all if left out.

    Yields
    ------
    OpenDevices

    Raises
    ------
    DevicesError
        Some could not be opened, or could not be closed after a block that went well; every one is named with its
        reason. What had been opened is closed.
    DeviceError
        There is no device of a name.
    """
    opened: dict[str, Device] = {}
    failures: dict[str, str] = {}
    try:
        for name in _wanted(instrument, names):
            needs = instrument.devices[name].needs
            if missing := [needed for needed in needs if needed not in opened]:
                failures[name] = f"{name}: not tried, because it needs {', '.join(missing)}."
                continue
            try:
                device = make_device(instrument, name, opened)
                device.open()
            except DeviceError as error:
                failures[name] = str(error)
            else:
                opened[name] = device
        if failures:
            raise DevicesError("opening", instrument.name, failures)
        yield OpenDevices(instrument, opened)
    except BaseException as error:
        for reason in close_devices(opened).values():
            error.add_note(reason)
        raise
    if failures := close_devices(opened):
        raise DevicesError("closing", instrument.name, failures)


def _wanted(instrument: Instrument, names: Collection[str] | None) -> tuple[str, ...]:
    order = opening_order({name: device.needs for name, device in instrument.devices.items()})
    if names is None:
        return order
    if unknown := [name for name in names if name not in instrument.devices]:
        raise DeviceError(
            "opening",
            where=f"instrument {instrument.name}",
            expected=f"names among {', '.join(order)}",
            found=", ".join(unknown),
            remedy="Choose among those.",
        )
    wanted = set(names)
    for name in reversed(order):
        if name in wanted:
            wanted.update(instrument.devices[name].needs)
    return tuple(name for name in order if name in wanted)


def make_device(instrument: Instrument, name: str, opened: Mapping[str, Device]) -> Device:
    """Make a device among those that are open, which must have what it needs; it is not open yet."""
    settings = instrument.devices[name]
    around = Surroundings(instrument, {needed: opened[needed] for needed in settings.needs})
    return adapters()[settings.adapter].make(name, settings, around)


def close_devices(opened: dict[str, Device]) -> dict[str, str]:
    """Close devices, the last first, whatever happens; return why some could not be closed, by name."""
    failures: dict[str, str] = {}
    for name in reversed(opened):
        try:
            opened[name].close()
        except Exception as error:  # noqa: BLE001 (the devices before it must still be brought to rest)
            failures[name] = str(error)
            _log.warning("%s", error)
    return failures
