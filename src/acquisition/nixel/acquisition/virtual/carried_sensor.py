"""The sensor that the virtual microscope's stage carries: its distance from the sample follows over the wire."""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal

from nixel.acquisition.cameras.wire import HEADER_SIZE, Header, WireError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nixel.acquisition.microscope_tables import MicroscopeFocus

__all__ = ["CarriedSensor", "Carrying"]

Carrying = Literal["there", "moving", "blocked"]

_PATIENCE = 60.0  # s that the microscope may take to make its frames anew
_AGAIN = 0.2  # s between two attempts to reach it


class CarriedSensor:
    """Tells the virtual microscope the distance at which the stage holds its sensor, in a thread of its own.

    As long as the microscope has not taken the distance, the sensor is still moving: a microscope that cannot be
    reached leaves it so.

    Parameters
    ----------
    microscope : Path
        Its socket.
    focus : MicroscopeFocus
        The axis, and what its position means.
    """

    def __init__(self, microscope: Path, focus: MicroscopeFocus) -> None:
        self._microscope, self._focus = microscope, focus
        self._changed = threading.Condition()
        self._wanted: float | None = None
        self._taken: float | None = None
        self._refused: float | None = None
        self._said = ""
        self._ending = False
        threading.Thread(target=self._run, name="carried sensor", daemon=True).start()

    def close(self) -> None:
        """Carry it no more."""
        with self._changed:
            self._ending = True
            self._changed.notify()

    def carry(self, position: Mapping[str, float]) -> Carrying:
        """Take the sensor to where the axes are, in mm by their capital letters, and say how it is."""
        distance = self._focus.distance(position[self._focus.axis.upper()] * 1e-3)
        with self._changed:
            if distance != self._wanted:
                self._wanted = distance
                self._changed.notify()
            if distance == self._refused:
                return "blocked"
            return "there" if distance == self._taken else "moving"

    def _run(self) -> None:
        while not self._ending:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
                    connection.settimeout(_PATIENCE)
                    connection.connect(str(self._microscope))
                    self._serve(connection)
            except (OSError, ValueError) as error:
                with self._changed:
                    self._taken = None
                    self._say(f"{self._microscope}: {error}")
                    self._changed.wait(_AGAIN)

    def _serve(self, connection: socket.socket) -> None:
        """Bring every new distance to a microscope, until it hangs up."""
        told: float | None = None
        while not self._ending:
            with self._changed:
                if self._wanted == told:
                    self._changed.wait(_AGAIN)
                wanted = self._wanted
            if wanted is None or wanted == told:
                # One that has started anew knows nothing of what its predecessor was told.
                if select.select([connection], [], [], 0)[0]:
                    raise ConnectionResetError("the virtual microscope hung up")
                continue
            reply = _ask(connection, {"op": "set", "control": "distance", "value": wanted})
            told = wanted
            with self._changed:
                self._taken, self._refused = (wanted, None) if "ok" in reply else (None, wanted)
            if "ok" not in reply:
                self._say(f"{self._microscope}: it expects {reply.get('text')}")

    def _say(self, what: str) -> None:
        # Once: it is tried again and again.
        if what != self._said:
            self._said = what
            print(f"nixel-virtual-grbl: {what}", file=sys.stderr, flush=True)


def _ask(connection: socket.socket, request: Mapping[str, Any]) -> dict[str, Any]:
    connection.sendall(json.dumps(request).encode() + b"\n")
    header = Header.unpack(_receive(connection, HEADER_SIZE))
    reply = json.loads(_receive(connection, header.size))
    if not isinstance(reply, dict):
        raise WireError(f"expected an object, found {reply!r}")
    return reply


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionResetError("the virtual microscope hung up")
        received += part
    return received
