"""A bypass from end to end: who may, for how long, what it shows, how it ends, and what is never bypassed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from nixel.safety.client import SafetyRefused

ONE_STRANGER = """
import os, socket, sys
os.setgroups([])
os.setuid(12345)
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
for call in sys.argv[2:]:
    line.sendall(call.encode() + b"\\n")
    print(line.recv(65536).decode().strip(), flush=True)
"""


@pytest.fixture
def daemon(unit, start_daemon, instrument_text):
    text = instrument_text.replace(
        "[safety.interlocks.coil-temperature]\n", '[safety.interlocks.coil-temperature]\nbypass = "10 min"\n'
    )
    assert text != instrument_text
    text = text.replace(
        "[safety.interlocks.emergency-stop]\n", "[safety.interlocks.emergency-stop]\nemergency_stop = true\n"
    )
    return start_daemon(unit.path, text)


def say(daemon, *arguments):
    command = [sys.executable, "-m", "nixel.safety", "--socket", str(daemon.socket), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def bypass(daemon, *arguments):
    return say(daemon, "bypass", *arguments)


def events(daemon, kind):
    lines = [json.loads(text) for text in daemon.events.read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def us(daemon):
    return f"(user {os.getuid()}, process "


def test_what_is_bypassed_lets_outputs_be_on_and_is_told_until_it_ends(daemon, unit):
    daemon.healthy()
    unit.analog = ["75.0"]
    daemon.wait_for(lambda now: any("75" in cause.message for cause in now.causes))
    with pytest.raises(SafetyRefused, match="cannot reset"):
        daemon.client.reset()
    done = bypass(
        daemon, "coil-temperature", "--for", "10 min", "--reason", "its sensor is broken, seen by hand"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "coil-temperature is BYPASSED for 10 min" in done.stdout
    daemon.client.reset()
    daemon.client.arm()
    with daemon.client.lease("a careful scan") as lease:
        lease.enable("amplifier")
        status = daemon.wait_for(lambda now: now.state == "ENERGISED")
        (bypassed,) = status.bypasses
        assert bypassed.interlock == "coil-temperature"
        assert bypassed.reason == "its sensor is broken, seen by hand"
        assert us(daemon) in bypassed.by
        assert 590.0 < bypassed.remaining_s <= 600.0
        found = {interlock.name: interlock for interlock in status.interlocks}["coil-temperature"]
        assert (found.healthy, found.bypassed) == (False, True)
        assert "BYPASSED, so it protects nobody: coil-temperature" in status.what_to_do
        assert "coil-temperature is BYPASSED by " in say(daemon, "explain").stdout
        assert "BYPASSED     coil-temperature" in say(daemon, "status").stdout
        lease.check()
        done = bypass(daemon, "--end", "coil-temperature")
        assert done.stdout == "coil-temperature is not bypassed any more\n"
        daemon.wait_for(lambda now: now.state == "FAULT" and not now.outputs["amplifier"])
    assert daemon.client.status().bypasses == ()
    assert daemon.end() == 0
    granted, ended = events(daemon, "bypass")
    assert granted["details"]["bypassed"]
    assert us(daemon) in granted["details"]["by"]
    assert "for 600 s" in granted["text"]
    assert "its sensor is broken, seen by hand" in granted["text"]
    assert ended["text"] == "the bypass of coil-temperature ended: it was asked to end"
    *asked, stopped = events(daemon, "request")
    assert stopped["details"]["by"] == "the service manager"
    assert [event["details"]["method"] for event in asked] == [
        *("Reset", "Arm", "AcquireLease", "Enable", "EndBypass")
    ]
    assert all(us(daemon) in event["details"]["by"] for event in asked)


def test_a_bypass_expires_by_itself_and_that_is_logged(daemon, unit):
    daemon.healthy()
    daemon.client.bypass("coil-temperature", 2.0, "for a moment")
    daemon.client.reset()
    unit.analog = ["75.0"]
    status = daemon.wait_for(lambda now: not now.interlocks[0].healthy)
    assert (status.state, len(status.bypasses)) == ("SAFE", 1)
    status = daemon.wait_for(lambda now: now.state == "FAULT")
    assert status.bypasses == ()
    assert daemon.end() == 0
    assert events(daemon, "bypass")[-1]["text"] == "the bypass of coil-temperature ended: its time is over"


def test_a_stop_by_anyone_ends_every_bypass(daemon):
    daemon.healthy()
    daemon.client.bypass("coil-temperature", 60.0, "a phantom")
    daemon.client.stop("enough")
    assert daemon.client.status().bypasses == ()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("emergency-stop", "--for", "1 s", "--reason", "x"), "emergency-stop may never be bypassed"),
        (
            ("coil-temperature", "--for", "11 min", "--reason", "x"),
            "may be bypassed for up to 600 s, not for 660 s",
        ),
        (
            ("lid", "--for", "1 s", "--reason", "x"),
            "no interlock 'lid'; those that may be bypassed: coil-temperature",
        ),
        (
            ("coil-temperature", "--for", "10", "--reason", "x"),
            "--for is '10', expected a time with its unit",
        ),
        (("coil-temperature", "--for", "ten min", "--reason", "x"), "expected a time with its unit"),
        (("coil-temperature", "--for", "10 min"), "say what, for how long and why"),
        (("coil-temperature", "--reason", "x"), "say what, for how long and why"),
        (("coil-temperature", "--for", "1 s", "--reason", ""), "--reason is empty: say why"),
        ((), "say what, for how long and why"),
        (("--end", "coil-temperature"), "'coil-temperature' is not bypassed"),
        (("--end", "coil-temperature", "--for", "1 s"), "--end NAME stands alone"),
    ],
)
def test_what_is_no_bypass_is_one_line_and_status_2_and_changes_nothing(daemon, arguments, says):
    daemon.healthy()
    done = bypass(daemon, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert daemon.client.status().bypasses == ()


def test_what_is_on_is_stopped_before_anything_is_bypassed(daemon):
    daemon.armed()
    done = bypass(daemon, "coil-temperature", "--for", "1 s", "--reason", "x")
    assert "the state is ARMED; stop, then bypass" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user to ask as one")
def test_a_stranger_bypasses_ends_and_proves_nothing(daemon):
    daemon.healthy()
    daemon.client.bypass("coil-temperature", 60.0, "a phantom")
    daemon.folder.chmod(0o755)
    for folder in daemon.folder.parents[:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    asked = {
        "Bypass": {"interlock": "coil-temperature", "duration_ms": 1000, "reason": "x"},
        "EndBypass": {"interlock": "coil-temperature"},
        "Prove": {"output": "amplifier"},
    }
    calls = [json.dumps({"method": f"io.nixel.Safety.{name}", "parameters": asked[name]}) for name in asked]
    done = subprocess.run(
        [sys.executable, "-c", ONE_STRANGER, str(daemon.socket), *calls],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for name, answer in zip(asked, answers, strict=True):
        assert answer["error"] == "io.nixel.Safety.Refused"
        assert answer["parameters"]["message"].startswith(f"{name} is for root or")
    time.sleep(0.05)
    assert [bypassed.reason for bypassed in daemon.client.status().bypasses] == ["a phantom"]
