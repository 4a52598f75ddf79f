"""What SIGKILL at random moments of a run leaves, and what `nixel datasets repair` makes of it."""

from __future__ import annotations

import collections
import functools
import hashlib
import multiprocessing
import os
import random
import signal
import struct
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from figure import Figure
from typer.testing import CliRunner

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.finishing import recording_of
from nixel.acquisition.formats.mdf import read_mdf
from nixel.acquisition.protocol import ScanProtocol
from nixel.acquisition.recording import Spool, recover
from nixel.acquisition.recording.spool import spools
from nixel.acquisition.scan import ScanAborted
from nixel.acquisition.scan import measure as scan
from nixel.imaging import pipeline
from nixel.imaging.cli import app
from nixel.imaging.store import Database, DataFolder, Dataset, DatasetKind, Instrument, Run, RunKind, RunState
from nixel.imaging.virtual_bench import VirtualBench
from nixel.safety.client import SafetyClient

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    from nixel.acquisition.instrument import Instrument as Configured

__all__ = ["Kills", "kill", "measure"]

PROTOCOL = ScanProtocol(frames=300, averages=3, background_frames=20, seed=11)
_PATIENCE = 60.0  # s
_ABORTED = 3  # exit status
_TRIES = 10
_SECONDS_AFTER = 0.05  # of a run that is over, so that a kill may come late, too


@dataclass
class Kills:
    """What `count` SIGKILLs of the acquiring process did.

    Attributes
    ----------
    moments : list of float
        From the process' first word to the kill, in s.
    left : dict
        What the kills left, and how often: nothing, a recording, a recording and its dataset, a dataset.
    results : dict
        What repair said of the recordings, and how often.
    committed : list of int
        Frames that each run knew to be committed when it was killed.
    kept : int
        Frames that are in the datasets, all of which are those of a run that was not killed, to the bit.
    aborted : int
        Runs that ended before the kill came, because the machine was too busy for the safety daemon; not counted.
    wrong : list of str
        What was not as it must be, a sentence each.
    """

    moments: list[float] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)
    committed: list[int] = field(default_factory=list)
    kept: int = 0
    aborted: int = 0
    wrong: list[str] = field(default_factory=list)


class _CountingSpool(Spool):
    """Tells what is committed as soon as it is, over a pipe."""

    words: Connection

    def commit(self) -> None:
        super().commit()
        os.write(self.words.fileno(), struct.pack("<q", self.committed))


def _victim(
    name: str, endpoints: dict[str, str], socket: str, path: str, record: dict[str, Any], words: Connection
) -> None:
    """Run the scan that is going to be killed; all its imports are made before it is started."""
    from nixel.acquisition import scan as module
    from nixel.acquisition.instrument import load_instrument

    _CountingSpool.words = words
    module.Spool = _CountingSpool
    instrument = load_instrument(name).with_endpoints(endpoints)
    os.write(words.fileno(), struct.pack("<q", -1))
    try:
        scan(instrument, PROTOCOL, path=path, safety=SafetyClient(Path(socket)), provenance=record)
    except (ScanAborted, DeviceError):
        sys.exit(_ABORTED)


@functools.cache
def _processes() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["acquisition_kills"])
    return context


