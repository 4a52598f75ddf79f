"""The job runner: one job at a time, in the order they were asked for, remembered in the store.

A job's steps are committed one by one, each only when its file is whole, so that a restart knows what is left: of a
measurement that was under way the frames are kept that were safe on the disk (its interruption is recorded), one that
was whole is reconstructed.
"""

import logging
import threading
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.formats.mdf import MdfError
from nixel.acquisition.plan import Plan
from nixel.acquisition.protocol import CalibrationProtocol, ProtocolError, ScanProtocol
from nixel.acquisition.recording import RecordingError
from nixel.acquisition.scan import ScanAborted
from nixel.acquisition.sequences import SequenceError
from nixel.imaging import microscope_runs, pipeline
from nixel.imaging.answers import Progress
from nixel.imaging.context import Context
from nixel.imaging.errors import UserError
from nixel.imaging.kept_files import marks_of
from nixel.imaging.parameters import ReconstructionParameters
from nixel.imaging.repair import repair_recordings, run_of
from nixel.imaging.store import UNFINISHED, Dataset, DatasetKind, Run, RunKind, RunState
from nixel.imaging.views import run_answer
from nixel.safety.client import SafetyError

_log = logging.getLogger(__name__)
_KNOWN = (
    *(DeviceError, MdfError, ProtocolError, RecordingError, SafetyError, SequenceError, UserError),
    OSError,
)
_MODELS: dict[RunKind, type[CalibrationProtocol] | type[ScanProtocol]] = {
    RunKind.CALIBRATION: CalibrationProtocol,
    RunKind.SCAN: ScanProtocol,
}
_PAUSED = "paused"
_MEASURED = ("writing", "reconstructing")


def _validated(model: type[Any], settings: dict[str, Any], what: str) -> dict[str, Any]:
    try:
        validated: dict[str, Any] = model(**settings).model_dump(mode="json")
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or what}: {e['msg']}, found {e['input']!r}"
            for e in error.errors()
        )
        raise UserError(f"{what}: {faults}") from error
    return validated


