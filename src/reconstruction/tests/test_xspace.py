"""X-space reconstruction against the closed form of the signal, exact overlaps, and a simulated scanner."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import constants

from nixel.physics.grid import Grid
from nixel.physics.mpi import DriveField, Particles, ReceiveCoils, signal
from nixel.reconstruction.mpi.xspace import reconstruct, velocity_compensated

PARTICLES = Particles()
LINE = DriveField(2.5e6, (100, 100), (15e-3, 0.0))
GRADIENT = (-2.5, -2.5)
# Width of xi = 1 at 2.5 T/m: 0.417 mm; the point spread function's full width at half maximum along the motion is
# 4.16105 times that, 1.737 mm.
FULL_WIDTH = 4.16105 / (PARTICLES.xi_per_tesla * 2.5)


def motion(drive, gradient):
    """Field-free point of G x + B(t) = 0 and its velocity."""
    times = drive.times()
    return -drive.field(times) / gradient, -drive.field_rate(times) / gradient


def spread(xi, direction):
    """Point spread function b.h b of the field xi (in units of kT/m) for motion of the field along `direction`."""
    size = np.linalg.norm(xi, axis=-1)
    along = np.sum(xi * direction, axis=-1) / size
    langevin = 1 / np.tanh(size) - 1 / size
    derivative = 1 / size**2 - 1 / np.sinh(size) ** 2
    return derivative * along**2 + langevin / size * (1 - along**2)


def without_fundamental(frames):
    """An ideal high-pass above the drive frequency of frames that are one period of it."""
    spectrum = np.fft.rfft(frames, axis=-1)
    spectrum[..., :2] = 0
    return np.fft.irfft(spectrum, n=frames.shape[-1], axis=-1)


@pytest.mark.parametrize(
    ("dividers", "gradient"),
    [((102, 96), (-1.25, -1.25)), ((102, 96), (-1.25, 2.5)), ((20, 18, 16), (-1.25, -1.25, 2.5))],
)
def test_compensated_signal_of_a_point_is_the_point_spread_function(dividers, gradient):
    axes = len(dividers)
    drive = DriveField(2.5e6, dividers, (11e-3, 12e-3, 13e-3)[:axes])
    point = np.array([1.3e-3, -2.1e-3, 0.7e-3])[:axes]
    u = signal(
        np.array([50.0]), point[None], drive, gradient, PARTICLES, coils=ReceiveCoils((1000.0,) * axes)
    )
    positions, velocity = motion(drive, gradient)
    values, weights = velocity_compensated(u, velocity, gradient=gradient)
    rate = velocity * gradient
    direction = rate / np.linalg.norm(rate, axis=-1, keepdims=True)
    xi = PARTICLES.xi_per_tesla * (point - positions) * gradient
    scale = constants.mu_0 * 1000.0 * 1e-9 * 50.0 * PARTICLES.magnetisation_per_iron * PARTICLES.xi_per_tesla
    moving = weights > 0
    assert moving.mean() > 0.9
    np.testing.assert_allclose(values[moving], scale * spread(xi, direction)[moving], rtol=1e-6)
    np.testing.assert_allclose(weights[moving], np.sum(rate**2, axis=-1)[moving])
    assert not values[~moving].any()


def test_without_a_gradient_it_is_the_projection_on_the_velocity():
    rng = np.random.default_rng(0)
    u, velocity = rng.standard_normal((3, 2, 50)), rng.standard_normal((3, 50, 2))
    values, weights = velocity_compensated(u, velocity, minimum_speed=1e-6)
    speed = np.hypot(velocity[..., 0], velocity[..., 1])
    projected = (u[:, 0] * velocity[..., 0] + u[:, 1] * velocity[..., 1]) / speed
    np.testing.assert_allclose(values, projected / speed)
    np.testing.assert_allclose(weights, speed**2)


def scan(lines, steps, phantom, concentration, *, drive=LINE, gradient=GRADIENT, voxel_volume):
    """Partial fields of view along x, centred at each of `steps` on each of `lines` (the other coordinates)."""
    centres = np.array([(step, *line) for line in lines for step in steps])
    positions, velocity = motion(drive, gradient)
    coils = ReceiveCoils((1000.0,) * len(gradient))
    u = [
        signal(
            concentration,
            phantom,
            drive,
            gradient,
            PARTICLES,
            coils=coils,
            voxel_volume=voxel_volume,
            focus=focus,
        )
        for focus in -np.array(gradient) * centres
    ]
    positions = positions + centres[:, None, :]
    return np.stack(u), positions, np.broadcast_to(velocity, positions.shape)


def test_a_point_is_as_wide_as_published():
    # Goodwill and Conolly: L'(xi) along the motion, 4.16105 wide; L(xi)/xi across it, 9.46664.
    y = np.arange(-20, 21) * 0.2e-3
    x = np.arange(-30, 31) * 0.1e-3
    slow = DriveField(2.5e6, (1000, 1000), (15e-3, 0.0))
    u, positions, velocity = scan(
        [(each,) for each in y], [0.0], np.zeros((1, 2)), np.ones(1), drive=slow, voxel_volume=1e-9
    )
    found = reconstruct(u, positions, velocity, (y, x), gradient=GRADIENT, recover_dc=False).image

    def width(axis, profile):
        half = profile.max() / 2
        first, last = np.flatnonzero(profile >= half)[[0, -1]]
        left = np.interp(half, profile[first - 1 : first + 1], axis[first - 1 : first + 1])
        right = np.interp(-half, -profile[last : last + 2], axis[last : last + 2])
        return right - left

    unit = PARTICLES.xi_per_tesla * 2.5
    assert width(x, found[20]) * unit == pytest.approx(4.16105, rel=0.01)
    assert width(y, found[:, 30]) * unit == pytest.approx(9.46664, rel=0.01)


@pytest.fixture(scope="module")
def tube():
    """Signal, positions, velocity and grid of the scan that `test_a_plateau_comes_back_flat` describes."""
    fine = Grid((4, 160), (1e-3, 40e-3))
    lines, steps = np.arange(-3, 4) * 1e-3, np.arange(-6, 7) * 4e-3
    concentration = np.full(640, 100.0)
    scanned = scan(
        [(y,) for y in lines], steps, fine.positions(), concentration, voxel_volume=fine.voxel_volume
    )
    return (*scanned, (lines, np.arange(-60, 61) * 0.5e-3))


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_plateau_comes_back_flat(tube, noise):
    # Phantom: a tube along the drive axis, 40 mm x 1 mm, 100 mol/m^3, in the plane of the scan. Trajectory: lines
    # along x 1 mm apart; on each 13 partial fields of view of 12 mm (15 mT, 25 kHz, 2.5 T/m), 4 mm apart, over 60 mm.
    # The fundamental of each is filtered out; then white noise is added, with a standard deviation of 1 % of the
    # filtered signal's peak. Region of the plateau: on the tube's axis, 8 mm (4.6 full widths of the point spread
    # function) and more from its ends. They are felt in it as 1/xi, the tail of L': 0.9 % there without a filter.
    u, positions, velocity, axes = tube
    measured = without_fundamental(u)
    measured += noise * np.abs(measured).max() * np.random.default_rng(1).standard_normal(measured.shape)
    zero = np.zeros((7, 121), dtype=bool)
    zero[:, [0, -1]] = True
    found = reconstruct(measured, positions, velocity, axes, gradient=GRADIENT, zero=zero).image
    plateau = np.abs(axes[1]) <= 12.01e-3
    assert 4.5 * FULL_WIDTH < 20e-3 - 12e-3
    values = found[3, plateau]
    np.testing.assert_allclose(values, values.mean(), rtol=0.02)
    # The level is that of a receive path that takes nothing, but for the picture's own value at the edge, 10 mm from
    # the tube's end, which is taken for zero: the difference of two tails, (1/24 - 1/120)/2 = 1.7 % of the plateau.
    ideal = reconstruct(u, positions, velocity, axes, gradient=GRADIENT, recover_dc=False).image
    assert values.mean() == pytest.approx(ideal[3, plateau].mean(), rel=0.025)
    # Outside the tube it is dark, and without recovery there is no plateau at all.
    assert np.abs(found[3, np.abs(axes[1]) > 26e-3]).max() < 0.02 * values.mean()
    lost = reconstruct(measured, positions, velocity, axes, gradient=GRADIENT, recover_dc=False).image
    assert np.abs(lost[3, plateau].mean()) < 0.1 * values.mean()


def test_a_plateau_in_space_comes_back_flat():
    # The same tube, 1 mm x 1 mm thick, on 3 x 3 lines 1 mm apart in y and z: partial fields of view in three
    # dimensions, in the gradient of a real field-free point.
    gradient = (-2.5, -2.5, 5.0)
    drive = DriveField(2.5e6, (100, 100, 100), (15e-3, 0.0, 0.0))
    fine = Grid((2, 2, 80), (1e-3, 1e-3, 40e-3))
    lines, steps = np.arange(-1, 2) * 1e-3, np.arange(-6, 7) * 4e-3
    u, positions, velocity = scan(
        [(y, z) for z in lines for y in lines], steps, fine.positions(), np.full(fine.voxels, 100.0), drive=drive,
        gradient=gradient, voxel_volume=fine.voxel_volume,
    )  # fmt: skip
    measured = without_fundamental(u)
    measured += 0.01 * np.abs(measured).max() * np.random.default_rng(2).standard_normal(measured.shape)
    axes = (lines, lines, np.arange(-60, 61) * 0.5e-3)
    zero = np.zeros((3, 3, 121), dtype=bool)
    zero[..., [0, -1]] = True
    found = reconstruct(measured, positions, velocity, axes, gradient=gradient, zero=zero).image
    values = found[1, 1, np.abs(axes[2]) <= 12.01e-3]
    np.testing.assert_allclose(values, values.mean(), rtol=0.02)
    ideal = reconstruct(u, positions, velocity, axes, gradient=gradient, recover_dc=False).image
    assert values.mean() == pytest.approx(ideal[1, 1, 60], rel=0.025)


@dataclass(frozen=True)
class Sweep:
    """15 mT along x at 25 kHz, while a focus field moves evenly from -60 to 60 mT (48 mm)."""

    periods: int
    base_frequency: float = 2.5e6
    axes: int = 2
    segments: int = 1

    @property
    def samples(self):
        return 100 * self.periods

    def times(self):
        return np.arange(self.samples) / self.base_frequency

    def field(self, times):
        focus = 60e-3 * (2 * times * self.base_frequency / self.samples - 1)
        return np.stack([15e-3 * np.sin(2 * np.pi * 25e3 * times) + focus, 0 * times], axis=-1)

    def field_rate(self, times):
        focus = 120e-3 * self.base_frequency / self.samples
        rate = 15e-3 * 2 * np.pi * 25e3 * np.cos(2 * np.pi * 25e3 * times) + focus
        return np.stack([rate, 0 * times], axis=-1)


def test_a_plateau_swept_over_evenly_comes_back_flat():
    # One record of 60 periods, 0.8 mm apart, without all that is below 37.5 kHz; cut into periods.
    periods = 60
    drive = Sweep(periods)
    fine = Grid((4, 160), (1e-3, 40e-3))
    u = signal(
        np.full(640, 100.0), fine.positions(), drive, GRADIENT, PARTICLES, voxel_volume=fine.voxel_volume
    )
    spectrum = np.fft.rfft(u, axis=-1)
    spectrum[:, np.fft.rfftfreq(drive.samples, 1 / 2.5e6) < 37.5e3] = 0
    u = np.fft.irfft(spectrum, n=drive.samples, axis=-1)
    u += 0.01 * np.abs(u).max() * np.random.default_rng(0).standard_normal(u.shape)
    positions, velocity = (each.reshape(periods, 100, 2) for each in motion(drive, np.array(GRADIENT)))
    axes = (np.array([-1.0, 0.0, 1.0]) * 1e-3, np.arange(-58, 59) * 0.5e-3)
    zero = np.zeros((3, 117), dtype=bool)
    zero[:, [0, -1]] = True
    frames = np.swapaxes(u.reshape(2, periods, 100), 0, 1)
    found = reconstruct(frames, positions, velocity, axes, gradient=GRADIENT, zero=zero).image[1]
    values = found[np.abs(axes[1]) <= 12.01e-3]
    np.testing.assert_allclose(values, values.mean(), rtol=0.02)
    assert np.abs(found[np.abs(axes[1]) > 26e-3]).max() < 0.03 * values.mean()


def test_a_lissajous_trajectory_shows_where_the_samples_are():
    # Two points of 100 and 50, on 20 mm; each direction of motion blurs its own way.
    drive = DriveField(2.5e6, (102, 96), (25e-3, 25e-3))
    points = np.array([[-3e-3, 2e-3], [4e-3, -1e-3]])
    u = signal(np.array([100.0, 50.0]), points, drive, GRADIENT, PARTICLES)
    positions, velocity = motion(drive, np.array(GRADIENT))
    axes = (np.arange(-8, 9) * 1e-3, np.arange(-8, 9) * 1e-3)
    found = reconstruct(
        u[None], positions[None], velocity[None], axes, gradient=GRADIENT, recover_dc=False
    ).image
    assert np.unravel_index(np.nanargmax(found), found.shape) == (10, 5)
    found[:, :9] = np.nan
    assert np.unravel_index(np.nanargmax(found), found.shape) == (7, 12)


def overlapping(shape, size, step, rng, components):
    """Fields of `size` cells, `step` apart, of a picture with a dark edge, each with its own amount of what it lost."""
    picture = np.zeros(shape)
    inner = tuple(slice(1, -1) for _ in shape)
    picture[inner] = rng.random([n - 2 for n in shape])
    starts = np.stack(
        np.meshgrid(
            *(np.arange(0, n - m + 1, s) for n, m, s in zip(shape, size, step, strict=True)), indexing="ij"
        ),
        axis=-1,
    ).reshape(-1, len(shape))
    cells = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).reshape(-1, len(size))
    where = starts[:, None, :] + cells  # fields, samples, axes in array order
    amounts = rng.standard_normal((len(where), components))
    velocity = rng.uniform(1, 2, where.shape) * rng.choice([-1, 1], where.shape)
    return picture, where, velocity, amounts


@pytest.mark.parametrize(
    ("shape", "size", "step"),
    [((41,), (11,), (6,)), ((1 + 24, 31), (10, 11), (5, 5)), ((13, 17, 16), (5, 5, 6), (4, 4, 5))],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_overlaps_and_a_dark_edge_tell_the_lost_constants(shape, size, step, dtype):
    rng = np.random.default_rng(4)
    picture, where, velocity, amounts = overlapping(shape, size, step, rng, 1)
    axes = [(np.arange(n) - 3.0) * 2e-3 for n in shape]
    positions = np.stack(
        [axis[index] for axis, index in zip(axes, np.moveaxis(where, -1, 0), strict=True)][::-1], -1
    )
    seen = picture[tuple(np.moveaxis(where, -1, 0))] - amounts
    u = np.moveaxis(seen[..., None] * velocity, -1, -2)
    seen = []
    found = reconstruct(
        u.astype(dtype), positions.astype(dtype), velocity.astype(dtype), axes, minimum_speed=1e-3,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen[-1] == (len(where), len(where))
    assert found.image.dtype == dtype
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(found.image, picture, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.offsets, amounts, rtol=0, atol=tolerance)


def test_a_lost_fundamental_of_each_axis_is_found():
    # As a Lissajous trajectory loses it: per field, an amount of each axis' own velocity on its own channel.
    rng = np.random.default_rng(5)
    picture, where, velocity, amounts = overlapping((21, 26), (11, 11), (5, 5), rng, 2)
    axes = [np.arange(n) * 1e-3 for n in picture.shape]
    positions = np.stack([axes[1][where[..., 1]], axes[0][where[..., 0]]], axis=-1)
    voltage = picture[where[..., 0], where[..., 1]][..., None] * velocity
    lost = np.zeros((len(where), 2, 2, where.shape[1]))
    for axis in range(2):
        lost[:, axis, axis] = velocity[..., axis]
    u = np.moveaxis(voltage, -1, -2) - np.einsum("fm,fmct->fct", amounts, lost)
    found = reconstruct(u, positions, velocity, axes, minimum_speed=1e-3, lost=lost)
    np.testing.assert_allclose(found.image, picture, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.offsets, amounts, rtol=0, atol=1e-10)


def test_a_cell_is_the_weighted_mean_of_the_samples_around_it():
    # Two samples at 0.25 and 1.5 cells with speeds 1 and 2 (weights 1 and 4) and values 10 and 20. Centre 1 takes a
    # quarter of the first and half of the second; centre 3 sees nothing.
    positions = np.array([[[0.25], [1.5]]])
    velocity = np.array([[[1.0], [2.0]]])
    u = np.array([[[10.0, 40.0]]])
    found = reconstruct(u, positions, velocity, [np.arange(4.0)], recover_dc=False)
    np.testing.assert_allclose(found.image, [10, (0.25 * 10 + 2 * 20) / 2.25, 20, np.nan])
    np.testing.assert_allclose(found.weight, [0.75, 2.25, 2.0, 0.0])


TIMES = np.linspace(0, 2 * np.pi, 40, endpoint=False)
GOOD = {
    "signal": np.cos(TIMES)[None, None],
    "positions": np.sin(TIMES)[None, :, None],
    "velocity": np.cos(TIMES)[None, :, None],
    "axes": [np.linspace(-1, 1, 9)],
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"signal": GOOD["signal"].astype(np.int16)}, "signal: expected float32 or float64, found int16"),
        ({"signal": GOOD["signal"] * np.nan}, "signal: expected finite numbers"),
        ({"signal": GOOD["signal"][0]}, "signal: expected a non-empty array of 3 axes"),
        ({"positions": GOOD["positions"][:, 1:]}, r"positions: expected the velocity's shape \(1, 40, 1\)"),
        ({"velocity": GOOD["velocity"][:, 1:]}, r"velocity: expected shape .* = \(1, 40, 1\)"),
        ({"velocity": 0 * GOOD["velocity"]}, "field-free point that moves"),
        ({"axes": [np.array([0.0, 1.0, 3.0])]}, "evenly spaced, ascending"),
        ({"axes": [np.linspace(1, -1, 9)]}, "evenly spaced, ascending"),
        ({"axes": [np.arange(3.0)] * 2}, "axes: expected 1, one for each column"),
        ({"gradient": (0.0,)}, "gradient: expected 1 numbers other than zero"),
        ({"minimum_speed": 0.0}, "minimum_speed: expected a share between 0 and 1"),
        ({"zero": np.zeros(9)}, r"zero: expected booleans of shape \(9,\), found float64"),
        ({"zero": np.zeros(9, dtype=bool)}, "zero: expected every partial field of view to reach the edge"),
        ({"axes": [np.linspace(3, 5, 9)]}, "partial field of view 0 has no sample on the grid"),
        ({"lost": np.ones((1, 1, 2, 40))}, "lost: expected shape"),
    ],
)
def test_bad_input_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        reconstruct(**(GOOD | changed))


def test_a_field_beyond_all_overlaps_is_refused():
    # The second field lies between, and neither reaches the first nor the edge.
    positions = np.concatenate([0.2 * GOOD["positions"] - 0.8, 0.2 * GOOD["positions"]])
    signal, velocity = np.repeat(GOOD["signal"], 2, axis=0), np.repeat(GOOD["velocity"], 2, axis=0)
    with pytest.raises(ValueError, match="found some that do not"):
        reconstruct(signal, positions, velocity, [np.linspace(-1, 1, 41)])
