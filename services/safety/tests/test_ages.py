"""How old what was read is, as clients are told it."""

from __future__ import annotations

import pytest

from nixel.safety.core.model import (
    Boolean,
    Config,
    Inputs,
    Output,
    Reading,
    TwoSensors,
)
from nixel.safety.core.step import start, step
from nixel.safety.service.status import Snapshot, describe, later

NOW = 100.0
CONFIG = Config(
    0.01,
    0.5,
    (
        TwoSensors("twins", ("analog:0", "analog:1"), "K", 5.0, 0.2, 0.05),
        Boolean("door", "digital:0", True, 0.2),
    ),
    (Output("amplifier", "ac", ("twins", "door"), 0.1, on_time=2.0, duty=0.5),),
)


def told(readings, snapshot_later=0.0):
    """The ages that are told of a tick now, or so much later [s]."""
    state, outputs, _ = step(CONFIG, start(NOW - 9.0), Inputs(readings, (), {"gpio": "no such chip"}), NOW)
    snapshot = Snapshot(state, outputs.verdicts, NOW, 1, 0, readings=readings)
    if snapshot_later:
        snapshot = later(snapshot, NOW + snapshot_later, 2)
    return {each["name"]: each["age_s"] for each in describe(CONFIG, True, snapshot, 0.0)["interlocks"]}


READINGS = {
    "analog:0": Reading(20.0, NOW - 0.03),
    "analog:1": Reading(20.5, NOW - 0.01),
    "digital:0": Reading(True, NOW - 0.02),
    "readback:ac": Reading(False, NOW - 0.125),
}


@pytest.mark.parametrize("passed", [0.0, 0.04])
def test_the_oldest_reading_of_an_interlock_counts_and_grows_older(passed):
    assert told(READINGS, passed) == {
        "twins": pytest.approx(0.03 + passed),
        "door": pytest.approx(0.02 + passed),
        "amplifier readback": pytest.approx(0.125 + passed),
        "amplifier on-time": None,
        "gpio": None,
    }


@pytest.mark.parametrize(
    ("gone", "ageless"),
    [
        ("analog:0", "twins"),
        ("analog:1", "twins"),
        ("digital:0", "door"),
        ("readback:ac", "amplifier readback"),
    ],
)
def test_what_has_not_been_read_has_no_age(gone, ageless):
    ages = told({source: reading for source, reading in READINGS.items() if source != gone})
    assert {name for name, age in ages.items() if age is None} == {ageless, "amplifier on-time", "gpio"}


@pytest.mark.parametrize("value", [float("nan"), None, True])
def test_what_makes_no_sense_and_what_is_stale_has_an_age(value):
    ages = told({**READINGS, "analog:0": Reading(value, NOW - 0.3), "readback:ac": Reading(value, NOW - 4.0)})
    assert (ages["twins"], ages["amplifier readback"]) == (pytest.approx(0.3), pytest.approx(4.0))
