"""The safety daemon's numbers on the wire, in short; `bench/measure_safety.py` makes the long ones.

Only what the project holds itself to is asserted. Times of a safety daemon are bounds, so here they are absolute.
"""

import measure_safety as bench
import pytest
import safety_rig

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _realtime():
    if not safety_rig.realtime():
        pytest.skip("no realtime scheduling for this user, which the bounds need (root, or ulimit -r 20)")


@pytest.mark.parametrize("loaded", [False, True], ids=["without load", "with load"])
def test_every_fault_on_the_wire_switches_off_in_time(loaded):
    found = bench.measure_trips(200, loaded)
    assert len(found.all()) == 200
    assert bench.report_trips(found, loaded)


def test_killed_at_random_moments_it_leaves_the_output_off_and_comes_up_latched():
    found = bench.measure_kills(40)
    assert found.count == 40
    # Otherwise the kills have proved nothing.
    assert len(found.kill_to_off) >= 5
    assert found.latched >= 10
    assert found.events >= 30
    assert bench.report_kills(found)


def test_it_needs_little_and_is_ready_soon():
    found = bench.measure_idle(5.0, 9)
    assert bench.report_idle(found)
