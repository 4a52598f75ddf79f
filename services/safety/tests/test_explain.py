"""Why the output is off and what to do: in one sentence, for every state and every way into it."""

from __future__ import annotations

import dataclasses

import pytest

from nixel.safety.cli.explain import duration, explain, unreachable
from nixel.safety.cli.show import line, show
from nixel.safety.client.answers import (
    Bypassed,
    Cause,
    Interlock,
    LeaseInfo,
    Proof,
    SafetyUnavailable,
    Status,
)

TIME = "2026-01-31T12:00:00.000Z"
WELL = Interlock("coil-temperature", "limit", True, False, 25.0, "degC", 0.01, "")
HOT = dataclasses.replace(
    WELL, healthy=False, value=61.0, message="coil-temperature is 61 degC, at or above 60 degC"
)
MISSING = dataclasses.replace(
    WELL, healthy=False, value=None, age_s=None, message="coil-temperature: no reading from analog:0 yet"
)
PRESSED = Interlock("stop", "boolean", False, False, False, None, 0.01, "emergency stop pressed")
STUCK = Interlock(
    "amplifier readback", "readback", False, False, True, None, 0.01, "amplifier reports that it is on"
)
LATE = Interlock("deadlines", "device", False, False, None, None, None, "12 ticks within 1 s came late")
UNPLUGGED = Interlock("surveillance", "device", False, False, None, None, None, "the unit at /dev/x was lost")
LEASE = LeaseInfo("a scan", 0.4)
NEVER = Proof("amplifier", "never", None, None, None, 250.0, None, None, False, "has never been proven")
SAFE = Status(
    "SAFE",
    {"amplifier": False},
    (WELL,),
    None,
    None,
    (),
    "the fault was reset",
    False,
    9,
    0,
    "Arm.",
    (),
    (NEVER,),
)


def status(**changes):
    return dataclasses.replace(SAFE, **changes)


def fault(first, *interlocks, name="coil-temperature"):
    cause = Cause(name, TIME, first)
    return status(
        state="FAULT",
        interlocks=interlocks,
        first_cause=cause,
        causes=(cause,),
        off_reason=first,
        what_to_do="",
    )


