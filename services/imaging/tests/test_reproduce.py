"""`reproduce` on a machine that stands still meanwhile: the safety daemon switches off, the bits stay the same."""

import signal
import time

import pytest
from stored_runs import enter_scan
from whole_system import INSTRUMENT, patient_bench

from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.protocol import ScanProtocol
from nixel.acquisition.scan import ScanAborted, measure
from nixel.imaging import pipeline
from nixel.imaging import reproduce as reproducing
from nixel.imaging.store import DataFolder, DatasetKind, RunState
from nixel.imaging.virtual_bench import VirtualBench

PROTOCOL = ScanProtocol(frames=20, averages=2, background_frames=1, seed=3)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A data folder with one simulated measurement."""
    with DataFolder(tmp_path_factory.mktemp("data")) as folder:
        pass
    shipped = load_instrument(INSTRUMENT)
    protocol = PROTOCOL.model_dump(mode="json")
    database, number = enter_scan(folder, RunState.DONE, protocol, shipped.fingerprint())
    path = pipeline.dataset_path(folder, number, DatasetKind.MEASUREMENT)
    with patient_bench(INSTRUMENT) as bench:
        bench.arm()
        record = pipeline.dataset_provenance(shipped, DatasetKind.MEASUREMENT, protocol)
        # The bench is patient, but what is measured is the shipped instrument.
        instrument = shipped.with_endpoints(bench.endpoints)
        measure(instrument, PROTOCOL, path=path, safety=bench.safety, provenance=record)
    pipeline.enter_dataset(folder, database, number, DatasetKind.MEASUREMENT, path)
    yield folder, database
    database.close()


@pytest.fixture
def benches(monkeypatch):
    """The benches that `reproduce` starts."""
    started = []

    class Seen(VirtualBench):
        def __enter__(self):
            started.append(self)
            return super().__enter__()

    monkeypatch.setattr(reproducing, "VirtualBench", Seen)
    return started


def again(stored, benches, times):
    """Make the measurement again while its safety daemon stands still in the first so many attempts."""
    frozen = []

    def report(_stage, done, _total):
        if not done or len(benches) > times or benches[-1] in frozen:
            return
        frozen.append(benches[-1])
        daemon = next(child for child in benches[-1].children if child.name == "safety daemon")
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        daemon.process.send_signal(signal.SIGCONT)

    return reproducing.reproduce(*stored, "dataset-1", from_stored=False, report=report)


def test_a_measurement_that_the_safety_daemon_ended_begins_anew_and_gives_the_same_bits(stored, benches):
    outcome = again(stored, benches, 1)
    assert len(benches) >= 2
    anew = [line for line in outcome.lines if line.startswith("begun anew   dataset-1, switched off")]
    assert len(anew) == len(benches) - 1
    assert outcome.identical, outcome.lines
    assert outcome.lines[-1].startswith("identical  dataset-1: simulated again")


def test_a_machine_that_stands_still_each_time_is_told_why(stored, benches):
    # Which of them is found first depends on which thread goes on first.
    with pytest.raises(ScanAborted, match=r"amplifier reports|missed more than|ms old"):
        again(stored, benches, 9)
    assert len(benches) == 3