class Jobs:
    """Runs the jobs of one instrument in a thread of its own."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._active: int | None = None
        self._cancelled: set[int] = set()
        self._paused: set[int] = set()
        self._progress: Progress | None = None
        self._thread = threading.Thread(target=self._work, name="jobs")

    # --- what anyone may call ---

    def submit(
        self,
        kind: RunKind,
        protocol: dict[str, Any],
        reconstruction: dict[str, Any],
        calibration_id: int | None = None,
    ) -> int:
        """Queue a job and return its number.

        Raises
        ------
        UserError
            If the settings are wrong, or a scan has no calibration to be reconstructed with.
        """
        settings = self._settings(kind, protocol)
        parameters = _validated(ReconstructionParameters, reconstruction, "reconstruction")
        with self._context.database.session() as session:
            if kind is RunKind.SCAN:
                self._check_calibration(session, calibration_id)
            run = Run(
                instrument_id=self._context.instrument_id,
                kind=kind,
                state=RunState.QUEUED,
                protocol=settings,
                reconstruction=parameters if kind is RunKind.SCAN else {},
                calibration_id=calibration_id if kind is RunKind.SCAN else None,
                requested_at=datetime.now(UTC),
                message="",
            )
            session.add(run)
            session.flush()
            run_id = run.id
        self._context.record("queued", f"Run {run_id} ({kind}) was asked for", run_id=run_id)
        self._publish(run_id)
        self._wake.set()
        return run_id

    def _settings(self, kind: RunKind, protocol: dict[str, Any]) -> dict[str, Any]:
        if kind is RunKind.SEQUENCE:
            return microscope_runs.checked(protocol, self._context.instrument)[0]
        return _validated(_MODELS[kind], pipeline.with_seed(protocol, self._context.instrument), "protocol")

    def plan(self, kind: RunKind, protocol: dict[str, Any]) -> Plan:
        """What a job would take; nothing is done.

        Raises
        ------
        UserError
            If the settings are wrong, or the instrument cannot run it.
        """
        if kind is RunKind.SEQUENCE:
            return microscope_runs.checked(protocol, self._context.instrument)[1]
        try:
            settings = _MODELS[kind](**_validated(_MODELS[kind], protocol, "protocol"))
            return settings.plan(self._context.instrument)
        except ProtocolError as error:
            raise UserError(str(error)) from error

    def _check_calibration(self, session: Session, calibration_id: int | None) -> None:
        """Raise `UserError` unless a scan that is queued now will have a calibration when it is measured."""
        mine = Run.instrument_id == self._context.instrument_id
        if calibration_id is not None:
            dataset = session.get(Dataset, calibration_id)
            if dataset is None or dataset.kind is not DatasetKind.CALIBRATION:
                raise UserError(
                    f"calibration_id: expected the number of a calibration dataset, found {calibration_id}."
                )
            if dataset.run.instrument_id != self._context.instrument_id:
                raise UserError(
                    f"calibration_id: dataset {calibration_id} was measured with another instrument, or with "
                    "another configuration of this one."
                )
            return
        coming = select(Run.id).where(mine, Run.kind == RunKind.CALIBRATION, Run.state.in_(UNFINISHED))
        known = pipeline.newest_calibration(session, self._context.instrument_id)
        if known is None and session.scalar(coming.limit(1)) is None:
            raise UserError(
                f"There is no calibration of {self._context.instrument.name} yet, so a scan could not be "
                'reconstructed: start a run of kind "calibration" first (`nixel scan --calibrate`).'
            )

    def cancel(self, run_id: int) -> None:
        """End a queued or running job.

        Raises
        ------
        UserError
            If there is none of that number, or it has ended.
        """
        with self._context.database.session() as session:
            run = session.get(Run, run_id)
            if run is None:
                raise UserError(f"There is no run {run_id}.")
            if run.state.final:
                raise UserError(f"Run {run_id} has ended already ({run.state}).")
        with self._lock:
            self._cancelled.add(run_id)
            active = self._active == run_id
        if not active:
            self._end(run_id, RunState.CANCELLED, "cancelled before it began")

    def pause(self, run_id: int) -> None:
        """Let the run that measures wait: its state tells when the drive field is off.

        Raises
        ------
        UserError
            If there is none of that number, or it does not measure.
        """
        self._running(run_id)
        with self._lock:
            if self._progress is not None and self._progress.stage in _MEASURED:
                raise UserError(f"Run {run_id} has measured all that it was to: there is nothing to pause.")
            self._paused.add(run_id)

    def resume(self, run_id: int) -> None:
        """Let a run that waits go on with its next frame.

        Raises
        ------
        UserError
            If there is none of that number, or it does not wait.
        """
        self._running(run_id)
        with self._lock:
            if run_id not in self._paused:
                raise UserError(f"Run {run_id} is not paused.")
            self._paused.discard(run_id)

    def _running(self, run_id: int) -> None:
        with self._context.database.session() as session:
            run = session.get(Run, run_id)
        if run is None:
            raise UserError(f"There is no run {run_id}.")
        if run.state.final:
            raise UserError(f"Run {run_id} has ended already ({run.state}).")
        with self._lock:
            if self._active != run_id:
                raise UserError(f"Run {run_id} waits for its turn: only the run that measures can be paused.")

    def progress(self, run_id: int) -> Progress | None:
        """How far a job is, if it is the one that runs."""
        with self._lock:
            return self._progress if self._active == run_id else None

    def start(self) -> None:
        """Take up what an earlier service left, then work."""
        self._recover()
        self._thread.start()

    def stop(self) -> None:
        """Cancel the job that runs and wait for its end."""
        self._ending.set()
        self._wake.set()
        self._thread.join()

    # --- the thread ---

    def _work(self) -> None:
        while not self._ending.is_set():
            self._wake.clear()
            run_id = self._next()
            if run_id is None:
                self._wake.wait()
                continue
            with self._lock:
                self._active, self._progress = run_id, None
            try:
                self._run(run_id)
            finally:
                with self._lock:
                    self._active, self._progress = None, None
                    self._cancelled.discard(run_id)
                    self._paused.discard(run_id)

    def _next(self) -> int | None:
        with self._context.database.session() as session:
            oldest = select(Run.id).where(
                Run.state == RunState.QUEUED, Run.instrument_id == self._context.instrument_id
            )
            return session.scalar(oldest.order_by(Run.id).limit(1))

    def _run(self, run_id: int) -> None:
        with self._context.database.session() as session:
            run = session.get_one(Run, run_id)
            run.state, run.started_at = RunState.RUNNING, run.started_at or datetime.now(UTC)
        self._context.record("started", f"Run {run_id} began", run_id=run_id)
        self._publish(run_id)
        try:
            pipeline.perform(
                self._context,
                run_id,
                progress=lambda stage, done, total: self._report(run_id, stage, done, total),
                cancelled=lambda: self._ending.is_set() or run_id in self._cancelled,
                paused=lambda: run_id in self._paused,
            )
        except ScanAborted as error:
            if self._ending.is_set():
                self._end(run_id, RunState.INTERRUPTED, _words(error, "the service was stopped"))
            else:
                cancelled = run_id in self._cancelled
                self._end(run_id, RunState.CANCELLED if cancelled else RunState.FAILED, _words(error))
        except _KNOWN as error:
            self._end(run_id, RunState.FAILED, _words(error))
        except Exception as error:  # noqa: BLE001
            # Whatever went wrong, the runner must live on for the next job, and the record must say so.
            _log.exception("run %d failed", run_id)
            self._end(run_id, RunState.FAILED, f"an error of nixel's own ({type(error).__name__}: {error})")
        else:
            self._end(run_id, RunState.DONE, "")

    def _report(self, run_id: int, stage: str, done: int, total: int) -> None:
        with self._lock:
            before = self._progress
            self._progress = Progress(stage=stage, done=done, total=total)
        waits, waited = stage == _PAUSED, before is not None and before.stage == _PAUSED
        if waits != waited:
            self._turn(run_id, RunState.PAUSED if waits else RunState.RUNNING)
        # Watchers want to see it move, not every frame.
        if (
            before is None
            or before.stage != stage
            or done == total
            or done * 100 // total != before.done * 100 // total
        ):
            self._publish(run_id)

    def _turn(self, run_id: int, state: RunState) -> None:
        paused = state is RunState.PAUSED
        text = f"Run {run_id} waits, with drive field and light off" if paused else f"Run {run_id} goes on"
        with self._context.database.session() as session:
            session.get_one(Run, run_id).state = state
            kind = "paused" if paused else "continued"
            self._context.record(kind, text, run_id=run_id, session=session)

    def _end(self, run_id: int, state: RunState, message: str) -> None:
        text = f"Run {run_id}: {state}" + (f": {message}" if message else "")
        with self._context.database.session() as session:
            run = session.get_one(Run, run_id)
            run.state, run.message, run.finished_at = state, message, datetime.now(UTC)
            # In one transaction: who finds the run ended finds in its events why.
            self._context.record(str(state), text, run_id=run_id, session=session)
        self._publish(run_id)

    def _publish(self, run_id: int) -> None:
        with self._context.database.session() as session:
            answer = run_answer(session.get_one(Run, run_id), self.progress(run_id))
        self._context.hub.publish("run", answer.model_dump(mode="json"))

    # --- after a restart ---

    def _recover(self) -> None:
        """Decide about every job that was running when the last service ended, however it ended."""
        folder, database = self._context.folder, self._context.database
        pipeline.remove_unfinished_files(folder)
        left = {
            run_of(outcome.recording): outcome.words
            for outcome, _ in repair_recordings(folder, database, self._context.record)
        }
        with database.session() as session:
            begun = (RunState.RUNNING, RunState.PAUSED)
            running = list(session.scalars(select(Run).where(Run.state.in_(begun)).order_by(Run.id)))
        for run in running:
            self._recover_run(run, left.get(run.id, "nothing of it was kept"))

    def _recover_run(self, run: Run, left: str) -> None:
        adopted = pipeline.adopt_whole_file(self._context, run)
        with self._context.database.session() as session:
            kept = session.scalar(select(Dataset).where(Dataset.run_id == run.id).limit(1))
        path = None if kept is None else self._context.folder.path / kept.path
        if kept is None:
            again = f"the service ended while it measured; {left}, start it again"
            self._end(run.id, RunState.INTERRUPTED, again)
        elif path is not None and path.exists() and not marks_of(path).complete:
            self._end(
                run.id,
                RunState.INTERRUPTED,
                f"the service ended while it measured; {left} (dataset-{kept.id})",
            )
        elif run.kind is not RunKind.SCAN:
            self._end(run.id, RunState.DONE, "")
        else:
            with self._context.database.session() as session:
                session.get_one(Run, run.id).state = RunState.QUEUED
            how = "was found whole" if adopted else "had been kept"
            self._context.record("resumed", f"Run {run.id} goes on: its measurement {how}", run_id=run.id)


def _words(error: Exception, text: str = "") -> str:
    """An error with its notes: what of the run is kept."""
    notes = getattr(error, "__notes__", [])
    parts = [text or str(error), *notes]
    return " ".join(part if part.endswith(".") else f"{part}." for part in parts) if notes else parts[0]
