r"""Messages between a worker process and who started it: JSON with bytes beside it, in frames, nothing executable.

A frame is two little-endian 32-bit sizes, then UTF-8 JSON of the first size, then bytes of the second. In the JSON,
``{"\0bytes": [start, size]}`` stands for so many of those bytes. Standard library only: workers start quickly.
"""

from __future__ import annotations

import json
import struct
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

__all__ = ["LARGEST", "FrameCut", "FrameError", "FrameTooLarge", "receive", "send"]

LARGEST = 256 << 20  # bytes of one message
_HEADER = struct.Struct("<II")
_BYTES = "\0bytes"


class FrameError(RuntimeError):
    """What came is no message: the sender is broken, or speaks something else."""


class FrameCut(FrameError):  # noqa: N818 (it says what became of the frame)
    """The other side ended within a message."""


class FrameTooLarge(FrameError):  # noqa: N818 (it says what the frame is)
    """A message that cannot be sent; nothing of it was."""


def send(connection: socket.socket, message: Any) -> None:  # noqa: ANN401
    """Send what JSON can say, and bytes (or any contiguous buffer) within it.

    Raises
    ------
    FrameTooLarge
    OSError
        The connection is gone, or its time limit is over.
    """
    blobs: list[memoryview] = []
    size = 0

    def put_aside(value: object) -> dict[str, list[int]]:
        nonlocal size
        blob = memoryview(value).cast("B")  # type: ignore[arg-type]
        blobs.append(blob)
        size += blob.nbytes
        return {_BYTES: [size - blob.nbytes, blob.nbytes]}

    text = json.dumps(message, default=put_aside).encode()
    if len(text) + size > LARGEST:
        raise FrameTooLarge(f"expected a message of at most {LARGEST} bytes, found {len(text) + size}")
    connection.sendall(b"".join((_HEADER.pack(len(text), size), text, *blobs)))


def receive(connection: socket.socket, deadline: float | None = None) -> Any:  # noqa: ANN401
    """Receive a message; None when the other side has closed the connection.

    Parameters
    ----------
    connection : socket
    deadline : float, optional
        By `time.monotonic`; it waits for ever if left out.

    Raises
    ------
    FrameError
        What came is no message.
    FrameCut
        The connection ended within one.
    TimeoutError
        It did not come in time.
    """
    header = _exactly(connection, _HEADER.size, deadline)
    if not header:
        return None
    if len(header) < _HEADER.size:
        raise FrameCut("the connection ended within a message")
    text_size, size = _HEADER.unpack(header)
    if text_size + size > LARGEST:
        raise FrameError(f"expected a message of at most {LARGEST} bytes, found {text_size + size}")
    text = _exactly(connection, text_size, deadline)
    blob = _exactly(connection, size, deadline)
    if len(text) < text_size or len(blob) < size:
        raise FrameCut("the connection ended within a message")

    def put_back(thing: dict[str, Any]) -> Any:  # noqa: ANN401
        if thing.keys() != {_BYTES}:
            return thing
        start, length = map(int, thing[_BYTES])
        if not (start >= 0 <= length <= size - start):
            raise ValueError("bytes that are not there")
        return bytes(blob[start : start + length])

    try:
        return json.loads(bytes(text), object_hook=put_back)
    except (ValueError, TypeError, RecursionError) as error:
        raise FrameError(f"expected a message, found something else ({error})") from error


def _exactly(connection: socket.socket, count: int, deadline: float | None) -> bytearray:
    """So many bytes; none if the connection ends at the first, fewer if it ends later."""
    data = bytearray(count)
    have = 0
    with memoryview(data) as view:
        while have < count:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                connection.settimeout(left)
            try:
                part = connection.recv_into(view[have:])
            except ConnectionResetError:
                part = 0
            if part == 0:
                break
            have += part
    return data[:have]
