"""What `nixel plugin new` writes builds as it is, and keeps every rule."""

import os
import shutil
import subprocess

import pytest

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.plugins.checking.suite import check
from nixel.acquisition.plugins.skeleton import write_skeleton


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine")


def build(*command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def conforms(library):
    results = list(check(library, {"simulated": True}, trips=1000))
    assert {result.rule: result.found for result in results if result.verdict != "pass"} == {}
    return {result.rule: result.found for result in results}


def words(folder):
    return "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_a_skeleton_in_c_builds_and_keeps_every_rule(tmp_path, plugin_sources):
    folder = write_skeleton(tmp_path, "my-laser-2", "c")
    assert sorted(p.name for p in folder.rglob("*.*")) == ["README.md", "my-laser-2.c", "nixel_device.h"]
    header = plugin_sources / "include" / "nixel_device.h"
    assert (folder / "include" / "nixel_device.h").read_bytes() == header.read_bytes()
    assert "thermometer" not in words(folder).lower()
    assert "NAME" not in words(folder)
    need(os.environ.get("CC", "cc"), "make")
    build("make", folder=folder)
    assert conforms(folder / "my-laser-2.so")["name"] == "my-laser-2"


def test_a_skeleton_in_rust_builds_offline_and_keeps_every_rule(tmp_path):
    folder = write_skeleton(tmp_path, "my-laser-2", "rust")
    assert "thermometer" not in words(folder).lower()
    assert "NAME" not in words(folder)
    need("cargo")
    build("cargo", "test", "--quiet", "--offline", "--locked", folder=folder)
    build("cargo", "build", "--quiet", "--offline", "--locked", "--release", folder=folder)
    assert conforms(folder / "target" / "release" / "libmy_laser_2.so")["name"] == "my-laser-2"


@pytest.mark.parametrize(
    "name", ["", "Laser", "2laser", "my_laser", "-x", "x-", "x/y", "../x", "fn", "test", "x" * 300]
)
def test_a_name_that_cannot_be_is_refused_and_nothing_written(tmp_path, name):
    with pytest.raises(DeviceError, match="writing a new plugin failed"):
        write_skeleton(tmp_path, name, "c")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_written_over(tmp_path):
    (tmp_path / "laser").mkdir()
    with pytest.raises(DeviceError, match="which exists"):
        write_skeleton(tmp_path, "laser", "rust")
    assert list((tmp_path / "laser").iterdir()) == []
    with pytest.raises(DeviceError, match="No such file or directory"):
        write_skeleton(tmp_path / "nowhere", "laser", "rust")
