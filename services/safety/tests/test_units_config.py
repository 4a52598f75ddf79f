"""The tables of the surveillance unit and the GPIO chip."""

from __future__ import annotations

import pytest
from instrument_texts import EVERYTHING, changed, write

from nixel.safety.config.instrument import ConfigError, Deadlines, load
from nixel.safety.config.units import GpioChip, GpioInput, GpioOutput, Pull, SurveillanceUnit


def test_both_devices_are_read(tmp_path):
    instrument = load(write(tmp_path, EVERYTHING))
    assert instrument.surveillance == SurveillanceUnit("/nowhere/surveillance", simulated=True)
    assert instrument.gpio == GpioChip(
        "pinctrl-rp1",
        "",
        (GpioInput(5, Pull.UP, False), GpioInput(26, Pull.NONE, True), GpioInput(20, Pull.DOWN, True)),
        (GpioOutput(17, True, 26), GpioOutput(18, False, 20)),
        27,
    )
    assert not instrument.gpio.simulated
    assert instrument.simulated
    assert instrument.cpu_temperature
    assert instrument.deadlines == Deadlines(5, 2.0)


def test_a_chip_is_known_by_its_number_too(tmp_path):
    assert changed(tmp_path, 'chip = "pinctrl-rp1"', "chip = 0").gpio.chip == 0


def test_relays_hold_for_as_long_as_is_said(tmp_path):
    assert changed(tmp_path, "simulated = true", "simulated = true").gpio.hold == 0.05
    assert changed(tmp_path, "charge_pump = 27", 'charge_pump = 27\nhold = "200 ms"').gpio.hold == 0.2


def test_a_virtual_chip_has_a_path_and_is_called_simulated(tmp_path):
    virtual = 'adapter = "virtual-gpio"\npath = "/nowhere/panel"\nsimulated = true'
    chip = changed(tmp_path, 'adapter = "gpio"\nchip = "pinctrl-rp1"', virtual).gpio
    assert (chip.chip, chip.path, chip.simulated) == (None, "/nowhere/panel", True)


def test_deadlines_may_be_left_out(tmp_path):
    assert changed(tmp_path, '[safety.deadlines]\nlimit = 5\nwindow = "2 s"', "").deadlines == Deadlines(
        10, 1.0
    )


def test_one_device_is_enough_and_none_is_not(tmp_path, instrument_text):
    assert load(write(tmp_path, instrument_text)).gpio is None
    without = instrument_text.replace("[safety.surveillance]", "[other]")
    with pytest.raises(ConfigError, match=r"expected a table \[safety.surveillance\] or \[safety.gpio\]"):
        load(write(tmp_path, without))


def test_a_source_or_sink_of_a_device_that_is_not_there_is_refused(tmp_path, instrument_text):
    with pytest.raises(
        ConfigError, match=r'emergency-stop.source: found "gpio:5", expected .*"digital:0" to'
    ):
        load(write(tmp_path, instrument_text.replace("digital:0", "gpio:5")))
    with pytest.raises(ConfigError, match=r'amplifier.sink: found "gpio:17", expected one of "ac"'):
        load(write(tmp_path, instrument_text.replace('sink = "ac"', 'sink = "gpio:17"')))


MISTAKES = [
    ('adapter = "serial-surveillance"', 'adapter = "gpio"', "surveillance.adapter", '"serial-surveillance"'),
    ('path = "/nowhere/surveillance"', 'path = ""', "surveillance.path", "a text that is not empty"),
    ('path = "/nowhere/surveillance"', "", "surveillance.path", "found nothing"),
    ("simulated = true", 'simulated = "yes"', "surveillance.simulated", "true or false"),
    ("simulated = true", "speed = 1", "surveillance.speed", "a key that does not exist here"),
    ('adapter = "gpio"', 'adapter = "gpiochip"', "gpio.adapter", '"gpio", "virtual-gpio"'),
    ('chip = "pinctrl-rp1"', "", "gpio.chip", "found nothing"),
    ('chip = "pinctrl-rp1"', "chip = -1", "gpio.chip", "the number of a GPIO chip"),
    ('chip = "pinctrl-rp1"', "chip = true", "gpio.chip", "the number of a GPIO chip"),
    ('chip = "pinctrl-rp1"', 'chip = "../x"', "gpio.chip", "or its name"),
    ('chip = "pinctrl-rp1"', 'path = "/nowhere"', "gpio.path", "a key that does not exist here"),
    ("charge_pump = 27", "charge_pump = 27\nsimulated = true", "gpio.simulated", "false, for a real chip"),
    (
        'adapter = "gpio"\nchip = "pinctrl-rp1"',
        'adapter = "virtual-gpio"\npath = "/nowhere/panel"',
        "gpio.simulated",
        "true, for a virtual chip must be called so",
    ),
    ("charge_pump = 27", "", "gpio.charge_pump", "found nothing"),
    ("charge_pump = 27", "charge_pump = 17", "gpio.charge_pump", "a line that is not outputs.17 already"),
    ("charge_pump = 27", "charge_pump = 5", "gpio.charge_pump", "a line that is not inputs.5 already"),
    ("charge_pump = 27", "charge_pump = 1000", "gpio.charge_pump", "an integer from 0 to 999"),
    ("charge_pump = 27", 'charge_pump = 27\nhold = "40 ms"', "gpio.hold", "a value from 0.05 to 0.2 s"),
    ("charge_pump = 27", 'charge_pump = 27\nhold = "0.3 s"', "gpio.hold", "a value from 0.05 to 0.2 s"),
    ("charge_pump = 27", "charge_pump = 27\nhold = 50", "gpio.hold", '"50 ms"'),
    (
        '18 = { active = "low"',
        '5 = { active = "low"',
        "gpio.outputs.5",
        "a line that is not inputs.5 already",
    ),
    ("readback = 20", "readback = 26", "gpio.outputs.18.readback", "other than that of outputs.17"),
    ("readback = 20", "readback = 21", "gpio.outputs.18.readback", "one of the inputs"),
    ("readback = 20", "readback = 17", "gpio.outputs.18.readback", "one of the inputs"),
    (", readback = 20", "", "gpio.outputs.18.readback", "found nothing"),
    ('5 = { pull = "up", active', '05 = { pull = "up", active', "gpio.inputs.05", "the number of a line"),
    (
        '5 = { pull = "up", active',
        '5 = { pull = "high", active',
        "gpio.inputs.5.pull",
        '"up", "down", "none"',
    ),
    ('5 = { pull = "up", active', "5 = { active", "gpio.inputs.5.pull", "found nothing"),
    ('pull = "up", active = "low"', 'pull = "up"', "gpio.inputs.5.active", '"high", "low"'),
    ('pull = "up", active', 'pull = "up", edge = 1, active', "gpio.inputs.5.edge", "does not exist here"),
    ("limit = 5", "limit = 0", "deadlines.limit", "from 1 to 100"),
    ("limit = 5", "limit = 101", "deadlines.limit", "from 1 to 100"),
    ('window = "2 s"', 'window = "2 min"', "deadlines.window", "from 0.1 to 10 s"),
    ("limit = 5", "most = 5", "deadlines.most", "does not exist here"),
]


@pytest.mark.parametrize(("right", "wrong", "key", "says"), MISTAKES)
def test_a_mistake_names_file_key_found_and_expected(tmp_path, right, wrong, key, says):
    with pytest.raises(ConfigError) as caught:
        changed(tmp_path, right, wrong)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'bench.toml'}: safety.{key}: ")
    assert says in text
    assert "found" in text
    assert "expected" in text
    assert "\n" not in text
