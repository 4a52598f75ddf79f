"""Selection fields, drives and trajectories against what their fields must be."""

import math

import numpy as np
import pytest
from scipy import constants

from nixel.physics.mpi import (
    CartesianDrive,
    DriveField,
    FieldFreeLine,
    FieldFreePoint,
    Particles,
    ProjectionDrive,
    ReceiveCoils,
    RotatingDrive,
    SteppedLine,
    field_free_line,
    field_free_point,
    focus_for,
    magnetisation,
    multi_patch_signal,
    patch_centres,
    signal,
)
from nixel.physics.mpi.selection import gradient_matrix, line_gradient

POINT = FieldFreePoint((-1.25, -1.25, 2.5))
DRIVE = DriveField(2.5e6, (102, 96), (12e-3, 10e-3))
SPACE = DriveField(2.5e6, (102, 96, 99), (12e-3, 10e-3, 8e-3))
ANGLES = tuple(np.arange(6) * np.pi / 6)
PROJECTION = ProjectionDrive(2.5e6, 100, 12e-3, ANGLES)
ROTATING = RotatingDrive(2.5e6, 100, 20000, 12e-3)
RASTER = CartesianDrive(2.5e6, 100, (12e-3, 10e-3, 8e-3), (5, 3), periods=2)
TRIANGLE = CartesianDrive(2.5e6, 100, (12e-3, 10e-3), (20,), waveform="triangle")


def test_a_lissajous_trajectory_closes_after_its_period_and_not_before():
    t = SPACE.times()[:500]
    np.testing.assert_allclose(SPACE.field(t + SPACE.period), SPACE.field(t), atol=1e-12)
    # The field's state (value and rate) comes back only when all axes have turned a whole number of times: an
    # earlier return would be one after samples/p for a prime p.
    for prime in (2, 3, 11, 17):
        assert SPACE.samples % prime == 0
        turns = [SPACE.samples / prime / divider for divider in SPACE.dividers]
        assert any(abs(turn - round(turn)) > 1e-9 for turn in turns)
        assert np.abs(SPACE.field(t + SPACE.period / prime) - SPACE.field(t)).max() > 1e-3


def test_a_lissajous_trajectory_has_the_density_of_independent_arcsines():
    # The axes' phases fill the torus evenly, so |B_i| < a_i A_i happens with (2/pi) asin a_i, independently.
    times = (np.arange(400_000) + 0.5) / 400_000 * SPACE.period
    share = np.abs(SPACE.field(times)) / SPACE.amplitudes
    for bounds in ((0.5, 2, 2), (0.9, 0.2, 2), (0.3, 0.6, 0.8), (0.1, 0.1, 0.1)):
        expected = math.prod(2 / np.pi * np.arcsin(min(bound, 1)) for bound in bounds)
        found = np.mean((share < np.array(bounds)).all(axis=1))
        assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("focus", [(), (4e-3, -2e-3, 1e-3)])
def test_the_field_free_point_is_where_the_field_is_zero(focus):
    times = SPACE.times()[::97]
    position, velocity = field_free_point(SPACE, POINT, times, focus=focus)
    shift = np.array(focus or (0.0, 0.0, 0.0))
    expected = -(SPACE.field(times) + shift) / np.array(POINT.gradients)
    np.testing.assert_allclose(position, expected, rtol=1e-12, atol=1e-18)
    # Its velocity is how its position changes.
    h = 1e-9
    ahead, behind = (field_free_point(SPACE, POINT, times + s * h, focus=focus)[0] for s in (1, -1))
    np.testing.assert_allclose(velocity, (ahead - behind) / (2 * h), atol=1e-5 * np.abs(velocity).max())


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, 2.5])
def test_a_field_free_line_is_free_of_field_along_itself_sources_and_curl(angle):
    gradient = FieldFreeLine(2.0, angle).gradient(np.zeros(1))
    along = np.array([np.cos(angle), np.sin(angle), 0.0])
    np.testing.assert_allclose(gradient @ along, 0.0, atol=1e-15)
    np.testing.assert_allclose(gradient, gradient.T, atol=1e-15)
    assert np.trace(gradient) == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(gradient)), [-2.0, 0.0, 2.0], atol=1e-14)


