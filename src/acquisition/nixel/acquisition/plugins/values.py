"""Values across the boundary to a plugin: copied both ways, and never believed. Standard library only."""

from __future__ import annotations

import ctypes
from typing import Any

from nixel.acquisition.plugins.abi import MESSAGE_SIZE, Error, Payload, Span, Tag, Value
from nixel.acquisition.workers.serve import Refusal

__all__ = ["LARGEST", "broken", "from_c", "message_of", "tag_of", "text_at", "to_c"]

LARGEST = 64 << 20  # bytes of a string or bytes that a plugin may return
_LONGEST_TEXT = 4096  # bytes of a name, unit or description
_strnlen = ctypes.CDLL(None).strnlen
_strnlen.restype, _strnlen.argtypes = ctypes.c_size_t, [ctypes.c_void_p, ctypes.c_size_t]


def broken(found: str) -> Refusal:
    """What is said of a plugin that does not do as the header says."""
    return Refusal("plugin", found)


def tag_of(value: object) -> Tag:
    """The type of a value of Python's."""
    for kind, tag in (
        (bool, Tag.BOOL),
        (int, Tag.INT64),
        (float, Tag.FLOAT64),
        (str, Tag.STRING),
        (bytes, Tag.BYTES),
    ):
        if isinstance(value, kind):
            return tag
    raise TypeError(f"a plugin knows no values of the type {type(value).__name__}")


def to_c(value: Any) -> tuple[Value, object]:  # noqa: ANN401
    """Return a value for a plugin, and what must be kept alive during the call.

    Raises
    ------
    Refusal
        An integer that 64 bits do not hold, or a text that UTF-8 does not.
    """
    tag, kept = tag_of(value), None
    if tag is Tag.INT64:
        if not -(2**63) <= value < 2**63:
            raise Refusal("OUT_OF_RANGE", f"expected an integer of 64 bits, found {value}")
        payload = Payload(int64=value)
    elif tag is Tag.FLOAT64:
        payload = Payload(float64=value)
    elif tag is Tag.BOOL:
        payload = Payload(boolean=value)
    else:
        try:
            data = value.encode() if isinstance(value, str) else value
        except UnicodeEncodeError as error:
            raise Refusal("WRONG_TYPE", f"expected a text in Unicode, found {value!r:.100}") from error
        kept = ctypes.create_string_buffer(data, len(data))
        payload = Payload(span=Span(ctypes.addressof(kept) if data else None, len(data)))
    return Value(tag, 0, payload), kept


def from_c(value: Value, expected: int, what: str) -> Any:  # noqa: ANN401
    """Return a copy of a value of a plugin's.

    Parameters
    ----------
    value : Value
    expected : int
        The tag that it should have.
    what : str
        For the refusal.

    Raises
    ------
    Refusal
        It has another tag, is a boolean of neither 0 nor 1, a text that is not UTF-8, or has no data.
    """
    if value.tag != expected:
        raise broken(f"{what}: expected {_name(expected)}, found {_name(value.tag)}")
    payload = value.payload
    match value.tag:
        case Tag.INT64:
            return int(payload.int64)
        case Tag.FLOAT64:
            return float(payload.float64)
        case Tag.BOOL:
            if payload.boolean > 1:
                raise broken(f"{what}: expected a bool of 0 or 1, found {payload.boolean}")
            return bool(payload.boolean)
    size, address = payload.span.size, payload.span.data
    if size > LARGEST:
        raise broken(f"{what}: expected at most {LARGEST} bytes, found {size}")
    if size and not address:
        raise broken(f"{what}: expected {size} bytes, found a null pointer")
    data = ctypes.string_at(address, size) if size else b""
    if value.tag == Tag.BYTES:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise broken(f"{what}: expected UTF-8, found {data[error.start : error.start + 8]!r}") from error


def text_at(address: int | None, what: str) -> str:
    """Return a copy of a text of a plugin's that ends with a NUL.

    Raises
    ------
    Refusal
        There is none, it does not end, or is not UTF-8.
    """
    if not address:
        raise broken(f"{what}: expected a text, found a null pointer")
    size = _strnlen(address, _LONGEST_TEXT)
    if size == _LONGEST_TEXT:
        raise broken(f"{what}: expected a NUL within {_LONGEST_TEXT} bytes, found none")
    try:
        return ctypes.string_at(address, size).decode()
    except UnicodeDecodeError as error:
        raise broken(f"{what}: expected UTF-8, found {error.object[:40]!r}") from error


def message_of(error: Error) -> str:
    """What a plugin says went wrong, whatever bytes it wrote."""
    data = bytes(error.message)
    text = data[: data.find(b"\0") % (MESSAGE_SIZE + 1)].decode("utf-8", "replace").strip()
    return text or "the plugin gave no reason"


def _name(tag: int) -> str:
    return Tag(tag).name.lower() if tag in list(Tag) else f"the unknown tag {tag}"
