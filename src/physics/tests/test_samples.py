"""Samples are what they are said to be."""

import numpy as np
import pytest

from nixel.physics.samples import SAMPLES, thin_sample

SPACING = 0.5e-6


def test_a_disc_has_its_area_its_absorption_and_its_delay():
    field = thin_sample("disc", (101, 121), SPACING, size=10e-6, absorption=0.3, delay=0.8)
    assert field.dtype == np.complex64
    np.testing.assert_allclose(field[50, 60], 0.7 * np.exp(0.8j), rtol=1e-6)
    assert (field[:, :10] == 1).all()
    # Its edge is a sample wide: the covered area is right to much less than the edge's own.
    covered = np.angle(field).sum() / 0.8 * SPACING**2
    assert covered == pytest.approx(np.pi * (10e-6) ** 2, rel=0.01)


def test_a_bump_delays_by_a_gaussian():
    field = thin_sample("bump", (81, 81), SPACING, size=5e-6, delay=2.0)
    np.testing.assert_allclose(np.abs(field), 1, rtol=1e-6)
    assert np.angle(field[40, 40]) == pytest.approx(2.0)
    assert np.angle(field[40, 50]) == pytest.approx(2 * np.exp(-0.5), rel=1e-5)


def test_cells_are_scattered_and_never_give_light():
    field = thin_sample("cells", (300, 400), SPACING, size=6e-6, absorption=0.5, seed=1)
    np.testing.assert_array_equal(np.angle(field), 0)
    assert np.abs(field).max() == 1
    assert 0.05 < (np.abs(field) < 1).mean() < 0.3
    # In each quarter of the picture is some, and some of it is clear.
    for part in (field[:150, :200], field[:150, 200:], field[150:, :200], field[150:, 200:]):
        assert np.abs(part).min() < 0.9
        assert (part == 1).any()
    again = thin_sample("cells", (300, 400), SPACING, size=6e-6, absorption=0.5, seed=1)
    np.testing.assert_array_equal(again, field)
    other = thin_sample("cells", (300, 400), SPACING, size=6e-6, absorption=0.5, seed=2)
    assert (other != field).any()


@pytest.mark.parametrize("kind", SAMPLES)
def test_nothing_absorbed_and_delayed_is_no_sample(kind):
    np.testing.assert_array_equal(thin_sample(kind, (40, 30), SPACING, size=4e-6), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gold"}, "kind: expected disc, bump or cells, found 'gold'"),
        ({"shape": (0, 5)}, "shape: expected rows and columns"),
        ({"spacing": 0.0}, "spacing: expected a positive"),
        ({"size": np.nan}, "size: expected a positive"),
        ({"absorption": 1.5}, "absorption: expected 0 to 1, found 1.5"),
        ({"absorption": np.nan}, "absorption: expected 0 to 1"),
        ({"delay": np.inf}, "delay: expected a finite"),
    ],
)
def test_what_is_no_sample_is_refused(change, message):
    given = {"kind": "disc", "shape": (8, 8), "spacing": SPACING, "size": 1e-6} | change
    with pytest.raises(ValueError, match=message):
        thin_sample(given.pop("kind"), given.pop("shape"), given.pop("spacing"), **given)
