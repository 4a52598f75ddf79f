"""Routes: the instrument's devices."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.readings import PropertyRefusedError
from nixel.imaging.api.dependencies import Service
from nixel.imaging.api.problems import ProblemError
from nixel.imaging.api.system import event
from nixel.imaging.device_answers import ChangeAnswer, ChangeRequest, DevicesAnswer
from nixel.imaging.service import ImagingService

router = APIRouter(tags=["devices"])

Interval = Annotated[float, Query(ge=0.2, le=60, description="How often to look, in s")]
_STATUS = {
    "unknown": HTTPStatus.NOT_FOUND,
    "read-only": HTTPStatus.FORBIDDEN,
    "value": HTTPStatus.UNPROCESSABLE_ENTITY,
    "busy": HTTPStatus.CONFLICT,
}


@router.get("/devices")
def devices(service: Service) -> DevicesAnswer:
    """Every device with its properties, read just now; while a run has them, through its own connections."""
    return service.devices.look()


# A property may be named by a vendor's driver, with whatever is in the name.
@router.put("/devices/{device}/{name:path}")
def set_property(service: Service, device: str, name: str, request: ChangeRequest) -> ChangeAnswer:
    """Set a property between runs, and read it back."""
    try:
        return service.devices.set(device, name, request.value)
    except PropertyRefusedError as error:
        raise ProblemError(_STATUS[error.reason], str(error)) from error
    except DeviceError as error:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error


async def _stream(service: ImagingService, interval: float) -> AsyncIterator[ServerSentEvent]:
    # Watch first, then look: nothing that changes in between is missed.
    with service.devices.hub.watch() as queue, service.devices.watched(interval):
        answer = await run_in_threadpool(service.devices.look)
        yield event("devices", answer.model_dump(mode="json"))
        while True:
            notice = await queue.get()
            yield event(notice.topic, notice.data)


@router.get(
    "/devices/events",
    response_class=EventSourceResponse,
    responses={200: {"description": "`devices`, each with all of them as JSON, as GET /devices has it"}},
)
async def device_events(service: Service, interval: Interval = 1.0) -> EventSourceResponse:
    """Every device now, and again whenever something has changed; the devices stay open as long as somebody listens."""
    return EventSourceResponse(_stream(service, interval), ping=15)
