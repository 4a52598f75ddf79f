"""The plan of a scanner's run against what the run takes by the scanner's own clock."""

import json

import pytest

from nixel.acquisition.formats.mdf import read_mdf
from nixel.acquisition.instrument import Instrument, load_instrument
from nixel.acquisition.protocol import CalibrationProtocol, ScanProtocol
from nixel.acquisition.scan import calibrate, measure
from nixel.acquisition.scan_timing import control_steps

SHIPPED = load_instrument("virtual-scanner")
PERIOD = 1632 / 2.5e6
RAMP, SETTLE, LOOK = 2, 1, 4  # periods, as the instrument file has them: 1 ms is less than two periods
WIDE = [["-4 mm", "0 mm"], ["4 mm", "0 mm"], ["0 mm", "8 mm"]]


def changed(instrument, device=None, scanner=None):
    """An instrument with other settings of its DAQ or its scanner."""
    tables = instrument.model_dump(mode="json", exclude_none=True)
    tables["devices"]["daq"] |= device or {}
    tables["scanner"] |= scanner or {}
    return Instrument.model_validate(tables)


@pytest.mark.parametrize(
    "protocol",
    [
        ScanProtocol(seed=5),
        # For longer than the field is left alone, and with the bore emptied in between.
        ScanProtocol(seed=5, frames=60, background_every=40),
        ScanProtocol(seed=5, frames=20, patches=WIDE, averages=10),
        CalibrationProtocol(seed=5, grid=(4, 20), field_of_view=("4 mm", "20 mm"), background_every=2),
    ],
    ids=["scan", "long scan", "patches", "calibration"],
)
def test_a_run_takes_as_long_as_its_plan_said(scanner, safety, tmp_path, protocol):
    run = calibrate if isinstance(protocol, CalibrationProtocol) else measure
    control = scanner.instrument.scanner.model_dump(mode="json", exclude_none=True)["field_control"]
    instrument = changed(scanner.instrument, scanner={"field_control": {**control, "interval": "500 ms"}})
    planned = protocol.plan(instrument).duration
    found = run(instrument, protocol, path=tmp_path / "a.mdf", safety=safety, provenance={})
    mdf = read_mdf(found.dataset)
    taken = (mdf.setting.time - mdf.setting.start_time).total_seconds()
    # The dataset's time is its last frame's end: what comes after is the field's ramp, or the robot's way home.
    after = 0.1 + PERIOD if run is calibrate else 0.0
    # A control needs a step more where the chain has drifted: of these there are no more than controls.
    controls = len(json.loads(mdf.extras["fieldControl"]))
    drifted = controls * (RAMP + SETTLE + LOOK) * PERIOD
    assert taken == pytest.approx(planned - after - RAMP * PERIOD, abs=drifted + PERIOD)
    assert taken == pytest.approx(planned, rel=0.01)


def test_ramps_settling_and_control_are_the_instruments_own(scanner, safety, tmp_path):
    """A slow ramp is waited for before each measurement; the plan knows it as the run does."""
    slow = changed(scanner.instrument, {"ramp": "100 ms", "settle_periods": 20})
    protocol = ScanProtocol(seed=5, frames=2, background_frames=1, averages=10)
    planned = protocol.plan(slow).duration
    assert planned > protocol.plan(scanner.instrument).duration + 0.5
    mdf = read_mdf(measure(slow, protocol, path=tmp_path / "a.mdf", safety=safety, provenance={}).dataset)
    taken = (mdf.setting.time - mdf.setting.start_time).total_seconds()
    ramp = 154 * PERIOD  # 100 ms, in whole periods
    controls = len(json.loads(mdf.extras["fieldControl"]))
    assert taken == pytest.approx(planned - ramp, abs=controls * (ramp + 24 * PERIOD) / 2)


def test_each_phase_of_a_scan_is_counted():
    """Each look at the field is (ramp, settling, four periods), each batch of frames (ramp, settling, frames)."""
    protocol = ScanProtocol(frames=6, averages=100, background_frames=4)
    steps = control_steps(SHIPPED.scanner, SHIPPED.devices["daq"])
    look, wait = RAMP + SETTLE + LOOK, RAMP + SETTLE
    exchange = 1532  # periods in 1 s, rounded up
    background = exchange + steps * look + wait + 400 + RAMP
    frames = exchange + 1 * look + wait + 600 + RAMP
    assert protocol.plan(SHIPPED).duration == pytest.approx((background + frames) * PERIOD)
    assert protocol.plan(SHIPPED).on_time == pytest.approx((frames - exchange) * PERIOD)


def test_a_field_that_is_not_controlled_takes_no_time_for_it():
    tables = SHIPPED.model_dump(mode="json", exclude_none=True)
    del tables["scanner"]["field_control"]
    alone = Instrument.model_validate(tables)
    protocol = ScanProtocol(frames=6, averages=100, background_frames=0)
    look = RAMP + SETTLE + LOOK
    steps = control_steps(SHIPPED.scanner, SHIPPED.devices["daq"])
    less = protocol.plan(SHIPPED).duration - protocol.plan(alone).duration
    assert less == pytest.approx(steps * look * PERIOD)


def test_a_small_voltage_step_takes_more_of_them():
    """12 mT are 0.6 V: with 0.05 V a step the way there is twelve steps at least."""
    control = SHIPPED.scanner.model_dump(mode="json", exclude_none=True)["field_control"]
    careful = changed(SHIPPED, scanner={"field_control": {**control, "voltage_step": "0.05 V", "steps": 50}})
    assert control_steps(SHIPPED.scanner, SHIPPED.devices["daq"]) <= 4
    assert control_steps(careful.scanner, careful.devices["daq"]) >= 12


def test_what_the_instrument_does_not_say_is_not_counted_and_that_is_said():
    tables = SHIPPED.model_dump(mode="json", exclude_none=True)
    del tables["scanner"]["times"]
    unknown = Instrument.model_validate(tables)
    plan = CalibrationProtocol(grid=(2, 3)).plan(unknown)
    (note,) = plan.notes
    assert "taking the sample out and in, moves of the robot" in note
    assert plan.duration < CalibrationProtocol(grid=(2, 3)).plan(SHIPPED).duration - 5
    assert CalibrationProtocol(grid=(2, 3)).plan(SHIPPED).notes == ()
