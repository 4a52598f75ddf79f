"""The lines of a virtual GPIO chip: a process behind a Unix socket that has the instrument's panel wired to it.

A line of text a request, a line of text an answer, each ended by a newline::

    IN 5 up       -> OK              make line 5 an input with a pull: up, down or none
    OUT 17 0      -> OK              make line 17 an output that is driven low from the beginning
    SET 17 1      -> OK              drive an output
    GET           -> LEVELS 5=0 6=1  the levels of the inputs of this connection
    anything else -> ERR why

A line belongs to the connection that asked for it, until that closes. Closing does what the kernel of a Raspberry Pi
does when a process dies: inputs are free again, outputs stay as they were last driven.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from nixel.safety.units.gpio import LinesError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixel.safety.config.units import GpioChip

_PATIENCE = 0.1  # s that an answer may take
_LEVELS = {"0": False, "1": True}


class PanelLines:
    """The lines of a virtual chip; a `nixel.safety.units.gpio.Lines`.

    Parameters
    ----------
    chip
        Which lines, and at which socket.

    Raises
    ------
    LinesError
        If nobody listens there, or a line cannot be had.
    """

    def __init__(self, chip: GpioChip) -> None:
        self._received = b""
        self._answer, self._levels = "", dict[int, bool | None]()  # the last, which most are again
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_PATIENCE)
        try:
            try:
                self._socket.connect(chip.path)
            except OSError as error:
                msg = f"cannot be opened: {error.strerror or error}"
                raise LinesError(msg) from error
            for output in chip.outputs:
                self._do(f"OUT {output.line} {int(not output.active_high)}")
            if chip.charge_pump is not None:
                self._do(f"OUT {chip.charge_pump} 0")
            for line in chip.inputs:
                self._do(f"IN {line.line} {line.pull}")
        except BaseException:
            self._socket.close()
            raise

    def read(self) -> Mapping[int, bool | None]:
        """Give the level of every input line.

        Returns
        -------
        Mapping
            By line; `None` for one that makes no sense.

        Raises
        ------
        LinesError
            If the panel does not answer, or not as it must.
        """
        answer = self._ask("GET")
        if answer == self._answer:
            return self._levels
        words = answer.split()
        pairs = [field.partition("=")[::2] for field in words[1:]]
        if words[:1] != ["LEVELS"] or not all(line.isascii() and line.isdigit() for line, _ in pairs):
            raise _nonsense("GET", answer)
        self._answer, self._levels = answer, {int(line): _LEVELS.get(level) for line, level in pairs}
        return self._levels

    def write(self, line: int, level: bool) -> None:
        """Drive an output line.

        Raises
        ------
        LinesError
            If the panel does not confirm it.
        """
        self._do(f"SET {line} {int(level)}")

    def close(self) -> None:
        """Give the lines back."""
        self._socket.close()

    def _do(self, request: str) -> None:
        answer = self._ask(request)
        if answer.startswith("ERR "):
            msg = f"refuses {request!r}: {answer.removeprefix('ERR ')}"
            raise LinesError(msg)
        if answer != "OK":
            raise _nonsense(request, answer)

    def _ask(self, request: str) -> str:
        try:
            self._socket.sendall(f"{request}\n".encode("ascii"))
            while b"\n" not in self._received:
                data = self._socket.recv(4096)
                if not data:
                    raise ConnectionResetError(0, "its socket closed")
                self._received += data
        except TimeoutError as error:
            msg = f"has not answered {request!r} within {_PATIENCE * 1e3:.0f} ms"
            raise LinesError(msg) from error
        except OSError as error:
            msg = f"was lost ({error.strerror or error}); is its process running?"
            raise LinesError(msg) from error
        answer, _, self._received = self._received.partition(b"\n")
        return answer.decode("ascii", "replace")


def _nonsense(request: str, answer: str) -> LinesError:
    return LinesError(f"answers {answer[:40]!r} to {request!r}, which makes no sense")
