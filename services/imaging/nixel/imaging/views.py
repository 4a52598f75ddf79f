"""Rows of the store as the answers that leave the service."""

from nixel.imaging.answers import EventAnswer, Progress, RunAnswer, RunDetail
from nixel.imaging.store import Run


def run_answer(run: Run, progress: Progress | None) -> RunAnswer:
    """A run as a row of a list."""
    return RunAnswer(
        id=run.id,
        kind=run.kind,
        state=run.state,
        simulated=run.instrument.simulated,
        message=run.message,
        protocol=run.protocol,
        reconstruction=run.reconstruction,
        calibration_id=run.calibration_id,
        requested_at=run.requested_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        dataset_ids=[dataset.id for dataset in run.datasets],
        picture_ids=[picture.id for picture in run.pictures],
        progress=None if run.state.final else progress,
    )


def run_detail(run: Run, progress: Progress | None) -> RunDetail:
    """A run with all that happened in it."""
    return RunDetail(
        **run_answer(run, progress).model_dump(),
        events=[EventAnswer.model_validate(event) for event in run.events],
    )
