"""Field-free-line reconstruction against closed forms and a simulated scanner with a filter and noise."""

import numpy as np
import pytest
from scipy.integrate import quad

from nixel.physics.grid import Grid
from nixel.physics.mpi import Particles, ProjectionDrive, signal, system_matrix
from nixel.physics.phantoms import Phantom
from nixel.reconstruction.mpi.ffl import (
    JointReconstruction,
    filtered_back_projection,
    langevin_spectrum,
    projections,
)

PARTICLES = Particles()
GRADIENT = 2.5
REACH = 16e-3  # of the sweep, in m
BLUR = 1 / (PARTICLES.xi_per_tesla * GRADIENT)  # xi = 1: 0.417 mm
DIVIDER = 250  # 10 kHz at 2.5 MHz
AXIS = np.arange(-30, 31) * 0.5e-3
FREQUENCIES = np.fft.rfftfreq(DIVIDER, 1 / 2.5e6)


def sweep(angles, divider=DIVIDER):
    """Offset of the line along its normal, g s + B(t) = 0, and its rate, the same at all angles."""
    phase = 2 * np.pi * np.arange(divider) / divider
    offsets, speeds = -REACH * np.sin(phase), -REACH * np.cos(phase) * 2 * np.pi * 2.5e6 / divider
    return np.broadcast_to(offsets, (len(angles), divider)), np.broadcast_to(speeds, (len(angles), divider))


def scan(angles, positions, concentration, voxel_volume, divider=DIVIDER):
    drive = ProjectionDrive(2.5e6, divider, GRADIENT * REACH, tuple(angles))
    u = signal(concentration, positions, drive, drive.line(GRADIENT), PARTICLES, voxel_volume=voxel_volume)
    return np.swapaxes(u.reshape(2, len(angles), divider), 0, 1)


def disc(grid, centre, radius, value=100.0):
    def concentration(x, y, z):
        return np.where(np.hypot(x - centre[0], y - centre[1]) < radius, value, 0.0)

    return Phantom("disc", concentration).rasterise(grid).ravel()


def measured(u, noise, seed):
    """Without the fundamental of each angle, with white noise of `noise` times the peak of what is left."""
    spectrum = np.fft.rfft(u, axis=-1)
    spectrum[..., :2] = 0
    u = np.fft.irfft(spectrum, n=u.shape[-1], axis=-1)
    return u + noise * np.abs(u).max() * np.random.default_rng(seed).standard_normal(u.shape)


@pytest.mark.parametrize("frequency", [0.0, 1e-3, 0.05, 0.2, 0.7])
def test_spectrum_of_the_langevin_derivative(frequency):
    def half(xi):
        return 0.5 / 3 if xi < 1e-3 else 0.5 / xi**2 - 0.5 / np.sinh(min(xi, 300)) ** 2

    if frequency == 0:
        expected = 2 * (quad(half, 0, 20, epsabs=1e-12)[0] + 0.5 / 20)  # beyond 20 it is 1/(2 xi^2)
    else:
        near = quad(half, 0, 20, weight="cos", wvar=2 * np.pi * frequency, epsabs=1e-11)[0]
        far = quad(half, 20, np.inf, weight="cos", wvar=2 * np.pi * frequency, epsabs=1e-11)[0]
        expected = 2 * (near + far)
    assert langevin_spectrum(np.array([frequency]))[0] == pytest.approx(expected, abs=1e-7)


def test_projection_of_a_point_is_the_blur_where_its_line_is():
    angles = np.array([0.0, 0.4, np.pi / 2, 2.5])
    point = np.array([3.1e-3, -1.7e-3])
    divider = 10000  # slow: samples at most 10 um apart, so that the cells of 0.1 mm are full
    u = scan(angles, point[None], np.array([50.0]), 1e-9, divider)
    axis = np.arange(-120, 121) * 0.1e-3
    found = projections(
        u, angles, *sweep(angles, divider), axis, gradient=GRADIENT, particles=PARTICLES, sensitivity=1000.0,
        recover_dc=False,
    )  # fmt: skip
    normal = np.stack([-np.sin(angles), np.cos(angles)], axis=-1)
    xi = (axis - (normal @ point)[:, None]) / BLUR
    with np.errstate(invalid="ignore", divide="ignore"):
        derivative = np.where(np.abs(xi) < 1e-3, 1 / 3, 1 / xi**2 - 1 / np.sinh(xi) ** 2)
    expected = 50.0 * 1e-9 * derivative / (2 * BLUR)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.005 * expected.max())