@pytest.mark.parametrize("drive", [PROJECTION, ROTATING])
def test_a_swept_line_is_where_the_field_is_zero(drive):
    line, times = drive.line(2.0), drive.times()[::7]
    angles = line.angles(times)
    normal = np.stack([-np.sin(angles), np.cos(angles)], axis=-1)
    sweep = 12e-3 * np.sin(2 * np.pi * 25e3 * times)
    position, _ = field_free_point(drive, line, times)
    np.testing.assert_allclose(position, -(sweep / 2.0)[:, None] * normal, atol=1e-14)
    # And so is every other point of the line.
    along = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    gradient = gradient_matrix(line, times, 2)
    for shift in (-5e-3, 8e-3):
        field = drive.field(times) + np.einsum("tij,tj->ti", gradient, position + shift * along)
        np.testing.assert_allclose(field, 0.0, atol=1e-14)


@pytest.mark.parametrize("drive", [PROJECTION, ROTATING])
def test_a_lines_offset_is_its_distance_from_the_origin_and_its_speed_how_that_changes(drive):
    # With a focus field the line does not pass the origin's two sides alike.
    focus = (2e-3, -3e-3)
    line, times = drive.line(2.0), (np.arange(5, drive.samples, 37) + 0.5) / drive.base_frequency
    angles, offset, speed = field_free_line(drive, line, times, focus=focus)
    foot = offset[:, None] * np.stack([-np.sin(angles), np.cos(angles)], axis=-1)
    field = np.einsum("tij,tj->ti", gradient_matrix(line, times, 2), foot) + drive.field(times)
    normal_part = np.sum((field + focus) * foot, axis=1)
    np.testing.assert_allclose(normal_part, 0.0, atol=1e-17)
    h = 1e-9
    ahead, behind = (field_free_line(drive, line, times + s * h, focus=focus)[1] for s in (1, -1))
    np.testing.assert_allclose(speed, (ahead - behind) / (2 * h), atol=1e-5 * np.abs(speed).max())


def test_a_stepped_line_shows_each_angle_for_as_long():
    angles = PROJECTION.line(2.0).angles(PROJECTION.times()).reshape(PROJECTION.segments, -1)
    assert angles.shape == (6, 100)
    np.testing.assert_array_equal(angles, np.broadcast_to(np.array(ANGLES)[:, None], angles.shape))


@pytest.mark.parametrize("drive", [DRIVE, SPACE, PROJECTION, ROTATING, RASTER, TRIANGLE])
def test_a_drives_rate_is_its_derivative_and_it_repeats_itself(drive):
    samples = drive.samples // drive.segments
    # Between samples, off the corners of steps and triangles.
    times = np.sort(np.random.default_rng(0).permutation(drive.samples)[:300] + 0.5) / drive.base_frequency
    h = 1e-9
    central = (drive.field(times + h) - drive.field(times - h)) / (2 * h)
    rate = drive.field_rate(times)
    np.testing.assert_allclose(rate, central, atol=1e-6 * np.abs(rate).max())
    whole = drive.samples / drive.base_frequency
    np.testing.assert_allclose(drive.field(times + whole), drive.field(times), atol=1e-12)
    assert samples * drive.segments == drive.samples == len(drive.times())


def test_a_turning_gradients_rate_is_its_derivative():
    line = FieldFreeLine(1.7, 0.3, 40.0)
    times, h = np.linspace(0, 0.03, 50), 1e-6
    central = (line.gradient(times + h) - line.gradient(times - h)) / (2 * h)
    np.testing.assert_allclose(line.gradient_rate(times), central, atol=1e-6 * np.abs(central).max())


def test_a_raster_visits_every_line_once():
    position, _ = field_free_point(RASTER, POINT, RASTER.times())
    lines = position.reshape(RASTER.segments, -1, 3)
    np.testing.assert_allclose(lines[:, :, 1:], lines[:, :1, 1:] + np.zeros_like(lines[:, :, 1:]))
    slow = lines[:, 0, 1:]
    y, z = np.linspace(-8e-3, 8e-3, 5), np.linspace(3.2e-3, -3.2e-3, 3)  # r = -B/g: y with B, z against it
    expected = np.stack([np.tile(y, 3), np.repeat(z, 5)], axis=-1)
    np.testing.assert_allclose(slow, expected, atol=1e-15)
    # Along a line the point goes all the way there and back, twice.
    np.testing.assert_allclose(np.abs(lines[..., 0]).max(axis=1), 9.6e-3)


