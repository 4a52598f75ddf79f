"""The socket that clients find the daemon at, and the one daemon that may listen there."""

from __future__ import annotations

import fcntl
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

# Linux keeps the last byte of sun_path for the NUL.
LONGEST_PATH = 107


class StartError(Exception):
    """The daemon cannot start; the text says why and what to do."""


def listen(path: Path, stack: contextlib.ExitStack) -> socket.socket:
    """Listen on a Unix socket that anyone may connect to, unless another daemon does already.

    Parameters
    ----------
    path
        Where; a socket that a dead daemon left behind is replaced.
    stack
        Removes the socket and the lock when it closes.

    Returns
    -------
    socket.socket
        Listening, not blocking.

    Raises
    ------
    StartError
        If another daemon listens there, or the path cannot be used.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        length = len(os.fsencode(path))
        msg = f"the socket's path {path} has {length} bytes, at most {LONGEST_PATH} will do. Shorten it."
        raise StartError(msg)
    if path.exists() and not path.is_socket():
        msg = f"{path} exists and is not a socket. Choose another path for the socket, or remove that file."
        raise StartError(msg)
    try:
        # The kernel lets go of the lock when its holder dies, however it dies.
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = f"another safety daemon already serves {path}. Stop it first, or choose another path."
        raise StartError(msg) from error
    except OSError as error:
        msg = f"the socket {path} cannot be made: {error.strerror}. Choose a path in a folder that exists."
        raise StartError(msg) from error
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(128)
    except OSError as error:
        listener.close()
        msg = f"the socket {path} cannot be made: {error.strerror}. Choose a path that can be written to."
        raise StartError(msg) from error
    stack.callback(path.unlink, missing_ok=True)
    listener.setblocking(False)
    return listener
