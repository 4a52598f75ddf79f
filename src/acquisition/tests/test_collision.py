"""Distances to what stands in the robot's way, and the moves that are refused for it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nixel.acquisition.collision import CollisionError, Geometry
from nixel.acquisition.geometry import Box, Cylinder, Tube
from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.protocol import CalibrationProtocol, ProtocolError

UNIT = Box((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
ORIGIN = (0.0, 0.0, 0.0)


def test_boxes_are_apart_by_their_gaps():
    assert UNIT.distance(UNIT.moved((5.0, 0.0, 0.0))) == 3.0
    assert UNIT.distance(UNIT.moved((5.0, 6.0, 14.0))) == math.hypot(3.0, 4.0, 12.0)
    assert UNIT.distance(UNIT.moved((1.5, 0.0, 0.0))) == 0.0


def test_a_cylinder_is_round():
    post = Cylinder("z", ORIGIN, radius=1.0, length=10.0)
    assert post.distance(UNIT.moved((4.0, 0.0, 0.0))) == pytest.approx(2.0)
    # The box's edge stands at (3, 4): 5 from the axis.
    assert post.distance(UNIT.moved((4.0, 5.0, 0.0))) == pytest.approx(4.0)
    assert post.distance(UNIT.moved((4.0, 5.0, 9.0))) == pytest.approx(5.0)  # 3 above its end as well


def test_in_a_tube_the_farthest_corner_counts():
    tube = Tube("x", ORIGIN, radius=5.0, length=20.0)
    assert tube.distance(UNIT) == pytest.approx(5.0 - math.sqrt(2.0))
    assert tube.distance(UNIT.moved((0.0, 2.0, 3.0))) == pytest.approx(0.0)  # a corner at (3, 4)
    assert tube.distance(UNIT.moved((0.0, 9.0, 0.0))) == 0.0
    # Before its end it is as far as the end, where there is nothing to touch if it would go in.
    assert tube.distance(UNIT.moved((14.0, 9.0, 0.0))) == pytest.approx(3.0)


def test_a_way_past_the_edge_of_a_box_is_as_near_as_the_edge():
    obstacle = Box((2.0, 2.0, -9.0), (8.0, 8.0, 9.0))
    point = Box(ORIGIN, ORIGIN)
    # From (0, 2) to (2, 0): the line x + y = 2 is sqrt(2) from the edge (2, 2).
    place, distance = obstacle.nearest(point, (0.0, 2.0, 0.0), (2.0, 0.0, 0.0))
    assert (place, distance) == (pytest.approx(0.5, abs=1e-6), pytest.approx(math.sqrt(2.0)))
    place, distance = obstacle.nearest(point, (0.0, 5.0, 0.0), (10.0, 5.0, 0.0))  # right through it
    assert distance == 0.0


coordinate = st.floats(-10, 10)
points = st.tuples(coordinate, coordinate, coordinate)
sizes = st.floats(0.1, 4)
shapes = st.one_of(
    st.builds(lambda c, s: Box(c, tuple(x + s for x in c)), points, sizes),
    st.builds(Cylinder, st.sampled_from("xyz"), points, sizes, sizes),
    st.builds(lambda a, c, r, n: Tube(a, c, 3 * r, n), st.sampled_from("xyz"), points, sizes, sizes),
)
moving = st.builds(lambda s: Box((-s, -s / 2, -s / 3), (s, s, s / 2)), sizes)


@given(shapes, moving, points, points)
@settings(max_examples=150, deadline=None)
def test_no_point_of_the_way_is_nearer_than_the_nearest(shape, box, start, end):
    place, distance = shape.nearest(box, start, end)
    assert 0.0 <= place <= 1.0
    way = np.linspace(start, end, 200)
    sampled = [shape.distance(box.moved(tuple(map(float, point)))) for point in way]
    assert distance <= min(sampled) + 1e-7
    # And it is there: the distance at that place, as near as the samples are close.
    step = math.dist(start, end) / 199
    assert distance >= min(sampled) - step - 1e-7


@given(shapes, moving, points, points)
@settings(max_examples=150, deadline=None)
def test_a_distance_changes_by_no_more_than_the_way(shape, box, start, end):
    """What spares most ways the closer look."""
    there, here = shape.distance(box.moved(end)), shape.distance(box.moved(start))
    assert abs(there - here) <= math.dist(start, end) + 1e-9


@given(shapes, moving, points, points)
@settings(max_examples=50, deadline=None)
def test_there_is_as_near_as_back(shape, box, start, end):
    assert shape.nearest(box, start, end)[1] == pytest.approx(shape.nearest(box, end, start)[1], abs=1e-7)


@given(st.lists(points, min_size=20, max_size=20), moving, points, points)
@settings(max_examples=50, deadline=None)
def test_a_cylinder_is_no_nearer_than_the_points_in_it(inside, box, centre, position):
    cylinder = Cylinder("y", centre, radius=3.0, length=8.0)
    moved = box.moved(position)
    for x, y, z in inside:
        turned, far = math.atan2(z, x), min(3.0, math.hypot(x, z))
        point = (centre[0] + far * math.cos(turned), centre[1] + 0.4 * y, centre[2] + far * math.sin(turned))
        assert cylinder.distance(moved) <= moved.distance(Box(point, point)) + 1e-9


def geometry(**tables):
    return Geometry.model_validate({"clearance": "1 mm", "sample": ["2 mm", "2 mm", "2 mm"], **tables})


BORE = {"name": "the bore", "axis": "x", "diameter": "40 mm", "length": "200 mm"}


def test_a_way_is_refused_though_its_ends_are_free():
    post = {"name": "the post", "low": ["-1 mm", "-1 mm", "-50 mm"], "high": ["1 mm", "1 mm", "50 mm"]}
    room = geometry(boxes=[post])
    room.check_way((-10e-3, 0.0), (-10e-3, 10e-3))
    room.check_way((-10e-3, 10e-3), (10e-3, 10e-3))
    with pytest.raises(CollisionError) as caught:
        room.check_way((-10e-3, 0.0), (10e-3, 0.0))
    for words in (
        "the sample at least 1 mm away from the post",
        "touch it",
        "(-10.00, 0.00) mm to (10.00, 0.00) mm",
    ):
        assert words in str(caught.value)
    # 2.5 mm beside the post's face there is half a millimetre to the sample's.
    with pytest.raises(CollisionError, match=r"come within 0\.50 mm of it"):
        room.check_way((-10e-3, 2.5e-3), (10e-3, 2.5e-3))
    room.check_way((-10e-3, 3e-3), (10e-3, 3e-3))


def test_the_arm_is_checked_with_the_sample():
    arm = {"low": ["1 mm", "-5 mm", "-5 mm"], "high": ["100 mm", "5 mm", "5 mm"]}
    geometry(bores=[BORE]).check_way((0, 0), (0, 15e-3))
    with pytest.raises(CollisionError, match=r"the robot's arm at least 1 mm away from the wall of the bore"):
        geometry(bores=[BORE], arm=arm).check_way((0, 0), (0, 15e-3))


def test_a_protocol_is_refused_as_a_whole_before_it_runs():
    instrument = load_instrument("virtual-scanner")
    CalibrationProtocol().plan(instrument)
    insert = {**BORE, "name": "a narrow insert", "diameter": "20 mm"}
    tables = instrument.model_dump(mode="json", exclude_none=True)
    tables["scanner"]["geometry"]["bores"] = [insert]
    narrow = type(instrument).model_validate(tables)
    with pytest.raises(ProtocolError, match=r"moves of robot: .*a narrow insert.*smaller field of view"):
        CalibrationProtocol().plan(narrow)
    CalibrationProtocol(field_of_view=("4 mm", "4 mm")).plan(narrow)
    with pytest.raises(ProtocolError, match=r"at most scanner\.geometry\.sample"):
        CalibrationProtocol(delta_sample=("5 mm", "1 mm", "1 mm")).plan(instrument)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"bores": [{**BORE, "axis": "w"}]}, "axis"),
        ({"bores": [{**BORE, "diameter": "0 mm"}]}, "above zero"),
        ({"arm": {"low": ["1 mm"] * 3, "high": ["0 mm"] * 3}}, "each above low"),
        ({"clearance": "-1 mm"}, "zero or more"),
        ({"boxes": [{"name": "b"}]}, "low"),
    ],
)
def test_a_geometry_that_is_none_is_refused(tables, words):
    with pytest.raises(ValueError, match=words):
        geometry(**tables)
