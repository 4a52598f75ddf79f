"""Routes: the service itself, the safety daemon, live events."""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from sqlalchemy import select
from sse_starlette import EventSourceResponse, ServerSentEvent

from nixel.imaging.answers import InstrumentAnswer, SafetyAnswer, StatusAnswer, StopRequest
from nixel.imaging.api.dependencies import Service
from nixel.imaging.provenance import running_system, software
from nixel.imaging.safety_watch import told
from nixel.imaging.service import ImagingService
from nixel.imaging.store import UNFINISHED, Run
from nixel.imaging.views import run_answer
from nixel.safety.client import SafetyError

router = APIRouter(tags=["system"])


@router.get("/status")
def status(service: Service) -> StatusAnswer:
    """What this service is, and which system it runs on."""
    return StatusAnswer(
        version=service.version,
        instrument=InstrumentAnswer.model_validate(service.instrument_row),
        system=running_system(),
        software=software(),
    )


@router.get("/safety")
def safety(service: Service) -> SafetyAnswer:
    """The safety daemon's state, asked for now."""
    try:
        return SafetyAnswer.model_validate(told(service.safety.status()))
    except SafetyError as error:
        return SafetyAnswer(reachable=False, message=str(error))


@router.post("/safety/stop")
def stop(service: Service, request: StopRequest) -> SafetyAnswer:
    """De-energise now. Anyone may; arming again is the operator's."""
    service.safety.stop(request.reason)
    service.context.record("stop", f"The stop button was pressed: {request.reason}")
    return safety(service)


def event(topic: str, data: dict[str, object]) -> ServerSentEvent:
    """One server-sent event."""
    return ServerSentEvent(json.dumps(data), event=topic)


async def _stream(service: ImagingService, request: Request) -> AsyncIterator[ServerSentEvent]:
    # Watch first, then take stock: nothing that happens in between is missed.
    with service.hub.watch() as queue:
        with service.database.session() as session:
            active = select(Run).where(Run.state.in_(UNFINISHED)).order_by(Run.id)
            for run in session.scalars(active):
                answer = run_answer(run, service.jobs.progress(run.id))
                yield event("run", answer.model_dump(mode="json"))
        if service.last_safety is not None:
            yield event("safety", service.last_safety)
        while not await request.is_disconnected():
            notice = await queue.get()
            yield event(notice.topic, notice.data)


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses={200: {"description": "`run`, `safety` and `event`, each with the newest state as JSON"}},
)
async def events(service: Service, request: Request) -> EventSourceResponse:
    """Live events: first what runs now and the safety state, then every change."""
    return EventSourceResponse(_stream(service, request), ping=15)
