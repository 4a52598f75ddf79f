"""`nixel-safety history` and the socket's History, against a real daemon."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from nixel.safety.cli.history import ask
from nixel.safety.client import SafetyRefused
from nixel.safety.client.line import Line


def run(*arguments, socket="/nowhere/safety.sock"):
    command = [sys.executable, "-m", "nixel.safety", "--socket", str(socket), "history", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def lines(daemon):
    return [json.loads(line) for line in daemon.events.read_text().splitlines()]


# --- asking the daemon ---


def test_the_daemon_tells_what_happened(daemon):
    daemon.healthy()
    daemon.client.reset()
    daemon.client.arm()
    daemon.client.stop("tea")
    done = run("--limit", "3", socket=daemon.socket)
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout.splitlines()
    assert len(shown) == 3
    assert "transition  ARMED -> SAFE: stopped: tea" in shown[-1]
    every = [json.loads(line) for line in run("--json", socket=daemon.socket).stdout.splitlines()]
    assert next(event["kind"] for event in every) == "start"
    assert "SAFE -> ARMED: armed" in [event["text"] for event in every]
    since = every[1]["time"]
    later = [
        json.loads(line) for line in run("--json", "--since", since, socket=daemon.socket).stdout.splitlines()
    ]
    assert later == [event for event in every if event["time"] > since]
    assert run("--since", "2100-01-01", socket=daemon.socket).stdout == ""
    assert len(run("--since", "1 h", "--json", socket=daemon.socket).stdout.splitlines()) == len(every)


def test_what_it_tells_is_what_the_log_has(daemon):
    daemon.healthy()
    told = ask(str(daemon.socket))
    deadline = time.monotonic() + 3
    while (latest := ask(str(daemon.socket)).latest) != lines(daemon)[-1]["chain"]:
        assert time.monotonic() < deadline, latest
    logged = [{key: value for key, value in line.items() if key != "chain"} for line in lines(daemon)]
    assert list(told.events) == logged[: len(told.events)]
    assert (told.lost, told.problem, told.earlier) == (0, "", False)


def test_the_next_daemon_remembers_the_last_ones(daemon, unit):
    daemon.healthy()
    daemon.client.stop("before the restart")
    deadline = time.monotonic() + 3
    while "before the restart" not in daemon.events.read_text():
        assert time.monotonic() < deadline
    daemon.process.kill()
    daemon.process.wait()
    process = subprocess.Popen(daemon.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        process.stdout.readline()
        texts = [event["text"] for event in ask(str(daemon.socket)).events]
        assert "stopped: before the restart" in texts
        assert texts.count("the safety daemon started") == 2
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": True},
        {"limit": "5"},
        {"since": "yesterday"},
        {"since": 5},
        {"x": 1},
    ],
)
def test_a_wrong_question_is_refused(daemon, parameters):
    line = Line(str(daemon.socket), 3.0)
    with pytest.raises(SafetyRefused, match="does not take this"):
        line.call("History", **parameters)
    line.close()


def test_the_answer_is_bounded_in_bytes(daemon):
    for number in range(170):
        daemon.client.stop(f"{number} {'x' * 190}")
    line = Line(str(daemon.socket), 3.0)
    answer = line.call("History", limit=200)
    line.close()
    assert 10_000 < len(json.dumps(answer)) < 64 * 1024
    assert answer["events"][-1]["text"].startswith("stopped: 169")
    assert answer["earlier"]


# --- reading the file ---


def test_shows_and_verifies_the_event_log(daemon, monkeypatch):
    daemon.healthy()
    daemon.end()
    monkeypatch.setenv("NIXEL_SAFETY_EVENTS", str(daemon.events))
    done = run()
    assert "the safety daemon started" in done.stdout
    assert "no safety daemon answers" in done.stderr
    shown = run("--limit", "1", "--json").stdout
    assert shown == daemon.events.read_text().splitlines(keepends=True)[-1]
    done = run("--verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{daemon.events} is whole\n" in done.stdout
    verdict = json.loads(run("--verify", "--json").stdout)
    assert verdict["whole"]
    assert verdict["files"][0]["events"] == len(lines(daemon))
    # The journal has what tells a log whose end was cut off.
    assert f"ends with the hash {verdict['latest']}" in daemon.process.stderr.read()
    assert run("--verify", "--expect", verdict["latest"]).returncode == 0
    assert run("--verify", "--expect", "0" * 64).returncode == 1


def test_says_where_a_changed_log_breaks(daemon):
    daemon.healthy()
    daemon.end()
    daemon.events.write_text(daemon.events.read_text().replace("daemon started", "demon started", 1))
    done = run("--verify", "--events", str(daemon.events))
    assert done.returncode == 1
    assert f"{daemon.events} is NOT whole\n" in done.stdout
    assert "breaks at line 1: expected the hash " in done.stdout


def test_lines_cut_off_behind_the_daemons_back_are_missed_while_it_runs(daemon, monkeypatch):
    monkeypatch.setenv("NIXEL_SAFETY_EVENTS", str(daemon.events))
    daemon.healthy()
    daemon.client.stop("a cigarette")
    deadline = time.monotonic() + 3
    while "cigarette" not in daemon.events.read_text():
        assert time.monotonic() < deadline
    done = run("--verify", socket=daemon.socket)
    assert done.returncode == 0, done
    assert "nothing up to it was cut off the end" in done.stdout
    whole = daemon.events.read_text().splitlines(keepends=True)
    daemon.events.write_text("".join(whole[:-1]))
    done = run("--verify", socket=daemon.socket)
    assert done.returncode == 1
    assert "found a log without it" in done.stdout


def test_a_trip_leaves_its_hash_in_the_journal(daemon, unit):
    daemon.armed()
    unit.digital = ["0"]
    daemon.wait_for(lambda status: status.state == "FAULT")
    daemon.end()
    said = daemon.process.stderr.read()
    anchors = [line.rpartition(" ")[2] for line in said.splitlines() if "with the trip at" in line]
    assert len(anchors) == 1
    assert anchors[0] in [line["chain"] for line in lines(daemon)]


def test_control_characters_in_a_log_do_not_reach_the_terminal(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"kind": "cause", "text": "\x1b[2J gone"}) + "\n")
    assert "\x1b" not in run("--events", str(path)).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        *(("--events", "/nowhere/events"), ("--expect", "0" * 64), ("--limit", "-1"), ("--expect", "x")),
        *(("--limit", "0"), ("--since", "tea time"), ()),
    ],
)
def test_refuses_what_it_cannot_do(arguments, monkeypatch):
    monkeypatch.setenv("NIXEL_SAFETY_EVENTS", "/nowhere/events")
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
