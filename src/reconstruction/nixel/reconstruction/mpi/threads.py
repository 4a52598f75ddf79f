"""The number of threads that linear algebra takes."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

from nixel.physics.arrays import check_workers

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def linear_algebra_threads(workers: int) -> Iterator[None]:
    """Let the linear algebra of NumPy and SciPy take so many threads within the block, in the whole process.

    Raises
    ------
    ValueError
        If `workers` is not an integer of one or more.
    """
    check_workers(workers)
    with _controller().limit(limits=workers, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    """Find the process' libraries once: looking for them takes as long as a small reconstruction."""
    return ThreadpoolController()
