"""The distance of absorbing and of phase samples, on holograms of a grid finer than the camera's."""

import tracemalloc

import numpy as np
import pytest

from nixel.physics.holograms import simulate_hologram
from nixel.physics.samples import thin_sample
from nixel.physics.sensor import imx219
from nixel.reconstruction.holography import autofocus, correct

OPTICS = {"wavelength": 532e-9, "pixel_size": 1.12e-6}
N, MARGIN, FINER = 256, 128, 2
DISTANCE = 1e-3
RANGE = np.arange(0.8e-3, 1.2e-3, 10e-6)
KINDS = [
    "absorbing",
    "opaque",
    "weak phase",
    "phase",
    "strong phase",
    "half a turn",
    "strong mixed",
    "phase cells",
    "narrow bump",
    "strong bump",
]
X = (np.arange((N + 2 * MARGIN) * FINER) + 0.5) * OPTICS["pixel_size"] / FINER


def disc(generator, centre):
    r = np.hypot(X[:, None] - centre[0], X[None, :] - centre[1])
    return np.clip((generator.uniform(3e-6, 20e-6) - r) / OPTICS["pixel_size"] + 0.5, 0, 1)


def sample(kind, generator):
    if kind == "phase cells":
        angle = sum(
            generator.uniform(-0.45, 1.5) * disc(generator, generator.uniform(0, X[-1], 2)) for _ in range(25)
        )
        return np.exp(1j * angle)
    alone = disc(generator, X.mean() + generator.uniform(-15e-6, 15e-6, 2))
    spread = generator.uniform(3e-6, 10e-6)
    centre = X.mean() + generator.uniform(-15e-6, 15e-6, 2)
    squared = (X[:, None] - centre[0]) ** 2 + (X[None, :] - centre[1]) ** 2
    return {
        "absorbing": 1 - 0.7 * alone + 0j,
        "opaque": 1 - alone + 0j,
        "weak phase": np.exp(0.2j * alone),
        "phase": np.exp(0.8j * alone),
        "strong phase": np.exp(2.5j * alone),
        "half a turn": np.exp(3.1j * alone),
        "strong mixed": (1 - 0.5 * disc(generator, centre)) * np.exp(2.5j * alone),
        "narrow bump": np.exp(1j * np.exp(-squared / (2 * (4e-6) ** 2))),
        "strong bump": np.exp(2.5j * np.exp(-squared / (2 * (0.5 * spread + 2e-6) ** 2))),
    }[kind]


def photographed(field, generator, *, distance=DISTANCE, steady=True):
    """Contrast hologram by the microscope's colour sensor, the flat and the dark frame the mean of 16.

    The light fills three quarters of the range of its green pixels; red and blue ones see a seventh of it.
    """
    hologram = simulate_hologram(
        field.astype(np.complex64), distance, oversampling=FINER, margin=MARGIN, **OPTICS
    ).astype(float)
    sensor = imx219(OPTICS["wavelength"])
    light = 0.75 * (sensor.largest - sensor.offset) / (sensor.gain * sensor.efficiency("G") * hologram.max())

    def expose(photons):
        return sensor.expose(photons, exposure_time=0.02, seed=generator)

    flat, dark = (
        np.mean([expose(np.full(hologram.shape, level)) for _ in range(16)], axis=0, dtype=np.float32)
        for level in (light, 0.0)
    )
    return correct(expose(light * hologram), flat, dark, steady=steady)


@pytest.mark.parametrize("kind", KINDS)
def test_the_focus_is_within_five_micrometres_at_one_millimetre(kind):
    # The highest concentration of the edges lies 130 um off for the strong phase discs of this seed: they are lenses.
    generator = np.random.default_rng(2)
    found = autofocus(photographed(sample(kind, generator), generator), RANGE, **OPTICS)
    assert abs(found.distance - DISTANCE) < 5e-6
    assert abs(found.distance - DISTANCE) < 3 * found.uncertainty
    assert found.uncertainty < 15e-6
    assert found.criterion.shape == found.distances.shape == (40,)


@pytest.mark.parametrize("steady", [True, False], ids=["the light as it was", "scaled to mean 1"])
@pytest.mark.parametrize("distance", [300e-6, 1e-3])
def test_a_crowd_that_absorbs_is_found_whether_the_light_is_known_or_not(distance, steady):
    # What it takes from the light is 5 %: scaled to mean 1, the hologram is brighter than any sample can make it.
    field = thin_sample("cells", (X.size, X.size), X[1] - X[0], size=13e-6, absorption=0.5, seed=0)
    hologram = photographed(field, np.random.default_rng(0), distance=distance, steady=steady)
    assert hologram.mean() < 0.97 or not steady
    found = autofocus(hologram, **OPTICS)
    assert abs(found.distance - distance) < 5e-6
    assert abs(found.distance - distance) < 3 * found.uncertainty


def test_what_the_hologram_does_not_decide_is_uncertain():
    # A phase bump this broad and weak has no detail whose contrast the distance turns: (f < 1/sqrt(wavelength z))
    # only the product of its phase and the distance is in the hologram.
    generator = np.random.default_rng(0)
    squared = (X[:, None] - X.mean()) ** 2 + (X[None, :] - X.mean()) ** 2
    field = np.exp(0.5j * np.exp(-squared / (2 * (10e-6) ** 2)))
    found = autofocus(photographed(field, generator), RANGE, **OPTICS)
    assert found.uncertainty > 15e-6
    assert abs(found.distance - DISTANCE) < 3 * found.uncertainty


def test_a_large_frame_is_looked_at_in_a_window_of_little_memory():
    generator = np.random.default_rng(1)
    frame = (1 + 0.02 * generator.standard_normal((1100, 1500))).astype(np.float32)
    frame[700 : 700 + N, 1200 : 1200 + N] = photographed(sample("phase", generator), generator)
    tracemalloc.start()
    try:
        found = autofocus(frame, RANGE, memory=24 * 2**20, **OPTICS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    rows, columns = found.window
    assert rows.stop - rows.start == columns.stop - columns.start < 300
    assert rows.start < 828 < rows.stop
    assert columns.start < 1328 < columns.stop
    assert abs(found.distance - DISTANCE) < 3 * found.uncertainty
    assert peak < 24 * 2**20


@pytest.mark.parametrize("memory", [0, -1, 1000])
def test_no_memory_is_refused(memory):
    with pytest.raises(ValueError, match="memory: expected"):
        autofocus(np.eye(128), RANGE, memory=memory, **OPTICS)
