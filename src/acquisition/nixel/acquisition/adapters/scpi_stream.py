"""The sample stream of a data-acquisition server: one data connection, as `nixel.acquisition.wire` describes it.

A stream that broke, brought something else than was asked for, or was left before its end cannot be told from the next
one's bytes: the connection is closed then, and opened again by opening the device only.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.adapters.scpi import connect
from nixel.acquisition.devices import Chunk, DeviceError
from nixel.acquisition.wire import HEADER_SIZE, ChunkHeader, Status, WireError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from nixel.acquisition.adapters.scpi import ScpiConnection

__all__ = ["SampleStream"]

_READING = "reading samples"


class SampleStream:
    """One data connection.

    Parameters
    ----------
    control : ScpiConnection
        The control connection that asks for samples.
    address : str
        ``HOST:PORT``.
    timeout : float
        In s, for the greeting, and for each chunk beyond its own duration.
    where : str
        The device and this address, for errors.
    """

    def __init__(self, control: ScpiConnection, address: str, timeout: float, where: str) -> None:
        self._control, self._address, self._timeout, self._where = control, address, timeout, where
        self._socket: socket.socket | None = None
        self._under_way = False
        self._patience = timeout  # s that a chunk may take

    def open(self) -> None:
        """Connect, and name the connection to the control connection.

        Raises
        ------
        DeviceError
            It cannot be reached, or does not greet as a data connection does.
        """
        self._socket, self._under_way = connect(self._address, self._timeout, self._where), False
        self._patience = self._timeout
        try:
            greeting = self._line()
        except DeviceError:
            greeting = ""
        word, _, number = greeting.partition(" ")
        if word != "DATA" or not number.isdigit():
            self.close()
            raise DeviceError(
                "connecting",
                where=self._where,
                expected="the greeting DATA <number>",
                found=f"{greeting!r} of a server that calls itself {self._control.identity!r}"
                if greeting
                else f"none within {self._timeout:g} s, of a server that calls itself {self._control.identity!r}",
                remedy="The RedPitayaDAQServer as it is published does not suffice: docs/daq.md has what it lacks.",
            )
        self._control.command(f"RP:ADC:DATa:CONNection {number}")

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, data: bytes) -> None:
        """Send what a command announced.

        Raises
        ------
        DeviceError
            The connection broke.
        """
        try:
            connection = self._connection("sending a table")
            connection.settimeout(self._timeout)
            connection.sendall(data)
        except OSError as error:
            self.close()
            found = "no progress" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise self._error("sending a table", f"{len(data)} bytes to be taken", found) from error

    def chunks(self, first: int, count: int, chunk: int, channels: int, rate: float) -> Iterator[Chunk]:
        """Ask for samples and give them as they come.

        Parameters
        ----------
        first : int
            Index of the first sample since the acquisition's start.
        count, chunk : int
            Samples in all and at a time.
        channels : int
        rate : float
            Samples a second, in Hz.

        Yields
        ------
        Chunk

        Raises
        ------
        DeviceError
            The transmission ended, the connection broke or stalled, or other samples came than were asked for.
        """
        self._connection(_READING)
        self._control.command(f"RP:ADC:DATa:PIPElined? {first},{count},{chunk}")
        self._under_way, self._patience = True, self._timeout + chunk / rate
        end, lost, overwritten = first + count, 0, 0
        try:
            while first < end:
                header = self._header()
                if header.status & Status.ENDED:
                    self._under_way = False  # nothing follows
                    reason = self._control.last_error()
                    raise self._error(_READING, "the transmission to last", reason)
                self._compare(header, first, min(chunk, end - first), channels)
                if header.lost < lost or header.overwritten < overwritten:
                    raise self._error(
                        _READING,
                        f"counters of at least {lost} lost and {overwritten} overwritten samples, as before",
                        f"{header.lost} and {header.overwritten}",
                    )
                lost, overwritten = header.lost, header.overwritten
                codes = np.frombuffer(self._receive(header.payload), dtype="<i2")
                first += header.samples
                self._under_way = first < end
                yield Chunk(
                    header.first,
                    codes.reshape(header.samples, header.channels),
                    lost,
                    overwritten,
                    bool(header.status & Status.OVERLOAD),
                )
        finally:
            if self._under_way:
                self.close()

    def interrupt(self) -> None:
        """Read what is left of the stream under way, whose transmission has been ended.

        Raises
        ------
        DeviceError
            The connection failed.
        """
        while not (header := self._header()).status & (Status.ENDED | Status.LAST):
            self._receive(header.payload)
        self._receive(header.payload)
        self._under_way = False
        if header.status & Status.ENDED:
            self._control.last_error()  # what it noted about the end is what was asked for

    def _compare(self, header: ChunkHeader, first: int, samples: int, channels: int) -> None:
        if (header.first, header.samples, header.channels) != (first, samples, channels):
            raise self._error(
                _READING,
                f"{samples} samples of {channels} channels from index {first}",
                f"{header.samples} samples of {header.channels} channels from index {header.first}",
            )

    def _header(self) -> ChunkHeader:
        try:
            return ChunkHeader.unpack(self._receive(HEADER_SIZE))
        except WireError as error:
            raise self._error(_READING, "a chunk header", str(error)) from error

    def _connection(self, what: str) -> socket.socket:
        if self._socket is None:
            raise self._error(what, "an open connection", "a closed one")
        return self._socket

    def _receive(self, size: int) -> bytes:
        connection = self._connection(_READING)
        buffer = bytearray(size)
        view, received = memoryview(buffer), 0
        # For the whole of it: a server that sends a byte now and then has stalled too.
        deadline = time.monotonic() + self._patience
        try:
            while received < size:
                connection.settimeout(max(1e-3, deadline - time.monotonic()))
                part = connection.recv_into(view[received:])
                if part == 0:
                    raise ConnectionResetError("the connection was closed")
                received += part
                if received < size and time.monotonic() > deadline:
                    raise TimeoutError
        except OSError as error:
            self.close()
            found = "silence" if isinstance(error, TimeoutError) else error.strerror or str(error)
            found = f"{received} bytes, then {found}"
            expected = f"{size} bytes within {self._patience:.3g} s"
            raise self._error(_READING, expected, found) from error
        return bytes(buffer)

    def _line(self) -> str:
        line = b""
        while not line.endswith(b"\n") and len(line) < 64:
            line += self._receive(1)
        return line.decode("ascii", "replace").strip()

    def _error(self, what: str, expected: str, found: str) -> DeviceError:
        remedy = "Check the device and its connection, then start anew."
        return DeviceError(what, where=self._where, expected=expected, found=found, remedy=remedy)
