"""Routes: instruments and runs."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select

from nixel.imaging.answers import InstrumentAnswer, RunAnswer, RunDetail, RunRequest
from nixel.imaging.api.dependencies import Service
from nixel.imaging.api.problems import ProblemError
from nixel.imaging.errors import UserError
from nixel.imaging.store import Instrument, Run
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
    """Queue a calibration or a scan; it starts when those before it have ended."""
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
    """End a run that is queued or running; it keeps nothing that is not whole."""
    try:
        service.jobs.cancel(run_id)
    except UserError as error:
        raise ProblemError(HTTPStatus.CONFLICT, str(error)) from error
    return run(service, run_id)
