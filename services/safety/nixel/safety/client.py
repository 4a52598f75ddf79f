"""How other programs talk to the safety daemon: look, stop, arm, reset, hold the lease that keeps it on."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from types import TracebackType

DEFAULT_SOCKET = "/run/nixel/safety.sock"
_INTERFACE = "io.nixel.Safety"
# A daemon that lives tells its subscribers something twice a second.
_SILENCE = 1.5


class SafetyError(Exception):
    """Something between us and the safety daemon; the text is for a person."""


class SafetyUnavailable(SafetyError):  # noqa: N818  named for what is wrong, as callers read it
    """There is no safety daemon at the path, or it no longer answers."""


class SafetyRefused(SafetyError):  # noqa: N818
    """The safety daemon said no; the text is its reason."""


class LeaseLost(SafetyError):  # noqa: N818
    """What the lease kept on is off; the text is the daemon's reason."""


@dataclass(frozen=True, slots=True)
class Interlock:
    """What the daemon found of an interlock, a readback or a device in its last tick; `age_s` in seconds."""

    name: str
    kind: str
    healthy: bool
    warning: bool
    value: float | bool | None
    unit: str | None
    age_s: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the fault latched; `time` is ISO 8601 in UTC."""

    name: str
    time: str
    message: str


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """Who holds the lease, and how long it lasts without renewal [s]."""

    holder: str
    remaining_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """One tick of the daemon.

    Attributes
    ----------
    state
        SAFE, ARMED, ENERGISED or FAULT.
    outputs
        Whether each output is on.
    interlocks
        Interlocks, readbacks and broken devices.
    lease
        Who holds it, if anyone.
    first_cause, causes
        Why the fault is latched, if it is; the first, and all in order.
    off_reason
        Why the outputs were last switched off; `None` while any is on.
    simulated
        Whether the surveillance unit is a virtual one.
    ticks, missed_deadlines
        Counted since the daemon started.
    what_to_do
        A sentence.
    """

    state: str
    outputs: Mapping[str, bool]
    interlocks: tuple[Interlock, ...]
    lease: LeaseInfo | None
    first_cause: Cause | None
    causes: tuple[Cause, ...]
    off_reason: str | None
    simulated: bool
    ticks: int
    missed_deadlines: int
    what_to_do: str


def parse_status(parameters: Mapping[str, Any]) -> Status:
    """Turn the parameters of a Status reply into a `Status`.

    Parameters
    ----------
    parameters
        As decoded from JSON; names that we do not know are ignored, for the daemon may be newer.

    Returns
    -------
    Status
        Complete.

    Raises
    ------
    SafetyError
        If something that we need is missing: the daemon and this program are of different versions.
    """
    try:
        causes = tuple(_pick(Cause, cause) for cause in parameters["causes"])
        lease, first = parameters["lease"], parameters["first_cause"]
        given = {name: parameters[name] for name in Status.__dataclass_fields__}
    except KeyError as error:
        msg = (
            f"the safety daemon's status lacks {error}; it is of another version, restart it after an update"
        )
        raise SafetyError(msg) from error
    given["causes"] = causes
    given["lease"] = None if lease is None else _pick(LeaseInfo, lease)
    given["first_cause"] = None if first is None else _pick(Cause, first)
    given["interlocks"] = tuple(_pick(Interlock, interlock) for interlock in parameters["interlocks"])
    return Status(**given)


def _pick(kind: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  any of the dataclasses above
    return kind(**{name: values[name] for name in kind.__dataclass_fields__})


class _Line:
    """A connection to the daemon on which calls are answered one after the other."""

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self._received = b""
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(timeout)
        try:
            _connect(self._socket, path, timeout)
        except OSError as error:
            self._socket.close()
            why = error.strerror or str(error)
            how = "start it with: nixel-safetyd --instrument FILE --socket PATH"
            msg = f"no safety daemon answers at {path} ({why}); {how}"
            raise SafetyUnavailable(msg) from error

    def call(self, method: str, **parameters: Any) -> Mapping[str, Any]:  # noqa: ANN401  JSON
        """Call a method and give the parameters of its answer."""
        with self._lock:
            self.send(method, parameters)
            return self.receive()

    def send(self, method: str, parameters: Mapping[str, Any], more: bool = False) -> None:
        message = {
            "method": f"{_INTERFACE}.{method}",
            "parameters": parameters,
            **({"more": True} if more else {}),
        }
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise self._gone(error) from error

    def receive(self) -> Mapping[str, Any]:
        while b"\0" not in self._received:
            try:
                data = self._socket.recv(65536)
            except OSError as error:
                raise self._gone(error) from error
            if not data:
                raise self._gone(None)
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        answer = json.loads(message)
        parameters: Mapping[str, Any] = answer.get("parameters") or {}
        if "error" in answer:
            text = parameters.get("message") or f"{answer['error']} {dict(parameters)}"
            raise SafetyRefused(text)
        return parameters

    def close(self) -> None:
        # Shut down first: that wakes a thread which is reading.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _gone(self, error: OSError | None) -> SafetyUnavailable:
        if isinstance(error, TimeoutError):
            return SafetyUnavailable(f"the safety daemon at {self.path} does not answer; look at its log")
        return SafetyUnavailable(
            f"the safety daemon at {self.path} has closed the connection; is it still running?"
        )


def _connect(sock: socket.socket, path: str, timeout: float) -> None:
    """Connect, waiting for a daemon that has more callers at its door than fit: Linux says so at once."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.005)
        else:
            return


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
        line = _Line(self.path, self.timeout)
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

    def subscribe(self) -> Iterator[Status]:
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
        line = _Line(self.path, self.timeout)
        try:
            line.send("Subscribe", {}, more=True)
            while True:
                yield parse_status(line.receive())
        finally:
            line.close()

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
            For the record, in printable characters.

        Raises
        ------
        SafetyUnavailable
            If no daemon answers.
        """
        self._call("Stop", reason=reason)

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


class Lease:
    """The right to keep outputs on, renewed from a thread of its own until the `with` block ends.

    Parameters
    ----------
    path, timeout
        The daemon's socket, and how long an answer may take [s].
    name, duration
        As for `SafetyClient.lease`.
    """

    def __init__(self, path: str, timeout: float, name: str, duration: float | None = None) -> None:
        self.name = name
        self.lost: str | None = None
        self._path = path
        self._timeout = timeout
        self._duration = duration
        self._line: _Line | None = None
        self._news: _Line | None = None
        self._wanted: dict[str, int] = {}  # the outputs that we enabled, and the tick in which that was done
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Lease:
        """Take the lease.

        Returns
        -------
        Lease
            This one.

        Raises
        ------
        SafetyRefused
            If someone else holds it, or this user may not.
        SafetyUnavailable
            If no daemon answers.
        """
        parameters: dict[str, Any] = {"name": self.name}
        if self._duration is not None:
            parameters["duration_ms"] = round(self._duration * 1e3)
        self._line = _Line(self._path, self._timeout)
        try:
            granted = self._line.call("AcquireLease", **parameters)
            self._news = _Line(self._path, min(self._timeout, _SILENCE))
            self._news.send("Subscribe", {}, more=True)
        except SafetyError:
            self._close()
            raise
        period = float(granted["duration_ms"]) * 1e-3 / 5
        self._threads = [
            threading.Thread(
                target=self._renew, args=(self._line, period), name="lease-renewal", daemon=True
            ),
            threading.Thread(target=self._watch, args=(self._news,), name="lease-watch", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Switch off what was enabled and give the lease back; never hides an error of the block."""
        self._ended.set()
        if self._line is not None and self.lost is None:
            # A lease that is already gone needs no giving back, and closing the connection ends it anyway.
            with contextlib.suppress(SafetyError):
                for output in self._wanted:
                    self._line.call("Disable", output=output)
                self._line.call("ReleaseLease")
        self._close()

    def _close(self) -> None:
        for line in (self._line, self._news):
            if line is not None:
                line.close()
        for thread in self._threads:
            thread.join(self._timeout)

    def enable(self, output: str) -> None:
        """Energise an output; it stays on while this lease lives.

        Parameters
        ----------
        output
            Its name in the instrument file.

        Raises
        ------
        LeaseLost
            If the lease has ended meanwhile.
        SafetyRefused
            If the daemon is not armed, or there is no such output.
        SafetyUnavailable
            If the daemon has gone.
        """
        self.check()
        self._wanted[output] = int(self._held().call("Enable", output=output)["ticks"])

    def disable(self, output: str) -> None:
        """De-energise an output.

        Parameters
        ----------
        output
            Its name in the instrument file.

        Raises
        ------
        SafetyRefused
            If there is no such output.
        SafetyUnavailable
            If the daemon has gone.
        """
        self._wanted.pop(output, None)
        self._held().call("Disable", output=output)

    def check(self) -> None:
        """Make sure that everything enabled through this lease is still on; costs nothing, call it often.

        Raises
        ------
        LeaseLost
            As soon as it is not, with the daemon's reason.
        """
        if self.lost is not None:
            raise LeaseLost(self.lost)

    def _held(self) -> _Line:
        if self._line is None:
            msg = f"the lease of {self.name!r} is not held; use it in a with block"
            raise SafetyError(msg)
        return self._line

    # --- threads ---

    def _renew(self, line: _Line, period: float) -> None:
        while not self._ended.wait(period):
            try:
                line.call("RenewLease")
            except SafetyRefused as error:
                # The watcher knows the deeper reason if something was on; leave it the time to say it.
                if not self._ended.wait(0.3):
                    self._lose(str(error))
                return
            except SafetyUnavailable as error:
                self._lose(str(error))
                return

    def _watch(self, news: _Line) -> None:
        while not self._ended.is_set():
            try:
                status = parse_status(news.receive())
            except SafetyError as error:
                self._lose(str(error))
                return
            for output, since in tuple(self._wanted.items()):
                # What was sent before the output was enabled says nothing.
                if status.ticks >= since and not status.outputs.get(output, False):
                    self._lose(_reason(status))
                    return

    def _lose(self, reason: str) -> None:
        if self.lost is None and not self._ended.is_set():
            self.lost = reason


def _reason(status: Status) -> str:
    if status.first_cause is not None:
        return status.first_cause.message
    return status.off_reason or "the output is off"
