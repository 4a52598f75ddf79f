"""Holograms: several heights, the twin image of one, a whole sensor in tiles, shifts, unwrapping."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from case import Case, Run

from nixel.physics.holograms import simulate_hologram
from nixel.reconstruction.holography import (
    diffraction_reach,
    estimate_shifts,
    reconstruct_multi_height,
    reconstruct_single,
    unwrap_phase,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    Array = np.ndarray[Any, Any]

PIXEL = 1.12e-6
OPTICS = {"wavelength": 532e-9, "pixel_size": PIXEL}
HEIGHTS = np.linspace(300e-6, 650e-6, 8)
FINER = 2
THREADS = 1


def cells(pixels: int) -> Array:
    """Transmission of overlapping discs that absorb up to a half and delay by up to 1.5 rad, complex64."""
    generator = np.random.default_rng(1)
    count = pixels * FINER
    x = ((np.arange(count) + 0.5) * PIXEL / FINER).astype(np.float32)
    amplitude, angle = np.ones((count, count), np.float32), np.zeros((count, count), np.float32)
    for _ in range(pixels**2 // 2500):
        centre, radius = generator.uniform(0, x[-1], 2), generator.uniform(3e-6, 20e-6)
        rows, columns = (slice(*np.searchsorted(x, (c - radius - PIXEL, c + radius + PIXEL))) for c in centre)
        r = np.hypot(x[rows, None] - centre[0], x[None, columns] - centre[1])
        disc = np.clip((radius - r) / PIXEL + 0.5, 0, 1).astype(np.float32)
        amplitude[rows, columns] *= 1 - 0.5 * generator.uniform(0.3, 1) * disc
        angle[rows, columns] += 1.5 * generator.uniform(-0.3, 1) * disc
    result: Array = amplitude * np.exp(1j * angle)
    return result


def on_pixels(transmission: Array, margin: int) -> Array:
    """Mean over each pixel of the camera."""
    count = len(transmission) // FINER
    result: Array = transmission.reshape(count, FINER, count, FINER).mean((1, 3))[
        margin:-margin, margin:-margin
    ]
    return result


def record(transmission: Array, heights: Array, margin: int) -> Array:
    """Holograms at some heights."""
    return np.stack(
        [simulate_hologram(transmission, z, oversampling=FINER, margin=margin, **OPTICS) for z in heights]
    )


def transforms(shape: tuple[int, int], reach: float, count: int) -> tuple[str, Run]:
    """So many Fourier transforms of the grid that a reconstruction works on."""
    margin = int(np.ceil(reach / PIXEL))
    rows, columns = (scipy.fft.next_fast_len(n + 2 * margin) for n in shape)
    grid = np.ones((rows, columns), np.complex64)

    def run() -> None:
        values = grid
        for index in range(count):
            transform = scipy.fft.ifft2 if index % 2 else scipy.fft.fft2
            values = transform(values, overwrite_x=index > 0, workers=THREADS)

    return f"{count} Fourier transforms of {rows}x{columns}", run


def unlike(found: Array, true: Array) -> float:
    """One minus the correlation."""
    return 1 - float(np.corrcoef(found.ravel(), true.ravel())[0, 1])


@cache
def eight_heights() -> tuple[Array, Array]:
    """What is on the pixels, and its holograms; made when a case first runs, not when it is named."""
    sample = cells(192 + 2 * 96)
    return on_pixels(sample, 96), record(sample, HEIGHTS, 96)


@cache
def moved() -> tuple[Array, Array]:
    """Shifts in pixels, and holograms that stand apart by them."""
    true = np.random.default_rng(2).uniform(-2, 2, (8, 2))
    true[0] = 0
    sample = cells(256 + 2 * 64)
    frames = [
        simulate_hologram(sample, 300e-6, oversampling=FINER, margin=64, shift=tuple(PIXEL * s), **OPTICS)
        for s in true
    ]
    return true, np.stack(frames)


def several_heights() -> Iterator[Case]:
    """Time on 1024 x 1024; what comes back on 192 x 192."""
    for name, part, bound in (("amplitude", np.abs, 0.05), ("phase", np.angle, 0.15)):
        yield Case(
            name=f"holograms: {name} from 8 heights of 192x192, 50 iterations",
            ours=lambda: reconstruct_multi_height(eight_heights()[1], HEIGHTS, workers=THREADS, **OPTICS),
            error=lambda field, part=part: unlike(part(field), part(eight_heights()[0])),
            error_name="1 - correlation",
            error_at_most=bound,
        )
    frames = np.random.default_rng(0).uniform(0.8, 1.2, (8, 1024, 1024)).astype(np.float32)
    floor_name, floor = transforms((1024, 1024), diffraction_reach(HEIGHTS[-1], **OPTICS), 8 + 2 * 8 * 4 + 1)
    yield Case(
        name="holograms: 8 heights of 1024x1024, 4 iterations",
        ours=lambda: reconstruct_multi_height(frames, HEIGHTS, iterations=4, workers=THREADS, **OPTICS),
        floor_name=floor_name,
        floor=floor,
        peers={"HoloPy": "not in the package registry, and has no multi-height reconstruction"},
    )


def one_hologram() -> Iterator[Case]:
    """Twin image of one hologram, and a whole sensor of it in tiles."""
    frame = np.random.default_rng(0).uniform(0.8, 1.2, (1024, 1024)).astype(np.float32)
    for method, note in (
        ("projections", ""),
        (
            "total_variation",
            "Five inner steps of the total variation on each iteration are not in the floor.",
        ),
    ):
        floor_name, floor = transforms((1024, 1024), diffraction_reach(500e-6, **OPTICS), 2 + 4 * 5)
        yield Case(
            name=f"holograms: one of 1024x1024, 5 iterations, {method.replace('_', ' ')}",
            ours=lambda method=method: reconstruct_single(
                frame, 500e-6, method=method, iterations=5, workers=THREADS, **OPTICS
            ),
            floor_name=floor_name,
            floor=floor,
            note=note,
        )
    whole = np.random.default_rng(0).uniform(0.8, 1.2, (2464, 3280)).astype(np.float32)
    yield Case(
        name="holograms: one of 2464x3280 in tiles, 2 iterations",
        ours=lambda: reconstruct_single(
            whole, 500e-6, iterations=2, memory=400 * 2**20, workers=THREADS, **OPTICS
        ),
        extra_memory_at_most=2**30 - 100 * 2**20,
        note="A Pi has 1 GiB for it; Python and the libraries take 100 MiB of that.",
    )


def shifts() -> Iterator[Case]:
    """Sub-pixel shifts of eight frames."""
    peers: dict[str, Run | str]
    try:
        import skimage
        from skimage.registration import phase_cross_correlation

        def peer() -> Array:
            frames = moved()[1]
            found = [phase_cross_correlation(frames[0], frame, upsample_factor=100)[0] for frame in frames]
            return np.array(found)

        peers = {f"scikit-image {skimage.__version__}": peer}
    except ImportError as error:
        peers = {"scikit-image": f"not installed ({error})"}
    yield Case(
        name="holograms: shifts of 8 frames of 256x256",
        ours=lambda: estimate_shifts(moved()[1], workers=THREADS),
        peers=peers,
        error=lambda found: float(np.abs(found - moved()[0]).max()),
        error_name="largest error in pixels",
        error_at_most=0.01,
    )


def phases() -> Iterator[Case]:
    """A noisy bump of ten turns, of which some loops are broken."""
    y, x = np.meshgrid(np.linspace(-1, 1, 512), np.linspace(-1, 1, 512), indexing="ij")
    true = 60 * np.exp(-(x**2 + y**2) / 0.3)
    noisy = np.angle(np.exp(1j * (true + 0.6 * np.random.default_rng(0).standard_normal(true.shape))))

    def apart(found: Array) -> float:
        turns = np.rint((found - true) / (2 * np.pi))
        return 100 * float(np.mean(turns != np.median(turns)))

    peers: dict[str, Run | str]
    try:
        import skimage
        from skimage.restoration import unwrap_phase as theirs

        peers = {f"scikit-image {skimage.__version__}": lambda: theirs(noisy)}
    except ImportError as error:
        peers = {"scikit-image": f"not installed ({error})"}
    yield Case(
        name="holograms: phase of 512x512 unwrapped, noise of 0.6 rad",
        ours=lambda: unwrap_phase(noisy, workers=THREADS),
        peers=peers,
        error=apart,
        error_name="pixels that are off by a turn, %",
        note=(
            "scikit-image's quality-guided unwrapping visits each pixel once, in compiled code; ours solves the "
            "whole picture again and again."
        ),
    )


def cases() -> Iterator[Case]:
    """All of them."""
    yield from several_heights()
    yield from one_hologram()
    yield from shifts()
    yield from phases()
