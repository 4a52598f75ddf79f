"""Several units as one: what the loop sees of them, and how they are taken down."""

from __future__ import annotations

import time

import pytest

from nixel.safety.core.model import Reading
from nixel.safety.daemon import take_down
from nixel.safety.units.unit import Command, UnitError, Units, View, Waker

ON = Command(frozenset({"ac", "gpio:17"}), permitted=True, beats=1)


class Device:
    """A unit without a device, that notes what is done to it."""

    def __init__(self, name, notes, view=None, fails=()):
        self.name, self.notes, self.fails = name, notes, dict(fails)
        self.view = view or View()
        self.lives = True

    def note(self, what):
        self.notes.append((self.name, what))
        if what in self.fails:
            raise self.fails[what]

    def start(self):
        self.note("start")

    def alive(self):
        return self.lives

    def command(self, command):
        self.note(command)

    def close(self, timeout):
        self.note("close")


def made(*devices):
    units = Units(devices)
    units.start()
    return units


def test_the_readings_of_all_units_are_seen_together():
    one = Device("one", [], View({"analog:0": Reading(1.0, 0.5)}))
    two = Device("two", [], View({"gpio:4": Reading(True, 0.6)}, "is unplugged"))
    units = made(one, two)
    assert units.look() == (
        {"analog:0": Reading(1.0, 0.5), "gpio:4": Reading(True, 0.6)},
        {"two": "is unplugged"},
    )
    two.view = View({"gpio:4": Reading(False, 0.7)})
    assert units.look() == ({"analog:0": Reading(1.0, 0.5), "gpio:4": Reading(False, 0.7)}, {})


def test_a_unit_whose_thread_has_ended_is_a_fault_by_its_name():
    units = made(device := Device("gpio", []))
    device.lives = False
    assert units.look() == ({}, {"gpio": "the thread of the gpio has ended; restart the daemon"})


@pytest.mark.parametrize("step", ["start", ON], ids=["start", "command"])
def test_a_unit_that_fails_is_a_fault_that_stays_and_stops_no_other(step):
    notes = []
    units = made(Device("one", notes, fails={step: OSError(5, "no more")}), Device("two", notes))
    units.command(ON)
    assert ("two", "start") in notes
    assert ("two", ON) in notes
    _, faults = units.look()
    assert list(faults) == ["one"]
    assert "no more" in faults["one"]


def test_closing_tells_all_of_them_off_then_closes_them_in_reverse_whatever_fails():
    notes = []
    names = ("mains", "gpio", "cpu")
    fails = {"mains": {"close": UnitError("the mains stay on")}, "cpu": {"close": ValueError("odd")}}
    units = made(*(Device(name, notes, fails=fails.get(name, {})) for name in names))
    notes.clear()
    failures = units.close(1.0)
    assert notes[:3] == [(name, Command()) for name in names]
    assert notes[3:] == [("cpu", "close"), ("gpio", "close"), ("mains", "close")]
    assert failures == ("the cpu: ValueError('odd')", "the mains stay on")


def test_what_was_not_started_is_not_closed():
    notes = []
    Units([Device("one", notes)]).close(1.0)
    assert notes == []


def test_the_take_down_goes_on_to_the_end_and_reports_once(capsys):
    notes = []
    units = made(Device("gpio", notes, fails={"close": UnitError("the light stays on")}))

    def fail():
        raise OSError(28, "No space left on device")

    take_down(units, {"server": fail, "event log": lambda: notes.append("log closed")})
    assert notes[-1] == "log closed"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the light stays on; the server: OSError(28, 'No space left on device')" in said


def test_a_take_down_without_trouble_says_nothing(capsys):
    take_down(made(Device("gpio", [])), {})
    assert capsys.readouterr().err == ""


def test_a_waker_that_was_woken_before_does_not_wait():
    waker = Waker()
    waker.wake()
    began = time.monotonic()
    waker.wait(5.0)
    assert time.monotonic() - began < 1.0
    waker.wait(0.01)
    assert time.monotonic() - began >= 0.01
