"""X-space gridding beside the additions it cannot do without; filtered back-projection beside scikit-image's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from case import Case

from nixel.physics.mpi import DriveField
from nixel.reconstruction.mpi.ffl import filtered_back_projection
from nixel.reconstruction.mpi.xspace import reconstruct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from case import Run
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

GRADIENT, CELLS, PERIODS = 1.25, 100, 30
OFFSETS, ANGLES, STEP = 255, 180, 1e-4
# Of the discs in units of the offsets' step: centre (y, x), radius, density.
DISCS = (((0.0, 0.0), 90.0, 1.0), ((30.0, -20.0), 25.0, 0.5), ((-35.0, 25.0), 18.0, -0.7))


def cases() -> Iterator[Case]:
    """Yield the cases: one of each method."""
    yield gridding()
    yield back_projection()


def gridding() -> Case:
    """One field of view, a Lissajous figure of 30 periods, whose signal has the same value everywhere."""
    drive = DriveField(2.5e6, (102, 96), (12e-3, 12e-3))
    times = drive.times()
    positions = np.tile(-drive.field(times) / GRADIENT, (PERIODS, 1))[None]
    velocity = np.tile(-drive.field_rate(times) / GRADIENT, (PERIODS, 1))[None]
    # The voltage of an object that gives the value one at every place and in every direction.
    signal = np.ascontiguousarray(velocity.swapaxes(1, 2))
    # Wider than the figure: no sample falls beside the grid, and every one is added four times.
    edge = 1.05 * 12e-3 / GRADIENT
    axes = [np.linspace(-edge, edge, CELLS)] * 2
    rng = np.random.default_rng(1)
    index = rng.integers(0, CELLS**2, positions.shape[1])
    amounts = rng.random(positions.shape[1])

    def add() -> None:
        for _ in range(2 * 4):
            np.bincount(index, amounts, CELLS**2)

    return Case(
        name=f"x-space: gridding {positions.shape[1]} samples on {CELLS}x{CELLS}",
        ours=lambda: reconstruct(signal, positions, velocity, axes, recover_dc=False).image,
        floor_name="adding values and weights to four cells a sample",
        floor=add,
        error=lambda image: float(np.nanmax(np.abs(image - 1.0))),
        error_name="largest deviation from a flat picture of value 1",
        error_at_most=1e-10,
        note="The floor knows the cells and the shares of every sample beforehand.",
    )


def back_projection() -> Case:
    """Three discs, whose line integrals are chords."""
    angles = np.arange(ANGLES) * np.pi / ANGLES
    offsets = (np.arange(OFFSETS) - (OFFSETS - 1) / 2) * STEP
    sinogram = np.zeros((ANGLES, OFFSETS))
    y, x = offsets[:, None], offsets[None, :]
    truth, inside = np.zeros((OFFSETS, OFFSETS)), np.hypot(y, x) < 100 * STEP
    for (row, column), radius, density in DISCS:
        centre = (np.cos(angles) * row - np.sin(angles) * column)[:, None] * STEP
        half = np.sqrt(np.maximum((radius * STEP) ** 2 - (offsets - centre) ** 2, 0))
        sinogram += 2 * density * half
        distance = np.hypot(y - row * STEP, x - column * STEP) - radius * STEP
        truth += density * (distance < 0)
        # The edges themselves depend on the sampling.
        inside &= np.abs(distance) > 3 * STEP
    peer, run = _iradon(sinogram, angles)

    def error(picture: Array) -> float:
        return float(np.sqrt(np.mean((picture - truth)[inside] ** 2)))

    return Case(
        name=f"field-free line: filtered back-projection, {ANGLES} angles, {OFFSETS}x{OFFSETS}",
        ours=lambda: filtered_back_projection(sinogram, angles, offsets, [offsets, offsets]),
        peers={peer: run},
        error=error,
        error_name="root mean square, away from the edges, of discs of density 1",
        error_at_most=0.01,
        note="Both interpolate linearly, taper the ramp with a Hann window, and give values per cell's length.",
    )


def _iradon(sinogram: Array, angles: Array) -> tuple[str, Run | str]:
    try:
        import skimage
        from skimage.transform import iradon
    except ImportError as error:
        return "scikit-image", f"not installed ({error})"
    # Its angle turns the other way round: its picture is ours with the axes exchanged.
    columns, degrees = np.ascontiguousarray(sinogram.T) / STEP, np.degrees(angles)
    return f"scikit-image {skimage.__version__}", lambda: iradon(columns, degrees, filter_name="hann").T
