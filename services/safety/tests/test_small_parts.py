"""The event log, the voice towards the service manager, what a status says, and what the daemon loads."""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nixel.safety
from nixel.safety.core.model import Cause, Event, Mode, State, Verdict
from nixel.safety.notify import Notifier
from nixel.safety.records import events as events_module
from nixel.safety.records.digest import sha256
from nixel.safety.records.event_json import finite, record, stamp
from nixel.safety.records.events import EventLog
from nixel.safety.service.status import what_to_do

# --- what is loaded ---


def _loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_daemon_loads_nothing_but_the_standard_library_and_itself():
    loaded = _loaded_by("import nixel.safety.daemon") - _loaded_by("pass")
    ours = {name for name in loaded if name.partition(".")[0] == "nixel"}
    assert {name for name in ours if not name.startswith("nixel.safety")} <= {"nixel"}
    assert "nixel.safety.core.step" in ours
    tops = {name.partition(".")[0] for name in loaded - ours}
    assert tops <= set(sys.stdlib_module_names)
    assert not tops & {"asyncio", "http", "xmlrpc", "ssl", "sqlite3"}
    # OpenSSL's library alone would be a sixth of the memory that the daemon may have.
    assert "_hashlib" not in tops


def test_the_hash_is_sha_256():
    assert sha256(b"abc").hexdigest() == hashlib.sha256(b"abc").hexdigest()


def test_the_client_loads_little():
    loaded = _loaded_by("import nixel.safety.client")
    ours = {name.removeprefix("nixel.safety.") for name in loaded if name.startswith("nixel.safety.")}
    assert ours == {"client", "client.answers", "client.lease", "client.line"}
    assert not {name.partition(".")[0] for name in loaded} & {"serial", "tomllib", "asyncio", "numpy"}


def test_the_version_is_the_packages():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert nixel.safety.__version__ == project["version"]


# --- the event log ---


def event(text, **details):
    return Event(1.0, "cause", text, details)


def test_the_log_is_appended_to_line_by_line(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"an": "older line"}\n')
    log = EventLog(path)
    log.start()
    log.put([event("first", value=61.0), event("second", value=math.nan)])
    log.put([event("third")])
    log.close(2.0)
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert [found.get("text") for found in lines] == [None, "first", "second", "third"]
    assert [found["details"] for found in lines[1:]] == [{"value": 61.0}, {"value": None}, {}]


def test_a_full_queue_drops_and_says_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr(events_module, "CAPACITY", 3)
    log = EventLog(tmp_path / "events.jsonl")
    log.put([event(str(number)) for number in range(5)])
    assert log.lost == 2
    log.start()
    log.close(2.0)
    lines = [json.loads(text) for text in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [found["text"] for found in lines] == ["0", "1", "2", "2 events came too fast to be written"]


def test_a_full_disk_is_complained_of_and_does_not_end_the_thread(capfd):
    log = EventLog(Path("/dev/full"))
    log.start()
    log.put([event("lost")])
    log.close(2.0)
    assert "cannot be written" in capfd.readouterr().err


def test_without_a_file_nothing_is_kept():
    log = EventLog(None)
    log.start()
    log.put([event("x")])
    log.close(0.1)
    assert log.lost == 0


def test_a_line_has_the_wall_clock_time_in_utc():
    assert json.loads(record(1_700_000_000.25, event("µ", n=1))) == {
        "time": "2023-11-14T22:13:20.250Z",
        "monotonic": 1.0,
        "kind": "cause",
        "text": "µ",
        "details": {"n": 1},
    }
    assert stamp(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("value", "found"), [(math.nan, None), (-math.inf, None), (1.5, 1.5), (True, True), ("x", "x")]
)
def test_json_gets_no_nan(value, found):
    assert finite(value) == found


# --- the service manager ---


@pytest.mark.parametrize("abstract", [False, True])
def test_tells_the_service_manager(tmp_path, abstract):
    name = f"@nixel-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(1.0)
        notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000"})
        notifier.send("READY=1", "STATUS=FAULT")
        assert manager.recv(100) == b"READY=1\nSTATUS=FAULT"
        for tick in range(21):
            notifier.completed(tick * 0.01)
        manager.setblocking(False)
        fed = [manager.recv(100) for _ in range(3)]
        assert fed == [b"WATCHDOG=1"] * 3  # at 0, 0.1 and 0.2 s: four times as often as asked for
        with pytest.raises(BlockingIOError):
            manager.recv(100)


def test_without_a_service_manager_nothing_is_said():
    notifier = Notifier({})
    notifier.send("READY=1")
    notifier.completed(0.0)
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).send("READY=1")


# --- advice ---

HOT = Verdict("coil", "limit", False, "coil is 61 degC")
LATCHED = State(Mode.FAULT, (Cause("coil", 0.0, "it was hot"),))


@pytest.mark.parametrize(
    ("state", "verdicts", "says"),
    [
        (LATCHED, (HOT,), "Put this right, then reset: coil is 61 degC."),
        (
            LATCHED,
            (
                HOT,
                Verdict("door", "boolean", False, "no reading", gap=True),
                Verdict("gpio", "device", False, "lost"),
            ),
            "Put this right, then reset: lost; coil is 61 degC; nothing fresh is read for door.",
        ),
        (LATCHED, (), "Everything is healthy now: reset to go on (the fault was: it was hot)."),
        (State(Mode.SAFE), (), "Nothing is on; arm when the instrument may be energised."),
        (State(Mode.ARMED), (), "Armed with nothing on; the holder of the lease may enable an output."),
        (State(Mode.ENERGISED, on=frozenset({"b", "a"})), (), "On: a, b; stop switches everything off."),
    ],
)
def test_says_what_to_do_in_every_state(state, verdicts, says):
    assert what_to_do(state, verdicts) == says
