"""The protocol of the surveillance unit, frame by frame and without a line."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from nixel.safety.survbox import Demand, Link, LinkError, Timing

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
    return link


def polled_link(now: float = 0.0) -> Link:
    link = ready_link()
    for request, reply in [
        (b"!GET:DIGITAL*#", b"DIGITAL:1;0#"),
        (b"!GET:ANALOG*#", b"ANALOG:25.5;24#"),
        (b"!GET:DIGITAL*#", b"DIGITAL:1;0#"),
        (b"!GET:ANALOG*#", b"ANALOG:25.5;24#"),
        (b"!GET:STATUS*#", b"STATUS:AC=0;WD=1#"),
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
    assert link.poll(0.04) == b"!GET:DIGITAL*#"
    link = polled_link()
    link.demand(Demand(permitted=True))
    assert link.poll(0.01) == b"!GET:DIGITAL*#"


def test_contacts_and_currents_are_asked_every_time_and_the_relay_every_other():
    link = polled_link()
    rounds = []
    for step in range(1, 5):
        rounds.append(b"")
        while frames := link.poll(step * 0.041):
            rounds[-1] += frames
            answer_all(link, frames)
    every = b"!GET:DIGITAL*#!GET:ANALOG*#"
    assert rounds == [every, every + b"!GET:STATUS*#"] * 2


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


def answer_all(link: Link, frames: bytes) -> list[bytes]:
    """Answer every command of what was written, and list the commands."""
    answers = {b"ANALOG": b"ANALOG:1#", b"DIGITAL": b"DIGITAL:1#", b"STATUS": b"STATUS:AC=1;WD=1#"}
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
    assert link.poll(0.0) == b"!RESET:WD*#"
    link.feed(b"ACK#")
    assert link.poll(0.0) == b"!ENABLE:AC*#"


def energised_link() -> Link:
    link = polled_link()
    link.demand(ON)
    for _ in range(2):
        link.poll(0.0)
        link.feed(b"ACK#")
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
    assert 0.005 <= link.next_time(0.001) <= 0.009  # the next poll, in time for the next tick
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
    for reply in (b"DIGITAL:1#", b"ANALOG:1#", b"STATUS:WD=1#"):
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


def test_a_relay_that_nothing_would_drop_is_not_accepted():
    link = polled_link()
    for now in (0.04, 0.08):
        for reply in (b"DIGITAL:1#", b"ANALOG:1#"):
            link.poll(now)
            link.feed(reply)
        assert now == 0.08 or link.poll(now) == b""
    assert link.poll(0.08) == b"!GET:STATUS*#"
    with pytest.raises(LinkError, match="watchdog off"):
        link.feed(b"STATUS:AC=1;WD=0#")


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
