"""The processor's temperature, from a folder of thermal zones."""

from __future__ import annotations

import time

import pytest

from nixel.safety.units.cpu import Cpu, hottest
from nixel.safety.units.unit import Command


def zone(folder, number, text):
    place = folder / f"thermal_zone{number}"
    place.mkdir(exist_ok=True)
    (place / "temp").write_text(text)


def wait_until(what, timeout=2.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("zones", "found"),
    [
        ([], None),
        (["45000\n"], 45.0),
        (["45000\n", "61250\n", "-5000\n"], 61.25),
        (["-5000\n"], -5.0),
        (["", "45000\n", "hot\n"], 45.0),
        (["nan\n"], None),
    ],
)
def test_the_hottest_zone_that_can_be_read_counts(tmp_path, zones, found):
    for number, text in enumerate(zones):
        zone(tmp_path, number, text)
    (tmp_path / "cooling_device0").mkdir()
    (tmp_path / "thermal_zone9").mkdir()  # a zone without a temperature
    assert hottest(tmp_path) == found


def test_it_is_read_again_and_again_and_stamped(tmp_path):
    zone(tmp_path, 0, "40000")
    cpu = Cpu(0.01, tmp_path)
    cpu.start()
    wait_until(lambda: cpu.view.readings)
    first = cpu.view.readings["cpu:temperature"]
    assert first.value == 40.0
    zone(tmp_path, 0, "81000")
    wait_until(lambda: cpu.view.readings["cpu:temperature"].value == 81.0)
    assert first.time < cpu.view.readings["cpu:temperature"].time <= time.monotonic()
    cpu.command(Command(permitted=True, beats=1))
    cpu.close(1.0)
    assert not cpu.alive()


def test_a_thermometer_that_is_gone_is_a_fault_and_its_reading_grows_old(tmp_path):
    zone(tmp_path, 0, "40000")
    cpu = Cpu(0.01, tmp_path)
    cpu.start()
    wait_until(lambda: cpu.view.readings)
    (tmp_path / "thermal_zone0" / "temp").unlink()
    wait_until(lambda: cpu.view.fault)
    assert f"no thermal zone in {tmp_path} can be read" in cpu.view.fault
    stamp = cpu.view.readings["cpu:temperature"].time
    time.sleep(0.05)
    assert cpu.view.readings["cpu:temperature"].time == stamp
    zone(tmp_path, 0, "41000")
    wait_until(lambda: not cpu.view.fault)
    cpu.close(1.0)


def test_a_machine_without_a_thermometer_has_no_reading(tmp_path):
    cpu = Cpu(0.01, tmp_path / "nothing")
    cpu.start()
    wait_until(lambda: cpu.view.fault)
    assert cpu.view.readings == {}
    cpu.close(1.0)
