"""X-space equations against the simulated signal, and a disc from them."""

import numpy as np
import pytest

from nixel.physics.grid import Grid
from nixel.physics.mpi import DriveField, Particles, ReceiveCoils, signal
from nixel.physics.phantoms import Phantom
from nixel.reconstruction.mpi import FISTA
from nixel.reconstruction.mpi.xspace import reconstruct
from nixel.reconstruction.mpi.xspace_model import equations

PARTICLES = Particles()


def motion(drive, gradient):
    """Field-free point of G x + B(t) = 0 and its velocity."""
    times = drive.times()
    return -drive.field(times) / gradient, -drive.field_rate(times) / gradient


@pytest.mark.parametrize(
    ("dividers", "gradient", "shape"),
    [((102, 96), (-1.25, 2.5), (9, 11)), ((22, 20, 18), (-1.25, -1.25, 2.5), (5, 6, 7))],
)
def test_the_equations_hold_for_the_simulated_signal(dividers, gradient, shape):
    # A smooth concentration on a fine grid, whose means are the solution on the coarse one; Lissajous trajectories,
    # which cross a cell in many directions.
    axes = len(dividers)
    drive = DriveField(2.5e6, dividers, (9e-3,) * axes)
    grid = Grid(shape, tuple(n * 2e-3 for n in shape), thickness=1e-3)
    fine = grid.refined(3)
    where = fine.positions()
    iron = 100 * np.exp(-np.sum((where / 3.5e-3) ** 2, axis=-1)) * (1 + where[:, 0] / 10e-3)
    split = iron.reshape([each for n in shape for each in (n, 3)])
    truth = split.mean(axis=tuple(range(1, 2 * axes, 2))).ravel()
    u = signal(
        iron,
        where,
        drive,
        gradient,
        PARTICLES,
        coils=ReceiveCoils((1000.0,) * axes),
        voxel_volume=fine.voxel_volume,
    )
    positions, velocity = motion(drive, np.array(gradient))
    matrix, measured = equations(
        u[None], positions[None], velocity[None], grid.axes(), gradient=gradient, particles=PARTICLES,
        sensitivity=1000.0, thickness=1e-3 if axes == 2 else None, lost_dc=False,
    )  # fmt: skip
    assert matrix.shape == (len(measured), grid.voxels)
    assert np.linalg.norm(matrix @ truth - measured) < 0.02 * np.linalg.norm(measured)


def test_a_disc_comes_back_flat():
    # Phantom: a disc of 14 mm, 1 mm thick, 100 mol/m^3. Trajectory: 27 lines along x, 1 mm apart, of 7 partial fields
    # of view of 12 mm (15 mT, 25 kHz, 2.5 T/m), 4 mm apart: 36 mm x 26 mm. The fundamental of each is filtered out;
    # then white noise of 1 % of the filtered signal's peak is added. Region of the plateau: 2 mm (1.15 full widths of
    # L') and more from the edge.
    gradient = np.array([-2.5, -2.5])
    drive = DriveField(2.5e6, (100, 100), (15e-3, 0.0))
    fine = Grid((32, 32), (16e-3, 16e-3), thickness=1e-3)
    iron = (
        Phantom("disc", lambda x, y, z: np.where(np.hypot(x, y) < 7e-3, 100.0, 0.0)).rasterise(fine).ravel()
    )
    centres = np.array([(x, y) for y in np.arange(-13, 14) * 1e-3 for x in np.arange(-3, 4) * 4e-3])
    u = np.stack(
        [
            signal(
                iron,
                fine.positions(),
                drive,
                gradient,
                PARTICLES,
                voxel_volume=fine.voxel_volume,
                focus=-gradient * centre,
            )
            for centre in centres
        ]
    )
    spectrum = np.fft.rfft(u, axis=-1)
    spectrum[..., :2] = 0
    u = np.fft.irfft(spectrum, n=100, axis=-1)
    u += 0.01 * np.abs(u).max() * np.random.default_rng(0).standard_normal(u.shape)
    positions, velocity = motion(drive, gradient)
    positions = positions + centres[:, None]
    velocity = np.broadcast_to(velocity, positions.shape)
    axes = (np.arange(-13, 14) * 1e-3, np.arange(-17, 18) * 1e-3)
    measurement = [each.astype(np.float32) for each in (u, positions, velocity)]
    matrix, measured = equations(
        *measurement, axes, gradient=gradient, particles=PARTICLES, sensitivity=1000.0, thickness=1e-3
    )
    assert matrix.dtype == np.complex64
    found = FISTA(matrix, total_variation=3e-3, grid=(27, 35)).solve(measured, 150).reshape(27, 35)
    r = np.hypot(axes[0][:, None], axes[1])
    plateau = found[r <= 5e-3]
    np.testing.assert_allclose(plateau, plateau.mean(), rtol=0.02)
    assert plateau.mean() == pytest.approx(100.0, rel=0.03)
    assert found[r > 9e-3].max() < 2.0
    # The gridded picture is a dome in a haze.
    zero = np.zeros(r.shape, dtype=bool)
    zero[:, [0, -1]] = True
    gridded = reconstruct(*measurement, axes, gradient=gradient, zero=zero).image
    assert gridded[r <= 5e-3].max() > 1.1 * gridded[r <= 5e-3].min()


PHASE = np.linspace(0, 2 * np.pi, 50, endpoint=False)
GOOD = {
    "signal": np.ones((1, 2, 50)),
    "positions": np.stack([np.sin(PHASE), np.cos(PHASE)], axis=-1)[None],
    "velocity": np.stack([np.cos(PHASE), -np.sin(PHASE)], axis=-1)[None],
    "axes": [np.linspace(-1, 1, 5)] * 2,
    "gradient": (1.0, 1.0),
    "particles": PARTICLES,
    "sensitivity": 1000.0,
    "thickness": 1e-3,
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"thickness": None}, "axes: expected three, or two and a thickness"),
        ({"sensitivity": 0.0}, "sensitivity: expected a positive number"),
        ({"oversampling": 0}, "oversampling: expected one point"),
        ({"signal": np.ones((1, 2, 50), dtype=int)}, "signal: expected float32 or float64"),
        ({"positions": np.ones((1, 49, 2))}, "positions: expected the velocity's shape"),
    ],
)
def test_bad_input_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        equations(**(GOOD | changed))
