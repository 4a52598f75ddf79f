"""A plugin's device, as the rest of nixel sees it: its library is loaded by a worker process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nixel.acquisition.devices import DeviceError, Kind, Property, Value
from nixel.acquisition.plugins.abi import Tag
from nixel.acquisition.workers.worker import Worker, WorkerRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["KINDS", "PluginProcess"]

KINDS: dict[Tag, Kind] = {
    Tag.INT64: "integer",
    Tag.FLOAT64: "number",
    Tag.BOOL: "boolean",
    Tag.STRING: "text",
    Tag.BYTES: "bytes",
}
_START = 30.0  # s more until the first answer: a process has to start, on a machine that may be busy
_REMEDIES = {
    "load": "Check the path, and that the library is made for this machine.",
    "version": "Nothing was opened.",
    "plugin": "Tell the vendor, with what nixel plugin check FILE says.",
    "DEVICE_FAILED": "The plugin said so itself: check the device and its cable.",
    "TIMEOUT": "The plugin said so itself: check the device and its cable.",
}


class PluginProcess:
    """A device of a vendor plugin in a worker process; calls from several threads come one after another.

    When the plugin crashes or hangs, only that process is gone: the call raises, and so does every further one,
    until the device is opened again.

    Parameters
    ----------
    path : Path
        Of the plugin's library.
    where : str
        The device and its address, for errors.
    timeout : float
        Of each call, in s.
    """

    def __init__(self, path: Path, where: str, timeout: float) -> None:
        self._path, self._where, self._timeout = path, where, timeout
        self._worker = Worker("nixel.acquisition.plugins.worker", [str(path)], where=where)

    @property
    def pid(self) -> int | None:
        """Of the worker process; None when there is none."""
        return self._worker.pid

    def open(self, settings: Mapping[str, Value]) -> tuple[str, tuple[Property, ...]]:
        """Load the plugin and open its device.

        Returns
        -------
        name : str
            Of the device type.
        properties : tuple of Property

        Raises
        ------
        DeviceError
            The plugin cannot be loaded or used, or its device does not open; nothing is left of it.
        """
        if not self._path.is_file():
            raise DeviceError(
                "opening",
                where=self._where,
                expected="a plugin's library",
                found="no such file",
                remedy="Correct its path in the instrument file.",
            )
        self._worker.start()
        try:
            about = self._ask("opening", "open", dict(settings), timeout=self._timeout + _START)
            return str(about["name"]), tuple(_property(each) for each in about["properties"])
        except DeviceError:
            self._worker.stop(self._timeout)
            raise

    def close(self) -> None:
        """Give the device back and end the worker; does nothing when there is none.

        Raises
        ------
        DeviceError
            The plugin crashed or hung on the way.
        """
        self._worker.stop(self._timeout)

    def get(self, name: str) -> Value:
        """Read a property from the device."""
        value: Value = self._ask(f"reading {name}", "get", name, timeout=self._timeout)
        return value

    def set(self, name: str, value: Value) -> None:
        """Write a property to the device."""
        self._ask(f"setting {name}", "set", name, value, timeout=self._timeout)

    def _ask(self, what: str, method: str, *arguments: Any, timeout: float) -> Any:  # noqa: ANN401
        try:
            return self._worker.call(method, *arguments, timeout=timeout, what=what)
        except WorkerRefused as refused:
            by_plugin, message = refused.kind.isupper(), refused.message.rstrip(".")
            raise DeviceError(
                what,
                where=self._where,
                expected="the plugin to accept it" if by_plugin else "a plugin as nixel_device.h says",
                found=f"{refused.kind}: {message}" if by_plugin else message,
                remedy=_REMEDIES.get(refused.kind, "The plugin said so itself; nothing was changed."),
            ) from refused


def _property(described: Mapping[str, Any]) -> Property:
    return Property(
        name=str(described["name"]),
        kind=KINDS[Tag(described["tag"])],
        unit=str(described["unit"]),
        description=str(described["description"]),
        minimum=described["minimum"],
        maximum=described["maximum"],
        read_only=bool(described["read_only"]),
    )
