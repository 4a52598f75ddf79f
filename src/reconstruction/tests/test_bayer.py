"""Mosaics of a narrow-band source: planes as they are, and all pixels with their gains fitted."""

import numpy as np
import pytest

from nixel.physics.sensor import Bayer
from nixel.reconstruction.holography import bayer_plane, equalise_bayer

PITCH = 1.12e-6
# The shares of 532 nm that a colour camera's filters let through, about.
SHARES = {"R": 0.10, "G": 0.90, "B": 0.18}


def scene(rows=120, columns=160):
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return 1 + 0.5 * np.cos(0.9 * x + 0.4 * y) + 0.3 * np.cos(0.004 * (x - 80) ** 2)


def shares(pattern, shape):
    tile = np.array([SHARES[letter] for letter in pattern]).reshape(2, 2)
    return np.tile(tile, (shape[0] // 2, shape[1] // 2))


@pytest.mark.parametrize(
    ("pattern", "channel", "row", "column"),
    [
        ("BGGR", "B", 0, 0),
        ("BGGR", "G1", 0, 1),
        ("BGGR", "G2", 1, 0),
        ("BGGR", "R", 1, 1),
        ("GRBG", "G1", 0, 0),
        ("GRBG", "G2", 1, 1),
        ("RGGB", "R", 0, 0),
        ("GBRG", "R", 1, 0),
    ],
)
def test_a_plane_is_every_second_pixel_of_every_second_row(pattern, channel, row, column):
    mosaic = np.arange(48, dtype=np.uint16).reshape(6, 8)
    plane = bayer_plane(mosaic, channel, bayer=Bayer(pattern), pixel_size=PITCH)
    expected = [[8 * (2 * i + row) + 2 * j + column for j in range(4)] for i in range(3)]
    np.testing.assert_array_equal(plane.values, expected)
    assert plane.values.dtype == np.float32
    assert plane.pixel_size == 2 * PITCH
    assert plane.origin == (row * PITCH, column * PITCH)


@pytest.mark.parametrize("pattern", ["BGGR", "RGGB", "GRBG", "GBRG"])
def test_the_gains_come_back_and_the_mosaic_vanishes(pattern):
    light = scene()
    found, gains = equalise_bayer(light * shares(pattern, light.shape) + 64, bayer=Bayer(pattern), dark=64.0)
    mean = (SHARES["R"] + 2 * SHARES["G"] + SHARES["B"]) / 4
    # The scene's own means over the four grids differ by under a hundredth.
    for kind, gain in gains.items():
        assert gain == pytest.approx(SHARES[kind[0]] / mean, rel=0.01)
    assert np.mean(list(gains.values())) == pytest.approx(1)
    np.testing.assert_allclose(found / found.mean(), light / light.mean(), rtol=0.02)


def test_the_gains_are_as_good_as_the_counts():
    # Of a kind with N electrons the gain is known to 1/sqrt(N), and to the mean's; four standard errors.
    shape = (200, 200)
    electrons = 400 * shares("BGGR", shape)
    counted = np.random.default_rng(0).poisson(electrons).astype(np.float32)
    _, gains = equalise_bayer(counted, bayer=Bayer("BGGR"))
    true = {"B": 0.18, "G1": 0.9, "G2": 0.9, "R": 0.1}
    mean = np.mean(list(true.values()))
    total = 400 * mean * 40000
    for kind, gain in gains.items():
        count = 400 * true[kind] * 10000
        assert abs(gain / (true[kind] / mean) - 1) < 4 * np.sqrt(1 / count + 1 / total)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mosaic": np.ones((5, 4))},
            r"mosaic: expected a \(y, x\) array with even sides, found shape \(5, 4\)",
        ),
        ({"mosaic": np.ones(4)}, "mosaic"),
        ({"mosaic": np.full((4, 4), np.nan)}, "mosaic: expected real, finite"),
    ],
)
@pytest.mark.parametrize("function", [equalise_bayer, bayer_plane])
def test_what_is_no_mosaic_is_refused(function, change, message):
    given = {"mosaic": np.ones((4, 4)), "bayer": Bayer("BGGR")} | change
    if function is bayer_plane:
        given |= {"channel": "R", "pixel_size": PITCH}
    with pytest.raises(ValueError, match=message):
        function(**given)


def test_other_errors_say_what_was_expected():
    ones = np.ones((4, 4))
    with pytest.raises(ValueError, match="channel: expected R, G1, G2 or B, found 'G'"):
        bayer_plane(ones, "G", bayer=Bayer("BGGR"), pixel_size=PITCH)
    with pytest.raises(ValueError, match="pixel_size"):
        bayer_plane(ones, "R", bayer=Bayer("BGGR"), pixel_size=0)
    with pytest.raises(ValueError, match=r"dark: expected a number or shape \(4, 4\)"):
        equalise_bayer(ones, bayer=Bayer("BGGR"), dark=np.ones((2, 2)))
    with pytest.raises(ValueError, match="found none on R"):
        equalise_bayer(np.tile([[1.0, 1], [1, 0]], (2, 2)), bayer=Bayer("BGGR"))
