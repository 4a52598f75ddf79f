"""The command line, against a real daemon."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest

from nixel.safety.cli import main as cli


def run(*arguments, socket="/nowhere/safety.sock"):
    command = [sys.executable, "-m", "nixel.safety", "--socket", str(socket), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_walks_an_instrument_through_its_states(daemon, unit):
    daemon.healthy()

    def say(*arguments):
        done = run(*arguments, socket=daemon.socket)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    assert "a fault since 2" in say("explain")
    assert say("reset") == "no fault is latched\n"
    assert "amplifier is off because the fault was reset;" in say("explain")
    assert say("arm") == "armed\n"
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        shown = say("status")
        assert "ENERGISED  (simulated)" in shown
        assert re.search("output +amplifier +ON\n", shown)
        assert "25 degC" in shown
        assert "a scan," in shown
        assert "amplifier is on, enabled by 'a scan'" in say("explain")
        assert say("stop", "--reason", "tea") == "stopped: everything is off\n"
    status = json.loads(say("status", "--json"))
    assert (status["state"], status["outputs"]) == ("SAFE", {"amplifier": False})
    assert "stopped: tea" in say("explain")


def test_watch_follows_until_interrupted(daemon):
    command = [sys.executable, "-m", "nixel.safety", "--socket", str(daemon.socket), "watch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "FAULT" in process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(2)
    _, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (0, "")


def test_no_daemon_is_one_paragraph_and_status_2():
    done = run("status")
    assert done.returncode == 2
    assert "no safety daemon answers at /nowhere/safety.sock (No such file or directory)" in done.stderr
    assert "nixel-safetyd --instrument" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_refusal_is_one_paragraph_and_status_2(daemon):
    done = run("arm", socket=daemon.socket)
    assert done.returncode == 2
    assert done.stderr.startswith("nixel-safety: a fault is latched")


def test_check_needs_no_daemon(tmp_path, instrument_text):
    file = tmp_path / "x.toml"
    file.write_text(instrument_text)
    done = run("check", str(file))
    assert done.returncode == 0
    assert "output amplifier on ac, gated by coil-temperature, emergency-stop" in done.stdout
    file.write_text(instrument_text.replace('"100 Hz"', "100"))
    done = run("check", str(file))
    assert done.returncode == 2
    assert f"{file}: safety.rate: found the bare number 100" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_socket_comes_from_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("NIXEL_SAFETY_SOCKET", "/elsewhere/s")
    assert cli.main(["status"]) == 2
    assert "/elsewhere/s" in capsys.readouterr().err


def test_a_command_is_required():
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2


def test_a_stop_that_no_report_confirms_is_not_called_off(daemon, unit):
    daemon.healthy()
    assert run("stop", socket=daemon.socket).stdout == "stopped: everything is off\n"
    unit.silent = True
    time.sleep(0.5)  # longer than any reading counts
    done = run("stop", socket=daemon.socket)
    assert (done.returncode, done.stdout) == (2, "")
    assert "STOPPED, BUT NOT CONFIRMED: amplifier readback: " in done.stderr
    assert "press the emergency stop" in done.stderr


def test_help_names_every_command_and_where_the_plot_is():
    done = run("--help")
    for name in (
        "status",
        "watch",
        "stop",
        "arm",
        "reset",
        "bypass",
        "history",
        "explain",
        "prove",
        "nixel safety plot",
    ):
        assert name in done.stdout


def test_without_a_daemon_explain_claims_nothing_and_stop_says_that_it_did_not():
    done = run("explain")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Nothing is known of the outputs, so take them to be ON" in done.stderr
    done = run("stop")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "nixel-safety: NOT STOPPED: no safety daemon answers at /nowhere/safety.sock"
    )
    assert "press the emergency stop" in done.stderr
