"""Jobs in this process and in others: the same results, in order, whoever dies."""

import os
import signal
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest
from threadpoolctl import threadpool_info

from nixel.reconstruction.cluster import Cluster, JobError
from nixel.reconstruction.mpi import Kaczmarz
from nixel.reconstruction.mpi.xspace import reconstruct

# The workers cannot import this file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def whereabouts(_item):
    time.sleep(0.05)
    return os.getpid(), str(Path.cwd())


def workers(cluster, count):
    """Identifiers of the worker processes, as soon as there are so many."""
    deadline = time.monotonic() + 60
    while len(found := {pid for pid, _ in cluster.map(whereabouts, range(2 * count))}) < count:
        assert time.monotonic() < deadline, f"only {found} within a minute"
    return found


@pytest.fixture(scope="module")
def processes():
    """Two processes of this machine; afterwards nothing of them is left."""
    family = psutil.Process()
    before = set(family.children(recursive=True))
    folders = set(Path(tempfile.gettempdir()).glob("nixel-cluster-*"))
    with Cluster(2, patience=120) as cluster:
        workers(cluster, 2)
        yield cluster
        started = set(family.children(recursive=True)) - before
        assert len(started) >= 2
        listening = [
            each.laddr
            for process in (family, *started)
            for each in process.net_connections(kind="tcp")
            if each.status == psutil.CONN_LISTEN
        ]
        assert all(address.ip == "127.0.0.1" for address in listening), "others could send it work"
        assert 8787 not in {address.port for address in listening}, "a dashboard was opened"
    # The interpreter's own tracker of shared resources ends with this process.
    ours = {
        child
        for child in started
        if child.is_running() and "resource_tracker" not in " ".join(child.cmdline())
    }
    _, alive = psutil.wait_procs(ours, timeout=20)
    assert not alive
    assert set(Path(tempfile.gettempdir()).glob("nixel-cluster-*")) == folders


@pytest.fixture(params=["here", "processes"])
def cluster(request):
    return Cluster() if request.param == "here" else request.getfixturevalue("processes")


def solve(block, solver, folder):
    """Three sweeps for a block of frames; leaves a mark of who began it, and how that went."""
    mark = Path(folder, f"{os.getpid()}-{uuid.uuid4()}.begun")
    mark.touch()
    if Path(folder, "gate").exists():
        mark = mark.rename(mark.with_suffix(".held"))
        while Path(folder, "gate").exists():
            time.sleep(1e-3)
    found = solver.solve(block, 3)
    mark.rename(mark.with_suffix(".done"))
    return found


def kill_in_the_middle(victims, folder, done):
    """Hold up every worker in the middle of an item once so many are done, and kill these."""
    wait_until(lambda: len(list(folder.glob("*.done"))) >= done)
    (folder / "gate").touch()
    wait_until(lambda: all(list(folder.glob(f"{pid}-*.held")) for pid in victims))
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    (folder / "gate").unlink()


def wait_until(condition):
    """Poll until it holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1e-3)


@pytest.fixture(scope="module")
def job():
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((300, 150)) + 1j * rng.standard_normal((300, 150))
    blocks = [rng.standard_normal((300, 5)) + 1j * rng.standard_normal((300, 5)) for _ in range(20)]
    return Kaczmarz(matrix.astype(np.complex64), 0.1), blocks


def test_results_come_in_the_order_of_the_items(cluster):
    # The first items take the longest.
    seen = []
    found = cluster.map(
        lambda item, base: (time.sleep(0.05 * (item < 2)), base + item)[1],
        iter(range(9)),
        shared=(100,),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert found == list(range(100, 109))
    assert seen == [(done, 9) for done in range(1, 10)]
    assert cluster.map(abs, []) == []


def test_an_error_names_its_item(cluster):
    with pytest.raises(JobError, match=r"^volume 3\.nrrd: ZeroDivisionError: division by zero$") as caught:
        cluster.map(lambda item: 1 / item, [1, 2, 0, 3], names=[f"volume {n}.nrrd" for n in range(1, 5)])
    assert caught.value.index == 2
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    # And the next job is not the worse for it.
    assert cluster.map(abs, [-1]) == [1]


@pytest.mark.parametrize("victims", ["none", "one", "all"])
def test_a_killed_worker_costs_time_not_results(processes, job, tmp_path, victims):
    solver, blocks = job
    serial = Cluster().map(solve, blocks, shared=(solver, tmp_path))
    for mark in tmp_path.iterdir():
        mark.unlink()
    shared = processes.share(solver)
    alive = workers(processes, 2)
    wanted = {"none": [], "one": [min(alive)], "all": alive}[victims]
    with ThreadPoolExecutor(1) as beside:
        killing = beside.submit(kill_in_the_middle, wanted, tmp_path, len(blocks) // 3)
        found = processes.map(solve, blocks, shared=(shared, tmp_path))
        killing.result()
    assert len(found) == len(serial)
    for one, other in zip(found, serial, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    # Each worker that was killed left an item unfinished, which was begun anew.
    unfinished = [int(mark.name.split("-")[0]) for mark in tmp_path.iterdir() if mark.suffix != ".done"]
    assert sorted(unfinished) == sorted(wanted)
    assert len(list(tmp_path.glob("*.done"))) >= len(blocks)


def test_an_item_that_kills_its_worker_is_given_up(processes):
    def lethal(item):
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(JobError, match=r"^item 1: every worker that began it died"):
        processes.map(lethal, range(3))
    assert processes.map(abs, [-1, -2]) == [1, 2]


def threads(_item):
    np.ones((2, 2)) @ np.ones((2, 2))
    return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")


@pytest.mark.parametrize("count", [1, 2])
def test_threads_are_as_many_as_asked_for(processes, count):
    assert Cluster(threads=count).map(threads, range(2)) == [count] * 2
    with Cluster(processes.address, threads=count) as other:
        assert other.map(threads, range(4)) == [count] * 4
    # The workers were not ours to end.
    assert processes.map(abs, [-1]) == [1]


def test_patches_one_by_one_are_the_patches(processes):
    # Multi-patch: each patch is a picture of its own, by the very function that makes one.
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    positions = np.stack([np.sin(3 * angle), np.sin(4 * angle)], axis=-1)[None]
    velocity = np.stack([3 * np.cos(3 * angle), 4 * np.cos(4 * angle)], axis=-1)[None]
    patches = [rng.standard_normal((1, 2, 400)) for _ in range(5)]
    axes = [np.linspace(-1, 1, 11)] * 2

    def picture(signal, positions, velocity, axes):
        return reconstruct(signal, positions, velocity, axes, recover_dc=False).image

    found = processes.map(picture, patches, shared=(positions, velocity, axes))
    for image, patch in zip(found, patches, strict=True):
        np.testing.assert_array_equal(image, picture(patch, positions, velocity, axes))


def test_nobody_at_the_address_is_an_error():
    with pytest.raises(
        ConnectionError, match=r"the scheduler at tcp://127\.0\.0\.1:9: expected it with workers"
    ):
        Cluster("tcp://127.0.0.1:9", patience=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"where": 0}, "where: expected at least one process"),
        ({"where": True}, "where: expected at least one process"),
        ({"threads": 0}, "threads: expected one or more"),
        ({"memory": -1}, "memory: expected a positive number of bytes"),
        ({"patience": float("nan")}, "patience: expected a positive number of seconds"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Cluster(**arguments)


def test_names_must_fit_the_items():
    with pytest.raises(ValueError, match="names: expected 2, one for each item, found 1"):
        Cluster().map(abs, [1, 2], names=["one"])