class _Lab:
    """A simulated scanner with its safety daemon, and a data folder whose runs are killed."""

    def __init__(self, bench: VirtualBench, folder: Path) -> None:
        self.bench = bench
        self.folder = DataFolder(folder).open()
        self.database = Database(self.folder.database)
        self.record = pipeline.dataset_provenance(
            bench.instrument, DatasetKind.MEASUREMENT, PROTOCOL.model_dump(mode="json")
        )
        with self.database.session() as session:
            row = _row(bench.instrument)
            session.add(row)
            session.flush()
            self.instrument_id = row.id

    def begin_run(self) -> int:
        with self.database.session() as session:
            run = Run(
                instrument_id=self.instrument_id,
                kind=RunKind.SCAN,
                state=RunState.INTERRUPTED,
                protocol=PROTOCOL.model_dump(mode="json"),
                reconstruction={},
                requested_at=datetime.now(UTC),
            )
            session.add(run)
            session.flush()
            return run.id

    def run_for(self, seconds: float | None, path: Path) -> tuple[int, float, bool]:
        """Run a scan in a process and kill it; return the frames committed, how long it ran, and if it could."""
        self.bench.arm()
        context = _processes()
        heard, told = context.Pipe(duplex=False)
        instrument = self.bench.instrument.name
        arguments = (
            instrument,
            self.bench.endpoints,
            str(self.bench.safety_socket),
            str(path),
            self.record,
            told,
        )
        process = context.Process(target=_victim, args=arguments)
        process.start()
        told.close()
        assert heard.poll(_PATIENCE), "the run did not begin"
        assert _number(heard) == -1
        began = time.monotonic()
        if seconds is None:
            process.join(_PATIENCE)
        else:
            process.join(seconds)
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, signal.SIGKILL)
            process.join(_PATIENCE)
        ran = time.monotonic() - began
        ended = process.exitcode
        assert ended in (0, _ABORTED, -signal.SIGKILL), f"the run ended by itself, with {ended}"
        committed = 0
        while (number := _number(heard)) is not None:
            committed = number
        heard.close()
        return committed, ran, ended != _ABORTED


def _row(instrument: Configured) -> Instrument:
    return Instrument(
        name=instrument.name,
        kind="scanner",
        description="",
        fingerprint=instrument.fingerprint(),
        simulated=True,
        first_seen=datetime.now(UTC),
    )


def _number(heard: Connection) -> int | None:
    data = os.read(heard.fileno(), 8)
    return int(struct.unpack("<q", data)[0]) if len(data) == 8 else None


def kill(count: int, seed: int = 1) -> Kills:
    """Kill `count` runs at moments spread evenly from the opening of the devices to the writing of the dataset."""
    found, chance = Kills(), random.Random(seed)  # noqa: S311  when, not what
    with (
        VirtualBench("virtual-scanner") as bench,
        tempfile.TemporaryDirectory(prefix="nixel-") as place,
    ):
        lab = _Lab(bench, Path(place) / "data")
        whole = Path(place) / "whole.mdf"
        for _ in range(_TRIES):
            committed, lasts, undisturbed = lab.run_for(None, whole)
            if undisturbed:
                break
            whole.unlink(missing_ok=True)
        else:
            raise RuntimeError("the machine is too busy: no run came to its end")
        expected = read_mdf(whole).measurement
        assert expected is not None
        assert committed == len(expected.data)
        while len(found.moments) < count and found.aborted < count + _TRIES:
            path = pipeline.dataset_path(lab.folder, lab.begin_run(), RunKind.SCAN.dataset_kind)
            moment = chance.uniform(0.0, lasts + _SECONDS_AFTER)
            known, ran, undisturbed = lab.run_for(moment, path)
            if undisturbed:
                found.moments.append(ran)
                found.committed.append(known)
            else:
                found.aborted += 1
            _look(lab, path, known, ran, expected.data, found)
    return found


def _look(lab: _Lab, path: Path, known: int, ran: float, expected: NDArray[Any], found: Kills) -> None:
    """Check what one kill left, repair it, and check what became of it."""
    recording = recording_of(path)
    there = {"a recording": recording.exists(), "a dataset": path.exists()}
    left = " and ".join(what for what, is_there in there.items() if is_there) or "nothing"
    found.left[left] = found.left.get(left, 0) + 1
    where = f"{path.name}, killed after {ran:.3f} s with {known} frames committed, left {left}"
    if known and left == "nothing":
        found.wrong.append(f"{where}: they are lost")
    journal = _check_frames(recording, known, where, found) if (recording / "journal").exists() else None
    answer = CliRunner().invoke(app, ["datasets", "repair", "--data", str(lab.folder.path)])
    if answer.exit_code or (recording.name in answer.output) != there["a recording"]:
        found.wrong.append(f"{where}: repair ended with {answer.exit_code} and said {answer.output!r}")
    if there["a recording"]:
        words = ("finished as far as it goes", "finished", "discarded")
        said = next((word for word in words if f": {word}" in answer.output), answer.output)
        found.results[said] = found.results.get(said, 0) + 1
    if spools(lab.folder.datasets) or list(lab.folder.datasets.glob("*.recording")):
        found.wrong.append(f"{where}: a recording is still there")
    if path.exists():
        _check_dataset(lab, path, known, expected, where, found)
    elif journal is not None and journal > PROTOCOL.background_frames:
        found.wrong.append(f"{where}: {journal} frames were in the journal, and no dataset was made of them")
    pipeline.remove_unfinished_files(lab.folder)


