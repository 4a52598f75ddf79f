"""The interface descriptions say what the server does: every method, parameter, answer and error, and no other."""

from __future__ import annotations

import ast
import fcntl
import inspect
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import varlink_idl

from nixel.safety.service import interface, permissions, protocol, server
from nixel.safety.service.permissions import Peer, Policy
from nixel.safety.service.protocol import Call, CallError

ROOT = Path(__file__).resolve().parents[3]
SAFETY, SERVICE = (
    varlink_idl.parse(interface.DESCRIPTIONS[name]) for name in ("io.nixel.Safety", "org.varlink.service")
)
VALUES = {"string": "x", "int": 7}


def filled(kind):
    """Parameters with every described one present."""
    return {name: VALUES[inner[1] if inner[0] == "maybe" else inner] for name, inner in dict(kind[1]).items()}


# --- what is described is what there is ---


def test_the_methods_and_parameters_described_are_those_that_the_server_knows():
    assert {name: tuple(asked[1]) for name, (asked, _) in SAFETY.methods.items()} == protocol._PARAMETERS


@pytest.mark.parametrize("name", sorted(SAFETY.methods))
def test_each_method_takes_what_is_described_and_needs_what_is_not_optional(name):
    asked, _ = SAFETY.methods[name]
    full = Call(f"io.nixel.Safety.{name}", filled(asked))
    protocol.check(full)
    if name in ("Status", "Subscribe", "History"):  # answered without a request to the loop
        return
    protocol.to_request(full, 1, 2, "")
    for parameter, kind in asked[1].items():
        rest = {key: value for key, value in full.parameters.items() if key != parameter}
        short = Call(full.method, rest)
        if kind[0] == "maybe":
            protocol.to_request(short, 1, 2, "")
            protocol.to_request(Call(full.method, {**rest, parameter: None}), 1, 2, "")
        else:
            with pytest.raises(CallError, match="InvalidParameter"):
                protocol.to_request(short, 1, 2, "")
        if name != "Stop":  # which takes anything
            wrong = {**rest, parameter: 1 if "string" in kind else "1"}
            with pytest.raises(CallError, match="InvalidParameter"):
                protocol.to_request(Call(full.method, wrong), 1, 2, "")


@pytest.mark.parametrize("name", sorted(SAFETY.methods))
def test_the_description_says_rightly_who_may_call_what(name):
    why_not = permissions.refusal(name, Peer(1, 1000, frozenset()), Policy(0, None, ""))
    assert (why_not is None) == (name in ("Status", "Subscribe", "Stop"))
    assert "Anyone may call Status, Subscribe and Stop; the operators" in interface.DESCRIPTION


def answered_errors():
    """Each error that the server's source can answer, with the names of its parameters."""
    found = set()
    for module in (protocol, server):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CallError":
                constant = ast.unparse(node.args[0]).removeprefix("protocol.")
                found.add((getattr(protocol, constant), frozenset(word.arg for word in node.keywords)))
    return found


def test_the_errors_described_are_those_that_are_answered():
    errors = answered_errors()
    described = {
        (f"{described.name}.{name}", frozenset(kind[1]))
        for described in (SAFETY, SERVICE)
        for name, kind in described.errors.items()
    }
    assert errors <= described
    ours = {error for error in described if error[0].startswith("io.nixel.Safety.")}
    assert ours == {error for error in errors if error[0].startswith("io.nixel.Safety.")}


# --- answers of a real daemon are of the types described ---


class Line:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.settimeout(3.0)
        self.file = self.socket.makefile("rb")

    def ask(self, method, more=False, **parameters):
        call = {"method": method, "parameters": parameters, "more": more}
        self.socket.sendall(json.dumps(call).encode() + b"\n")
        return self.answer()

    def answer(self):
        return json.loads(self.file.readline())

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def line(daemon):
    made = Line(daemon.socket)
    yield made
    made.close()


def right(answer, method, described=SAFETY):
    assert answer.keys() - {"continues"} == {"parameters"}, answer
    wrong = described.wrong(described.methods[method][1], answer["parameters"], method)
    assert not wrong, wrong
    return answer["parameters"]


