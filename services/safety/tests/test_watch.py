"""The live view, through a pipe and on a terminal; the daemon may come and go."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest


def command(daemon):
    return [sys.executable, "-m", "nixel.safety", "--socket", str(daemon.socket), "watch"]


@pytest.fixture
def piped(daemon):
    process = subprocess.Popen(command(daemon), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def until(process, what):
    """Lines up to the first with `what`."""
    lines = []
    while not lines or what not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], lines
    return lines


def test_a_pipe_gets_one_line_a_change_and_none_else(daemon, unit, piped):
    daemon.healthy()
    until(piped, "FAULT")
    time.sleep(1.3)  # more than two beats of the subscription, with drifting values
    unit.analog = ["26.0"]
    daemon.client.reset()
    daemon.client.arm()
    daemon.client.stop("tea")
    unit.digital = ["0"]
    lines = until(piped, "fault: emergency stop pressed")
    words = [re.sub(r"^\S+Z  (\S+) .*\n", r"\1", line) for line in lines]
    # What is wrong right after the start is said too, and "healthy again" is a change.
    assert [word for word in words if word != "FAULT"] == ["SAFE", "ARMED", "SAFE"], lines
    assert len(lines) <= 6, lines
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  ", line) for line in lines)


def test_it_survives_the_daemons_restart(daemon, piped):
    daemon.healthy()
    until(piped, "FAULT")
    daemon.client.reset()
    until(piped, "SAFE")  # what is told second comes by the subscription, so that is there
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    assert "has closed the connection" in until(piped, "GONE")[-1]
    again = subprocess.Popen(daemon.command, stdout=subprocess.PIPE, text=True)
    try:
        until(piped, "FAULT")
    finally:
        again.terminate()
        again.communicate(timeout=5)


def test_ctrl_c_ends_it_without_a_word(piped):
    until(piped, "FAULT")
    piped.send_signal(signal.SIGINT)
    _, errors = piped.communicate(timeout=5)
    assert (piped.returncode, errors) == (0, "")


def test_a_reader_that_has_had_enough_ends_it(daemon, piped):
    until(piped, "FAULT")
    piped.stdout.close()
    daemon.healthy()
    daemon.client.reset()
    assert piped.wait(5) == 0
    assert piped.stderr.read() == ""


def test_a_wrong_socket_is_said_at_once(tmp_path):
    arguments = [sys.executable, "-m", "nixel.safety", "--socket", str(tmp_path / "no"), "watch"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no safety daemon answers" in done.stderr


def test_a_terminal_is_repainted_and_given_back(daemon):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "LINES": "8"}
    process = subprocess.Popen(command(daemon), stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    try:
        for what in (b"FAULT", b"SAFE  ("):
            deadline = time.monotonic() + 5.0
            while what not in seen and time.monotonic() < deadline:
                if select.select([ours], [], [], 0.1)[0]:
                    seen += os.read(ours, 65536)
            daemon.healthy()
            daemon.client.reset()
        process.send_signal(signal.SIGINT)
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            seen += data
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 0
    assert seen.startswith(b"\x1b[?1049h\x1b[?25l\x1b[H"), "another screen, no cursor, from the top"
    painted, back, after = seen.partition(b"\x1b[?25h\x1b[?1049l")
    assert back
    frames = painted.split(b"\x1b[H")[1:]
    assert len(frames) >= 2
    for frame in frames:
        text = re.sub(rb"\x1b\[[KJ]", b"", frame).replace(b"\r", b"").decode()
        lines = text.splitlines()
        assert len(lines) <= 7
        assert all(len(line) <= 59 for line in lines)
        assert frame.endswith(b"\x1b[J"), "nothing of a longer frame is left"
    assert b"SAFE" in after, "what was last seen stays"
