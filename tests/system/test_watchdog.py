"""A safety daemon that stands still, and one that runs in real time."""

import contextlib
import json
import re
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
    """The daemon, started with the rights that its unit's LimitRTPRIO= and LimitMEMLOCK= give it, or stand-ins."""
    folder = f"/run/systemd/system/{SAFETY}.d"
    if not instrument.may("CAP_SYS_RESOURCE"):
        wanted = ("CAP_SYS_NICE", "CAP_IPC_LOCK")
        if not all(instrument.may(capability) for capability in wanted):
            why = f"this machine lets no container have {' and '.join(wanted)}"
            pytest.skip(f"the safety daemon in real time and with locked memory: {why}")
        with capsys.disabled():
            what = f"LimitRTPRIO= and LimitMEMLOCK=: for this test {' and '.join(wanted)} stand in for them"
            print(f"\n  nobody here may raise {what}")
        rights = " ".join(wanted)
        right = f"[Service]\nCapabilityBoundingSet={rights}\nAmbientCapabilities={rights}\n"
        instrument.machine.write(f"{folder}/realtime.conf", right)
        instrument.machine.run("systemctl daemon-reload")
    instrument.machine.run(f"systemctl restart {SAFETY}")
    yield
    instrument.machine.run(f"rm -rf {folder} && systemctl daemon-reload && systemctl restart {SAFETY}")


def test_it_runs_in_real_time_and_in_locked_memory_behind_its_walls(instrument, realtime):
    events = instrument.machine.read("/var/lib/nixel-safety/events.jsonl").splitlines()
    last = [event for event in map(json.loads, events) if event["kind"] == "start"][-1]
    assert last["details"]["realtime"] is True
    assert last["details"]["locked"] is True
    process = instrument.show(SAFETY, "MainPID")
    listed = instrument.machine.run(f"ps -L -o tid=,cls=,rtprio= {process}").split("\n")
    threads = {
        thread: (policy, priority) for thread, policy, priority in map(str.split, filter(None, listed))
    }
    assert threads.pop(process) == ("RR", "10")
    assert set(threads.values()) <= {("RR", "10"), ("RR", "5")}
    # What clients keep busy gives way to the loop.
    assert ("RR", "5") in threads.values()
    memory = re.findall(
        r"^Vm(RSS|Lck):\s*(\d+) kB$", instrument.machine.read(f"/proc/{process}/status"), re.MULTILINE
    )
    kept = {name: int(size) * 1024 for name, size in memory}
    assert kept["Lck"] >= kept["RSS"] > 0
    assert kept["RSS"] <= 30 * 2**20
