"""What no instrument file can weaken: the ratings of sensors and parts."""

from __future__ import annotations

import pytest
from instrument_texts import EVERYTHING, changed, write

from nixel.safety.cli.main import main
from nixel.safety.config import ratings
from nixel.safety.config.instrument import ConfigError, load

CATALOGUE = """
[sensors.probe]
range = ["-20 degC", "200 degC"]
basis = "its data sheet"

[sensors.clamp]
range = ["-70 A", "50 A"]
basis = "its data sheet"

[sensors.turbine]
range = ["1 l/min", "30 l/min"]
basis = "its data sheet"

[parts.coil]
at_most = ["120 degC", "40 A", "16 mT"]
at_least = ["1.5 l/min", "5 degC"]
basis = "the maker's drawing"

[parts.head]
at_most = ["20 T/s", "3.2 W/kg"]
basis = "a standard"
"""


@pytest.fixture
def check(tmp_path):
    """Read one limit against the catalogue."""
    catalogue = tmp_path / "ratings.toml"
    catalogue.write_text(CATALOGUE)

    def read(text):
        a = EVERYTHING.index("[safety.interlocks.coil]")
        b = EVERYTHING.index("[safety.interlocks.estop]")
        c = EVERYTHING.index("[safety.interlocks.door]")
        limit = f'[safety.interlocks.guard]\nkind = "limit"\nmax_age = "400 ms"\n{text}\n'
        output = '[safety.outputs.amplifier]\nsink = "ac"\ngated_by = ["guard", "estop"]\n'
        file = write(tmp_path, EVERYTHING[:a] + limit + EVERYTHING[b:c] + output)
        return load(file, catalogue).core.interlocks[0]

    return read


def limit(unit, trip, sensor, part, more=""):
    return (
        f'source = "analog:0"\nunit = "{unit}"\ntrip = "{trip}"\nsensor = "{sensor}"\npart = "{part}"\n{more}'
    )


