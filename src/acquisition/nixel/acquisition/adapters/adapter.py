"""What an adapter is to the rest of nixel: its settings in the instrument file, and how to make the device."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nixel.acquisition.devices import Device
    from nixel.acquisition.settings import DeviceSettings, InstrumentTables

__all__ = ["Adapter", "Surroundings"]


@dataclass(frozen=True)
class Surroundings:
    """What a device is made among.

    Parameters
    ----------
    instrument : InstrumentTables
    devices : mapping of str to Device
        Those that its settings need.
    """

    instrument: InstrumentTables
    devices: Mapping[str, Device]


@dataclass(frozen=True)
class Adapter:
    """One kind of wire.

    Parameters
    ----------
    settings : type
        Of its table in the instrument file; ``adapter: Literal["NAME"]`` in it is the adapter's name.
    make : callable
        From (the device's name, its settings, `Surroundings`) to the device, which is not open yet.
    """

    settings: type[DeviceSettings]
    make: Callable[[str, Any, Surroundings], Device]

    @property
    def name(self) -> str:
        """What an instrument file calls it."""
        return str(typing.get_args(self.settings.model_fields["adapter"].annotation)[0])
