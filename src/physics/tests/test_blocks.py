"""Independent pieces of work: their order, their threads, and how far they run ahead."""

import threading

import pytest

from nixel.physics.blocks import blocks, crew, in_order


def test_blocks_cover_the_length_without_overlap():
    assert [(part.start, part.stop) for part in blocks(10, 4)] == [(0, 4), (4, 8), (8, 10)]
    assert blocks(0, 4) == []


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(workers):
    turn = threading.Event()

    def slow_first(item):
        if item == 0 and workers > 1:
            assert turn.wait(10)  # so that the second ends before the first
        turn.set()
        return item * item

    assert list(in_order(slow_first, range(7), workers)) == [0, 1, 4, 9, 16, 25, 36]


def test_a_crew_s_threads_are_the_same_in_every_round():
    with crew(2) as each:
        meet = threading.Barrier(2, timeout=10)  # both must be at work at once, or this breaks

        def who(_):
            meet.wait()
            return threading.get_ident()

        rounds = [set(each(who, range(4))) for _ in range(3)]
    assert len(rounds[0]) == 2
    assert threading.get_ident() not in rounds[0]
    assert rounds[1] == rounds[2] == rounds[0]


def test_a_crew_of_one_is_the_calling_thread():
    with crew(1) as each:
        assert set(each(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}


def test_items_are_taken_as_they_are_needed():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items(), 2)
    assert next(results) == 0
    assert len(taken) <= 4
    results.close()


def test_an_error_of_a_piece_is_the_caller_s():
    def fail(item):
        if item == 2:
            raise ValueError("piece 2")
        return item

    with pytest.raises(ValueError, match="piece 2"):
        list(in_order(fail, range(5), 2))
