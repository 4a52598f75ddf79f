"""Fields at the sample from one hologram, from several heights, and of whole sensors in tiles.

The holograms are simulated on a grid twice as fine as the camera's and half as large again around it, with the
light integrated over each pixel: no reconstruction here inverts its own model of the camera.
"""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from nixel.physics.holograms import simulate_hologram
from nixel.physics.sensor import imx219
from nixel.reconstruction.holography import (
    back_propagate,
    correct,
    diffraction_reach,
    reconstruct_in_tiles,
    reconstruct_multi_height,
    reconstruct_single,
)

OPTICS = {"wavelength": 532e-9, "pixel_size": 1.12e-6}
HEIGHTS = np.linspace(300e-6, 650e-6, 8)
N, MARGIN, FINER = 192, 96, 2


def cells(seed, *, absorption, phase):
    """Transmission of overlapping discs of 6 to 40 um with edges of a pixel, on the fine, large grid."""
    generator = np.random.default_rng(seed)
    count = (N + 2 * MARGIN) * FINER
    x = (np.arange(count) + 0.5) * OPTICS["pixel_size"] / FINER
    amplitude, angle = np.ones((count, count)), np.zeros((count, count))
    for _ in range(50):
        centre = generator.uniform(0, x[-1], 2)
        radius = generator.uniform(3e-6, 20e-6)
        r = np.hypot(x[:, None] - centre[0], x[None, :] - centre[1])
        disc = np.clip((radius - r) / OPTICS["pixel_size"] + 0.5, 0, 1)
        amplitude *= 1 - absorption * generator.uniform(0.3, 1) * disc
        angle += phase * generator.uniform(-0.3, 1) * disc
    return (amplitude * np.exp(1j * angle)).astype(np.complex64)


def on_pixels(transmission):
    """What of it the camera's pixels cover, on average."""
    means = transmission.reshape(N + 2 * MARGIN, FINER, N + 2 * MARGIN, FINER).mean((1, 3))
    return means[MARGIN:-MARGIN, MARGIN:-MARGIN]


def record(transmission, distance):
    return simulate_hologram(transmission, distance, oversampling=FINER, margin=MARGIN, **OPTICS)


def likeness(found, true):
    return np.corrcoef(np.ravel(found), np.ravel(true))[0, 1]


def photographed(holograms):
    """Contrast holograms that the microscope's colour sensor makes of these, corrected by a flat and a dark frame.

    The light fills three quarters of the green pixels' range; red and blue ones see a seventh of it and less.
    Exposures of 20 ms; flat and dark frames are the mean of 64.
    """
    sensor = imx219(OPTICS["wavelength"])
    light = 0.75 * (sensor.largest - sensor.offset) / (sensor.gain * sensor.efficiency("G") * holograms.max())
    generator = np.random.default_rng(0)

    def expose(photons):
        return sensor.expose(photons, exposure_time=0.02, seed=generator)

    shape = holograms.shape[-2:]
    flat, dark = (
        np.mean([expose(np.full(shape, level)) for _ in range(64)], axis=0, dtype=np.float32)
        for level in (light, 0.0)
    )
    return np.stack(
        [correct(expose(light * hologram.astype(float)), flat, dark, steady=True) for hologram in holograms]
    )


@pytest.fixture(scope="module")
def heights():
    sample = cells(1, absorption=0.5, phase=1.5)
    return on_pixels(sample), np.stack([record(sample, height) for height in HEIGHTS])


@pytest.fixture(scope="module")
def absorbing():
    sample = cells(2, absorption=0.7, phase=0)
    return on_pixels(sample), record(sample, 500e-6)


@pytest.fixture(scope="module")
def phase_only():
    sample = cells(2, absorption=0, phase=1.0)
    return on_pixels(sample), record(sample, 500e-6)


@pytest.mark.parametrize(("start", "iterations"), [("contrast_transfer", 50), ("back_propagation", 70)])
def test_eight_heights_give_amplitude_and_phase(heights, start, iterations):
    true, holograms = heights
    found = reconstruct_multi_height(holograms, HEIGHTS, start=start, iterations=iterations, **OPTICS)
    assert found.dtype == np.complex64
    assert likeness(np.abs(found), np.abs(true)) >= 0.95
    assert likeness(np.angle(found), np.angle(true)) >= 0.85
    # A single height does not.
    alone = back_propagate(holograms[0], HEIGHTS[0], **OPTICS)
    assert likeness(np.angle(alone), np.angle(true)) < 0.5


def test_noise_of_the_camera_costs_little(heights):
    # At most 0.03 of the amplitude's and 0.02 of the phase's correlation.
    true, holograms = heights
    quiet, noisy = (
        reconstruct_multi_height(frames, HEIGHTS, **OPTICS) for frames in (holograms, photographed(holograms))
    )
    for part, cost in ((np.abs, 0.03), (np.angle, 0.02)):
        assert likeness(part(noisy), part(true)) >= likeness(part(quiet), part(true)) - cost
    assert likeness(np.angle(noisy), np.angle(true)) >= 0.85


