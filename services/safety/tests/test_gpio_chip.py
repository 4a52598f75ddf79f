"""The lines of a chip by gpiozero: polarity and pulls on its mock pins, and what is said without a chip."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from nixel.safety.config.units import GpioChip, GpioInput, GpioOutput, Pull
from nixel.safety.units.gpio import Gpio, LinesError
from nixel.safety.units.gpio_chip import ChipLines, _number
from nixel.safety.units.unit import Command

mock = pytest.importorskip(
    "gpiozero.pins.mock",
    reason="the GPIO lines of gpiozero: gpiozero is not installed (make setup brings it)",
)

CHIP = GpioChip(
    chip=0,
    path="",
    inputs=(
        GpioInput(5, Pull.UP, active_high=False),
        GpioInput(6, Pull.UP, active_high=True),
        GpioInput(13, Pull.DOWN, active_high=True),
        GpioInput(16, Pull.NONE, active_high=True),
        GpioInput(25, Pull.UP, active_high=True),
        GpioInput(26, Pull.UP, active_high=True),
    ),
    outputs=(GpioOutput(17, active_high=True, readback=25), GpioOutput(18, active_high=False, readback=26)),
    charge_pump=27,
)


@pytest.fixture
def factory():
    factory = mock.MockFactory()
    yield factory
    factory.reset()


@pytest.fixture
def lines(factory):
    return ChipLines(factory, CHIP)


def test_inputs_have_their_pulls_and_outputs_are_off_at_once(factory, lines):
    pulls = {number: factory.pin(number).pull for number in (5, 6, 13, 16, 25, 26)}
    assert pulls == {5: "up", 6: "up", 13: "down", 16: "floating", 25: "up", 26: "up"}
    assert {number: factory.pin(number).function for number in (17, 18, 27)} == dict.fromkeys(
        (17, 18, 27), "output"
    )
    assert {number: factory.pin(number).state for number in (17, 18, 27)} == {17: False, 18: True, 27: False}


def test_levels_are_read_and_driven_as_they_are(factory, lines):
    assert lines.read() == {5: True, 6: True, 13: False, 16: False, 25: True, 26: True}
    factory.pin(5).drive_low()
    factory.pin(13).drive_high()
    assert lines.read() == {5: False, 6: True, 13: True, 16: False, 25: True, 26: True}
    lines.write(17, True)
    lines.write(18, False)
    assert (factory.pin(17).state, factory.pin(18).state) == (True, False)


def test_what_a_broken_wire_reads_as_is_what_pull_and_polarity_say(factory):
    gpio = Gpio(CHIP, 0.01, 0.01, lambda chip: ChipLines(factory, chip))
    gpio.start()
    deadline = time.monotonic() + 2
    while not gpio.view.readings and time.monotonic() < deadline:
        time.sleep(0.001)
    values = {source: reading.value for source, reading in gpio.view.readings.items()}
    assert (values["gpio:5"], values["gpio:6"], values["gpio:13"]) == (False, True, False)
    factory.pin(5).drive_low()
    gpio.command(Command(frozenset({"gpio:17", "gpio:18"}), permitted=True, beats=1))
    while not factory.pin(27).state and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (factory.pin(17).state, factory.pin(18).state, factory.pin(27).state) == (True, False, True)
    while not gpio.view.readings["gpio:5"].value and time.monotonic() < deadline:
        time.sleep(0.001)
    assert gpio.view.readings["gpio:5"].value is True
    light, heater = factory.pin(17), factory.pin(18)
    light.clear_states()
    heater.clear_states()
    gpio.close(1.0)
    light.assert_states([True, False])
    heater.assert_states([False, True])


def test_closing_makes_every_line_an_input_again(factory, lines):
    pins = [factory.pin(number) for number in (17, 18, 27)]
    lines.close()
    assert [pin.function for pin in pins] == ["input"] * 3


def test_closing_goes_on_when_a_line_fails_and_leaves_nothing_to_the_next(factory, lines, monkeypatch):
    closed = []

    def close():
        closed.append("factory")

    def fail():
        closed.append("pin")
        raise OSError(19, "No such device")

    monkeypatch.setattr(factory, "close", close)
    for pin in factory.pins.values():
        monkeypatch.setattr(pin, "close", fail)
    with pytest.raises(LinesError, match=r"does not take its lines back: .*No such device"):
        lines.close()
    assert closed == ["pin"] * 9 + ["factory"]
    assert not factory.pins


@pytest.mark.parametrize(
    ("chip", "says"),
    [
        (GpioChip(0, "", (GpioInput(99, Pull.UP, True),)), "does not give its line 99 as an input"),
        # Lines 2 and 3 of a Raspberry Pi have a resistor of their own.
        (
            GpioChip(0, "", (GpioInput(2, Pull.DOWN, True),)),
            "does not give its line 2 as an input with the pull down",
        ),
        (
            GpioChip(0, "", CHIP.inputs, (GpioOutput(55, True, 5),)),
            "does not give its line 55 as an output",
        ),
    ],
)
def test_a_line_that_cannot_be_had_is_named_and_the_others_are_given_back(factory, chip, says):
    with pytest.raises(LinesError, match=says):
        ChipLines(factory, chip)
    assert not factory.pins


def test_without_a_chip_it_is_a_fault_that_says_so():
    with pytest.raises(LinesError, match=r"^cannot be opened: "):
        ChipLines.open(CHIP)


def test_without_the_libraries_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lgpio", None)
    with pytest.raises(LinesError, match=r"install nixel-safety\[gpio\]"):
        ChipLines.open(CHIP)


class Lgpio:
    """What lgpio tells of the chips of a machine."""

    class error(Exception):  # noqa: N801, N818  as lgpio calls it
        pass

    def __init__(self):
        self.chips = {0: ("gpiochip0", "pinctrl-bcm2711"), 1: ("gpiochip1", "raspberrypi-exp-gpio")}
        self.open = set()

    def gpiochip_open(self, number):
        if number not in self.chips:
            raise self.error("can not open gpiochip")
        self.open.add(number)
        return number

    def gpio_get_chip_info(self, handle):
        return (0, 58, *self.chips[handle])

    def gpiochip_close(self, handle):
        self.open.remove(handle)


@pytest.mark.parametrize(
    ("wanted", "number"), [(3, 3), ("gpiochip1", 1), ("pinctrl-bcm2711", 0), ("raspberrypi-exp-gpio", 1)]
)
def test_a_chip_is_found_by_its_number_or_its_name(wanted, number):
    lgpio = Lgpio()
    assert _number(lgpio, wanted) == number
    assert not lgpio.open


def test_a_chip_that_is_not_there_is_said_with_those_that_are():
    lgpio = Lgpio()
    with pytest.raises(
        LinesError, match=r"gpiochip0 \(pinctrl-bcm2711\), gpiochip1 \(raspberrypi-exp-gpio\)"
    ):
        _number(lgpio, "pinctrl-rp1")
    assert not lgpio.open


def test_the_libraries_are_loaded_by_nobody_who_has_no_chip():
    program = (
        "import sys, nixel.safety.daemon, nixel.safety.units.gpio_panel, nixel.safety.units.gpio_chip\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('gpiozero', 'lgpio', 'colorzero')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
