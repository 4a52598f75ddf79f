"""Ticks that can only find what the last one found are completed without being evaluated; nobody can tell which."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from core_bench import instrument
from hypothesis import given, settings
from hypothesis import strategies as st

from nixel.safety import daemon
from nixel.safety.config.instrument import Deadlines, Instrument
from nixel.safety.core.model import AcquireLease, Arm, Bypass, Disconnect, Enable, Mode, Reading, Reset, Stop
from nixel.safety.daemon import Loop
from nixel.safety.notify import Notifier
from nixel.safety.proof import Prove
from nixel.safety.records.events import EventLog
from nixel.safety.records.recorder import Recorder
from nixel.safety.records.recordings import Folder
from nixel.safety.service.status import describe, later
from nixel.safety.units.unit import Units, View

# 64 ticks a second and times that are multiples of that: all sums and differences are exact.
CORE = instrument()
PERIOD = CORE.period
AGE = 16 * PERIOD  # of every reading
GOOD = {"analog:0": 25.0, "digital:0": True, "digital:1": True}


class Device:
    """A unit whose relay follows; what it reads is said by the script."""

    name = "device"

    def __init__(self):
        self.view = View()
        self.lives = True
        self.on = frozenset()
        self.commands = []

    def start(self):
        pass

    def alive(self):
        return self.lives

    def command(self, command):
        self.on = command.on
        self.commands.append(command)

    def read(self, now, values):
        readings = {source: Reading(value, now) for source, value in {**GOOD, **values}.items()}
        readings["readback:ac"] = Reading("ac" in self.on, now)
        self.view = View(readings)

    def close(self, timeout):
        pass


class Told:
    """The server as the loop sees it: what a client that asked after every tick would have been told."""

    def __init__(self, *, always):
        self.always = always
        self.lives = True
        self.requests, self.proofs, self.shown, self.replies = [], [], [], []
        self.last = None
        self.evaluated = 0

    def alive(self):
        return self.lives

    def news(self):
        return self.always or bool(self.requests or self.proofs) or not self.lives

    def take(self):
        taken, self.requests = tuple(self.requests), []
        return taken

    def take_proofs(self):
        taken, self.proofs = tuple(self.proofs), []
        return taken

    def publish(self, snapshot, replies, changed):
        self.last = snapshot
        self.evaluated += 1
        self.replies += replies
        self.shown.append((snapshot.time, changed, describe(CORE, True, snapshot, 0.0)))

    def repeat(self, now, ticks):
        self.shown.append((now, False, describe(CORE, True, later(self.last, now, ticks), 0.0)))


class Log:
    """The event log's thread, that never comes to writing."""

    def hand(self, chore):
        return True

    def put(self, events):
        pass


class Bench:
    """A loop whose waits take no time; before each tick one step of the script takes place."""

    def __init__(self, folder, script, *, always, deadlines=None):
        self.now = 64.0
        self.script = list(script)
        self.unit, self.server, self.fed = Device(), Told(always=always), []
        units = Units([self.unit])
        units.start()
        made = Instrument(Path("bench.toml"), CORE, "", deadlines or Deadlines(), None, None, 365 * 86400.0)
        self.recorder = Recorder(CORE, "bench", True, Folder(folder), Log())
        notifier = Notifier({})
        notifier.completed = self.fed.append
        self.loop = Loop(
            *(made, units, self.server, EventLog(None), notifier),
            clock=lambda: self.now,
            sleep=self.sleep,
            recorder=self.recorder,
        )

    def sleep(self, seconds):
        self.now += seconds
        if not self.script:
            self.loop.end("enough")
            return False
        late, what, given = self.script.pop(0)
        self.now += late * PERIOD
        if what == "read":
            self.unit.read(self.now, given)
        elif what == "unchanged":
            self.unit.view = View(self.unit.view.readings)
        elif what == "fault":
            self.unit.view = View(self.unit.view.readings, "the device is unplugged")
        elif what == "ask":
            (self.server.proofs if isinstance(given[0], Prove) else self.server.requests).extend(given)
        elif what == "gone":
            getattr(self, given).lives = False
        return False


NOTHING = (0, "nothing", None)
READ = (0, "read", {})
WELL = [READ] * 2


