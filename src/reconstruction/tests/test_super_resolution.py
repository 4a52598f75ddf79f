"""Sub-pixel shifts are found, and holograms that stand apart by them give a finer one."""

import tracemalloc

import numpy as np
import pytest

from nixel.physics.holograms import simulate_hologram
from nixel.reconstruction.holography import estimate_shifts, super_resolve

PIXEL = 2.24e-6
OPTICS = {"wavelength": 532e-9, "pixel_size": PIXEL}
N, MARGIN, FINER = 96, 32, 4
SHIFTS = np.array(
    [[0, 0], [0.5, 0.02], [0.04, 0.47], [0.52, 0.55], [-0.26, 1.3], [0.25, -0.75], [-1.2, 0.3], [2.8, -3.1]]
)


def sample():
    """Small opaque and clear discs: detail to half a micrometre."""
    generator = np.random.default_rng(3)
    count = (N + 2 * MARGIN) * FINER
    x = (np.arange(count) + 0.5) * PIXEL / FINER
    field = np.ones((count, count), complex)
    for _ in range(80):
        centre, radius = generator.uniform(0, x[-1], 2), generator.uniform(1e-6, 8e-6)
        r = np.hypot(x[:, None] - centre[0], x[None, :] - centre[1])
        field *= 1 - generator.uniform(0.3, 0.9) * np.clip((radius - r) / (PIXEL / FINER) + 0.5, 0, 1)
    return field


@pytest.fixture(scope="module")
def frames():
    scene = sample()
    return np.stack(
        [
            simulate_hologram(
                scene, 150e-6, oversampling=FINER, margin=MARGIN, shift=tuple(shift * PIXEL), **OPTICS
            )
            for shift in SHIFTS
        ]
    )


@pytest.fixture(scope="module")
def fine():
    """The same with a camera of half the pixel, whose first pixel is a corner of the other's."""
    return simulate_hologram(
        sample(), 150e-6, wavelength=532e-9, pixel_size=PIXEL / 2, oversampling=FINER // 2, margin=2 * MARGIN
    )


def test_shifts_are_found_to_a_hundredth_of_a_pixel(frames):
    np.testing.assert_allclose(estimate_shifts(frames), SHIFTS, atol=0.01)


