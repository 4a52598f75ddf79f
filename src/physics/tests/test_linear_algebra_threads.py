"""How many threads linear algebra takes, and that it has its own again afterwards."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nixel.physics.blocks import in_order
from nixel.physics.threads import linear_algebra_threads


def threads():
    """Threads of each library, NumPy's and SciPy's."""
    found = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    if not found:
        pytest.skip("NumPy's linear algebra is none whose threads threadpoolctl can count")
    return set(found)


@pytest.fixture(autouse=True)
def usual():
    with linear_algebra_threads(1):  # both libraries are there now
        pass
    with threadpool_limits(4, user_api="blas"):
        yield


def test_within_the_block_there_are_as_many_as_asked_for_and_then_as_many_as_before():
    with linear_algebra_threads(2):
        assert threads() == {2}
    assert threads() == {4}


def test_an_error_gives_them_back():
    with pytest.raises(KeyError), linear_algebra_threads(2):
        raise KeyError
    assert threads() == {4}


def test_an_inner_block_cannot_take_more_than_the_outer_one_has():
    with linear_algebra_threads(2):
        with linear_algebra_threads(3):
            assert threads() == {2}
        with linear_algebra_threads(1):
            assert threads() == {1}
        assert threads() == {2}


def test_blocks_that_end_in_the_order_they_began_leave_nothing_behind():
    # Each alone would put back what it found: the second one the first one's limit, for good.
    first, second = linear_algebra_threads(2), linear_algebra_threads(1)
    first.__enter__()
    begun, ended = threading.Event(), threading.Event()

    def other():
        with second:
            begun.set()
            ended.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert begun.wait(10)
    assert threads() == {1}
    first.__exit__(None, None, None)
    assert threads() == {1}
    ended.set()
    thread.join()
    assert threads() == {4}


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, None])
def test_what_is_no_number_of_threads_is_refused(bad):
    with pytest.raises(ValueError, match="workers: expected"), linear_algebra_threads(bad):
        pass
    assert threads() == {4}


def test_a_product_within_the_block_is_right():
    rows = np.random.default_rng(0).standard_normal((300, 200))
    with linear_algebra_threads(1):
        found = rows @ rows.T
    assert np.allclose(found[7, 9], sum(rows[7] * rows[9]), rtol=1e-12)


class OfEachThread(threading.local):
    """A library such as OpenMP's runtime, whose number is the calling thread's, at first that of the machine."""

    num_threads = 8

    def set_num_threads(self, number):
        self.num_threads = number


def test_a_number_of_each_thread_is_set_in_every_thread_that_works(monkeypatch):
    library = OfEachThread()
    monkeypatch.setattr("nixel.physics.threads._libraries", lambda: ([], [library]))
    with linear_algebra_threads(2):
        assert library.num_threads == 2
        assert set(in_order(lambda _: library.num_threads, range(4), 2)) == {1}
        with linear_algebra_threads(4):
            assert library.num_threads == 2
        assert library.num_threads == 2
    assert library.num_threads == 8
