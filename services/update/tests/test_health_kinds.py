"""The kinds of checks of the health check: what is good, what is not, and in which words."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from nixel.update.health.config import parse
from nixel.update.health.machine import Clock, Devices, Disk, Units, judge_clock
from nixel.update.health.model import Finding
from nixel.update.health.safety import Safety, judge

MADE = 1_790_000_000  # the date of a system, in September 2026
YEAR = 365.25 * 86400


def interlock(name, healthy):
    return {"name": name, "healthy": healthy, "message": f"{name} is {'fine' if healthy else 'not fine'}"}


def cause(name):
    return {"name": name, "message": f"the cause {name}"}


def status(state="FAULT", *, causes=("start",), **healthy):
    interlocks = [interlock(name, value) for name, value in healthy.items()]
    return {"state": state, "interlocks": interlocks, "causes": [cause(name) for name in causes]}


def known(*names):
    return {"kind": "safety", "answered": True, "state": "SAFE", "known": list(names)}


@pytest.mark.parametrize(
    ("now", "before", "good"),
    [
        # Every restart of the daemon latches; that is no fault of an update.
        (status(stop=True), known(), True),
        (status("SAFE", causes=(), stop=True), known(), True),
        (status("ARMED", causes=(), stop=True), known(), True),
        # Pulled before, pulled now: whether the daemon has restarted meanwhile or not.
        (status(causes=("start", "stop"), stop=False), known("stop"), True),
        (status(causes=("stop",), stop=True), known("stop"), True),
        (status(stop=True), known("stop"), True),
        # Not so before.
        (status(stop=False), known(), False),
        (status(causes=("start", "readback"), stop=True), known(), False),
        (status(stop=False, door=False), known("stop"), False),
        # Nobody knows what was before, so all of it counts.
        (status(stop=False), None, False),
        (status(stop=False), {"answered": False, "known": ["stop"]}, False),
        (status(stop=True), None, True),
    ],
)
def test_a_fault_counts_if_it_was_not_there_before(now, before, good):
    assert judge(now, before).good is good


def test_words_about_safety_name_what_is_wrong():
    finding = judge(status(stop=False, door=False), known("stop"))
    assert "door is not fine" in finding.words
    assert "stop is not fine" not in finding.words
    assert "stop is not fine" in judge(status(stop=False), known("stop")).words


class Daemon:
    """Answers every connection with the same bytes, or not at all."""

    def __init__(self, path, answer):
        self.path, self.answer, self.asked = str(path), answer, []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen()
        self._open = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(line)
            with contextlib.suppress(OSError):
                self.asked.append(line.recv(65536))
            if self.answer is not None:
                with contextlib.suppress(OSError):  # who has heard enough hangs up
                    line.sendall(self.answer)
                line.close()

    def close(self):
        self._socket.close()
        for line in self._open:
            line.close()


@pytest.fixture
def daemon(tmp_path):
    made = []

    def make(answer):
        made.append(Daemon(tmp_path / f"s{len(made)}", answer))
        return made[-1]

    yield make
    for each in made:
        each.close()


def answer(parameters):
    return json.dumps({"parameters": parameters}).encode() + b"\0"


def test_the_daemon_is_asked_in_its_own_language(daemon):
    running = daemon(answer(status("SAFE", causes=(), stop=True)))
    check = Safety(running.path)
    assert check.look(check.snapshot(), 2).good
    assert json.loads(running.asked[0].rstrip(b"\0"))["method"] == "io.nixel.Safety.Status"
    assert check.snapshot() == {"answered": True, "state": "SAFE", "known": []}


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "half way"),
        (b'{"parameters": {}', "half way"),
        (b"hello\0", "JSON"),
        (b"[" * 100_000 + b"\0", "JSON"),
        (b"[]\0", "status"),
        (b'{"error": "io.nixel.Safety.Malformed", "parameters": {}}\0', "status"),
        (answer({**status(stop=True), "causes": None}), "status"),
        (answer({**status(stop=True), "interlocks": [{"name": "x", "message": "", "healthy": 1}]}), "status"),
        (b"x" * (3 << 20), "half way"),
        (None, "does not answer within"),
    ],
)
def test_what_is_no_answer_does_not_pass(daemon, sent, words):
    check = Safety(daemon(sent).path)
    began = time.monotonic()
    finding = check.look(None, 0.3)
    assert time.monotonic() - began < 2
    assert not finding.good
    assert words in finding.words


def test_nobody_listens(tmp_path):
    check = Safety(str(tmp_path / "none"))
    assert check.snapshot() == {"answered": False, "state": "", "known": []}
    assert "does not listen" in check.look(None, 1).words


class Page(BaseHTTPRequestHandler):
    code, body = 200, b'{"instrument": {"name": "bench", "simulated": true}}'

    def do_GET(self):
        self.names.append((self.path, self.headers["Host"]))
        self.send_response(self.code)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def page():
    class Handler(Page):
        names: ClassVar = []

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Handler, server.server_address[1]
    server.shutdown()
    server.server_close()


def made(kind, **settings):
    table = {"kind": kind, "within": 1, **settings}
    return parse({"format": 1, "checks": {"it": table}}, "here")[0].check


def test_a_service_is_ready_when_it_says_so(page):
    handler, port = page
    expect = {"instrument.name": "bench", "instrument.simulated": True}
    check = made(
        "http", host="127.0.0.1", port=port, path="/api/v1/status", name="scanner.example", expect=expect
    )
    assert check.look(None, 2) == Finding(True, f"http://127.0.0.1:{port}/api/v1/status answers as expected.")
    assert handler.names == [("/api/v1/status", "scanner.example")]


@pytest.mark.parametrize(
    ("change", "expect", "words"),
    [
        ({"code": 503}, {}, "status 503"),
        ({"body": b"<html>"}, {"a": 1}, "JSON"),
        ({}, {"instrument.name": "other"}, "instrument.name = 'bench', not 'other'"),
        ({}, {"instrument.simulated": 1}, "instrument.simulated = True, not 1"),
        ({}, {"instrument.name.first": "b"}, "= None"),
    ],
)
def test_another_answer_does_not_pass(page, change, expect, words):
    handler, port = page
    for key, value in change.items():
        setattr(handler, key, value)
    finding = made("http", host="127.0.0.1", port=port, path="/", expect=expect).look(None, 2)
    assert not finding.good
    assert words in finding.words


def test_http_over_a_unix_socket(daemon):
    fine = daemon(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    assert made("http", socket=fine.path, path="/").look(None, 2).good
    assert b"Host: localhost\r\n" in fine.asked[0]
    assert (
        "not answer in HTTP" in made("http", socket=daemon(b"hello\r\n").path, path="/").look(None, 2).words
    )
    assert "within" in made("http", socket=daemon(None).path, path="/").look(None, 0.3).words
    assert "reached" in made("http", socket=fine.path + "x", path="/").look(None, 2).words


def test_devices_that_were_there_are_there_again(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.touch()
    check = Devices((str(one), str(two)))
    before = check.snapshot()
    assert before == {"there": [str(one)]}
    assert check.look(before, 1).good  # two was not there before, so nobody misses it
    assert check.look(None, 1).good
    one.unlink()
    two.touch()
    finding = check.look(before, 1)
    assert not finding.good
    assert str(one) in finding.words
    assert str(two) not in finding.words
    # A device that the new system no longer names is not missed.
    assert Devices((str(two),)).look(before, 1).good


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A systemctl that knows these failed units, or does what else it is told."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()

    def says(*failed, instead=""):
        rows = json.dumps([{"unit": name, "active": "failed", "description": "A unit"} for name in failed])
        wanted = '[ "$1 $2 $3 $4" = "list-units --all --state=failed --output=json" ] || exit 64\n'
        program.write_text(f"#!/bin/sh\n{wanted}{instead or f'echo {rows!r}'}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return says


def test_units_that_have_failed_since(systemctl):
    check = Units(("*-wait-online.service",))
    systemctl("old.service")
    before = check.snapshot()
    assert before == {"failed": ["old.service"]}
    assert check.look(before, 2).good
    # A cable that is not plugged in is no fault of an update.
    systemctl("old.service", "systemd-networkd-wait-online.service")
    assert check.look(before, 2).good
    systemctl("old.service", "new.service")
    finding = check.look(before, 2)
    assert not finding.good
    assert "new.service" in finding.words
    assert "old.service" not in finding.words
    systemctl()
    assert check.look(before, 2).good


def test_a_unit_counts_if_nobody_knows_what_was_before(systemctl):
    systemctl("old.service")
    assert not Units(()).look({"unknown": "no answer"}, 2).good
    assert not Units(()).look(None, 2).good


@pytest.mark.parametrize(
    ("instead", "words"),
    [("echo no bus >&2; exit 1", "no bus"), ("echo '[1]'", "JSON"), ("exec sleep 60", "within")],
)
def test_systemd_does_not_answer(systemctl, instead, words):
    systemctl(instead=instead)
    finding = Units(()).look(None, 0.5)
    assert not finding.good
    assert words in finding.words


def test_a_disk_has_room(tmp_path):
    assert Disk(str(tmp_path), 1, writable=True).look(None, 1).good
    finding = Disk(str(tmp_path), 1 << 60, writable=True).look(None, 1)
    assert not finding.good
    assert "MiB were expected" in finding.words
    assert "cannot be looked at" in Disk(str(tmp_path / "none"), 1, writable=True).look(None, 1).words


@pytest.mark.parametrize(("writable", "good"), [(True, False), (False, True)])
def test_a_disk_that_became_read_only(monkeypatch, writable, good):
    class Found:
        f_flag, f_bavail, f_frsize = 1, 1 << 20, 4096

    monkeypatch.setattr("os.statvfs", lambda _: Found)
    assert Disk("/x", 1, writable=writable).look(None, 1).good is good


@pytest.mark.parametrize(
    ("now", "good"),
    [
        (MADE - 1, False),
        (MADE, True),
        (MADE + 20 * YEAR, True),
        (MADE + 20 * YEAR + 1, False),
        (0, False),
        (-1e9, False),
    ],
)
def test_a_clock_that_can_be_right(now, good):
    assert judge_clock(now, MADE).good is good


def test_the_clock_is_this_machines():
    assert Clock(int(time.time())).look(None, 1).good
    assert not Clock(int(time.time()) + 3600).look(None, 1).good


PYTHON = sys.executable


@pytest.mark.parametrize(
    ("code", "good", "words"),
    [
        ("print('all is well')", True, "all is well"),
        ("import sys; sys.exit('no \\x1b light')", False, "ended with 1, and 0 was expected: no ? light"),
        ("import os; os.kill(os.getpid(), 15)", False, "killed by signal 15"),
        ("print('x' * 100000)", True, "x"),
    ],
)
def test_a_program_says_whether_all_is_well(code, good, words):
    finding = made("command", argv=[PYTHON, "-c", code]).look(None, 20)
    assert finding.good is good
    assert words in finding.words
    assert len(finding.words) < 400


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path):
    mark = tmp_path / "mark"
    began = time.monotonic()
    finding = made("command", argv=["/bin/sh", "-c", f"(sleep 1.5; touch {mark}) & sleep 60"]).look(None, 0.7)
    assert time.monotonic() - began < 1.4
    assert "cut off" in finding.words
    time.sleep(1.5)
    assert not mark.exists()


def test_a_program_that_is_not_there(tmp_path):
    assert "cannot be run" in made("command", argv=[str(tmp_path / "none")]).look(None, 1).words
