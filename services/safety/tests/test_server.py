"""The socket of a real daemon, as people and other programs type into it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from nixel.safety.client import (
    LeaseLost,
    SafetyClient,
    SafetyError,
    SafetyRefused,
    SafetyUnavailable,
    parse_status,
)

STATUS = b'{"method":"io.nixel.Safety.Status"}'
SUBSCRIBE = b'{"method":"io.nixel.Safety.Subscribe","more":true}'


class Typed:
    """A connection that sends and receives bytes as they are."""

    def __init__(self, daemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(daemon.socket))  # waits where a timeout would make it give up at once
        self.socket.settimeout(3.0)
        self.received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self, end: bytes = b"\n"):
        while end not in self.received:
            data = self.socket.recv(65536)
            assert data, "the daemon closed the connection"
            self.received += data
        message, _, self.received = self.received.partition(end)
        return json.loads(message)

    def closed(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            while self.socket.recv(65536):
                pass
        return True


@pytest.fixture
def typed(daemon):
    with contextlib.ExitStack() as stack:

        def connect() -> Typed:
            made = Typed(daemon)
            stack.callback(made.socket.close)
            return made

        yield connect


@pytest.mark.parametrize("end", [b"\n", b"\0"])
def test_is_answered_with_the_terminator_that_was_used(typed, end):
    line = typed()
    line.send(STATUS + end)
    answer = line.line(end)
    assert set(answer) == {"parameters"}
    assert set(answer["parameters"]) == {
        *("state", "outputs", "interlocks", "lease", "first_cause", "causes", "off_reason", "simulated"),
        *("ticks", "missed_deadlines", "what_to_do", "bypasses", "proofs"),
    }
    assert line.received == b""


def test_pieces_empty_lines_and_many_calls_at_once(typed):
    line = typed()
    line.send(b"\n\0\n" + STATUS[:9])
    time.sleep(0.05)
    line.send(STATUS[9:] + b"\n" + STATUS + b"\0" + STATUS + b"\n")
    assert "parameters" in line.line()
    assert "parameters" in line.line(b"\0")
    assert "parameters" in line.line()


def test_calls_of_one_connection_are_done_one_after_the_other(daemon, typed):
    daemon.healthy()
    line = typed()
    names = ["Reset", "Arm", "AcquireLease", "Enable", "Disable", "ReleaseLease", "Stop"]
    parameters = {
        "AcquireLease": {"name": "nc"},
        "Enable": {"output": "amplifier"},
        "Disable": {"output": "amplifier"},
    }
    line.send(
        b"".join(
            json.dumps({"method": f"io.nixel.Safety.{name}", "parameters": parameters.get(name, {})}).encode()
            + b"\n"
            for name in names
        )
    )
    answers = [line.line() for _ in names]
    assert all("error" not in answer for answer in answers), answers
    ticks = [answer["parameters"]["ticks"] for answer in answers]
    assert ticks == sorted(set(ticks)), "each in a tick of its own"
    assert answers[2]["parameters"]["duration_ms"] == 500


@pytest.mark.parametrize(
    ("message", "error", "parameters"),
    [
        (b'{"method":"io.nixel.Safety.Nothing"}', "MethodNotFound", {"method": "io.nixel.Safety.Nothing"}),
        (b'{"method":"org.varlink.service.X"}', "MethodNotFound", {"method": "org.varlink.service.X"}),
        (b'{"method":"org.example.Other.Do"}', "InterfaceNotFound", {"interface": "org.example.Other"}),
        (b'{"method":"io.nixel.Safety.Enable"}', "InvalidParameter", {"parameter": "output"}),
        (b'{"method":"io.nixel.Safety.Status","parameters":{"x":1}}', "InvalidParameter", {"parameter": "x"}),
        (b'{"method":"io.nixel.Safety.Subscribe"}', "ExpectedMore", {}),
        (
            b'{"method":"org.varlink.service.GetInterfaceDescription"}',
            "InvalidParameter",
            {"parameter": "interface"},
        ),
        (
            b'{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"a.b"}}',
            "InterfaceNotFound",
            {"interface": "a.b"},
        ),
    ],
)
def test_a_wrong_call_is_answered_in_varlinks_words_and_the_connection_stays(
    typed, message, error, parameters
):
    line = typed()
    line.send(message + b"\n")
    answer = line.line()
    assert answer == {"error": f"org.varlink.service.{error}", "parameters": parameters}
    line.send(STATUS + b"\n")
    assert "parameters" in line.line()


@pytest.mark.parametrize("garbage", [b"hello?", b"\xff\xfe\x00", b'{"method":', b"[[[[", b"GET / HTTP/1.1\r"])
def test_garbage_is_answered_and_the_connection_stays(typed, garbage):
    line = typed()
    line.send(garbage + b"\n")
    end = b"\0" if b"\0" in garbage else b"\n"
    answer = line.line(end)
    assert answer["error"] == "io.nixel.Safety.Malformed"
    assert "io.nixel.Safety.Status" in answer["parameters"]["message"]
    if end == b"\n":
        line.send(STATUS + b"\n")
        assert "parameters" in line.line()


@pytest.mark.parametrize("terminated", [True, False])
def test_a_line_that_is_too_long_is_answered_and_closed(daemon, typed, terminated):
    line = typed()
    sender = threading.Thread(target=_send_much, args=(line, terminated))
    sender.start()
    answer = line.line()
    sender.join()
    assert answer["error"] == "io.nixel.Safety.Malformed"
    assert "more than 16384 bytes" in answer["parameters"]["message"]
    assert line.closed()
    assert daemon.client.status().ticks > 0


def _send_much(line, terminated):
    with contextlib.suppress(OSError):
        line.send(b"x" * 70_000 + (b"\n" if terminated else b""))


def test_introspection(typed):
    line = typed()
    line.send(b'{"method":"org.varlink.service.GetInfo","parameters":{}}\0')
    info = line.line(b"\0")["parameters"]
    assert info["interfaces"] == ["io.nixel.Safety", "org.varlink.service"]
    for interface in info["interfaces"]:
        asked = {
            "method": "org.varlink.service.GetInterfaceDescription",
            "parameters": {"interface": interface},
        }
        line.send(json.dumps(asked).encode() + b"\0")
        assert f"interface {interface}\n" in line.line(b"\0")["parameters"]["description"]


def test_a_oneway_call_gets_no_answer(daemon, typed):
    daemon.healthy()
    line = typed()
    line.send(b'{"method":"io.nixel.Safety.Reset","oneway":true}\n')
    line.send(b'{"method":"io.nixel.Safety.Nonsense","oneway":true}\n')
    line.send(b'{"method":"io.nixel.Safety.Status","oneway":true}\n' + STATUS + b"\n")
    assert line.line()["parameters"]["state"] == "SAFE"
    assert line.received == b""


def test_what_was_asked_before_a_half_close_is_still_answered(daemon, typed):
    line = typed()
    line.send(b'{"method":"io.nixel.Safety.Stop","parameters":{"reason":"nc"}}\n' + STATUS + b"\n")
    line.socket.shutdown(socket.SHUT_WR)
    assert "ticks" in line.line()["parameters"]
    assert "state" in line.line()["parameters"]
    assert line.closed()


def test_a_half_close_ends_the_lease(daemon, typed):
    line = typed()
    line.send(b'{"method":"io.nixel.Safety.AcquireLease","parameters":{"name":"nc"}}\n')
    assert line.line()["parameters"]["duration_ms"] == 500
    assert daemon.client.status().lease.holder == "nc"
    line.socket.shutdown(socket.SHUT_WR)
    daemon.wait_for(lambda status: status.lease is None, timeout=0.3)


def test_a_subscriber_hears_at_once_at_every_change_and_twice_a_second(daemon, typed):
    daemon.healthy()
    line = typed()
    line.send(SUBSCRIBE + b"\0")
    first = line.line(b"\0")
    assert first["continues"]
    assert first["parameters"]["state"] == "FAULT"
    began = time.monotonic()
    daemon.client.reset()
    while line.line(b"\0")["parameters"]["state"] != "SAFE":
        pass
    assert time.monotonic() - began < 0.2
    line.line(b"\0")
    began = time.monotonic()
    for _ in range(4):
        line.line(b"\0")
    assert 1.2 < time.monotonic() - began < 2.6


def test_a_subscriber_that_does_not_read_is_dropped_and_disturbs_nobody(daemon, typed):
    daemon.healthy()
    line = typed()
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    line.send(SUBSCRIBE + b"\n")
    with daemon.client.lease("somebody else") as lease:
        for _ in range(450):  # every one a change, some 1 KiB each
            daemon.client.stop("again")
        lease.check()
    total = 0
    with contextlib.suppress(ConnectionResetError):
        while data := line.socket.recv(65536):
            total += len(data)
    assert total < 600_000, "what the kernel and the daemon kept for it, and no more"


def test_more_connections_than_it_serves_are_told_so(daemon, typed):
    lines = [typed() for _ in range(256)]
    lines[-1].send(STATUS + b"\n")
    lines[-1].line()
    one_more = typed()
    answer = one_more.line()
    assert "at most 256 connections" in answer["parameters"]["message"]
    assert one_more.closed()
    lines[0].socket.close()
    time.sleep(0.05)
    assert daemon.client.status().ticks > 0


def test_calls_that_are_sent_faster_than_they_are_answered_wait_and_hold_up_nobody(daemon, typed):
    many = 10_000
    hasty = typed()
    sender = threading.Thread(target=hasty.send, args=((STATUS + b"\n") * many,))
    sender.start()
    slowest = 0.0
    for _ in range(20):
        began = time.monotonic()
        daemon.client.status()
        slowest = max(slowest, time.monotonic() - began)
    assert sender.is_alive(), "it is held back until it reads"
    assert all("parameters" in hasty.line() for _ in range(many))
    sender.join()
    assert slowest < 0.1


ONE_USER = """
import os, socket, sys
os.setgroups([])
os.setuid(12345)
lines = []
for _ in range(65):
    lines.append(socket.socket(socket.AF_UNIX))
    lines[-1].connect(sys.argv[1])
