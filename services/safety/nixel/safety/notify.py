"""Telling systemd how the daemon fares (the sd_notify datagrams), in the few lines that takes."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Notifier:
    """A voice towards the service manager; silent where there is none.

    Parameters
    ----------
    environment
        Where NOTIFY_SOCKET and WATCHDOG_USEC are looked up.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        usec = environment.get("WATCHDOG_USEC", "")
        # Four times as often as asked, so that one late tick is no alarm.
        self._period = int(usec) * 1e-6 / 4 if usec.isdigit() and int(usec) else None
        self._fed = float("-inf")

    def send(self, *assignments: str) -> None:
        """Send assignments such as "READY=1"; a manager that does not listen is not waited for.

        Parameters
        ----------
        *assignments
            One a line of the datagram.
        """
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(assignments).encode(), self._address)

    def completed(self, now: float) -> None:
        """Feed the service manager's watchdog; to be called after a completed tick and never else.

        Parameters
        ----------
        now
            The time [s].
        """
        if self._period is not None and now - self._fed >= self._period:
            self._fed = now
            self.send("WATCHDOG=1")
