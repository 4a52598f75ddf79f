"""The worked example of docs/developer.md: taken from the page, counted, installed, and run against its simulator."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nixel.acquisition.instrument_file import path_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "developer.md"
MOST_LINES = 100
FILES = ["pyproject.toml", "acme_thermometer/device.py", "acme_thermometer/simulator.py"]

# What a person would try at a prompt, once the package is installed and the simulator runs.
TRIAL = """
import json, sys
from nixel.acquisition.devices import DeviceError, Sensor
from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.opened import open_devices
from nixel.acquisition.slow import SlowRecorder

def hand(words):
    print(words, flush=True)
    sys.stdin.readline()

def failure(call, *arguments):
    try:
        call(*arguments)
    except DeviceError as error:
        return str(error)

instrument = load_instrument(sys.argv[1])
with open_devices(instrument, ["thermometer"]) as devices:
    thermometer = devices["thermometer"]
    found = {"sensor": isinstance(thermometer, Sensor), "read": thermometer.read(), "simulated": instrument.simulated}
    with SlowRecorder(devices.every(Sensor)) as recorder:
        pass
    found["recorded"] = recorder.result()["sensors"]["thermometer"]["values"]
    thermometer.set("resolution", 10)
    found["snapshot"] = devices.snapshot()["thermometer"]
    found["range"] = failure(thermometer.set, "resolution", 13)
    for fault in ("garbage", "cut", "unplug"):
        hand(fault)
        found[fault] = failure(thermometer.read)
        found[f"{fault}, again"] = failure(thermometer.read)
        hand("plug")
        thermometer.open()
    found["after"] = thermometer.read()
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def blocks():
    """The files of the page's section, by the name in their first line."""
    _, _, section = PAGE.read_text().partition("\n## Add a serial device\n")
    section, _, _ = section.partition("\n## ")
    found = re.findall(r"```(?:toml|python)\n# ([^\n]+)\n(.*?)```", section, re.DOTALL)
    return dict(found)


def test_a_serial_device_takes_less_than_a_hundred_lines(blocks):
    assert [*blocks] == [*FILES, "what is added to the instrument file"]
    # With the line that names each file, and the empty ones.
    assert sum(text.count("\n") + 1 for text in blocks.values()) < MOST_LINES


@pytest.fixture(scope="module")
def installed(blocks, tmp_path_factory):
    """The example as a package that pip has installed, and the environment in which it is found."""
    folder = tmp_path_factory.mktemp("example")
    for name in FILES:
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "source" / name).write_text(blocks[name])
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-index",
                "--no-deps",
                "--no-build-isolation",
            ),
            *("--target", str(folder / "site"), str(folder / "source")),
        ],
        check=True,
    )
    packages = ("physics", "acquisition", "reconstruction")
    paths = [folder / "site", *(ROOT / "src" / name for name in packages)]
    paths += [ROOT / "services" / name for name in ("safety", "update", "imaging")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


@pytest.fixture
def instrument(blocks, tmp_path):
    line = tmp_path / "thermometer"
    addition = blocks["what is added to the instrument file"].replace("/tmp/thermometer", str(line))
    file = tmp_path / "instrument.toml"
    file.write_text(f"{path_of('virtual-microscope').read_text()}\n{addition}")
    return file, line


def test_the_example_runs_as_the_page_says(installed, instrument):
    file, line = instrument
    pipes = {"env": installed, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    simulate = [sys.executable, "-m", "acme_thermometer.simulator", "--link", str(line), "--exit-with-parent"]
    with subprocess.Popen(simulate, **pipes) as simulator:
        assert json.loads(simulator.stdout.readline())["link"] == str(line)
        with subprocess.Popen([sys.executable, "-c", TRIAL, str(file)], **pipes) as trial:
            for said in trial.stdout:
                if said.startswith("{"):
                    found = json.loads(said)
                    break
                simulator.stdin.write(said)
                simulator.stdin.flush()
                assert json.loads(simulator.stdout.readline()) == {"done": "ok"}
                trial.stdin.write(said)
                trial.stdin.flush()
        simulator.stdin.close()
    assert trial.returncode == simulator.returncode == 0
    assert found["sensor"]
    assert found["simulated"]
    assert found["read"] == [23.41] == found["after"]
    assert found["recorded"] == [[23.41], [23.41]]
    assert found["snapshot"] == {"resolution": 10, "temperature": 23.41}
    assert "expected an integer from 9 to 12, found 13. Nothing was changed" in found["range"]
    for fault, reason in {
        "garbage": "a line of text",
        "cut": "without an end",
        "unplug": "plugged in",
    }.items():
        assert reason in found[fault], fault
        assert "expected an open line, found a closed one" in found[f"{fault}, again"], fault


def test_the_command_line_knows_the_new_adapter(installed, instrument):
    file, line = instrument
    command = [sys.executable, "-m", "nixel.imaging", "instruments", str(file)]
    good = subprocess.run(command, env=installed, capture_output=True, text=True)
    assert good.returncode == 0, good.stderr
    file.write_text(file.read_text().replace(f'path = "{line}"', f'paht = "{line}"'))
    bad = subprocess.run(command, env=installed, capture_output=True, text=True)
    assert bad.returncode == 2
    assert "devices.thermometer.paht" in bad.stderr
    assert "did you mean path?" in bad.stderr
