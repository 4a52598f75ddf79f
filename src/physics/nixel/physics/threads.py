"""The number of threads that linear algebra takes.

Libraries for it count in two ways. OpenBLAS as NumPy's and SciPy's packages bring it has one number for the process.
Built with OpenMP, as distributions do, it asks OpenMP's runtime, which has a number for each thread that calls.
"""

from __future__ import annotations

import contextlib
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

from nixel.physics.arrays import check_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadpoolctl import LibController

_lock = Lock()
# Of the blocks under way, wherever in the process: what each asks for, and what each library had before the first.
_asked: list[int] = []
_usual: list[int] = []


@contextlib.contextmanager
def linear_algebra_threads(workers: int) -> Iterator[None]:
    """Let the linear algebra of NumPy and SciPy take so many threads within the block.

    Where the number is the process', the smallest one of all blocks under way holds, so that none takes more than it
    was given, and after the last of them the libraries have as many as before the first. Threads of a pool that are
    begun within the block start with `alone`.

    Parameters
    ----------
    workers : int
        Threads, one or more.

    Raises
    ------
    ValueError
        If `workers` is not an integer of one or more.
    """
    check_workers(workers)
    shared, own = _libraries()
    before = [library.num_threads for library in own]
    with _lock:
        if not _asked:
            _usual[:] = [library.num_threads for library in shared]
        _asked.append(workers)
        _limit(shared)
    for library, number in zip(own, before, strict=True):
        library.set_num_threads(min(workers, number))
    try:
        yield
    finally:
        for library, number in zip(own, before, strict=True):
            library.set_num_threads(number)
        with _lock:
            _asked.remove(workers)
            _limit(shared)


def alone() -> None:
    """Let the linear algebra of this thread, a new one of a pool, take no further ones.

    For the `initializer` of a pool whose threads work within a block of `linear_algebra_threads`.
    """
    _, own = _libraries()
    for library in own:
        library.set_num_threads(1)


def _limit(shared: list[LibController]) -> None:
    """Give the process' libraries what the blocks under way ask for, or what they had."""
    for library, usual in zip(shared, _usual, strict=True):
        # threadpoolctl lets the thread that was first set a library's number, and no other until it says so. Here
        # they take turns.
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)
        library.set_num_threads(min(_asked, default=usual))
        if release is not None:
            release(force=True)


@cache
def _libraries() -> tuple[list[LibController], list[LibController]]:
    """Find the libraries whose number is the process', and those with a number for each thread, once.

    Looking for them takes as long as a small reconstruction.
    """
    # SciPy's packages bring a library of their own, which is there once it is imported; NumPy's is already.
    import scipy.linalg  # noqa: F401  for its library

    controller = ThreadpoolController()
    found = controller.select(user_api="blas").lib_controllers
    with_openmp = [library for library in found if getattr(library, "threading_layer", None) == "openmp"]
    shared = [library for library in found if library not in with_openmp]
    return shared, controller.select(user_api="openmp").lib_controllers if with_openmp else []
