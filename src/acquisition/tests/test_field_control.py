"""Control of the drive field, on chains that are numbers: it ends at the goal, passes no limit, or says why."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nixel.acquisition.field_control import ControlFailure, ControlLimits, FieldControl, phasors

GOAL = np.array([12e-3, 12e-3])
NOMINAL = np.array([20e-3, 20e-3])
LIMITS = ControlLimits(volts=(1.2, 1.2), step=0.5, field=14e-3, steps=20)
TOLERANCE = 50e-6


def control(goal=GOAL, limits=LIMITS, tolerance=TOLERANCE):
    return FieldControl(goal, NOMINAL[: len(goal)], tolerance, limits)


def run(controller, chain):
    """Control with a chain, a function of (step, voltages); gives the voltages that were transmitted."""
    sent, volts = [], controller.begin()
    while volts is not None:
        sent.append(volts)
        volts = controller.next(chain(len(sent), volts))
    return sent


def linear(*matrices, noise=0.0, seed=0):
    """A chain with one matrix (T/V) a frequency, and noise on the reference channels."""
    generator = np.random.default_rng(seed)

    def chain(_step, volts):
        field = np.stack([matrix @ column for matrix, column in zip(matrices, volts.T, strict=True)], axis=1)
        disturbance = generator.normal(size=(2, *field.shape)) * noise
        return field + disturbance[0] + 1j * disturbance[1]

    return chain


def gain(low, high, turn):
    return st.builds(
        lambda amplitude, phase: amplitude * np.exp(1j * phase), st.floats(low, high), st.floats(-turn, turn)
    )


def matrices(channels, coupling):
    """Of one frequency: gains of 0.7 to 1.4 of what was said, up to 60 degrees off, and coupling."""
    own = st.lists(gain(0.7, 1.4, np.pi / 3), min_size=channels, max_size=channels)
    size = channels * channels
    other = st.lists(gain(0.0, coupling, np.pi), min_size=size, max_size=size)

    def build(own, other):
        matrix = np.array(other).reshape(channels, channels)
        np.fill_diagonal(matrix, own)
        return 20e-3 * matrix

    return st.builds(build, own, other)


@given(st.tuples(matrices(2, 0.2), matrices(2, 0.2)), st.floats(0, 5e-6), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_it_ends_at_the_goal_and_never_passes_a_limit(chain, noise, seed):
    controller = control()
    sent = run(controller, linear(*chain, noise=noise, seed=seed))
    truth = linear(*chain)(0, sent[-1])
    assert np.abs(truth - np.diag(GOAL)).max() <= TOLERANCE + 6 * noise
    before = np.zeros((2, 2))
    for volts in sent:
        assert np.abs(volts).sum(axis=1).max() <= 1.2 * (1 + 1e-12)
        assert np.abs(volts - before).sum(axis=1).max() <= 0.5 * (1 + 1e-12)
        assert np.abs(linear(*chain)(0, volts)).sum(axis=1).max() <= 14e-3 + 10 * noise
        before = volts


@given(st.tuples(matrices(3, 0.1), matrices(3, 0.1), matrices(3, 0.1)))
@settings(max_examples=50, deadline=None)
def test_three_coupled_channels_too(chain):
    controller = FieldControl(
        np.full(3, 12e-3), np.full(3, 20e-3), TOLERANCE, ControlLimits((1.2,) * 3, 0.5, 14e-3, 20)
    )
    sent = run(controller, linear(*chain))
    assert np.abs(linear(*chain)(0, sent[-1]) - np.diag(np.full(3, 12e-3))).max() <= TOLERANCE


@given(matrices(1, 0.0))
@settings(max_examples=50, deadline=None)
def test_one_channel_alone_is_two_steps_of_learning_and_one_of_proof(matrix):
    # The first step is seen wherever the chain puts it; the second is right at half, the third at the whole.
    controller = control(GOAL[:1], ControlLimits((1.2,), 1.2, 14e-3, 20))
    sent = run(controller, linear(matrix))
    assert len(sent) <= 3
    assert sent[-1][0, 0] == pytest.approx(12e-3 / matrix[0, 0], rel=5e-3)


def test_a_chain_that_is_as_said_is_found_at_once():
    assert len(run(control(), linear(np.diag(NOMINAL), np.diag(NOMINAL)))) == 2


def test_drift_is_followed_from_where_it_was():
    chain = 20e-3 * np.array([[0.95, 0.05j], [0.03, 1.04 * np.exp(0.2j)]])
    controller = control()
    first = run(controller, linear(chain, chain))
    again = run(controller, linear(chain, chain))
    assert len(again) == 1
    np.testing.assert_array_equal(again[0], first[-1])
    warm = chain * 0.97 * np.exp(0.02j)
    after = run(controller, linear(warm, warm))
    assert len(after) <= 5
    assert np.abs(linear(warm, warm)(0, after[-1]) - np.diag(GOAL)).max() <= TOLERANCE


def failure(chain, **options):
    controller = control(**options)
    with pytest.raises(ControlFailure) as caught:
        run(controller, chain)
    return str(caught.value), controller


IDEAL = np.diag(NOMINAL)


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        (
            lambda _step, volts: 0 * volts,
            ["about 6 mT on channel 0", "no signal", "reference channel is connected"],
        ),
        (linear(np.diag([20e-3, 1e-4]), np.diag([20e-3, 1e-4])), ["channel 1", "no signal"]),
        (linear(-IDEAL, -IDEAL), ["within 90 degrees", "wrong phase, 180 degrees", "polarity"]),
        (
            linear(0.2 * IDEAL, 0.2 * IDEAL),
            ["at most 1.2 V on channel 0", "12 mT would take", "Ask for less"],
        ),
        (linear(3 * IDEAL, 3 * IDEAL), ["at most 14 mT on channel 0", "18 mT", "feedback_field_per_volt"]),
        (lambda _step, volts: np.full((2, 2), 6e-3), ["told apart|oscillate|at the end"]),
    ],
    ids=["silence", "one silent", "sign", "weak", "strong", "both see the same"],
)
def test_what_cannot_be_controlled_is_said(chain, words):
    text, controller = failure(chain)
    for word in words:
        assert any(part in text for part in word.split("|")), text
    assert len(controller.steps) <= LIMITS.steps
    for step in controller.steps:
        assert np.abs(step.volts).sum(axis=1).max() <= 1.2


def test_an_amplifier_that_saturates_is_not_driven_on():
    def saturating(_step, volts):
        field = 20e-3 * volts
        return field * np.minimum(1.0, 10e-3 / np.maximum(np.abs(field), 1e-12))

    text, controller = failure(saturating)
    assert any(words in text for words in ("would take", "oscillate", "at the end", "told apart")), text
    assert max(np.abs(step.volts).sum(axis=1).max() for step in controller.steps) <= 1.2


def test_a_field_that_swings_is_given_up():
    def swinging(step, volts):
        return 20e-3 * volts * np.exp(1j * (0.5 if step % 2 else -0.5))

    text, controller = failure(swinging)
    assert "oscillate" in text or "at the end" in text
    assert len(controller.steps) <= LIMITS.steps


def test_phasors_are_those_of_sines():
    dividers, samples = (102, 96), 3 * 1632
    instants = np.arange(samples)
    waves = [
        (0.3, 0.4, 0),
        (0.2, -1.2, 1),
    ]
    signal = sum(a * np.sin(2 * np.pi * instants / dividers[k] + p) for a, p, k in waves)
    found = phasors(np.stack([signal, 2 * signal + 0.7]), dividers)
    expected = np.array([0.3 * np.exp(0.4j), 0.2 * np.exp(-1.2j)])
    np.testing.assert_allclose(found, [expected, 2 * expected], atol=1e-13)