print(lines[64].recv(1000).decode().strip(), lines[64].recv(1000), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user to ask as one")
def test_one_user_cannot_take_all_the_connections(daemon):
    daemon.folder.chmod(0o755)
    for folder in daemon.folder.parents[:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    command = [sys.executable, "-c", ONE_USER, str(daemon.socket)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        told = other.stdout.readline()
        assert "at most 64 connections of one user, and user 12345 has as many" in told
        assert told.endswith("b''\n"), "and closed"
        lines = [Typed(daemon) for _ in range(150)]
        lines[-1].send(STATUS + b"\n")
        assert "parameters" in lines[-1].line()
        for line in lines:
            line.socket.close()
        other.stdin.close()


def test_a_connection_that_is_reset_while_it_waits_harms_nothing(daemon, typed):
    for _ in range(20):
        line = typed()
        line.send(b'{"method":"io.nixel.Safety.AcquireLease","parameters":{"name":"x"}}\n')
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.socket.close()
    daemon.wait_for(lambda status: status.lease is None, timeout=0.5)


# --- the client ---


def test_one_lease_at_a_time_and_a_clear_refusal(daemon):
    second = daemon.client.lease("second")
    with daemon.client.lease("first"), pytest.raises(SafetyRefused, match="held by 'first'"):
        second.__enter__()
    with daemon.client.lease("second", duration=0.2):
        assert daemon.client.status().lease.holder == "second"


def test_a_lease_is_renewed_for_as_long_as_it_is_held(daemon):
    with daemon.client.lease("short", duration=0.3) as lease:
        for _ in range(20):
            time.sleep(0.05)
            lease.check()
        remaining = daemon.client.status().lease.remaining_s
    assert 0.0 < remaining <= 0.3


def test_enabling_before_arming_is_refused(daemon):
    with daemon.client.lease("hasty") as lease, pytest.raises(SafetyRefused, match="a fault is latched"):
        lease.enable("amplifier")


def test_a_lease_used_outside_its_block_says_so(daemon):
    with pytest.raises(SafetyError, match="use it in a with block"):
        daemon.client.lease("eager").enable("amplifier")


def test_leaving_the_block_switches_off_and_gives_the_lease_back(daemon, unit):
    daemon.armed()
    with contextlib.suppress(ZeroDivisionError), daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        _ = 1 / 0
    status = daemon.client.status()
    assert (status.state, status.lease, status.outputs) == ("ARMED", None, {"amplifier": False})


def test_a_stop_is_told_to_the_holder(daemon):
    daemon.armed()
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        daemon.client.stop("lunch")
        deadline = time.monotonic() + 1.0
        while lease.lost is None and time.monotonic() < deadline:
            time.sleep(0.001)
        with pytest.raises(LeaseLost, match="stopped: lunch"):
            lease.check()
        with pytest.raises(LeaseLost, match="stopped: lunch"):
            lease.enable("amplifier")


def test_a_holder_with_nothing_on_is_not_told_of_a_stop(daemon):
    daemon.armed()
    with daemon.client.lease("waiting") as lease:
        daemon.client.stop("lunch")
        time.sleep(0.2)
        lease.check()


def test_subscribe_yields_the_status(daemon):
    stream = daemon.client.subscribe()
    assert next(stream).state == "FAULT"
    stream.close()


def test_waits_until_healthy_and_says_what_is_not(daemon, unit):
    daemon.client.wait_until_healthy()
    daemon.client.reset()
    unit.digital = ["0"]
    daemon.wait_for(lambda status: status.state == "FAULT")
    with pytest.raises(SafetyRefused, match=r"not healthy after 0\.7 s: emergency stop pressed"):
        daemon.client.wait_until_healthy(timeout=0.7)


def test_a_daemon_that_does_not_answer_is_said(tmp_path):
    path = tmp_path / "deaf.sock"
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with deaf:
        deaf.bind(str(path))
        deaf.listen(1)
        with pytest.raises(SafetyUnavailable, match="does not answer; look at its log"):
            SafetyClient(path, timeout=0.1).status()


@pytest.mark.parametrize("answer", [b"220 mail.example.org ESMTP\r\n\0", b"[]\0", b"\xff\0"])
def test_something_else_that_answers_is_said(tmp_path, answer):
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        other.listen(1)
        client = SafetyClient(path, timeout=1.0)
        outcome = []

        def ask():
            try:
                client.status()
            except SafetyError as error:
                outcome.append(str(error))

        asking = threading.Thread(target=ask)
        asking.start()
        connection, _ = other.accept()
        with connection:
            connection.sendall(answer)
            asking.join()
    assert outcome == [f"what answers at {path} is not a safety daemon; name its socket"]


def test_a_name_that_cannot_be_shown_is_refused_in_a_sentence(daemon):
    lease = daemon.client.lease("two\nlines")
    with pytest.raises(SafetyRefused, match="does not take this name; a text has 1 to 200 printable"):
        lease.__enter__()


def test_a_status_of_another_version_is_said():
    with pytest.raises(SafetyError, match="lacks 'lease'; it is of another version"):
        parse_status({})
