"""The lease as its holder has it: taken, renewed in the background, and known to be lost as soon as it is."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from nixel.safety.client.answers import (
    LeaseLost,
    SafetyError,
    SafetyRefused,
    SafetyUnavailable,
    Status,
    parse_status,
)
from nixel.safety.client.line import Line

if TYPE_CHECKING:
    from types import TracebackType

# A daemon that lives tells its subscribers something twice a second.
_SILENCE = 1.5


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
        self._line: Line | None = None
        self._news: Line | None = None
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
        self._line = Line(self._path, self._timeout)
        try:
            granted = self._line.call("AcquireLease", **parameters)
            self._news = Line(self._path, min(self._timeout, _SILENCE))
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

    def prove(self, output: str) -> None:
        """Have the charge pump stopped while an output is on; how that ends is in `Status.proofs`.

        Whatever the relay does, everything is off and a fault is latched afterwards.

        Parameters
        ----------
        output
            Its name in the instrument file; it must report that it is on.

        Raises
        ------
        SafetyRefused
            If it is off, or another proof is under way.
        SafetyUnavailable
            If the daemon has gone.
        """
        self._wanted.clear()  # all of it goes off now, as intended
        self._held().call("Prove", output=output)

    def check(self) -> None:
        """Make sure that everything enabled through this lease is still on; costs nothing, call it often.

        Raises
        ------
        LeaseLost
            As soon as it is not, with the daemon's reason.
        """
        if self.lost is not None:
            raise LeaseLost(self.lost)

    def _held(self) -> Line:
        if self._line is None:
            msg = f"the lease of {self.name!r} is not held; use it in a with block"
            raise SafetyError(msg)
        return self._line

    # --- threads ---

    def _renew(self, line: Line, period: float) -> None:
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

    def _watch(self, news: Line) -> None:
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
