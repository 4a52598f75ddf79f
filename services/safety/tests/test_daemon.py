"""A real daemon process over a real pseudo-terminal and a real socket."""

from __future__ import annotations

import time

import pytest

from nixel.safety.client import LeaseLost, SafetyRefused


def wait_until(what, timeout=2.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


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
        assert (status.state, status.outputs, status.lease.holder) == (
            "ENERGISED",
            {"amplifier": True},
            "a scan",
        )
        time.sleep(1.2)  # more than two leases
        lease.check()
        assert unit.relay
        lease.disable("amplifier")
        wait_until(lambda: not unit.relay)
        assert daemon.client.status().state == "ARMED"
    assert [why for _, _, why in unit.relay_log] == ["ENABLE:AC", "DISABLE:AC"]
    assert daemon.client.status().lease is None


def test_a_trip_switches_off_and_tells_the_holder_why(daemon, unit):
    daemon.armed()
    with daemon.client.lease("a scan") as lease:
        lease.enable("amplifier")
        wait_until(lambda: unit.relay)
        pulled = time.monotonic()
        unit.digital = ["0", "1"]
        wait_until(lambda: not unit.relay)
        delay = unit.relay_log[-1][0] - pulled
        print(f"emergency stop on the wire to relay off on the wire: {delay * 1e3:.1f} ms")
        wait_until(lambda: lease.lost)
        with pytest.raises(LeaseLost, match="emergency stop pressed"):
            lease.check()
