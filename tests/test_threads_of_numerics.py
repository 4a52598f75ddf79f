"""Functions that are told how many threads they may take, watched while they work."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nixel.physics.holograms import simulate_hologram
from nixel.physics.mpi import DriveField, Particles, ProjectionDrive, signal, system_function, system_matrix
from nixel.physics.optics import propagate
from nixel.physics.psf import Microscope, confocal, gibson_lanni, vectorial
from nixel.reconstruction.deconvolution import richardson_lucy, wiener
from nixel.reconstruction.holography import estimate_shifts, super_resolve, unwrap_phase
from nixel.reconstruction.mpi import CGNR, FISTA, Kaczmarz, MultiPatchKaczmarz, Patch

# Of processor time, in seconds: a thread with more has worked; with that much in all, what was called has.
WORKED, ENOUGH = 0.05, 0.4
FREE = 4  # threads that the linear algebra takes where nobody says otherwise


class Watch:
    """Processor time of every thread of this process but its own, from its beginning to its end."""

    def __enter__(self):
        self.seconds: dict[int, float] = {}
        self._end, self._before = threading.Event(), self._now()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def others(self):
        """Threads other than the one that asks that have worked."""
        mine = threading.get_native_id(), self._thread.native_id
        return sum(used > WORKED for thread, used in self.seconds.items() if thread not in mine)

    def _look(self):
        while not self._end.wait(0.005):
            for thread, used in self._now().items():
                self.seconds[thread] = used - self._before.get(thread, 0.0)

    @staticmethod
    def _now():
        found = {}
        for task in Path("/proc/self/task").iterdir():
            try:
                fields = (task / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            found[int(task.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return found


@pytest.fixture(autouse=True)
def free():
    if not any(library["user_api"] == "blas" for library in threadpool_info()):
        pytest.skip("NumPy's linear algebra is none whose threads threadpoolctl can count")
    with threadpool_limits(FREE, user_api="blas"):
        yield


def watched(call):
    """Threads beside this one that worked in as many calls as it takes."""
    call()  # what is done once
    time.sleep(0.2)  # threads of an earlier product wait busily for a while
    with Watch() as watch:
        start = time.process_time()
        while time.process_time() < start + ENOUGH:
            call()
        time.sleep(0.02)
    return watch.others()


def test_the_watch_sees_the_threads_of_linear_algebra():
    rows = np.random.default_rng(0).standard_normal((600, 600))
    assert watched(lambda: rows @ rows) >= 1


RANDOM = np.random.default_rng(1)
SCOPE = Microscope(
    numerical_aperture=1.4,
    wavelength=610e-9,
    sample_index=1.33,
    coverslip_index=1.5,
    coverslip_index_design=1.5,
    immersion_index=1.5,
    immersion_index_design=1.5,
    coverslip_thickness=170e-6,
    coverslip_thickness_design=170e-6,
    immersion_thickness_design=150e-6,
)
CELLS = ((64, 96, 96), (250e-9, 100e-9))
OPTICS = {"wavelength": 532e-9, "pixel_size": 1.12e-6}
FIELD = np.exp(1j * RANDOM.standard_normal((512, 512)))
IMAGE = RANDOM.random((256, 256))
SHIFTED = np.stack([np.roll(IMAGE, step, axis=1) for step in range(4)])
MOVES = np.array([(0.5 * a, 0.5 * b) for a in range(2) for b in range(2)])
PLACES = np.stack([each.ravel() for each in np.meshgrid(*[np.linspace(-8e-3, 8e-3, 16)] * 2)], axis=-1)
POINT = (DriveField(2.5e6, (102, 96), (12e-3, 12e-3)), (-1.25, -1.25, 2.5), Particles())
TURNS = ProjectionDrive(2.5e6, 250, 16e-3, tuple(np.arange(4) * np.pi / 4))
LINE = (TURNS, TURNS.line(1.25), Particles())
MATRIX = RANDOM.standard_normal((800, 900)) + 1j * RANDOM.standard_normal((800, 900))
FRAME, FRAMES = MATRIX @ RANDOM.random(900), MATRIX @ RANDOM.random((900, 12))
KACZMARZ, CONJUGATE = Kaczmarz(MATRIX, 1e-2), CGNR(MATRIX, 1e-2)
SPARSE = FISTA(MATRIX, l1=1e-3)
PATCHES = MultiPatchKaczmarz([MATRIX], [(30, 30)], [Patch(0, (0, 0)), Patch(0, (0, 20))], (30, 50), 1e-2)

CALLS = {
    "gibson_lanni": lambda workers: gibson_lanni(*CELLS, SCOPE, particle_depth=2e-6, workers=workers),
    "gibson_lanni, series": lambda workers: gibson_lanni(
        *CELLS, SCOPE, particle_depth=2e-6, method="series", workers=workers
    ),
    "vectorial": lambda workers: vectorial(*CELLS, SCOPE, particle_depth=2e-6, workers=workers),
    "confocal": lambda workers: confocal(*CELLS, SCOPE, SCOPE, particle_depth=2e-6, workers=workers),
    "propagate": lambda workers: propagate(FIELD, 1e-3, workers=workers, **OPTICS),
    "hologram": lambda workers: simulate_hologram(FIELD, 1e-3, workers=workers, **OPTICS),
    "unwrap_phase": lambda workers: unwrap_phase(np.angle(FIELD), iterations=2, workers=workers),
    "estimate_shifts": lambda workers: estimate_shifts(SHIFTED, workers=workers),
    "super_resolve": lambda workers: super_resolve(SHIFTED, MOVES, factor=2, workers=workers),
    "system_function": lambda workers: system_function(PLACES, *POINT, workers=workers),
    "system_matrix": lambda workers: system_matrix(PLACES, *LINE, workers=workers),
    "signal": lambda workers: signal(np.ones(len(PLACES)), PLACES, *POINT, workers=workers),
    "richardson_lucy": lambda workers: richardson_lucy(IMAGE, np.ones((9, 9)), 3, workers=workers),
    "wiener": lambda workers: wiener(IMAGE, np.ones((9, 9)), 0.1, workers=workers),
    "Kaczmarz": lambda workers: Kaczmarz(MATRIX, 1e-2, workers=workers),
    "Kaczmarz.solve, a frame": lambda workers: KACZMARZ.solve(FRAME, 3, workers=workers),
    "Kaczmarz.solve, frames": lambda workers: KACZMARZ.solve(FRAMES, 3, workers=workers),
    "CGNR.solve": lambda workers: CONJUGATE.solve(FRAMES, 3, workers=workers),
    "FISTA": lambda workers: FISTA(MATRIX, l1=1e-3, workers=workers),
    "FISTA.solve": lambda workers: SPARSE.solve(FRAMES, 3, workers=workers),
    "MultiPatchKaczmarz.solve": lambda workers: PATCHES.solve([FRAMES, FRAMES], 3, workers=workers),
}


@pytest.mark.parametrize("name", CALLS)
def test_one_thread_is_the_one_that_calls(name):
    assert watched(lambda: CALLS[name](1)) == 0


@pytest.mark.parametrize("name", CALLS)
def test_two_threads_are_two(name):
    # They are new ones in each call, and none of them may bring the linear algebra's own along.
    found = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
    assert found == {FREE}
    with Watch() as watch:
        CALLS[name](2)
        time.sleep(0.02)
    # The calling thread waits for two others, or works with one.
    assert watch.others() <= 2
