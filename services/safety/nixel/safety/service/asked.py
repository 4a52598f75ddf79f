"""Who asked for what: the record of the requests that were granted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nixel.safety.core.model import Event
from nixel.safety.service.permissions import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nixel.safety.core.model import Reply
    from nixel.safety.service.permissions import Peer
    from nixel.safety.service.protocol import Call

# A stop, a bypass and a proof tell themselves who asked, and a lease is renewed too often to be worth a line.
RECORDED = frozenset({"AcquireLease", "ReleaseLease", "Arm", "Enable", "Disable", "Reset", "EndBypass"})


class Record:
    """Remembers who asked until the answer is there, also for those who have gone meanwhile.

    Parameters
    ----------
    put
        Takes events without blocking.
    """

    def __init__(self, put: Callable[[Iterable[Event]], None]) -> None:
        self._put = put
        self._names = Names()
        self._asked: dict[int, tuple[str, Call]] = {}

    def who(self, peer: Peer) -> str:
        """Say who a peer is, for people to read.

        Parameters
        ----------
        peer
            As the kernel vouches for it.

        Returns
        -------
        str
            With the user's name if this machine has one.
        """
        return self._names.who(peer)

    def asked(self, number: int, by: str, call: Call) -> None:
        """Remember a request.

        Parameters
        ----------
        number
            Of the request.
        by, call
            Who asks for what.
        """
        if call.short in RECORDED:
            self._asked[number] = by, call

    def answered(self, reply: Reply) -> None:
        """Record a request if it was granted.

        Parameters
        ----------
        reply
            Of the safety logic.
        """
        asked = self._asked.pop(reply.number, None)
        if asked is None or reply.refused is not None:
            return
        by, call = asked
        # Each of these methods has one text at most.
        what = next(
            (call.parameters[name] for name in ("output", "interlock", "name") if name in call.parameters), ""
        )
        text = f"{call.short} {what} by {by}" if what else f"{call.short} by {by}"
        self._put((Event(time.monotonic(), "request", text, {"method": call.short, "what": what, "by": by}),))
