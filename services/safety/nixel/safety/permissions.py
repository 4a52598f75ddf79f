"""Who may ask for what: anyone may look and stop, the operators may do the rest."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

# From asm-generic/socket.h; the socket module does not name it.
_SO_PEERGROUPS = 59
_UCRED = struct.Struct("3i")

FOR_ANYONE = frozenset({"Status", "Subscribe", "Stop"})


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a connection, as the kernel vouches for it."""

    pid: int
    uid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who counts as an operator beside root: the daemon's own user, and the members of a group if any."""

    uid: int
    group: int | None
    group_name: str


def identify(connection: socket.socket) -> Peer:
    """Ask the kernel who is at the other end of a Unix socket.

    Parameters
    ----------
    connection
        A connected Unix socket.

    Returns
    -------
    Peer
        As of the moment of connecting.

    Raises
    ------
    OSError
        If the kernel does not say.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(credentials)
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)
    except OSError:
        raw = b""  # a kernel that does not say, or a peer in very many groups: only its first one counts
    return Peer(pid, uid, frozenset({gid, *struct.unpack(f"{len(raw) // 4}I", raw)}))


def refusal(method: str, peer: Peer, policy: Policy) -> str | None:
    """Say why a peer may not call a method of io.nixel.Safety.

    Parameters
    ----------
    method
        Its name without the interface.
    peer
        Who asks.
    policy
        Who may.

    Returns
    -------
    str or None
        A sentence; `None` if the peer may.
    """
    if method in FOR_ANYONE or peer.uid in (0, policy.uid):
        return None
    if policy.group is not None and policy.group in peer.groups:
        return None
    who = f"a member of the group {policy.group_name!r}" if policy.group is not None else f"user {policy.uid}"
    return f"{method} is for root or {who}; you are user {peer.uid}. Anyone may ask for Status and Stop"