def test_noise_leaves_the_shifts_known_to_a_few_hundredths(frames):
    noisy = np.random.default_rng(0).poisson(frames * 4000) / 4000
    found = estimate_shifts(noisy.astype(np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, SHIFTS, atol=0.03)


def test_shifts_are_from_the_reference(frames):
    found = estimate_shifts(frames[:4], reference=3)
    np.testing.assert_allclose(found, SHIFTS[:4] - SHIFTS[3], atol=0.01)
    np.testing.assert_array_equal(found[3], 0)


def test_of_large_frames_the_middle_is_compared(frames):
    found = estimate_shifts(frames, largest=64)
    np.testing.assert_allclose(found, SHIFTS, atol=0.02)
    changed = frames.copy()
    changed[2, :16] = changed[3, :, 80:] = changed[4, -16:, :16] = 5  # a frame of 16 pixels lies around it
    np.testing.assert_array_equal(estimate_shifts(changed, largest=64), found)


def test_comparing_takes_no_more_memory_than_its_middle():
    # Two frames of a full sensor's width; what is looked at is a hundredth of them.
    noise = np.random.default_rng(0).random((2, 2000, 3280), dtype=np.float32)
    tracemalloc.start()
    try:
        estimate_shifts(noise, largest=256)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Whether all are finite is known by a byte for each pixel of a frame.
    assert peak < 120 * 256**2 + 2 * noise[0].size


def inner(values):
    """Without the outermost eight pixels of the camera."""
    return values[16:-16, 16:-16]


def test_eight_frames_make_a_camera_of_half_the_pixel(frames, fine):
    found = super_resolve(frames, SHIFTS)
    assert found.shape == (2 * N, 2 * N)
    coarse = np.repeat(np.repeat(frames[0], 2, axis=0), 2, axis=1)
    error, before = (np.std(inner(values - fine)) for values in (found, coarse))
    assert error < 0.3 * before
    assert np.corrcoef(inner(found).ravel(), inner(fine).ravel())[0, 1] > 0.995
    # What the camera itself would average away is there: power beyond its own cut-off.
    beyond = np.fft.fftfreq(inner(fine).shape[0])
    beyond = np.maximum(np.abs(beyond)[:, None], np.abs(beyond)[None, :]) > 0.26
    have, want = (np.fft.fft2(inner(values) - 1)[beyond] for values in (found, fine))
    assert np.abs(np.vdot(have, want)) > 0.9 * np.linalg.norm(have) * np.linalg.norm(want)


def test_tiles_in_little_memory_make_it_as_well(frames, fine):
    # Three by three tiles of a scene that repeats; away from the seams of the scene it is the fine camera's picture.
    repeated = np.tile(frames.astype(np.float32), (1, 2, 2))
    seen = []
    found = super_resolve(
        repeated,
        SHIFTS,
        memory=5 * 2**20,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(n + 1, len(seen)) for n in range(len(seen))]
    assert len(seen) > 1
    assert found.shape == (4 * N, 4 * N)
    for rows in (slice(0, 2 * N), slice(2 * N, 4 * N)):
        part = inner(found[rows, 2 * N :])
        assert np.corrcoef(part.ravel(), inner(fine).ravel())[0, 1] > 0.99


def test_estimated_shifts_are_good_enough(frames, fine):
    noisy = (np.random.default_rng(0).poisson(frames * 10000) / 10000).astype(np.float32)
    found = super_resolve(noisy, estimate_shifts(noisy))
    assert found.dtype == np.float32
    assert np.corrcoef(inner(found).ravel(), inner(fine).ravel())[0, 1] > 0.98


def test_a_constant_stays_one():
    found = super_resolve(np.full((4, 20, 24), 3.5), [[0, 0], [0, 0.5], [0.5, 0], [0.5, 0.5]])
    np.testing.assert_allclose(found, 3.5)


def test_threads_change_no_bit(frames):
    seen = []
    alone = super_resolve(frames[:4], SHIFTS[:4])
    two = super_resolve(
        frames[:4], SHIFTS[:4], workers=2, progress=lambda done, total: seen.append((done, total))
    )
    np.testing.assert_array_equal(alone, two)
    assert seen[-1][0] == seen[-1][1] == len(seen)


FRAMES = np.random.default_rng(0).random((4, 20, 24))
GOOD = [[0, 0], [0, 0.5], [0.5, 0], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"holograms": FRAMES[0]}, r"holograms: expected \(frames, y, x\)"),
        ({"holograms": FRAMES.astype(int)}, "expected float32 or float64"),
        ({"holograms": FRAMES * np.inf}, "expected finite"),
        ({"holograms": FRAMES[:, :8]}, "at least 16 x 16"),
        ({"shifts": GOOD[:3]}, r"shifts: expected finite pixels, \(4, 2\)"),
        (
            {"holograms": FRAMES[:3], "shifts": GOOD[:3]},
            "holograms: expected 4 or more for a grid 2 times finer",
        ),
        ({"shifts": [[0, 0], [0, 1], [1, 0], [1, 1]]}, "spread well enough"),
        ({"factor": 1}, "factor: expected an integer of 2 or more"),
        ({"damping": 0.0}, "damping"),
        ({"workers": 0}, "workers"),
        ({"memory": 0}, "memory"),
    ],
)
def test_what_cannot_be_fused_is_refused(change, message):
    given = {"holograms": FRAMES, "shifts": GOOD} | change
    with pytest.raises(ValueError, match=message):
        super_resolve(given.pop("holograms"), given.pop("shifts"), **given)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="reference: expected a frame from 0 to 3"):
        estimate_shifts(FRAMES, reference=4)
    with pytest.raises(ValueError, match="structure"):
        estimate_shifts(np.ones((2, 32, 32)))
    with pytest.raises(ValueError, match="at least 16 x 16"):
        estimate_shifts(np.ones((2, 8, 32)))
    with pytest.raises(ValueError, match="largest: expected an integer of 16 or more pixels, found 8"):
        estimate_shifts(FRAMES, largest=8)