def test_momentum_gets_there_sooner(heights):
    true, holograms = heights
    plain, quick = (
        reconstruct_multi_height(holograms, HEIGHTS, iterations=30, acceleration=on, **OPTICS)
        for on in (False, True)
    )
    for part in (np.abs, np.angle):
        assert 1 - likeness(part(quick), part(true)) < 0.8 * (1 - likeness(part(plain), part(true)))


def test_a_weak_sample_is_solved_by_the_start_alone():
    # 1 + a + i phi with |a|, |phi| of a hundredth is linear to 1e-4; only frequencies that no height carries miss.
    x = (np.arange(N + 2 * MARGIN) + 0.5) * OPTICS["pixel_size"]
    middle = x.mean()
    squared = (x[:, None] - middle) ** 2 + (x[None, :] - middle - 10e-6) ** 2
    absorption = 0.01 * np.exp(-squared / (5e-6) ** 2)
    phase = 0.01 * np.exp(-((x[:, None] - middle + 12e-6) ** 2 + (x[None, :] - middle) ** 2) / (5e-6) ** 2)
    sample = (1 - absorption) * np.exp(1j * phase)
    holograms = np.stack([simulate_hologram(sample, z, margin=MARGIN, **OPTICS) for z in HEIGHTS])
    found = reconstruct_multi_height(holograms, HEIGHTS, iterations=0, **OPTICS)
    inside = (slice(MARGIN, -MARGIN),) * 2
    assert likeness(np.abs(found), 1 - absorption[inside]) > 0.98
    assert likeness(np.angle(found), phase[inside]) > 0.95


@pytest.mark.parametrize("method", ["projections", "total_variation"])
def test_an_absorbing_sample_loses_its_twin(absorbing, method):
    true, hologram = absorbing

    def error(field):
        return np.sqrt(np.mean(np.abs(field - true) ** 2))

    found = reconstruct_single(hologram, 500e-6, method=method, sample="absorbing", iterations=20, **OPTICS)
    twin = error(back_propagate(hologram / hologram.mean(), 500e-6, **OPTICS))
    assert error(found) < 0.1 * twin
    assert likeness(np.abs(found), np.abs(true)) > 0.995


def test_total_variation_needs_no_word_about_the_sample(absorbing, phase_only):
    true, hologram = absorbing
    found = reconstruct_single(hologram, 500e-6, iterations=40, **OPTICS)
    assert likeness(np.abs(found), np.abs(true)) > 0.99
    true, hologram = phase_only
    found = reconstruct_single(hologram, 500e-6, iterations=100, **OPTICS)
    assert likeness(np.angle(found), np.angle(true)) > 0.95
    assert likeness(np.angle(back_propagate(hologram, 500e-6, **OPTICS)), np.angle(true)) < 0.6


def test_a_support_keeps_the_twin_out():
    x = (np.arange((N + 2 * MARGIN) * FINER) + 0.5) * OPTICS["pixel_size"] / FINER
    r = np.hypot(x[:, None] - x.mean(), x[None, :] - x.mean() - 20e-6)
    sample = np.exp(0.8j * np.clip((15e-6 - r) / OPTICS["pixel_size"] + 0.5, 0, 1)).astype(np.complex64)
    true, hologram = on_pixels(sample), record(sample, 500e-6)
    pixels = (np.arange(N) + 0.5 - N / 2) * OPTICS["pixel_size"]
    support = np.hypot(pixels[:, None], pixels[None, :] - 20e-6) < 20e-6
    options = {"method": "projections", "sample": "any", "iterations": 60, **OPTICS}
    free, kept = (reconstruct_single(hologram, 500e-6, support=where, **options) for where in (None, support))
    errors = [np.sqrt(np.mean(np.abs(found - true) ** 2)) for found in (free, kept)]
    assert errors[1] < 0.5 * errors[0]
    np.testing.assert_array_equal(kept[~support], 1)
    assert likeness(np.angle(kept), np.angle(true)) > 0.98


