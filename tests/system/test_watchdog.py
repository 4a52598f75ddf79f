"""A safety daemon that stands still, and one that runs in real time."""

import contextlib
import json
import time

import pytest
from instrument import SAFETY

# The first time everything is built.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

READY = "RP:TRansmit:READy?"


@contextlib.contextmanager
def energised(instrument):
    """The amplifier is on, kept so by an operator's program."""
    instrument.arm()
    command = [instrument.python, "/opt/probe.py", "energise"]
    holder = instrument.machine.begin(command, user="operator")
    try:
        assert holder.stdout.readline() == '"on"\n', holder.stderr.read()
        end = time.monotonic() + 5
        while instrument.do("ask", READY) != "1":
            assert time.monotonic() < end
        yield
    finally:
        holder.kill()
        holder.communicate()


def test_a_daemon_that_stands_still_is_ended_and_comes_up_latched(instrument):
    before = int(instrument.show(SAFETY, "NRestarts"))
    with energised(instrument):
        assert instrument.status()["state"] == "ENERGISED"
        instrument.machine.run(f"systemctl kill --kill-whom=main --signal=STOP {SAFETY}")
        # The surveillance unit opens its relay by itself, before systemd has done anything.
        stopped = time.monotonic()
        while instrument.do("ask", READY) != "0":
            assert time.monotonic() - stopped < 1
        assert instrument.show(SAFETY, "NRestarts") == str(before)
        restarted = f"systemctl show --value --property NRestarts {SAFETY} | grep -qx {before + 1}"
        instrument.machine.wait(f"{restarted} && systemctl is-active --quiet {SAFETY}", within=15)
        assert time.monotonic() - stopped < 10
        status = instrument.status()
        assert (status["state"], status["outputs"]) == ("FAULT", {"amplifier": False})
        assert instrument.do("ask", READY) == "0"
    said = instrument.machine.run(f"journalctl --boot --no-pager --output cat --unit {SAFETY}")
    assert "Watchdog timeout" in said


@pytest.fixture
def realtime(instrument, capsys):
    """The daemon, started with the right to real time that its unit's LimitRTPRIO= gives it, or a stand-in for it."""
    folder = f"/run/systemd/system/{SAFETY}.d"
    if not instrument.may("CAP_SYS_RESOURCE"):
        if not instrument.may("CAP_SYS_NICE"):
            pytest.skip("the safety daemon in real time: this machine lets no container have CAP_SYS_NICE")
        with capsys.disabled():
            print("\n  nobody here may raise LimitRTPRIO=: for this test CAP_SYS_NICE stands in for it")
        right = "[Service]\nCapabilityBoundingSet=CAP_SYS_NICE\nAmbientCapabilities=CAP_SYS_NICE\n"
        instrument.machine.write(f"{folder}/realtime.conf", right)
        instrument.machine.run("systemctl daemon-reload")
    instrument.machine.run(f"systemctl restart {SAFETY}")
    yield
    instrument.machine.run(f"rm -rf {folder} && systemctl daemon-reload && systemctl restart {SAFETY}")


def test_it_runs_in_real_time_behind_its_walls(instrument, realtime):
    events = instrument.machine.read("/var/lib/nixel-safety/events.jsonl").splitlines()
    last = [event for event in map(json.loads, events) if event["kind"] == "start"][-1]
    assert last["details"]["realtime"] is True
    process = instrument.show(SAFETY, "MainPID")
    threads = instrument.machine.run(f"ps -L -o cls=,rtprio= {process}").split("\n")
    assert {tuple(each.split()) for each in threads if each} == {("RR", "10")}
