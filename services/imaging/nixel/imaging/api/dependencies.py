"""What the routes are given."""

from typing import Annotated

from fastapi import Depends, Request

from nixel.imaging.service import ImagingService


def _service(request: Request) -> ImagingService:
    service: ImagingService = request.app.state.service
    return service


Service = Annotated[ImagingService, Depends(_service)]
