"""A conversation with a Grbl 1.1 controller: commands, real-time characters, and what it says unasked."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from nixel.acquisition.adapters.grbl_dialect import alarm_text, error_text, parse_setting, parse_status
from nixel.acquisition.adapters.serial_line import SerialConnection
from nixel.acquisition.devices import DeviceError

if TYPE_CHECKING:
    from nixel.acquisition.adapters.grbl_dialect import Status

__all__ = ["GrblConnection"]

_BOOT = 4.0  # s: an Arduino restarts when its port is opened, and its boot loader waits first
_STOP = 2.0  # s that a feed hold may take
_RESET = b"\x18"
_POLL = 0.02
_QUIET = 0.3  # s without a line after which a controller that was reset has said all


class GrblConnection:
    """One controller, shared by threads.

    Parameters
    ----------
    path, name : str
    baudrate : int
    timeout : float
        For each answer, in s.
    """

    def __init__(self, path: str, name: str, baudrate: int, timeout: float) -> None:
        self._line = SerialConnection(path, name, baudrate=baudrate, timeout=timeout)
        self.where, self._timeout, self.version = self._line.where, timeout, ""
        self._homing, self._starting = False, threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._line.is_open

    def open(self) -> None:
        """Open the line, wait for the controller if it restarts, and see that it is a Grbl 1.1.

        Raises
        ------
        DeviceError
        """
        self._line.open()
        try:
            self._wake()
            self.version = next((line for line in self._ask("$I") if line.startswith("[VER:")), "")
            if not self.version.startswith("[VER:1.1"):
                found = self.version or "none"
                raise self._line.wrong("opening", "a controller of version 1.1", found)
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        self._line.close()

    def status(self) -> Status:
        """Ask for a status report.

        Raises
        ------
        DeviceError
            There is none, it makes no sense, or the controller has stopped by an alarm.
        """
        with self._line.conversation("?"):
            self._line.send_now(b"?", "?")
            deadline = time.monotonic() + self._timeout
            while True:
                line = self._line.line("?", max(0.0, deadline - time.monotonic()))
                if line.startswith("<"):
                    return self._status(line)
                self._heed(line, "?")

    def command(self, text: str, timeout: float | None = None) -> None:
        """Send a line and hear that it is accepted.

        Parameters
        ----------
        text : str
        timeout : float, optional
            Instead of the usual, in s.

        Raises
        ------
        DeviceError
            It is refused, with the meaning of the controller's number, or an alarm stops it.
        """
        self._ask(text, timeout)

    def settings(self) -> dict[int, float]:
        """Return the controller's settings by number, freshly read."""
        found = {}
        for line in self._ask("$$"):
            try:
                number, value = parse_setting(line)
            except ValueError as error:
                raise self._line.wrong("$$", str(error).removeprefix("expected "), repr(line)) from None
            found[number] = value
        return found

    def home(self, timeout: float) -> None:
        """Run the homing cycle, during which the controller answers nothing else.

        Raises
        ------
        DeviceError
            It fails; after too long a time it is reset.
        """
        with contextlib.ExitStack() as stack:
            with self._starting:
                stack.enter_context(self._line.conversation("homing"))
                self._line.send("$H")
                self._homing = True
            try:
                deadline = time.monotonic() + timeout
                while (
                    line := self._line.line_if_any("homing", max(0.0, deadline - time.monotonic()))
                ) != "ok":
                    if line is None:
                        self._line.send_now(_RESET, "homing")
                        self._welcomed("homing")
                        found = "that it took longer, and was reset"
                        raise self._line.wrong(
                            "homing", f"an end within {timeout:g} s", found, "Look at the switches."
                        )
                    self._heed(line, "homing")
            finally:
                self._homing = False

    def halt(self) -> None:
        """Stop, and forget what was asked for.

        Raises
        ------
        DeviceError
        """
        with self._starting:
            homing = self._homing
            if homing:
                # It hears nothing else now. Whoever waits for the homing to end is told of the alarm.
                self._line.send_now(_RESET, "halting")
        if homing:
            with self._line.conversation("halting"):
                # If the homing had ended just before, nobody has heard the controller start anew.
                while self._line.line_if_any("halting", _QUIET) is not None:
                    pass
            return
        deadline = time.monotonic() + _STOP
        self._line.send_now(b"!", "halting")
        # Without a hold first a reset would lose the position.
        while not self.status().stopped:
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        with self._line.conversation("halting"):
            self._line.send_now(_RESET, "halting")
            self._welcomed("halting")

    def hold(self) -> None:
        """Pause what moves, and see it pausing."""
        self._line.send_now(b"!", "holding")
        self._become("holding", ("Hold",))

    def resume(self) -> None:
        """Go on, and see it going on."""
        self._line.send_now(b"~", "resuming")
        self._become("resuming", ("Run", "Idle"))

    def _become(self, what: str, states: tuple[str, ...]) -> None:
        deadline = time.monotonic() + _STOP
        while (status := self.status()).state not in states:
            if time.monotonic() > deadline:
                raise self._line.wrong(
                    what, " or ".join(states), f"the state {status.state}", "Look at the stage."
                )
            time.sleep(_POLL)

    def _wake(self) -> None:
        """Hear a status report, from a controller that may be restarting."""
        deadline = time.monotonic() + max(_BOOT, self._timeout)
        with self._line.conversation("opening"):
            self._line.send_now(b"?", "opening")
            while True:
                line = self._line.line_if_any(
                    "opening", min(self._timeout, max(0.0, deadline - time.monotonic()))
                )
                if line is not None and line.startswith("<"):
                    self._status(line)
                    return
                if line is None and time.monotonic() > deadline:
                    found = "no answer" if line is None else repr(line)
                    raise self._line.wrong(
                        "opening",
                        f"a status report within {_BOOT:g} s",
                        found,
                        "Check that it is on, and a Grbl.",
                    )
                # One that has stopped by an alarm answers a reset alone; one that has restarted is asked again.
                if line is not None and line.startswith("[MSG:Reset to continue"):
                    self._line.send_now(_RESET, "opening")
                elif line is None or line.startswith("Grbl "):
                    self._line.send_now(b"?", "opening")

    def _ask(self, text: str, timeout: float | None = None) -> list[str]:
        """Send a line; the lines that come before its ``ok``."""
        with self._line.conversation(text):
            self._line.send(text)
            said: list[str] = []
            deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
            while (line := self._line.line(text, max(0.0, deadline - time.monotonic()))) != "ok":
                if line.startswith("error:"):
                    raise self._line.wrong(
                        text, "ok", error_text(line), "The controller refuses it; nothing moved."
                    )
                if line.startswith(("$", "[VER:", "[OPT:")):
                    said.append(line)
                else:
                    self._heed(line, text)
            return said

    def _welcomed(self, what: str) -> None:
        """Wait for the controller to start anew after a reset; what it said before does not count."""
        while not self._line.line(what).startswith("Grbl "):
            pass

    def _heed(self, line: str, what: str) -> None:
        """Make sense of a line that is no answer."""
        if line.startswith("ALARM:"):
            raise self._alarm(line, what)
        if line.startswith("Grbl "):
            found = "that it has started anew"
            raise self._line.wrong(
                what, "a controller that keeps running", found, "Check its supply, and home it."
            )
        if line and line != "ok" and not line.startswith(("[", ">", "<", "error:")):
            raise self._line.wrong(what, "what a Grbl 1.1 says", repr(line))

    def _alarm(self, line: str, what: str) -> DeviceError:
        # After a limit nothing is heard but a reset, and after the others one has come already.
        following = self._line.line_if_any(what, self._timeout)
        while following is not None and not following.startswith(("[MSG:Reset", "Grbl ")):
            following = self._line.line_if_any(what, self._timeout)
        if following is None or following.startswith("[MSG:Reset"):
            self._line.send_now(_RESET, what)
            self._welcomed(what)
        return self._line.wrong(what, "no alarm", alarm_text(line), "Look at the stage, then home it.")

    def _status(self, line: str) -> Status:
        try:
            return parse_status(line)
        except ValueError as error:
            raise self._line.wrong("?", str(error).removeprefix("expected "), repr(line)) from None
