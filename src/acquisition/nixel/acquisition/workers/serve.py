"""The worker's side: methods that are called over a connection. Standard library only."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from nixel.acquisition.workers.frames import receive, send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Refusal", "serve"]


class Refusal(Exception):  # noqa: N818 (it is an answer, not a fault of the program)
    """An answer that says no.

    Parameters
    ----------
    kind : str
        For the program.
    message : str
        For a person.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


def serve(
    descriptor: int,
    methods: Mapping[str, Callable[..., Any]],
    close: Callable[[], None] = lambda: None,
    grace: float = 10.0,
) -> None:
    """Answer calls, one after another, until the other side closes the connection or is gone.

    Parameters
    ----------
    descriptor : int
        The connection's, the first argument of every worker's program.
    methods : mapping of str to callable
        They take and return what `frames` can carry, and raise `Refusal`; any other exception is answered as
        the kind ``"error"``.
    close : callable
        Brings everything to rest; called once, at the end.
    grace : float
        In s; the process ends so long after the other side has closed, even if `close` or a method hangs.
    """
    connection = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with, args=(connection, grace), daemon=True).start()
    try:
        while (request := receive(connection)) is not None:
            try:
                answer = {"answer": methods[request["method"]](*request["arguments"])}
            except Refusal as refusal:
                answer = {"refused": refusal.kind, "message": refusal.message}
            except Exception as error:  # noqa: BLE001 (the caller hears of it; the worker goes on)
                answer = {"refused": "error", "message": f"{type(error).__name__}: {error}"}
            send(connection, answer)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the caller is gone
    finally:
        close()


def _end_with(connection: socket.socket, grace: float) -> None:
    """End the process when the other side is gone, even if the main thread hangs in foreign code."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    poll.poll()
    time.sleep(grace)
    os._exit(1)
