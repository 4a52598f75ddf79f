"""Concentration is quantitative: a dilution series comes back linear."""

import numpy as np
import pytest

from nixel.physics.grid import Grid
from nixel.physics.mpi import DriveField, Particles, signal, system_function
from nixel.reconstruction.mpi import SystemMatrixReconstruction, spectra, without_background

# mmol/l of iron, 100 to 5.85 in steps of 1.5.
CONCENTRATIONS = 100.0 / 1.5 ** np.arange(8)
CENTRE, RADIUS = (2.2e-3, -1.4e-3), 1.5e-3  # of the sample, in m


@pytest.fixture(scope="module")
def scanner():
    """Calibration, background and frequencies of a two-dimensional scanner, and how it measures a sample."""
    drive = DriveField(2.5e6, (102, 96), (12e-3, 12e-3))
    settings = (drive, (-1.25, -1.25, 2.5), Particles())
    rng = np.random.default_rng(41)
    sigma = 5e-6  # V, of a sample; a sample of 100 mmol/l peaks at 3 mV
    grid = Grid((19, 19), (19e-3, 19e-3))
    fine = grid.refined(3)
    x, y = fine.positions().T
    inside = np.hypot(x - CENTRE[0], y - CENTRE[1]) < RADIUS
    # The signal is linear in the concentration: a sample is simulated once, on a finer grid than the calibration's.
    unit = signal(inside.astype(float), fine.positions(), *settings, voxel_volume=fine.voxel_volume)
    iron = inside.sum() * fine.voxel_volume

    def noise(*shape):
        return sigma * rng.standard_normal((*shape, *unit.shape))

    offset = 1e-4 * rng.standard_normal(unit.shape)  # what the scanner picks up of itself
    matrix = np.moveaxis(system_function(grid.positions(), *settings, voxel_volume=grid.voxel_volume), -1, 0)
    background = spectra(noise(20) + offset)
    calibration = without_background(spectra(100.0 * matrix + noise(len(matrix)) + offset), background)
    frequencies = np.fft.rfftfreq(drive.samples, 1 / drive.base_frequency)
    measured = spectra(CONCENTRATIONS[:, None, None] * unit + noise(8) + offset)
    return grid, calibration, background, frequencies, without_background(measured, background), iron


def test_a_dilution_series_is_linear(scanner):
    grid, calibration, background, frequencies, measured, iron = scanner
    assert pytest.approx(5.85, abs=0.01) == CONCENTRATIONS[-1]
    noise = background - background.mean(axis=0)
    prepared = SystemMatrixReconstruction.prepare(calibration, noise, frequencies)
    pictures = prepared.apply(measured, 50)
    # The iron around the sample, as its concentration. Elsewhere, noise that may not be negative adds up to iron.
    x, y = grid.positions().T
    around = np.hypot(x - CENTRE[0], y - CENTRE[1]) < 2 * RADIUS
    found = pictures[:, around].sum(axis=1) * 100.0 * grid.voxel_volume / iron
    slope, intercept = np.polyfit(CONCENTRATIONS, found, 1)
    rest = found - slope * CONCENTRATIONS - intercept
    assert 1 - (rest**2).sum() / ((found - found.mean()) ** 2).sum() >= 0.99
    assert slope == pytest.approx(1, abs=0.05)
    # R^2 is made by the strong samples; each of the weak ones is right, too, and where it was.
    np.testing.assert_allclose(found, CONCENTRATIONS, rtol=0.1)
    brightest = pictures.argmax(axis=1)
    assert (np.hypot(x[brightest] - CENTRE[0], y[brightest] - CENTRE[1]) < RADIUS).all()
