"""The tables of interlocks: what each kind is read as, and what each mistake is answered."""

from __future__ import annotations

import pytest
from instrument_texts import EVERYTHING, changed, write

from nixel.safety.config.instrument import ConfigError, load
from nixel.safety.core.model import (
    Boolean,
    Direction,
    Heartbeat,
    Limit,
    Rate,
    Sense,
    TwoContacts,
    TwoSensors,
)


def test_every_kind_is_read_in_si_units(tmp_path):
    core = load(write(tmp_path, EVERYTHING)).core
    coil, sar, flow, rate, agreement, estop, door, daq, processor = core.interlocks
    assert coil == Limit(
        "coil",
        "analog:0",
        "degC",
        60.0,
        0.4,
        50.0,
        message="the coil is hot",
        hysteresis=2.0,
        frozen_after=10.0,
        trips_after=0.02,
        clears_after=1.0,
        bypass=600.0,
    )
    assert sar == Limit("sar", "analog:1", "W/kg", 0.1, 0.4, factor=53e-6, power=2)
    assert flow == Limit("flow", "analog:2", "l/min", 2.0, 0.4, 3.0, Direction.BELOW)
    assert rate == Rate("coil-rate", "analog:0", "degC", 0.5, 0.4, 2.0, Sense.RISING, frozen_after=20.0)
    assert agreement == TwoSensors("agreement", ("analog:0", "analog:3"), "degC", 5.0, 0.4, 2.0)
    assert estop == TwoContacts(
        "estop", ("digital:0", "gpio:5"), (True, False), 0.4, 0.1, emergency_stop=True
    )
    assert door == Boolean("door", "gpio:5", healthy=True, max_age=0.4)
    assert daq == Heartbeat("daq", "digital:3", 1.0, 0.4)
    assert processor == Limit("processor", "cpu:temperature", "degC", 80.0, 2.0)


def test_a_current_is_judged_by_its_magnitude_and_a_temperature_is_not(tmp_path):
    ampere = changed(
        tmp_path,
        'unit = "W/kg"\nfactor = 53e-6\npower = 2\ntrip = "0.1 W/kg"\nsensor = "lem-la-55-p"\npart = "small-specimen"',
        'unit = "A"\ntrip = "500 mA"\nsensor = "lem-la-55-p"\npart = "drive-coil"',
    )
    limit = ampere.core.interlocks[1]
    assert (limit.trip, limit.magnitude) == (0.5, True)
    assert not ampere.core.interlocks[0].magnitude


