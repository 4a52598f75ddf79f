"""What the adapters of sensors have in common: their channels as properties."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from nixel.acquisition.devices import Channel, Property, PropertyTable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["sensor_table"]


def sensor_table(
    where: str, channels: tuple[Channel, ...], read: Callable[[], tuple[float, ...]]
) -> PropertyTable:
    """Make the properties of a sensor: one for each channel, each freshly measured.

    Parameters
    ----------
    where : str
        The device and its address, for errors.
    channels : tuple of Channel
    read : callable
        Returns the value of each channel.
    """

    def value(number: int) -> float:
        return read()[number]

    table = PropertyTable(where)
    for number, channel in enumerate(channels):
        prop = Property(channel.name, "number", channel.unit, "as measured now", read_only=True)
        table.add(prop, functools.partial(value, number))
    return table
