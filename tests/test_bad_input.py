"""What goes wrong before anything begins: one paragraph, exit status 2, nothing changed, no traceback."""

import os
import signal
import socket
import subprocess
import sys
from importlib import resources

import pytest
from whole_system import wait_until

SHIPPED = resources.files("nixel.acquisition") / "instruments"
COMMAND = [sys.executable, "-m", "nixel.imaging"]


def refused(*arguments):
    """Run a command that must be refused, and return what it said."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"COLUMNS": "400"},
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr.strip()


def one_paragraph(said):
    assert said.startswith("nixel: ")
    assert "\n" not in said
    return said


def tree(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = one_paragraph(refused("demo", "--once", "--port", port, "--data", tmp_path / "data"))
    assert f"port {port}" in said
    assert "--port" in said
    assert tree(tmp_path) == []


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_does_not_exist(port, tmp_path):
    said = one_paragraph(refused("demo", "--once", f"--port={port}", "--data", tmp_path / "data"))
    assert f"found {port}" in said
    assert tree(tmp_path) == []


@pytest.mark.parametrize("folder", ["/proc/nixel", "/dev/null/data"])
def test_a_data_folder_that_cannot_be_written(folder):
    said = one_paragraph(refused("demo", "--once", "--port", 0, "--data", folder))
    assert folder in said
    assert "--data" in said


def test_a_data_folder_that_is_a_file(tmp_path):
    (tmp_path / "data").write_text("mine")
    said = one_paragraph(refused("demo", "--once", "--port", 0, "--data", tmp_path / "data"))
    assert "is not a folder" in said
    assert (tmp_path / "data").read_text() == "mine"


def test_a_second_demo_on_the_same_folder(tmp_path):
    folder = tmp_path / "data"
    arguments = [*COMMAND, "demo", "--port", "0", "--data", str(folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as first:
        try:
            wait_until(
                lambda: (folder / "lock").exists() and (folder / "lock").read_text(), what="the first demo"
            )
            said = one_paragraph(refused("demo", "--once", "--port", 0, "--data", folder))
            assert "another nixel uses this data folder" in said
            assert first.poll() is None
        finally:
            first.send_signal(signal.SIGINT)
            first.communicate(timeout=30)


CHANGES = [
    ("[scanner]", "[scanner]\ncolour = 3", "scanner.colour", "an unknown key"),
    ('"12 mT", "12 mT"', '"12 mm", "12 mT"', "scanner.drive_field.0", "12 mm"),
    ('"12 mT", "12 mT"', '0.012, "12 mT"', "scanner.drive_field.0", "0.012"),
    ('"12 mT", "12 mT"', '"15 mT", "12 mT"', "drive_field.0", "limits.drive_field"),
    ("dividers = [102, 96]", "dividers = [102, 1]", "scanner.dividers", "2 or more"),
    ("samples_per_period = 1632", "samples_per_period = 1600", "samples_per_period", "expected 1632"),
    ('control = "127.0.0.1:5025"', 'control = "somewhere"', "devices.daq.control", "HOST:PORT"),
    ('adapter = "scpi-daq"', 'adapter = "scpi-dak"', "devices.daq.adapter", "scpi-dak"),
    ('kind = "scanner"', 'kind = "microscope"', "scanner", "expected no such table"),
    ("[instrument]", "[instrument", "file", "no TOML"),
    ('trip = "60 degC"', "trip = 60", "coil-temperature", "trip"),
    ('trip = "60 degC"', 'trip = "60 mm"', "coil-temperature", "60 mm"),
    ('source = "analog:0"', 'source = "magic:0"', "source", "magic:0"),
    (
        'lease = "500 ms"',
        'lease = "500 ms"\nforgiving = true',
        "safety.forgiving",
        "expected one of rate, lease",
    ),
]


@pytest.mark.parametrize(("old", "new", "key", "words"), CHANGES)
def test_a_wrong_instrument_file_is_refused_by_name_and_key(old, new, key, words, tmp_path):
    text = (SHIPPED / "virtual-scanner.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    said = refused("instruments", path)
    assert str(path) in said
    assert key in said
    assert words in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["virtual-scanner", "virtual-microscope"])
def test_the_shipped_instruments_are_good(name):
    done = subprocess.run(
        [*COMMAND, "instruments", name], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{name} (simulated)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("reproduce", "picture-1"), "expected a nixel data folder"),
        (("runs",), "expected a nixel data folder"),
        (("scan", "--url", "http://127.0.0.1:9"), "no imaging service answers at http://127.0.0.1:9"),
        (("instruments", "toaster"), "no such instrument"),
        (("instruments", "/nowhere/at-all.toml"), "No such file"),
        (
            ("serve", "--instrument", "virtual-scanner", "--endpoint", "daq.control"),
            "expected DEVICE.KEY=ADDRESS",
        ),
        (("serve", "--instrument", "virtual-scanner", "--endpoint", "daq.colour=1"), "daq.control"),
        (("safety", "--socket", "/nowhere/safety.sock", "status"), "/nowhere/safety.sock"),
    ],
)
def test_what_is_not_there_is_named(arguments, words, tmp_path, monkeypatch):
    monkeypatch.setenv("NIXEL_DATA", str(tmp_path / "none"))
    assert words in refused(*arguments)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("identity", ["picture", "scan-1", "picture-x", "picture-99"])
def test_an_identity_that_is_none(identity, tmp_path):
    from nixel.imaging.store import Database, DataFolder

    with DataFolder(tmp_path / "data") as folder:
        Database(folder.database).close()
    said = one_paragraph(refused("reproduce", identity, "--data", tmp_path / "data"))
    assert identity in said
