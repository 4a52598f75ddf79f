"""Sweeps of the row action for one frame by several threads, each with columns (voxels) of its own.

The threads of a BLAS meet at the end of every product, twice a block, and wait for each other by spinning: over a
hundred times a sweep, which takes many times as long as the work where another process keeps a core busy. Here a thread
reads its columns of the next block before it updates its part of the solution with this one:

    partial_(b+1) = A_(b+1) y  before the update with block b,
    beta_b = T_b (rest_b - sum of the threads' partial_b - (A_b A_(b-1)^H) beta_(b-1))

so that nobody waits for the others' partial products unless they are a whole block behind, and one thread reads the
memory while another computes from its cache. Every thread solves for beta itself, from the same numbers in the same
order. The iterates are those of the plain row action.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.threads import alone
from nixel.reconstruction.mpi.raw_blas import Addresses, gemv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class ColumnSweep:
    """Buffers and prepared calls for sweeps by so many threads; one sweep at a time.

    Parameters
    ----------
    matrix : array of complex64 or complex128, shape (rows, voxels), C-ordered
        Kept, not copied.
    steps : sequence of arrays, shapes (n_b, n_(b-1) + n_b), Fortran-ordered
        Of each block, [-T_b (A_b A_(b-1)^H), T_b], conjugated as the system is; of the first one T_b alone.
    workers : int
        Threads, one or more.

    Raises
    ------
    RuntimeError
        If this SciPy has no BLAS that can be called by address; `available` tells.
    """

    def __init__(self, matrix: NDArray[Any], steps: Sequence[NDArray[Any]], workers: int) -> None:
        product, small = gemv(matrix.dtype), gemv(matrix.dtype, keep_lock=True)
        if product is None or small is None:
            raise RuntimeError(f"SciPy: expected a gemv of {matrix.dtype} with 32-bit integers, found none")
        self._product, self._small = product, small
        rows, voxels = matrix.shape
        self._steps = steps
        self._block = block = len(steps[0])
        self._workers = workers = min(workers, voxels)
        self._rows, self._count = rows, len(steps)
        self._y = np.zeros(voxels, dtype=matrix.dtype)
        self._partial = np.zeros((self._count, workers, block), dtype=matrix.dtype)
        # Of each thread and block: the steps of the block before, then the sum of the partial products.
        self._known = np.zeros((workers, self._count + 1, 2 * block), dtype=matrix.dtype)
        self._addresses = Addresses(matrix.dtype)
        self._calls = [self._prepared(matrix, worker) for worker in range(workers)]

    def sweep(self, y: NDArray[Any], rest: NDArray[Any]) -> NDArray[Any]:
        """Take a step with each row.

        Parameters
        ----------
        y : array, shape (voxels,)
            Conjugate of the solution, changed in place.
        rest : array, shape (rows,)
            Conjugate of the measurement, less the regularisation's part.

        Returns
        -------
        array, shape (rows,)
            The steps taken.
        """
        self._y[:] = y
        self._partial[:] = 0
        whole = self._rows // self._block
        self._partial[:whole, 0] = rest[: whole * self._block].reshape(whole, self._block)
        if whole < self._count:
            self._partial[whole, 0, : self._rows - whole * self._block] = rest[whole * self._block :]
        # A word in ready[i][j] says that thread i has finished one more of its partial products, for thread j.
        ready: list[list[SimpleQueue[None]]] = [
            [SimpleQueue() for _ in range(self._workers)] for _ in range(self._workers)
        ]
        with ThreadPoolExecutor(max(self._workers - 1, 1), initializer=alone) as pool:
            others = [pool.submit(self._work, worker, ready) for worker in range(1, self._workers)]
            try:
                self._work(0, ready)
            except BaseException:
                # Interrupted from the keyboard: the others must not wait for ever.
                for queue in ready[0]:
                    for _ in range(self._count):
                        queue.put(None)
                raise
            for other in others:
                other.result()
        y[:] = self._y
        # A copy: the buffers are written again by the next sweep.
        return self._known[0, 1:, : self._block].flatten()[: self._rows]

    def _work(self, worker: int, ready: list[list[SimpleQueue[None]]]) -> None:
        product, small = self._product, self._small
        tell = [queue.put for place, queue in enumerate(ready[worker]) if place != worker]
        wait = [queues[worker].get for place, queues in enumerate(ready) if place != worker]
        reads, sums, solves, updates = self._calls[worker]
        product(*reads[0])
        for put in tell:
            put(None)
        following = [*reads[1:], None]
        for read, add, solve, update in zip(following, sums, solves, updates, strict=True):
            if read is not None:
                product(*read)
                for put in tell:
                    put(None)
            for get in wait:
                get()
            small(*add)
            small(*solve)
            product(*update)

    def _prepared(self, matrix: NDArray[Any], worker: int) -> tuple[list[tuple[Any, ...]], ...]:
        """Arguments of a thread's products: partial residuals, their sums, steps, updates."""
        voxels, block = matrix.shape[1], self._block
        first, last = (voxels * place // self._workers for place in (worker, worker + 1))
        at = self._addresses
        plain, adjoint = at.letter(b"N"), at.letter(b"C")
        one, minus, zero, stride = at.number(1), at.number(-1), at.number(0), at.integer(1)
        ones = at.array(np.ones(self._workers, dtype=matrix.dtype))
        columns, row, threads, height = (at.integer(n) for n in (last - first, voxels, self._workers, block))
        y = at.array(self._y[first:last])
        reads, sums, solves, updates = [], [], [], []
        for place, step in enumerate(self._steps):
            count = at.integer(len(step))
            known = self._known[worker, place]
            rows = at.array(matrix[place * block : place * block + len(step), first:last])
            partial, total = at.array(self._partial[place, worker]), at.array(known[block:])
            every = at.array(self._partial[place])
            taken = at.array(self._known[worker, place + 1])
            reads.append((adjoint, columns, count, minus, rows, row, y, stride, one, partial, stride))
            sums.append((plain, count, threads, one, every, height, ones, stride, zero, total, stride))
            width, given = at.integer(step.shape[1]), at.array(known) if place else total
            solves.append(
                (plain, count, width, one, at.array(step), count, given, stride, zero, taken, stride)
            )
            updates.append((plain, columns, count, one, rows, row, taken, stride, one, y, stride))
        return reads, sums, solves, updates


def available(dtype: np.dtype[Any]) -> bool:
    """Tell whether this SciPy has what a ColumnSweep calls."""
    return gemv(dtype) is not None
