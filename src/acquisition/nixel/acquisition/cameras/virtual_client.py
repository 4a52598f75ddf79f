"""A client of the virtual microscope's wire, see `nixel.acquisition.cameras.wire`."""

from __future__ import annotations

import collections
import contextlib
import json
import socket
import threading
import time
from typing import Any, NamedTuple

from nixel.acquisition.cameras.wire import HEADER_SIZE, Header, Kind, WireError
from nixel.acquisition.devices import DeviceError

__all__ = ["Received", "VirtualMicroscope"]

_PREPARING = 120.0  # s; what the simulation may take for a hologram on a busy machine
_LEAVING = 2.0  # s; for it to end what a connection left running
_REMEDY = "Start nixel-virtual-microscope, or name its socket in the instrument file."
_SIMULATED = "Check the instrument file against what the virtual microscope has."


class Received(NamedTuple):
    """A frame as it came."""

    header: Header
    data: bytearray


class VirtualMicroscope:
    """A connection; its methods may be called from any thread.

    Parameters
    ----------
    path : str
        The socket.
    where : str
        What errors call the device.
    """

    def __init__(self, path: str, where: str) -> None:
        self._path, self._where = path, where
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._frames: collections.deque[Received] = collections.deque()
        # Of a message that has begun to come: how much of it is there.
        self._header: Header | None = None
        self._buffer, self._filled = bytearray(HEADER_SIZE), 0

    def open(self) -> None:
        """Connect.

        Raises
        ------
        DeviceError
            Nobody listens.
        """
        with self._lock:
            self.close()
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                connection.settimeout(5.0)
                connection.connect(self._path)
            except OSError as error:
                connection.close()
                found = error.strerror or str(error)
                raise self._error("connecting", "a virtual microscope", found, _REMEDY) from error
            self._socket = connection

    def close(self) -> None:
        """Disconnect, and wait until the microscope has ended what this connection left running."""
        with self._lock:
            if self._socket is not None:
                _hang_up(self._socket)
                self._socket = None
            self._frames.clear()
            self._header, self._buffer, self._filled = None, bytearray(HEADER_SIZE), 0

    def request(self, op: str, **parameters: object) -> dict[str, Any]:
        """Ask for something; return the reply.

        Raises
        ------
        DeviceError
            It is refused, with the microscope's own words, or the connection broke.
        """
        what = " ".join([op, *(str(value) for value in parameters.values())])
        with self._lock:
            self._send({"op": op, **parameters}, what)
            deadline = time.monotonic() + _PREPARING
            while True:
                received = self._receive(deadline, what)
                if received is None:
                    self.close()
                    raise self._error(what, f"an answer within {_PREPARING:g} s", "silence", _REMEDY)
                if received.header.kind is Kind.FRAME:
                    self._frames.append(received)
                    continue
                reply = json.loads(bytes(received.data))
                if "ok" in reply:
                    return dict(reply["ok"])
                raise self._error(what, "what the virtual microscope has", str(reply.get("text")), _SIMULATED)

    def give_back(self) -> None:
        """Give a buffer back to the camera."""
        with self._lock:
            self._send({"op": "queue"}, "queue")

    def frame(self, timeout: float) -> Received | None:
        """Return the next frame; `None` if none comes in so many seconds."""
        deadline = time.monotonic() + timeout
        with self._lock:
            if self._frames:
                return self._frames.popleft()
            return self._receive(deadline, "reading a frame")

    def discard(self) -> None:
        """Forget the frames that came and were not asked for."""
        with self._lock:
            self._frames.clear()

    def _send(self, request: dict[str, Any], what: str) -> None:
        if self._socket is None:
            raise self._error(what, "an open connection", "a closed one", "Open it.")
        try:
            self._socket.settimeout(5.0)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            self.close()
            raise self._error(
                what, "a connection that lasts", error.strerror or str(error), _REMEDY
            ) from error

    def _receive(self, deadline: float, what: str) -> Received | None:
        """Go on with the message that is coming; `None` if it is not whole in time."""
        while True:
            if self._socket is None:
                raise self._error(what, "an open connection", "a closed one", "Open it.")
            while self._filled < len(self._buffer):
                self._socket.settimeout(max(1e-3, deadline - time.monotonic()))
                try:
                    count = self._socket.recv_into(memoryview(self._buffer)[self._filled :])
                except TimeoutError:
                    return None
                except OSError as error:
                    self.close()
                    found = error.strerror or str(error)
                    raise self._error(what, "a connection that lasts", found, _REMEDY) from error
                if not count:
                    self.close()
                    raise self._error(what, "a connection that lasts", "one that was closed", _REMEDY)
                self._filled += count
            if self._header is None:
                try:
                    self._header = Header.unpack(self._buffer)
                except WireError as error:
                    self.close()
                    raise self._error(what, "a message", str(error), _REMEDY) from error
                self._buffer, self._filled = bytearray(self._header.size), 0
                continue
            received = Received(self._header, self._buffer)
            self._header, self._buffer, self._filled = None, bytearray(HEADER_SIZE), 0
            return received

    def _error(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(what, where=self._where, expected=expected, found=found, remedy=remedy)


def _hang_up(connection: socket.socket) -> None:
    """Close a connection, and come back when the other side has, too, unless that takes too long."""
    deadline = time.monotonic() + _LEAVING
    with connection, contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(1 << 16):
                return
