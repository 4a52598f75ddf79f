"""The update's health check against the real thing: the safety daemon, and the imaging service around it.

The safety daemon comes up latched on purpose, and somebody may have pulled the emergency stop before the update.
"""

import contextlib
import json
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from nixel.imaging.processes import Child

WITHIN = 4


class Health:
    """`nixel-update health`, as a system's own `nixel/health` runs it."""

    def __init__(self, folder, checks):
        self.folder = folder
        self.config = folder / "health.json"
        self.config.write_text(json.dumps({"format": 1, "checks": checks}))

    def _run(self, *arguments):
        command = [sys.executable, "-m", "nixel.update", "health", *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def snapshot(self):
        done = self._run("snapshot")
        assert done.returncode == 0, done.stderr
        path = self.folder / "before.json"
        path.write_text(done.stdout)
        return json.loads(done.stdout)["facts"]

    def check(self):
        """Each check's result by its name, against the last snapshot."""
        done = self._run("check", "--before", str(self.folder / "before.json"))
        results = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
        assert done.returncode == (0 if all(each["passed"] for each in results.values()) else 1)
        return results


@pytest.fixture
def health(bench, tmp_path):
    table = {"kind": "safety", "within": WITHIN, "steady": 1, "socket": str(bench.safety_socket)}
    return Health(tmp_path, {"safety": table})


@pytest.fixture
def restart(bench):
    """Restart the daemon as a switch to another system does; it comes up latched."""
    with contextlib.ExitStack() as stack:

        def again():
            (old,) = (child for child in bench.children if child.name == "safety daemon")
            old.stop()
            new = Child(
                "safety daemon",
                "nixel.safety.daemon",
                [
                    *("--instrument", str(bench.file), "--socket", str(bench.safety_socket)),
                    *("--surveillance", str(bench.runtime / "surveillance"), "--operator-group", ""),
                ],
                log=bench.runtime / "safety-2.log",
            )
            stack.callback(new.stop)
            new.first_line()

        yield again


def wait_for(bench, what):
    deadline = time.monotonic() + 10
    with contextlib.closing(bench.safety.subscribe()) as stream:
        for status in stream:
            if what(status):
                return
            assert time.monotonic() < deadline, status


def stop_is_open(status):
    return any(each.name == "emergency-stop" and not each.healthy for each in status.interlocks)


def test_latched_by_its_start_is_healthy(bench, health, restart):
    bench.arm()
    assert health.snapshot()["safety"]["state"] == "ARMED"
    restart()
    assert bench.safety.status().state == "FAULT"
    assert health.check()["safety"]["passed"]


def test_an_emergency_stop_pulled_before_is_no_fault_of_the_update(bench, health, restart, front_panel):
    bench.arm()
    front_panel.ask("SIMulation:ESTOP ON")
    wait_for(bench, stop_is_open)
    assert "emergency-stop" in health.snapshot()["safety"]["known"]
    restart()
    wait_for(bench, stop_is_open)
    result = health.check()["safety"]
    assert result["passed"], result
    assert bench.safety.status().state == "FAULT"


def test_an_emergency_stop_since_the_update_is_a_fault(bench, health, restart, front_panel):
    bench.arm()
    health.snapshot()
    restart()
    front_panel.ask("SIMulation:ESTOP ON")
    wait_for(bench, stop_is_open)
    result = health.check()["safety"]
    assert not result["passed"]
    assert "emergency stop" in result["words"]
    assert result["seconds"] < WITHIN + 2


def test_a_coil_that_is_too_warm_since_the_update_is_a_fault(bench, health, front_panel):
    bench.arm()
    health.snapshot()
    front_panel.ask("SIMulation:TEMPerature 75")
    wait_for(bench, lambda status: status.state == "FAULT")
    result = health.check()["safety"]
    assert not result["passed"]
    assert "coil-temperature" in result["words"]


def test_a_daemon_that_does_not_come_back_is_a_fault(bench, health):
    bench.arm()
    health.snapshot()
    (daemon,) = (child for child in bench.children if child.name == "safety daemon")
    daemon.stop()
    result = health.check()["safety"]
    assert not result["passed"]
    assert "does not listen" in result["words"]
    assert result["seconds"] >= WITHIN


def test_the_imaging_service_is_ready_or_is_not(service, bench, tmp_path):
    host, port = urlsplit(service.url).hostname, urlsplit(service.url).port
    table = {
        "kind": "http",
        "within": WITHIN,
        "steady": 1,
        "host": host,
        "port": port,
        "name": "localhost",
        "path": "/api/v1/status",
        "expect": {"instrument.name": bench.instrument.instrument.name},
    }
    health = Health(tmp_path, {"imaging": table, "other": {**table, "expect": {"instrument.name": "other"}}})
    health.snapshot()
    found = health.check()
    assert found["imaging"]["passed"], found
    assert not found["other"]["passed"]
    service.kill()
    assert not health.check()["imaging"]["passed"]
