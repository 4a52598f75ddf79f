"""Who may ask for what: anyone may look and stop, the operators may do the rest."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from nixel.safety.core.frozen import dataclass

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


class Names:
    """The names of this machine's users, for the record.

    Only the local table is asked: a directory server that does not answer must not hold up a stop.

    Parameters
    ----------
    table
        In the form of passwd(5).
    """

    def __init__(self, table: Path = Path("/etc/passwd")) -> None:
        self._table = table
        self._changed = -1
        self._names: dict[int, str] = {}

    def who(self, peer: Peer) -> str:
        """Say who a peer is.

        Parameters
        ----------
        peer
            As the kernel vouches for it.

        Returns
        -------
        str
            Such as "anna (user 1000, process 4242)"; without the name if this machine has none for the user.
        """
        numbers = f"user {peer.uid}, process {peer.pid}"
        name = self._name(peer.uid)
        return f"{name} ({numbers})" if name else numbers

    def _name(self, uid: int) -> str:
        try:
            changed = self._table.stat().st_mtime_ns
            if changed != self._changed:
                self._names = _names(self._table.read_text(encoding="utf-8", errors="replace"))
                self._changed = changed
        except OSError:
            return ""
        return self._names.get(uid, "")


def _names(text: str) -> dict[int, str]:
    """Read name and number of each line; the first of several names for a number is the one that counts."""
    names: dict[int, str] = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdecimal() and fields[0].isprintable():
            names.setdefault(int(fields[2]), fields[0])
    return names


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
