"""Any device behind Micro-Manager, by its properties; cameras, lights and stages add what they can do."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.micromanager.core import MicroManagerCore
from nixel.acquisition.adapters.micromanager.settings import MicroManagerDevice, MicroManagerPart
from nixel.acquisition.adapters.micromanager.table import add_described
from nixel.acquisition.devices import DeviceError, Property, PropertyTable, Value

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ADAPTER", "MicroManagerDeviceAdapter", "maker"]

_LOADING = 60.0  # s: a device is searched for on its wire
_Settings = TypeVar("_Settings", bound=MicroManagerPart)


class MicroManagerDeviceAdapter(Generic[_Settings]):
    """A device on a core.

    Parameters
    ----------
    settings : MicroManagerPart
    name : str
    core : MicroManagerCore
    hub : str
        The label of its hub; empty without.
    """

    hidden: tuple[str, ...] = ()
    """Micro-Manager's properties that this kind of device has in SI units."""

    def __init__(self, settings: _Settings, name: str, core: MicroManagerCore, hub: str = "") -> None:
        self._settings, self._core, self._hub = settings, core, hub
        self.name = name
        self.label = settings.label if settings.label is not None else name
        source = f"{settings.library} {settings.device}" if settings.library else self.label
        self.where = f"{name} ({source} on {core.name})"
        self._lock = threading.RLock()
        self._table = PropertyTable(self.where)
        self._tabled = -1
        self._opened_in = 0

    def open(self) -> None:
        """Load it, or find it in the configuration, and set the properties of the instrument file.

        Raises
        ------
        DeviceError
            There is no such adapter, device or label, it is of another kind, or it does not answer.
        """
        if self._is_open:
            return
        self._opened_in = self._core.starts
        loaded = False
        try:
            if self._settings.library is not None:
                self._load()
                loaded = True
            self._expect_kind()
            self._tabled = -1
            if self._settings.library is None:
                for name, value in self._settings.properties.items():
                    self._write(name, str(value))
            self._prepare()
        except BaseException:
            with contextlib.suppress(DeviceError):
                if loaded:
                    self._call("unloading it", "unload", self.label)
            self._opened_in = 0
            raise

    def close(self) -> None:
        """Bring it to rest, and unload it if it was loaded.

        Raises
        ------
        DeviceError
            It could not be brought to rest.
        """
        try:
            if self._is_open:
                self._rest()
            elif self._opened_in:
                # What took the worker down has been told; only what is left behind is worth a word.
                self._lost()
        finally:
            if self._is_open and self._settings.library is not None:
                with contextlib.suppress(DeviceError):
                    self._call("unloading it", "unload", self.label)
            self._opened_in = 0

    @property
    def properties(self) -> tuple[Property, ...]:
        """What Micro-Manager's adapter offers, and what this kind of device has in SI units."""
        return self._current().properties

    def get(self, name: str) -> Value:
        """Read a property."""
        return self._current().get(name)

    def set(self, name: str, value: Value) -> None:
        """Write a property, and wait until the device is at rest."""
        self._current().set(name, value)

    def _prepare(self) -> None:
        """Do what has to be done once it is there."""

    def _rest(self) -> None:
        """Bring it to rest."""

    def _lost(self) -> None:
        """Say what stays as it was, now that the worker is gone."""

    def _add_own(self, table: PropertyTable) -> None:
        """Add what has SI units."""

    @property
    def _is_open(self) -> bool:
        """Whether it was opened in the worker that is there now."""
        return self._opened_in == self._core.starts and self._core.pid is not None

    def _call(self, what: str, method: str, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 (what messages carry)
        if self._opened_in != self._core.starts:
            remedy = "Open it: another worker process knows nothing of what was open in the last."
            raise DeviceError(what, where=self.where, expected="it open", found="it closed", remedy=remedy)
        return self._core.call(what, method, *arguments, where=self.where, **more)

    def _wait(self, what: str) -> None:
        self._core.wait(what, [self.label], self._settings.timeout, self.where)

    def _current(self) -> PropertyTable:
        with self._lock:
            # What is written anywhere on the core may change limits here.
            revision = self._core.revision
            if self._is_open and self._tabled != revision:
                table = PropertyTable(self.where)
                self._add_own(table)
                described = self._call("reading its properties", "describe", self.label)
                add_described(table, described, self._read, self._write, self.hidden)
                self._table, self._tabled = table, revision
            return self._table

    def _read(self, name: str) -> str:
        return str(self._call(f"reading {name}", "read", self.label, name))

    def _write(self, name: str, text: str) -> None:
        try:
            self._call(
                f"setting {name}",
                "write",
                self.label,
                name,
                text,
                expected="the device to take it",
                remedy="Nothing was changed.",
            )
        finally:
            self._core.changed()
        self._wait(f"setting {name}")

    def _load(self) -> None:
        settings = self._settings
        library, device = str(settings.library), str(settings.device)
        libraries = self._core.call("looking for adapters", "libraries")
        if library not in libraries:
            raise self._missing("loading its adapter", f"one of the adapters {', '.join(libraries)}", library)
        # Not every library can say what it offers before a hub was asked; those that can are believed.
        offered = self._call(
            "loading its adapter",
            "offered",
            library,
            timeout=_LOADING,
            expected="a library that loads",
            remedy=f"nixel doctor libmmgr_dal_{library}.so.0 says what keeps it from loading.",
        )
        if offered and device not in offered and not self._hub:
            raise self._missing("loading it", f"one of {library}'s devices {', '.join(offered)}", device)
        properties = {name: str(value) for name, value in settings.properties.items()}
        self._call(
            "loading it",
            "load",
            self.label,
            library,
            device,
            self._hub,
            properties,
            timeout=_LOADING,
            expected="the device to answer",
            remedy="Check that it is on and connected, and its properties in the instrument file.",
        )
        self._core.changed()

    def _missing(self, what: str, expected: str, found: str) -> DeviceError:
        remedy = "Check library and device in the instrument file, and the core's folders of adapters."
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=remedy)

    def _expect_kind(self) -> None:
        kinds = self._settings.kinds
        found = self._call(
            "opening",
            "kind",
            self.label,
            expected="its label in the configuration file",
            remedy="Correct the label in the instrument file.",
        )
        if kinds and found not in kinds:
            remedy = "Choose the adapter of the kind that it is; micro-manager-device takes any."
            raise DeviceError(
                "opening",
                where=self.where,
                expected=f"a {' or '.join(kinds)}",
                found=f"a {found}",
                remedy=remedy,
            )


def maker(kind: Callable[[Any, str, MicroManagerCore, str], Any]) -> Callable[[str, Any, Surroundings], Any]:
    """Return what makes a kind of device from its settings."""

    def make(name: str, settings: MicroManagerPart, around: Surroundings) -> Any:  # noqa: ANN401 (its kind)
        core = around.devices[settings.core]
        assert isinstance(core, MicroManagerCore)  # checked with the instrument
        hub = around.devices[settings.hub] if settings.hub else None
        assert hub is None or isinstance(hub, MicroManagerDeviceAdapter)
        return kind(settings, name, core, hub.label if hub is not None else "")

    return make


ADAPTER = Adapter(MicroManagerDevice, maker(MicroManagerDeviceAdapter))
