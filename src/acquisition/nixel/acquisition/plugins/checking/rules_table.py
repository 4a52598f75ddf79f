"""Rules about the library and its table of functions. Standard library only."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from nixel.acquisition.plugins.abi import VERSION, DeviceTable
from nixel.acquisition.plugins.checking.bench import Broken
from nixel.acquisition.plugins.library import FUNCTION, negotiate
from nixel.acquisition.plugins.values import text_at

if TYPE_CHECKING:
    from nixel.acquisition.plugins.checking.bench import Bench

__all__ = ["function", "loads", "name", "table", "versions"]


def _load(bench: Bench) -> ctypes.CDLL:
    return ctypes.CDLL(os.path.realpath(bench.path), mode=os.RTLD_NOW | os.RTLD_LOCAL)


def loads(bench: Bench) -> None:
    """Load it."""
    try:
        _load(bench)
    except OSError as error:
        raise Broken(str(error)) from error


def function(bench: Bench) -> None:
    """Find its one function."""
    if not hasattr(_load(bench), FUNCTION):
        raise Broken(f"no symbol {FUNCTION} among those that it exports")


def versions(bench: Bench) -> str:
    """Ask for versions that there are and that there are not."""
    ask = _load(bench)[FUNCTION]
    ask.restype, ask.argtypes = ctypes.c_uint32, [ctypes.c_uint32, ctypes.POINTER(ctypes.c_void_p)]
    newest = None
    for wanted in (VERSION, 0, 2**32 - 1):
        address = ctypes.c_void_p(0xAAAA)
        answer = ask(wanted, address)
        if newest is not None and answer != newest:
            raise Broken(f"asked for version {wanted} it says {answer}, asked for {VERSION} it says {newest}")
        newest = answer
        if address.value == 0xAAAA:
            raise Broken(f"asked for version {wanted} it did not set *table")
        if address.value and (wanted == 0 or wanted > newest):
            raise Broken(f"asked for version {wanted} it gives a table, and says that its newest is {newest}")
    address = ctypes.c_void_p()
    ask(VERSION, address)
    negotiate(int(newest or 0), {VERSION: bool(address.value)})
    ask(newest, address)
    if not address.value:
        raise Broken(f"it says that its newest version is {newest}, and has no table for that")
    return f"version {newest}"


def table(bench: Bench) -> None:
    """Look at each function."""
    _ = bench.library
    addresses = []
    for _round in range(2):
        address = ctypes.c_void_p()
        bench.library.ask(bench.library.version, address)
        addresses.append(bytes((ctypes.c_char * ctypes.sizeof(DeviceTable)).from_address(address.value or 0)))
    if addresses[0] != addresses[1]:
        raise Broken("two tables with different functions, asked twice for the same version")


def name(bench: Bench) -> str:
    """Ask for the name."""
    text = text_at(bench.library.table.name(), "name()")
    if not text.strip():
        raise Broken("an empty name")
    return text
