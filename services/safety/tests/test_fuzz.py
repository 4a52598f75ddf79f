"""The socket's language and a whole server, fuzzed: by Hypothesis, and by a coverage-guided fuzzer if there is one."""

from __future__ import annotations

import contextlib
import gc
import random

import abuse
import fuzz
import pytest
import station
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from station import CALLS, OURS, Station

from nixel.safety.client.answers import SafetyError, parse_status

FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(FEW, max_examples=1500)

# --- the pure layers ---

_texts = st.text(max_size=40) | st.sampled_from([OURS + "Stop", OURS + "Bypass", "a.b", "\x00", "\ud800"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_calls = st.fixed_dictionaries(
    {"method": st.sampled_from([call["method"] for call in CALLS]) | _texts},
    optional={
        "parameters": st.dictionaries(
            st.sampled_from(["name", "output", "interlock", "reason", "duration_ms", "by", "x"]),
            _json,
            max_size=5,
        ),
        "more": st.booleans() | _json,
        "oneway": st.booleans() | _json,
        "upgrade": _json,
    },
)


def _bytes(value):
    return fuzz.json.dumps(value).encode() + b"\n"


@given(st.binary(max_size=300) | _json.map(_bytes) | _calls.map(_bytes))
@MANY
def test_whatever_is_sent_is_a_call_or_an_error_and_nothing_else(data):
    fuzz.protocol_target(data)


@pytest.fixture(scope="module")
def told():
    """The parameters of a status."""
    with contextlib.closing(Station()) as made:
        return made.server._status()


@given(st.data())
@MANY
def test_whatever_answers_is_a_status_or_an_error_for_a_person(told, data):
    spoilt = dict(told)
    for name in data.draw(st.lists(st.sampled_from(sorted(told)), max_size=3)):
        spoilt[name] = data.draw(_json)
    for name in ("interlocks", "proofs", "causes"):
        if isinstance(spoilt[name], list) and spoilt[name] and data.draw(st.booleans()):
            first = dict(spoilt[name][0]) if isinstance(spoilt[name][0], dict) else {}
            for key in data.draw(
                st.lists(st.sampled_from(sorted(first)), max_size=2) if first else st.just([])
            ):
                first[key] = data.draw(_json)
            spoilt[name] = [first, *spoilt[name][1:]]
    fuzz.understand(fuzz.json.dumps(spoilt).encode())


@pytest.mark.parametrize(
    "answer",
    [[], None, "status", 7, {"lease": None, "first_cause": None, "outputs": []}],
)
def test_an_answer_that_is_no_status_is_said_to_be_none(answer):
    with pytest.raises(SafetyError, match="of another version"):
        parse_status(answer)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", None),
        ("causes", None),
        ("interlocks", [None]),
        ("outputs", {"amplifier": 1}),
        ("missed_deadlines", "many"),
        ("lease", {"holder": "x", "remaining_s": None}),
        ("simulated", 1),
    ],
)
def test_a_status_with_a_part_of_another_kind_is_said_to_be_of_another_version(told, name, value):
    assert parse_status(told).state == "FAULT"
    with pytest.raises(SafetyError, match="of another version"):
        parse_status({**told, name: value})


# --- a whole server ---


@given(st.binary(max_size=400))
@FEW
def test_whatever_happens_on_the_socket_nothing_that_must_hold_breaks(script):
    station.play(script)


# Steps that get somewhere, so that the drawn ones happen in every state.
_on = fuzz.seeds("station")[0]
_step = st.one_of(
    st.tuples(st.sampled_from([0, 3, 4, 5, 6, 7, 8, 9]), st.integers(0, 255)).map(bytes),
    st.tuples(st.just(2), st.integers(0, 3), st.integers(0, 2 * len(CALLS))).map(bytes),
    st.builds(
        lambda whom, data: bytes((1, whom, len(data))) + data, st.integers(0, 3), st.binary(max_size=40)
    ),
    st.just(bytes((3, 0, 4, 0, 3, 0))),
    st.just(_on),
)


@given(st.lists(_step, max_size=30))
@FEW
def test_whatever_clients_do_to_an_instrument_that_is_on_nothing_that_must_hold_breaks(drawn):
    station.play(_on + b"".join(drawn))


def test_the_scripts_that_the_fuzzers_begin_with_get_where_they_should():
    seen = set()
    for script in fuzz.seeds("station"):
        played = station.play(script)
        seen |= {
            event.text.partition(":")[0]
            for event in played.events
            if event.kind in ("transition", "proof", "bypass")
        }
    assert seen >= {
        *("FAULT -> SAFE", "SAFE -> ARMED", "ARMED -> ENERGISED", "ENERGISED -> FAULT", "ENERGISED -> SAFE"),
        *("proof passed", "proof failed", "proof inconclusive"),
        *("coil is bypassed for 0.2 s by user 4000, process 7", "the bypass of coil ended"),
    }


def test_clients_that_come_and_go_leave_nothing_behind():
    chance = random.Random(1)
    with contextlib.closing(Station()) as visited:

        def visitors(many):
            for _ in range(many):
                client = visited.connect()
                for _ in range(5):
                    visited.send(client, abuse.spoilt(chance))
                    visited.turn()
                    visited.tick()
                    visited.turn()
                    visited.read(client)
                visited.hang_up(client)
                visited.turn()
                visited.turn()
                visited.events.clear()
                visited.recorded.clear()
            gc.collect()
            return len(gc.get_objects())

        visitors(100)
        before = visitors(100)
        # A leak of one object a visitor would be three hundred.
        assert visitors(300) - before < 30


# What fuzzers found, so that it stays found.
@pytest.mark.parametrize(
    "script",
    [
        # A connection is closed with calls unread while another comes in.
        bytes.fromhex(
            "0001020004000000 02010f03000900f5 01079f9f9f9f9f9f 9f00000000000000 0000000000000000"
            "009f9f9f00030300 0400030300030004 00"
        ),
        # The lease is asked for and the connection ends in the same turn.
        b"\x08\x0f\x06\xaf\x03b\x07G\x06\xf5\x02\xdax\x02T\xc5\x07\x0b",
    ],
)
def test_what_was_found_stays_found(script):
    station.play(script)


@pytest.mark.slow
@pytest.mark.parametrize("target", sorted(fuzz.TARGETS))
def test_a_coverage_guided_fuzzer_finds_nothing(target):
    why_not = fuzz.available()
    if why_not:
        pytest.skip(why_not)
    status, said = fuzz.guided(target, 10.0)
    print(said)
    assert status == 0, said
