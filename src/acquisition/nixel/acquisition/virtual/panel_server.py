"""``nixel-virtual-panel``: the virtual microscope's panel, a process of its own behind a Unix socket.

The safety daemon speaks to it as its `units.gpio_panel` says (``IN``, ``OUT``, ``SET``, ``GET``), and so does whoever
owns another of its lines, who also asks ``LEVEL 22``, answered ``LEVELS 22=1``; a hand at the panel,
`nixel simulate`, says ``HAND lid open`` and is answered ``OK``, and ``STATE`` tells how everything is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.duration import seconds
from nixel.acquisition.virtual.panel import HOLD, Panel, PanelError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_LONGEST_REQUEST = 200
_MOST_CONNECTIONS = 16
_PRIORITY = 20  # above the safety daemon's own: hardware does not wait for a program


class _Connection:
    """Somebody at the socket, and what has come of a request so far."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = b""


class _Processor:
    """A processor's temperature, in a folder like the kernel's /sys/class/thermal."""

    def __init__(self, folder: Path) -> None:
        self._zone = folder / "thermal_zone0"
        self._zone.mkdir(parents=True, exist_ok=True)
        self(45.0)

    def __call__(self, celsius: float) -> None:
        fresh = self._zone / ".temp"
        fresh.write_text(f"{celsius * 1e3:.0f}\n", encoding="ascii")
        fresh.replace(self._zone / "temp")


class PanelServer:
    """Answers at a Unix socket; the relay drops by itself meanwhile.

    Parameters
    ----------
    path : Path
        A socket that nobody listens at any more is replaced.
    thermal : Path, optional
        Where a thermal zone is made as the kernel would show it.
    hold : float, optional
        For how long the relay holds without the charge pump [s].

    Raises
    ------
    OSError
        The socket or the thermal zone cannot be made, or something else is there.
    """

    def __init__(self, path: Path, thermal: Path | None = None, hold: float = HOLD) -> None:
        processor = None if thermal is None else _Processor(thermal)
        self._panel = Panel(processor, hold)
        self._path = path
        self._selector = selectors.DefaultSelector()
        if path.exists() and not path.is_socket():
            raise FileExistsError(17, "something that is no socket is in the way", str(path))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        self._listener.bind(str(fresh))
        fresh.chmod(0o666)
        self._listener.listen(_MOST_CONNECTIONS)
        self._inode = fresh.stat().st_ino
        fresh.replace(path)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self, stop: int) -> None:
        """Answer until something can be read from the descriptor `stop`."""
        self._selector.register(stop, selectors.EVENT_READ)
        while True:
            drop = self._panel.next_drop()
            ready = self._selector.select(None if drop is None else max(0.0, drop - time.monotonic()))
            # What has arrived counts before what time has done: a host too busy to run this process stops the
            # panel as a whole, and what was sent meanwhile has not come late.
            for key, _ in ready:
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data is not None:
                    self._take(key.data)
                else:
                    return
            self._panel.tick(time.monotonic())

    def close(self) -> None:
        """Hang up, and remove the socket if it is still ours."""
        self._listener.close()
        self._selector.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        if len(self._selector.get_map()) > _MOST_CONNECTIONS:
            accepted.close()
            return
        accepted.setblocking(False)
        self._selector.register(accepted, selectors.EVENT_READ, _Connection(accepted))

    def _take(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(4096)
            connection.received += data
            *requests, connection.received = connection.received.split(b"\n")
            for request in requests:
                answer = self._answer(connection, request.decode("ascii", "replace").split())
                connection.socket.sendall(f"{answer}\n".encode("ascii", "replace"))
        except OSError:
            data = b""  # gone, or it does not read what it asked for
        if not data or len(connection.received) > _LONGEST_REQUEST:
            self._panel.release(connection)
            self._selector.unregister(connection.socket)
            connection.socket.close()

    def _answer(self, owner: _Connection, words: list[str]) -> str:
        now, panel = time.monotonic(), self._panel
        try:
            match words:
                case ["GET"]:
                    levels = panel.levels(owner, now)
                    return " ".join(["LEVELS", *(f"{line}={int(level)}" for line, level in levels.items())])
                case ["LEVEL", line]:
                    return f"LEVELS {_number(line)}={int(panel.level(owner, _number(line), now))}"
                case ["SET", line, ("0" | "1") as level]:
                    panel.drive(owner, _number(line), level == "1", now)
                case ["OUT", line, ("0" | "1") as level]:
                    panel.claim_output(owner, _number(line), level == "1", now)
                case ["IN", line, pull]:
                    panel.claim_input(owner, _number(line), pull)
                case ["HAND", part, action]:
                    panel.hand(part, action)
                case ["STATE"]:
                    return f"STATE {panel.describe(now)}"
                case _:
                    return "ERR expected IN, OUT, SET, GET, LEVEL, HAND or STATE, with what belongs to it"
        except PanelError as error:
            return f"ERR {error}"
        return "OK"


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise PanelError(f"expected the number of a line, found {text[:20]!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the virtual panel until it is told to end.

    Prints one line of JSON when it is ready: its socket and its process.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; `sys.argv` by default.

    Returns
    -------
    int
        Exit status: 0, or 2 if the socket cannot be made.
    """
    parser = argparse.ArgumentParser(prog="nixel-virtual-panel", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--thermal", type=Path, metavar="FOLDER", help="show a processor's temperature there")
    parser.add_argument("--hold", type=seconds, default=HOLD, metavar="TIME", help="of its relay, as '50 ms'")
    options = parser.parse_args(arguments)
    sys.setswitchinterval(5e-4)
    # Hardware keeps its time whatever a computer does beside it.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    try:
        server = PanelServer(options.socket, options.thermal, options.hold)
    except OSError as error:
        reason, place = error.strerror or str(error), error.filename or options.socket
        print(f"nixel-virtual-panel: {place}: {reason}", file=sys.stderr)
        return 2
    stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.eventfd_write(stop, 1))
    print(json.dumps({"panel": str(options.socket), "pid": os.getpid()}), flush=True)
    server.serve(stop)
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
