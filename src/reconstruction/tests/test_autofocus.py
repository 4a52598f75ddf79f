"""The distance of absorbing and of phase samples, on holograms of a grid finer than the camera's."""

import numpy as np
import pytest

from nixel.physics.holograms import simulate_hologram
from nixel.reconstruction.holography import autofocus

OPTICS = {"wavelength": 532e-9, "pixel_size": 1.12e-6}
N, MARGIN, FINER = 256, 128, 2
DISTANCE = 1e-3
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
    return {
        "absorbing": 1 - 0.7 * alone + 0j,
        "weak phase": np.exp(0.15j * alone),
        "phase": np.exp(0.8j * alone),
    }[kind]


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("kind", ["absorbing", "weak phase", "phase", "phase cells"])
def test_the_focus_is_within_five_micrometres_at_one_millimetre(kind, seed):
    # 5000 electrons a pixel. Without phase retrieval the phase samples of seed 2 and the cells miss by 5 to 7 um.
    generator = np.random.default_rng(seed)
    field = sample(kind, generator).astype(np.complex64)
    hologram = simulate_hologram(field, DISTANCE, oversampling=FINER, margin=MARGIN, **OPTICS)
    frame = (generator.poisson(hologram * 5000) / 5000).astype(np.float32)
    found = autofocus(frame, np.arange(0.8e-3, 1.2e-3, 10e-6), **OPTICS)
    assert abs(found.distance - DISTANCE) < 5e-6
    assert abs(found.distance - DISTANCE) < 2 * found.uncertainty
    assert found.criterion.shape == found.distances.shape == (40,)
