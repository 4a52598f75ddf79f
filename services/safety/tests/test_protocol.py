"""The language of the socket: framing, calls, requests, and who may call what."""

from __future__ import annotations

import os
import socket

import pytest

from nixel.safety.core import model
from nixel.safety.proof import Prove
from nixel.safety.service import protocol
from nixel.safety.service.permissions import Names, Peer, Policy, identify, refusal
from nixel.safety.service.protocol import Call, CallError


def test_either_terminator_ends_a_message_whichever_comes_first():
    assert protocol.cut(b"a\nb\0c") == (b"a", b"\n", b"b\0c")
    assert protocol.cut(b"b\0c\n") == (b"b", b"\0", b"c\n")
    assert protocol.cut(b"no end") is None


def test_any_number_of_empty_messages_goes_in_one_pass():
    empty = b"\n\0 \t\r\n" * 20_000
    assert protocol.join(b"", empty) == b""
    assert protocol.join(b"", empty + b" a") == b"a"
    assert protocol.join(b"a", b" \n") == b"a \n"
    assert protocol.cut(b"a\n" + empty + b"b\0") == (b"a", b"\n", b"b\0")


@pytest.mark.parametrize(
    "message",
    [
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"method": 1}',
        b'{"method": "a.b", "parameters": []}',
        b'{"method": "a.b", "more": "yes"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
def test_what_is_no_call_is_malformed_and_shown_how_one_looks(message):
    with pytest.raises(CallError) as caught:
        protocol.parse(message)
    assert caught.value.error == "io.nixel.Safety.Malformed"
    assert '{"method": "io.nixel.Safety.Status", "parameters": {}}' in caught.value.parameters["message"]


def test_a_call():
    call = protocol.parse(b'{"method": "io.nixel.Safety.Subscribe", "parameters": null, "more": true}')
    assert call == Call("io.nixel.Safety.Subscribe", {}, more=True)
    assert call.short == "Subscribe"


def request(method, **parameters):
    call = Call(f"io.nixel.Safety.{method}", parameters)
    protocol.check(call)
    return protocol.to_request(call, 3, 8, "user 5, process 6")


def test_each_method_becomes_its_request():
    assert request("AcquireLease", name="x") == model.AcquireLease(3, 8, "x", None)
    assert request("AcquireLease", name="x", duration_ms=250) == model.AcquireLease(3, 8, "x", 0.25)
    assert request("RenewLease") == model.RenewLease(3, 8)
    assert request("ReleaseLease") == model.ReleaseLease(3, 8)
    assert request("Arm") == model.Arm(3, 8)
    assert request("Enable", output="amplifier") == model.Enable(3, 8, "amplifier")
    assert request("Disable", output="amplifier") == model.Disable(3, 8, "amplifier")
    assert request("Stop", reason="smoke") == model.Stop(3, 8, "smoke", "user 5, process 6")
    assert request("Stop") == model.Stop(3, 8, "no reason given", "user 5, process 6")
    assert request("Reset") == model.Reset(3, 8)
    by = "user 5, process 6"
    wanted = {"interlock": "bore", "duration_ms": 60_000, "reason": "phantom"}
    assert request("Bypass", **wanted) == model.Bypass(3, 8, "bore", 60.0, by, "phantom")
    assert request("EndBypass", interlock="bore") == model.EndBypass(3, 8, "bore")
    assert request("Prove", output="amplifier") == Prove(3, 8, "amplifier", by)


@pytest.mark.parametrize(
    ("method", "parameters", "name"),
    [
        ("Enable", {}, "output"),
        ("Enable", {"output": 1}, "output"),
        ("Enable", {"output": ""}, "output"),
        ("Enable", {"output": "a", "force": True}, "force"),
        ("AcquireLease", {"name": "x" * 201}, "name"),
        ("AcquireLease", {"name": "two\nlines"}, "name"),
        ("AcquireLease", {"name": "x", "duration_ms": True}, "duration_ms"),
        ("AcquireLease", {"name": "x", "duration_ms": 0.5}, "duration_ms"),
        ("AcquireLease", {"name": "x", "duration_ms": 0}, "duration_ms"),
        ("AcquireLease", {"name": "x", "duration_ms": 10**400}, "duration_ms"),
        ("Reset", {"hard": True}, "hard"),
        ("Bypass", {"interlock": "bore", "duration_ms": 1000}, "reason"),
        ("Bypass", {"interlock": "bore", "duration_ms": 1000, "reason": ""}, "reason"),
        ("Bypass", {"interlock": "bore", "reason": "phantom"}, "duration_ms"),
        ("Bypass", {"interlock": "bore", "reason": "phantom", "duration_ms": 10**8}, "duration_ms"),
        ("Bypass", {"interlock": "bore", "reason": "x", "duration_ms": 1000, "by": "the king"}, "by"),
        ("EndBypass", {}, "interlock"),
        ("Prove", {}, "output"),
    ],
)
def test_a_wrong_parameter_is_named(method, parameters, name):
    with pytest.raises(CallError) as caught:
        request(method, **parameters)
    assert caught.value.error == "org.varlink.service.InvalidParameter"
    assert caught.value.parameters == {"parameter": name}


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "no reason given"),
        ({"reason": None}, "no reason given"),
        ({"reason": 5}, "no reason given"),
        ({"reason": " \n"}, "no reason given"),
        ({"reason": "\0\ud800"}, "no reason given"),
        ({"reason": "\0" * 300 + "smoke"}, "smoke"),
        ({"reason": "two\nlines\ud800"}, "two lines"),
        ({"reason": "x" * 5000}, "x" * 200),
        ({"raeson": "smoke", "reason": "smoke"}, "smoke"),
    ],
)
def test_a_stop_is_never_refused_however_it_is_worded(parameters, reason):
    assert request("Stop", **parameters).reason == reason


