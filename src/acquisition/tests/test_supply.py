"""A SCPI power supply over its wire: every write is followed by its errors and by what the supply holds."""

import time

import pytest
from pydantic import ValidationError

from nixel.acquisition.adapters.scpi_supply import ScpiSupply, ScpiSupplyAdapter
from nixel.acquisition.devices import DeviceError, PowerSupply
from nixel.acquisition.virtual.supply import Supply


def settings(path, **changes):
    given = {
        "adapter": "scpi-supply",
        "path": str(path),
        "maximum_voltage": "24 V",
        "maximum_current": "3 A",
    }
    return ScpiSupply.model_validate(given | changes)


@pytest.fixture
def wire(new_serial):
    return new_serial("supply", "--load", "10")


@pytest.fixture
def supply(wire):
    supply = ScpiSupplyAdapter("supply", settings(wire.link))
    supply.open()
    yield supply
    supply.close()


def test_it_is_a_supply_that_holds_what_it_is_told(supply):
    assert isinstance(supply, PowerSupply)
    assert supply.get("identity") == "nixel,virtual-supply,0,1.0"
    supply.program(12.0, 2.0)
    assert (supply.get("voltage"), supply.get("current")) == (12.0, 2.0)
    assert supply.measure() == (0.0, 0.0)
    supply.switch(True)
    assert supply.is_on()
    assert supply.measure() == pytest.approx((12.0, 1.2))


def test_the_current_limit_limits(supply):
    supply.program(24.0, 0.5)
    supply.switch(True)
    assert supply.measure() == pytest.approx((5.0, 0.5))


@pytest.mark.parametrize(("voltage", "current"), [(24.1, 1.0), (-1.0, 1.0), (5.0, 3.1), (5.0, float("nan"))])
def test_beyond_the_file_nothing_is_set(supply, voltage, current):
    supply.program(12.0, 2.0)
    with pytest.raises(DeviceError, match=r"programming failed: .*Nothing was set"):
        supply.program(voltage, current)
    assert (supply.get("voltage"), supply.get("current")) == (12.0, 2.0)


def test_what_the_supply_refuses_is_said_in_its_own_words(new_serial):
    wire = new_serial("supply")
    supply = ScpiSupplyAdapter("supply", settings(wire.link, maximum_voltage="60 V"))
    supply.open()
    with pytest.raises(
        DeviceError, match=r'VOLT 40 failed: expected no error, found -222,"Data out of range"'
    ):
        supply.program(40.0, 1.0)
    supply._line.send_now(b"NONSENSE 1\nVOLT lots\n", "x")
    with pytest.raises(DeviceError, match=r'-113,"Undefined header"; -104,"Data type error"'):
        supply.switch(True)
    supply.switch(True)  # the queue was read until it was empty
    supply.close()


def test_a_value_that_is_kept_otherwise_is_found_by_reading_it_back(supply):
    with pytest.raises(DeviceError, match=r"VOLT failed: expected 1.23456, found 1.235 read back"):
        supply._set("VOLT", 1.23456, 1e-4)


def test_a_switch_that_does_not_stay_is_found(supply, wire):
    supply.program(12.0, 1.0)
    supply.switch(True)
    wire.hand("trip")
    assert supply.get("output") is False


def test_closing_switches_it_off(wire, supply):
    supply.program(12.0, 1.0)
    supply.switch(True)
    supply.close()
    supply.close()
    supply.open()
    assert not supply.is_on()


def test_another_model_is_refused(wire):
    supply = ScpiSupplyAdapter("supply", settings(wire.link, model="E36313A"))
    with pytest.raises(DeviceError, match="expected a supply of the model E36313A, found 'nixel,virtual"):
        supply.open()


def test_what_speaks_no_scpi_is_refused(new_serial):
    supply = ScpiSupplyAdapter("supply", settings(new_serial("environment").link))
    with pytest.raises(DeviceError, match="expected an identity, found 'ERR'"):
        supply.open()


@pytest.mark.parametrize(
    ("fault", "found"),
    [("garbage", "text"), ("cut", "without an end"), ("silent", "no answer"), ("slow 1", "no answer")],
)
def test_a_disturbed_line_is_an_error_and_mends_by_opening(wire, fault, found):
    supply = ScpiSupplyAdapter("supply", settings(wire.link, timeout="300 ms"))
    supply.open()
    wire.hand(fault)
    with pytest.raises(DeviceError, match=found):
        supply.measure()
    wire.hand("slow 0")
    time.sleep(1.0)
    supply.open()
    assert supply.measure() == (0.0, 0.0)
    supply.close()


def test_unplugged_it_cannot_be_brought_to_rest_and_says_so(new_serial):
    wire = new_serial("supply")
    supply = ScpiSupplyAdapter("supply", settings(wire.link))
    supply.open()
    wire.hand("unplug")
    with pytest.raises(DeviceError, match="plugged in"):
        supply.close()
    supply.close()
    wire.hand("plug")
    supply.open()
    supply.program(1.0, 1.0)
    supply.close()


@pytest.mark.parametrize(
    "changes", [{"maximum_voltage": "0 V"}, {"maximum_current": "3 V"}, {"timeout": "-1 s"}]
)
def test_wrong_settings_are_refused(changes):
    with pytest.raises(ValidationError):
        settings("/dev/ttyUSB0", **changes)


@pytest.mark.parametrize(
    ("lines", "answers"),
    [
        (["VOLTage 5", "VOLT?", ":SOURce:VOLTage:LEVel:IMMediate:AMPLitude?"], [None, "5.000", "5.000"]),
        (["volt 5", "volt?"], [None, "5.000"]),
        (["OUTPut:STATe ON", "OUTP?", "OUTP OFF", "OUTP?"], [None, "1", None, "0"]),
        (["VOLT", "SYSTem:ERRor:NEXT?", "SYST:ERR?"], [None, '-109,"Missing parameter"', '0,"No error"']),
        (["VOLTA 5", "SYST:ERR?"], [None, '-113,"Undefined header"']),
        (["VOLT? 5", "SYST:ERR?"], [None, '-108,"Parameter not allowed"']),
        (["MEAS:VOLT 5", "*CLS?", "*CLS", "SYST:ERR?"], [None, None, None, '0,"No error"']),
        (["VOLT 5", "OUTP 1", "*RST", "VOLT?", "OUTP?"], [None, None, None, "0.000", "0"]),
    ],
)
def test_the_simulated_supply_answers_as_scpi_says(lines, answers):
    supply = Supply()
    assert [supply.answer(line) for line in lines] == answers


def test_an_error_queue_that_is_full_says_so():
    supply = Supply()
    for _ in range(12):
        supply.answer("NONSENSE")
    errors = [supply.answer("SYST:ERR?") for _ in range(11)]
    assert errors[8:] == ['-113,"Undefined header"', '-350,"Queue overflow"', '0,"No error"']
