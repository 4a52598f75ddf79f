"""What the socket server keeps of a client, and how many it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection

    from nixel.safety.service.permissions import Peer
    from nixel.safety.service.protocol import Call

MOST_CONNECTIONS = 256
MOST_OF_ONE_USER = 64  # of those; not for root and our own user, so that there is always room for a stop


class Connection:
    """One client: what it sent, what it is still to be sent, and the one call that it waits for.

    Parameters
    ----------
    number
        Of all connections since the start.
    sock
        Connected, not blocking.
    peer
        Who is at the other end.
    """

    __slots__ = (
        "closing",
        "ended",
        "leases",
        "number",
        "peer",
        "received",
        "socket",
        "subscribed",
        "unsent",
        "waits",
    )

    def __init__(self, number: int, sock: socket.socket, peer: Peer) -> None:
        self.number = number
        self.socket = sock
        self.peer = peer
        self.received = b""
        self.unsent = b""
        self.waits: tuple[int, bytes, Call] | None = None
        self.subscribed: bytes | None = None  # the terminator that it used
        self.leases = False  # whether it has ever asked for the lease
        self.ended = False  # whether it has said all that it will say
        self.closing = False  # whether it is closed once everything is sent

    def busy(self) -> bool:
        """Whether its next call has to wait; also for the reading of the last answer, which bounds memory."""
        return self.waits is not None or self.subscribed is not None or self.closing or bool(self.unsent)


def no_room(connections: Collection[Connection], peer: Peer, ours: int) -> str | None:
    """Say why there is no room for another connection.

    Parameters
    ----------
    connections
        Those that there are.
    peer
        Who wants another.
    ours
        The daemon's own user.

    Returns
    -------
    str or None
        A sentence; `None` if there is room.
    """
    if len(connections) >= MOST_CONNECTIONS:
        return f"the safety daemon serves at most {MOST_CONNECTIONS} connections at a time; close some"
    theirs = sum(connection.peer.uid == peer.uid for connection in connections)
    if theirs >= MOST_OF_ONE_USER and peer.uid not in (0, ours):
        most = f"at most {MOST_OF_ONE_USER} connections of one user"
        return f"the safety daemon serves {most}, and user {peer.uid} has as many; close some"
    return None