@pytest.mark.slow
@pytest.mark.parametrize(
    ("absorption", "phase", "options", "costs"),
    [
        (0.7, 0.0, {}, {np.abs: 0.01}),
        (0.7, 0.0, {"method": "projections", "sample": "absorbing"}, {np.abs: 0.03}),
        (0.0, 1.0, {}, {np.angle: 0.01}),
        (0.0, 1.0, {"method": "projections", "sample": "phase"}, {np.angle: 0.03}),
        (0.5, 1.0, {}, {np.abs: 0.05, np.angle: 0.2}),
    ],
    ids=["absorbing", "absorbing, projections", "phase", "phase, projections", "both"],
)
def test_noise_costs_a_single_hologram_no_more_than_stated(absorption, phase, options, costs):
    sample = cells(2, absorption=absorption, phase=phase)
    true, hologram = on_pixels(sample), record(sample, 500e-6)
    quiet, noisy = (
        reconstruct_single(frame, 500e-6, **options, **OPTICS)
        for frame in (hologram, photographed(hologram[None])[0])
    )
    for part, cost in costs.items():
        assert likeness(part(noisy), part(true)) > likeness(part(quiet), part(true)) - cost


@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 2e-4), ("float64", 1e-10)])
def test_other_libraries_agree(heights, library, dtype, bound):
    reason = {
        "torch": "PyTorch (its CPU build, requirements/torch.txt) is not installed",
        "array_api_strict": "array-api-strict is not installed",
    }[library]
    xp = pytest.importorskip(library, reason=reason)
    holograms = heights[1][:3, :64, :64].astype(dtype)
    theirs = xp.asarray(holograms)
    support = np.hypot(*np.meshgrid(np.arange(64) - 32, np.arange(64) - 32)) < 25
    pairs = [
        (
            reconstruct_multi_height(frames, HEIGHTS[:3], iterations=5, **OPTICS)
            for frames in (holograms, theirs)
        )
    ]
    pairs += [
        (
            reconstruct_single(
                frames[0, ...],
                HEIGHTS[0],
                method=method,
                sample=sample,
                support=where,
                iterations=5,
                **OPTICS,
            )
            for frames, where in ((holograms, support), (theirs, xp.asarray(support)))
        )
        for method, sample in (
            ("projections", "phase"),
            ("projections", "absorbing"),
            ("total_variation", "any"),
        )
    ]
    for ours, other in pairs:
        assert type(other) is type(theirs)
        assert str(other.dtype).endswith({"float32": "complex64", "float64": "complex128"}[dtype])
        np.testing.assert_allclose(np.asarray(other), ours, atol=bound)


def test_tiles_give_what_the_whole_gives():
    # Tiles see the fringes of what is within the reach of diffraction: what is left out is under a hundredth of
    # the light (RMS), and nothing is brighter or darker by more than a tenth.
    reach = diffraction_reach(150e-6, **OPTICS)
    assert reach == pytest.approx(150e-6 * np.tan(np.arcsin(532 / 2240)))
    overlap = int(np.ceil(reach / OPTICS["pixel_size"]))
    near = record(cells(2, absorption=0.7, phase=0), 150e-6)
    for reconstruct in (
        lambda frame: back_propagate(frame, 150e-6, **OPTICS),
        lambda frame: reconstruct_single(frame, 150e-6, iterations=20, **OPTICS),
    ):
        whole = reconstruct(near)
        seen = []
        tiles = reconstruct_in_tiles(
            near,
            lambda frame, window, reconstruct=reconstruct: reconstruct(frame),
            tile=64 + 2 * overlap,
            overlap=overlap,
            progress=lambda done, total, seen=seen: seen.append((done, total)),
        )
        assert seen == [(n + 1, 9) for n in range(9)]
        assert tiles.dtype == np.complex64
        difference = np.abs(tiles - whole)
        assert np.sqrt(np.mean(difference**2)) < 0.01
        assert difference.max() < 0.1


def test_several_heights_in_little_memory_are_as_good():
    sample = cells(1, absorption=0.5, phase=1.5)
    near = HEIGHTS / 5
    holograms = np.stack([record(sample, height) for height in near])
    seen = []
    whole, tiles = (
        reconstruct_multi_height(
            holograms, near, memory=memory, progress=lambda done, total: seen.append((done, total)), **OPTICS
        )
        for memory in (None, 5_800_000)
    )
    assert seen[:50] == [(n + 1, 50) for n in range(50)]
    assert seen[50:] == [(n + 1, 9) for n in range(9)]
    assert np.sqrt(np.mean(np.abs(tiles - whole) ** 2)) < 0.01
    assert likeness(np.abs(tiles), np.abs(on_pixels(sample))) > 0.95


def test_tiles_without_neighbours_are_exact():
    # A reconstruction that looks at each pixel alone is not changed by tiles, whatever their number.
    frames = np.random.default_rng(0).random((2, 200, 333))
    found = reconstruct_in_tiles(frames, lambda tile, _window: tile[0] + 1j * tile[1], tile=90, overlap=10)
    np.testing.assert_allclose(found, frames[0] + 1j * frames[1], atol=1e-12)
    out = np.full((200, 333), 7 + 0j)
    again = reconstruct_in_tiles(
        frames, lambda tile, _window: tile[0] + 1j * tile[1], tile=90, overlap=10, out=out
    )
    assert again is out
    np.testing.assert_array_equal(again, found)


