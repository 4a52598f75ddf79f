"""An instrument file is right as a whole or refused with every fault named by file and key."""

import pytest

from nixel.acquisition.instrument import InstrumentError, load_instrument, shipped_instruments


@pytest.fixture
def shipped_text():
    from importlib import resources

    return (resources.files("nixel.acquisition") / "instruments" / "virtual-scanner.toml").read_text()


def test_both_shipped_instruments_load_and_are_simulated():
    assert shipped_instruments() == ["virtual-microscope", "virtual-scanner"]
    for name in shipped_instruments():
        instrument = load_instrument(name)
        assert instrument.name == name
        assert instrument.simulated


def test_quantities_are_si():
    scanner = load_instrument("virtual-scanner").scanner
    assert scanner.base_frequency == 2.5e6
    assert scanner.drive_field == (0.012, 0.012)
    assert scanner.gradient == (-1.25, -1.25, 2.5)
    assert scanner.samples_per_period == 1632
    microscope = load_instrument("virtual-microscope").microscope
    assert microscope.wavelength == pytest.approx(532e-9, rel=1e-15)
    assert microscope.shape == (2464, 3280)


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ('control = "127', 'contrl = "127', ["devices.daq.control: found nothing", "did you mean control?"]),
        ("[scanner]", "[scaner]", ["scaner: found an unknown key (did you mean scanner?)"]),
        ("base_frequency", "base_freqency", ["scanner.base_freqency", "did you mean base_frequency?"]),
        ('["12 mT", "12 mT"]', '[12, "12 mT"]', ["scanner.drive_field.0: found the bare number 12"]),
        ('["12 mT", "12 mT"]', '["12 mm", "12 mT"]', ["scanner.drive_field.0", "of another kind"]),
        ('["12 mT", "12 mT"]', '["15 mT", "12 mT"]', ["drive_field.0: found 0.015 T", "0.014 T"]),
        ('["12 mT", "12 mT"]', '["12 mT"]', ["scanner.drive_field: found 1 amplitudes"]),
        ("[102, 96]", "[102, 0]", ["scanner.dividers: found [102, 0]; expected one to three integers"]),
        ("[102, 96]", '["102", 96]', ["scanner.dividers.0: found '102'; expected a valid integer"]),
        ("1632", "1633", ["found 1633; expected 1632, the least common multiple of the dividers [102, 96]"]),
        ("receive_channels = 2", "receive_channels = 3", ["scanner.receive_channels: found 3"]),
        ('"2.5 T/m"]', '"2.4 T/m"]', ["scanner.gradient", "no divergence"]),
        ('adapter = "scpi-daq"', 'adapter = "scpi"', ['devices.daq.adapter: found "scpi"', "scpi-daq"]),
        ('adapter = "scpi-daq"', "", ["devices.daq.adapter: found nothing"]),
        ('daq = "daq"', 'daq = "dq"', ['devices.robot.daq: found "dq"', "scpi-daq device (daq)"]),
        ("127.0.0.1:5025", "127.0.0.1:port", ["devices.daq.control", "expected HOST:PORT"]),
        ('kind = "scanner"', 'kind = "microscope"', ['instrument.kind is "microscope"']),
        ("simulated = true", 'simulated = "yes"', ["instrument.simulated: found 'yes'"]),
        ('["0 mm", "0 mm"]', '["16 mm", "0 mm"]', ["home: expected a position within travel"]),
        ("[instrument]", "[instrument", ["found no TOML"]),
    ],
)
def test_faults_are_named(tmp_path, shipped_text, old, new, messages):
    assert old in shipped_text
    path = tmp_path / "mine.toml"
    path.write_text(shipped_text.replace(old, new, 1))
    with pytest.raises(InstrumentError) as caught:
        load_instrument(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    for message in messages:
        assert message in str(caught.value)


def test_every_fault_is_said_at_once(tmp_path, shipped_text):
    path = tmp_path / "mine.toml"
    path.write_text(shipped_text.replace('"2 s"', '"2 m"', 1).replace('"14 mT"', "14", 1))
    with pytest.raises(InstrumentError) as caught:
        load_instrument(path)
    assert {problem.key for problem in caught.value.problems} == {
        "devices.daq.timeout",
        "scanner.limits.drive_field",
    }


def test_a_virtual_device_in_a_real_instrument_is_refused(tmp_path):
    from importlib import resources

    text = (resources.files("nixel.acquisition") / "instruments" / "virtual-microscope.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("simulated = true", "simulated = false", 1))
    with pytest.raises(InstrumentError, match=r"devices\.camera\.adapter.*simulated is false"):
        load_instrument(path)


@pytest.mark.parametrize("name", ["virtual-skanner", "/no/such/file.toml", "."])
def test_what_cannot_be_read_is_an_instrument_error(name):
    with pytest.raises(InstrumentError):
        load_instrument(name)


def test_the_safety_table_passes_unread(tmp_path, shipped_text):
    path = tmp_path / "mine.toml"
    path.write_text(shipped_text + '\n[safety.interlocks.new]\nkind = "whatever"\n')
    assert load_instrument(path).safety["interlocks"]["new"] == {"kind": "whatever"}


def test_the_fingerprint_is_of_what_the_instrument_is_and_not_of_where(tmp_path, shipped_text):
    shipped = load_instrument("virtual-scanner")
    moved = shipped.with_endpoints(
        {"daq.control": "10.0.0.1:1", "daq.data": "10.0.0.1:2", "safety.surveillance.path": "/dev/other"}
    )
    assert moved.devices["daq"].control == "10.0.0.1:1"
    assert moved.safety["surveillance"]["path"] == "/dev/other"
    assert moved.fingerprint() == shipped.fingerprint()

    path = tmp_path / "mine.toml"
    path.write_text(shipped_text.replace('"12 mT", "12 mT"', '"0.012 T", "12 mT"', 1))
    assert load_instrument(path).fingerprint() == shipped.fingerprint()
    path.write_text(shipped_text.replace('"12 mT", "12 mT"', '"12 mT", "11 mT"', 1))
    assert load_instrument(path).fingerprint() != shipped.fingerprint()
    path.write_text(shipped_text.replace('trip = "60 degC"', 'trip = "61 degC"', 1))
    assert load_instrument(path).fingerprint() != shipped.fingerprint()


def test_where_a_virtual_panel_listens_is_no_part_of_the_fingerprint(tmp_path):
    from importlib import resources

    text = (resources.files("nixel.acquisition") / "instruments" / "virtual-microscope.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('path = "/run/nixel/panel"', 'path = "/elsewhere"', 1))
    shipped = load_instrument("virtual-microscope").fingerprint()
    assert load_instrument(path).fingerprint() == shipped
    path.write_text(text.replace("charge_pump = 27", "charge_pump = 22", 1))
    assert load_instrument(path).fingerprint() != shipped


def test_unknown_endpoints_are_refused():
    with pytest.raises(InstrumentError, match=r"one of daq\.control, daq\.data"):
        load_instrument("virtual-scanner").with_endpoints({"daq.contrl": "127.0.0.1:1"})
    with pytest.raises(InstrumentError, match="HOST:PORT"):
        load_instrument("virtual-scanner").with_endpoints({"daq.control": "nowhere"})
