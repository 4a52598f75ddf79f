"""Independent pieces of work in a bounded number of threads."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from nixel.physics.threads import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _Map(Protocol):
    """What `map` does, of one series of items."""

    def __call__(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item], /
    ) -> Iterator[_Result]: ...


def blocks(length: int, size: int) -> list[slice]:
    """Cut `length` entries into slices of at most `size`, in order."""
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]


@contextmanager
def crew(workers: int) -> Iterator[_Map]:
    """Threads for several rounds of work, which are started once.

    Parameters
    ----------
    workers
        Threads; with one the calling thread does the work itself.

    Yields
    ------
    callable
        ``each(function, items)``: an iterator over the results of `function` in the order of the items. `workers` of
        them are under way at a time, and no more than that wait to be taken; the items are taken as they are needed,
        from the calling thread. `function` must be safe to be called from several threads, each with an item of its
        own.
    """
    if workers == 1:
        yield map
        return
    with ThreadPoolExecutor(workers, initializer=alone) as pool:

        def each(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
            pending: deque[Future[_Result]] = deque()
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

        yield each


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int) -> Iterator[_Result]:
    """Results of `function` in the order of the items: one round of `crew`.

    Parameters
    ----------
    function, items, workers
        As there.

    Yields
    ------
    result
        Of the next item.
    """
    with crew(workers) as each:
        yield from each(function, items)
