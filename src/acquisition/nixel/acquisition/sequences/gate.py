"""What stands between a sequence and the light: the safety daemon's output, or nothing where it feeds no light."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from nixel.acquisition.session import ScanAborted
from nixel.safety.client import SafetyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nixel.safety.client import Lease, SafetyClient

__all__ = ["Gate", "NoGate", "SafetyGate", "safety_gate"]

_REASON_TIMEOUT = 0.5  # s for the safety daemon to say why it switched off
_POLL = 0.01


class Gate(Protocol):
    """Lets the light be on, and says when it may be no longer."""

    def open(self) -> None:
        """Let the light be switched on."""

    def close(self) -> None:
        """Take the light's power."""

    def check(self) -> None:
        """Go on only if what was let through still is.

        Raises
        ------
        ScanAborted
            It is not; the text is the reason.
        """

    def reason(self) -> str | None:
        """Why the light went off, waiting a moment for it to be told; None if it did not."""


class NoGate:
    """For instruments whose light the safety daemon does not feed."""

    def open(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def check(self) -> None:
        """Do nothing."""

    def reason(self) -> None:
        """Return None."""


class SafetyGate:
    """An output of the safety daemon, enabled through a lease for each exposure.

    Between exposures the output is off: its longest time on and its share of the time count what is really needed. The
    lease is taken with the first, when all that takes long is done, and held from then on.
    """

    def __init__(self, take: Callable[[], Lease], output: str) -> None:
        self._take, self._output = take, output
        self._lease: Lease | None = None
        self._open = False

    def open(self) -> None:
        """Enable the output."""
        if not self._open:
            with _as_abort():
                if self._lease is None:
                    self._lease = self._take()
                self._lease.enable(self._output)
            self._open = True

    def close(self) -> None:
        """Disable the output."""
        if self._open and self._lease is not None:
            self._open = False
            with _as_abort():
                self._lease.disable(self._output)

    def check(self) -> None:
        """Raise `ScanAborted` with the daemon's reason once the output or the lease is lost."""
        if self._lease is not None:
            with _as_abort():
                self._lease.check()

    def reason(self) -> str | None:
        """Wait for the daemon's reason."""
        deadline = time.monotonic() + _REASON_TIMEOUT
        while self._lease is not None and time.monotonic() < deadline:
            try:
                self._lease.check()
            except SafetyError as error:
                return str(error)
            time.sleep(_POLL)
        return None


@contextlib.contextmanager
def safety_gate(safety: SafetyClient, output: str, name: str) -> Iterator[SafetyGate]:
    """Give a gate that holds the safety daemon's lease from its first opening; all is off at the end of the block.

    Parameters
    ----------
    safety : SafetyClient
        Of an armed daemon.
    output : str
        What feeds the light.
    name : str
        The lease's holder, for people to read.

    Yields
    ------
    SafetyGate

    Raises
    ------
    ScanAborted
        There is no armed daemon; by the gate, when it refuses.
    """
    with _as_abort():
        status = safety.status()
    if status.state != "ARMED":
        raise ScanAborted(f"the safety daemon is {status.state} and not ARMED. {status.what_to_do}")
    with contextlib.ExitStack() as stack:
        yield SafetyGate(lambda: stack.enter_context(safety.lease(name)), output)


@contextlib.contextmanager
def _as_abort() -> Iterator[None]:
    try:
        yield
    except SafetyError as error:
        raise ScanAborted(str(error)) from error
