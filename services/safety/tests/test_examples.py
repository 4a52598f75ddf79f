"""The example of a rack whose power comes up in four steps: the file as it is, ticked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from nixel.safety.config.instrument import load
from nixel.safety.core.model import (
    AcquireLease,
    Arm,
    Disable,
    Enable,
    Inputs,
    Mode,
    Reading,
    RenewLease,
    Reset,
)
from nixel.safety.core.step import start, step

RACK = Path(__file__).parents[1] / "examples/rack.toml"
ORDER = ["mains", "heating-control-off", "amplifier", "transmit"]
HEALTHY = {"digital:0": True, "digital:1": True, "digital:2": True, "analog:0": 22.0, "analog:1": 24.0}


class Rack:
    """The rack: every output reports what it is told, 20 ms later, unless its contact is stuck."""

    def __init__(self):
        self.config = load(RACK).core
        self.now = 0.0
        self.state = start(0.0)
        self.readings = dict(HEALTHY)
        self.stuck = {}
        self.moves = []
        self.told = [frozenset()] * 3
        self.tick()
        for request in (Reset(1, 1), Arm(1, 2), AcquireLease(1, 3, "a test")):
            assert self.tick(request) == []

    def tick(self, *requests):
        """Do one tick; give the reasons of what was refused."""
        self.now += self.config.period
        # Noise, for a sensor that stands still is at fault.
        noise = 0.01 * (round(self.now / self.config.period) % 2)
        readings = {
            source: Reading(value if isinstance(value, bool) else value + noise, self.now)
            for source, value in self.readings.items()
        }
        for output in self.config.outputs:
            on = self.stuck.get(output.name, output.name in self.told[0])
            readings[f"readback:{output.sink}"] = Reading(on, self.now)
        before = self.state.on
        self.state, outputs, _ = step(self.config, self.state, Inputs(readings, requests), self.now)
        self.told = [*self.told[1:], outputs.on]
        self.moves += [(name, True) for name in outputs.on - before]
        self.moves += [(name, False) for name in before - outputs.on]
        return [reply.refused for reply in outputs.replies if reply.refused]

    def run(self, seconds):
        for _ in range(round(seconds / self.config.period)):
            self.tick(RenewLease(1, 9))


@pytest.fixture
def rack():
    return Rack()


def test_the_outputs_come_up_in_their_order_each_after_the_one_before_has_settled(rack):
    assert [output.name for output in rack.config.outputs] == ORDER
    began = rack.now
    rack.tick(Enable(1, 4, "transmit"))
    assert rack.moves == [("mains", True)]
    rack.run(3.0)
    assert rack.moves == [(name, True) for name in ORDER]
    on = {name: rack.state.switched_at(name) - began for name in ORDER}
    assert on["heating-control-off"] - on["mains"] == pytest.approx(2.0, abs=0.05)
    assert on["amplifier"] - on["heating-control-off"] == pytest.approx(0.1, abs=0.05)
    assert on["transmit"] - on["amplifier"] == pytest.approx(0.5, abs=0.05)


def test_they_go_down_in_reverse_each_after_the_one_before_reports_that_it_is_off(rack):
    rack.tick(Enable(1, 4, "transmit"))
    rack.run(3.0)
    rack.moves.clear()
    rack.tick(Disable(1, 5, "mains"))
    assert rack.moves == [("transmit", False)]
    rack.run(0.5)
    assert rack.moves == [(name, False) for name in reversed(ORDER)]
    assert rack.state.mode is Mode.ARMED


@pytest.mark.parametrize("running", [0.5, 2.05, 2.3, 3.0])
def test_a_fault_switches_all_of_them_off_at_once_at_whatever_step(rack, running):
    rack.tick(Enable(1, 4, "transmit"))
    rack.run(running)
    assert rack.state.on
    rack.readings["digital:0"] = False
    rack.tick(RenewLease(1, 9))
    assert rack.state.on == frozenset()
    assert rack.state.mode is Mode.FAULT


def test_a_step_that_does_not_report_ends_the_start_up(rack):
    rack.stuck["heating-control-off"] = False
    rack.tick(Enable(1, 4, "transmit"))
    rack.run(3.0)
    assert ("amplifier", True) not in rack.moves
    assert rack.state.on == frozenset()
    assert rack.state.causes[0].name == "heating-control-off readback"


def test_a_step_that_does_not_go_off_is_a_fault_that_takes_the_others_with_it(rack):
    rack.tick(Enable(1, 4, "transmit"))
    rack.run(3.0)
    rack.stuck["transmit"] = True
    rack.tick(Disable(1, 5, "mains"))
    rack.run(0.5)
    assert rack.state.on == frozenset()
    assert rack.state.causes[0].name == "transmit readback"
