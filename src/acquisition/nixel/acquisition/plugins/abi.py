"""`nixel_device.h`, version 1, as ctypes. The header says what everything means. Standard library only."""

from __future__ import annotations

import ctypes
import enum

__all__ = [
    "MESSAGE_SIZE",
    "VERSION",
    "DeviceTable",
    "Error",
    "Flag",
    "Payload",
    "PropertyInfo",
    "Setting",
    "Span",
    "Status",
    "Tag",
    "Value",
]

VERSION = 1
MESSAGE_SIZE = 504


class Status(enum.IntEnum):
    """``nixel_status``."""

    OK = 0
    NO_SUCH_PROPERTY = 1
    WRONG_TYPE = 2
    OUT_OF_RANGE = 3
    READ_ONLY = 4
    DEVICE_FAILED = 5
    TIMEOUT = 6
    OUT_OF_MEMORY = 7


class Tag(enum.IntEnum):
    """``nixel_tag``."""

    INT64 = 1
    FLOAT64 = 2
    BOOL = 3
    STRING = 4
    BYTES = 5


class Flag(enum.IntFlag):
    """``nixel_property.flags``."""

    READ_ONLY = 1
    LIMITED = 2


class Span(ctypes.Structure):
    """``nixel_span``."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_uint64))


class Payload(ctypes.Union):
    """``nixel_value.as``; `span` is both its string and its bytes."""

    _fields_ = (
        ("int64", ctypes.c_int64),
        ("float64", ctypes.c_double),
        ("boolean", ctypes.c_uint8),
        ("span", Span),
    )


class Value(ctypes.Structure):
    """``nixel_value``."""

    _fields_ = (("tag", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("payload", Payload))


class Error(ctypes.Structure):
    """``nixel_error``. The message is an array of bytes, because a plugin may forget its NUL."""

    _fields_ = (
        ("status", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
        ("message", ctypes.c_uint8 * MESSAGE_SIZE),
    )


class Setting(ctypes.Structure):
    """``nixel_setting``."""

    _fields_ = (("name", ctypes.c_char_p), ("value", Value))


class PropertyInfo(ctypes.Structure):
    """``nixel_property``. Its texts are bare pointers, because a plugin may leave them out or not end them."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("unit", ctypes.c_void_p),
        ("description", ctypes.c_void_p),
        ("tag", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("minimum", ctypes.c_double),
        ("maximum", ctypes.c_double),
    )


_Device = ctypes.c_void_p
_Status = ctypes.c_int32
_Error = ctypes.POINTER(Error)


class DeviceTable(ctypes.Structure):
    """``nixel_device_v1``."""

    _fields_ = (
        ("name", ctypes.CFUNCTYPE(ctypes.c_void_p)),
        (
            "open",
            ctypes.CFUNCTYPE(
                _Status, ctypes.POINTER(Setting), ctypes.c_uint64, ctypes.POINTER(_Device), _Error
            ),
        ),
        ("free", ctypes.CFUNCTYPE(None, _Device)),
        ("property_count", ctypes.CFUNCTYPE(ctypes.c_uint64, _Device)),
        (
            "property",
            ctypes.CFUNCTYPE(_Status, _Device, ctypes.c_uint64, ctypes.POINTER(PropertyInfo), _Error),
        ),
        ("get", ctypes.CFUNCTYPE(_Status, _Device, ctypes.c_char_p, ctypes.POINTER(Value), _Error)),
        ("set", ctypes.CFUNCTYPE(_Status, _Device, ctypes.c_char_p, ctypes.POINTER(Value), _Error)),
    )