def test_every_answer_on_the_way_through_the_states_is_of_the_type_described(daemon, unit, line):
    daemon.healthy()
    seen = {right(line.ask("io.nixel.Safety.Status"), "Status")["state"]}
    steps = (
        ("Reset", {}),
        ("Arm", {}),
        ("AcquireLease", {"name": "t", "duration_ms": 400}),
        ("RenewLease", {}),
        ("Enable", {"output": "amplifier"}),
    )
    for method, parameters in steps:
        right(line.ask(f"io.nixel.Safety.{method}", **parameters), method)
        seen.add(right(line.ask("io.nixel.Safety.Status"), "Status")["state"])
    status = right(line.ask("io.nixel.Safety.Status"), "Status")
    assert status["lease"] is not None
    for method, parameters in (
        ("Disable", {"output": "amplifier"}),
        ("ReleaseLease", {}),
        ("Stop", {"reason": "t"}),
    ):
        right(line.ask(f"io.nixel.Safety.{method}", **parameters), method)
    unit.analog[0] = "75.0"
    daemon.wait_for(lambda now: now.state == "FAULT")
    unit.silent = True
    daemon.wait_for(lambda now: len(now.causes) > 1)
    faulty = right(line.ask("io.nixel.Safety.Subscribe", more=True), "Subscribe")
    assert faulty["first_cause"] is not None
    assert faulty["causes"]
    for _ in range(3):
        right(line.answer(), "Subscribe")
    states = SAFETY.methods["Status"][1][1]["state"][1]
    assert seen | {faulty["state"]} == set(states)


def test_every_refusal_is_of_the_type_described(line):
    calls = (
        ("io.nixel.Safety.Enable", {"output": "nothing"}),
        ("io.nixel.Safety.Enable", {}),
        ("io.nixel.Safety.Nothing", {}),
        ("io.nixel.Safety.Subscribe", {}),
        ("org.example.X", {}),
        ("org.varlink.service.X", {}),
    )
    got = [line.ask(method, **parameters) for method, parameters in calls]
    line.socket.sendall(b"{\n")
    got.append(line.answer())
    for answer in got:
        name, _, error = answer["error"].rpartition(".")
        described = {"io.nixel.Safety": SAFETY, "org.varlink.service": SERVICE}[name]
        assert described.wrong(described.errors[error], answer["parameters"], error) == []
    assert {answer["error"] for answer in got} == {error for error, _ in answered_errors()}


def test_the_service_interface_answers_as_it_is_described(line):
    info = right(line.ask("org.varlink.service.GetInfo"), "GetInfo", SERVICE)
    for name in info["interfaces"]:
        answer = line.ask("org.varlink.service.GetInterfaceDescription", interface=name)
        text = right(answer, "GetInterfaceDescription", SERVICE)["description"]
        assert varlink_idl.parse(text).name == name


def test_the_check_of_types_finds_what_is_wrong():
    described = varlink_idl.parse(
        "interface a.b\ntype T (n: int, s: ?string)\nmethod M() -> (t: []T, f: float)"
    )
    kind = described.methods["M"][1]
    assert described.wrong(kind, {"t": [{"n": 1}, {"n": 2, "s": "x"}], "f": 1}) == []
    for bad in (
        {"t": []},
        {"t": [{"n": True}], "f": 1.0},
        {"t": [{"n": 1, "s": 2}], "f": 1.0},
        {"t": {}, "f": 1.0},
    ):
        assert described.wrong(kind, bad), bad
    assert described.wrong(kind, {"t": [], "f": 0.5, "more": 1}) == [".more is not described"]


# --- systemd's own program ---


