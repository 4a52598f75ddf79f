"""The protocol of the surveillance unit, frame by frame and without a line."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixel.safety.units.survbox import Demand, Link, Timing
from nixel.safety.units.survbox_replies import LinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMING = Timing(reply=0.15, boot=2.5, again=0.5, feed=0.02, active=0.01, idle=0.04)
ON = Demand(on=True, permitted=True, beats=1)


def ready_link() -> Link:
    link = Link(TIMING, now=0.0)
    assert link.poll(0.0) == b"!VERSION*#"
    link.feed(b"SURVBOX:3#")
    assert link.poll(0.0) == b"!DISABLE:AC*#"
    link.feed(b"ACK#")
    assert link.poll(0.0) == b"!ENABLE:WD*#"
    link.feed(b"ACK#")
    assert link.poll(0.0) == b"!ENABLE:SURVEILLANCE*#"
    link.feed(b"ACK#")
    return link


def polled_link(now: float = 0.0) -> Link:
    link = ready_link()
    for request, reply in [
        (b"!GET:DIGITAL*#", b"DIGITAL:1;0#"),
        (b"!GET:ANALOG*#", b"ANALOG:25.5;24#"),
        (b"!GET:STATUS*#", b"STATUS:AC=0;WD=1;SV=1;FAIL=1#"),
        (b"!GET:DIGITAL*#", b"DIGITAL:1;0#"),
        (b"!GET:ANALOG*#", b"ANALOG:25.5;24#"),
        (b"!GET:CYCLETIME*#", b"CYCLETIME:250#"),
    ]:
        assert link.poll(now) == request
        link.feed(reply)
    return link


def test_starts_by_asking_who_is_there_and_makes_sure_of_off_and_watched():
    link = polled_link(now=0.25)
    values = {source: reading.value for source, reading in link.readings.items()}
    assert values == {
        "analog:0": 25.5,
        "analog:1": 24.0,
        "digital:0": True,
        "digital:1": False,
        "readback:ac": False,
    }
    assert {reading.time for reading in link.readings.values()} == {0.25}


def test_polls_at_the_idle_pace_and_faster_while_permitted():
    link = polled_link()
    assert link.poll(0.039) == b""
    assert link.next_time(0.039) == pytest.approx(0.001)
    assert link.poll(0.04) == b"!GET:STATUS*#!GET:DIGITAL*#!GET:ANALOG*#"
    link = polled_link()
    link.demand(Demand(permitted=True))
    assert link.poll(0.0) == b"!RESET:FAIL*#"
    link.feed(b"ACK#")
    assert link.poll(0.01) == b"!GET:DIGITAL*#"


@pytest.mark.parametrize("permitted", [False, True])
def test_where_time_is_short_the_relay_is_asked_every_other_time_and_else_with_all_the_others(permitted):
    link = polled_link()
    link.demand(Demand(permitted=permitted))
    assert (link.poll(0.0) == b"!RESET:FAIL*#") is permitted
    if permitted:
        link.feed(b"ACK#")
    rounds = []
    for step in range(1, 5):
        rounds.append(b"")
        while frames := link.poll(step * 0.041):
            rounds[-1] += frames
            answer_all(link, frames)
    every = b"!GET:DIGITAL*#!GET:ANALOG*#"
    assert rounds == [every if permitted else b"!GET:STATUS*#" + every, b"!GET:STATUS*#" + every] * 2


def test_while_it_is_idle_no_reading_grows_much_older_than_its_pace():
    link = polled_link()
    waiting, oldest = b"", 0.0
    for step in range(1, 2000):
        now = step * 0.0005
        if not link.gathering(now):
            answer_all(link, waiting)
            waiting = b""
        waiting += link.poll(now)
        known = [link.readings[source] for source in ("digital:0", "analog:0", "readback:ac")]
        oldest = max(oldest, *(now - reading.time for reading in known))
    assert TIMING.idle <= oldest <= 1.25 * TIMING.idle + 0.001


@pytest.mark.parametrize("permitted", [False, True])
def test_how_long_a_round_of_the_unit_takes_is_asked_once_a_second_while_there_is_time_for_it(permitted):
    link = polled_link()  # which has asked at 0 s
    link.demand(Demand(permitted=permitted))
    asked = []
    for step in range(1, 350):
        while frames := link.poll(step * 0.01):
            answer_all(link, frames)
            asked += [step * 0.01] * (b"CYCLETIME" in frames)
    assert len(asked) == (0 if permitted else 3)
    assert all(1.0 <= asked_at - before < 1.1 for before, asked_at in itertools.pairwise([0.0, *asked]))


def test_with_nothing_permitted_a_round_is_asked_at_once_and_its_replies_are_left_to_gather():
    link = polled_link()
    assert link.gathering(0.0) == 0.0
    largest, now, gathers = 0, 0.0, TIMING.idle / 4
    for _ in range(60):
        now += TIMING.idle
        frames = link.poll(now)
        largest = max(largest, len(frames))
        assert b"!GET:DIGITAL*#!GET:ANALOG*#" in frames
        assert link.gathering(now) == pytest.approx(gathers)
        assert link.gathering(now + gathers) == 0.0
        answer_all(link, frames)
        assert link.poll(now + gathers) == b""
        assert link.readings["digital:0"].time == link.readings["analog:0"].time == now
        assert link.next_time(now + gathers) == pytest.approx(TIMING.idle - gathers)
    # All four of them, in the buffer of a small microcontroller.
    assert largest == len(b"!GET:DIGITAL*#!GET:ANALOG*#!GET:STATUS*#!GET:CYCLETIME*#") < 64


def test_the_first_rounds_after_a_start_are_not_left_to_gather():
    link = ready_link()
    frames = link.poll(0.0)
    while frames:
        assert link.gathering(0.0) == 0.0
        answer_all(link, frames)
        frames = link.poll(0.0)


def test_nothing_gathers_once_something_is_permitted_or_switched_off():
    link = polled_link()
    link.poll(TIMING.idle)
    assert link.gathering(TIMING.idle) > 0.0
    link.demand(Demand(permitted=True))
    assert link.gathering(TIMING.idle) == 0.0
    answer_all(link, b"!GET:STATUS*#!GET:DIGITAL*#!GET:ANALOG*#")
    energise(link, TIMING.idle)
    link.demand(Demand())
    assert link.poll(TIMING.idle) == b"!DISABLE:AC*#"
    assert link.gathering(TIMING.idle) == 0.0


def test_a_unit_that_answers_only_some_of_a_round_has_not_answered():
    link = polled_link()
    link.poll(TIMING.idle)
    link.feed(b"STATUS:AC=0;WD=1;SV=1;FAIL=0#DIGITAL:1;0#")
    assert link.poll(TIMING.idle + TIMING.reply) == b""
    with pytest.raises(LinkError, match="has not answered GET:ANALOG within 150 ms"):
        link.poll(TIMING.idle + TIMING.reply + 0.001)


def test_the_replies_are_there_shortly_before_the_next_tick():
    link = polled_link()
    assert link.poll(0.0) == b""
    waits = []  # from the last reply of a round to the next tick
    for beat in range(1, 60):
        tick = beat * TIMING.active
        link.demand(Demand(permitted=True, beats=beat))
        frames, replied = b"", -math.inf
        for step in range(20):
            now = tick + step * 0.0005
            # The unit takes half a millisecond for an answer.
            if any(command in (b"ANALOG", b"STATUS") for command in answer_all(link, frames)):
                replied = now
            frames = link.poll(now)
        answer_all(link, frames)
        waits.append(tick + TIMING.active - replied)
    assert all(0.001 <= wait <= 0.0045 for wait in waits[10:]), waits


def rounds_begun(answer: int, *, on: bool = True) -> list[list[float]]:
    """When the contacts are asked for, in each period [s], of a unit that takes so many half milliseconds to answer."""
    link, waiting, periods = polled_link(), [], []
    for beat in range(1, 100):
        link.demand(Demand(on=on, permitted=True, beats=beat))
        periods.append([])
        for step in range(20):
            waiting = [(left - 1, frames) for left, frames in waiting]
            while waiting and waiting[0][0] <= 0:
                answer_all(link, waiting.pop(0)[1])
            since = step * TIMING.active / 20
            if frames := link.poll(beat * TIMING.active + since):
                waiting.append((answer, frames))
                periods[-1] += [since] * (b"GET:DIGITAL" in frames)
    return periods[50:]


def test_while_it_is_to_be_on_a_quick_line_is_asked_twice_a_period():
    for begun in rounds_begun(answer=1):
        first, second = begun
        assert 0.0035 <= second - first <= 0.006
        # What was asked second is answered before the tick.
        assert 0.005 <= second <= 0.0075


def test_with_nothing_on_it_is_asked_once_a_period():
    assert {len(begun) for begun in rounds_begun(answer=1, on=False)} == {1}


def test_a_line_that_needs_half_a_period_for_a_round_is_asked_once_a_period():
    periods = rounds_begun(answer=5)
    assert {len(begun) for begun in periods} <= {0, 1}
    assert sum(len(begun) for begun in periods) >= 0.8 * len(periods)


def answer_all(link: Link, frames: bytes) -> list[bytes]:
    """Answer every command of what was written, and list the commands."""
    answers = {
        b"ANALOG": b"ANALOG:1#",
        b"DIGITAL": b"DIGITAL:1#",
        b"STATUS": b"STATUS:AC=1;WD=1;SV=1;FAIL=0#",
        b"CYCLETIME": b"CYCLETIME:250#",
    }
    commands = [frame.strip(b"!*").removeprefix(b"GET:") for frame in frames.split(b"#")[:-1]]
    for command in commands:
        link.feed(answers.get(command, b"ACK#"))
    return commands


def test_a_reading_carries_the_time_of_the_question():
    link = ready_link()
    link.poll(1.0)
    link.feed(b"DIG")
    link.feed(b"ITAL:1#")
    assert link.readings["digital:0"].time == 1.0


def test_the_relay_goes_on_right_after_a_feed():
    link = polled_link()
    link.demand(ON)
    for command in (b"RESET:WD", b"RESET:FAIL", b"RESET:WD"):
        assert link.poll(0.0) == b"!" + command + b"*#"
        link.feed(b"ACK#")
    assert link.poll(0.0) == b"!ENABLE:AC*#"


def energise(link: Link, now: float) -> None:
    link.demand(ON)
    sent = b""
    while not sent.endswith(b"ENABLE:AC*#"):
        frames = link.poll(now)
        answer_all(link, frames)
        sent += frames


def energised_link() -> Link:
    link = polled_link()
    energise(link, 0.0)
    return link


def test_the_relay_goes_off_at_once_even_while_a_reply_is_awaited():
    link = energised_link()
    assert link.poll(0.04) == b"!GET:DIGITAL*#"
    assert not link.quiet()
    link.demand(Demand())
    assert link.poll(0.041) == b"!DISABLE:AC*#"
    assert not link.quiet()
    link.feed(b"DIGITAL:1#ACK#")
    assert link.quiet()


def test_a_feed_does_not_wait_for_a_reply_either():
    link = energised_link()
    assert link.poll(0.04) == b"!GET:DIGITAL*#"
    link.demand(Demand(on=True, permitted=True, beats=2))
    assert link.poll(0.041) == b"!RESET:WD*#"
    link.demand(Demand(on=True, permitted=True, beats=3))
    assert link.poll(0.1) == b"", "but for its own reply it does"
    link.demand(Demand())
    frames = b"!GET:DIGITAL*#" + b"!RESET:WD*#" + link.poll(0.1)
    assert frames.endswith(b"!DISABLE:AC*#")
    assert len(frames) <= 40
    link.feed(b"DIGITAL:1#ACK#ACK#")
    assert link.quiet()


def test_a_late_reply_does_not_hold_up_switching_off():
    link = energised_link()
    link.poll(0.04)
    link.demand(Demand())
    with pytest.raises(LinkError):  # the thread writes DISABLE:AC before it leaves a line that failed
        link.poll(1.0)


def test_feeds_when_the_heartbeat_toggled_and_not_more_often_than_needed():
    link = energised_link()
    fed = []
    for tick in range(1, 40):
        now = tick * 0.005
        link.demand(Demand(on=True, permitted=True, beats=tick))
        while frames := link.poll(now):
            fed += [now for command in answer_all(link, frames) if command == b"RESET:WD"]
    assert all(0.0199 <= b - a <= 0.03 for a, b in itertools.pairwise(fed))
    assert len(fed) >= 6


def test_wakes_in_time_for_the_next_feed():
    link = energised_link()
    link.demand(Demand(on=True, permitted=True, beats=2))
    assert 0.001 <= link.next_time(0.001) <= 0.004  # the next poll, and another one fits before the next tick
    link.timing = replace(TIMING, active=0.5)
    link.demand(Demand(on=True, permitted=True, beats=3))
    assert link.poll(0.001) == b""
    assert link.next_time(0.001) == pytest.approx(0.019)  # the next feed


def test_does_not_feed_without_the_heartbeat():
    link = energised_link()
    sent = []
    for step in range(1, 100):
        frames = link.poll(step * 0.005)
        sent += answer_all(link, frames)
    assert b"RESET:WD" not in sent
    assert sent.count(b"DIGITAL") > 10


def test_does_not_feed_before_it_knows_the_unit():
    link = Link(TIMING, now=0.0)
    link.demand(Demand(permitted=True, beats=5))
    assert link.poll(0.0) == b"!VERSION*#"
    assert link.poll(0.1) == b""
    link.feed(b"SURVBOX:3#")
    assert link.poll(0.1) == b"!DISABLE:AC*#"
    assert link.poll(0.11) == b""


def test_a_field_that_makes_no_sense_is_no_reading_of_that_channel_alone():
    link = ready_link()
    link.poll(0.0)
    link.feed(b"DIGITAL:2;1#")
    assert (link.readings["digital:0"].value, link.readings["digital:1"].value) == (None, True)
    link.poll(0.0)
    link.feed(b"ANALOG:open;nan;3#")
    assert link.readings["analog:0"].value is None
    assert math.isnan(link.readings["analog:1"].value)
    assert link.readings["analog:2"].value == 3.0
    for reply in (b"STATUS:WD=1;SV=1;FAIL=0#", b"DIGITAL:1#", b"ANALOG:1#", b"CYCLETIME:250#"):
        link.poll(0.0)
        link.feed(reply)
    assert link.readings["readback:ac"].value is None


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (b"NAK:busy#", "refuses GET:DIGITAL: busy"),
        (b"NAK#", "no reason given"),
        (b"ANALOG:1#", "'ANALOG:1' to GET:DIGITAL, which makes no sense"),
        (b"DIGITAL:1#ANALOG:1#", "without having been asked"),
        (b"\xff" * 5000, "without an end"),
    ],
)
def test_what_is_not_in_the_protocol_breaks_the_link(reply, says):
    link = ready_link()
    link.poll(0.0)
    with pytest.raises(LinkError, match=says):
        link.feed(reply)


def test_an_acknowledgement_must_be_one():
    link = polled_link()
    link.demand(ON)
    link.poll(0.0)
    with pytest.raises(LinkError, match="'NOPE' to RESET:WD"):
        link.feed(b"NOPE#")


def say_status(link: Link, reply: bytes, now: float = 0.1, beats: Iterator[int] | None = None) -> None:
    """Go on until the relay is asked, answer so and finish the round; with a heartbeat if there are beats."""
    while True:
        if beats is not None:
            link.demand(Demand(on=True, permitted=True, beats=next(beats)))
        frames = link.poll(now)
        before, asked, after = frames.partition(b"!GET:STATUS*#")
        answer_all(link, before)
        if asked:
            break
        now += 0.0 if frames else 0.01
    link.feed(reply)
    while after:
        answer_all(link, after)
        after = link.poll(now)


@pytest.mark.parametrize(
    ("reply", "off"),
    [(b"AC=1;WD=0;SV=1", "watchdog"), (b"AC=1;WD=1;SV=0", "surveillance"), (b"AC=1", "watchdog")],
)
def test_a_relay_that_nothing_would_drop_is_not_accepted(reply, off):
    with pytest.raises(LinkError, match=f"has its relay on but its {off} off"):
        say_status(polled_link(), b"STATUS:" + reply + b"#")


def test_what_the_unit_switched_off_by_itself_is_forgiven_when_outputs_are_permitted_and_not_before():
    link = polled_link()  # with FAIL=1
    for now in (0.1, 0.2):
        say_status(link, b"STATUS:AC=0;WD=1;SV=1;FAIL=1#", now)
        assert link.poll(now) == b""
    link.demand(Demand(permitted=True))
    assert link.poll(0.2) == b"!RESET:FAIL*#"
    link.feed(b"ACK#")
    assert link.poll(0.2) == b""
    link.demand(Demand())
    link.demand(Demand(permitted=True))
    assert link.poll(0.2) == b"!RESET:FAIL*#", "armed again, forgiven again"


@pytest.mark.parametrize("at_once", [False, True])
def test_a_relay_that_is_off_is_told_when_what_may_have_opened_it_has_been_asked_after_it(at_once):
    link = polled_link() if at_once else energised_link()
    now = TIMING.idle
    while not (frames := link.poll(now)).startswith(b"!GET:STATUS*#"):
        answer_all(link, frames)
        now += 0.0 if frames else TIMING.idle
    assert (frames == b"!GET:STATUS*#!GET:DIGITAL*#!GET:ANALOG*#") is at_once
    before = link.readings
    # The emergency stop is pulled after the contacts were last read, and the relay drops with it.
    link.feed(b"STATUS:AC=0;WD=1;SV=1;FAIL=1#")
    assert link.readings is before
    assert at_once or link.poll(now) == b"!GET:DIGITAL*#"
    link.feed(b"DIGITAL:0;0#")
    assert link.readings["digital:0"].value is False
    assert link.readings["readback:ac"] is before["readback:ac"]
    assert at_once or link.poll(now) == b"!GET:ANALOG*#"
    link.feed(b"ANALOG:25.5;24#")
    assert link.readings["readback:ac"].value is False
    assert link.readings["readback:ac"].time == now


def test_a_unit_that_switches_off_for_a_reason_of_its_own_is_at_fault_unless_the_contacts_say_why():
    link = energised_link()
    failed = b"STATUS:AC=0;WD=1;SV=1;FAIL=1#"
    say_status(link, failed)
    link.demand(Demand(beats=1))  # meanwhile the loop has seen an open contact
    say_status(link, failed, now=0.2)
    assert link.readings["readback:ac"].value is False
    link = energised_link()
    for now in (0.1, 0.2, 0.3):  # nobody has fed it, so we know why
        say_status(link, failed, now)
    link, beats = energised_link(), itertools.count(2)
    say_status(link, failed, beats=beats)
    with pytest.raises(LinkError, match="has switched off by itself"):
        say_status(link, failed, now=0.2, beats=beats)


@pytest.mark.parametrize("reply", [b"51000", b"-1", b"nan", b"fast", b""])
def test_a_unit_too_slow_to_watch_us_is_not_accepted(reply):
    link = ready_link()
    while (frames := link.poll(0.0)) != b"!GET:CYCLETIME*#":
        answer_all(link, frames)
    with pytest.raises(LinkError, match="a round of its own takes"):
        link.feed(b"CYCLETIME:" + reply + b"#")


SENT = {
    *("VERSION", "ENABLE:WD", "RESET:WD", "GET:STATUS", "GET:CYCLETIME", "GET:DIGITAL", "GET:ANALOG"),
    *("RESET:FAIL", "ENABLE:AC", "DISABLE:AC", "ENABLE:SURVEILLANCE"),
}


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from([0.0, 0.004, 0.01, 0.05])), max_size=50)
)
def test_it_speaks_the_protocol_and_never_makes_the_unit_look_on(wants):
    link, now, beats, seen = Link(TIMING, now=0.0), 0.0, 0, []
    for on, permitted, wait in wants:
        now += wait
        beats += permitted
        link.demand(Demand(on and permitted, permitted, beats))
        for _ in range(8):
            frames = link.poll(now)
            for frame in frames.split(b"#")[:-1]:
                command = frame.decode().removeprefix("!").removesuffix("*")
                seen.append((command, on and permitted))
                if command == "VERSION":
                    link.feed(b"SURVBOX:3#")
                else:
                    answer_all(link, frame + b"#")
    assert {command for command, _ in seen} <= SENT
    assert all(wanted for command, wanted in seen if command == "ENABLE:AC")
    # What switches on comes after what makes it safe to.
    names = [command for command, _ in seen]
    if "ENABLE:AC" in names:
        before = names[: names.index("ENABLE:AC")]
        assert before[-1] == "RESET:WD"
        assert {"DISABLE:AC", "ENABLE:WD", "ENABLE:SURVEILLANCE", "RESET:FAIL"} <= set(before)


def test_silence_breaks_the_link():
    link = ready_link()
    link.poll(0.0)
    assert link.next_time(0.1) == pytest.approx(0.05)
    assert link.poll(0.15) == b""
    with pytest.raises(LinkError, match="has not answered GET:DIGITAL within 150 ms"):
        link.poll(0.151)


# --- the greeting ---


def test_a_unit_that_is_still_starting_is_asked_again():
    link = Link(TIMING, now=0.0)
    assert link.poll(0.0) == b"!VERSION*#"
    assert link.poll(0.5) == b""
    assert link.next_time(0.4) == pytest.approx(0.1)
    assert link.poll(0.501) == b"!VERSION*#"
    assert link.quiet()
    with pytest.raises(LinkError, match="VERSION within 2500 ms; is it connected and powered"):
        link.poll(2.51)


def test_what_a_predecessor_left_on_the_line_is_passed_over():
    link = Link(TIMING, now=0.0)
    link.poll(0.0)
    link.feed(b"OG:3;4#NAK:unknown command#")
    assert link.poll(0.0) == b"!VERSION*#"
    link.feed(b"SURVBOX:3#SURVBOX:3#")
    assert link.poll(0.0) == b"!DISABLE:AC*#"


def test_another_device_is_told_from_a_surveillance_unit():
    link = Link(TIMING, now=0.0)
    with pytest.raises(LinkError, match=r"'THERMO:1' to VERSION, expected 'SURVBOX:3'"):
        link.feed(b"THERMO:1#" * 20)


def test_older_units_acknowledge_otherwise():
    link = Link(TIMING, now=0.0)
    link.poll(0.0)
    link.feed(b"SURVBOX:3#")
    link.poll(0.0)
    link.feed(b"ACQ#")
    assert link.poll(0.0) == b"!ENABLE:WD*#"
