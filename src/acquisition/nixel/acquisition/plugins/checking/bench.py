"""What the rules are tried with: a plugin, called without any of the host's care. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import math
import os
import time
from typing import TYPE_CHECKING, Any

from nixel.acquisition.plugins.abi import Error, PropertyInfo, Setting, Status, Tag, Value
from nixel.acquisition.plugins.library import Library, described_by
from nixel.acquisition.plugins.values import from_c, tag_of, to_c

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Bench", "Broken", "NotApplicable", "Raw", "heap", "status_name"]

# What the device may answer to a good question: it may be off, or out of reach.
UNWELL = (Status.DEVICE_FAILED, Status.TIMEOUT)


class Broken(Exception):  # noqa: N818 (a finding, not a fault of the program)
    """A rule that does not hold, with what was found."""


class NotApplicable(Exception):  # noqa: N818 (a finding, not a fault of the program)
    """A rule that cannot be tried with this plugin, with the reason."""


def status_name(status: int) -> str:
    """How the header calls a status."""
    return f"NIXEL_{Status(status).name}" if status in list(Status) else f"the unknown status {status}"


# struct mallinfo2 of glibc 2.33 and newer
_MALLINFO2 = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


def _heap_by_malloc() -> Callable[[], int]:
    class Info(ctypes.Structure):
        _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO2)

    info = ctypes.CDLL(None).mallinfo2
    info.restype = Info

    def used() -> int:
        now = info()
        return int(now.uordblks + now.hblkhd)

    return used


def _resident() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123 (nothing heavy is imported here)
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def heap() -> tuple[int, str]:
    """Return the memory in use in bytes, and what it was measured by.

    Raises
    ------
    NotApplicable
        A memory checker has put its own allocator in the place of the one that counts.
    """
    gc.collect()
    try:
        used = _heap_by_malloc()()
    except AttributeError:
        return _resident(), "resident memory"
    if used == 0:
        raise NotApplicable("under a memory checker, which counts itself")
    return used, "malloc"


class Bench:
    """A plugin, and how its device is opened.

    Parameters
    ----------
    path : str
    settings : mapping of str to value
    trips : int
        Round trips of the rules that need many.
    """

    def __init__(self, path: str, settings: Mapping[str, Any], trips: int) -> None:
        self.path, self.settings, self.trips = path, dict(settings), trips
        self.slowest: tuple[float, str] = (0.0, "")

    @functools.cached_property
    def library(self) -> Library:
        """The plugin, loaded and asked for the version that the host knows."""
        return Library(self.path)

    def call(self, name: str, *arguments: Any) -> tuple[int, Error]:  # noqa: ANN401
        """Call a function of the table that returns a status; its error begins as rubbish."""
        error = Error()
        ctypes.memset(ctypes.addressof(error), 0xAA, ctypes.sizeof(error))
        begin = time.monotonic()
        status = getattr(self.library.table, name)(*arguments, error)
        self.slowest = max(self.slowest, (time.monotonic() - begin, f"{name}()"))
        return status, error

    def try_open(self, settings: Mapping[str, Value]) -> tuple[int, Error, int | None]:
        """Call open(); what it should set begins as rubbish."""
        array = (Setting * len(settings))(*(Setting(name.encode(), each) for name, each in settings.items()))
        handle = ctypes.c_void_p(0xAAAA)
        status, error = self.call("open", array, len(settings), handle)
        return status, error, handle.value

    @contextlib.contextmanager
    def settings_in_c(self) -> Iterator[dict[str, Value]]:
        """The settings as the plugin gets them, alive within the block."""
        kept = {name: to_c(value) for name, value in self.settings.items()}
        yield {name: value for name, (value, _) in kept.items()}

    def open(self) -> Raw:
        """Open a device.

        Raises
        ------
        Broken
            It does not open.
        """
        with self.settings_in_c() as settings:
            status, error, handle = self.try_open(settings)
        if status != Status.OK:
            message = bytes(error.message).split(b"\0")[0].decode("utf-8", "replace")
            raise Broken(
                f"open() with the settings {self.settings} returned {status_name(status)}: {message}"
            )
        if handle is None:
            raise Broken("open() returned NIXEL_OK and a null pointer")
        return Raw(self, handle)

    @contextlib.contextmanager
    def device(self) -> Iterator[Raw]:
        """Return an open device, freed at the end of the block."""
        raw = self.open()
        try:
            yield raw
        finally:
            raw.free()


class Raw:
    """An open device, called as it is."""

    def __init__(self, bench: Bench, handle: int) -> None:
        self._bench, self._table, self.handle = bench, bench.library.table, handle

    def free(self) -> None:
        """Call free()."""
        self._table.free(self.handle)

    def count(self) -> int:
        """Call property_count()."""
        return int(self._table.property_count(self.handle))

    @functools.cached_property
    def properties(self) -> list[dict[str, Any]]:
        """The descriptions, as `nixel.acquisition.plugins.library.Holder.properties`."""
        return [self.describe(index) for index in range(self.count())]

    @property
    def writable(self) -> list[dict[str, Any]]:
        """The descriptions of what can be written."""
        return [each for each in self.properties if not each["read_only"]]

    def describe(self, index: int) -> dict[str, Any]:
        """Call property() and look at what it says."""
        info = PropertyInfo()
        ctypes.memset(ctypes.addressof(info), 0, ctypes.sizeof(info))
        status, _ = self._bench.call("property", self.handle, index, info)
        if status != Status.OK:
            raise Broken(f"property({index}) of {self.count()} returned {status_name(status)}")
        return described_by(info, index)

    def get(self, name: str) -> tuple[int, Value, Error]:
        """Call get(); the value begins as rubbish."""
        value = Value(0xAAAAAAAA)
        status, error = self._bench.call("get", self.handle, name.encode(), value)
        return status, value, error

    def read(self, prop: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Read a property, copied; None if the device is unwell.

        Raises
        ------
        Broken
            Another status came.
        """
        status, value, _ = self.get(prop["name"])
        if status in UNWELL:
            return None
        if status != Status.OK:
            raise Broken(f"get({prop['name']!r}) returned {status_name(status)}")
        return from_c(value, prop["tag"], f"get({prop['name']!r})")

    def set_raw(self, name: str, value: Value) -> tuple[int, Error]:
        """Call set() with a value as C sees it."""
        return self._bench.call("set", self.handle, name.encode(), value)

    def set(self, name: str, value: Any) -> tuple[int, Error]:  # noqa: ANN401
        """Call set()."""
        converted, _kept = to_c(value)
        return self.set_raw(name, converted)

    def refused(self, prop: Mapping[str, Any], value: Any, expected: Status) -> None:  # noqa: ANN401
        """Expect that a value is refused with a status, and that nothing has changed.

        Raises
        ------
        Broken
        """
        before = self.read(prop)
        call = f"set({prop['name']!r}, {_short(value)})"
        status, _ = (
            self.set_raw(prop["name"], value) if isinstance(value, Value) else self.set(prop["name"], value)
        )
        if status != expected:
            raise Broken(f"{call} returned {status_name(status)} instead of {status_name(expected)}")
        after = self.read(prop)
        if not prop["read_only"] and not same(before, after):
            raise Broken(f"{call} was refused, and yet changed {_short(before)} to {_short(after)}")


def same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """Whether two readings are the same value of the same type, a NaN included."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and bool(one == other)


def _short(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Value):
        known = value.tag in list(Tag)
        return (
            f"a {Tag(value.tag).name.lower()} that is none" if known else f"a value with the tag {value.tag}"
        )
    return f"{tag_of(value).name.lower()} {value!r:.60}" if value is not None else "nothing"
