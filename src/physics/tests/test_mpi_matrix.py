"""System matrices against an independent dense model, and calibrations against what was put in."""

import tracemalloc

import numpy as np
import pytest
from scipy import constants

from nixel.physics.grid import Grid
from nixel.physics.mpi import (
    Drift,
    DriveField,
    FeedThrough,
    FieldFreePoint,
    Particles,
    ProjectionDrive,
    ReceiveCoils,
    calibrate,
    signal,
    system_function,
    system_matrix,
)

POINT = FieldFreePoint((-1.0, -1.0, 2.0))
DRIVE = DriveField(2.5e6, (102, 96), (12e-3, 12e-3))
SPACE = DriveField(2.5e6, (102, 96, 99), (12e-3, 12e-3, 12e-3))
GRID = Grid((4, 5), (16e-3, 20e-3))
PROJECTION = ProjectionDrive(2.5e6, 100, 12e-3, (0.0, 0.7, 1.9))
SMALL = DriveField(1e6, (16, 15, 14), (12e-3, 12e-3, 12e-3))


def dense_coefficients(drive, place, numbers, *, factor=lambda f: 1.0):
    """Fourier coefficients of -mu_0 V p dM/dt from the textbook's M(t), without its derivative.

    The coefficient of a derivative is i w times that of M; M is sampled 16 times as often, so that nothing is
    folded down.
    """
    times = np.arange(16 * drive.samples) / (16 * drive.base_frequency)
    field = drive.field(times) + np.array(POINT.gradients[: drive.axes]) * place
    strength = np.linalg.norm(field, axis=1)
    moment = 474e3 * np.pi / 6 * 25e-9**3
    xi = moment * strength / (constants.k * 293.15)
    alignment = np.where(xi < 1e-3, xi / 3, 1 / np.tanh(np.maximum(xi, 1e-3)) - 1 / np.maximum(xi, 1e-3))
    magnetisation = (
        474e3 * 0.231533 / (3 * 5175.0) * (alignment / np.maximum(strength, 1e-15))[:, None] * field
    )
    frequencies = numbers / (drive.samples / drive.base_frequency)
    spectrum = np.fft.fft(magnetisation, axis=0)[numbers] / len(times)
    rates = 2j * np.pi * frequencies[:, None] * spectrum * factor(frequencies)[:, None]
    return -constants.mu_0 * 1e-9 * 1000.0 * rates.T


