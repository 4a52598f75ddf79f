"""What is read between two ticks and forbids what is on does not wait for the next; nothing else moves a tick."""

from __future__ import annotations

import pytest

from nixel.safety.config.instrument import load
from nixel.safety.core.model import AcquireLease, Arm, Enable, Mode, Reading, Reset
from nixel.safety.daemon import Loop
from nixel.safety.notify import Notifier
from nixel.safety.records.events import EventLog


class Bench:
    """Units, server and clock of a loop; `plan` tells by time [s] what is read, or asked, between the ticks."""

    def __init__(self, plan):
        self.now = 0.0
        self.values = {"analog:0": 25.0, "digital:0": True}
        self.on = frozenset()
        self.plan = dict(plan)
        self.requests = [
            [Enable(1, 4, "amplifier")],
            [AcquireLease(1, 2, "test"), Arm(1, 3)],
            [Reset(1, 1)],
            [],
        ]
        self.commands = []
        self.ticks = []

    def clock(self):
        return self.now

    def wait(self, seconds):
        """Until the next piece of news, or for so long."""
        coming = min((at for at in self.plan if at > self.now), default=None)
        if coming is None or coming >= self.now + seconds:
            self.now += seconds
            return False
        self.now = coming
        self.values.update(self.plan[coming])
        return True

    def news(self):
        return True  # each tick is to be evaluated

    def look(self):
        readings = {source: Reading(value, self.now) for source, value in self.values.items()}
        readings["readback:ac"] = Reading("ac" in self.on, self.now)
        return readings, {}

    def command(self, command):
        self.on = command.on
        self.commands.append((self.now, command))

    def alive(self):
        return True

    def take(self):
        return tuple(self.requests.pop()) if self.requests else ()

    def take_proofs(self):
        return ()

    def publish(self, snapshot, replies, changed):
        self.ticks.append((round(snapshot.time, 6), snapshot.state.mode))
        if snapshot.time > 0.0999:
            self.loop.end("enough")


@pytest.fixture
def run(tmp_path, instrument_text):
    def run(plan):
        file = tmp_path / "instrument.toml"
        file.write_text(instrument_text)
        bench = Bench(plan)
        bench.loop = Loop(load(file), bench, bench, EventLog(None), Notifier({}), bench.clock, bench.wait)
        bench.loop.run()
        return bench

    return run


EVERY = [round(n * 0.01, 6) for n in range(1, 11)]


def times(bench):
    # The last one is that of the end.
    return [at for at, _ in bench.ticks[:-1]]


@pytest.mark.parametrize("news", [{"digital:0": False}, {"analog:0": 60.0}, {"analog:0": float("nan")}])
def test_a_fault_that_is_read_between_two_ticks_switches_off_at_once(run, news):
    bench = run({0.0532: news})
    assert times(bench) == [*EVERY[:5], 0.0532, *EVERY[5:]]
    assert dict(bench.ticks)[0.05] is Mode.ENERGISED
    assert dict(bench.ticks)[0.0532] is Mode.FAULT
    assert next(at for at, command in bench.commands if at > 0.05 and not command.on) == 0.0532


def test_what_is_read_and_is_well_moves_no_tick_and_toggles_no_pump(run):
    quiet, busy = run({}), run({0.0501 + n * 0.0005: {"analog:0": 25.0 + n} for n in range(20)})
    assert times(quiet) == times(busy) == EVERY
    assert [command.beats for _, command in quiet.commands] == [command.beats for _, command in busy.commands]


def test_once_it_is_off_news_wait_for_the_tick(run):
    bench = run({0.0532: {"digital:0": False}, 0.0551: {"digital:0": True}, 0.0562: {"digital:0": False}})
    assert times(bench) == [*EVERY[:5], 0.0532, *EVERY[5:]]


def test_with_nothing_on_a_fault_waits_for_the_tick(run):
    bench = run({0.0151: {"digital:0": False}})
    assert times(bench) == EVERY
    assert dict(bench.ticks)[0.02] is Mode.FAULT
