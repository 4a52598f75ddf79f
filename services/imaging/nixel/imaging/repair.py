"""What a crash left of recordings: made into datasets, entered into the store, or discarded."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from nixel.acquisition.finishing import Outcome, repair
from nixel.imaging.pipeline import enter_dataset
from nixel.imaging.store import Database, DataFolder, Dataset, Event, Run

Record = Callable[..., None]


def run_of(recording: Path) -> int | None:
    """The number of the run that a recording (or a dataset) belongs to by its name."""
    found = re.match(r"run-(\d+)\.", recording.name)
    return int(found[1]) if found else None


def recorder_of(database: Database) -> Record:
    """What keeps events where no service runs that tells them further."""

    def record(kind: str, text: str, *, run_id: int | None = None, **details: object) -> None:
        event = Event(run_id=run_id, time=datetime.now(UTC), kind=kind, text=text, details=details)
        with database.session() as session:
            session.add(event)

    return record


def repair_recordings(
    folder: DataFolder, database: Database, record: Record, *, dry_run: bool = False
) -> Iterator[tuple[Outcome, int | None]]:
    """Finish every recording that was left behind; what is being written is left alone.

    Parameters
    ----------
    folder, database
        Where they are, and where datasets of runs are entered.
    record : callable
        Takes events, as `Context.record`.
    dry_run : bool
        Say what would be done, and do nothing.

    Yields
    ------
    outcome : Outcome
    dataset : int or None
        The number under which its dataset was entered; None where there is none, or no run that it belongs to.
    """
    for outcome in repair(folder.datasets, dry_run=dry_run):
        run_id = run_of(outcome.recording)
        with database.session() as session:
            run = None if run_id is None else session.get(Run, run_id)
        number = None
        if not dry_run and outcome.result != "busy":
            known = None if run is None else run.id
            if run is not None and outcome.dataset is not None:
                number = _entered(folder, database, run, outcome.dataset)
            text = f"{outcome.recording.name}: {outcome.words}"
            record("repaired", text, run_id=known, result=outcome.result, dataset=number)
        yield outcome, number


def _entered(folder: DataFolder, database: Database, run: Run, path: Path) -> int:
    with database.session() as session:
        known = session.query(Dataset.id).where(Dataset.path == folder.relative(path)).scalar()
    if known is not None:
        return int(known)
    return enter_dataset(folder, database, run.id, run.kind.dataset_kind, path).id
