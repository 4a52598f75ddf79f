"""The virtual scanner's parts, without a process."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.virtual import signal
from nixel.acquisition.virtual.scpi import Interpreter, ScpiError
from nixel.acquisition.virtual.sensors import ANALOG, CHAIN, Sensors
from nixel.acquisition.virtual.surveillance import SurveillanceUnit
from nixel.acquisition.virtual.thermal import Coil
from nixel.acquisition.wire import HEADER_SIZE, ChunkHeader, Status, WireError


def test_a_coil_follows_the_closed_form():
    coil = Coil(0.0, ambient=20.0, rise=40.0, time_constant=50.0)
    coil.set_power(1.0, 10.0)
    for time in (10.0, 20.0, 60.0, 1000.0):
        expected = 20.0 + 40.0 * (1 - math.exp(-(time - 10.0) / 50.0))
        assert coil.temperature(time) == pytest.approx(expected, rel=1e-12)
    coil.set_power(0.0, 60.0)
    peak = 20.0 + 40.0 * (1 - math.exp(-1.0))
    assert coil.temperature(110.0) == pytest.approx(20.0 + (peak - 20.0) * math.exp(-1.0), rel=1e-12)


def test_the_default_coil_warms_by_a_few_kelvin_in_ten_seconds():
    coil = Coil(0.0)
    coil.set_power(1.0, 0.0)
    assert 2.0 < coil.temperature(10.0) - coil.temperature(0.0) < 4.0


def test_a_coil_without_coolant_warms_at_first_alike_and_then_four_times_as_far():
    coils = Coil(0.0), Coil(0.0)
    coils[1].set_resistance(4.0, 0.0)
    for coil in coils:
        coil.set_power(1.0, 0.0)
    cooled, uncooled = ([coil.temperature(time) - 22.0 for time in (0.1, 1e6)] for coil in coils)
    assert uncooled[0] == pytest.approx(cooled[0], rel=1e-3)
    assert uncooled[1] == pytest.approx(4.0 * cooled[1])
    # The coolant's coming back changes how it goes on, not how warm it is.
    before = coils[1].temperature(50.0)
    coils[1].set_resistance(1.0, 50.0)
    assert coils[1].temperature(50.0) == before


def test_the_sensors_follow_the_transmission():
    now = 0.0
    sensors = Sensors(lambda: now)
    cold = dict(zip(ANALOG, sensors.analog(), strict=True))
    sensors.transmit(1.0, [30.0, 25.0])
    now = 60.0
    warm = dict(zip(ANALOG, sensors.analog(), strict=True))
    assert (warm["current-x"], warm["current-y"]) == (30.0, 25.0)
    for name in ("coil", "amplifier"):
        assert warm[f"{name}-1"] - cold[f"{name}-1"] > 5.0
        assert warm[f"{name}-1"] == pytest.approx(warm[f"{name}-2"], abs=0.5)
    sensors.transmit(0.0, [])
    now = 6000.0
    rested = dict(zip(ANALOG, sensors.analog(), strict=True))
    assert rested == pytest.approx(cold, abs=0.2)


REQUESTS = [
    *("ENABLE:AC", "DISABLE:AC", "ENABLE:WD", "DISABLE:WD", "RESET:WD", "RESET:FAIL"),
    *("ENABLE:SURVEILLANCE", "DISABLE:SURVEILLANCE", "NOTAUS", "pull", "close"),
]


class Gate:
    def __init__(self):
        self.moves = []
        self.unit = SurveillanceUnit(lambda on, reason: self.moves.append((on, reason)), Sensors(lambda: 0.0))

    def open(self, now):
        for request in ("ENABLE:WD", "RESET:WD", "ENABLE:AC"):
            assert self.unit.answer(request, now) == "ACK"


def test_the_gate_closes_by_itself_100_ms_after_the_last_meal():
    gate = Gate()
    gate.open(0.0)
    gate.unit.answer("RESET:WD", 0.05)
    gate.unit.tick(0.149)
    assert gate.moves == [(True, "")]
    gate.unit.tick(0.151)
    assert gate.moves == [(True, ""), (False, "the watchdog was not fed in time")]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda unit: unit.set_contacts(CHAIN[:1], False), "the emergency stop was pulled"),
        (lambda unit: unit.answer("DISABLE:AC", 0.01), "the safety output was disabled"),
        (lambda unit: unit.answer("DISABLE:WD", 0.01), "the watchdog was disabled"),
    ],
)
def test_the_gate_closes_at_once_with_a_reason(act, reason):
    gate = Gate()
    gate.open(0.0)
    act(gate.unit)
    assert gate.moves[-1] == (False, reason)


def test_a_watchdog_may_be_given_more_patience():
    moves = []
    unit = SurveillanceUnit(lambda on, _: moves.append(on), Sensors(lambda: 0.0), watchdog=0.5)
    for request in ("ENABLE:WD", "RESET:WD"):
        unit.answer(request, 0.0)
    assert unit.answer("ENABLE:AC", 0.499) == "ACK"
    unit.tick(0.499)
    assert moves == [True]
    unit.tick(0.501)
    assert moves == [True, False]


def test_a_late_meal_does_not_open_the_gate_again():
    gate = Gate()
    gate.open(0.0)
    assert gate.unit.answer("RESET:WD", 0.2) == "ACK"
    assert gate.unit.answer("GET:STATUS", 0.2) == "STATUS:AC=0;WD=1;SV=1;FAIL=1"
    assert gate.moves[-1][0] is False


@pytest.mark.parametrize(
    "fail",
    [
        lambda unit: unit.tick(0.2),
        lambda unit: unit.answer("NOTAUS", 0.01),
        lambda unit: unit.set_contacts(CHAIN, False),
    ],
    ids=["starved", "emergency off", "emergency stop"],
)
def test_what_the_unit_closed_by_itself_stays_closed_until_that_is_reset(fail):
    gate = Gate()
    gate.open(0.0)
    fail(gate.unit)
    gate.unit.set_contacts(CHAIN, True)
    gate.unit.answer("RESET:WD", 0.2)
    assert gate.unit.answer("ENABLE:AC", 0.2).startswith("NAK:the unit has switched off by itself")
    assert gate.unit.answer("RESET:FAIL", 0.2) == "ACK"
    assert gate.moves[-1][0] is False, "a reset opens nothing"
    assert gate.unit.answer("ENABLE:AC", 0.2) == "ACK"


def test_a_failure_is_not_reset_while_the_chain_is_open():
    gate = Gate()
    gate.unit.set_contacts(CHAIN, False)
    assert gate.unit.answer("RESET:FAIL", 0.0) == "NAK:the emergency stop is pulled"
    assert gate.unit.answer("GET:STATUS", 0.0) == "STATUS:AC=0;WD=0;SV=1;FAIL=1"


def test_without_surveillance_the_unit_looks_on_but_for_the_chain():
    gate = Gate()
    assert gate.unit.answer("DISABLE:SURVEILLANCE", 0.0) == "ACK"
    assert gate.unit.answer("ENABLE:AC", 0.0) == "ACK"
    gate.unit.tick(1.0)
    assert gate.unit.answer("GET:STATUS", 1.0) == "STATUS:AC=1;WD=0;SV=0;FAIL=0"
    gate.unit.set_contacts(CHAIN, False)
    assert gate.moves == [(True, ""), (False, "the emergency stop was pulled")]
    gate.unit.set_contacts(CHAIN, True)
    assert gate.unit.answer("ENABLE:AC", 1.0) == "ACK"
    assert gate.unit.answer("ENABLE:SURVEILLANCE", 1.0) == "ACK"
    gate.unit.tick(1.0)
    assert gate.moves[-1] == (False, "the watchdog was not fed in time")


def test_the_unit_says_how_long_its_round_takes():
    gate = Gate()
    gate.unit.cycle_time = 0.00125
    assert gate.unit.answer("GET:CYCLETIME", 0.0) == "CYCLETIME:1250"


@given(st.lists(st.tuples(st.sampled_from(REQUESTS), st.floats(0.0, 0.2))))
def test_the_gate_is_never_open_with_a_broken_chain_or_a_starved_watchdog(steps):
    gate, now, fed, closed, watches = Gate(), 0.0, 0.0, True, True
    gate.open(now)
    for request, wait in steps:
        now += wait
        if request in ("pull", "close"):
            closed = request == "close"
            gate.unit.set_contacts(CHAIN, closed)
        else:
            gate.unit.answer(request, now)
        if request == "RESET:WD":
            fed = now
        if request.endswith(":SURVEILLANCE"):
            watches = request.startswith("ENABLE")
        gate.unit.tick(now)
        is_open = gate.unit.answer("GET:STATUS", now).startswith("STATUS:AC=1")
        assert not is_open or (closed and (now - fed <= 0.1 or not watches))


def test_scpi_understands_short_and_long_forms_in_any_case_and_nothing_between():
    seen = []
    table = {"SYSTem:CHannel#:VALue?": lambda n, p: seen.append((n, p)) or "7"}
    interpreter = Interpreter(table)
    for header in ("SYST:CH3:VAL?", "system:channel3:value?", ":SYSTEM:CH3:VALUE?", "syst:CHANNEL3:val?"):
        assert interpreter.answer(header) == "7"
    assert seen == [([3], [])] * 4
    for header in ("SYSTE:CH3:VAL?", "SYST:CH:VAL?", "SYST:CH3:VAL", "SYST:CH3:VALU?", "SYST:CH3", ""):
        assert interpreter.answer(header).startswith("ERROR -1")


def test_scpi_passes_parameters_and_queues_errors_in_order():
    def refuse(_numbers, parameters):
        raise ScpiError(-222, f"found {parameters}")

    interpreter = Interpreter({"SET": refuse})
    assert interpreter.answer("SET  1 , x y ") == "ERROR -222"
    assert interpreter.answer("NOPE") == "ERROR -113"
    assert interpreter.answer("SYST:ERR:COUN?") == "2"
    assert interpreter.answer("SYST:ERR?") == "-222,\"Data out of range; found ['1', 'x y']\""
    assert interpreter.answer("SYST:ERR?").startswith("-113,")
    assert interpreter.answer("SYST:ERR?") == '0,"No error"'
    for _ in range(40):
        interpreter.answer("NOPE")
    assert interpreter.answer("SYST:ERR:COUN?") == "16"


@given(
    st.builds(
        ChunkHeader,
        st.sampled_from([Status.OK, Status.LAST, Status.ENDED | Status.OVERLOAD]),
        st.integers(0, 2**16 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(-(2**31), 2**31 - 1),
    )
)
def test_chunk_headers_survive_the_wire(header):
    assert len(header.pack()) == HEADER_SIZE
    assert ChunkHeader.unpack(header.pack()) == header


@pytest.mark.parametrize("data", [b"", b"NXS1", b"XXXX" + bytes(HEADER_SIZE - 4), bytes(HEADER_SIZE + 1)])
def test_bytes_that_are_no_header_are_refused(data):
    with pytest.raises(WireError, match="expected a chunk header"):
        ChunkHeader.unpack(data)


def test_codes_clip_at_the_end_of_the_range_and_say_so():
    flat = np.zeros((100, 2), np.float32)
    key = signal.noise_key(1, 2, 3)
    codes, overload = signal.quantise(flat + 40000, flat, 1.0, key, 0)
    assert overload
    assert codes.dtype == np.int16
    assert codes.max() == 32767
    codes, overload = signal.quantise(flat + 30000, flat, 1.0, key, 0)
    assert not overload
    assert abs(codes.mean() - 30000) < 5 * 4.1 / math.sqrt(codes.size)


def test_the_default_phantom_stays_well_within_the_converter():
    scanner = load_instrument("virtual-scanner").scanner
    peak = np.abs(
        signal.particle_signal(signal.NamedPhantom("stenosis"), (0, 0), scanner, scanner.drive_field)
    ).max()
    assert 3000 < peak < 30000


def test_a_delta_samples_signal_is_proportional_to_its_volume():
    scanner = load_instrument("virtual-scanner").scanner
    thin, thick = (
        signal.particle_signal(signal.Delta((1e-3, 1e-3, z)), (2e-3, 1e-3), scanner, scanner.drive_field)
        for z in (1e-3, 2e-3)
    )
    np.testing.assert_allclose(thick, 2 * thin, rtol=1e-12, atol=0)


def test_an_empty_bore_and_a_resting_field_give_no_particle_signal():
    scanner = load_instrument("virtual-scanner").scanner
    assert not signal.particle_signal(signal.Empty(), (0, 0), scanner, scanner.drive_field).any()
    assert not signal.particle_signal(signal.NamedPhantom("dots"), (0, 0), scanner, (0.0, 0.0)).any()
