"""The picture of a safety recording, and `nixel safety plot`."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nixel.imaging import trip_picture
from nixel.imaging.trip_picture import draw_trip
from nixel.safety.records.recording import Header, Recording, begin, row

LIMIT = {"name": "coil", "kind": "limit", "sources": ["analog:0"], "unit": "degC", "trip": 60.0, "warn": 50.0}
CONTACT = {"name": "stop", "kind": "boolean", "sources": ["digital:0"], "healthy": True}


def recording(times, temperature, contact, on, state, interlocks=(LIMIT, CONTACT)):
    header = Header(
        trip="2026-01-31T12:00:00.000Z",
        cause="coil",
        message="coil is 61 degC",
        before="ENERGISED",
        instrument="bench",
        simulated=True,
        rate=100.0,
        complete=True,
        sources=("analog:0", "digital:0"),
        outputs=("amplifier",),
        interlocks=tuple(interlocks),
        events=(),
        requests=(),
        rows=len(times),
    )
    nothing = [0.0] * len(times)
    columns = (times, state, nothing, on, temperature, nothing, contact, nothing)
    return Recording(header, dict(zip(header.columns, map(list, columns), strict=True)))


TIMES = [round(n * 0.01 - 3.0, 2) for n in range(401)]
TRIPPED = recording(
    TIMES,
    [30.0 + 10 * (t + 3.0) for t in TIMES],
    [float(t < 0) for t in TIMES],
    [float(t < 0) for t in TIMES],
    [2.0 if t < 0 else 3.0 for t in TIMES],
)


def near(pixel, colour):
    return np.abs(pixel.astype(int) - colour).max() < 40


def columns_of(picture, row, colour):
    """Where in a row of pixels a colour is."""
    return [x for x in range(picture.shape[1]) if near(picture[row, x], colour)]


def test_the_trip_stands_where_the_time_is_zero_and_the_states_change():
    picture = draw_trip(TRIPPED)
    band = trip_picture._TOP + 3
    energised = columns_of(picture, band, trip_picture._STATES["ENERGISED"])
    fault = columns_of(picture, band, trip_picture._STATES["FAULT"])
    left, right = trip_picture._LEFT, picture.shape[1] - trip_picture._RIGHT
    zero = left + 0.75 * (right - left)  # 3 s of 4 s
    assert abs(min(energised) - left) <= 2
    assert abs(max(energised) - zero) <= 3
    assert abs(min(fault) - zero) <= 3
    assert abs(max(fault) - right) <= 3
    # The output's band ends there too.
    output = columns_of(picture, band + trip_picture._BAND + 8, trip_picture._ON)
    assert abs(max(output) - zero) <= 3


def test_the_levels_and_the_curve_meet_where_the_temperature_does():
    picture = draw_trip(TRIPPED)
    left, right = trip_picture._LEFT, picture.shape[1] - trip_picture._RIGHT
    warn = [y for y in range(picture.shape[0]) if len(columns_of(picture, y, trip_picture._WARN)) > 300]
    trip = [y for y in range(picture.shape[0]) if len(columns_of(picture, y, trip_picture._TRIP)) > 300]
    assert len(warn) in (1, 2)
    assert len(trip) in (1, 2)
    assert max(trip) < min(warn), "a higher level stands higher"
    for y, t in ((trip[0], 0.0), (warn[0], -1.0)):
        x = round(left + (t + 3.0) / 4.0 * (right - left))
        around = picture[y - 6 : y + 7, x - 12 : x + 13].reshape(-1, 3)
        assert any(near(pixel, trip_picture._LINES[0]) for pixel in around)


def test_only_the_seconds_asked_for_are_drawn():
    whole, part = draw_trip(TRIPPED), draw_trip(TRIPPED, 1.0)
    assert whole.shape == part.shape
    assert (whole != part).any()
    with pytest.raises(ValueError, match="no tick"):
        draw_trip(recording([-5.0], [1.0], [1.0], [0.0], [0.0]), 1.0)


VALUES = st.one_of(st.floats(-1e9, 1e9), st.just(math.nan), st.sampled_from([0.0, 1.0]))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 12))
def test_whatever_was_recorded_becomes_a_picture(data, count):
    def column():
        return data.draw(st.lists(VALUES, min_size=count, max_size=count))

    kinds = (
        LIMIT,
        CONTACT,
        {"name": "rate", "kind": "rate", "sources": ["analog:0"], "unit": "K", "trip": 1.0},
        {"name": "beat", "kind": "heartbeat", "sources": ["digital:0"]},
        {"name": "pair", "kind": "two-channel", "sources": ["digital:0", "analog:0"]},
        {**LIMIT, "factor": 2.0, "power": 2, "magnitude": True, "warn": None},
    )
    interlocks = data.draw(st.lists(st.sampled_from(kinds), max_size=4))
    times = [-0.01 * (count - n) for n in range(count)]
    made = recording(times, column(), column(), column(), column(), interlocks)
    picture = draw_trip(made)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "recordings" / "trip-000007-20260131T120000Z.csv"
    path.parent.mkdir()
    values = zip(*TRIPPED.columns.values(), strict=True)
    path.write_text(begin(TRIPPED.header) + "".join(map(row, values)))
    return path


def plot(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "nixel.imaging", "safety", "plot", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env=os.environ | {key: str(value) for key, value in environment.items()},
    )


@pytest.mark.parametrize("which", ["file", "latest", "7"])
def test_the_command_draws_a_recording(file, tmp_path, which):
    name = file if which == "file" else which
    done = plot(name, "-o", "trip.png", cwd=tmp_path, NIXEL_SAFETY_EVENTS=tmp_path / "events.jsonl")
    assert (done.returncode, done.stdout, done.stderr) == (0, "trip.png\n", "")
    with Image.open(tmp_path / "trip.png") as image:
        assert image.format == "PNG"
        assert (np.asarray(image.convert("RGB")) == draw_trip(TRIPPED)).all()


def test_the_command_says_what_is_wrong(file, tmp_path):
    for arguments, says in (
        (("/nowhere.csv",), "/nowhere.csv cannot be read"),
        ((file, "-o", "x.jpeg"), "ends in .png"),
        ((file, "-o", "/nowhere/x.png"), "cannot be written"),
        (("9", "--folder", file.parent), "holds no recording 9"),
        ((__file__,), "is no recording"),
    ):
        done = plot(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr
        assert "Traceback" not in done.stderr
