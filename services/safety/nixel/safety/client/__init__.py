"""How other programs talk to the safety daemon: look, stop, arm, reset, hold the lease that keeps it on.

This is the only module of nixel.safety that other packages import.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from nixel.safety.client.answers import (
    Bypassed,
    Cause,
    Interlock,
    LeaseInfo,
    LeaseLost,
    Proof,
    SafetyError,
    SafetyRefused,
    SafetyUnavailable,
    Status,
    parse_status,
)
from nixel.safety.client.lease import Lease
from nixel.safety.client.line import Line

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Mapping

__all__ = [
    "DEFAULT_SOCKET",
    "Bypassed",
    "Cause",
    "Interlock",
    "Lease",
    "LeaseInfo",
    "LeaseLost",
    "Proof",
    "SafetyClient",
    "SafetyError",
    "SafetyRefused",
    "SafetyUnavailable",
    "Status",
    "parse_status",
]

DEFAULT_SOCKET = "/run/nixel/safety.sock"


class SafetyClient:
    """The safety daemon as other programs see it.

    Nothing stays open between calls but what `subscribe` and `lease` open for themselves.

    Parameters
    ----------
    path
        The daemon's socket.
    timeout
        How long an answer may take [s].
    """

    def __init__(self, path: str | os.PathLike[str] = DEFAULT_SOCKET, timeout: float = 2.0) -> None:
        self.path = str(path)
        self.timeout = timeout

    def _call(self, method: str, **parameters: Any) -> Mapping[str, Any]:  # noqa: ANN401  JSON
        line = Line(self.path, self.timeout)
        try:
            return line.call(method, **parameters)
        finally:
            line.close()

    def status(self) -> Status:
        """Ask for the state of the newest tick.

        Returns
        -------
        Status
            What is on, what forbids it, what to do.

        Raises
        ------
        SafetyUnavailable
            If no daemon answers.
        """
        return parse_status(self._call("Status"))

    def subscribe(self) -> Generator[Status, None, None]:
        """Follow the daemon: its status now, at every change, and at least twice a second.

        Yields
        ------
        Status
            The newest. The connection closes with the generator.

        Raises
        ------
        SafetyUnavailable
            If no daemon answers, or when it ends.
        """
        line = Line(self.path, self.timeout)
        try:
            line.send("Subscribe", {}, more=True)
            while True:
                yield parse_status(line.receive())
        finally:
            line.close()

    def wait_until_healthy(self, timeout: float = 5.0) -> Status:
        """Wait until nothing stands in the way of a reset, as right after the start of the daemon.

        Parameters
        ----------
        timeout
            How long to wait [s].

        Returns
        -------
        Status
            The first with every interlock healthy.

        Raises
        ------
        SafetyRefused
            If something is still unhealthy when the time is up; the text says what.
        SafetyUnavailable
            If no daemon answers.
        """
        deadline = time.monotonic() + timeout
        with contextlib.closing(self.subscribe()) as stream:
            while True:
                status = next(stream)
                unhealthy = [interlock.message for interlock in status.interlocks if not interlock.healthy]
                if not unhealthy:
                    return status
                if time.monotonic() >= deadline:
                    msg = f"not healthy after {timeout:g} s: {'; '.join(unhealthy)}"
                    raise SafetyRefused(msg)

    def arm(self) -> None:
        """Permit outputs to be enabled (SAFE to ARMED).

        Raises
        ------
        SafetyRefused
            If a fault is latched, an output is on, or this user may not.
        SafetyUnavailable
            If no daemon answers.
        """
        self._call("Arm")

    def reset(self) -> None:
        """Clear a latched fault (FAULT to SAFE); energises nothing, and does nothing when there is no fault.

        Raises
        ------
        SafetyRefused
            If anything is still unhealthy, or this user may not.
        SafetyUnavailable
            If no daemon answers.
        """
        self._call("Reset")

    def stop(self, reason: str) -> None:
        """De-energise everything; anyone may.

        Parameters
        ----------
        reason
            For the record.

        Raises
        ------
        SafetyUnavailable
            If no daemon answers.
        """
        self._call("Stop", reason=reason)

    def bypass(self, interlock: str, duration: float, reason: str) -> None:
        """Let outputs be on although an interlock is unhealthy; it ends by itself, and with the next stop or fault.

        Parameters
        ----------
        interlock
            Its name in the instrument file.
        duration
            For how long [s]; to the millisecond.
        reason
            For the record.

        Raises
        ------
        SafetyRefused
            If this interlock may not be bypassed, or not for so long, or not now, or not by this user.
        SafetyUnavailable
            If no daemon answers.
        """
        self._call("Bypass", interlock=interlock, duration_ms=round(duration * 1e3), reason=reason)

    def end_bypass(self, interlock: str) -> None:
        """End a bypass before its time.

        Parameters
        ----------
        interlock
            Its name in the instrument file.

        Raises
        ------
        SafetyRefused
            If it is not bypassed, or this user may not.
        SafetyUnavailable
            If no daemon answers.
        """
        self._call("EndBypass", interlock=interlock)

    def lease(self, name: str, duration: float | None = None) -> Lease:
        """Prepare to take the lease; `with` takes it and gives it back.

        Parameters
        ----------
        name
            Who wants it, for people to read.
        duration
            The silence after which the daemon ends it [s]; the instrument's own if `None`.

        Returns
        -------
        Lease
            A context manager on a connection of its own.
        """
        return Lease(self.path, self.timeout, name, duration)
