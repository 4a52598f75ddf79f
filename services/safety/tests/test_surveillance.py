"""The thread that talks to the unit, over a real pseudo-terminal."""

from __future__ import annotations

import os
import time

import pytest

from nixel.safety.units.survbox import Timing
from nixel.safety.units.surveillance import Surveillance
from nixel.safety.units.unit import Command

TIMING = Timing(reply=0.15)


@pytest.fixture
def talk():
    started = []

    def start(path, **more) -> Surveillance:
        started.append(Surveillance(path, TIMING, **more))
        started[-1].start()
        return started[-1]

    yield start
    for surveillance in started:
        surveillance.close(1.0)
        assert not surveillance.alive()


def wait_until(what, timeout=2.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


def test_reads_and_keeps_reading(unit, talk):
    surveillance = talk(unit.path)
    wait_until(lambda: "readback:ac" in surveillance.view.readings)
    assert surveillance.view.readings["analog:0"].value == 25.0
    unit.analog = ["31.5"]
    wait_until(lambda: surveillance.view.readings["analog:0"].value == 31.5)
    assert surveillance.view.fault == ""


def test_a_line_that_is_not_there_is_a_fault_that_says_so_and_is_tried_again(unit, talk, tmp_path):
    link = tmp_path / "surveillance"
    surveillance = talk(str(link))
    wait_until(lambda: surveillance.view.fault)
    assert (
        f"the surveillance unit at {link} cannot be opened: No such file or directory"
        in surveillance.view.fault
    )
    link.symlink_to(unit.path)
    wait_until(lambda: surveillance.view.readings and not surveillance.view.fault)


def test_a_file_that_is_no_line_is_a_fault(talk, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    surveillance = talk(str(file))
    wait_until(lambda: surveillance.view.fault)
    assert "cannot be opened" in surveillance.view.fault


def test_an_unplugged_unit_is_a_fault_at_once(unit, talk):
    surveillance = talk(unit.path)
    wait_until(lambda: surveillance.view.readings)
    began = time.monotonic()
    unit.unplug()
    wait_until(lambda: surveillance.view.fault)
    assert time.monotonic() - began < 0.25
    assert "is it unplugged?" in surveillance.view.fault


def test_a_silent_unit_is_a_fault_and_its_old_readings_stay_old(unit, talk):
    surveillance = talk(unit.path)
    wait_until(lambda: "analog:0" in surveillance.view.readings)
    unit.silent = True
    wait_until(lambda: surveillance.view.fault)
    assert "within 150 ms; is it connected and powered?" in surveillance.view.fault
    stamp = surveillance.view.readings["analog:0"].time
    time.sleep(0.2)
    assert surveillance.view.readings["analog:0"].time == stamp
    unit.silent = False
    wait_until(lambda: not surveillance.view.fault, timeout=5.0)


def test_closing_switches_the_relay_off_first(unit, talk):
    surveillance = talk(unit.path)
    wait_until(lambda: surveillance.view.readings)
    surveillance.command(Command(frozenset({"ac"}), permitted=True, beats=1))
    wait_until(lambda: unit.relay)
    surveillance.close(1.0)
    wait_until(lambda: not unit.relay)
    assert unit.relay_log[-1][2] == "DISABLE:AC"


def test_a_unit_that_refuses_loses_its_relay_before_the_line_is_left(unit, talk):
    surveillance = talk(unit.path)
    wait_until(lambda: surveillance.view.readings)
    surveillance.command(Command(frozenset({"ac"}), permitted=True, beats=1))
    wait_until(lambda: unit.relay)
    assert unit.count("NOTAUS") == 0
    unit.watched = False  # then STATUS says WD=0 with AC=1, which the link does not accept
    wait_until(lambda: not unit.relay)
    assert unit.relay_log[-1][2] == "DISABLE:AC"
    wait_until(lambda: unit.failed)  # and keeps it off, until outputs are permitted anew
    surveillance.command(Command())
    again = unit.count("ENABLE:WD")
    wait_until(lambda: unit.count("ENABLE:WD") > again)
    wait_until(lambda: not surveillance.view.fault)
    assert unit.failed
    surveillance.command(Command(permitted=True, beats=2))
    wait_until(lambda: not unit.failed)
    assert surveillance.view.fault == ""


def test_a_line_that_takes_nothing_is_a_fault(talk):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 65536)
        except BlockingIOError:
            break

    class Full:
        def fileno(self):
            return writer

        def close(self):
            pass

    surveillance = talk("full", opener=lambda path: Full())
    wait_until(lambda: surveillance.view.fault)
    assert "does not take what is sent to it" in surveillance.view.fault
    os.close(reader)