# What happened, what the sentence says of why, what it says to do.
TABLE = [
    (
        "after a start",
        fault("the safety daemon has started", WELL, name="start"),
        "has started",
        "so run `nixel safety reset`",
    ),
    (
        "after a start with something wrong",
        fault("it has started", PRESSED, name="start"),
        "emergency stop pressed",
        "put that right, then run `nixel safety reset`",
    ),
    (
        "tripped and still unhealthy",
        fault(HOT.message, HOT),
        "is 61 degC, at or above 60 degC",
        "and it is still so; put that right, then run `nixel safety reset`",
    ),
    (
        "tripped and healthy again",
        fault(HOT.message, WELL),
        "is 61 degC, at or above 60 degC",
        "everything is healthy again: if you know why it happened, run `nixel safety reset`",
    ),
    (
        "something else is wrong by now",
        fault(HOT.message, WELL, PRESSED),
        "is 61 degC",
        "not right now: emergency stop pressed; put that right",
    ),
    (
        "a missing sensor",
        fault(MISSING.message, MISSING),
        "no reading from analog:0",
        "check the sensor of coil-temperature and its cable",
    ),
    (
        "a relay that does not follow",
        fault(STUCK.message, STUCK),
        "reports that it is on",
        "check that output's relay and its wiring",
    ),
    (
        "deadlines",
        fault(LATE.message, LATE, name="deadlines"),
        "12 ticks within 1 s came late",
        "find out what keeps this machine so busy",
    ),
    (
        "deadlines that are kept again",
        fault(LATE.message, WELL, name="deadlines"),
        "12 ticks",
        "find out what keeps this machine so busy and end it first, then run",
    ),
    (
        "an unplugged unit",
        fault(UNPLUGGED.message, UNPLUGGED, name="surveillance"),
        "was lost",
        "see that the surveillance unit is connected and powered",
    ),
    (
        "a device without which much is not read",
        fault(
            UNPLUGGED.message,
            MISSING,
            PRESSED,
            UNPLUGGED,
            dataclasses.replace(MISSING, name="door"),
            name="surveillance",
        ),
        "the unit at /dev/x was lost; emergency stop pressed; nothing fresh is read for coil-temperature, door; ",
        "see that the surveillance unit is connected and powered, put that right, then run",
    ),
    (
        "a device without which nothing is read",
        fault(
            UNPLUGGED.message,
            *(dataclasses.replace(MISSING, name=f"sensor-{number}") for number in range(9)),
            UNPLUGGED,
            name="surveillance",
        ),
        "the unit at /dev/x was lost; nothing fresh is read for sensor-0, sensor-1, sensor-2 and 6 more; ",
        "see that the surveillance unit is connected and powered, then run",
    ),
    (
        "a proof that failed",
        fault("the relay did NOT drop", WELL, name="proof"),
        "did NOT drop",
        "have the relay repaired first, then run",
    ),
    (
        "a bypassed interlock is not what is wrong",
        fault(PRESSED.message, dataclasses.replace(HOT, bypassed=True)),
        "emergency stop pressed",
        "everything is healthy again",
    ),
    ("after a reset", SAFE, "the fault was reset", "run `nixel safety arm`"),
    (
        "after a stop",
        status(off_reason="stopped: lunch"),
        "the instrument was stopped: lunch",
        "make sure that it may be energised again, then run `nixel safety arm`",
    ),
    (
        "after a lost lease",
        status(off_reason="'a scan' was silent for longer than 500 ms, so its lease ended"),
        "silent for longer than 500 ms",
        "find out what became of that program, then run `nixel safety arm`",
    ),
    (
        "after a closed connection",
        status(off_reason="the connection of 'a scan' closed, and with it its lease ended"),
        "'a scan' closed",
        "find out what became of that program",
    ),
    ("never armed", status(off_reason=None), "nobody has armed", "run `nixel safety arm`"),
    (
        "armed and nobody there",
        status(state="ARMED", off_reason="armed"),
        "nobody has enabled anything since the instrument was armed",
        "start a scan",
    ),
    (
        "armed after a scan",
        status(state="ARMED", off_reason="amplifier was disabled"),
        "amplifier was disabled",
        "start a scan",
    ),
    (
        "armed and held",
        status(state="ARMED", off_reason="armed", lease=LEASE),
        "'a scan' holds the lease and has enabled nothing",
        "wait for it",
    ),
    (
        "on",
        status(state="ENERGISED", outputs={"amplifier": True}, off_reason=None, lease=LEASE),
        "amplifier is on, enabled by 'a scan'",
        "`nixel safety stop` switches everything off",
    ),
    (
        "one on, one off",
        status(state="ENERGISED", outputs={"mains": True, "amplifier": False}, off_reason=None),
        "amplifier is off because nobody has enabled it",
        "the holder of the lease enables",
    ),
]


