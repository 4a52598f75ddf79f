"""The application: routes, error answers, the page."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from nixel.imaging.api import problems
from nixel.imaging.api.devices import router as devices
from nixel.imaging.api.pictures import router as pictures
from nixel.imaging.api.runs import router as runs
from nixel.imaging.api.system import router as system
from nixel.imaging.service import ImagingService

DESCRIPTION = """Scans, datasets and pictures of one imaging instrument, and the state of its safety daemon.

Instants are UTC (ISO 8601). Errors are problem details (RFC 9457). Progress comes as server-sent events from
`/api/v1/events`."""

_NO_PAGE = """<!doctype html><html lang="en"><title>nixel</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto">
<h1>nixel</h1>
<p>The service works, but its page is not built: that needs Node 20.19 or newer, and <code>make page</code>.
Until then there is the <a href="/api/openapi.json">interface</a> and the command <code>nixel</code>.</p>"""

# The page loads nothing from elsewhere and is framed by nobody.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def _assemble() -> FastAPI:
    """The interface without what is behind it."""
    app = FastAPI(
        title="nixel imaging",
        version=version("nixel-imaging"),
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        # The usual documentation pages load their scripts from elsewhere, which an appliance does not.
        docs_url=None,
        redoc_url=None,
        responses=problems.RESPONSES,
    )
    problems.install(app)
    for router in (runs, pictures, devices, system):
        app.include_router(router, prefix="/api/v1")
    return app


def describe() -> dict[str, Any]:
    """The OpenAPI description of the interface."""
    return _assemble().openapi()


def create_app(service: ImagingService, *, page: Path | None = None, hosts: tuple[str, ...] = ()) -> FastAPI:
    """Make the application around a service.

    Parameters
    ----------
    service : ImagingService
        Started with the application and stopped with it.
    page : Path or None
        Folder of the built page; None where there is none.
    hosts : tuple of str
        Host names under which it answers besides the loopback ones; a page elsewhere cannot reach it by
        giving its own name this machine's address.
    """
    app = _assemble()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            # In a thread: a job that is told to end may take a moment, and the event loop still serves.
            await run_in_threadpool(service.stop)

    app.router.lifespan_context = lifespan
    app.state.service = service
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", *hosts])

    @app.middleware("http")
    async def headers(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        response.headers.update(_HEADERS)
        return response

    if page is not None and (page / "index.html").is_file():
        app.mount("/", StaticFiles(directory=page, html=True), name="page")
    else:

        @app.get("/", include_in_schema=False)
        async def no_page() -> HTMLResponse:
            return HTMLResponse(_NO_PAGE)

    return app
