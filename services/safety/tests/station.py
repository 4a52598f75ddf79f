"""A whole safety daemon but for its threads and its wires, in one thread: what a fuzzer plays with.

The server, its sockets and the safety logic are the real ones; time is ours, and so is who is at the other end. A
script is a list of steps; after each of them what must always hold is checked.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import varlink_idl

from nixel.safety.config.instrument import Deadlines, Instrument
from nixel.safety.core import model
from nixel.safety.core.step import start, step
from nixel.safety.proof import Prover
from nixel.safety.records.events import EventLog
from nixel.safety.service import connection as connections
from nixel.safety.service import interface, permissions, protocol, server
from nixel.safety.service.permissions import Peer, Policy
from nixel.safety.service.server import Server
from nixel.safety.service.status import Snapshot

PERIOD, LEASE, BYPASS = 0.01, 0.5, 600.0
CORE = model.Config(
    PERIOD,
    LEASE,
    (
        model.Limit("coil", "analog:0", "degC", 60.0, 0.2, warn=50.0, bypass=BYPASS),
        model.Boolean("stop", "digital:0", True, 0.2, emergency_stop=True),
    ),
    (
        model.Output("mains", "gpio:1", ("stop",)),
        model.Output("amplifier", "ac", ("coil", "stop"), after=("mains",)),
    ),
)
INSTRUMENT = Instrument(Path("station.toml"), CORE, "", Deadlines(), None, None, 365 * 86400.0)
OPERATOR, STRANGER = Peer(7, 4000, frozenset({100})), Peer(8, 4001, frozenset())
POLICY = Policy(4002, 100, "operators")
SAFETY, SERVICE = (
    varlink_idl.parse(interface.DESCRIPTIONS[name]) for name in (interface.INTERFACE, interface.SERVICE)
)
DESCRIBED = {interface.INTERFACE: SAFETY, interface.SERVICE: SERVICE}
MOST_CLIENTS = 12
# The server's bounds, made so small that a short script reaches them.
BOUNDS = (
    (protocol, "LONGEST_LINE", 300),
    (connections, "MOST_CONNECTIONS", 8),
    (connections, "MOST_OF_ONE_USER", 4),
    (server, "MOST_AT_ONCE", 2),
    (server, "CALLS_A_TURN", 3),
    (server, "MOST_UNSENT", 6000),
)
SMALLEST_BUFFER = 4608  # bytes that Linux keeps of what a peer has not read, at the least
LONGEST_ANSWER = 16 * 1024
OURS = f"{interface.INTERFACE}."
CALLS = (
    *({"method": OURS + name} for name in ("Status", "RenewLease", "ReleaseLease", "Arm", "Reset", "Stop")),
    {"method": OURS + "AcquireLease", "parameters": {"name": "fuzz"}},
    {"method": OURS + "AcquireLease", "parameters": {"name": "short", "duration_ms": 30}},
    *(
        {"method": OURS + name, "parameters": {"output": "amplifier"}}
        for name in ("Enable", "Disable", "Prove")
    ),
    {"method": OURS + "Enable", "parameters": {"output": "mains"}},
    {"method": OURS + "Bypass", "parameters": {"interlock": "coil", "duration_ms": 200, "reason": "fuzz"}},
    {"method": OURS + "Bypass", "parameters": {"interlock": "stop", "duration_ms": 200, "reason": "fuzz"}},
    {"method": OURS + "EndBypass", "parameters": {"interlock": "coil"}},
    {"method": OURS + "Subscribe", "more": True},
    {"method": OURS + "Stop", "oneway": True},
    {"method": f"{interface.SERVICE}.GetInfo"},
    {
        "method": f"{interface.SERVICE}.GetInterfaceDescription",
        "parameters": {"interface": interface.INTERFACE},
    },
    {"method": f"{interface.SERVICE}.GetInterfaceDescription", "parameters": {"interface": "org.example"}},
    {"method": f"{interface.SERVICE}.GetInterfaceDescription"},
    {"method": f"{interface.SERVICE}.Nothing"},
    {"method": "org.example.Nothing"},
)
_NUMBERS = itertools.count()


@dataclass
class Client:
    """One end of a connection, as the client has it."""

    socket: socket.socket
    peer: Peer
    sent: bytes = b""
    received: bytes = b""
    answers: list = field(default_factory=list)
    looked_at: int = 0  # of the answers
    ended: bool = False  # says no more
    closed: bool = False


class Station:
    """A server and the safety logic, step by step."""

    def __init__(self) -> None:
        self.now, self.ticks = 0.0, 0
        self.state = start(self.now)
        self.prover = Prover(CORE, {})
        self.recorded: list[model.Event] = []
        self._looked_at = 0
        self.events: list[model.Event] = []
        self.clients: list[Client] = []
        self.temperature: float | None = 25.0
        self.pressed = False
        self.relays = {"gpio:1": False, "ac": False}
        self.stuck = False  # a relay that does not care whether the charge pump runs
        self.address = f"\0nixel-station-{os.getpid()}-{next(_NUMBERS)}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.address)
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.server = Server(
            self.listener, INSTRUMENT, POLICY, "0", self.recorded.extend, EventLog(None).past
        )
        self.server._due = math.inf  # a subscription's beat is a step of its own
        self._who: list[Peer] = []
        self._kept = [(permissions, "identify", permissions.identify)]
        self._kept += [(module, name, getattr(module, name)) for module, name, _ in BOUNDS]
        for module, name, value in BOUNDS:
            setattr(module, name, value)
        permissions.identify = self._welcome
        self.tick()

    def _welcome(self, sock: socket.socket) -> Peer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALLEST_BUFFER)
        return self._who.pop(0)

    def close(self) -> None:
        for module, name, value in self._kept:
            setattr(module, name, value)
        for client in self.clients:
            client.socket.close()
        for connection in tuple(self.server._connections.values()):
            connection.socket.close()
        self.server._selector.close()
        os.close(self.server._wake)
        self.listener.close()

    # --- steps ---

    def connect(self, operator: bool = True) -> Client | None:
        if len(self.clients) >= MOST_CLIENTS:
            return None
        made = Client(socket.socket(socket.AF_UNIX), OPERATOR if operator else STRANGER)
        made.socket.connect(self.address)
        made.socket.setblocking(False)
        self._who.append(made.peer)
        self.clients.append(made)
        self.turn()
        return made

    def send(self, client: Client, data: bytes) -> None:
        if client.ended or client.closed:
            return
        while data:
            try:
                taken = client.socket.send(data)
            except BlockingIOError:
                self.turn()
                self.read(client)
                if client.closed:
                    return
                continue
            except OSError:
                client.closed = True
                return
            client.sent += data[:taken]
            data = data[taken:]

    def call(self, client: Client, call: dict, end: bytes = b"\n") -> None:
        self.send(client, json.dumps(call).encode() + end)

    def turn(self) -> None:
        self.server.turn(0.0)

    def beat(self) -> None:
        self.server._due = 0.0
        self.turn()
        self.server._due = math.inf

    def tick(self, times: int = 1) -> None:
        """What the control loop does; the relays follow at once and so do their reports."""
        for _ in range(times):
            self.now = round(self.now + PERIOD, 6)
            readings = {
                "analog:0": model.Reading(self.temperature, self.now - 0.001),
                "digital:0": model.Reading(not self.pressed, self.now - 0.001),
                **{
                    f"readback:{sink}": model.Reading(on, self.now - 0.001)
                    for sink, on in self.relays.items()
                },
            }
            asked = self.server.take()
            proof = self.prover.step(
                self.state, readings, self.server.take_proofs(), self.now, 1.8e9 + self.now
            )
            inputs = model.Inputs(readings, asked, proof.faults)
            self.state, outputs, events = step(CORE, self.state, inputs, self.now)
            for output in CORE.outputs:
                withheld = proof.withheld and not self.stuck
                self.relays[output.sink] = output.name in outputs.on and not withheld
            self.ticks += 1
            found = self.state, outputs.verdicts, self.now, self.ticks
            snapshot = Snapshot(*found, 0, self.prover.proofs, readings)
            events += proof.events
            self.server.publish(snapshot, outputs.replies + proof.replies, changed=bool(events))
            self.events += events

    def read(self, client: Client) -> None:
        if client.closed:
            return
        while True:
            try:
                data = client.socket.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                client.closed = True
                break
            client.received += data
        *messages, client.received = _split(client.received)
        client.answers += [json.loads(message) for message in messages]

    def half_close(self, client: Client) -> None:
        if not (client.ended or client.closed):
            with contextlib.suppress(OSError):
                client.socket.shutdown(socket.SHUT_WR)
            client.ended = True

    def hang_up(self, client: Client) -> None:
        client.socket.close()
        client.closed = True
        self.clients.remove(client)

    def settle(self) -> None:
        """Go on until nobody has anything left to be answered; that must come to an end."""
        for _ in range(4000):
            before = self._progress()
            self.turn()
            self.tick()
            self.turn()
            for client in self.clients:
                self.read(client)
            waiting = any(connection.waits for connection in self.server._connections.values())
            busy = waiting or self.server._again or self.server._requests or self.server._proofs
            if not busy and before == self._progress():
                return
        raise AssertionError("the server does not come to rest")

    def _progress(self) -> list:
        theirs = [(len(client.answers), len(client.received), client.closed) for client in self.clients]
        ours = [
            (connection.number, len(connection.received), len(connection.unsent), connection.ended)
            for connection in self.server._connections.values()
        ]
        return [*theirs, *ours]

    # --- what must always hold ---

    def check(self) -> None:
        live = self.server._connections
        # Those that have hung up or are told to linger for a turn or two.
        assert len(live) <= connections.MOST_CONNECTIONS + MOST_CLIENTS
        for connection in live.values():
            assert len(connection.received) <= 2 * protocol.LONGEST_LINE
            assert len(connection.unsent) <= server.MOST_UNSENT + LONGEST_ANSWER
        assert len(self.server._record._asked) <= 2 * MOST_CLIENTS + len(self.server._requests)
        assert len(self.server._requests) <= 2 * MOST_CLIENTS + len(live)
        state = self.state
        if state.on:
            assert state.mode is model.Mode.ENERGISED
            assert not state.causes
            assert not self.pressed or state.ticked is None, "the emergency stop is pressed"
            assert state.lease is not None
        for name, bypassed in state.bypasses.items():
            assert name == "coil", "nothing else may be bypassed"
            assert bypassed.expires <= self.now + BYPASS
            assert f"user {OPERATOR.uid}, process {OPERATOR.pid}" in bypassed.by
        for event in self.recorded[self._looked_at :]:
            assert f"user {OPERATOR.uid}" in str(event.details["by"]), "no stranger is granted anything"
        self._looked_at = len(self.recorded)
        for client in self.clients:
            for answer in client.answers[client.looked_at :]:
                _right(answer, client.peer)
            client.looked_at = len(client.answers)

    def check_at_rest(self) -> None:
        """What holds once everything has been answered; afterwards anybody can still look and stop."""
        self.check()
        for client in self.clients:
            if not client.closed:
                least = _expected(client.sent)
                got = len(client.answers)
                assert got >= least, f"{least} calls, {got} answers"
        self.beat()  # a subscriber that has gone is noticed when it is told something
        self.settle()
        connected = set(self.server._connections)
        assert len(connected) <= len(self.clients), "a connection outlives its client"
        if self.state.lease is not None:
            assert self.state.lease.client in connected, "a lease outlives its connection"
        for client in tuple(self.clients):
            self.hang_up(client)
        self.settle()
        self.beat()
        self.settle()
        assert not self.server._connections, "a connection outlives its client"
        assert not self.server._record._asked
        assert self.state.lease is None
        assert not self.state.on
        last = self.connect(operator=False)
        assert last is not None
        self.call(last, {"method": OURS + "Stop", "parameters": {"reason": "the end"}}, b"\0")
        self.call(last, {"method": OURS + "Status"}, b"\0")
        self.settle()
        stopped, status = last.answers
        assert "ticks" in stopped["parameters"]
        assert status["parameters"]["state"] in ("SAFE", "FAULT")
        assert not any(status["parameters"]["outputs"].values())
        assert self.relays == {"gpio:1": False, "ac": False}


def _split(data: bytes) -> list[bytes]:
    return data.replace(b"\0", b"\n").split(b"\n")


def _right(answer: dict, peer: Peer) -> None:
    """An answer is of a described type, and no stranger gets one that is for operators."""
    if "error" in answer:
        assert answer.keys() == {"error", "parameters"}, answer
        name, _, error = answer["error"].rpartition(".")
        described = DESCRIBED[name]
        assert described.wrong(described.errors[error], answer["parameters"]) == [], answer
        return
    assert answer.keys() - {"continues"} == {"parameters"}, answer
    possible = [
        name
        for name, described in (
            *((f"{OURS}{name}", SAFETY) for name in SAFETY.methods),
            *((f"{interface.SERVICE}.{name}", SERVICE) for name in SERVICE.methods),
        )
        if described.wrong(described.methods[name.rpartition(".")[2]][1], answer["parameters"]) == []
    ]
    assert possible, answer
    if peer == STRANGER:
        assert any(
            not name.startswith(OURS) or name.removeprefix(OURS) in permissions.FOR_ANYONE
            for name in possible
        )


def _expected(sent: bytes) -> int:
    """How many answers a client must have at the least for what it has sent."""
    many = 0
    *messages, _ = _split(sent)
    for message in messages:
        if not message.strip(b" \t\r"):
            continue
        if b"oneway" in message or b"\\u" in message:
            continue
        many += 1
        if len(message) > protocol.LONGEST_LINE or b"Subscribe" in message:
            break
    return many


# --- scripts ---

STEPS = 10


def play(script: bytes) -> Station:
    """Play a script as a fuzzer makes it up: of each step the first byte says what, the second to whom."""
    station = Station()
    try:
        at = 0
        while at + 1 < len(script) and station.ticks < 400:
            what, whom = script[at] % STEPS, script[at + 1]
            at += 2
            client = station.clients[whom % len(station.clients)] if station.clients else None
            if what == 0 or client is None:
                station.connect(operator=whom % 4 != 0)
            elif what == 1:
                length = script[at] if at < len(script) else 0
                station.send(client, script[at + 1 : at + 1 + length])
                at += 1 + length
            elif what == 2:
                which = script[at] if at < len(script) else 0
                at += 1
                station.call(client, CALLS[which % len(CALLS)], b"\0" if which & 128 else b"\n")
            elif what == 3:
                station.turn()
            elif what == 4:
                station.tick(1 + whom % 8)
            elif what == 5:
                station.read(client)
            elif what == 6:
                station.half_close(client)
            elif what == 7:
                station.hang_up(client)
            elif what == 8:
                station.temperature = (25.0, 55.0, 65.0, None)[whom % 4]
                station.pressed, station.stuck = whom & 4 != 0, whom & 8 != 0
                station.tick()
            else:
                station.beat()
            station.check()
        station.settle()
        station.check_at_rest()
    finally:
        station.close()
    return station
