"""The socket server: a thread that stands between the clients and the control loop, so that neither waits."""

from __future__ import annotations

import contextlib
import itertools
import os
import selectors
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from nixel.safety.core.model import AcquireLease, Disconnect
from nixel.safety.proof import Prove
from nixel.safety.realtime import give_way
from nixel.safety.service import answering, interface, permissions, protocol
from nixel.safety.service.asked import Record
from nixel.safety.service.connection import Connection, no_room
from nixel.safety.service.protocol import CallError
from nixel.safety.service.status import later
from nixel.safety.service.telling import history
from nixel.safety.worker import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping

    from nixel.safety.config.instrument import Instrument
    from nixel.safety.core.model import AnyRequest, Event, Reply
    from nixel.safety.records.events import Past
    from nixel.safety.service.permissions import Peer, Policy
    from nixel.safety.service.protocol import Call
    from nixel.safety.service.status import Snapshot

BEAT = 0.5  # s; a subscriber hears from us at least so often
MOST_AT_ONCE = 32
CALLS_A_TURN = 8  # of one connection, before the others have theirs
MOST_UNSENT = 64 * 1024  # bytes that a subscriber may leave unread before it is dropped


class Server:
    """Serves a listening Unix socket in a thread of its own.

    The control loop calls `take`, `publish` and `deliver`, none of which blocks.

    Parameters
    ----------
    listener
        Listening.
    instrument
        What is described to clients.
    policy
        Who may do what.
    version
        For GetInfo.
    record, past
        Takes events for the record without blocking, and tells the last; called from the server's thread.
    """

    def __init__(
        self,
        listener: socket.socket,
        instrument: Instrument,
        policy: Policy,
        version: str,
        record: Callable[[Iterable[Event]], None],
        past: Callable[[str, int, int], Past],
    ) -> None:
        self._listener = listener
        self._instrument = instrument
        self._policy = policy
        self._version = version
        self._record = Record(record)
        self._past = past
        self._requests: deque[AnyRequest] = deque()
        self._proofs: deque[Prove] = deque()
        self._replies: deque[tuple[int, Reply]] = deque()
        # The last tick that was evaluated; time and number of the last one.
        self._shown: tuple[Snapshot, float, int] | None = None
        self._changed = False
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._connections: dict[int, Connection] = {}
        self._again: dict[int, Connection] = {}  # those with more calls than fit into their turn
        self._numbers = itertools.count(1)
        self._due = time.monotonic() + BEAT
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = Worker(self._run, "server")

    # --- for the control loop ---

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.running

    def news(self) -> bool:
        """Whether anybody asks for anything, or the thread has ended."""
        return bool(self._requests or self._proofs) or not self._thread.running

    def take(self) -> tuple[AnyRequest, ...]:
        """Give what clients have asked for since the last call.

        Returns
        -------
        tuple of AnyRequest
            In the order of arrival.
        """
        return _emptied(self._requests) if self._requests else ()

    def take_proofs(self) -> tuple[Prove, ...]:
        """Give the proofs that clients have asked for since the last call.

        Returns
        -------
        tuple of Prove
            In the order of arrival.
        """
        return _emptied(self._proofs) if self._proofs else ()

    def publish(self, snapshot: Snapshot, replies: tuple[Reply, ...], changed: bool) -> None:
        """Hand over a completed tick.

        Parameters
        ----------
        snapshot
            What Status tells from now on.
        replies
            To the requests of this tick.
        changed
            Whether subscribers are to be told at once.
        """
        self._shown = snapshot, snapshot.time, snapshot.ticks
        if replies or changed:
            self._replies.extend((snapshot.ticks, reply) for reply in replies)
            self._changed = self._changed or changed
            os.eventfd_write(self._wake, 1)

    def repeat(self, now: float, ticks: int) -> None:
        """Hand over a completed tick that has found what the last one did.

        Parameters
        ----------
        now
            Its time [s].
        ticks
            Its number.
        """
        if self._shown is not None:
            self._shown = self._shown[0], now, ticks

    def close(self, timeout: float) -> None:
        """Tell the subscribers once more and end the thread.

        Parameters
        ----------
        timeout
            How long to wait for that [s].
        """
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(timeout)

    # --- the thread ---

    def _run(self) -> None:
        give_way()
        while not self._stopping:
            subscribers = any(c.subscribed is not None for c in self._connections.values())
            self.turn(max(0.0, self._due - time.monotonic()) if subscribers else None)
        self._tell()

    def turn(self, wait: float | None) -> None:
        """Serve once whoever is ready; what the thread does again and again.

        Parameters
        ----------
        wait
            How long to wait for somebody to be ready [s]; `None` for as long as it takes.
        """
        again, self._again = self._again, {}
        if again:
            wait = 0.0
        for key, events in self._selector.select(wait):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj == self._wake:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
            elif key.data.number in self._connections:
                self._serve(key.data, events)
        for connection in again.values():
            self._advance(connection)
        self._deliver()
        now = time.monotonic()
        if self._changed or now >= self._due:
            self._changed = False
            self._due = now + BEAT
            self._tell()

    def _accept(self) -> None:
        """Take in everyone who waits at the door, but not more at a time than is good for the others."""
        for _ in range(MOST_AT_ONCE):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                time.sleep(0.01)  # out of descriptors; do not spin on it
                return
            try:
                self._welcome(sock, permissions.identify(sock))
            except OSError:
                sock.close()  # gone already

    def _welcome(self, sock: socket.socket, peer: Peer) -> None:
        sock.setblocking(False)
        connection = Connection(next(self._numbers), sock, peer)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        why_not = no_room(self._connections.values(), peer, self._policy.uid)
        self._connections[connection.number] = connection
        if why_not is not None:
            self._fail(connection, b"\n", CallError(protocol.REFUSED, message=why_not), last=True)
            self._advance(connection)

    def _serve(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush(connection)
        if events & selectors.EVENT_READ and not connection.ended:
            try:
                data = connection.socket.recv(protocol.LONGEST_LINE)
            except BlockingIOError:
                return
            except OSError:
                self._drop(connection)
                return
            if data:
                connection.received = protocol.join(connection.received, data)
            else:
                self._end(connection)
        self._advance(connection)

    def _end(self, connection: Connection) -> None:
        """Note that the client says no more: its lease ends at once, its last answers are still sent."""
        connection.ended = True
        self._give_up_lease(connection)

    def _give_up_lease(self, connection: Connection) -> None:
        if connection.leases:
            connection.leases = False
            self._requests.append(Disconnect(connection.number, 0))

    def _advance(self, connection: Connection) -> None:
        """Answer what was received, one call after the other, until its turn is over."""
        turns = CALLS_A_TURN
        while not connection.busy():
            piece = protocol.cut(connection.received)
            if piece is None:
                if len(connection.received) > protocol.LONGEST_LINE:
                    self._too_long(connection, b"\n")
                connection.closing = connection.closing or connection.ended
                break
            if turns == 0:
                self._again[connection.number] = connection
                break
            turns -= 1
            message, terminator, connection.received = piece
            if len(message) > protocol.LONGEST_LINE:
                self._too_long(connection, terminator)
            else:
                self._handle(connection, message, terminator)
        if connection.closing and not connection.unsent:
            self._drop(connection)
            return
        self._watch(connection)

    def _too_long(self, connection: Connection, terminator: bytes) -> None:
        text = f"more than {protocol.LONGEST_LINE} bytes without an end; goodbye"
        self._fail(connection, terminator, CallError(protocol.MALFORMED, message=text), last=True)

    def _handle(self, connection: Connection, message: bytes, terminator: bytes) -> None:
        try:
            call = protocol.parse(message)
        except CallError as error:
            self._fail(connection, terminator, error)
            return
        try:
            answer = self._answer(connection, call, terminator)
        except CallError as error:
            if not call.oneway:
                self._fail(connection, terminator, error)
            return
        if answer is not None and not call.oneway:
            self._send(connection, terminator, {"parameters": answer})

    def _answer(self, connection: Connection, call: Call, terminator: bytes) -> Mapping[str, Any] | None:
        """Answer what can be answered here; `None` for what the control loop or a later change answers."""
        if call.method.startswith(f"{interface.SERVICE}."):
            return answering.introspect(call, self._version)
        if not call.method.startswith(f"{interface.INTERFACE}."):
            raise CallError(protocol.INTERFACE_NOT_FOUND, interface=call.method.rpartition(".")[0])
        protocol.check(call)
        why_not = permissions.refusal(call.short, connection.peer, self._policy)
        if why_not is not None:
            raise CallError(protocol.REFUSED, message=why_not)
        if call.short in ("Status", "History"):
            return self._status() if call.short == "Status" else history(call, self._past)
        if call.short == "Subscribe":
            if not call.more:
                raise CallError(protocol.EXPECTED_MORE)
            connection.subscribed = terminator
            self._send(connection, terminator, {"parameters": self._status(), "continues": True})
            return None
        number = next(self._numbers)
        by = self._record.who(connection.peer)
        request = protocol.to_request(call, connection.number, number, by)
        connection.leases = connection.leases or isinstance(request, AcquireLease)
        connection.waits = (number, terminator, call)
        self._record.asked(number, by, call)
        if isinstance(request, Prove):
            self._proofs.append(request)
        else:
            self._requests.append(request)
        return None

    def _status(self) -> dict[str, Any]:
        return answering.status(self._instrument, self._shown and later(*self._shown))

    # --- sending ---

    def _deliver(self) -> None:
        while self._replies:
            ticks, reply = self._replies.popleft()
            self._record.answered(reply)
            connection = self._connections.get(reply.client)
            if connection is None or connection.waits is None:
                continue
            _, terminator, call = connection.waits
            connection.waits = None
            if reply.refused is not None and not call.oneway:
                self._fail(connection, terminator, CallError(protocol.REFUSED, message=reply.refused))
            elif not call.oneway:
                granted = answering.granted(self._instrument, call, ticks)
                self._send(connection, terminator, {"parameters": granted})
            self._advance(connection)

    def _tell(self) -> None:
        """Send the status to every subscriber."""
        subscribers = [c for c in self._connections.values() if c.subscribed is not None]
        if subscribers:
            body = protocol.encode({"parameters": self._status(), "continues": True})
            for connection in subscribers:
                if connection.unsent and len(connection.unsent) + len(body) > MOST_UNSENT:
                    self._drop(connection)
                else:
                    self._put(connection, body + (connection.subscribed or b"\n"))

    def _fail(self, connection: Connection, terminator: bytes, error: CallError, last: bool = False) -> None:
        if last:
            connection.closing = True
            self._give_up_lease(connection)
        self._send(connection, terminator, {"error": error.error, "parameters": error.parameters})

    def _send(self, connection: Connection, terminator: bytes, message: Mapping[str, Any]) -> None:
        self._put(connection, protocol.encode(message) + terminator)

    def _put(self, connection: Connection, data: bytes) -> None:
        connection.unsent += data
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        connection.unsent = connection.unsent[sent:]
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Wait for what can happen next on this connection, and for nothing else."""
        if connection.number not in self._connections:
            return
        # A client that sends faster than it is answered waits in its own buffer, not in ours.
        deaf = connection.ended or connection.closing or len(connection.received) > protocol.LONGEST_LINE
        events = 0 if deaf else selectors.EVENT_READ
        if connection.unsent:
            events |= selectors.EVENT_WRITE
        registered = self._selector.get_map().get(connection.socket)
        if registered is None:
            if events:
                self._selector.register(connection.socket, events, connection)
        elif not events:
            self._selector.unregister(connection.socket)
        elif registered.events != events:
            self._selector.modify(connection.socket, events, connection)

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        connection.closing = True
        self._give_up_lease(connection)
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection.socket)
        connection.socket.close()


def _emptied(queue: deque[Any]) -> tuple[Any, ...]:
    taken = []
    while queue:
        taken.append(queue.popleft())
    return tuple(taken)
