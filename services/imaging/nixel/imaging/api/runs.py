"""Routes: instruments and runs."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select

from nixel.acquisition.sequences import SequenceError, parse_sequence
from nixel.imaging.answers import (
    HeatingAnswer,
    InstrumentAnswer,
    PlanAnswer,
    PlanRequest,
    RunAnswer,
    RunDetail,
    RunRequest,
    SequenceAnswer,
    SequenceRequest,
)
from nixel.imaging.api.dependencies import Service
from nixel.imaging.api.problems import ProblemError
from nixel.imaging.errors import UserError
from nixel.imaging.service import ImagingService
from nixel.imaging.store import Instrument, Run, RunKind
from nixel.imaging.views import run_answer, run_detail

router = APIRouter(tags=["runs"])

Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most, newest first")]
Before = Annotated[int | None, Query(description="Only those with a smaller number")]


@router.get("/instruments")
def instruments(service: Service) -> list[InstrumentAnswer]:
    """Every instrument configuration that ever ran here."""
    with service.database.session() as session:
        rows = session.scalars(select(Instrument).order_by(Instrument.id)).all()
        return [InstrumentAnswer.model_validate(row) for row in rows]


@router.post("/plans")
def plan(service: Service, request: PlanRequest) -> PlanAnswer:
    """What a job would take on this instrument; nothing is done."""
    return _planned(service, request.kind, request.protocol)


@router.post("/sequences")
def sequence(service: Service, request: SequenceRequest) -> SequenceAnswer:
    """Read a sequence file's text and say what it would take on this instrument; nothing is done."""
    try:
        asked = parse_sequence(request.text, request.name).request
    except SequenceError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error)) from error
    kind = RunKind(asked["kind"])
    return SequenceAnswer(
        kind=kind, protocol=asked["protocol"], plan=_planned(service, kind, asked["protocol"])
    )


def _planned(service: ImagingService, kind: RunKind, protocol: dict[str, Any]) -> PlanAnswer:
    try:
        found = service.jobs.plan(kind, protocol)
    except UserError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error)) from error
    heating = HeatingAnswer.model_validate(found.heating) if found.heating else None
    return PlanAnswer(
        instrument=service.instrument_row.name,
        duration=found.duration,
        size=found.size,
        frames=found.frames,
        on_time=found.on_time,
        duty=found.duty,
        heating=heating,
        notes=list(found.notes),
    )


@router.get("/runs")
def runs(service: Service, limit: Limit = 50, before: Before = None) -> list[RunAnswer]:
    """The runs, newest first."""
    query = select(Run).order_by(Run.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Run.id < before)
    with service.database.session() as session:
        return [run_answer(run, service.jobs.progress(run.id)) for run in session.scalars(query)]


@router.post("/runs", status_code=HTTPStatus.ACCEPTED)
def start_run(service: Service, request: RunRequest) -> RunAnswer:
    """Queue a calibration, a scan or a sequence; it starts when those before it have ended."""
    try:
        run_id = service.jobs.submit(
            request.kind, request.protocol, request.reconstruction, request.calibration_id
        )
    except UserError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error)) from error
    return run(service, run_id)


@router.get("/runs/{run_id}")
def run(service: Service, run_id: int) -> RunDetail:
    """One run with all that happened in it."""
    with service.database.session() as session:
        row = session.get(Run, run_id)
        if row is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no run {run_id}.")
        return run_detail(row, service.jobs.progress(run_id))


@router.post("/runs/{run_id}/cancel")
def cancel_run(service: Service, run_id: int) -> RunDetail:
    """End a run that is queued or running; a scan keeps the frames that it has, as an incomplete dataset."""
    return _asked(service, run_id, service.jobs.cancel)


@router.post("/runs/{run_id}/pause")
def pause_run(service: Service, run_id: int) -> RunDetail:
    """Let the run that measures wait; its state is `paused` as soon as the drive field is off."""
    return _asked(service, run_id, service.jobs.pause)


@router.post("/runs/{run_id}/resume")
def resume_run(service: Service, run_id: int) -> RunDetail:
    """Let a run that waits go on with its next frame."""
    return _asked(service, run_id, service.jobs.resume)


def _asked(service: ImagingService, run_id: int, what: Callable[[int], None]) -> RunDetail:
    try:
        what(run_id)
    except UserError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error)) from error
    return run(service, run_id)