@pytest.mark.parametrize("uneven", [False, True])
def test_back_projection_of_the_chords_of_a_disc(uneven):
    centre, radius = np.array([2e-3, -3e-3]), 6e-3
    angles = np.arange(120) * np.pi / 120
    if uneven:  # twice as dense on one side, out of order, and some turned by half a turn
        angles = np.concatenate(
            [np.linspace(0, np.pi / 2, 120, endpoint=False), np.linspace(np.pi / 2, np.pi, 61)[:-1]]
        )
        angles = np.random.default_rng(0).permutation(angles + np.pi * (np.arange(180) % 3 == 0))
    axis = np.arange(-85, 86) * 0.2e-3
    # Offsets change sign with the normal; what turns by half a turn sees the same chords from the other side.
    middle = centre @ np.stack([-np.sin(angles), np.cos(angles)])
    chords = 2 * np.sqrt(np.maximum(radius**2 - (axis - middle[:, None]) ** 2, 0)) * 7.0
    y, x = np.arange(-20, 21) * 0.5e-3, np.arange(-24, 25) * 0.5e-3
    found = filtered_back_projection(chords, angles, axis, (y, x))
    r = np.hypot(y[:, None] - centre[1], x - centre[0])
    np.testing.assert_allclose(found[r < radius - 1e-3], 7.0, rtol=0.01)
    np.testing.assert_allclose(found[r > radius + 1e-3], 0.0, atol=0.02 * 7.0)


@pytest.fixture(scope="module")
def scanned_disc():
    angles = np.arange(36) * np.pi / 36
    fine = Grid((46, 46), (18.4e-3, 18.4e-3), thickness=1e-3)
    concentration = disc(fine, (1e-3, -0.5e-3), 7e-3)
    return angles, scan(angles, fine.positions(), concentration, fine.voxel_volume)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_plateau_comes_back_flat_and_quantitative(scanned_disc, dtype):
    # Phantom: a disc of 14 mm, 1 mm thick, 100 mol/m^3, beside the centre. Trajectory: 36 angles, a sweep of 32 mm at
    # each. The fundamental is filtered out, noise of 1 % of the filtered signal's peak added. Region of the plateau:
    # 3 mm (7 widths of xi = 1, 1.7 full widths of L') and more from the disc's edge.
    angles, u = scanned_disc
    offsets, speeds = sweep(angles)
    frames = measured(u, 0.01, 0).astype(dtype)
    sinogram = projections(
        frames, angles.astype(dtype), offsets.astype(dtype), speeds.astype(dtype), AXIS, gradient=GRADIENT,
        particles=PARTICLES, sensitivity=1000.0,
    )  # fmt: skip
    y = x = np.arange(-20, 21) * 0.5e-3
    found = filtered_back_projection(
        sinogram, angles.astype(dtype), AXIS, (y, x), blur=BLUR, regularisation=0.1
    )
    assert found.dtype == dtype
    r = np.hypot(y[:, None] + 0.5e-3, x - 1e-3)
    plateau = found[r < 4e-3] / 1e-3  # per slice thickness
    np.testing.assert_allclose(plateau, plateau.mean(), rtol=0.02)
    assert plateau.mean() == pytest.approx(100.0, rel=0.03)
    assert np.abs(found[(r > 9e-3) & (r < 13e-3)]).max() / 1e-3 < 3.0
    # Blurred, it is neither: the tails of L' take from the inside.
    blurred = filtered_back_projection(sinogram, angles.astype(dtype), AXIS, (y, x))[r < 4e-3] / 1e-3
    assert blurred.mean() < 95.0


