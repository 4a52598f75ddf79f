"""A SCPI connection over TCP: one line out, one line back."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from nixel.acquisition.devices import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

__all__ = ["ScpiConnection", "connect"]

_CHECK = "Check that the device is on and that no firewall is between."
_LONGEST_ANSWER = 4096


def connect(address: str, timeout: float, where: str) -> socket.socket:
    """Open a TCP connection.

    Parameters
    ----------
    address : str
        ``HOST:PORT``.
    timeout : float
        Of this and every later operation on it, in s.
    where : str
        What the error calls the device.

    Raises
    ------
    DeviceError
        It cannot be reached.
    """
    host, _, port = address.rpartition(":")
    try:
        connection = socket.create_connection((host, int(port)), timeout)
    except OSError as error:
        found = error.strerror or str(error) or type(error).__name__
        raise DeviceError(
            "connecting", where=where, expected="a listener", found=found, remedy=_CHECK
        ) from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class ScpiConnection:
    """One control connection, shared by the devices behind it and by threads.

    Parameters
    ----------
    address : str
        ``HOST:PORT``.
    timeout : float
        For each answer, in s.
    name : str
        The device's name, for errors.
    """

    def __init__(self, address: str, timeout: float, name: str) -> None:
        self.where = f"{name} at {address}"
        self._address, self._timeout = address, timeout
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._received = b""

    def open(self) -> None:
        """Connect and hear the device answer.

        Raises
        ------
        DeviceError
            It cannot be reached or does not speak SCPI.
        """
        self._received = b""
        self._socket = connect(self._address, self._timeout, self.where)
        try:
            self.identity = self.query("*IDN?")
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> ScpiConnection:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query(self, command: str, meanwhile: Callable[[], None] | None = None) -> str:
        """Send a command and return its answer.

        Parameters
        ----------
        command : str
        meanwhile : callable, optional
            Called when the command is out and its answer not yet in.

        Returns
        -------
        str

        Raises
        ------
        DeviceError
            There is no answer in time, or the device refuses; the error holds the device's own words.
        """
        with self._lock:
            (answer,) = self._exchange(command, meanwhile)
            if not answer.startswith("ERROR "):
                return answer
            (refusal,) = self._exchange("SYSTem:ERRor?")
        raise self._refused(command, refusal)

    def command(self, command: str, meanwhile: Callable[[], None] | None = None) -> None:
        """Send a command that answers ``0``; see `query`.

        Raises
        ------
        DeviceError
            As `query`, or another answer came.
        """
        answer = self.query(command, meanwhile)
        if answer != "0":
            raise self._wrong(command, "0", answer)

    def together(self, commands: Sequence[str]) -> list[str]:
        """Send commands at once and return their answers, which takes about as long as one of them.

        Raises
        ------
        DeviceError
            As `query`, of the first that is refused; those after it have been executed all the same.
        """
        with self._lock:
            answers = self._exchange("\n".join(commands), count=len(commands))
            refused = [n for n, answer in enumerate(answers) if answer.startswith("ERROR ")]
            if not refused:
                return answers
            refusals = [self._exchange("SYSTem:ERRor?")[0] for _ in refused]
        raise self._refused(commands[refused[0]], refusals[0])

    def number(self, command: str) -> float:
        """Send a query and return the number that it answers."""
        answer = self.query(command)
        try:
            return float(answer)
        except ValueError:
            raise self._wrong(command, "a number", answer) from None

    def last_error(self) -> str:
        """Return the oldest error in the device's queue, in its own words."""
        return self.query("SYSTem:ERRor?")

    def _refused(self, command: str, refusal: str) -> DeviceError:
        return DeviceError(
            command,
            where=self.where,
            expected="the command to be accepted",
            found=refusal,
            remedy="The device said so itself; nothing was changed.",
        )

    def _wrong(self, command: str, expected: str, found: str) -> DeviceError:
        remedy = "Check that the address belongs to this kind of device."
        return DeviceError(command, where=self.where, expected=expected, found=repr(found), remedy=remedy)

    def _exchange(
        self, command: str, meanwhile: Callable[[], None] | None = None, count: int = 1
    ) -> list[str]:
        """Send what may be several lines, and return as many answers."""
        if self._socket is None:
            raise DeviceError(
                command, where=self.where, expected="an open connection", found="a closed one", remedy=_CHECK
            )
        answers: list[str] = []
        try:
            self._socket.sendall(command.encode("ascii") + b"\n")
            if meanwhile is not None:
                meanwhile()
            while len(answers) < count:
                while b"\n" not in self._received:
                    part = self._socket.recv(_LONGEST_ANSWER)
                    if not part:
                        raise ConnectionResetError("the connection was closed")
                    self._received += part
                    if len(self._received) > _LONGEST_ANSWER * count:
                        raise self._wrong(command, "one line", f"{len(self._received)} bytes without an end")
                line, _, self._received = self._received.partition(b"\n")
                answers.append(line.decode("ascii", "replace").strip())
        except OSError as error:
            # What comes late would be taken for the answer to the next command.
            self.close()
            found = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            expected = f"an answer within {self._timeout:g} s"
            raise DeviceError(
                command, where=self.where, expected=expected, found=found, remedy=_CHECK
            ) from error
        return answers
