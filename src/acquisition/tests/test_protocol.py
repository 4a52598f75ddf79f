"""Protocols are data, and say beforehand what they take."""

import pytest
from pydantic import ValidationError

from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.protocol import CalibrationProtocol, ProtocolError, ScanProtocol

SCANNER = load_instrument("virtual-scanner")
PERIOD = 1632 / 2.5e6


def test_the_plan_of_a_scan():
    plan = ScanProtocol(frames=6, averages=100, background_frames=4).plan(SCANNER)
    assert plan.frames == 10
    assert plan.size == 10 * 2 * 1632 * 4
    assert plan.duration >= 1000 * PERIOD
    assert 600 * PERIOD < plan.on_time < 620 * PERIOD
    assert ScanProtocol(frames=6, averages=1, background_frames=4).plan(SCANNER).size == 10 * 2 * 1632 * 2


def test_the_plan_of_a_calibration():
    protocol = CalibrationProtocol(grid=(5, 7), averages=10, background_frames=3, background_every=2)
    assert protocol.field_of_view == (0.02, 0.02)
    assert protocol.interleaved_background_frames == 2
    plan = protocol.plan(SCANNER)
    assert plan.frames == 35 + 3 + 2
    assert plan.size == 40 * 2 * 817 * 8
    assert plan.duration > 40 * 10 * PERIOD


def test_protocols_survive_json():
    for protocol in (ScanProtocol(seed=3), CalibrationProtocol(field_of_view=("10 mm", "1 cm"))):
        assert type(protocol).model_validate_json(protocol.model_dump_json()) == protocol


def test_what_the_coil_could_not_bear_is_refused():
    with pytest.raises(
        ProtocolError, match=r"at most the instrument's scanner\.limits\.transmit_time, 120 s"
    ):
        ScanProtocol(frames=100, averages=2000).plan(SCANNER)


def test_another_instrument_is_refused():
    with pytest.raises(ProtocolError, match="expected a scanner, found microscope"):
        ScanProtocol().plan(load_instrument("virtual-microscope"))


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (ScanProtocol, {"frames": 0}, "greater than or equal to 1"),
        (ScanProtocol, {"frames": "4"}, "valid integer"),
        (ScanProtocol, {"frame": 4}, "Extra inputs"),
        (ScanProtocol, {"seed": -1}, "greater than or equal to 0"),
        (ScanProtocol, {"subject": "a\nb"}, "match pattern"),
        (CalibrationProtocol, {"field_of_view": (0.02, 0.02)}, "bare number 0.02"),
        (CalibrationProtocol, {"field_of_view": ("-1 mm", "1 mm")}, "above zero"),
        (CalibrationProtocol, {"grid": (0, 5)}, "1 to 1000 positions"),
    ],
)
def test_bad_values_are_refused(kind, values, message):
    with pytest.raises(ValidationError, match=message):
        kind(**values)
