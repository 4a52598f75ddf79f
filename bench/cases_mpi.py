"""System-matrix reconstruction: sweeps of the row action beside reading the matrix once, two threads each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from case import Case
from threadpoolctl import threadpool_limits

from nixel.reconstruction.mpi import Kaczmarz

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Matrix = NDArray[np.complex64]

ROWS, VOXELS, FRAMES, SWEEPS, THREADS = 3000, 6859, 64, 3, 2
RELATIVE_LAMBDA = 1e-2


def cases() -> Iterator[Case]:
    """Yield the cases: three sweeps for one frame, and for 64 together."""
    matrix, u, truth = problem()
    solver = Kaczmarz(matrix, RELATIVE_LAMBDA, workers=THREADS)
    x = truth.astype(np.complex64)
    row_loop = f"NumPy {np.__version__}, a row at a time"
    expected: list[NDArray[np.float64]] = []

    shares = np.array_split(matrix, THREADS)
    halves = np.array_split(np.empty(ROWS, np.complex64), THREADS)
    readers = ThreadPoolExecutor(THREADS)

    def read() -> None:
        # Threads of its own, as fast as the BLAS's: those would still spin for a while when the next run begins.
        with threadpool_limits(1, user_api="blas"):
            for _ in range(SWEEPS):
                list(readers.map(lambda rows, out: np.matmul(rows, x, out=out), shares, halves))

    def error(result: NDArray[Any]) -> float:
        if not expected:
            expected.append(plain(matrix, u, np.complex128).real)
        return float(np.abs(result - expected[0]).max() / np.abs(expected[0]).max())

    yield Case(
        name=f"MPI: Kaczmarz, {ROWS}x{VOXELS} complex64, {SWEEPS} sweeps",
        ours=lambda: solver.solve(u, SWEEPS, workers=THREADS),
        floor_name=f"reading the matrix {SWEEPS} times: A @ x",
        floor=read,
        peers={row_loop: lambda: plain(matrix, u, np.complex64).real},
        error=error,
        error_name="of the largest value, against the row action in double precision",
        at_most_floors=1.2,
        times_faster={row_loop: 3.0},
        error_at_most=1e-5,
        per_second=1.0,
        threads=THREADS,
        note="A sweep reads each block of rows twice, from the memory and then from the second-level cache. A core "
        "reads that at about 70 GB/s, whatever the kernel (a dot product is no faster), so that the second reading "
        "alone takes a fifth of the time of the first, at the 27 GB/s at which two cores read the memory here: 1.19 is "
        "what such a method can reach where nothing else costs anything. One reading would do with the whole Gram "
        "matrix, whose triangle is itself 0.22 of a reading. Where other processes keep the cores busy the floor "
        "suffers as we do.",
    )
    frames = np.repeat(u[:, None], FRAMES, axis=1) * np.linspace(0.5, 1.5, FRAMES, dtype=np.float32)
    y = np.asfortranarray(np.repeat(x[:, None], FRAMES, axis=1))
    z = np.empty((ROWS, FRAMES), np.complex64)

    def multiply() -> None:
        with threadpool_limits(THREADS, user_api="blas"):
            for _ in range(2 * SWEEPS):
                np.matmul(matrix, y, out=z)

    yield Case(
        name=f"MPI: Kaczmarz, {ROWS}x{VOXELS} complex64, {SWEEPS} sweeps, {FRAMES} frames",
        ours=lambda: solver.solve(frames, SWEEPS, workers=THREADS),
        floor_name=f"its own products, as {2 * SWEEPS} of A @ X",
        floor=multiply,
        error=lambda result: error(result[:, 0] / 0.5),
        error_name="of the largest value, against the row action in double precision",
        error_at_most=1e-5,
        per_second=FRAMES,
        per_second_at_least=46.0,
        threads=THREADS,
        note="Bound by arithmetic: the floor is what the BLAS reaches on a product of the same size.",
    )


def problem() -> tuple[Matrix, Matrix, NDArray[np.float32]]:
    """Make a matrix whose rows fall off and look alike, as a calibration's, and a measurement with noise."""
    rng = np.random.default_rng(1)
    matrix = np.empty((ROWS, VOXELS), np.complex64)
    matrix.real = rng.standard_normal((ROWS, VOXELS), dtype=np.float32)
    matrix.imag = rng.standard_normal((ROWS, VOXELS), dtype=np.float32)
    matrix += 0.5 * matrix[0]
    matrix *= np.logspace(0, -1, ROWS, dtype=np.float32)[:, None]
    truth = np.where(rng.random(VOXELS) > 0.8, rng.random(VOXELS), 0).astype(np.float32)
    noise = rng.standard_normal(ROWS, dtype=np.float32) + 1j * rng.standard_normal(ROWS, dtype=np.float32)
    return matrix, (matrix @ truth + noise).astype(np.complex64), truth


def plain(matrix: Matrix, u: Matrix, dtype: type[np.complexfloating[Any, Any]]) -> NDArray[Any]:
    """The row action as it is defined, a row at a time, in one precision or the other."""
    rows, voxels = matrix.shape
    flat = matrix.view(np.float32)
    energy = np.einsum("kn,kn->k", flat, flat, dtype=np.float64)
    weight = RELATIVE_LAMBDA * energy.sum() / voxels
    root = float(np.sqrt(weight))
    x, v = np.zeros(voxels, dtype), np.zeros(rows, dtype)
    for _ in range(SWEEPS):
        for k in range(rows):
            a = matrix[k] if dtype == np.complex64 else matrix[k].astype(dtype)
            beta = dtype((u[k] - a @ x - root * v[k]) / (energy[k] + weight))
            x += beta * a.conj()
            v[k] += root * beta
        x.imag = 0
        np.maximum(x.real, 0, out=x.real)
    return x
