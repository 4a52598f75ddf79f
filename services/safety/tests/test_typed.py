"""The socket as a person types into it, with a real nc."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

NC = shutil.which("nc")


@pytest.fixture
def nc(daemon):
    if NC is None:
        pytest.skip("no nc on this machine (Debian: apt install netcat-openbsd)")
    if "OpenBSD" not in subprocess.run([NC, "-h"], capture_output=True, text=True, check=False).stderr:
        pytest.skip(
            "the nc of this machine is not OpenBSD's, which alone speaks to Unix sockets (netcat-openbsd)"
        )

    def typed(data: bytes) -> bytes:
        # -N: say when there is no more to come, as Ctrl-D does.
        command = [NC, "-N", "-U", str(daemon.socket)]
        return subprocess.run(command, input=data, capture_output=True, timeout=10, check=True).stdout

    return typed


@pytest.mark.parametrize("end", [b"\n", b"\0"], ids=["newline", "NUL"])
def test_what_is_typed_is_answered_in_kind(nc, end):
    answered = nc(b'{"method": "io.nixel.Safety.Status"}' + end)
    assert answered.count(end) == 1
    assert answered.endswith(end)
    assert json.loads(answered[:-1])["parameters"]["state"] == "FAULT"


def test_a_session_of_several_lines_is_answered_line_by_line(nc, daemon):
    daemon.healthy()
    lines = nc(
        b"hello\n\n"
        b'{"method": "io.nixel.Safety.Reset"}\n'
        b'{"method": "io.nixel.Safety.Stop", "parameters": {"reason": "typed by hand"}}\n'
        b'  {"method": "io.nixel.Safety.Status", "parameters": {}}  \r\n'
        b'{"method": "org.varlink.service.GetInfo"}\n'
    ).splitlines()
    wrong, reset, stopped, status, info = map(json.loads, lines)
    assert wrong["error"] == "io.nixel.Safety.Malformed"
    assert reset["parameters"].keys() == stopped["parameters"].keys() == {"ticks"}
    assert status["parameters"]["state"] == "SAFE"
    assert info["parameters"]["product"] == "nixel safety daemon"


def test_a_person_reads_along(daemon):
    if NC is None:
        pytest.skip("no nc on this machine (Debian: apt install netcat-openbsd)")
    daemon.healthy()
    with subprocess.Popen(
        [NC, "-U", daemon.socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as watching:
        watching.stdin.write(b'{"method": "io.nixel.Safety.Subscribe", "more": true}\n')
        watching.stdin.flush()
        assert json.loads(watching.stdout.readline())["continues"]
        daemon.client.reset()
        while json.loads(watching.stdout.readline())["parameters"]["state"] != "SAFE":
            pass
        watching.kill()