def test_a_tile_without_room_is_refused():
    with pytest.raises(
        ValueError, match="tile: expected at least 104 pixels with an overlap of 20, found 90"
    ):
        reconstruct_in_tiles(np.ones((200, 200)), lambda tile, _window: tile + 0j, tile=90, overlap=20)


def test_too_little_memory_says_how_much_is_enough():
    frame = np.random.default_rng(0).uniform(0.8, 1.2, (200, 300)).astype(np.float32)
    for reconstruct, given in (
        (reconstruct_single, (frame, 1e-4)),
        (reconstruct_multi_height, (np.stack([frame, frame]), (1e-4, 0.9e-4))),
    ):
        with pytest.raises(ValueError, match="memory: expected at least") as refused:
            reconstruct(*given, iterations=1, memory=1000, **OPTICS)
        enough = int(str(refused.value).split()[4])
        assert reconstruct(*given, iterations=1, memory=enough, **OPTICS).shape == frame.shape
        with pytest.raises(ValueError, match="memory: expected at least"):
            reconstruct(*given, iterations=1, memory=int(0.95 * enough), **OPTICS)


@pytest.mark.slow
def test_a_whole_sensor_fits_into_a_gibibyte():
    program = """
        from pathlib import Path
        import numpy as np
        from nixel.reconstruction.holography import reconstruct_single
        generator = np.random.default_rng(0)
        hologram = generator.uniform(0.8, 1.2, (2464, 3280)).astype(np.float32)
        found = reconstruct_single(
            hologram, 300e-6, wavelength=532e-9, pixel_size=1.12e-6, iterations=2, memory=400 * 2**20
        )
        assert found.shape == hologram.shape and np.isfinite(found).all()
        # Of this program alone: what getrusage tells includes whoever started it.
        print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) * 1024 <= 2**30


ONES = np.ones((3, 32, 32), np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"holograms": ONES[0]}, r"holograms: expected a non-empty \(plane, y, x\)"),
        ({"holograms": ONES.astype(np.uint16)}, "holograms: expected float32 or float64, found uint16"),
        ({"holograms": ONES * np.nan}, "holograms: expected finite"),
        ({"distances": [1e-4, 2e-4]}, "distances: expected one a hologram, two or more, found 2 for 3"),
        ({"distances": [1e-4, 2e-4, 2e-4]}, "distances that differ"),
        ({"distances": [1e-4, 2e-4, -1.0]}, "distances: expected a positive number in m, found -1.0"),
        ({"start": "guess"}, "start: expected contrast_transfer or back_propagation"),
        ({"iterations": -1}, "iterations"),
        ({"margin": -1}, "margin"),
        ({"memory": 0}, "memory"),
        ({"workers": 0}, "workers"),
        ({"wavelength": 0.0}, "wavelength"),
    ],
)
def test_heights_that_do_not_fit_are_refused(change, message):
    given = {"holograms": ONES, "distances": [1e-4, 2e-4, 3e-4], **OPTICS} | change
    with pytest.raises(ValueError, match=message):
        reconstruct_multi_height(given.pop("holograms"), given.pop("distances"), **given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hologram": ONES}, r"hologram: expected a non-empty \(y, x\)"),
        ({"distance": 0.0}, "distance: expected a positive"),
        ({"method": "magic"}, "method: expected projections or total_variation"),
        ({"sample": "opaque"}, "sample: expected any, absorbing or phase"),
        ({"support": np.ones((32, 32))}, r"support: expected booleans of shape \(32, 32\)"),
        ({"support": np.ones((3, 3), bool)}, r"support: expected booleans"),
        ({"regularisation": 0.0}, "regularisation"),
        ({"iterations": -1}, "iterations"),
        ({"margin": 1.5}, "margin"),
        ({"memory": -5}, "memory"),
        ({"workers": 0}, "workers"),
        ({"pixel_size": np.nan}, "pixel_size"),
    ],
)
def test_a_hologram_that_does_not_fit_is_refused(change, message):
    given = {"hologram": ONES[0], "distance": 1e-4, **OPTICS} | change
    with pytest.raises(ValueError, match=message):
        reconstruct_single(given.pop("hologram"), given.pop("distance"), **given)


def test_progress_runs_to_its_end(heights):
    for iterations, reconstruct in (
        (3, lambda **more: reconstruct_single(heights[1][0], HEIGHTS[0], iterations=3, **OPTICS, **more)),
        (2, lambda **more: reconstruct_multi_height(heights[1], HEIGHTS, iterations=2, **OPTICS, **more)),
    ):
        seen = []
        reconstruct(progress=lambda done, total, seen=seen: seen.append((done, total)))
        assert seen == [(n + 1, iterations) for n in range(iterations)]