def both(script, **more):
    """Run a script both ways and hold that nothing differs; give the first, and how many ticks it evaluated."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(daemon.time, "time", lambda: 1.8e9)  # by which proofs are dated
        short = Bench(Path(folder, "short"), script, always=False, **more)
        short.loop.run()
        full = Bench(Path(folder, "full"), script, always=True, **more)
        full.loop.run()
    assert short.server.shown == full.server.shown
    assert short.server.replies == full.server.replies
    assert short.unit.commands == full.unit.commands
    assert short.fed == full.fed
    assert short.loop.state == full.loop.state
    assert short.loop.ticks == full.loop.ticks
    rings = [bench.recorder._ring for bench in (short, full)]
    assert rings[0].count == rings[1].count
    assert rings[0].data.tobytes() == rings[1].data.tobytes()
    return short, short.server.evaluated


ASKED = [
    (Reset(1, 1),),
    (Arm(1, 2),),
    (AcquireLease(1, 3, "a scan"),),
    (Enable(1, 4, "amplifier"),),
    (Stop(2, 5, "enough"),),
    (Disconnect(1, 0),),
    (Bypass(1, 6, "door", 0.25, "anna", "the probe is out"),),
    (Prove(1, 7, "amplifier", "anna"),),
]
READ_ANEW = st.sampled_from([{}, {}, {"analog:0": 61.0}, {"analog:0": None}, {"digital:0": False}])
STEPS = st.one_of(
    st.just(NOTHING),
    st.tuples(st.sampled_from([0, 0, 0, 0, 1, 3, 40, -2]), st.just("read"), READ_ANEW),
    st.tuples(st.sampled_from([0, 0, 0, 2]), st.just("ask"), st.sampled_from(ASKED)),
    st.sampled_from([(0, "unchanged", None), (0, "fault", None), (0, "gone", "unit"), (0, "gone", "server")]),
)
PIECES = st.one_of(STEPS.map(lambda one: [one]), st.integers(1, 20).map(lambda count: [NOTHING] * count))
UP = [[READ, (0, "ask", ASKED[0]), READ], [READ, *[(0, "ask", each) for each in ASKED[:4]], READ], []]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(UP), st.lists(PIECES, max_size=12))
def test_nobody_can_tell_which_ticks_were_evaluated(up, pieces):
    both([*WELL, *up, *(each for piece in pieces for each in piece)])


@pytest.mark.parametrize("asked", [[], ASKED[:1]], ids=["latched", "reset"])
def test_with_nothing_on_a_tick_is_evaluated_when_something_was_read_or_may_have_grown_stale(asked):
    quiet = [READ, *[NOTHING] * 14]
    bench, evaluated = both([*WELL, *[(0, "ask", each) for each in asked], *quiet * 4])
    mode = Mode.SAFE if asked else Mode.FAULT
    assert bench.server.shown[-2][2]["state"] == mode
    # The script's ticks, the one in which the end is asked for, and that of the end.
    assert len(bench.server.shown) == 2 + len(asked) + 4 * 15 + 2
    # The two at the start, the one in which somebody asks, one for each reading, and that of the end.
    assert evaluated == 2 + len(asked) + 4 + 1
    # Then nothing is read any more: evaluated in every tick from when it is stale.
    before, counted = both([*WELL, *[NOTHING] * 16])
    longer, more = both([*WELL, *[NOTHING] * 26])
    assert len(longer.server.shown) - len(before.server.shown) == more - counted == 10


def test_in_armed_every_tick_is_evaluated_and_toggles_the_pump():
    up = [READ, *[(0, "ask", each) for each in ASKED[:2]], READ]
    bench, evaluated = both([*WELL, *up, *[NOTHING] * 10])
    assert bench.server.shown[-2][2]["state"] == Mode.ARMED
    beats = [command.beats for command in bench.unit.commands if command.permitted]
    # From the one in which it was armed to the one in which the end is asked for.
    assert beats == list(range(1, 1 + 1 + 1 + 10 + 1))
    assert evaluated == len(bench.server.shown)


@pytest.mark.parametrize(
    "news",
    [
        READ,
        (0, "unchanged", None),
        (0, "fault", None),
        (0, "ask", ASKED[0]),
        (0, "ask", ASKED[7]),
        (0, "gone", "unit"),
        (0, "gone", "server"),
        (1, "nothing", None),
        (-1.5, "nothing", None),
    ],
    ids=["read", "said again", "fault", "request", "proof", "unit", "server", "late", "clock"],
)
def test_any_news_has_the_tick_evaluated(news):
    _, without = both([*WELL, READ, *[NOTHING] * 5])
    _, counted = both([*WELL, READ, *[NOTHING] * 4, news])
    assert counted > without


def test_a_clock_that_goes_back_behind_a_tick_that_was_left_out_is_a_fault():
    # Two ticks after the last one that was evaluated, then back to between the two.
    bench, _ = both([*WELL, READ, NOTHING, NOTHING, (-1.5, "nothing", None)])
    assert "clock" in [cause["name"] for cause in bench.server.shown[-2][2]["causes"]]


def test_deadlines_that_are_missed_at_rest_are_a_fault():
    few = replace(Deadlines(), limit=1)
    bench, _ = both([*WELL, READ, NOTHING, (2, "nothing", None), NOTHING], deadlines=few)
    assert "deadlines" in [cause["name"] for cause in bench.server.shown[-2][2]["causes"]]
