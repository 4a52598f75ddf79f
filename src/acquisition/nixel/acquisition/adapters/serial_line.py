"""A serial line that carries lines of text, one out and one back: what an adapter for a serial device is built on.

Liveness comes from replies. A write to a line that has been unplugged succeeds, so nothing here counts as done until
the device has said so. What breaks the order of question and answer (silence, a broken line, bytes that are no text)
closes the line, because what comes late would be taken for the answer to the next question. It is opened again by
`SerialConnection.open` alone, which asks for it; never by itself.
"""

from __future__ import annotations

import contextlib
import errno
import select
import threading
import time
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from nixel.acquisition.devices import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    import serial

__all__ = ["DevicePath", "SerialConnection"]

_PLUG = "Check that the device is plugged in and on, and open it again."
_LONGEST_LINE = 4096  # bytes
_QUIET = 0.05  # s without a byte after which nothing of an earlier conversation is on its way
_RESTLESS = 2.0  # s that a device may talk unasked when it is opened
_MANY_WAITS = 30  # times its time limit that a line may be taken by another thread


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError('expected an absolute path, such as "/dev/serial/by-id/usb-..."')
    return text


DevicePath = Annotated[str, AfterValidator(_absolute)]
"""Of a serial device in an instrument file. Those below ``/dev/serial/by-id`` stay when others are plugged in."""