# What is written instead of what (its first place in the file), the key that the error names, and what it says.
MISTAKES = [
    # The ways out that would weaken an interlock.
    ('trips_after = "20 ms"', 'trips_after = "60 ms"', "coil.trips_after", "from 0 to 0.05 s"),
    ('max_age = "400 ms"', 'max_age = "6 s"', "coil.max_age", "from 0.02 to 5 s"),
    ('bypass = "10 min"', 'bypass = "2 h"', "coil.bypass", "from 0 to 3600 s"),
    ('discrepancy = "100 ms"', 'discrepancy = "11 s"', "estop.discrepancy", "from 0.01 to 10 s"),
    ('interval = "1 s"', 'interval = "6 s"', "daq.interval", "from 0.02 to 5 s"),
    ('window = "2 s"\nsense', 'window = "2 min"\nsense', "coil-rate.window", "from 0.4 to 60 s"),
    ('window = "2 s"\nsense', 'window = "300 ms"\nsense', "coil-rate.window", "from 0.4 to 60 s"),
    ("emergency_stop = true", 'emergency_stop = true\nbypass = "1 s"', "estop.bypass", "never bypassed"),
    (
        "emergency_stop = true",
        'emergency_stop = true\ntrips_after = "0 s"',
        "estop.trips_after",
        "never delayed",
    ),
    ('interval = "1 s"', 'interval = "1 s"\nemergency_stop = true', "daq.emergency_stop", "on contacts"),
    (
        'tolerance = "5 K"',
        'tolerance = "5 K"\nemergency_stop = true',
        "agreement.emergency_stop",
        "on contacts",
    ),
    ('trip = "2 l/min"', 'trip = "2 l/min"\nfactor = 0', "flow.factor", "above 0"),
    ('trip = "2 l/min"', 'trip = "2 l/min"\nfactor = -1', "flow.factor", "above 0"),
    ("factor = 53e-6", "factor = nan", "sar.factor", "above 0"),
    ("power = 2", "power = 3", "sar.power", "from 1 to 2"),
    ("power = 2", "power = 2.0", "sar.power", "an integer"),
    (
        'unit = "W/kg"\nfactor = 53e-6\npower = 2\ntrip = "0.1 W/kg"',
        'unit = "A"\nmagnitude = false\ntrip = "30 A"',
        "sar.magnitude",
        "either direction does harm",
    ),
    # Levels.
    ('unit = "degC"', 'unit = "Celsius"', "coil.unit", '"degC"'),
    ('trip = "60 degC"', "trip = 60", "coil.trip", "the bare number 60"),
    ('trip = "60 degC"', 'trip = "60 K"', "coil.trip", '"60 K", in another unit'),
    ('trip = "60 degC"', "", "coil.trip", "found nothing"),
    ('trip = "60 degC"', 'trip = "nan degC"', "coil.trip", "such as"),
    ('trip = "60 degC"', 'trip = "1e999 degC"', "coil.trip", "a finite value in degC"),
    ('warn = "50 degC"', 'warn = "60 degC"', "coil.warn", "a level below trip = 60 degC"),
    ('warn = "3 l/min"', 'warn = "2 l/min"', "flow.warn", "a level above trip = 2 l/min"),
    ('direction = "below"', 'direction = "down"', "flow.direction", '"above", "below"'),
    ('hysteresis = "2 K"', 'hysteresis = "-2 K"', "coil.hysteresis", "of at least 0"),
    ('frozen_after = "10 s"', 'frozen_after = "1 ms"', "coil.frozen_after", "from 0.02"),
    ('clears_after = "1 s"', 'clears_after = "-1 s"', "coil.clears_after", "from 0"),
    ('trip = "30 K/min"', 'trip = "0 K/min"', "coil-rate.trip", "above zero"),
    ('trip = "30 K/min"', 'trip = "30 K"', "coil-rate.trip", "in another unit"),
    ('sense = "rising"', 'sense = "up"', "coil-rate.sense", '"rising", "falling", "either"'),
    ('tolerance = "5 K"', "", "agreement.tolerance", "found nothing"),
    ('tolerance = "5 K"', 'tolerance = "-5 K"', "agreement.tolerance", "of at least 0"),
    ("healthy = [true, false]", "healthy = true", "estop.healthy", "[true, false]"),
    ("healthy = [true, false]", "healthy = [true]", "estop.healthy", "[true, false]"),
    ("healthy = [true, false]", "healthy = [1, 0]", "estop.healthy", "[true, false]"),
    ("healthy = true\n", "", "door.healthy", "true or false"),
    # Sources.
    ('source = "analog:0"', 'source = "digital:0"', "coil.source", '"analog:0" to "analog:99"'),
    ('source = "analog:0"', 'source = "adc0"', "coil.source", '"cpu:temperature"'),
    ('source = "analog:0"', "source = 0", "coil.source", "found 0"),
    ('source = "gpio:5"', 'source = "gpio:6"', "door.source", '"gpio:5", "gpio:26", "gpio:20"'),
    ('source = "gpio:5"', 'source = "gpio:17"', "door.source", '"digital:0" to "digital:99"'),
    ('source = "gpio:5"', 'source = "cpu:temperature"', "door.source", "states of a contact"),
    ('source = "gpio:5"', 'source = "readback:ac"', "door.source", "states of a contact"),
    ('["digital:0", "gpio:5"]', '["digital:0", "digital:0"]', "estop.sources", "two different"),
    ('["digital:0", "gpio:5"]', '["digital:0", "analog:0"]', "estop.sources", "of the same kind"),
    ('["digital:0", "gpio:5"]', '["digital:0"]', "estop.sources", "two different"),
    ('["digital:0", "gpio:5"]', '["digital:0", "digital:1", "gpio:5"]', "estop.sources", "two different"),
    ('["digital:0", "gpio:5"]', '["x:0", "y:0"]', "estop.sources", '"gpio:5"'),
    # Keys and names.
    (
        'kind = "limit"',
        'kind = "level"',
        "coil.kind",
        '"limit", "rate", "boolean", "two-channel", "heartbeat"',
    ),
    ('kind = "limit"', "kind = 1", "coil.kind", "found 1"),
    ('interval = "1 s"', 'interval = "1 s"\ntrip = 1', "daq.trip", "does not exist here"),
    ("healthy = [true, false]", 'healthy = [true, false]\nunit = "K"', "estop.unit", "does not exist here"),
    ('tolerance = "5 K"', 'tolerance = "5 K"\nhealthy = [true, true]', "agreement.healthy", "does not exist"),
    ("interlocks.coil]", "interlocks.Coil_1]", "interlocks.Coil_1", "lower-case letters"),
    ("interlocks.coil]", "interlocks.deadlines]", "interlocks.deadlines", "is none of"),
]


@pytest.mark.parametrize(("right", "wrong", "key", "says"), MISTAKES)
def test_a_mistake_names_file_key_found_and_expected(tmp_path, right, wrong, key, says):
    with pytest.raises(ConfigError) as caught:
        changed(tmp_path, right, wrong)
    text = str(caught.value)
    assert text.startswith(
        f"{tmp_path / 'bench.toml'}: safety.interlocks.{key.removeprefix('interlocks.')}: "
    )
    assert says in text
    assert "found" in text
    assert "expected" in text
    assert "\n" not in text
