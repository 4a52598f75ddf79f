"""A plugin's library and its devices, in the process that loads it: a worker. Standard library only.

Nothing here trusts what a plugin returns, except that its pointers can be followed: what cannot be seen before
following one takes the process down.
"""

from __future__ import annotations

import ctypes
import os
import re
from typing import TYPE_CHECKING, Any

from nixel.acquisition.plugins.abi import (
    VERSION,
    DeviceTable,
    Error,
    Flag,
    PropertyInfo,
    Setting,
    Status,
    Tag,
    Value,
)
from nixel.acquisition.plugins.values import broken, from_c, message_of, text_at, to_c
from nixel.acquisition.workers.serve import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Holder", "Library", "described_by", "negotiate"]

FUNCTION = "nixel_device_plugin"
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_MOST_PROPERTIES = 10_000


def negotiate(newest: int, served: Mapping[int, bool]) -> int:
    """Return the version that plugin and host both speak.

    Parameters
    ----------
    newest : int
        What the plugin says is the newest that it speaks.
    served : mapping of int to bool
        Of each version that this host knows, whether the plugin has a table for it.

    Raises
    ------
    Refusal
        There is none; the message says which of the two is the older.
    """
    both = [version for version, there in served.items() if there]
    if both:
        return max(both)
    known = f"this nixel knows version {', '.join(map(str, sorted(served)))} of nixel_device.h"
    if newest < min(served):
        raise Refusal(
            "version",
            f"{known}, and the plugin is older: it speaks up to version {newest}. "
            "Get a newer plugin from its vendor, or build it with the newer header.",
        )
    if newest > max(served):
        raise Refusal(
            "version",
            f"{known}, and the plugin is newer: it speaks version {newest} and no longer serves the older ones. "
            "Update nixel, or ask its vendor for a plugin that still serves them.",
        )
    raise broken(f"{known}, and the plugin says that it speaks version {newest} but has no table for it")


class Library:
    """A loaded plugin.

    Parameters
    ----------
    path : str
        Of the shared library.

    Raises
    ------
    Refusal
        It cannot be loaded, is no plugin, speaks no version that this host knows, or lacks a function.
    """

    def __init__(self, path: str) -> None:
        try:
            # An absolute path: the loader looks for a mere name elsewhere.
            self.library = ctypes.CDLL(os.path.realpath(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise Refusal("load", f"it does not load: {error}. nixel doctor {path} says why.") from error
        try:
            self.ask = self.library[FUNCTION]
        except AttributeError:
            raise Refusal("load", f"expected the exported function {FUNCTION}, found none") from None
        self.ask.restype = ctypes.c_uint32
        self.ask.argtypes = [ctypes.c_uint32, ctypes.POINTER(ctypes.c_void_p)]
        address = ctypes.c_void_p()
        newest = self.ask(VERSION, address)
        self.version = negotiate(newest, {VERSION: bool(address.value)})
        assert address.value is not None  # negotiated
        self.table = DeviceTable.from_address(address.value)
        missing = [name for name, *_ in DeviceTable._fields_ if not getattr(self.table, name)]
        if missing:
            raise broken(f"expected every function of the table, found none for {', '.join(missing)}")

    def name(self) -> str:
        """The name of the device type."""
        return text_at(self.table.name(), "name()")


class Holder:
    """The one holder of a device: it gives it back exactly once.

    Parameters
    ----------
    library : Library
    settings : mapping of str to value

    Raises
    ------
    Refusal
        The device does not open; there is nothing to give back then.
    """

    def __init__(self, library: Library, settings: Mapping[str, Any]) -> None:
        self._table = library.table
        self._handle: int | None = None
        self._tags: dict[str, int] = {}
        values = {name: to_c(value) for name, value in settings.items()}
        array = (Setting * len(values))(*(Setting(_name(name), value) for name, (value, _) in values.items()))
        handle, error = ctypes.c_void_p(), Error()
        _check(self._table.open(array, len(values), handle, error), error)
        if not handle.value:
            raise broken("open() returned NIXEL_OK, and a null pointer for a device")
        self._handle = handle.value

    def free(self) -> None:
        """Give it back; the first time only."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._table.free(handle)

    def properties(self) -> list[dict[str, Any]]:
        """What its properties are, with the keys name, unit, description, tag, read_only, minimum and maximum.

        Raises
        ------
        Refusal
            A description is not as the header says.
        """
        handle, described = self._device(), []
        count = self._table.property_count(handle)
        if count > _MOST_PROPERTIES:
            raise broken(f"expected at most {_MOST_PROPERTIES} properties, found {count}")
        for index in range(count):
            info, error = PropertyInfo(), Error()
            _check(self._table.property(handle, index, info, error), error)
            described.append(described_by(info, index))
        names = [each["name"] for each in described]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise broken(f"expected a name for each property, found twice: {', '.join(twice)}")
        self._tags = {each["name"]: each["tag"] for each in described}
        return described

    def get(self, name: str) -> Any:  # noqa: ANN401
        """Read a property whose description was read before."""
        value, error = Value(), Error()
        _check(self._table.get(self._device(), _name(name), value, error), error)
        if name not in self._tags:
            raise broken(f"get({name!r}) gave a value of a property that was not described")
        return from_c(value, self._tags[name], f"get({name!r})")

    def set(self, name: str, value: Any) -> None:  # noqa: ANN401
        """Write a property."""
        converted, _kept = to_c(value)
        error = Error()
        _check(self._table.set(self._device(), _name(name), converted, error), error)

    def _device(self) -> int:
        if self._handle is None:
            raise Refusal("closed", "the device was given back")
        return self._handle


def _name(name: str) -> bytes:
    if "\0" in name:
        raise Refusal("NO_SUCH_PROPERTY", f"expected a name without a NUL, found {name!r:.100}")
    return name.encode("utf-8", "replace")


def _check(status: int, error: Error) -> None:
    if status == Status.OK:
        return
    # The header: what is not known is a failed device.
    known = Status(status) if status in list(Status) else Status.DEVICE_FAILED
    raise Refusal(known.name, message_of(error))


def described_by(info: PropertyInfo, index: int) -> dict[str, Any]:
    """Copy the description of a property.

    Raises
    ------
    Refusal
        It is not as the header says.
    """
    name = text_at(info.name, f"the name of property {index}")
    if not _NAME.match(name):
        raise broken(f"expected a name of lower-case letters, digits and underscores, found {name!r:.100}")
    if info.tag not in list(Tag):
        raise broken(f"property {name}: expected a known type, found the tag {info.tag}")
    limited = bool(info.flags & Flag.LIMITED)
    if limited and (info.tag not in (Tag.INT64, Tag.FLOAT64) or not info.minimum <= info.maximum):
        raise broken(
            f"property {name}: expected limits of a number only, the lower one first, "
            f"found {info.minimum:g} and {info.maximum:g} of the tag {info.tag}"
        )
    return {
        "name": name,
        "unit": text_at(info.unit, f"the unit of {name}"),
        "description": text_at(info.description, f"the description of {name}"),
        "tag": int(info.tag),
        "read_only": bool(info.flags & Flag.READ_ONLY),
        "minimum": info.minimum if limited else None,
        "maximum": info.maximum if limited else None,
    }
