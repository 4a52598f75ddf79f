"""The [safety] table: what is read, and what each mistake is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from nixel.safety.config.instrument import ConfigError, load
from nixel.safety.config.units import SurveillanceUnit
from nixel.safety.core.model import Boolean, Limit, Output

SHIPPED = Path(__file__).parents[3] / "src/acquisition/nixel/acquisition/instruments"


def write(tmp_path, text) -> Path:
    file = tmp_path / "bench.toml"
    file.write_text(text)
    return file


def test_reads_every_key_in_si_units(tmp_path, instrument_text):
    text = instrument_text.replace('readback_within = "400 ms"', 'readback_within = "0.1 s"')
    text = text.replace("[safety]", '[safety]\noperator_group = "nixel-operator"')
    instrument = load(write(tmp_path, text))
    assert instrument.core.period == pytest.approx(0.01)
    assert instrument.core.lease == 0.5
    coil, estop = instrument.core.interlocks
    assert coil == Limit("coil-temperature", "analog:0", "degC", 60.0, 0.4, 50.0)
    assert estop == Boolean("emergency-stop", "digital:0", True, 0.4, "emergency stop pressed")
    assert instrument.core.outputs == (
        Output("amplifier", "ac", ("coil-temperature", "emergency-stop"), 0.1),
    )
    assert instrument.surveillance == SurveillanceUnit("/nowhere/surveillance", simulated=True)
    assert instrument.operator_group == "nixel-operator"


def test_real_hardware_is_what_is_not_called_simulated(tmp_path, instrument_text):
    assert not load(write(tmp_path, instrument_text.replace("simulated = true", ""))).simulated


@pytest.mark.parametrize("name", ["virtual-scanner", "virtual-microscope"])
def test_the_shipped_instruments_are_right(name):
    assert load(SHIPPED / f"{name}.toml").simulated


# What is written instead of what, the key that the error must name, and what it must say.
MISTAKES = [
    ('rate = "100 Hz"', "rate = 100", "safety.rate", "the bare number 100, which has no unit"),
    ('rate = "100 Hz"', 'rate = "100"', "safety.rate", '"100", which has no unit'),
    ('rate = "100 Hz"', 'rate = "100 ms"', "safety.rate", "in another unit"),
    ('rate = "100 Hz"', 'rate = "fast"', "safety.rate", 'such as "100 Hz"'),
    ('rate = "100 Hz"', "rate = true", "safety.rate", "found true"),
    ('rate = "100 Hz"', 'rate = "1 Hz"', "safety.rate", "from 10 to 1000 Hz"),
    ('rate = "100 Hz"', "", "safety.rate", "found nothing"),
    ('lease = "500 ms"', 'lease = "10 ms"', "safety.lease", "from 0.03 to 10 s"),
    ('lease = "500 ms"', 'lease = "1e999 s"', "safety.lease", "from 0.03 to 10 s"),
    ('lease = "500 ms"', 'lease = "500 ms"\nlaese = 1', "safety.laese", "a key that does not exist here"),
    ('lease = "500 ms"', 'lease = "500 ms"\noperator_group = 1', "safety.operator_group", "found 1"),
    ("[safety.surveillance]", "[safety.surveil]", "safety.surveil", "a key that does not exist here"),
]


@pytest.mark.parametrize(("right", "wrong", "key", "says"), MISTAKES)
def test_a_mistake_names_file_key_found_and_expected(tmp_path, instrument_text, right, wrong, key, says):
    assert right in instrument_text
    file = write(tmp_path, instrument_text.replace(right, wrong))
    with pytest.raises(ConfigError) as caught:
        load(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert key in text
    assert says in text
    assert "found" in text
    assert "expected" in text
    assert "\n" not in text


def test_a_file_without_a_safety_table_or_without_interlocks(tmp_path, instrument_text):
    with pytest.raises(ConfigError, match=r"safety: found nothing, expected a table \[safety\]"):
        load(write(tmp_path, '[instrument]\nname = "x"\n'))
    with pytest.raises(ConfigError, match="at least one table"):
        load(
            write(
                tmp_path,
                instrument_text[: instrument_text.index("[safety.interlocks")] + "[safety.interlocks]",
            )
        )


def test_files_that_are_no_instrument(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(write(tmp_path, "rate = = 1"))
    binary = tmp_path / "image.toml"
    binary.write_bytes(b"\x89PNG\xff")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        load(binary)
