"""The proof test on the virtual microscope's panel, whose relay hangs on an AC-coupled charge pump."""

import json
import subprocess
import sys

import pytest

INSTRUMENT = """
[instrument]
name = "bench"

[safety]
rate = "100 Hz"
lease = "500 ms"
proof_interval = "365 d"

[safety.gpio]
adapter = "virtual-gpio"
path = "{panel}"
simulated = true
charge_pump = 27
inputs.5 = {{ pull = "up", active = "low" }}
inputs.26 = {{ pull = "up", active = "high" }}
outputs.17 = {{ active = "high", readback = 26 }}

[safety.interlocks.lid]
kind = "boolean"
source = "gpio:5"
healthy = true
max_age = "400 ms"
message = "the lid is open"

[safety.outputs.light]
sink = "gpio:17"
gated_by = ["lid"]
readback_within = "400 ms"
"""
PANEL = "nixel.acquisition.virtual.panel_server"


@pytest.fixture
def panel(tmp_path):
    path = tmp_path / "panel"
    process = subprocess.Popen(
        [sys.executable, "-m", PANEL, "--socket", path], stdout=subprocess.PIPE, text=True
    )
    assert json.loads(process.stdout.readline())["panel"] == str(path)
    yield path
    process.kill()
    process.communicate()


@pytest.fixture
def daemon(panel, tmp_path):
    file, socket = tmp_path / "instrument.toml", tmp_path / "safety.sock"
    file.write_text(INSTRUMENT.format(panel=panel))
    command = [sys.executable, "-m", "nixel.safety.daemon", "--instrument", file, "--socket", socket]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == f"ready {socket}\n"
    yield socket
    process.terminate()
    process.communicate(timeout=5)


def safety(socket, *arguments):
    command = [sys.executable, "-m", "nixel.safety", "--socket", socket, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_relay_drops_without_the_pump_and_the_date_is_kept(daemon):
    assert (
        "The proof test of light is overdue, for it has never been passed" in safety(daemon, "explain").stdout
    )
    # The first readings come within moments of the start.
    for _ in range(20):
        reset = safety(daemon, "reset")
        if reset.returncode == 0:
            break
    assert reset.returncode == 0, reset
    done = safety(daemon, "prove", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    (proof,) = json.loads(safety(daemon, "status", "--json").stdout)["proofs"]
    assert proof["result"] == "passed"
    # The panel's supply lives for 50 ms after the last edge; the loop looks every 10 ms.
    assert 50.0 <= proof["took_ms"] <= 400.0
    assert not proof["overdue"]
    assert proof["due"] > proof["passed"]
    explained = safety(daemon, "explain").stdout
    assert "light reports that it is off although it is commanded on" in explained
    assert "overdue" not in explained
