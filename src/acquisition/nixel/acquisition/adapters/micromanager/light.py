"""A shutter behind Micro-Manager, which is a light that can be switched."""

from __future__ import annotations

from nixel.acquisition.adapters.adapter import Adapter
from nixel.acquisition.adapters.micromanager.device import MicroManagerDeviceAdapter, maker
from nixel.acquisition.adapters.micromanager.settings import MicroManagerLight
from nixel.acquisition.devices import DeviceError, Property, PropertyTable

__all__ = ["ADAPTER", "MicroManagerLightAdapter"]


class MicroManagerLightAdapter(MicroManagerDeviceAdapter[MicroManagerLight]):
    """A light: off when it is opened, and off when it is closed."""

    _was_on = False

    def switch(self, on: bool) -> None:
        """Open or close its shutter, and see it so.

        Raises
        ------
        DeviceError
            The device refuses, stays busy, or says otherwise afterwards.
        """
        what = f"switching it {'on' if on else 'off'}"
        self._was_on = self._was_on or on
        self._call(what, "switch", self.label, on)
        self._wait(what)
        if self.is_on() != on:
            raise DeviceError(
                what,
                where=self.where,
                expected=f"it {'on' if on else 'off'}",
                found=f"it {'off' if on else 'on'}",
                remedy="Look at the light, and check its interlocks and its mode.",
            )
        self._was_on = on

    def is_on(self) -> bool:
        """Return whether it is on, as the device says."""
        return bool(self._call("reading whether it is on", "is_open", self.label))

    def _prepare(self) -> None:
        self.switch(False)

    def _rest(self) -> None:
        self.switch(False)

    def _lost(self) -> None:
        if self._was_on:
            raise DeviceError(
                "switching it off",
                where=self.where,
                expected="Micro-Manager's worker process",
                found="none, so the light may still be on",
                remedy="Switch it off by hand, or open it again: that switches it off.",
            )

    def _add_own(self, table: PropertyTable) -> None:
        on = Property("on", "boolean", "", "whether it is on")
        table.add(on, self.is_on, self.switch)


ADAPTER = Adapter(MicroManagerLight, maker(MicroManagerLightAdapter))
