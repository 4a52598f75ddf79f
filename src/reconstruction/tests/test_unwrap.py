"""Unwrapping: what was wrapped comes back, also where noise has broken it."""

import numpy as np
import pytest

from nixel.reconstruction.holography import unwrap_phase

Y, X = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(-1, 1, 110), indexing="ij")
SHAPES = {
    "ramp": 40 * X - 25 * Y,
    "bump": 30 * np.exp(-(X**2 + Y**2) / 0.3),
    "lens": 25 * (X**2 + 0.5 * Y**2),
    "saddle": 30 * X * Y,
}


def wrap(values):
    return np.angle(np.exp(1j * values))


def apart(found, true):
    """Share of the pixels that are off by a turn, the whole picture's own number of turns aside."""
    turns = np.rint((found - true) / (2 * np.pi))
    return np.mean(turns != np.median(turns))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("iterations", [0, 10])
def test_smooth_phases_come_back_exactly(name, iterations):
    found = unwrap_phase(wrap(SHAPES[name]), iterations=iterations)
    offset = found - SHAPES[name]
    # One number of turns for all.
    np.testing.assert_allclose(offset, 2 * np.pi * np.rint(offset[0, 0] / (2 * np.pi)), atol=1e-9)
    assert -np.pi < np.median(found) <= np.pi


def test_the_result_is_congruent_and_keeps_the_precision():
    generator = np.random.default_rng(0)
    phase = generator.uniform(-np.pi, np.pi, (40, 50)).astype(np.float32)
    found = unwrap_phase(phase)
    assert found.dtype == np.float32
    turns = (found - phase) / (2 * np.pi)
    np.testing.assert_allclose(turns, np.rint(turns), atol=1e-5)


def test_noise_costs_few_pixels():
    # Phase noise of 0.6 rad breaks some loops (residues); no method gets every pixel.
    generator = np.random.default_rng(1)
    true = SHAPES["bump"]
    noisy = wrap(true + 0.6 * generator.standard_normal(true.shape))
    least_squares, robust = (unwrap_phase(noisy, iterations=n) for n in (0, 20))
    assert apart(robust, true) < 0.01
    assert apart(robust, true) <= apart(least_squares, true)


def test_where_nothing_is_trusted_nothing_spreads():
    # A band of pure noise cuts the picture but for one bridge; the weights say so.
    generator = np.random.default_rng(2)
    true = SHAPES["saddle"]
    phase, weights = wrap(true), np.ones(true.shape)
    band = (slice(None, 70), slice(50, 56))
    phase[band] = generator.uniform(-np.pi, np.pi, phase[band].shape)
    weights[band] = 0
    found = unwrap_phase(phase, weights)
    good = weights > 0
    assert apart(found[good], true[good]) == 0


def test_a_step_of_less_than_half_a_turn_stays():
    phase = np.where(X > 0, 2.5, 0.0)
    np.testing.assert_allclose(unwrap_phase(phase), phase, atol=1e-9)


def test_progress_runs_to_its_end():
    seen = []
    unwrap_phase(wrap(SHAPES["ramp"]), iterations=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("phase", "weights", "message"),
    [
        (np.zeros(4), None, r"phase: expected a \(y, x\) array"),
        (np.zeros((1, 9)), None, "at least 2 x 2"),
        (np.zeros((4, 4), int), None, "expected float32 or float64"),
        (np.full((4, 4), np.nan), None, "expected finite"),
        (np.zeros((4, 4)), np.zeros((4, 4)), "weights"),
        (np.zeros((4, 4)), -np.ones((4, 4)), "weights"),
        (np.zeros((4, 4)), np.ones((4, 5)), "weights"),
    ],
)
def test_what_cannot_be_unwrapped_is_refused(phase, weights, message):
    with pytest.raises(ValueError, match=message):
        unwrap_phase(phase, weights)
