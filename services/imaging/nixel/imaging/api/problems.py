"""Errors as problem details, RFC 9457: every error answer is `application/problem+json`."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from nixel.safety.client import SafetyError

_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """Problem details as RFC 9457 defines them."""

    type: str = Field(default="about:blank", description="What kind of problem it is")
    title: str = Field(description="The kind in words", examples=["Not Found"])
    status: int = Field(description="The HTTP status", examples=[404])
    detail: str = Field(description="This very problem: what was expected, what was found, what to do")
    instance: str = Field(description="The request that met it", examples=["/api/v1/runs/7"])


class ProblemError(Exception):
    """An answer other than success, for the client to read."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def respond(request: Request, status: int, detail: str) -> JSONResponse:
    """Problem details for this request."""
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
    )
    return JSONResponse(problem.model_dump(), status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> JSONResponse:
        return respond(request, error.status, error.detail)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return respond(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return respond(request, HTTPStatus.UNPROCESSABLE_ENTITY, places)

    @app.exception_handler(SafetyError)
    async def _safety(request: Request, error: SafetyError) -> JSONResponse:
        return respond(request, HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        detail = (
            "The service met an error of its own; its log says more. Nothing was changed by this request."
        )
        return respond(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Anything else, as problem details (RFC 9457)",
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
}
