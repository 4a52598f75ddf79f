"""A worker process as the one who starts it sees it: calls with a time limit, and what it died of."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from nixel.acquisition.devices.errors import DeviceError
from nixel.acquisition.workers.frames import FrameCut, FrameError, FrameTooLarge, receive, send

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Worker", "WorkerRefused"]

_AGAIN = "Open the device again: that starts a new worker process."
_TAIL = 8  # lines of what it said last
_log = logging.getLogger(__name__)


class WorkerRefused(Exception):  # noqa: N818 (it is an answer, not a fault of the program)
    """A method's `nixel.acquisition.workers.serve.Refusal`, as its caller sees it.

    Parameters
    ----------
    kind, message : str
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Worker:
    """A process ``python -m MODULE DESCRIPTOR ARGUMENTS`` whose methods can be called, one call at a time.

    It can be started again after it has died. What it prints goes to the log, and its end into the error when it
    dies; it ends with the process that started it, whatever happens to that.

    Parameters
    ----------
    module : str
        Its main program hands its first argument to `nixel.acquisition.workers.serve.serve`.
    arguments : sequence of str
    where : str
        What errors call it: the device and its address.
    environment : mapping of str to str
        Added to this process's own.
    command : sequence of str
        Put before the interpreter, such as valgrind.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        where: str,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> None:
        self.where = where
        # -P: what lies in the current folder is no module of ours.
        self._command = [*command, sys.executable, "-P", "-m", module]
        self._arguments, self._environment = list(arguments), dict(environment or {})
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._said: collections.deque[str] = collections.deque()
        self._listener: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None when there is none."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Start the process; does nothing when it is there."""
        with self._lock:
            if self._process is not None:
                return
            ours, theirs = socket.socketpair()
            with theirs:
                # A session of its own: Ctrl-C is for us, who then bring the device to rest.
                self._process = subprocess.Popen(
                    [*self._command, str(theirs.fileno()), *self._arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env={**os.environ, **self._environment},
                )
            self._connection = ours
            self._said = collections.deque(maxlen=_TAIL)
            self._listener = threading.Thread(
                target=self._listen, args=(self._process, self._said), daemon=True
            )
            self._listener.start()

    def call(self, method: str, *arguments: Any, timeout: float, what: str = "") -> Any:  # noqa: ANN401
        """Call a method and return what it answers.

        Parameters
        ----------
        method : str
        *arguments
            What `nixel.acquisition.workers.frames` can carry.
        timeout : float
            In s; a worker that has not answered by then is killed.
        what : str
            What is being done, for errors; the method's name if left out.

        Raises
        ------
        WorkerRefused
            The method refused; the worker goes on.
        DeviceError
            The worker is not there, died during the call, or did not answer in time.
        """
        what = what or method
        with self._lock:
            if self._process is None or self._connection is None:
                raise self._error(what, "a worker process", "none", _AGAIN)
            try:
                self._connection.settimeout(timeout)
                deadline = time.monotonic() + timeout
                send(self._connection, {"method": method, "arguments": arguments})
                message = receive(self._connection, deadline)
            except TimeoutError:
                self._end(kill=True)
                found = "none, so its worker process was killed"
                raise self._error(what, f"an answer within {timeout:g} s", found, _AGAIN) from None
            except FrameTooLarge as error:
                raise self._error(
                    method, "less to be said at once", str(error), "Nothing was sent."
                ) from error
            except (FrameError, OSError) as error:
                # Who dies within a message has died of something, which is to be told.
                found = self._end(kill=isinstance(error, FrameError) and not isinstance(error, FrameCut))
                raise self._error(what, "an answer", f"{found}: {error}", _AGAIN) from error
            if message is None:
                raise self._error(what, "an answer", self._end(kill=False), _AGAIN)
            match message:
                case {"answer": answer}:
                    return answer
                case {"refused": str(kind), "message": str(text)}:
                    raise WorkerRefused(kind, text)
            self._end(kill=True)
            raise self._error(what, "an answer", f"{message!r:.100}; it was killed", _AGAIN)

    def stop(self, timeout: float) -> None:
        """Let it bring everything to rest and end; does nothing when there is none.

        Raises
        ------
        DeviceError
            It did not end in time and was killed, or died on the way.
        """
        with self._lock:
            if self._process is None or self._connection is None:
                return
            process = self._process
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout)
            late = process.returncode is None
            found = self._end(kill=late)
        if late:
            raise self._error("closing", f"it at rest within {timeout:g} s", "no end, so it was killed", "")
        if process.returncode != 0:
            raise self._error("closing", "its worker process to end well", found, "")

    def _listen(self, process: subprocess.Popen[bytes], said: collections.deque[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in iter(lambda: output.readline(1000), b""):
                text = line.decode("utf-8", "replace").rstrip()
                said.append(text)
                _log.debug("%s: %s", self.where, text)

    def _end(self, *, kill: bool) -> str:
        """Leave no process behind; return what became of it."""
        process, connection, listener = self._process, self._connection, self._listener
        self._process = self._connection = self._listener = None
        assert process is not None
        assert connection is not None
        if not kill:
            # The connection closes before the process is dead, while a core is written.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5.0)
        connection.close()
        killed = process.returncode is None
        process.kill()
        process.wait()
        if listener is not None:
            listener.join(1.0)  # a process that it started may hold its output
        code = process.returncode
        if killed:
            how = "a worker process that was killed"
        elif code < 0:
            name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
            how = f"a worker process that died of {name}"
        else:
            how = f"a worker process that ended with status {code}"
        said = " | ".join(self._said)
        return f"{how}; the last that it said was: {said[-500:]}" if said else how

    def _error(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(
            what, where=self.where, expected=expected, found=found, remedy=remedy or "Check the device."
        )