@pytest.mark.parametrize("drive", [DRIVE, SPACE])
def test_chosen_frequencies_are_those_of_an_independent_model(drive):
    axes = drive.axes
    places = np.array([[3e-3, -4e-3, 2e-3], [0.0, 0.0, 0.0], [-9e-3, 7e-3, -4e-3]])[:, :axes]
    coils = ReceiveCoils((1000.0,) * axes, resonance=500e3, quality=2.0)
    turns = [drive.samples // divider for divider in drive.dividers]
    numbers = np.array([turns[0], 3 * turns[0], turns[1] * 2 + turns[0], 5 * turns[1] - 2 * turns[0]])
    found = system_matrix(
        places, drive, POINT, Particles(relaxation_time=1e-6), frequencies=numbers, coils=coils,
    )  # fmt: skip
    assert found.shape == (axes, 4, 3)

    def chain(f):
        ratio = f / 500e3
        return 1 / (1 - ratio**2 + 1j * ratio / 2.0) / (1 + 2j * np.pi * f * 1e-6)

    for voxel, place in enumerate(places):
        expected = dense_coefficients(drive, place, numbers, factor=chain)
        np.testing.assert_allclose(found[..., voxel], expected, atol=3e-5 * np.abs(expected).max())


def test_rows_and_all_frequencies_are_the_same_coefficients():
    whole = system_matrix(GRID.positions(), DRIVE, POINT, Particles(), dtype=np.complex64)
    assert whole.shape == (2, 817, 20)
    assert whole.dtype == np.complex64
    rows = np.array([[1, 40], [0, 33], [0, 816]])
    found = system_matrix(GRID.positions(), DRIVE, POINT, Particles(), frequencies=rows, dtype=np.complex64)
    np.testing.assert_array_equal(found, whole[rows[:, 0], rows[:, 1]])


def test_each_angle_of_a_projection_scan_has_spectra_of_its_own():
    arguments = (GRID.positions(), PROJECTION, PROJECTION.line(2.0), Particles())
    found = system_matrix(*arguments, frequencies=[1, 2, 3])
    assert found.shape == (2, 3, 3, 20)
    rows = np.array([[1, 2, 3], [0, 0, 1]])
    chosen = system_matrix(*arguments, frequencies=rows)
    np.testing.assert_array_equal(chosen, np.stack([found[1, 2, 2], found[0, 0, 0]]))
    # An angle for itself is a scan of one angle.
    alone = ProjectionDrive(2.5e6, 100, 12e-3, (0.7,))
    single = system_matrix(GRID.positions(), alone, alone.line(2.0), Particles(), frequencies=[1, 2, 3])
    np.testing.assert_allclose(found[:, 1], single, atol=1e-12 * np.abs(single).max())


def test_relaxation_and_resonance_settle_within_each_angle():
    # A delay longer than the sweep must not reach from one angle into the next.
    line = {
        "particles": Particles(relaxation_time=3e-5),
        "coils": ReceiveCoils(resonance=300e3, quality=20.0),
    }
    alone = ProjectionDrive(2.5e6, 100, 12e-3, (0.7,))
    place = np.array([[2e-3, 1e-3]])
    whole = signal(np.ones(1), place, PROJECTION, PROJECTION.line(2.0), **line)
    single = signal(np.ones(1), place, alone, alone.line(2.0), **line)
    np.testing.assert_allclose(whole[:, 100:200], single, atol=1e-12 * np.abs(single).max())


def test_threads_and_memory_change_nothing():
    places = Grid((5, 5, 5), (20e-3, 20e-3, 10e-3)).positions()
    concentration = np.random.default_rng(0).random(125)
    arguments = (SMALL, POINT, Particles(relaxation_time=1e-6))
    coils = ReceiveCoils((1000.0,) * 3)
    told = []
    one = system_matrix(places, *arguments, coils=coils, memory=1, progress=lambda *steps: told.append(steps))
    assert told == [(voxel, 125) for voxel in range(1, 126)]
    for options in ({"memory": 10**7}, {"workers": 3, "memory": 10**6}):
        np.testing.assert_array_equal(system_matrix(places, *arguments, coils=coils, **options), one)
    u = [
        signal(concentration, places, *arguments, coils=coils, workers=workers, memory=10**6)
        for workers in (1, 3)
    ]
    np.testing.assert_array_equal(u[0], u[1])
    f = [system_function(places, *arguments, coils=coils, workers=workers) for workers in (1, 2)]
    np.testing.assert_array_equal(f[0], f[1])


def test_time_samples_of_all_voxels_are_never_held():
    places = np.tile(GRID.positions(), (40, 1))  # 800 voxels of 1632 samples in two channels: 20 MB
    out = np.zeros((2, 3, 800), dtype=np.complex64)
    tracemalloc.start()
    found = system_matrix(places, DRIVE, POINT, Particles(), frequencies=[33, 40, 50], memory=2**20, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is out
    assert np.abs(out).min() > 0
    assert peak < 3 * 2**20


def test_a_matrix_goes_into_a_file(tmp_path):
    out = np.lib.format.open_memmap(tmp_path / "matrix.npy", "w+", np.complex64, (2, 2, 20))
    system_matrix(GRID.positions(), DRIVE, POINT, Particles(), frequencies=[33, 40], out=out)
    out.flush()
    expected = system_matrix(
        GRID.positions(), DRIVE, POINT, Particles(), frequencies=[33, 40], dtype=np.complex64
    )
    np.testing.assert_array_equal(np.load(tmp_path / "matrix.npy"), expected)


def calibration(**options):
    return calibrate(GRID, DRIVE, POINT, Particles(), **options)


def test_a_calibration_without_noise_adds_up_to_a_full_bore():
    # Samples side by side fill the slice: the sum of their spectra is that of the homogeneous slice.
    found = calibration(concentration=50.0, points=4)
    fine = GRID.refined(4)
    slab = signal(
        np.full(fine.voxels, 50.0),
        fine.positions(),
        DRIVE,
        POINT,
        Particles(),
        voxel_volume=fine.voxel_volume,
    )
    expected = np.fft.rfft(slab, axis=-1, norm="forward")
    # The slab is summed at midpoints, the samples by Gauss-Legendre: they differ by the midpoints' error.
    np.testing.assert_allclose(found.matrix().sum(axis=0), expected, atol=1e-2 * np.abs(expected).max())
    assert found.voxel_concentration == pytest.approx(50.0)
    half = calibration(concentration=50.0, sample_size=(4e-3, 4e-3, 0.5e-3))
    assert half.voxel_concentration == pytest.approx(25.0)
    whole = calibration(concentration=50.0)
    np.testing.assert_allclose(half.measured, whole.measured / 2, rtol=1e-12)


def test_interleaved_background_removes_a_trend_exactly():
    through = FeedThrough((5e-3, 1e-3)).voltage(DRIVE, 2)
    clean = calibration().matrix()
    # Times of voxels lie between those of visits, and a trend is linear in time.
    drifting = calibration(background=through, drift=Drift(trend=1e-2), background_frames=2)
    assert np.abs(drifting.measured - clean).max() > 1e-3
    np.testing.assert_allclose(drifting.matrix(), clean, atol=1e-15)
    np.testing.assert_allclose(
        drifting.background[0], np.fft.rfft(through, norm="forward") * (1 + 1e-2 * DRIVE.period / 2), rtol=1e-9,
        atol=1e-18,
    )  # fmt: skip


def test_the_robot_goes_row_by_row_with_the_empty_bore_in_between():
    found = calibration(
        background_every=2, background_frames=3, averages=10, move_time=0.1, exchange_time=1.0
    )
    assert len(found.background) == 9  # before rows 1 and 3, and at the end
    assert (np.diff(found.times) > 0).all()
    before = [int(np.sum(found.times < time)) for time in found.background_times]
    assert before == [0, 0, 0, 10, 10, 10, 20, 20, 20]
    frame = 10 * DRIVE.period
    np.testing.assert_allclose(np.diff(found.times[:5]), frame + 0.1)
    assert found.background_times[0] == pytest.approx(frame / 2)
    np.testing.assert_allclose(found.frequencies, np.arange(817) * 2.5e6 / 1632)


def test_noise_of_a_calibration_is_the_densitys_over_the_averages():
    density = 4e-18
    found = calibration(density=density, averages=4, background_frames=200, background_every=4)
    expected = np.sqrt(density * 2.5e6 / (2 * 1632) / 4)
    noise = found.noise()[:, 1:-1]
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(expected, rel=4 / np.sqrt(400 * 1630))
    # Signal-to-noise: the mean magnitude of the coefficients over that.
    clean = np.abs(calibration().matrix()).mean(axis=0)[:, 1:-1]
    strong = clean > 50 * expected
    assert strong.sum() > 50
    ratio = found.signal_to_noise()[:, 1:-1][strong] / (clean[strong] / expected)
    # The noise's estimate from 400 differences of neighbours scatters by about 1/20 of its root of two.
    np.testing.assert_allclose(ratio, 1.0, atol=0.25)
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.02)
    # Where there is no signal the mean magnitude of complex noise is sqrt(pi)/2 of its standard deviation.
    loud = calibration(density=1.0, background_frames=200, background_every=4)
    assert np.mean(loud.signal_to_noise()[:, 1:-1]) == pytest.approx(np.sqrt(np.pi) / 2, rel=0.01)


def test_a_calibration_repeats_with_its_seed_and_for_any_choice_of_frequencies():
    options = {"density": 1e-18, "background": FeedThrough((1e-3,)).voltage(DRIVE, 2)}
    one, same, other = (calibration(**options, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.measured, same.measured)
    assert not np.array_equal(one.background, other.background)
    some = calibration(**options, seed=1, frequencies=[33, 50])
    np.testing.assert_array_equal(some.measured, one.measured[..., [33, 50]])
    np.testing.assert_array_equal(some.background, one.background[..., [33, 50]])


def test_a_projection_scanner_is_calibrated_angle_by_angle():
    found = calibrate(GRID, PROJECTION, PROJECTION.line(2.0), Particles(), density=1e-18, frequencies=[1, 3])
    assert found.measured.shape == (20, 2, 3, 2)
    assert found.background.shape == (5, 2, 3, 2)
    assert found.signal_to_noise().shape == (2, 3, 2)


def test_a_volume_is_calibrated():
    grid = Grid((2, 3, 4), (4e-3, 6e-3, 8e-3))
    told = []
    found = calibrate(
        grid, SMALL, POINT, Particles(), coils=ReceiveCoils((1000.0,) * 3), frequencies=[105, 112, 120],
        background_every=3, points=2, memory=1, dtype=np.complex64, progress=lambda *steps: told.append(steps),
    )  # fmt: skip
    assert found.measured.shape == (24, 3, 3)
    assert found.measured.dtype == np.complex64
    assert len(found.background) == 3
    assert told == [(step, 9 * 24) for step in range(1, 9 * 24 + 1)]


ARGUMENTS = (GRID.positions(), DRIVE, POINT, Particles())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: system_matrix(*ARGUMENTS, frequencies=[817]), "expected numbers of zero or more below"),
        (lambda: system_matrix(*ARGUMENTS, frequencies=[-1]), "expected numbers of zero or more below"),
        (lambda: system_matrix(*ARGUMENTS, frequencies=[1.5]), "frequencies: expected integers"),
        (lambda: system_matrix(*ARGUMENTS, frequencies=np.zeros((3, 4), int)), r"rows \(channel, number\)"),
        (lambda: system_matrix(*ARGUMENTS, frequencies=[[2, 5]]), "expected numbers of zero or more below"),
        (lambda: system_matrix(*ARGUMENTS, dtype=np.float32), "dtype: expected complex64 or complex128"),
        (lambda: system_matrix(*ARGUMENTS, out=np.zeros((2, 3), complex)), "out: expected complex values of"),
        (lambda: system_matrix(np.zeros((0, 2)), *ARGUMENTS[1:]), r"positions: expected shape \(voxels, 2\)"),
        (lambda: system_matrix(*ARGUMENTS, memory=0), "memory: expected a positive number of bytes"),
        (lambda: system_matrix(*ARGUMENTS, workers=0), "workers: expected a number of threads"),
        (lambda: system_matrix(*ARGUMENTS, voxel_volume=0.0), "voxel_volume: expected a positive number"),
        (lambda: calibration(averages=0), "averages: expected a positive number"),
        (lambda: calibration(concentration=-1.0), "concentration: expected a positive number"),
        (lambda: calibration(sample_size=(1e-3,)), r"sample_size: expected positive lengths \(x, y, z\)"),
        (lambda: calibration(move_time=-1.0), "move_time, exchange_time: expected zero or more"),
        (
            lambda: calibration(background=np.zeros(3)),
            r"background: expected finite values of shape \(2, 1632\)",
        ),
        (
            lambda: calibration(frequencies=[[1, 2]]),
            r"frequencies: expected numbers of shape \(frequencies,\)",
        ),
        (lambda: calibration(background_every=10).noise(), "background: expected three frames or more"),
    ],
)
def test_bad_calls_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