def test_a_triangle_moves_evenly_between_its_turning_points():
    y = TRIANGLE.field(TRIANGLE.times())[:, 1]
    assert y.min() == pytest.approx(-10e-3)
    assert y.max() == pytest.approx(10e-3)
    steps = np.abs(np.diff(y))
    np.testing.assert_allclose(steps, 2 * 2 * 10e-3 / TRIANGLE.samples, rtol=1e-9)


@pytest.mark.parametrize(
    ("drive", "gradient"),
    [(ROTATING, ROTATING.line(2.0)), (TRIANGLE, POINT), (PROJECTION, PROJECTION.line(2.0)), (DRIVE, POINT)],
)
def test_the_voltage_is_the_derivative_of_the_magnetisation_at_each_place(drive, gradient):
    # M(B(t)) of the whole field at the place, differentiated in time by differences; one coil along each axis.
    place = np.array([2.3e-3, -1.7e-3])
    particles = Particles(size_deviation=0.1)
    h = 2e-9

    def at(times):
        matrix = gradient_matrix(gradient, times, 2)
        return magnetisation(drive.field(times) + matrix @ place, particles)

    # Away from the first sample of a segment, which differences would cross.
    inner = drive.times().reshape(drive.segments, -1)[:, 1:-1].ravel()
    inner = inner[np.abs(inner - drive.samples / drive.base_frequency / 2) > 3 * h]
    expected = (8 * (at(inner + h) - at(inner - h)) - (at(inner + 2 * h) - at(inner - 2 * h))) / (12 * h)
    u = signal(np.ones(1), place[None], drive, gradient, particles, coils=ReceiveCoils((1.0, 1.0)))
    found = u[:, np.round(inner * drive.base_frequency).astype(int)] / (-constants.mu_0 * 1e-9)
    np.testing.assert_allclose(found.T, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("flat", "space", "gradient"),
    [
        (DRIVE, DriveField(2.5e6, (102, 96, 2), (12e-3, 10e-3, 0.0)), POINT),
        (PROJECTION, ProjectionDrive(2.5e6, 100, 12e-3, ANGLES, axes=3), PROJECTION.line(2.0)),
    ],
)
def test_the_plane_is_the_plane_of_space(flat, space, gradient):
    places = np.random.default_rng(3).uniform(-8e-3, 8e-3, (5, 2))
    u = signal(np.ones(5), places, flat, gradient, Particles())
    lifted = np.column_stack([places, np.zeros(5)])
    v = signal(np.ones(5), lifted, space, gradient, Particles())
    np.testing.assert_allclose(v, u, atol=1e-12 * np.abs(u).max())


def test_turning_the_sample_with_the_line_gives_the_same_projection():
    place = np.array([4e-3, 2e-3])
    reference = None
    for number, angle in enumerate(ANGLES):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        u = signal(np.ones(1), (turn @ place)[None], PROJECTION, PROJECTION.line(2.0), Particles())
        normal = turn @ np.array([0.0, 1.0])
        projection = normal @ u.reshape(2, 6, 100)[:, number]
        reference = projection if reference is None else reference
        np.testing.assert_allclose(projection, reference, atol=1e-12 * np.abs(reference).max())


def test_a_line_sees_projections():
    # Moving a sample along the line changes nothing; across it, it does.
    drive = ProjectionDrive(2.5e6, 100, 12e-3, (0.6,))
    along = np.array([np.cos(0.6), np.sin(0.6)])
    arguments = (drive, drive.line(2.0), Particles())
    one, moved, aside = (
        signal(np.ones(1), np.array([shift]), *arguments)
        for shift in (0 * along, 9e-3 * along, 2e-3 * np.array([-along[1], along[0]]))
    )
    np.testing.assert_allclose(moved, one, atol=1e-12 * np.abs(one).max())
    assert np.abs(aside - one).max() > 0.1 * np.abs(one).max()


