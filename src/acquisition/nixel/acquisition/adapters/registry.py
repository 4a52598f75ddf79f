"""Which adapters there are: nixel's own, and those of other packages.

Another distribution offers an adapter through an entry point of the group ``nixel.adapters`` whose object is an
`Adapter`; the instrument file may then name it like one of nixel's own.
"""

from __future__ import annotations

import functools
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING

from nixel.acquisition.adapters import (
    gpio_light,
    grbl_stage,
    kernel_sensor,
    libcamera,
    line_sensor,
    scpi_daq,
    scpi_robot,
    scpi_sensor,
    scpi_supply,
    v4l2,
    vendor_plugin,
    virtual_microscope,
)
from nixel.acquisition.adapters.adapter import Adapter
from nixel.acquisition.adapters.micromanager import camera, core, device, light, stage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GROUP", "adapters"]

GROUP = "nixel.adapters"

_OWN = (
    *(module.ADAPTER for module in (core, camera, device, light, stage)),
    gpio_light.ADAPTER,
    grbl_stage.ADAPTER,
    kernel_sensor.ADAPTER,
    libcamera.ADAPTER,
    line_sensor.ADAPTER,
    scpi_daq.ADAPTER,
    scpi_robot.ADAPTER,
    scpi_sensor.ADAPTER,
    scpi_supply.ADAPTER,
    v4l2.ADAPTER,
    vendor_plugin.ADAPTER,
    virtual_microscope.CAMERA,
    virtual_microscope.LIGHT,
)


@functools.cache
def adapters() -> Mapping[str, Adapter]:
    """Return the adapters by name.

    Raises
    ------
    RuntimeError
        Another package's entry point cannot be loaded, is no adapter, or has a name that is taken.
    """
    known = {adapter.name: adapter for adapter in _OWN}
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.value):
        try:
            adapter = entry.load()
        except Exception as error:
            raise RuntimeError(
                f"entry point {entry.name} = {entry.value!r} of {GROUP}: it cannot be loaded "
                f"({type(error).__name__}: {error}). Mend or uninstall the package it belongs to."
            ) from error
        if not isinstance(adapter, Adapter) or adapter.name in known:
            found = (
                f"the name {adapter.name!r}, which is taken"
                if isinstance(adapter, Adapter)
                else repr(adapter)
            )
            raise RuntimeError(
                f"entry point {entry.name} = {entry.value!r} of {GROUP}: expected an Adapter with a name of its "
                f"own, found {found}. Mend or uninstall the package it belongs to."
            )
        known[adapter.name] = adapter
    return MappingProxyType(known)