def test_a_method_that_does_not_exist_is_named():
    with pytest.raises(CallError) as caught:
        request("Energise")
    assert caught.value.error == "org.varlink.service.MethodNotFound"


# --- permissions ---

POLICY = Policy(uid=990, group=991, group_name="nixel-operator")
ANYONE = ["Status", "Subscribe", "Stop"]
OPERATORS = [
    "AcquireLease",
    "RenewLease",
    "ReleaseLease",
    "Arm",
    "Enable",
    "Disable",
    "Reset",
    "Bypass",
    "EndBypass",
    "Prove",
]


@pytest.mark.parametrize("method", ANYONE + OPERATORS)
@pytest.mark.parametrize(
    ("peer", "operator"),
    [
        (Peer(1, 0, frozenset()), True),
        (Peer(1, 990, frozenset()), True),
        (Peer(1, 1000, frozenset({100, 991})), True),
        (Peer(1, 1000, frozenset({100})), False),
        (Peer(1, 991, frozenset()), False),
    ],
    ids=["root", "the daemon's user", "a member", "a stranger", "a user numbered like the group"],
)
def test_anyone_may_look_and_stop_and_operators_may_the_rest(method, peer, operator):
    why_not = refusal(method, peer, POLICY)
    assert (why_not is None) == (operator or method in ANYONE)
    if why_not is not None:
        assert method in why_not
        assert "'nixel-operator'" in why_not
        assert f"you are user {peer.uid}" in why_not


def test_without_a_group_only_root_and_the_daemons_user_operate():
    policy = Policy(990, None, "")
    assert "root or user 990" in refusal("Arm", Peer(1, 1000, frozenset({0, 990})), policy)


def test_the_kernel_vouches_for_the_peer():
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = identify(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())
    assert peer.groups >= {os.getgid()}


def test_a_kernel_that_tells_no_groups_leaves_the_first_one():
    class Old:
        def getsockopt(self, level, option, size):
            if option != socket.SO_PEERCRED:
                raise OSError(92, "Protocol not available")
            return (7).to_bytes(4, "little") + (1000).to_bytes(4, "little") + (100).to_bytes(4, "little")

    assert identify(Old()) == Peer(7, 1000, frozenset({100}))


def test_a_user_is_named_as_this_machines_own_table_names_it(tmp_path):
    table = tmp_path / "passwd"
    table.write_text(
        "root:x:0:0::/root:/bin/sh\nanna:x:1000:100::/:/bin/sh\nalias:x:1000:100::/:\nspoilt\na:b:c\n"
    )
    names, anna = Names(table), Peer(42, 1000, frozenset())
    assert names.who(anna) == "anna (user 1000, process 42)"
    assert names.who(Peer(42, 1001, frozenset())) == "user 1001, process 42"
    table.write_text("berta:x:1000:100::/:/bin/sh\n")
    os.utime(table, ns=(1, 1))
    assert names.who(anna) == "berta (user 1000, process 42)", "read again when it changes"
    table.unlink()
    assert names.who(anna) == "user 1000, process 42", "never a name that may be another's by now"
