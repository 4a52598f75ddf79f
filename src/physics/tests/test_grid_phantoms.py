"""Grids in space and phantoms of known volume."""

import numpy as np
import pytest

from nixel.physics.grid import Grid
from nixel.physics.phantoms import (
    PHANTOMS,
    VOLUME_PHANTOMS,
    cuboid,
    cylinder,
    dilution_series,
    phantom,
    together,
)

VOLUME = Grid((24, 40, 40), (12e-3, 20e-3, 20e-3))


def test_a_volume_counts_x_fastest_and_z_slowest():
    grid = Grid((2, 3, 4), (2e-3, 6e-3, 12e-3))
    assert grid.spacing == pytest.approx((1e-3, 2e-3, 3e-3))
    assert grid.voxel_volume == pytest.approx(6e-9)
    assert grid.voxels == 24
    positions = grid.positions()
    assert positions.shape == (24, 3)
    np.testing.assert_allclose(positions[0], [-4.5e-3, -2e-3, -0.5e-3])
    np.testing.assert_allclose(positions[1] - positions[0], [3e-3, 0, 0], atol=1e-18)
    np.testing.assert_allclose(positions[4] - positions[0], [0, 2e-3, 0], atol=1e-18)
    np.testing.assert_allclose(positions[12] - positions[0], [0, 0, 1e-3], atol=1e-18)
    z, y, x = grid.axes()
    assert (len(z), len(y), len(x)) == (2, 3, 4)
    assert grid.refined(2) == Grid((4, 6, 8), (2e-3, 6e-3, 12e-3))


def test_a_dilution_series_goes_from_100_to_5_85_in_steps_of_1_5():
    series = dilution_series()
    np.testing.assert_allclose(series, [100, 66.67, 44.44, 29.63, 19.75, 13.17, 8.78, 5.85], atol=0.005)
    np.testing.assert_allclose(series[:-1] / series[1:], 1.5)


@pytest.mark.parametrize(
    ("name", "amount"),
    [
        ("cylinder", 100.0 * np.pi * 4e-3**2 * 12e-3),
        ("plateau", 50.0 * 10e-3**3),
        ("dilution", dilution_series().sum() * np.pi * 1.5e-3**2 * 10e-3),
        ("dilution-cubes", dilution_series().sum() * 2e-3**3),
    ],
)
def test_a_volume_holds_the_phantoms_iron(name, amount):
    # Points 1 mm apart along z, where all lengths are whole millimetres, and 0.06 mm across.
    grid = Grid((6, 160, 160), (12e-3, 20e-3, 20e-3))
    concentration = phantom(name).rasterise(grid, oversampling=2)
    assert concentration.shape == grid.shape
    assert concentration.sum() * grid.voxel_volume == pytest.approx(amount, rel=5e-3)


@pytest.mark.parametrize("name", sorted(PHANTOMS))
def test_a_plane_is_the_middle_of_a_volume(name):
    # One thin slice of space around z = 0 shows what the plane shows.
    flat = phantom(name).rasterise(Grid((20, 30), (20e-3, 20e-3)))
    thin = phantom(name).rasterise(Grid((1, 20, 30), (1e-9, 20e-3, 20e-3)))
    np.testing.assert_allclose(thin[0], flat, rtol=1e-12)


def test_eight_cubes_hold_a_dilution_each():
    # Voxels of 2 mm, such that each cube is one of them.
    concentration = phantom("dilution-cubes").rasterise(Grid((4, 7, 7), (8e-3, 14e-3, 14e-3)), oversampling=2)
    filled = np.argwhere(concentration > 0)
    assert len(filled) == 8
    np.testing.assert_allclose(np.sort(concentration[concentration > 0])[::-1], dilution_series())
    assert np.unique(filled[:, 0]).tolist() == [0, 3]
    assert np.unique(filled[:, 1:]).tolist() == [0, 6]


def test_a_plateau_is_flat_inside_and_empty_outside():
    concentration = phantom("plateau").rasterise(Grid((40, 40), (20e-3, 20e-3)))
    assert np.unique(concentration).tolist() == [0.0, 50.0]
    assert (concentration[10:30, 10:30] == 50.0).all()


def test_parts_add_up():
    parts = [cylinder(2e-3, 4e-3, 10.0, (3e-3, 0.0, 0.0)), cuboid((2e-3, 4e-3, 6e-3), 5.0)]
    whole = together("both", parts).rasterise(VOLUME, oversampling=2)
    np.testing.assert_allclose(whole, sum(part.rasterise(VOLUME, oversampling=2) for part in parts))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid((3,), (1.0,)), r"expected voxels \(ny, nx\) or \(nz, ny, nx\)"),
        (lambda: Grid((3, 3, 3), (1.0, 1.0)), "one extent for each of 3 axes"),
        (lambda: Grid((3, 3), (1.0, np.inf)), "expected positive lengths in m"),
        (lambda: cylinder(0.0, 1.0, 1.0), "radius: expected a positive length"),
        (lambda: cuboid((1.0, -1.0, 1.0), 1.0), "size: expected a positive length"),
        (lambda: cuboid((1.0, 1.0, 1.0), -1.0), "concentration: expected zero or more"),
        (lambda: dilution_series(0), "a count of one or more"),
        (lambda: phantom("dots").rasterise(VOLUME, oversampling=0), "oversampling: expected one point"),
        (lambda: phantom("heart"), f"{min(VOLUME_PHANTOMS)}, found 'heart'"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