@pytest.mark.parametrize(
    ("now", "why", "what_to_do"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_one_sentence_says_why_and_what_to_do(now, why, what_to_do):
    said = explain(now)
    assert why in said
    assert what_to_do in said
    assert said.index(why) < said.index(what_to_do)
    assert said.endswith(".")
    assert ". " not in said
    assert "\n" not in said
    if not any(now.outputs.values()):
        assert said.startswith("amplifier is off because ")


def test_the_table_knows_every_state():
    assert {row[1].state for row in TABLE} == {"SAFE", "ARMED", "ENERGISED", "FAULT"}


def test_several_outputs_are_named_in_one_breath():
    assert explain(status(outputs={"a": False, "b": False, "c": False})).startswith(
        "a, b and c are off because "
    )


def test_a_bypass_is_told_whatever_the_state_is():
    bypassed = Bypassed("bore", "anna (user 1000, process 7)", "a phantom is in it", 250.4)
    for now in (SAFE, status(state="ARMED"), status(state="ENERGISED", outputs={"amplifier": True})):
        first, second = explain(dataclasses.replace(now, bypasses=(bypassed,))).splitlines()
        assert first == explain(now)
        assert second == (
            "bore is BYPASSED by anna (user 1000, process 7) for 4 min 10 s more (a phantom is in it) and protects "
            "nobody; `nixel safety bypass --end bore` ends that."
        )


def test_a_proof_that_is_overdue_or_failed_is_told():
    overdue = dataclasses.replace(NEVER, overdue=True)
    assert explain(status(proofs=(overdue,))).splitlines()[1] == (
        "The proof test of amplifier is overdue, for it has never been passed; "
        "run `nixel safety prove --output amplifier`."
    )
    late = dataclasses.replace(overdue, result="passed", passed=TIME, time=TIME)
    assert f"it was last passed on {TIME};" in explain(status(proofs=(late,)))
    failed = dataclasses.replace(NEVER, result="failed", time=TIME, message="it must be repaired")
    assert f"amplifier FAILED its proof test of {TIME}: it must be repaired" in explain(
        status(proofs=(failed,))
    )
    well = dataclasses.replace(NEVER, result="passed", time=TIME, passed=TIME)
    assert "\n" not in explain(status(proofs=(well,)))


def test_the_fault_that_a_passed_proof_leaves_is_told_as_such():
    dropped = fault("amplifier reports that it is off", WELL, name="amplifier readback")
    passed = dataclasses.replace(
        NEVER, result="passed", time="2026-01-31T11:59:59.900Z", passed=TIME, took_ms=90.0
    )
    said = explain(dataclasses.replace(dropped, proofs=(passed,)))
    assert said.endswith(
        "that is what the proof test of amplifier, which it passed, leaves: run `nixel safety reset`."
    )
    for other in (
        dataclasses.replace(passed, time="2026-01-31T11:00:00.000Z"),
        dataclasses.replace(passed, time="2026-01-31T12:00:00.100Z"),
        dataclasses.replace(passed, result="inconclusive"),
        dataclasses.replace(passed, output="mains"),
    ):
        assert "if you know why it happened" in explain(dataclasses.replace(dropped, proofs=(other,)))


def test_without_a_daemon_nothing_is_claimed_to_be_known():
    said = unreachable(
        SafetyUnavailable("no safety daemon answers at /x (No such file or directory); start it")
    )
    assert said.startswith("Nothing is known of the outputs, so take them to be ON, because ")
    assert "no safety daemon answers at /x" in said
    assert "`systemctl status nixel-safety`" in said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (59.4, "59 s"), (59.9, "1 min 0 s"), (3600.0, "60 min 0 s")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


# --- the table and the line ---


def test_the_table_names_everything_that_matters():
    bypassed = Bypassed("bore", "anna", "phantom", 90.0)
    proof = dataclasses.replace(
        NEVER, result="passed", time=TIME, passed=TIME, took_ms=123.4, due="2027-01-31T12:00:00.000Z"
    )
    shown = show(
        status(
            interlocks=(
                WELL,
                dataclasses.replace(HOT, name="bore", bypassed=True),
                PRESSED,
                STUCK,
                LATE,
                dataclasses.replace(MISSING, name="door"),
            ),
            bypasses=(bypassed,),
            proofs=(proof, NEVER, dataclasses.replace(NEVER, overdue=True)),
            lease=LEASE,
            missed_deadlines=3,
            simulated=True,
        )
    ).splitlines()
    assert shown == [
        "SAFE  (simulated)",
        "  output       amplifier           off",
        "  limit        coil-temperature    ok             25 degC",
        f"  limit        bore                BYPASSED       61 degC  {HOT.message}",
        "  boolean      stop                UNHEALTHY               emergency stop pressed",
        "  readback     amplifier readback  UNHEALTHY           on  amplifier reports that it is on",
        "  device       deadlines           UNHEALTHY               12 ticks within 1 s came late",
        "  limit        door                UNHEALTHY            -  coil-temperature: no reading from analog:0 yet",
        "  BYPASSED     bore                1 min 30 s left, by anna: phantom",
        "  lease        a scan, 400 ms left",
        f"  proof        amplifier           passed {TIME}, 123 of 250 ms, next one due 2027-01-31T12:00:00.000Z",
        "  proof        amplifier           never  OVERDUE",
        "  deadlines    3 missed in 9 ticks",
        "  Arm.",
    ]


def test_the_line_changes_with_what_matters_and_with_nothing_else():
    assert line(SAFE) == "SAFE       amplifier off; the fault was reset"
    drifted = status(
        interlocks=(dataclasses.replace(WELL, value=25.1, age_s=0.02),), ticks=10, missed_deadlines=1
    )
    assert line(drifted) == line(SAFE)
    assert line(status(lease=dataclasses.replace(LEASE, remaining_s=0.1))) == line(status(lease=LEASE))
    changes = [
        {"state": "ARMED"},
        {"outputs": {"amplifier": True}},
        {"lease": LEASE},
        {"interlocks": (PRESSED,)},
        {"interlocks": (dataclasses.replace(WELL, warning=True),)},
        {"bypasses": (Bypassed("bore", "anna", "phantom", 90.0),)},
        {"off_reason": "stopped: tea"},
        {"first_cause": Cause("stop", TIME, "emergency stop pressed")},
        {"proofs": (dataclasses.replace(NEVER, result="running"),)},
    ]
    lines = {line(status(**change)) for change in changes}
    assert len(lines | {line(SAFE)}) == len(changes) + 1