def _check_frames(recording: Path, known: int, where: str, found: Kills) -> int | None:
    """Every frame that the run knew to be committed is in the journal, and has its hash; said without our reader."""
    lines = (recording / "journal").read_bytes().split(b"\n")[:-1]
    if not lines:
        return None
    with recover(recording) as left:
        if left is None or left.damaged:
            found.wrong.append(f"{where}: held, or damaged: {left}")
            return None
        frames = list(left.frames())
        for record, frame in zip(left.journal.frames, frames, strict=True):
            if hashlib.sha256(frame.tobytes()).hexdigest() != record.sha256:
                found.wrong.append(f"{where}: frame {record.index} has another hash")
    if len(frames) < known:
        found.wrong.append(f"{where}: {len(frames)} frames are there")
    return len(frames)


def _check_dataset(
    lab: _Lab, path: Path, known: int, expected: NDArray[Any], where: str, found: Kills
) -> None:
    mdf = read_mdf(path)
    assert mdf.measurement is not None
    data = mdf.measurement.data
    found.kept += len(data)
    if len(data) < known or not np.array_equal(data, expected[: len(data)]):
        found.wrong.append(f"{where}: the dataset's {len(data)} frames are not those of an undisturbed run")
    if bool(mdf.extras["complete"]) != (len(data) == len(expected)):
        found.wrong.append(f"{where}: the dataset says complete {mdf.extras['complete']}")
    with lab.database.session() as session:
        rows = session.query(Dataset).where(Dataset.path == lab.folder.relative(path)).all()
        # One that was whole when the kill came is entered by the service's start, not by the repair.
        if rows and rows[0].sha256 != hashlib.sha256(path.read_bytes()).hexdigest():
            found.wrong.append(f"{where}: the store knows another file")


def measure(long: bool) -> Figure:
    """Kill 200 runs, or as many as ``NIXEL_KILLS`` says."""
    count = int(os.environ.get("NIXEL_KILLS", "200" if long else "20"))
    found = kill(count)
    left = ", ".join(f"{what} {number} times" for what, number in sorted(found.left.items()))
    results = collections.Counter(found.results)
    words = ", ".join(f"{what} {number}" for what, number in sorted(results.items()))
    return Figure(
        title="SIGKILL at random moments of a run",
        bound="200 kills; every committed frame is there and hashes right; repair finishes or discards, and says which",
        found=(
            f"{len(found.moments)} kills, {sum(found.committed)} frames known to be committed, {found.kept} frames in "
            f"datasets, {len(found.wrong)} wrong. Left: {left}. Repair: {words}."
        ),
        good=not found.wrong and len(found.moments) >= (200 if long else count),
        how=(
            "The acquiring process runs a scan of the virtual scanner, with the real safety daemon, and tells"
            " each commit over a pipe; it is killed at a moment spread evenly from the opening of the devices"
            " to just after the dataset's writing. Then every line of the journal is compared with its frame,"
            " `nixel datasets repair` is run, and the dataset's frames are compared to the bit with those of "
            "the same scan undisturbed (same seed). A run that was killed before the first frame of its subject has"
            f" frames of the empty bore alone, at most {PROTOCOL.background_frames}: they are discarded, and are what "
            "no dataset has."
        ),
        values=asdict(found),
    )
