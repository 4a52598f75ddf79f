"""The sample stream between a data-acquisition server and its client.

On accepting a data connection the server sends one ASCII line, ``DATA <id>``, with which the control
connection names it (``RP:ADC:DATa:CONNection <id>``). Every chunk is a header and, if it has samples, their
ADC codes: little endian int16, the receive channels of one instant side by side.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

__all__ = ["HEADER_SIZE", "ChunkHeader", "Status", "WireError"]

_HEADER = struct.Struct("<4sHHQIIIi")
_MAGIC = b"NXS1"
HEADER_SIZE = _HEADER.size


class WireError(ValueError):
    """Bytes that are not what the wire's description says."""


class Status(IntFlag):
    """What a chunk's header says beside its counters."""

    OK = 0
    OVERLOAD = 1  # a code reached the end of the converter's range
    LAST = 2  # the request is served whole
    ENDED = 4  # the transmission ended before the request was served; no sample follows


_KNOWN = int(Status.OVERLOAD | Status.LAST | Status.ENDED)


@dataclass(frozen=True)
class ChunkHeader:
    """What precedes the samples of one chunk.

    Parameters
    ----------
    status : Status
    channels : int
        Receive channels.
    first : int
        Index of the first sample since the acquisition's start.
    samples : int
        Instants that follow.
    lost, overwritten : int
        Instants that never reached the buffer, or were overwritten before they were read, since the
        acquisition's start.
    error : int
        SCPI error number that ended the transmission; 0 otherwise.
    """

    status: Status
    channels: int
    first: int
    samples: int
    lost: int = 0
    overwritten: int = 0
    error: int = 0

    @property
    def payload(self) -> int:
        """Bytes that follow."""
        return 2 * self.channels * self.samples

    def pack(self) -> bytes:
        """Return the header's bytes."""
        return _HEADER.pack(
            _MAGIC,
            self.status,
            self.channels,
            self.first,
            self.samples,
            self.lost,
            self.overwritten,
            self.error,
        )

    @classmethod
    def unpack(cls, data: bytes) -> ChunkHeader:
        """Read a header.

        Raises
        ------
        WireError
            The bytes are not a header.
        """
        if len(data) != HEADER_SIZE or data[:4] != _MAGIC:
            raise WireError(f"expected a chunk header beginning with {_MAGIC!r}, found {data[:8]!r}")
        _, status, channels, first, samples, lost, overwritten, error = _HEADER.unpack(data)
        if status & ~_KNOWN:
            raise WireError(f"expected a status of the bits {_KNOWN:#x}, found {status:#x}")
        return cls(Status(status), channels, first, samples, lost, overwritten, error)