class SerialConnection:
    """One serial line, shared by threads.

    Parameters
    ----------
    path : str
        Such as ``/dev/serial/by-id/usb-...``; the same one comes back when the device is plugged in again.
    name : str
        The device's name, for errors.
    baudrate : int
        With eight data bits, no parity and one stop bit.
    timeout : float
        For each answer, in s.
    ending : str
        Of the lines that are sent. Those that come end with a line feed; a carriage return before it is dropped.
    """

    def __init__(
        self, path: str, name: str, *, baudrate: int = 115200, timeout: float = 1.0, ending: str = "\n"
    ) -> None:
        self.path, self.where, self.timeout = path, f"{name} at {path}", timeout
        self._baudrate, self._ending = baudrate, ending
        self._lock = threading.RLock()
        self._port: serial.Serial | None = None
        self._received = b""

    @property
    def is_open(self) -> bool:
        """Whether it can be used; a line that broke is not open any more."""
        return self._port is not None

    def open(self) -> None:
        """Open the line for ourselves alone, and forget what was said on it before; closes it first if it is open.

        That the line opens says nothing about the device: ask it something next.

        Raises
        ------
        DeviceError
            It cannot be opened, is in use, or does not fall silent.
        """
        import serial  # here, so that who has no serial device does not load it

        with self._taken("opening"):
            self._drop()
            try:
                self._port = serial.Serial(
                    self.path, self._baudrate, timeout=0, write_timeout=self.timeout, exclusive=True
                )
            except (OSError, ValueError) as error:
                raise self._error("opening", "a serial line", _reason(error), _PLUG) from error
            with self._broken("opening"):
                self._wait_for_silence()

    def close(self) -> None:
        """Close the line; does nothing when it is closed."""
        with self._taken("closing"):
            self._drop()

    def __enter__(self) -> SerialConnection:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query(self, text: str, timeout: float | None = None) -> str:
        """Send a line and return the next that comes; what came before it was asked is dropped.

        Parameters
        ----------
        text : str
        timeout : float, optional
            Instead of the line's own, in s.

        Returns
        -------
        str
            Without its end.

        Raises
        ------
        DeviceError
            The line is closed, or there is no whole line in time, or it is no text; it is closed then.
        """
        with self.conversation(text):
            with self._broken(text):
                self._receive(0.0)
            self._received = b""
            self.send(text)
            return self.line(text, timeout)

    @contextlib.contextmanager
    def conversation(self, what: str) -> Iterator[None]:
        """Keep the line for ourselves within the block, for answers of more or fewer lines than one.

        Parameters
        ----------
        what : str
            What is being done, for errors.

        Raises
        ------
        DeviceError
            The line is closed, or another thread has kept it for too long.
        """
        with self._taken(what):
            if self._port is None:
                raise self._error(what, "an open line", "a closed one", _PLUG)
            yield

    def send(self, text: str) -> None:
        """Send a line.

        Raises
        ------
        DeviceError
            It cannot be written; the line is closed then.
        """
        self.send_now(text.encode("ascii") + self._ending.encode("ascii"), text)

    def send_now(self, data: bytes, what: str) -> None:
        """Send bytes as they are, even while another thread is in a conversation.

        Raises
        ------
        DeviceError
            They cannot be written; the line is closed then.
        """
        port = self._port
        if port is None:
            raise self._error(what, "an open line", "a closed one", _PLUG)
        with self._broken(what):
            port.write(data)

    def line(self, what: str, timeout: float | None = None) -> str:
        """Return the next line; for use in a `conversation`.

        Parameters
        ----------
        what : str
            What it is the answer to, for errors.
        timeout : float, optional
            Instead of the line's own, in s.

        Raises
        ------
        DeviceError
            There is no whole line in time, or it is no text; the line is closed then.
        """
        found = self.line_if_any(what, self.timeout if timeout is None else timeout)
        if found is None:
            limit = self.timeout if timeout is None else timeout
            rest = f"only {self._received[:80]!r}, without an end" if self._received else "no answer"
            self._drop()
            raise self._error(what, f"an answer within {limit:g} s", rest, _PLUG)
        return found

    def line_if_any(self, what: str, timeout: float) -> str | None:
        """Return the next line, or None if there is no whole one in time; for use in a `conversation`.

        Raises
        ------
        DeviceError
            The line broke, or what came is no text; the line is closed then.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            left = deadline - time.monotonic()
            with self._broken(what):
                if not self._receive(max(0.0, left)) and left <= 0:
                    return None
            if len(self._received) > _LONGEST_LINE:
                found = f"{len(self._received)} bytes without an end"
                self._drop()
                raise self._error(what, "a line", found, "Check the baud rate, and open it again.")
        line, _, self._received = self._received.partition(b"\n")
        text = line.removesuffix(b"\r").decode("ascii", "replace")
        if not (text.isprintable() and text.isascii()):
            self._drop()
            raise self._error(
                what, "a line of text", repr(line[:80]), "Check cable and baud rate, and open it again."
            )
        return text

    def wrong(self, what: str, expected: str, found: str, remedy: str = "") -> DeviceError:
        """Make the error for an answer that is none; the line stays open.

        Parameters
        ----------
        what, expected, found, remedy : str
            As of `DeviceError`.
        """
        return self._error(
            what, expected, found, remedy or "Check that the path belongs to this kind of device."
        )

    @contextlib.contextmanager
    def _taken(self, what: str) -> Iterator[None]:
        limit = _MANY_WAITS * self.timeout
        if not self._lock.acquire(timeout=limit):
            found = f"one that another thread has kept for {limit:g} s"
            raise self._error(what, "a free line", found, "Stop what else uses the device.")
        try:
            yield
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _broken(self, what: str) -> Iterator[None]:
        # pyserial's own errors are OSErrors too; a port that another thread has closed gives a TypeError.
        try:
            yield
        except (OSError, TypeError, ValueError) as error:
            self._drop()
            raise self._error(what, "a line that is plugged in", _reason(error), _PLUG) from error

    def _receive(self, timeout: float) -> bool:
        """Take what has come, waiting for it if nothing has; whether anything came."""
        port = self._port
        if port is None:
            raise ConnectionResetError(104, "the line was closed meanwhile")
        if not select.select([port.fileno()], [], [], timeout)[0]:
            return False
        data = port.read(_LONGEST_LINE)
        if not data:
            raise ConnectionResetError(104, "the line closed; is it unplugged?")
        self._received += data
        return True

    def _wait_for_silence(self) -> None:
        deadline = time.monotonic() + _RESTLESS
        while self._receive(_QUIET):
            self._received = b""
            if time.monotonic() > deadline:
                raise ConnectionResetError(104, f"a device that has talked for {_RESTLESS:g} s unasked")

    def _drop(self) -> None:
        port, self._port, self._received = self._port, None, b""
        if port is not None:
            with contextlib.suppress(OSError):
                port.close()

    def _error(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=remedy)


def _reason(error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EAGAIN:
        return "one that another program has open"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # pyserial puts the address and the number of an error around its reason.
    if "[Errno " in text:
        text = text.partition("] ")[2].partition(": '")[0]
    return text.rstrip(".'")
