"""docs/safety.md against what is shipped: the hazard table names every interlock, and the keys are those there are."""

import re
import tomllib
from pathlib import Path

import pytest

from nixel.acquisition.instrument_file import path_of, shipped_instruments
from nixel.safety.config import instrument as instrument_config
from nixel.safety.config import interlocks as interlock_config
from nixel.safety.config import outputs as output_config
from nixel.safety.config import units as units_config

PAGE = Path(__file__).parents[1] / "docs" / "safety.md"


def rows(title):
    """The cells of the table whose first heading this is, without its two head lines."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    (first,) = (number for number, line in enumerate(lines) if line.startswith(f"| {title} |"))
    found = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            return found
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def names(cell):
    return set(re.findall(r"`([a-z0-9_-]+)`", cell))


def interlocks(instrument):
    return set(tomllib.loads(path_of(instrument).read_text(encoding="utf-8"))["safety"]["interlocks"])


def test_every_shipped_interlock_answers_a_hazard_and_every_named_one_is_shipped():
    named = set().union(*(names(row[3]) for row in rows("hazard")))
    shipped = set().union(*(interlocks(name) for name in shipped_instruments()))
    assert named == shipped


def test_every_hazard_says_whom_it_hurts_and_what_stands_before_the_software():
    hazards = rows("hazard")
    assert len(hazards) > 15
    for row in hazards:
        assert len(row) == 4
        assert all(row), row


@pytest.mark.parametrize("instrument", shipped_instruments())
def test_a_bypass_is_allowed_only_where_the_page_says_so(instrument):
    tables = tomllib.loads(path_of(instrument).read_text(encoding="utf-8"))["safety"]["interlocks"]
    allowed = {name for name, table in tables.items() if "bypass" in table}
    assert allowed == ({"door"} if instrument == "virtual-scanner" else set())
    assert "only the scanner's `door` allows one" in PAGE.read_text(encoding="utf-8")


def test_the_page_tells_every_key_of_an_interlock_and_of_which_kinds_it_is():
    told = {}
    for cells in rows("key | of kinds"):
        told.update(dict.fromkeys(names(cells[0]), cells[1]))
    assert set(told) == {key for keys in interlock_config.KEYS.values() for key in keys}
    for key, kinds in told.items():
        having = {kind for kind, keys in interlock_config.KEYS.items() if key in keys}
        if kinds == "all":
            expected = set(interlock_config.KEYS)
        elif kinds == "all but two-channel":
            expected = {kind for kind in interlock_config.KEYS if not kind.startswith("two-channel")}
        else:
            listed = kinds.split(", ")
            expected = {
                kind for kind in interlock_config.KEYS if any(kind.startswith(word) for word in listed)
            }
        # An emergency stop is a key of every kind, so that the wrong one can be told what is wrong with it.
        assert having == expected or key == "emergency_stop", key


def test_the_page_tells_every_key_of_the_table_and_of_its_devices():
    told = {cells[0].strip("`[]"): names(cells[1]) for cells in rows("table")}
    assert set(instrument_config.KEYS) <= told["safety"]
    assert set(instrument_config.DEADLINES_KEYS) <= told["safety.deadlines"]
    assert set(units_config.GPIO_KEYS) - {"adapter", "simulated"} <= told["safety.gpio"]
    assert set(units_config.INPUT_KEYS) <= told["safety.gpio.inputs"]
    assert set(units_config.OUTPUT_KEYS) <= told["safety.gpio.outputs"]
    page = PAGE.read_text(encoding="utf-8")
    for device in ("surveillance", "gpio"):
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `[safety.{device}]` |"))
        for key in units_config.SURVEILLANCE_KEYS:
            assert key in line


def test_the_page_tells_every_key_of_an_output():
    told = set().union(*(names(row[0]) for row in rows("key | meaning")))
    assert told == set(output_config.KEYS)
