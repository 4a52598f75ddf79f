"""`nixel plugin` tells a person and a program the same, and its exit status tells both."""

import json
import os
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nixel.acquisition.plugins.checking.rules import RULES
from nixel.imaging.cli import app
from nixel.imaging.cli.plugin import _settings
from nixel.imaging.errors import UserError

runner = CliRunner()


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The example in C."""
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        pytest.skip(f"no C compiler ({compiler}) on this machine, so no plugin can be built")
    sources = Path(str(resources.files("nixel.acquisition"))) / "plugins" / "sources"
    library = tmp_path_factory.mktemp("plugin") / "thermometer.so"
    code = sources / "example-c" / "thermometer.c"
    command = [compiler, "-shared", "-fPIC", f"-I{sources / 'include'}", "-o", library, code]
    subprocess.run(list(map(str, command)), check=True)
    return library


def run(*arguments):
    return runner.invoke(app, ["plugin", *map(str, arguments)])


def test_a_person_reads_every_rule(plugin):
    done = run("check", plugin, "--trips", "1000")
    assert done.exit_code == 0, done.output
    for rule in RULES:
        assert f"ok   {rule.name}" in done.output
        assert rule.says in done.output
    assert f"{plugin}: as nixel_device.h says; {len(RULES) + 2} hold" in done.output


def test_a_program_reads_the_same(plugin):
    done = run("check", plugin, "--json", "--setting", "simulated=false")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["conforms"] is False
    assert document["settings"] == {"simulated": False}
    (opening,) = (rule for rule in document["rules"] if rule["rule"] == "open")
    assert opening["verdict"] == "fail"
    assert "simulated = true" in opening["found"]
    assert len(document["rules"]) == len(RULES) + 2


def test_a_broken_rule_comes_with_what_to_do(plugin):
    done = run("check", plugin, "--setting", "port=/dev/ttyUSB0")
    assert done.exit_code == 1
    assert "FAIL open" in done.output
    assert "found: open() with the settings" in done.output
    assert "do: See what it says" in done.output


def test_settings_have_the_types_of_toml():
    given = ["a=true", "b=1", "c=1.5", 'd="1"', "e=/dev/ttyUSB0", "f=", "g=x=y"]
    found = _settings(given)
    assert found == {"a": True, "b": 1, "c": 1.5, "d": "1", "e": "/dev/ttyUSB0", "f": "", "g": "x=y"}
    assert [type(value) for value in found.values()] == [bool, int, float, str, str, str, str]
    for wrong in ("a", "=1", "a=[1]"):
        with pytest.raises(UserError, match="--setting"):
            _settings([wrong])


def test_new_writes_a_folder_and_says_what(tmp_path):
    done = run("new", "my-laser", "--language", "c", "--in", tmp_path)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "my-laser" / "my-laser.c").is_file()
    assert "README.md" in done.output


def test_what_excludes_each_other_and_what_is_not_known_is_refused(plugin, tmp_path):
    assert isinstance(run("check", plugin, "--sanitize", "--valgrind").exception, UserError)
    assert isinstance(run("new", "x", "--language", "go", "--in", tmp_path).exception, UserError)
    assert list(tmp_path.iterdir()) == []
