"""Rules about properties and their values. Standard library only."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from nixel.acquisition.plugins.abi import MESSAGE_SIZE, Error, Payload, PropertyInfo, Status, Tag, Value
from nixel.acquisition.plugins.checking.bench import UNWELL, Broken, NotApplicable, same, status_name
from nixel.acquisition.plugins.values import to_c

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nixel.acquisition.plugins.checking.bench import Bench, Raw

__all__ = [
    "candidates",
    "get",
    "index",
    "messages",
    "out_of_range",
    "properties",
    "read_only",
    "round_trip",
    "unknown",
    "utf8",
    "wrong_type",
]

_SAMPLES: dict[int, tuple[Any, ...]] = {
    Tag.INT64: (0, 1, -1),
    Tag.FLOAT64: (0.0, 1.0, -1.5),
    Tag.BOOL: (True, False),
    Tag.STRING: ("", "plain", "µ 温 \U0001f321", "a\0b"),
    Tag.BYTES: (b"", b"\0\xff\n", bytes(range(16))),
}
_NOT_UTF8 = (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80")
_UNKNOWN = ("", "no_such_property", "NUMBER", "µ" * 600, "x" * 5000)


def candidates(prop: Mapping[str, Any]) -> tuple[Any, ...]:
    """Values that a property might take: with limits those at the limits."""
    low, high = prop["minimum"], prop["maximum"]
    if low is None:
        return _SAMPLES[prop["tag"]]
    if prop["tag"] == Tag.INT64:
        return (math.ceil(low), math.floor(high))
    return (low, high, low + (high - low) / 4)


def properties(bench: Bench) -> str:
    """Look at every description."""
    with bench.device() as device:
        names = [each["name"] for each in device.properties]
        for each in device.properties:
            if not each["description"].strip():
                raise Broken(f"property {each['name']}: an empty description")
            if each["minimum"] is not None and not math.isfinite(each["minimum"] + each["maximum"]):
                raise Broken(f"property {each['name']}: limits of {each['minimum']} and {each['maximum']}")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise Broken(f"several properties of the name {', '.join(twice)}")
        return ", ".join(names) or "none"


def index(bench: Bench) -> None:
    """Ask for properties that there are not."""
    with bench.device() as device:
        count = device.count()
        for beyond in (count, count + 1, 2**63, 2**64 - 1):
            status, _ = bench.call("property", device.handle, beyond, PropertyInfo())
            if status != Status.OUT_OF_RANGE:
                raise Broken(f"property({beyond}) of {count} returned {status_name(status)}")
        if (again := device.count()) != count:
            raise Broken(f"{count} properties, and later {again}")


def get(bench: Bench) -> str | None:
    """Read everything."""
    unwell = []
    with bench.device() as device:
        for prop in device.properties:
            value = device.read(prop)
            if value is None:
                unwell.append(prop["name"])
            elif prop["minimum"] is not None and not prop["minimum"] <= value <= prop["maximum"]:
                limits = f"{prop['minimum']:g} to {prop['maximum']:g}"
                raise Broken(f"{prop['name']} is {value:g}, and its limits are {limits}")
        if unwell and len(unwell) == len(device.properties):
            raise Broken("every property was refused with NIXEL_DEVICE_FAILED or NIXEL_TIMEOUT")
    return f"not to be read now: {', '.join(unwell)}" if unwell else None


def round_trip(bench: Bench) -> None:
    """Set every property to several values and read them back."""
    with bench.device() as device:
        for prop in _some(device.writable, "property that can be written"):
            before, taken = device.read(prop), 0
            for value in candidates(prop):
                taken += _one_trip(device, prop, value)
            if not taken:
                raise Broken(f"{prop['name']}: none of {candidates(prop)!r:.100} was taken")
            if before is not None:
                device.set(prop["name"], before)


def _one_trip(device: Raw, prop: Mapping[str, Any], value: Any) -> bool:  # noqa: ANN401
    """Set and read; whether the device took the value."""
    call, before = f"set({prop['name']!r}, {value!r:.40})", device.read(prop)
    status, _ = device.set(prop["name"], value)
    limited = prop["minimum"] is not None or prop["tag"] == Tag.BOOL
    if status == Status.OK:
        found = device.read(prop)
        if found is not None and not _close(prop, value, found):
            raise Broken(f"{call} returned NIXEL_OK, and then it reads {found!r:.40}")
        return True
    # Only the device knows how long a text may be, or a number without limits how large.
    if status not in (*UNWELL, *(() if limited else (Status.OUT_OF_RANGE,))):
        raise Broken(f"{call} returned {status_name(status)}")
    if not same(before, device.read(prop)):
        raise Broken(f"{call} returned {status_name(status)}, and yet changed it")
    return status in UNWELL


def _close(prop: Mapping[str, Any], value: Any, found: Any) -> bool:  # noqa: ANN401
    if prop["tag"] != Tag.FLOAT64:
        return same(value, found)
    span = abs(value) if prop["minimum"] is None else prop["maximum"] - prop["minimum"]
    return bool(abs(found - value) <= 0.01 * span)


def wrong_type(bench: Bench) -> None:
    """Set every property to values of every other type."""
    with bench.device() as device:
        for prop in _some(device.writable, "property that can be written"):
            for tag in Tag:
                if tag != prop["tag"]:
                    device.refused(prop, _SAMPLES[tag][1], Status.WRONG_TYPE)
            for unknown_tag in (0, 6, 2**32 - 1):
                device.refused(prop, Value(unknown_tag), Status.WRONG_TYPE)


def out_of_range(bench: Bench) -> None:
    """Set numbers beyond their limits."""
    with bench.device() as device:
        numbers = [each for each in device.writable if each["minimum"] is not None]
        switches = [each for each in device.writable if each["tag"] == Tag.BOOL]
        for prop in _some(numbers + switches, "number with limits and no switch that can be written"):
            for value in _beyond(prop):
                device.refused(prop, value, Status.OUT_OF_RANGE)


def _beyond(prop: Mapping[str, Any]) -> Iterator[Any]:
    low, high = prop["minimum"], prop["maximum"]
    if prop["tag"] == Tag.BOOL:
        yield from (Value(Tag.BOOL, 0, Payload(boolean=value)) for value in (2, 255))
    elif prop["tag"] == Tag.FLOAT64:
        yield from (math.nextafter(low, -math.inf), math.nextafter(high, math.inf))
        yield from (math.nan, math.inf, -math.inf)
    else:
        # Doubles hold the limits: next to 2**63 there is no integer beyond them.
        extremes = (math.ceil(low) - 1, math.floor(high) + 1, -(2**63), 2**63 - 1)
        yield from (value for value in extremes if -(2**63) <= value < 2**63 and not low <= value <= high)


def utf8(bench: Bench) -> None:
    """Set strings that are none."""
    with bench.device() as device:
        strings = [each for each in device.writable if each["tag"] == Tag.STRING]
        for prop in _some(strings, "string that can be written"):
            for data in _NOT_UTF8:
                value, _kept = to_c(data)
                value.tag = Tag.STRING
                device.refused(prop, value, Status.WRONG_TYPE)


def unknown(bench: Bench) -> None:
    """Read and write what there is not."""
    with bench.device() as device:
        known = {each["name"] for each in device.properties}
        for name in (name for name in _UNKNOWN if name not in known):
            for call, status in (("get", device.get(name)[0]), ("set", device.set(name, 1.0)[0])):
                if status != Status.NO_SUCH_PROPERTY:
                    raise Broken(f"{call}({name!r:.40}) returned {status_name(status)}")


def read_only(bench: Bench) -> None:
    """Write what can only be read."""
    with bench.device() as device:
        fixed = [each for each in device.properties if each["read_only"]]
        for prop in _some(fixed, "read-only property"):
            for value in _SAMPLES[prop["tag"]]:
                device.refused(prop, value, Status.READ_ONLY)


def messages(bench: Bench) -> None:
    """Look at the error of every kind of failure."""
    with bench.device() as device:
        for name in _UNKNOWN:
            _look(f"get({name!r:.20})", device.get(name)[::2])
            _look(f"set({name!r:.20})", device.set(name, 1.0))
        for prop in device.properties:
            for tag in (0, *(tag for tag in Tag if tag != prop["tag"])):
                what = f"set({prop['name']!r}, a value with the tag {tag})"
                _look(what, device.set_raw(prop["name"], Value(tag)))
            for value in _beyond(prop) if prop["minimum"] is not None else ():
                _look(f"set({prop['name']!r}, {value!r})", device.set(prop["name"], value))
        _look("property(beyond the last)", bench.call("property", device.handle, 2**32, PropertyInfo()))
    setting, kept = to_c("x")
    status, error, handle = bench.try_open({"no_such_setting_µ": setting})
    del kept
    if status == Status.OK and handle is not None:
        bench.library.table.free(handle)
    _look("open() with an unknown setting", (status, error))


def _look(call: str, answer: tuple[int, Error]) -> None:
    status, error = answer
    if status == Status.OK:
        return  # Other rules say that it should have failed.
    data = bytes(error.message)
    end = data.find(b"\0")
    if status not in list(Status):
        raise Broken(f"{call} returned {status_name(status)}")
    if error.status != status:
        raise Broken(f"{call} returned {status_name(status)}, and the error says {status_name(error.status)}")
    if error.reserved != 0:
        raise Broken(f"{call} left {error.reserved:#x} in error->reserved")
    if end < 0:
        raise Broken(f"{call} left a message without a NUL in its {MESSAGE_SIZE} bytes")
    try:
        text = data[:end].decode()
    except UnicodeDecodeError:
        raise Broken(f"{call} left a message that is not UTF-8: {data[:end]!r:.80}") from None
    if not text.strip():
        raise Broken(f"{call} left an empty message")


def _some(found: list[dict[str, Any]], what: str) -> Iterator[dict[str, Any]]:
    if not found:
        raise NotApplicable(f"the device has no {what}")
    return itertools.chain(found)
