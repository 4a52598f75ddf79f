"""The proof test: the pump stops, the relay drops, the date is kept; and what happens if the relay does not drop."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from nixel.safety.client import SafetyRefused
from nixel.safety.config.instrument import ConfigError, load
from nixel.safety.core.model import Boolean, Config, Lease, Mode, Output, Reading, State
from nixel.safety.proof import Proof, Prove, Prover, Result
from nixel.safety.proofbook import ProofBook
from nixel.safety.service.status import Snapshot, describe

WALL = 1_800_000_000.0
CONFIG = Config(
    0.01,
    0.5,
    (Boolean("stop", "digital:0", True, 0.2),),
    (Output("mains", "gpio:1", ("stop",)), Output("amplifier", "ac", ("stop",), 0.2)),
)
ON = State(
    Mode.ENERGISED,
    on=frozenset({"mains", "amplifier"}),
    lease=Lease(7, "t", 0.5, 99.0),
    ticked=9.99,
    switched={"mains": 8.0, "amplifier": 9.0},
)
OFF = State(Mode.SAFE, ticked=9.99, off_reason="stopped: tea", lease=ON.lease)
ASKED = (Prove(7, 21, "amplifier", "anna"),)


def said(value, time):
    return {"readback:ac": Reading(value, time), "readback:gpio:1": Reading(True, time)}


def begun():
    prover = Prover(CONFIG, {})
    turn = prover.step(ON, said(True, 9.98), ASKED, 10.0, WALL)
    assert turn.withheld, "from this very tick on"
    assert [reply.refused for reply in turn.replies] == [None]
    assert prover.proofs[1].result is Result.RUNNING
    return prover


def test_a_relay_that_drops_in_time_passes_and_the_pump_stays_stopped_until_it_is_commanded_off():
    prover = begun()
    assert prover.step(ON, said(True, 10.09), (), 10.10, WALL).withheld
    turn = prover.step(ON, said(False, 10.12), (), 10.13, WALL)
    # The safety logic may see the drop only later; a beat before that would pick the relay up again.
    assert turn.withheld
    assert not turn.faults
    (event,) = turn.events
    assert (event.kind, event.time) == ("proof", 10.13)
    assert event.details == {
        "output": "amplifier",
        "result": "passed",
        "took_ms": 140.0,
        "allowed_ms": 200.0,
        "by": "anna",
    }
    assert prover.proofs[1].passed == WALL
    assert prover.step(ON, said(False, 10.13), (), 10.14, WALL).withheld
    assert not prover.step(OFF, said(False, 10.13), (), 10.15, WALL).withheld
    assert prover.proofs[0] == Proof("mains", 0.25), "the other one is as unproven as before"


def test_a_relay_that_does_not_drop_is_a_fault_in_the_tick_in_which_the_time_is_up():
    prover = begun()
    assert not prover.step(ON, said(True, 10.18), (), 10.19, WALL).faults
    turn = prover.step(ON, said(True, 10.19), (), 10.20, WALL)
    assert "did NOT drop within 200 ms" in turn.faults["proof"]
    assert turn.events[0].details["result"] == "failed"
    assert prover.proofs[1].passed is None


def test_a_relay_that_drops_too_late_has_failed():
    prover = begun()
    turn = prover.step(ON, said(False, 10.2), (), 10.21, WALL)
    assert "220 ms after the charge pump had stopped; it is allowed 200 ms" in turn.faults["proof"]
    assert (prover.proofs[1].result, prover.proofs[1].passed) == (Result.FAILED, None)


def test_a_relay_that_does_not_report_proves_nothing_and_is_switched_off():
    prover = begun()
    turn = prover.step(ON, said(False, 9.985), (), 10.21, WALL)  # what it said before the pump stopped
    assert "did not report" in turn.faults["proof"]
    assert prover.proofs[1].result is Result.INCONCLUSIVE


def test_what_is_switched_off_meanwhile_proves_nothing():
    prover = begun()
    turn = prover.step(OFF, said(False, 10.05), (), 10.05, WALL)
    assert prover.proofs[1].result is Result.INCONCLUSIVE
    assert "stopped: tea" in turn.events[0].text
    assert not turn.faults


def test_a_later_proof_that_fails_keeps_the_date_of_the_last_that_was_passed():
    prover = begun()
    prover.step(ON, said(False, 10.1), (), 10.1, WALL)
    prover.step(OFF, said(False, 10.1), (), 10.2, WALL)
    again = prover.step(ON, said(True, 19.9), ASKED, 20.0, WALL + 50)
    assert again.replies[0].refused is None
    prover.step(ON, said(True, 20.25), (), 20.3, WALL + 50)
    proof = prover.proofs[1]
    assert (proof.result, proof.began, proof.passed) == (Result.FAILED, WALL + 50, WALL)


@pytest.mark.parametrize(
    ("state", "readings", "asked", "why_not"),
    [
        (
            ON,
            said(True, 9.98),
            Prove(7, 1, "lamp", ""),
            "there is no output 'lamp'; this instrument has mains",
        ),
        (ON, said(True, 9.98), Prove(8, 1, "amplifier", ""), "needs the lease"),
        (OFF, said(True, 9.98), Prove(7, 1, "amplifier", ""), "amplifier is off"),
        (ON, said(False, 9.98), Prove(7, 1, "amplifier", ""), "does not report yet"),
        (ON, said(None, 9.98), Prove(7, 1, "amplifier", ""), "does not report yet"),
        (ON, said(True, 8.9), Prove(7, 1, "amplifier", ""), "does not report yet"),
        (ON, {}, Prove(7, 1, "amplifier", ""), "does not report yet"),
    ],
)
def test_a_proof_that_cannot_be_done_is_refused_and_the_pump_goes_on(state, readings, asked, why_not):
    turn = Prover(CONFIG, {}).step(state, readings, (asked,), 10.0, WALL)
    assert why_not in turn.replies[0].refused
    assert not turn.withheld
    assert not turn.events


def test_there_is_one_proof_at_a_time():
    prover = begun()
    turn = prover.step(ON, said(True, 10.0), (Prove(7, 2, "mains", ""),), 10.01, WALL)
    assert "the proof of amplifier is under way" in turn.replies[0].refused
    prover.step(ON, said(False, 10.02), (), 10.03, WALL)
    turn = prover.step(ON, said(True, 10.0), (Prove(7, 2, "mains", ""),), 10.04, WALL)
    assert "the proof of amplifier is under way" in turn.replies[0].refused, "until it is commanded off"


# --- the book ---


def test_the_book_keeps_what_is_put_into_it(tmp_path, capsys):
    path = tmp_path / "events.proofs.json"
    proofs = (Proof("a", 0.2, Result.PASSED, WALL, 0.1, "anna", "well", WALL), Proof("b", 0.2))
    book = ProofBook(path)
    book.start()
    book.put(proofs)
    book.close(2.0)
    assert ProofBook(path).load() == {"a": proofs[0], "b": proofs[1]}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"a": 1}', b'{"a": {"result": "perhaps"}}', b"{" * 100_000],
)
def test_a_spoilt_book_counts_as_nothing_proven_and_is_said(tmp_path, capsys, content):
    path = tmp_path / "events.proofs.json"
    path.write_bytes(content)
    assert ProofBook(path).load() == {}
    assert f"{path} cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("passed", ["1e400", "NaN", "-1", '"2026"', "true", "1e300"])
def test_a_date_that_is_none_spoils_the_book(tmp_path, passed):
    path = tmp_path / "events.proofs.json"
    proof = '{"result":"passed","allowed":0.2,"began":1,"took":0.1,"by":"","message":"","passed":%s}'
    path.write_text('{"a": ' + proof % passed + "}")
    assert ProofBook(path).load() == {}


def test_a_disk_that_takes_nothing_is_said_and_a_failed_proof_is_said_loudly(tmp_path, capsys):
    book = ProofBook(tmp_path / "nowhere" / "x.proofs.json")
    book.start()
    book.put((Proof("a", 0.2, Result.FAILED, WALL, None, "anna", "it did NOT drop"),))
    book.close(2.0)
    said = capsys.readouterr().err
    assert "PROOF FAILED: it did NOT drop" in said
    assert "cannot be written" in said


# --- a real daemon, a real relay with a watchdog of its own ---


def prove(daemon, *arguments):
    command = [sys.executable, "-m", "nixel.safety", "--socket", str(daemon.socket), "prove", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
    )


def proven(daemon):
    (proof,) = daemon.client.status().proofs
    return proof


def recorded(daemon, kind):
    return [
        event
        for text in daemon.events.read_text().splitlines()
        if (event := json.loads(text))["kind"] == kind
    ]


def test_a_person_proves_that_the_relay_drops(daemon, unit, start_daemon):
    daemon.healthy()
    assert proven(daemon).result == "never"
    done = prove(daemon, "--yes")
    assert (done.returncode, done.stdout) == (2, ""), "a fault is latched; that is looked at first"
    daemon.client.reset()
    done = prove(daemon, "--yes")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "PASSED: the relay of amplifier dropped" in done.stdout
    assert [why for _, on, why in unit.relay_log if not on] == ["watchdog"], (
        "dropped by itself, not by command"
    )
    status = daemon.wait_for(lambda now: now.state == "FAULT")
    assert status.first_cause.message == "amplifier reports that it is off although it is commanded on"
    proof = proven(daemon)
    assert proof.result == "passed"
    # The unit's own watchdog takes 100 ms; the pump's last feed may be older than the loop's last beat.
    assert 80.0 < proof.took_ms <= 400.0
    assert proof.passed == proof.time
    assert f"user {os.getuid()}, process " in proof.by
    daemon.healthy()
    daemon.client.reset()
    assert daemon.end() == 0
    (event,) = recorded(daemon, "proof")
    assert event["details"]["result"] == "passed"
    assert event["details"]["took_ms"] == proof.took_ms
    assert event["details"]["by"] == proof.by
    # The next daemon knows it.
    again = subprocess.Popen(daemon.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert again.stdout.readline()
        assert proven(daemon).passed == proof.passed
    finally:
        again.terminate()
        again.communicate(timeout=5)


def test_a_relay_that_sticks_is_switched_off_by_command_and_said_loudly(daemon, unit):
    unit.watchdog = 1e9  # what should drop it does not
    daemon.armed()
    done = prove(daemon, "--yes")
    assert done.returncode == 1
    assert "THE PROOF OF AMPLIFIER FAILED. A daemon that dies would leave it ON." in done.stderr
    assert "FAILED: the relay of amplifier did NOT drop within 400 ms" in done.stdout
    assert [why for _, on, why in unit.relay_log if not on] == ["DISABLE:AC"]
    status = daemon.client.status()
    assert (status.state, status.first_cause.name) == ("FAULT", "proof")
    assert proven(daemon).result == "failed"
    assert daemon.end() == 0
    assert recorded(daemon, "proof")[0]["details"]["result"] == "failed"
    assert "PROOF FAILED" in daemon.process.stderr.read()


def test_a_stop_in_the_middle_wins_and_the_proof_came_to_no_result(daemon, unit):
    unit.watchdog = 1e9
    daemon.armed()
    with daemon.client.lease("a careful person") as lease:
        lease.enable("amplifier")
        daemon.wait_for(lambda now: any(i.value is True for i in now.interlocks if i.kind == "readback"))
        lease.prove("amplifier")
        daemon.client.stop("no, wait")
    status = daemon.wait_for(lambda now: now.proofs[0].result != "running")
    assert status.proofs[0].result == "inconclusive"
    assert "stopped: no, wait" in status.proofs[0].message
    assert status.state == "SAFE"


def test_only_the_holder_of_the_lease_proves_what_is_on(daemon):
    daemon.armed()
    with (
        daemon.client.lease("hasty") as lease,
        pytest.raises(SafetyRefused, match="amplifier is off; enable it"),
    ):
        lease.prove("amplifier")


def test_nobody_there_to_ask_means_no_proof(daemon, unit):
    daemon.armed()
    done = prove(daemon)
    assert done.returncode == 2
    assert "say so with --yes" in done.stderr
    assert unit.relay_log == []
    done = prove(daemon, "--yes", "--output", "lamp")
    assert done.returncode == 2
    assert "there is no output 'lamp'; name one of amplifier" in done.stderr


@pytest.mark.parametrize(("answer", "status"), [("yes", 0), ("y", 2), ("", 2)])
def test_a_person_is_asked_whether_the_instrument_may_be_switched_on(daemon, unit, answer, status):
    daemon.armed()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "nixel.safety", "--socket", str(daemon.socket), "prove"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as asking:
        os.write(ours, f"{answer}\n".encode())
        out, errors = asking.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert "may it be switched on? Type yes" in out
    assert asking.returncode == status, (out, errors)
    assert bool(unit.relay_log) == (answer == "yes")


# --- when the next one is due ---

DAY = 86400.0


@pytest.mark.parametrize(
    ("passed", "interval", "overdue"),
    [
        (None, None, False),
        (WALL - 900 * DAY, None, False),
        (None, 365 * DAY, True),
        (WALL - 364 * DAY, 365 * DAY, False),
        (WALL - 366 * DAY, 365 * DAY, True),
        # Dated by a clock that was wrong, then or now: not known to have been passed.
        (WALL + 2 * DAY, 365 * DAY, True),
    ],
)
def test_a_proof_is_overdue_by_the_date_of_the_last_that_was_passed(passed, interval, overdue):
    proof = Proof("amplifier", 0.2, Result.FAILED, WALL - DAY, None, "anna", "", passed)
    snapshot = Snapshot(OFF, (), 5.0, 1, 0, (proof,))
    (told,) = describe(CONFIG, False, snapshot, WALL - 5.0, interval)["proofs"]
    assert told["overdue"] is overdue
    assert (told["due"] is None) == (interval is None or passed is None)


def test_the_instrument_file_may_state_the_interval(tmp_path, instrument_text):
    file = tmp_path / "bench.toml"
    file.write_text(instrument_text)
    assert load(file).proof_interval is None
    file.write_text(instrument_text.replace("[safety]\n", '[safety]\nproof_interval = "365 d"\n'))
    assert load(file).proof_interval == 365 * DAY
    for wrong, says in (
        ("365", "has no unit"),
        ("1 h", "in another unit"),
        ("1 s", "from 86400"),
        ("99999 d", "to 3"),
    ):
        file.write_text(instrument_text.replace("[safety]\n", f'[safety]\nproof_interval = "{wrong}"\n'))
        with pytest.raises(ConfigError, match=r"safety\.proof_interval") as caught:
            load(file)
        assert says in str(caught.value)


def test_an_interlock_cannot_take_the_name_of_a_failed_proof(tmp_path, instrument_text):
    file = tmp_path / "bench.toml"
    file.write_text(instrument_text.replace("emergency-stop", "proof"))
    with pytest.raises(ConfigError, match=r"is none of .*proof"):
        load(file)
