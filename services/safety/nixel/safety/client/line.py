"""A client's connection to the safety daemon."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from nixel.safety.client.answers import SafetyRefused, SafetyUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_INTERFACE = "io.nixel.Safety"


class Line:
    """A connection to the daemon on which calls are answered one after the other.

    Parameters
    ----------
    path
        The daemon's socket.
    timeout
        How long connecting, and each answer, may take [s].

    Raises
    ------
    SafetyUnavailable
        If no daemon listens there.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self._received = b""
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(timeout)
        try:
            _connect(self._socket, path, timeout)
        except OSError as error:
            self._socket.close()
            why = error.strerror or str(error)
            how = "start it with: nixel-safetyd --instrument FILE --socket PATH"
            msg = f"no safety daemon answers at {path} ({why}); {how}"
            raise SafetyUnavailable(msg) from error

    def call(self, method: str, **parameters: Any) -> Mapping[str, Any]:  # noqa: ANN401  JSON
        """Call a method and wait for its answer; threads take turns.

        Parameters
        ----------
        method
            Of io.nixel.Safety, without the interface.
        **parameters
            As the interface describes them.

        Returns
        -------
        Mapping
            The parameters of the answer.

        Raises
        ------
        SafetyRefused
            If the answer is an error.
        SafetyUnavailable
            If there is none.
        """
        with self._lock:
            self.send(method, parameters)
            return self.receive()

    def send(self, method: str, parameters: Mapping[str, Any], more: bool = False) -> None:
        """Send a call.

        Parameters
        ----------
        method, parameters
            As for `call`.
        more
            Whether several answers are wanted.

        Raises
        ------
        SafetyUnavailable
            If the daemon has gone.
        """
        message: dict[str, Any] = {"method": f"{_INTERFACE}.{method}", "parameters": parameters}
        if more:
            message["more"] = True
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise self._gone(error) from error

    def receive(self) -> Mapping[str, Any]:
        """Wait for the next answer.

        Returns
        -------
        Mapping
            Its parameters.

        Raises
        ------
        SafetyRefused
            If it is an error.
        SafetyUnavailable
            If there is none, or none that a safety daemon would give.
        """
        while b"\0" not in self._received:
            try:
                data = self._socket.recv(65536)
            except OSError as error:
                raise self._gone(error) from error
            if not data:
                raise self._gone(None)
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        try:
            answer = json.loads(message)
            refusal, parameters = answer.get("error"), answer.get("parameters") or {}
        except (ValueError, AttributeError) as wrong:
            msg = f"what answers at {self.path} is not a safety daemon; name its socket"
            raise SafetyUnavailable(msg) from wrong
        if refusal is not None:
            raise SafetyRefused(_sentence(refusal, parameters))
        found: Mapping[str, Any] = parameters
        return found

    def close(self) -> None:
        """Close the connection; a thread that waits for an answer gets `SafetyUnavailable`."""
        # Shut down first: that wakes a thread which is reading.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _gone(self, error: OSError | None) -> SafetyUnavailable:
        if isinstance(error, TimeoutError):
            return SafetyUnavailable(f"the safety daemon at {self.path} does not answer; look at its log")
        return SafetyUnavailable(
            f"the safety daemon at {self.path} has closed the connection; is it still running?"
        )


def _sentence(error: str, parameters: Mapping[str, Any]) -> str:
    if "message" in parameters:
        return str(parameters["message"])
    if error.endswith(".InvalidParameter"):
        wanted = "a text has 1 to 200 printable characters, a duration is in whole milliseconds"
        return f"the safety daemon does not take this {parameters.get('parameter')}; {wanted}"
    return f"the safety daemon answers {error} ({dict(parameters)}); it may be of another version"


def _connect(sock: socket.socket, path: str, timeout: float) -> None:
    """Connect, waiting for a daemon that has more callers at its door than fit: Linux says so at once."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.005)
        else:
            return
