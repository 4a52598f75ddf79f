"""The wire of the virtual microscope: a camera in the manner of V4L2, with the light and the stage beside it.

A Unix stream socket. What a client sends is one line of JSON for each request::

    {"op": "info"}                                              what there is
    {"op": "format", "format": "SRGGB10P", "rows": 2464, "columns": 3280}
    {"op": "get", "control": "exposure"}
    {"op": "set", "control": "exposure", "value": 0.002}
    {"op": "start", "buffers": 8}                               the count begins at zero
    {"op": "queue"}                                             gives a buffer back; has no reply
    {"op": "stop"}

What it receives are messages, each a header and a payload of the size that it says (`Header`, little endian). The
payload of a reply is JSON: ``{"ok": {...}}``, or ``{"error": "EBUSY", "text": "..."}`` with the kernel's name for what
is wrong; replies come in the order of the requests. The payload of a frame is its raw bytes, as the format's reply
said. A frame takes a buffer of the client's; one that finds none is lost, and the count goes on. `Header.lost` says how
many were.

Controls (SI units): ``exposure``, ``gain``, ``rate`` of the camera, which belong to the client that streams; ``light``,
the source's own switch, ``distance`` from the sample to the sensor and ``sample`` (``particles`` or ``empty``), which
anybody may set; ``lit`` says whether light falls on the sample: its switch is on and its relay, which the safety
daemon holds, has power. A ``set`` is answered when frames that begin from then on are as it says.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["HEADER_SIZE", "LONGEST_REQUEST", "Header", "Kind", "WireError"]

_HEADER = struct.Struct("<4sHHIQdQ")
_MAGIC = b"NXC1"
HEADER_SIZE = _HEADER.size
LONGEST_REQUEST = 4096


class WireError(ValueError):
    """Bytes that are not what the wire's description says."""


class Kind(IntEnum):
    """What a message is."""

    REPLY = 1
    FRAME = 2


@dataclass(frozen=True)
class Header:
    """What precedes a payload.

    Parameters
    ----------
    kind : Kind
    size : int
        Bytes that follow.
    sequence : int
        The camera's own count of a frame since its start.
    time : float
        When a frame's exposure began, by the machine's monotonic clock, in s.
    lost : int
        Frames since the start that found no buffer.
    """

    kind: Kind
    size: int
    sequence: int = 0
    time: float = 0.0
    lost: int = 0

    def pack(self) -> bytes:
        """Return the header's bytes."""
        return _HEADER.pack(_MAGIC, self.kind, 0, self.size, self.sequence, self.time, self.lost)

    @classmethod
    def unpack(cls, data: bytes | bytearray) -> Header:
        """Read a header.

        Raises
        ------
        WireError
            The bytes are not a header.
        """
        if len(data) != HEADER_SIZE or data[:4] != _MAGIC:
            raise WireError(f"expected a header beginning with {_MAGIC!r}, found {bytes(data[:8])!r}")
        _, kind, _, size, sequence, time, lost = _HEADER.unpack(data)
        try:
            return cls(Kind(kind), size, sequence, time, lost)
        except ValueError as error:
            raise WireError(f"expected a reply or a frame, found a message of kind {kind}") from error
