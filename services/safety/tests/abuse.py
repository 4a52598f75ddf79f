"""What a client can do to the safety daemon's socket; each as a process of its own: abuse.py SOCKET ATTACK SECONDS."""

from __future__ import annotations

import contextlib
import random
import resource
import select
import socket
import struct
import sys
import time

METHODS = (
    *("Status", "Subscribe", "AcquireLease", "RenewLease", "ReleaseLease", "Arm", "Enable", "Disable"),
    *("Stop", "Reset", "Bypass", "EndBypass", "Prove", "History"),
)
STATUS = b'{"method":"io.nixel.Safety.Status"}\n'
SUBSCRIBE = b'{"method":"io.nixel.Safety.Subscribe","more":true}\n'
STOP = b'{"method":"io.nixel.Safety.Stop","parameters":{"reason":"abuse"}}\n'
MIB = 1024 * 1024


class Client:
    """Attacks on one socket until the time is up."""

    def __init__(self, path: str, seconds: float, seed: int = 1) -> None:
        self.path = path
        self.end = time.monotonic() + seconds
        self.random = random.Random(seed)
        self.done = 0  # connections, lines or MiB, as the attack counts

    def on(self) -> bool:
        return time.monotonic() < self.end

    def connect(self, blocking: bool = True) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(5.0)
        while True:
            try:
                made.connect(self.path)
                break
            except BlockingIOError:
                time.sleep(0.001)  # a full door
        made.setblocking(blocking)
        return made

    def pour(self, piece: bytes, total: int) -> None:
        """Send so much, in a new connection whenever the daemon has had enough; stop when the time is up."""
        sent = 0
        while sent < total and self.on():
            with self.connect() as line:
                line.settimeout(2.0)
                with contextlib.suppress(OSError):
                    while sent < total and self.on():
                        sent += line.send(piece)
        self.done += sent // MIB

    # --- the attacks ---

    def long_lines(self) -> None:
        """Lines of 100 MB, with and without an end."""
        while self.on():
            self.pour(b"x" * MIB, 100 * MIB)
            self.pour(b'{"method":"' + b"[" * MIB, 100 * MIB)

    def empty_lines(self) -> None:
        """100 MB of nothing but ends of lines."""
        while self.on():
            self.pour(b"\n\0 " * (MIB // 3), 100 * MIB)

    def heavy_lines(self) -> None:
        """The longest lines that are read, each as slow to parse as JSON can be, from several at once."""
        body = b'{"method":"io.nixel.Safety.Status","parameters":{"x":[' + b"1.5e300," * 1900 + b"1]}}\n"
        deep = b'{"method":' + b"[" * 16_000 + b"\n"
        self._keep_sending([body, deep], connections=20)

    def never_reads(self) -> None:
        """Calls on calls from clients that read no answer."""
        self._keep_sending([STATUS * 400], connections=50)

    def _keep_sending(self, pieces: list[bytes], connections: int) -> None:
        lines = [self.connect(blocking=False) for _ in range(connections)]
        unsent = [b""] * len(lines)
        while self.on():
            _, ready, _ = select.select([], lines, [], 0.1)
            for line in ready:
                at = lines.index(line)
                unsent[at] = unsent[at] or self.random.choice(pieces)
                with contextlib.suppress(BlockingIOError):
                    try:
                        sent = line.send(unsent[at])
                    except (BrokenPipeError, ConnectionResetError):
                        lines[at], sent = self.connect(blocking=False), len(unsent[at])
                        line.close()
                    unsent[at] = unsent[at][sent:]
                    self.done += 1
            # As busy as a client gets, but not so that there is nothing else on the processor.
            time.sleep(0.001)

    def deaf_subscribers(self) -> None:
        """Two hundred subscribers that never read, while every tick has news."""
        lines = []
        with self.connect() as stopper:
            stopper.settimeout(5.0)
            while self.on():
                while len(lines) < 200:
                    lines.append(self.connect())
                    lines[-1].sendall(SUBSCRIBE)
                    self.done += 1
                stopper.sendall(STOP)
                stopper.recv(65536)
                poll = select.poll()
                for line in lines:
                    poll.register(line, 0)
                gone = {fd for fd, _ in poll.poll(0)}
                for line in [line for line in lines if line.fileno() in gone]:
                    lines.remove(line)
                    line.close()

    def slow_readers(self) -> None:
        """A hundred subscribers that take a few bytes at a time."""
        lines = [self.connect(blocking=False) for _ in range(100)]
        for line in lines:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            line.send(SUBSCRIBE)
        while self.on():
            for at, line in enumerate(lines):
                with contextlib.suppress(BlockingIOError, ConnectionResetError):
                    self.done += 1
                    if not line.recv(16):
                        line.close()
                        lines[at] = self.connect(blocking=False)
                        lines[at].send(SUBSCRIBE)
            time.sleep(0.01)

    def thousand_connections(self) -> None:
        """A thousand connections at once, each in the middle of a call; again and again."""
        while self.on():
            lines = []
            for number in range(1000):
                if not self.on():
                    break
                lines.append(self.connect())
                with contextlib.suppress(OSError):
                    lines[-1].send(STATUS[: 1 + number % 30])
                self.done += 1
            for line in lines:
                line.close()

    def half_open(self) -> None:
        """Half a call, then a half-close, a close with unread answers, or a reset."""
        while self.on():
            line = self.connect()
            with line, contextlib.suppress(OSError):
                line.send(STATUS * self.random.randrange(3) + STATUS[: self.random.randrange(len(STATUS))])
                match self.random.randrange(3):
                    case 0:
                        line.shutdown(socket.SHUT_WR)
                        line.settimeout(1.0)
                        while line.recv(65536):
                            pass
                    case 1:
                        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.done += 1

    def noise(self) -> None:
        """Spoilt calls: bytes changed, cut, doubled and mixed with ends of lines."""
        while self.on():
            with self.connect() as line, contextlib.suppress(OSError):
                line.settimeout(0.05)
                for _ in range(20):
                    line.send(spoilt(self.random))
                    self.done += 1
                    with contextlib.suppress(TimeoutError):
                        line.recv(65536)


def spoilt(chance: random.Random) -> bytes:
    """A call that something has happened to."""
    call = bytearray(
        b'{"method":"io.nixel.Safety.%s","parameters":{"name":"n","output":"amplifier","duration_ms":200,"reason":"r"},'
        b'"more":true,"oneway":false}' % chance.choice(METHODS).encode()
    )
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(call) or 1)
        match chance.randrange(5):
            case 0:
                call[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del call[at : at + chance.randrange(20)]
            case 2:
                call[at:at] = call[at : at + chance.randrange(40)]
            case 3:
                call[at:at] = chance.choice((b"\0", b"\n", b"\0\n", b"\\ud800", b"\xff", b"1e999", b"NaN"))
            case _:
                call[at:at] = chance.choice((b"[", b'{"a":')) * chance.randrange(3000)
    return bytes(call) + chance.choice((b"\n", b"\0", b"\n\0", b""))


ATTACKS = (
    *("long-lines", "empty-lines", "heavy-lines", "never-reads", "deaf-subscribers", "slow-readers"),
    *("thousand-connections", "half-open", "noise"),
)


def main() -> None:
    """Run one attack and say how much of it there was."""
    path, attack, seconds = sys.argv[1:4]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    client = Client(path, float(seconds))
    getattr(client, attack.replace("-", "_"))()
    print(client.done)


if __name__ == "__main__":
    main()
