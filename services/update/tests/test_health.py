"""The health check as a whole: all checks at once, each with a limit; its file and its command."""

from __future__ import annotations

import json
import time

import pytest

from nixel.update.cli import main
from nixel.update.health.config import Watched, parse
from nixel.update.health.model import Finding
from nixel.update.health.runner import check_all, snapshot_all
from nixel.update.refusal import Refusal


class Scripted:
    """Looks as it is told, one finding after the other; the last one stays."""

    def __init__(self, *goods, hangs=0.0):
        self.goods, self.hangs, self.before = list(goods), hangs, []

    def snapshot(self):
        time.sleep(self.hangs)
        return {"seen": 1}

    def look(self, before, patience):
        self.before.append(before)
        time.sleep(self.hangs)
        good = self.goods.pop(0) if len(self.goods) > 1 else self.goods[0]
        return Finding(good, "good" if good else "bad")


def watched(check, name="it", within=1.0, steady=0.0):
    return Watched(name, "scripted", check, within, steady)


def test_a_check_passes_as_soon_as_it_is_good():
    (result,) = check_all([watched(Scripted(False, False, True), within=30)], {})
    assert result.passed
    assert result.words == "good"
    assert result.seconds < 5


def test_a_check_that_never_is_good_ends_with_its_time():
    (result,) = check_all([watched(Scripted(False), within=0.6)], {})
    assert not result.passed
    assert 0.6 <= result.seconds < 1.5


def test_what_is_good_for_a_moment_only_does_not_pass():
    """A service that comes up and falls over again and again."""
    flapping = Scripted(*[True, False] * 50)
    (result,) = check_all([watched(flapping, within=2, steady=1)], {})
    assert not result.passed
    (result,) = check_all([watched(Scripted(False, True), within=10, steady=0.5)], {})
    assert result.passed
    assert result.seconds >= 0.5


def test_all_checks_look_at_the_same_time_and_none_is_waited_for_for_ever():
    slow = [watched(Scripted(False), name=f"slow{number}", within=1) for number in range(20)]
    hanging = watched(Scripted(True, hangs=60), name="hanging", within=1)
    began = time.monotonic()
    results = check_all([*slow, hanging, watched(Scripted(True), name="good")], {})
    assert time.monotonic() - began < 4
    assert [result.name for result in results] == [f"slow{number}" for number in range(20)] + [
        "hanging",
        "good",
    ]
    assert [result.passed for result in results] == [False] * 21 + [True]
    assert "hangs and was cut off" in results[-2].words


def test_a_check_gets_its_own_facts_only():
    check = Scripted(True)
    noted = snapshot_all([watched(check)])
    assert noted == {"it": {"kind": "scripted", "seen": 1}}
    check_all([watched(check)], noted)
    check_all([watched(check)], {"it": {"kind": "another", "seen": 1}})
    check_all([watched(check)], {"other": noted["it"]})
    check_all([watched(check)], {"it": 3})
    assert check.before == [noted["it"], None, None, None]


# --- the file and the command ---


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (3, "format 1"),
        ({"format": 2, "checks": {}}, "format 1"),
        ({"format": 1}, "format 1"),
        ({"format": 1, "checks": {"a": 3}}, "a is of the kind None"),
        ({"format": 1, "checks": {"a": {"kind": "network", "within": 1}}}, "a is of the kind 'network'"),
        ({"format": 1, "checks": {"a": {"kind": "clock", "within": 1}}}, "a: not_before is not set"),
        ({"format": 1, "checks": {"a": {"kind": "safety", "socket": "/s"}}}, "a: within is not set"),
        (
            {"format": 1, "checks": {"a": {"kind": "safety", "socket": "/s", "within": True}}},
            "within is True",
        ),
        (
            {"format": 1, "checks": {"a": {"kind": "clock", "within": 1, "not_before": "x"}}},
            "not_before is 'x'",
        ),
        (
            {"format": 1, "checks": {"a": {"kind": "clock", "within": 1, "not_before": 1, "b": 2}}},
            "b is no setting",
        ),
        ({"format": 1, "checks": {"a": {"kind": "command", "within": 1, "argv": []}}}, "argv is []"),
        ({"format": 1, "checks": {"a": {"kind": "devices", "within": 1, "paths": [1]}}}, "paths is [1]"),
    ],
)
def test_a_wrong_configuration_is_refused(found, words):
    with pytest.raises(Refusal) as refused:
        parse(found, "here")
    assert words in str(refused.value)
    assert "here" in str(refused.value)


@pytest.fixture
def files(tmp_path):
    def write(name, value):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    return write


def test_the_command_from_snapshot_to_verdict(files, tmp_path, capsys):
    device = tmp_path / "device"
    device.touch()
    checks = {
        "devices": {"kind": "devices", "within": 0.3, "paths": [str(device)]},
        "disk": {"kind": "disk", "within": 0.3, "path": str(tmp_path), "free": 1},
    }
    config = files("config", {"format": 1, "checks": checks})
    assert main(["health", "snapshot", "--config", config]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == {
        "format": 1,
        "facts": {"devices": {"kind": "devices", "there": [str(device)]}, "disk": {"kind": "disk"}},
    }
    before = files("before", printed)
    assert main(["health", "check", "--config", config, "--before", before]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == 1
    assert [(check["name"], check["passed"]) for check in found["checks"]] == [
        ("devices", True),
        ("disk", True),
    ]
    assert all(set(check) == {"name", "passed", "words", "seconds"} for check in found["checks"])

    device.unlink()
    assert main(["health", "check", "--config", config, "--before", before]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [check["passed"] for check in found["checks"]] == [False, True]
    # Nothing is missed that nobody noted.
    assert main(["health", "check", "--config", config]) == 0


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2, "facts": {}}', '{"format": 1, "facts": []}'])
def test_a_wrong_snapshot_is_refused(files, capsys, text):
    config = files("config", {"format": 1, "checks": {}})
    assert main(["health", "check", "--config", config, "--before", files("before", text)]) == 2
    assert capsys.readouterr().out == ""


def test_a_file_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["health", "check", "--config", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