def test_a_focus_field_moves_what_the_scanner_sees():
    # In ideal fields, imaging a patch around c is imaging the sample moved by -c.
    rng = np.random.default_rng(2)
    places, concentration = rng.uniform(-10e-3, 10e-3, (6, 2)), rng.random(6)
    centres = patch_centres(DRIVE, POINT, (2, 2), overlap=0.25)
    pitch = np.array([2 * 12e-3 / 1.25, 2 * 10e-3 / 1.25]) * 0.75
    np.testing.assert_allclose(centres, np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) * pitch / 2)
    found = multi_patch_signal(concentration, places, DRIVE, POINT, Particles(), centres)
    for frame, centre in zip(found, centres, strict=True):
        expected = signal(concentration, places - centre, DRIVE, POINT, Particles())
        np.testing.assert_allclose(frame, expected, atol=1e-10 * np.abs(expected).max())
    focus = focus_for(POINT, centres[0])
    middle, _ = field_free_point(DRIVE, POINT, np.zeros(1), focus=focus)
    np.testing.assert_allclose(middle[0], centres[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FieldFreePoint((1.0, 1.0, 1.0)), r"sum of zero \(div B = 0\)"),
        (lambda: FieldFreePoint((1.0, -1.0, 0.0)), "none zero"),
        (lambda: FieldFreeLine(-2.0), "strength: expected a positive number"),
        (lambda: FieldFreeLine(2.0, np.nan), "angle: expected a finite number"),
        (lambda: SteppedLine(2.0, (), 1.0), "angles: expected one finite number"),
        (lambda: ProjectionDrive(2.5e6, 100, 12e-3, (np.inf,)), "angles: expected one finite number"),
        (lambda: ProjectionDrive(2.5e6, 1, 12e-3, (0.0,)), "divider: expected an integer of 2 or more"),
        (lambda: RotatingDrive(2.5e6, 100, 20000, 12e-3, axes=1), "axes: expected 2 or 3"),
        (lambda: CartesianDrive(2.5e6, 100, (1e-3, 1e-3), ()), "lines: expected one number of lines"),
        (lambda: CartesianDrive(2.5e6, 100, (1e-3, 1e-3), (3,), fast_axis=2), "fast_axis: expected 0 to 1"),
        (
            lambda: CartesianDrive(2.5e6, 100, (1e-3,) * 3, (3, 3), waveform="triangle"),
            "one slow axis of a triangle",
        ),
        (lambda: DriveField(2.5e6, (102, 96), (np.nan, 1e-3)), "amplitudes: expected a finite"),
        (lambda: field_free_point(DRIVE, POINT, np.zeros(1), focus=(1.0,)), "focus: expected 2 finite"),
        (lambda: field_free_point(DRIVE, (1.0,), np.zeros(1)), "gradient: expected at least 2"),
        (lambda: field_free_point(DRIVE, (1.0, np.nan), np.zeros(1)), "gradient: expected finite"),
        (lambda: patch_centres(DRIVE, POINT, (2,)), "counts: expected one or more for each of 2"),
        (lambda: patch_centres(DRIVE, POINT, (2, 2), overlap=1.0), "overlap: expected zero or more"),
        (
            lambda: focus_for(FieldFreeLine(1.0, 0.0, 10.0), np.zeros(2)),
            "stands still",
        ),
        (
            lambda: multi_patch_signal(np.ones(1), np.zeros((1, 2)), DRIVE, POINT, Particles(), np.zeros(2)),
            r"centres: expected shape \(patches, 2\)",
        ),
    ],
)
def test_bad_fields_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_positions_in_the_plane_refuse_a_field_that_leaves_it():
    class Tilted:
        def gradient(self, times):
            turn = np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])
            return turn @ line_gradient(1.0, np.array(0.2)) @ turn.T

        def gradient_rate(self, times):
            return None

    with pytest.raises(ValueError, match="stays within 2 axes"):
        gradient_matrix(Tilted(), np.zeros(1), 2)