def test_partial_fields_of_the_line_are_joined():
    # Two sweeps of 20 mm at each angle, 8 mm apart, each without its fundamental, against one of 32 mm that lost
    # nothing.
    angles = np.array([0.3, 1.4])
    axis = np.arange(-26, 27) * 0.5e-3
    grid = Grid((12, 12), (6e-3, 6e-3))
    concentration = disc(grid, (0.0, 0.0), 2.5e-3)
    divider = 2000
    drive = ProjectionDrive(2.5e6, divider, GRADIENT * 10e-3, tuple(angles))
    phase = 2 * np.pi * np.arange(divider) / divider
    frames, places = [], []
    for shift in (-4e-3, 4e-3):
        # What moves the line by a shift along each normal is the phantom moved the other way, angle by angle.
        parts = []
        for number, angle in enumerate(angles):
            normal = np.array([-np.sin(angle), np.cos(angle)])
            u = signal(
                concentration, grid.positions() - shift * normal, drive, drive.line(GRADIENT), PARTICLES,
                voxel_volume=grid.voxel_volume,
            )  # fmt: skip
            parts.append(u.reshape(2, 2, divider)[:, number])
        frames.append(np.stack(parts))
        places.append(np.broadcast_to(shift - 10e-3 * np.sin(phase), (2, divider)))
    speeds = np.broadcast_to(-10e-3 * 2 * np.pi * 2.5e6 / divider * np.cos(phase), (2, 2, divider))
    of = {"gradient": GRADIENT, "particles": PARTICLES, "sensitivity": 1000.0}
    joined = projections(
        measured(np.stack(frames, axis=1), 0.0, 0), angles, np.stack(places, axis=1), speeds, axis, **of
    )
    whole = scan(angles, grid.positions(), concentration, grid.voxel_volume, divider)
    expected = projections(whole, angles, *sweep(angles, divider), axis, **of, recover_dc=False)
    # Apart from the value at the ends, which is taken for zero.
    np.testing.assert_allclose(joined, expected - expected[:, :1], rtol=0, atol=0.01 * expected.max())


@pytest.mark.parametrize("count", [12, 5])
def test_all_angles_in_one_system(count):
    # Two discs of 100 and 50 mol/m^3, simulated on a finer grid than the picture's; the fundamental is left out by the
    # band; noise of 1 % of the peak of the signal without it.
    angles = np.arange(count) * np.pi / count
    grid = Grid((25, 25), (20.4e-3, 20.4e-3))
    truth, iron = (
        disc(each, (3e-3, 2e-3), 3e-3) + disc(each, (-4e-3, -2e-3), 2.5e-3, 50.0)
        for each in (grid, grid.refined(3))
    )
    drive = ProjectionDrive(2.5e6, DIVIDER, GRADIENT * REACH, tuple(angles))
    matrix = 100 * system_matrix(  # of samples of 100 mol/m^3
        grid.positions(), drive, drive.line(GRADIENT), PARTICLES, voxel_volume=grid.voxel_volume,
        frequencies=np.arange(60), dtype=np.complex128,
    )  # fmt: skip
    frames = measured(scan(angles, grid.refined(3).positions(), iron, grid.refined(3).voxel_volume), 0.01, 2)
    spectra = np.fft.rfft(np.swapaxes(frames, 0, 1), axis=-1, norm="forward")[..., :60]
    # White noise of standard deviation s has coefficients of s / sqrt(samples).
    noise = 0.01 * np.abs(frames).max() / np.sqrt(DIVIDER)
    prepared = JointReconstruction.prepare(
        matrix, FREQUENCIES[:60], noise, band=(15e3, 1e6), relative_lambda=1e-3
    )
    found = prepared.apply(spectra, 100) * 100
    likeness = np.corrcoef(found, truth)[0, 1]
    assert likeness >= 0.97
    assert found.sum() == pytest.approx(truth.sum(), rel=0.05)
    twice = prepared.apply(np.stack([spectra, 2 * spectra]), 100) * 100
    np.testing.assert_allclose(twice, [found, 2 * found], rtol=1e-9, atol=1e-9)
    # Back-projection of so few angles has streaks.
    of = {"gradient": GRADIENT, "particles": PARTICLES, "sensitivity": 1000.0}
    sinogram = projections(frames, angles, *sweep(angles), AXIS, **of)
    streaked = filtered_back_projection(sinogram, angles, AXIS, grid.axes(), blur=BLUR, regularisation=0.1)
    assert np.corrcoef(streaked.ravel(), truth)[0, 1] < likeness


