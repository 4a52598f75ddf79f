"""A pin factory of gpiozero for the lines of the virtual panel, a process behind a Unix socket.

Loaded only when an instrument names it, because it needs gpiozero. What is said on the socket stands in
`nixel.acquisition.virtual.panel_server`.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from gpiozero.pins.pi import PiFactory, PiPin

__all__ = ["PanelFactory"]

_PATIENCE = 1.0  # s that an answer may take
_RASPBERRY_PI_4B = 0xC03111  # whose lines the panel's are numbered as


class PanelFactory(PiFactory):  # type: ignore[misc]  # it has no types
    """The lines of a virtual panel; those that are asked for belong to this factory until it is closed.

    Parameters
    ----------
    path : str
        The panel's socket.

    Raises
    ------
    OSError
        Nobody listens there, or it does not answer as a panel.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.pin_class = _PanelPin
        self._received = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_PATIENCE)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Give the lines back."""
        super().close()
        self._socket.close()

    def ask(self, request: str, expected: str) -> str:
        """Ask the panel; what comes after the word that is expected."""
        self._socket.sendall(f"{request}\n".encode("ascii"))
        while b"\n" not in self._received:
            data = self._socket.recv(4096)
            if not data:
                raise ConnectionResetError(104, "the panel's socket closed; is its process running?")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        first, _, rest = line.decode("ascii", "replace").partition(" ")
        if first != expected:
            raise OSError(22, rest if first == "ERR" else f"the panel says {line[:80]!r} to {request}")
        return rest

    def _get_revision(self) -> int:
        return _RASPBERRY_PI_4B


class _PanelPin(PiPin):  # type: ignore[misc]
    def output_with_state(self, state: bool) -> None:
        self.factory.ask(f"OUT {self._number} {int(state)}", "OK")

    def close(self) -> None:
        # The panel takes lines back when the socket closes.
        with contextlib.suppress(OSError):
            super().close()

    def _get_function(self) -> str:
        return "output"

    def _set_function(self, value: str) -> None:
        if value != "output":
            raise OSError(22, "a line of the panel is used as an output here")

    def _get_state(self) -> bool:
        return bool(self.factory.ask(f"LEVEL {self._number}", "LEVELS") == f"{self._number}=1")

    def _set_state(self, value: Any) -> None:  # noqa: ANN401 (gpiozero gives bool, int and float)
        self.factory.ask(f"SET {self._number} {int(bool(value))}", "OK")
