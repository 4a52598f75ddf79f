"""Rules about devices from open() to free(), threads and memory. Standard library only."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from nixel.acquisition.plugins.abi import Payload, Status, Tag, Value
from nixel.acquisition.plugins.checking.bench import (
    Bench,
    Broken,
    NotApplicable,
    Raw,
    heap,
    same,
    status_name,
)
from nixel.acquisition.plugins.checking.rules_values import candidates

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "free_null",
    "frees",
    "no_growth",
    "open_refused",
    "opens",
    "parallel",
    "threads",
    "two_devices",
    "unload",
]

_BUDGET = 20.0  # s for opening and freeing again and again: hardware may be slow
_CYCLES = 2000
_TOO_FEW = 1000  # round trips among which a leak is not seen
_NOISE = 16 << 10  # bytes of Python's own


def opens(bench: Bench) -> None:
    """Open and free."""
    with bench.device():
        pass


def open_refused(bench: Bench) -> None:
    """Open with settings that are wrong."""
    wrong = Value(Tag.INT64, 0, Payload(int64=1))
    with bench.settings_in_c() as settings:
        _expect_refusal(bench, {**settings, "no_such_setting": wrong}, Status.NO_SUCH_PROPERTY)
        for name, value in settings.items():
            other = Value(Tag.BYTES) if value.tag != Tag.BYTES else wrong
            _expect_refusal(bench, {**settings, name: other}, Status.WRONG_TYPE)


def _expect_refusal(bench: Bench, settings: dict[str, Value], expected: Status) -> None:
    status, _, handle = bench.try_open(settings)
    if status == Status.OK and handle is not None:
        bench.library.table.free(handle)
    if status != expected:
        raise Broken(
            f"open() with {', '.join(settings)} returned {status_name(status)}, expected {expected.name}"
        )
    if handle is not None:
        raise Broken(f"open() returned {status_name(status)} and left a device where NULL belongs")


def free_null(bench: Bench) -> None:
    """Free nothing."""
    bench.library.table.free(None)


def two_devices(bench: Bench) -> None:
    """Open two and change one."""
    with bench.device() as one:
        other = _second(bench)
        try:
            prop, first, second = _two_values(one)
            one.set(prop["name"], first)
            other.set(prop["name"], second)
            _expect(one, prop, first, "after another device was set")
        finally:
            other.free()
        _expect(one, prop, first, "after another device was freed")


def _second(bench: Bench) -> Raw:
    try:
        return bench.open()
    except Broken as broken:
        raise NotApplicable(f"a second device does not open: {broken}") from broken


def _two_values(device: Raw) -> tuple[dict[str, Any], Any, Any]:
    """Return a property with two values that it takes and that are told apart."""
    for prop in device.writable:
        taken: list[Any] = []
        for value in candidates(prop):
            if device.set(prop["name"], value)[0] == Status.OK:
                found = device.read(prop)
                if found is not None and not any(same(found, each) for each in taken):
                    taken.append(found)
            if len(taken) == 2:
                return prop, taken[0], taken[1]
    raise NotApplicable("the device has no property that takes two different values")


def _expect(device: Raw, prop: dict[str, Any], expected: Any, when: str) -> None:  # noqa: ANN401
    found = device.read(prop)
    if not same(found, expected):
        raise Broken(f"{prop['name']} was set to {expected!r:.40}, and reads {found!r:.40} {when}")


def threads(bench: Bench) -> None:
    """Open in one thread, use in others in turns, free in another."""
    devices: list[Raw] = []
    _in_threads(lambda: devices.append(bench.open()))
    (device,) = devices
    lock = threading.Lock()

    def use() -> None:
        for _ in range(50):
            with lock:
                for prop in device.properties:
                    device.read(prop)

    try:
        _in_threads(use, use, use, use)
    finally:
        _in_threads(device.free)


def parallel(bench: Bench) -> str:
    """Use two at once from two threads."""
    with bench.device() as one:
        other = _second(bench)
        try:
            prop, *values = _two_values(one)
            trips = max(100, bench.trips // 5)

            def use(device: Raw, value: Any) -> None:  # noqa: ANN401
                for _ in range(trips):
                    device.set(prop["name"], value)
                    time.sleep(0)  # The other thread's turn.
                    _expect(device, prop, value, "while another device was used")

            _in_threads(lambda: use(one, values[0]), lambda: use(other, values[1]))
        finally:
            other.free()
    return f"{trips} round trips in each of two threads"


def _in_threads(*functions: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 (it belongs to the one who waits)
            failures.append(error)

    running = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]


def frees(bench: Bench) -> str:
    """Open and free again and again, and look at the memory."""
    cycles = min(_CYCLES, bench.trips)

    def cycle() -> None:
        with bench.device() as device:
            for prop in device.writable:
                device.set(prop["name"], candidates(prop)[-1])
                device.get(prop["name"])

    end = time.monotonic() + _BUDGET
    for _ in range(1 + cycles // 10):
        cycle()
    before, how = heap()
    done = 0
    while done < cycles and (time.monotonic() < end or done < 10):
        cycle()
        done += 1
    grown = heap()[0] - before
    if grown > max(_NOISE, 16 * done):
        raise Broken(f"{grown} bytes more in use ({how}) after {done} devices, {grown / done:.0f} for each")
    return f"{done} devices, {max(grown, 0)} bytes more in use ({how})"


def no_growth(bench: Bench) -> str:
    """Set and get, succeed and fail, again and again, and look at the memory."""
    if bench.trips < _TOO_FEW:
        raise NotApplicable(f"{bench.trips} round trips are too few to see it")
    with bench.device() as device:
        values = {prop["name"]: _held(device, prop) for prop in device.writable}
        if not values:
            raise NotApplicable("the device has no property that can be written")

        def trips(count: int) -> None:
            for number in range(count):
                name = names[number % len(names)]
                device.set(name, values[name])
                device.get(name)
                device.get("no_such_property")

        names = list(values)
        trips(bench.trips // 10)
        before, how = heap()
        trips(bench.trips)
        grown = heap()[0] - before
    if grown > _NOISE + bench.trips // 10:
        raise Broken(
            f"{grown} bytes more in use ({how}) after {bench.trips} round trips, "
            f"{grown / bench.trips:.1f} for each"
        )
    return f"{bench.trips} round trips, {max(grown, 0)} bytes more in use ({how})"


def _held(device: Raw, prop: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return a value that the property takes; one of a text or bytes that is not empty."""
    for value in (*candidates(prop)[1:], candidates(prop)[0]):
        if device.set(prop["name"], value)[0] == Status.OK:
            return value
    return candidates(prop)[0]


def unload(bench: Bench) -> str:
    """Load, use, unload."""
    before = _threads()
    handle = bench.library.library._handle
    with bench.device() as device:
        for prop in device.properties:
            device.read(prop)
    left = _threads() - before
    del device
    bench.__dict__.pop("library", None)
    if left > 0:
        raise Broken(f"{left} threads are left after free()")
    close = ctypes.CDLL(None).dlclose
    close.argtypes = [ctypes.c_void_p]
    if close(handle) != 0:
        raise Broken("dlclose() failed")
    with open("/proc/self/maps") as maps:  # noqa: PTH123 (nothing heavy is imported here)
        stays = os.path.realpath(bench.path) in maps.read()
    return "it stays in memory, as libraries with thread-local destructors do" if stays else "it is gone"


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208
