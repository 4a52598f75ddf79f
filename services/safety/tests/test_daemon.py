"""A real daemon process over a real pseudo-terminal and a real socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from nixel.safety.client import LeaseLost, SafetyRefused, SafetyUnavailable

# Takes the lease and switches the amplifier on, then waits to be killed.
HOLDER = """
import sys, time
from nixel.safety.client import SafetyClient
with SafetyClient(sys.argv[1]).lease("a doomed scan") as lease:
    lease.enable("amplifier")
    print("on", flush=True)
    time.sleep(60)
"""


def wait_until(what, timeout=2.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


def off_within(unit, began, limit, what):
    """Wait for the relay to drop, print how long that took, and hold it against the limit."""
    wait_until(lambda: not unit.relay)
    when, _, why = unit.relay_log[-1]
    print(f"{what} to relay off on the wire: {(when - began) * 1e3:.1f} ms ({why})")
    assert when - began <= limit
    return why


@pytest.fixture
def holder(daemon, unit):
    daemon.armed()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(daemon.socket)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "on\n"
    wait_until(lambda: unit.relay)
    yield process
    process.kill()
    process.communicate()


def transitions(daemon):
    """Read the transitions in the event log, without their reasons."""
    lines = [json.loads(line) for line in daemon.events.read_text().splitlines()]
    return [line["text"].partition(":")[0] for line in lines if line["kind"] == "transition"]


def test_comes_up_latched_then_energises_and_de_energises(daemon, unit):
    assert daemon.greeting == f"ready {daemon.socket}\n"
    status = daemon.client.status()
    assert status.state == "FAULT"
    assert status.first_cause.name == "start"
    assert status.simulated
    with pytest.raises(SafetyRefused, match="latched"):
        daemon.client.arm()
    daemon.healthy()
    daemon.client.reset()
    assert daemon.client.status().state == "SAFE"
    daemon.client.arm()
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        wait_until(lambda: unit.relay)
        status = daemon.client.status()
        assert (status.state, status.lease.holder) == ("ENERGISED", "a scan")
        assert status.outputs == {"amplifier": True}
        time.sleep(1.2)  # more than two leases
        lease.check()
        assert unit.relay
        lease.disable("amplifier")
        wait_until(lambda: not unit.relay)
        status = daemon.client.status()
        assert status.state == "ARMED", status
    assert [why for _, _, why in unit.relay_log] == ["ENABLE:AC", "DISABLE:AC"]
    assert daemon.client.status().lease is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"digital": ["0", "1"]}, "emergency stop pressed"),
        ({"analog": ["60.5"]}, "coil-temperature is 60.5 degC, at or above its limit of 60 degC"),
        ({"analog": ["nan"]}, "gives no number; is the sensor connected?"),
    ],
    ids=["emergency stop", "temperature", "broken sensor"],
)
def test_a_trip_switches_off_and_tells_the_holder_why(daemon, unit, change, says):
    daemon.armed()
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        wait_until(lambda: unit.relay)
        began = time.monotonic()
        vars(unit).update(change)
        assert off_within(unit, began, 0.1, "trip on the wire") == "DISABLE:AC"
        wait_until(lambda: lease.lost)
        with pytest.raises(LeaseLost, match=says.replace("?", r"\?")):
            lease.check()
    status = daemon.client.status()
    assert (status.state, status.outputs) == ("FAULT", {"amplifier": False})
    assert says in status.first_cause.message
    with pytest.raises(SafetyRefused, match="cannot reset"):
        daemon.client.reset()
    unit.digital, unit.analog = ["1"], ["25"]
    daemon.healthy()
    daemon.client.reset()
    assert daemon.client.status().state == "SAFE"
    expected = ["FAULT -> SAFE", "SAFE -> ARMED", "ARMED -> ENERGISED", "ENERGISED -> FAULT", "FAULT -> SAFE"]
    wait_until(lambda: transitions(daemon) == expected)


def test_an_unplugged_unit_is_a_fault(daemon, unit):
    daemon.armed()
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        wait_until(lambda: unit.relay)
        unit.unplug()
        wait_until(lambda: lease.lost)
        assert "is it unplugged?" in lease.lost
    assert daemon.client.status().state == "FAULT"


def test_a_unit_that_answers_no_more_is_a_fault_and_drops_its_relay(daemon, unit):
    daemon.armed()
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        wait_until(lambda: unit.relay)
        began = time.monotonic()
        unit.silent = True
        off_within(unit, began, 0.3, "silence of the unit")
        wait_until(lambda: daemon.client.status().state == "FAULT")


def test_a_relay_that_drops_by_itself_is_noticed(daemon, unit):
    daemon.armed()
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        wait_until(lambda: unit.relay)
        unit._switch(False, "a blown fuse")
        wait_until(lambda: lease.lost)
        assert lease.lost == "amplifier reports that it is off although it is commanded on"


def test_without_a_unit_it_is_a_fault_that_is_not_simulated_away(start_daemon, unit, tmp_path):
    line = tmp_path / "line"
    daemon = start_daemon(str(line))
    status = daemon.wait_for(lambda status: len(status.causes) > 1)
    assert f"at {line} cannot be opened: No such file or directory" in status.causes[1].message
    assert "cannot be opened" in status.what_to_do
    with pytest.raises(SafetyRefused, match="cannot be opened"):
        daemon.client.reset()
    line.symlink_to(unit.path)
    daemon.armed()


def test_a_client_that_is_killed_loses_its_output(holder, unit, daemon):
    began = time.monotonic()
    holder.send_signal(signal.SIGKILL)
    assert off_within(unit, began, 0.25, "SIGKILL of the client") == "DISABLE:AC"
    status = daemon.client.status()
    assert (status.state, status.lease) == ("SAFE", None)
    assert "the connection of 'a doomed scan' closed" in status.off_reason


def test_a_client_that_falls_silent_loses_its_output(holder, unit, daemon):
    began = time.monotonic()
    holder.send_signal(signal.SIGSTOP)
    assert off_within(unit, began, 0.7, "SIGSTOP of the client (lease of 500 ms)") == "DISABLE:AC"
    assert "silent for longer than 500 ms" in daemon.client.status().off_reason
    holder.send_signal(signal.SIGCONT)


def test_a_daemon_that_is_killed_lets_the_units_watchdog_drop_the_relay(holder, unit, daemon, start_daemon):
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGKILL)
    assert off_within(unit, began, 0.25, "SIGKILL of the daemon") == "watchdog"
    # The next one finds the dead one's socket and comes up latched.
    again = start_daemon(unit.path)
    assert again.client.status().state == "FAULT"
    assert not unit.relay


def test_a_killed_daemons_socket_is_taken_over(daemon, unit):
    daemon.process.kill()
    daemon.process.wait()
    assert daemon.socket.exists()
    process = subprocess.Popen(daemon.command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == f"ready {daemon.socket}\n"
    assert daemon.client.status().state == "FAULT"
    process.terminate()
    assert process.wait(5) == 0
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_that_is_asked_to_end_de_energises_first(holder, unit, daemon, number):
    began = time.monotonic()
    daemon.process.send_signal(number)
    assert off_within(unit, began, 0.1, signal.Signals(number).name) == "DISABLE:AC"
    assert daemon.process.wait(5) == 0
    assert not daemon.socket.exists()
    assert f"ENERGISED -> SAFE: stopped: the daemon ends ({number.name})" in daemon.events.read_text()


def test_anyone_stops_a_scan(holder, unit, daemon):
    began = time.monotonic()
    daemon.client.stop("I saw smoke")
    assert off_within(unit, began, 0.1, "stop") == "DISABLE:AC"
    assert daemon.client.status().off_reason == "stopped: I saw smoke"
    assert daemon.client.status().state == "SAFE"


# --- starting ---


def start_and_fail(daemon, *changes):
    command = list(daemon.command)
    for option, value in changes:
        if option in command:
            command[command.index(option) + 1] = str(value)
        else:
            command += [option, str(value)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nixel-safetyd: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_what_keeps_it_from_starting_is_one_paragraph(daemon, tmp_path):
    elsewhere = ("--socket", tmp_path / "other.sock")
    assert "another safety daemon already serves" in start_and_fail(daemon)
    assert daemon.client.status().state == "FAULT", "the first one goes on"
    assert "No such file" in start_and_fail(daemon, ("--socket", "/nowhere/at/all.sock"))
    assert "at most 107" in start_and_fail(daemon, ("--socket", f"/tmp/{'x' * 120}"))
    assert "is not a socket" in start_and_fail(daemon, ("--socket", daemon.file))
    assert "event log" in start_and_fail(daemon, elsewhere, ("--events", "/nowhere/events"))
    assert "'no-such-group' does not exist" in start_and_fail(
        daemon, elsewhere, ("--operator-group", "no-such-group")
    )
    daemon.file.write_text("[safety]\nrate = 100\n")
    assert "bare number" in start_and_fail(daemon, elsewhere)


def test_a_configured_group_that_does_not_exist_is_said_and_survived(start_daemon, unit, instrument_text):
    text = instrument_text.replace("[safety]\n", '[safety]\noperator_group = "no-such-group"\n')
    daemon = start_daemon(unit.path, text)
    daemon.armed()
    daemon.process.terminate()
    _, errors = daemon.process.communicate(timeout=5)
    said = [line for line in errors.splitlines() if "event log" not in line]
    who = f"only root and user {os.getuid()} may arm and reset"
    assert said == [f"nixel-safetyd: the group 'no-such-group' does not exist on this machine; {who}"]


def drain(manager):
    with contextlib.suppress(BlockingIOError):
        while True:
            manager.recv(200)


def test_tells_the_service_manager_and_feeds_its_watchdog(unit, start_daemon, tmp_path, monkeypatch):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(2.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        daemon = start_daemon(unit.path)
        heard = [manager.recv(200) for _ in range(8)]
        assert b"READY=1\nSTATUS=FAULT" in heard
        assert heard.count(b"WATCHDOG=1") == 7
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        manager.setblocking(False)
        drain(manager)
        time.sleep(0.3)
        with pytest.raises(BlockingIOError):  # a loop that does not tick feeds nothing
            manager.recv(200)
        daemon.process.send_signal(signal.SIGCONT)
        manager.settimeout(2.0)
        daemon.process.terminate()
        while (message := manager.recv(200)) != b"STOPPING=1":
            assert message.startswith((b"WATCHDOG=1", b"STATUS="))


def test_a_daemon_that_was_held_up_counts_the_missed_deadlines_and_trips(holder, unit, daemon):
    daemon.process.send_signal(signal.SIGSTOP)
    time.sleep(0.6)
    assert not unit.relay
    daemon.process.send_signal(signal.SIGCONT)
    status = daemon.wait_for(lambda status: status.state != "ENERGISED")
    assert status.missed_deadlines >= 50
    # Whichever the daemon sees first: what it last read is old, the relay has dropped, the lease has run out.
    assert not status.outputs["amplifier"]
    assert not unit.relay


def test_a_daemon_that_has_gone_is_said_to_the_holder(daemon, unit):
    daemon.armed()
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        daemon.process.kill()
        wait_until(lambda: lease.lost)
        assert "has closed the connection" in lease.lost
    with pytest.raises(SafetyUnavailable, match="Connection refused"):
        daemon.client.status()