@pytest.fixture(scope="session")
def varlinkctl():
    """How to start varlinkctl: this machine's, or that of the deployment tests' machines, whose root has one."""
    here = shutil.which("varlinkctl")
    if here:
        yield [here]
        return
    machines = ROOT / "tools" / "containers"
    if not machines.exists():
        pytest.skip("no varlinkctl on this machine, and outside the workspace no test machines either")
    done = subprocess.run([machines], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["tools/containers failed"]
        pytest.skip(
            f"no varlinkctl (systemd 255 or newer) on this machine, nor a test machine's: {words[-1]}"
        )
    root = Path(done.stdout.strip())
    program = root / "usr/bin/varlinkctl"
    loaders = [*root.glob("usr/lib/*/ld-linux-*.so.*")]
    if not program.exists() or not loaders:
        pytest.skip(f"no varlinkctl on this machine, and none in the test machines' root {root}")
    # Its own loader and libraries; nothing of this machine's need fit.
    libraries = loaders[0].parent
    # While the lock is held nobody removes the root.
    with root.with_name(f"{root.name}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield [str(loaders[0]), "--library-path", f"{libraries}:{libraries}/systemd", str(program)]


@pytest.fixture
def ctl(varlinkctl, daemon):
    def run(verb, *arguments, options=()):
        command = [*varlinkctl, "--no-pager", *options, verb, f"unix:{daemon.socket}", *arguments]
        # Colours and pagers are for terminals.
        plain = {**os.environ, "SYSTEMD_COLORS": "0", "TERM": "dumb"}
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=plain)

    return run


def test_varlinkctl_shows_who_we_are(ctl):
    done = ctl("info")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Product: nixel safety daemon" in done.stdout
    for name in interface.DESCRIPTIONS:
        assert name in done.stdout
    assert ctl("list-interfaces").stdout.split() == sorted(interface.DESCRIPTIONS)


@pytest.mark.parametrize("name", sorted(interface.DESCRIPTIONS))
def test_varlinkctl_understands_the_description_as_we_do(ctl, name):
    done = ctl("introspect", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert varlink_idl.parse(done.stdout) == varlink_idl.parse(interface.DESCRIPTIONS[name])


def test_varlinkctl_calls(ctl, daemon):
    daemon.healthy()
    for method in ("Reset", "Arm"):
        done = ctl("call", f"io.nixel.Safety.{method}", "{}", options=("--json=short",))
        assert done.returncode == 0, done
        assert right({"parameters": json.loads(done.stdout)}, method)
    status = json.loads(ctl("call", "io.nixel.Safety.Status", "{}", options=("--json=short",)).stdout)
    assert right({"parameters": status}, "Status")["state"] == "ARMED"
    stop = ctl("call", "io.nixel.Safety.Stop", '{"reason": "over varlink"}', options=("--oneway",))
    assert stop.returncode == 0
    daemon.wait_for(lambda now: "over varlink" in (now.off_reason or ""))


def test_varlinkctl_is_told_what_is_wrong(ctl):
    done = ctl("call", "io.nixel.Safety.Enable", "{}")
    assert done.returncode != 0
    assert "org.varlink.service.InvalidParameter" in done.stderr
    done = ctl("call", "io.nixel.Safety.Nothing", "{}")
    assert "org.varlink.service.MethodNotFound" in done.stderr
    done = ctl("introspect", "io.nixel.Other")
    assert done.returncode != 0
    assert "InterfaceNotFound" in done.stderr


def read(following):
    """One of a sequence of answers; each begins with the record separator of RFC 7464."""
    return json.loads(following.stdout.readline().removeprefix("\x1e"))


def test_varlinkctl_subscribes(varlinkctl, daemon):
    daemon.healthy()
    command = [*varlinkctl, "--more", "--json=short", "call", f"unix:{daemon.socket}"]
    with subprocess.Popen(
        [*command, "io.nixel.Safety.Subscribe", "{}"], stdout=subprocess.PIPE, text=True
    ) as following:
        began = time.monotonic()
        states = [right({"parameters": read(following)}, "Subscribe")["state"]]
        daemon.client.reset()
        while states[-1] != "SAFE":
            states.append(read(following)["state"])
            assert time.monotonic() - began < 5.0, states
        following.kill()
    assert states[0] == "FAULT"
