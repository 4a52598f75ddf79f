"""What is quick to make behaves like a frozen dataclass of the standard library, but for who keeps it frozen."""

from __future__ import annotations

import dataclasses
import math
import threading

import pytest

from nixel.safety.core import frozen
from nixel.safety.core.declared import Limit
from nixel.safety.core.model import Arm, Enable, Mode, RenewLease, State
from nixel.safety.worker import Worker


class Same:
    """Three fields, one of which neither counts nor shows."""

    first: float
    second: tuple[int, ...] = ()
    hidden: object = dataclasses.field(default=None, compare=False, repr=False)


class One:
    only: float


def made(decorate, source):
    """A class of its own with the body of another."""
    body = {"__annotations__": dict(source.__annotations__), "__qualname__": source.__name__}
    body |= {name: vars(source)[name] for name in ("second", "hidden") if name in vars(source)}
    return decorate(type(source.__name__, (), body))


OURS, THEIRS = frozen.dataclass(frozen=True, slots=True), dataclasses.dataclass(frozen=True, slots=True)
GIVEN = [(1.0,), (1.0, (2,)), (1.0, (), 7), (2.0,), (math.nan,), (True,), (1,)]


@pytest.mark.parametrize("source", [Same, One])
def test_it_compares_hashes_and_shows_itself_like_one_of_the_standard_library(source):
    ours, theirs = made(OURS, source), made(THEIRS, source)
    given = [each for each in GIVEN if len(each) <= len(source.__annotations__)]
    mine, standard = [ours(*each) for each in given], [theirs(*each) for each in given]
    assert list(map(repr, mine)) == list(map(repr, standard))
    for a, x in zip(mine, standard, strict=True):
        assert a != x
        assert hash(a) == hash(x)
        assert dataclasses.asdict(a) == dataclasses.asdict(x)
        assert [a == b for b in mine] == [x == y for y in standard]


def test_those_without_fields_are_told_apart_by_their_kind_and_have_no_room_for_more():
    assert Arm(1, 2) == Arm(1, 2)
    assert Arm(1, 2) != RenewLease(1, 2)
    assert dataclasses.replace(Enable(1, 2, "amplifier"), number=3) == Enable(1, 3, "amplifier")
    assert not hasattr(State(Mode.SAFE), "__dict__")
    with pytest.raises(TypeError):
        Limit("coil", "analog:0", "degC", 60.0, 0.2, None, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(AttributeError):
        State(Mode.SAFE).anything = 1


def test_a_worker_tells_whether_it_runs_however_its_work_ends(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    go_on = threading.Event()

    def fail():
        go_on.wait(5.0)
        raise RuntimeError

    for work in (lambda: go_on.wait(5.0), fail):
        go_on.clear()
        worker = Worker(work, "x")
        assert not worker.running
        worker.start()
        assert worker.running
        go_on.set()
        worker.join(5.0)
        assert not worker.running


def test_a_worker_that_cannot_be_started_does_not_run(monkeypatch):
    def refused(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    worker = Worker(lambda: None, "x")
    with pytest.raises(RuntimeError):
        worker.start()
    assert not worker.running