@pytest.mark.parametrize(
    ("text", "trip"),
    [
        (limit("degC", "120 degC", "probe", "coil"), 120.0),
        (limit("degC", "5 degC", "probe", "coil", 'direction = "below"'), 5.0),
        (limit("A", "40 A", "clamp", "coil"), 40.0),
        (limit("l/min", "1.5 l/min", "turbine", "coil", 'direction = "below"'), 1.5),
        # 16 mT are 40 A at 0.4 mT/A, 3.2 W/kg are 40 A at 2 mW/kg/A^2: all that the sensor can measure and more.
        (limit("T", "16 mT", "clamp", "coil", "factor = 0.4e-3"), 0.016),
        (limit("W/kg", "3.2 W/kg", "clamp", "head", "factor = 0.002\npower = 2"), 3.2),
    ],
)
def test_a_limit_may_lie_at_the_rating(check, text, trip):
    assert check(text).trip == trip


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        (
            limit("degC", "130 degC", "probe", "coil"),
            "trip",
            "found 130 degC, at which guard trips, expected at most what coil withstands (120 degC, ratings.toml)",
        ),
        (
            limit("degC", "4 degC", "probe", "coil", 'direction = "below"'),
            "trip",
            "found 4 degC, at which guard trips, expected at least what coil withstands (5 degC, ratings.toml)",
        ),
        (
            limit("A", "40.001 A", "clamp", "coil"),
            "trip",
            "at which guard trips, expected at most what coil withstands (40 A, ratings.toml)",
        ),
        (limit("T", "17 mT", "clamp", "coil", "factor = 0.4e-3"), "trip", "what coil withstands (0.016 T,"),
        (limit("T/s", "21 T/s", "clamp", "head", "factor = 1.0e1"), "trip", "what head withstands (20 T/s,"),
        # What the sensor cannot show never trips.
        (
            limit("degC", "201 degC", "probe", "coil"),
            "trip",
            "a level that probe can measure (-20 to 200 degC,",
        ),
        (
            limit("degC", "-30 degC", "probe", "coil", 'direction = "below"'),
            "trip",
            "a level that probe can measure (-20 to 200 degC,",
        ),
        (
            limit("T", "15 mT", "clamp", "coil", "factor = 0.1e-3"),
            "trip",
            "found 0.015 T, which clamp reads as 150 A, expected a level that clamp can measure (-70 to 50 A,",
        ),
        (
            limit("W/kg", "3 W/kg", "clamp", "head", "factor = 0.0001\npower = 2"),
            "trip",
            "which clamp reads as 173.205 A",
        ),
        # A factor within one unit would only make little of what is much.
        (limit("A", "30 A", "clamp", "coil", "factor = 0.1"), "sensor", "expected no factor and power"),
        (limit("T", "15 mT", "clamp", "coil"), "sensor", "a factor that makes T of it"),
        # Neither can be left out, nor be another one.
        ('source = "analog:0"\nunit = "degC"\ntrip = "60 degC"', "sensor", "(probe, clamp, turbine)"),
        (
            'source = "analog:0"\nunit = "degC"\ntrip = "60 degC"\nsensor = "probe"',
            "part",
            "that withstands at most so many degC (coil)",
        ),
        (limit("degC", "60 degC", "prob", "coil"), "sensor", 'found "prob", expected a sensor of'),
        (limit("degC", "60 degC", "probe", "head"), "part", 'found "head", expected a part of'),
        (limit("W/kg", "1 W/kg", "clamp", "coil", "factor = 0.1"), "part", "so many W/kg (head)"),
        (limit("l/min", "1 l/min", "turbine", "coil", 'direction = "below"'), "trip", "at least what coil"),
    ],
)
def test_a_limit_beyond_a_rating_is_refused_by_name(check, tmp_path, text, key, says):
    with pytest.raises(ConfigError) as caught:
        check(text)
    assert str(caught.value).startswith(f"{tmp_path / 'bench.toml'}: safety.interlocks.guard.{key}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("unit", ratings.GUARDED)
def test_what_can_do_harm_must_say_what_it_protects(check, unit):
    with pytest.raises(ConfigError, match=r"guard\.sensor: found nothing"):
        check(f'source = "analog:0"\nunit = "{unit}"\ntrip = "1 {unit}"')


@pytest.mark.parametrize(
    ("right", "wrong", "key", "says"),
    [
        ('range = ["-20 degC", "200 degC"]', "", "sensors.probe.range", "found nothing"),
        ('"-20 degC", "200 degC"', '"200 degC", "-20 degC"', "sensors.probe.range", "the lower first"),
        ('"-20 degC", "200 degC"', '"-20 degC", "200 K"', "sensors.probe.range", "of one unit"),
        ('"-20 degC", "200 degC"', '"200 degC"', "sensors.probe.range", "two levels"),
        ('"-20 degC", "200 degC"', '"cold", "warm"', "sensors.probe.range", "levels with their units"),
        ('"-20 degC", "200 degC"', "-20, 200", "sensors.probe.range", "a list of one or more texts"),
        ('"120 degC", "40 A"', '"120 degC", "100 degC"', "parts.coil.at_most", "one level for each unit"),
        ('"120 degC", "40 A"', '"much degC"', "parts.coil.at_most", "a quantity with its unit"),
        ('basis = "a standard"', "", "parts.head.basis", "found nothing"),
        ('basis = "a standard"', 'basis = "a"\ncolour = 1', "parts.head.colour", "does not exist here"),
        ('at_most = ["20 T/s", "3.2 W/kg"]', "", "parts.head.at_most", "levels that it withstands"),
        ("[sensors.turbine]", "[wires.turbine]", "wires", "does not exist here"),
    ],
)
def test_a_mistake_in_the_catalogue_is_told_like_any_other(tmp_path, right, wrong, key, says):
    assert right in CATALOGUE
    file = tmp_path / "ratings.toml"
    file.write_text(CATALOGUE.replace(right, wrong, 1))
    with pytest.raises(ConfigError) as caught:
        ratings.load(file)
    assert str(caught.value).startswith(f"{file}: {key}: found ")
    assert says in str(caught.value)


def test_the_shipped_catalogue_says_where_each_number_comes_from():
    # `load` refuses an entry without a basis.
    catalogue = ratings.load()
    assert catalogue.parts["insulation-class-f"].at_most == {"degC": 155.0}
    assert catalogue.sensors["pt1000-class-b"].high == 500.0


def test_the_catalogue_of_the_maker_replaces_the_shipped_one(tmp_path, capsys):
    catalogue = tmp_path / "ratings.toml"
    catalogue.write_text(
        ratings.SHIPPED.read_text().replace('at_most = ["155 degC"]', 'at_most = ["59 degC"]')
    )
    file = write(tmp_path, EVERYTHING)
    assert main(["check", str(file)]) == 0
    assert main(["check", "--ratings", str(catalogue), str(file)]) == 2
    assert "coil trips, expected at most what insulation-class-f withstands (59 degC, ratings.toml)" in (
        capsys.readouterr().err
    )
    assert main(["check", "--ratings", str(tmp_path / "absent.toml"), str(file)]) == 2
    assert "Name a catalogue of ratings" in capsys.readouterr().err


def test_the_shipped_catalogue_bounds_every_shipped_limit_from_above(tmp_path):
    with pytest.raises(ConfigError, match="insulation-class-f withstands"):
        changed(tmp_path, 'trip = "60 degC"', 'trip = "156 degC"')