ANGLES = np.array([0.0, 1.0])
PROJECTIONS = {
    "signal": np.ones((2, 2, DIVIDER)),
    "angles": ANGLES,
    "offsets": sweep(ANGLES)[0],
    "speeds": sweep(ANGLES)[1],
    "axis": AXIS,
    "gradient": GRADIENT,
    "particles": PARTICLES,
    "sensitivity": 1000.0,
}
SINOGRAM = {"sinogram": np.ones((2, 61)), "angles": ANGLES, "axis": AXIS, "axes": (AXIS, AXIS)}
MATRIX = {
    "matrix": np.ones((2, 3, 5, 4), complex),
    "frequencies": np.arange(5.0),
    "noise": 0.1,
    "band": (1.0, 4.0),
}


@pytest.mark.parametrize(
    ("function", "good", "changed", "message"),
    [
        (
            projections,
            PROJECTIONS,
            {"signal": np.ones((2, 2, 9), int)},
            "signal: expected float32 or float64",
        ),
        (
            projections,
            PROJECTIONS,
            {"signal": np.ones((3, 2, DIVIDER))},
            r"signal: expected shape \(2, \[fields,\]",
        ),
        (projections, PROJECTIONS, {"speeds": np.ones((2, 9))}, r"speeds: expected shape \(2, 250\)"),
        (projections, PROJECTIONS, {"gradient": -1.0}, "gradient: expected a positive number"),
        (projections, PROJECTIONS, {"axis": 2 * AXIS}, "axis: expected offsets that the line sweeps over"),
        (
            filtered_back_projection,
            SINOGRAM,
            {"sinogram": np.ones((2, 60))},
            r"sinogram: expected shape \(2, 61\)",
        ),
        (filtered_back_projection, SINOGRAM, {"angles": ANGLES * np.nan}, "angles: expected finite numbers"),
        (filtered_back_projection, SINOGRAM, {"axes": (AXIS,)}, "axes: expected 2"),
        (filtered_back_projection, SINOGRAM, {"blur": 0.0}, "blur: expected a positive length"),
        (
            filtered_back_projection,
            SINOGRAM,
            {"regularisation": 0.0},
            "regularisation: expected a positive number",
        ),
        (filtered_back_projection, SINOGRAM, {"window": "hamming"}, "window: expected hann or ramp"),
        (
            JointReconstruction.prepare,
            MATRIX,
            {"matrix": np.ones((2, 3, 5, 4))},
            "matrix: expected complex values",
        ),
        (
            JointReconstruction.prepare,
            MATRIX,
            {"frequencies": np.arange(4.0)},
            r"frequencies: expected shape \(5,\)",
        ),
        (JointReconstruction.prepare, MATRIX, {"noise": 0.0}, "noise: expected positive"),
        (JointReconstruction.prepare, MATRIX, {"noise": 2.0}, "the best has 0.5"),
    ],
)
def test_bad_input_is_refused(function, good, changed, message):
    with pytest.raises(ValueError, match=message):
        function(**(good | changed))


def test_measurements_of_another_shape_are_refused():
    prepared = JointReconstruction.prepare(**MATRIX)
    with pytest.raises(ValueError, match=r"measured: expected shape \(\[frames,\] \(2, 3, 5\)\)"):
        prepared.apply(np.ones((2, 3, 4), complex))
