"""What an instrument file says about devices behind Micro-Manager: one core, and the devices on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from nixel.acquisition.quantities import Metre, Quantity, Second
from nixel.acquisition.settings import DeviceSettings, Row

if TYPE_CHECKING:
    from nixel.acquisition.settings import InstrumentTables

__all__ = [
    "SIMULATED_LIBRARIES",
    "MicroManager",
    "MicroManagerCamera",
    "MicroManagerDevice",
    "MicroManagerLight",
    "MicroManagerPart",
    "MicroManagerStage",
]

SIMULATED_LIBRARIES = frozenset({"DemoCamera", "NotificationTester", "SequenceTester"})
"""Adapters of Micro-Manager's that have no hardware behind them."""

_LARGEST_BUFFER = 4 << 30  # bytes


def _one_or_several(value: object) -> object:
    # An address is one text, where it is given beside the file.
    return (value,) if isinstance(value, str) else value


Folders = Annotated[tuple[str, ...], BeforeValidator(_one_or_several), Row]


class MicroManager(DeviceSettings):
    """A core of Micro-Manager's in a process of its own, with what its devices have in common.

    Parameters
    ----------
    adapters : str or list of str
        Folders with device adapters (``libmmgr_dal_*``).
    configuration : str, optional
        A Micro-Manager configuration file: an absolute path, or a name in one of those folders.
    buffer : float
        Bytes for frames that nobody has taken yet.
    timeout : float
        For an answer, in s.
    """

    addresses = ("adapters",)

    adapter: Literal["micro-manager"]
    adapters: Folders
    configuration: str | None = None
    buffer: Annotated[float, Quantity("byte")] = float(64 << 20)
    timeout: Second = 10.0

    @model_validator(mode="after")
    def _consistent(self) -> MicroManager:
        if not self.adapters:
            raise ValueError("adapters: found none; expected folders with libmmgr_dal_* files")
        if not 1 << 20 <= self.buffer <= _LARGEST_BUFFER:
            raise ValueError(f'buffer: found {self.buffer:g} bytes; expected from "1 MiB" to "4 GiB"')
        if not self.timeout > 0:
            raise ValueError('timeout: expected a time above zero, such as "10 s"')
        return self


class MicroManagerPart(DeviceSettings):
    """What the devices on a core have in common.

    Parameters
    ----------
    core : str
        The ``micro-manager`` device.
    label : str, optional
        Its label in the core's configuration file.
    library, device : str, optional
        Instead of a label: the adapter's library and the device in it, loaded with this device's name as its label.
    hub : str, optional
        The device of ours that is its hub.
    after : list of str
        Devices of ours that it refers to in its properties, as a serial port.
    properties : table
        Set when it is opened, by the names that Micro-Manager has for them.
    timeout : float
        How long it may be busy, in s.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    """The types of Micro-Manager's devices that it can be; empty for any."""

    core: str
    label: str | None = None
    library: str | None = None
    device: str | None = None
    hub: str | None = None
    after: Annotated[tuple[str, ...], Row] = ()
    properties: dict[str, str | int | float] = Field(default_factory=dict)
    timeout: Second = 30.0

    @model_validator(mode="after")
    def _one_source(self) -> MicroManagerPart:
        loaded = self.library is not None and self.device is not None
        partly = self.library is not None or self.device is not None
        if loaded == (self.label is not None) or partly != loaded:
            raise ValueError(
                "expected either the label that the configuration file gives it, or library and device to load"
            )
        if self.label is not None and self.hub is not None:
            raise ValueError("hub: expected none beside label, because the configuration file names it")
        if not self.timeout > 0:
            raise ValueError('timeout: expected a time above zero, such as "30 s"')
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The core, its hub, and what it refers to."""
        return tuple(dict.fromkeys((self.core, *([self.hub] if self.hub else []), *self.after)))

    def check(self, name: str, instrument: InstrumentTables) -> None:
        """Expect its core to be one, its hub to be on it, and a simulated device only in a simulated instrument."""
        core = instrument.devices.get(self.core)
        if not isinstance(core, MicroManager):
            known = (
                ", ".join(n for n, d in instrument.devices.items() if isinstance(d, MicroManager)) or "none"
            )
            raise ValueError(
                f'devices.{name}.core: found "{self.core}"; expected a micro-manager device ({known})'
            )
        if self.label is not None and core.configuration is None:
            raise ValueError(
                f'devices.{name}.label: found "{self.label}"; expected library and device, because '
                f"devices.{self.core} has no configuration"
            )
        hub = instrument.devices.get(self.hub) if self.hub else None
        if self.hub and not (isinstance(hub, MicroManagerPart) and hub.core == self.core):
            raise ValueError(
                f'devices.{name}.hub: found "{self.hub}"; expected a device on the core "{self.core}"'
            )
        if self.library in SIMULATED_LIBRARIES and not instrument.simulated:
            raise ValueError(
                f'devices.{name}.library: found "{self.library}", which simulates; expected a real device, '
                "because instrument.simulated is false"
            )


class MicroManagerDevice(MicroManagerPart):
    """Any device behind Micro-Manager, by its properties: a filter wheel, a hub, a serial port."""

    adapter: Literal["micro-manager-device"]


class MicroManagerCamera(MicroManagerPart):
    """A camera behind Micro-Manager."""

    kinds = ("camera",)

    adapter: Literal["micro-manager-camera"]


class MicroManagerLight(MicroManagerPart):
    """A shutter behind Micro-Manager, which is a light that can be switched."""

    kinds = ("shutter",)

    adapter: Literal["micro-manager-light"]


class MicroManagerStage(MicroManagerPart):
    """A stage behind Micro-Manager.

    Parameters
    ----------
    travel : table
        The reach of each axis, as ``{ x = ["-10 mm", "10 mm"], y = ["-5 mm", "5 mm"] }`` or ``{ z = [...] }``;
        Micro-Manager does not know it.
    tolerance : float
        How far from where it was sent it may be, in m.
    """

    kinds = ("stage", "xy-stage")

    adapter: Literal["micro-manager-stage"]
    travel: dict[Literal["x", "y", "z"], Annotated[tuple[Metre, Metre], Row]]
    tolerance: Metre = 1e-6

    @model_validator(mode="after")
    def _reachable(self) -> MicroManagerStage:
        if len(self.travel) != 1 and tuple(self.travel) != ("x", "y"):
            raise ValueError(
                f"travel: found {', '.join(self.travel) or 'no axis'}; expected x and y, or one axis alone"
            )
        for axis, (low, high) in self.travel.items():
            if not low < high:
                raise ValueError(f"travel.{axis}: expected the lower end first")
        if not self.tolerance > 0:
            raise ValueError('tolerance: expected a length above zero, such as "1 um"')
        return self
