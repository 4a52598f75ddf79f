"""`nixel serve` and `nixel openapi`: the imaging service itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nixel.imaging.cli.common import Data, data_folder

if TYPE_CHECKING:
    import socket

DEFAULT_PORT = 8642


def parse_endpoints(endpoints: list[str]) -> dict[str, str]:
    """DEVICE.KEY=ADDRESS, each, as a mapping.

    Raises
    ------
    UserError
        If one is not of that form.
    """
    from nixel.imaging.errors import UserError

    pairs = {}
    for endpoint in endpoints:
        key, equals, address = endpoint.partition("=")
        if not (equals and key and address):
            raise UserError(
                f"--endpoint: expected DEVICE.KEY=ADDRESS, such as daq.control=127.0.0.1:5025, found {endpoint!r}."
            )
        pairs[key] = address
    return pairs


def listen(host: str, port: int) -> "socket.socket":
    """A listening TCP socket.

    Raises
    ------
    UserError
        If the port is taken or not to be had.
    """
    import socket

    from nixel.imaging.errors import UserError

    if not 0 <= port <= 65535:
        raise UserError(f"--port: expected 0 (any free port) to 65535, found {port}.")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UserError(
            f"port {port} on {host} cannot be used ({error.strerror}): another program listens there already, "
            "or it is reserved. Name another one with --port, or 0 for any that is free."
        ) from error
    return listener


def default_page() -> Path | None:
    """The built page: $NIXEL_PAGE, or the one in this checkout."""
    import os

    named = os.environ.get("NIXEL_PAGE")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "web" / "dist"
    return folder if (folder / "index.html").is_file() else None


def _inherited_socket(descriptor: int | None) -> "socket.socket | None":
    """The listening socket that a parent, or systemd's socket activation, has opened for us."""
    import os
    import socket

    if descriptor is None and os.environ.get("LISTEN_PID") == str(os.getpid()):
        descriptor = 3 if os.environ.get("LISTEN_FDS") == "1" else None
    return None if descriptor is None else socket.socket(fileno=descriptor)


def serve(
    instrument: Annotated[str, typer.Option(help="A shipped instrument's name, or a TOML file.")],
    safety_socket: Annotated[Path, typer.Option(help="Where the safety daemon listens.")] = Path(
        "/run/nixel/safety.sock"
    ),
    data: Data = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = DEFAULT_PORT,
    descriptor: Annotated[
        int | None, typer.Option("--fd", help="Use this inherited listening socket instead.", hidden=True)
    ] = None,
    endpoint: Annotated[
        list[str], typer.Option(help="DEVICE.KEY=ADDRESS: reach a device elsewhere than its file says.")
    ] = [],  # noqa: B006 - typer reads it
    page: Annotated[Path | None, typer.Option(help="Folder of the built page.")] = None,
) -> None:
    """Run the imaging service: jobs, the HTTP interface and the page."""
    import uvicorn

    from nixel.acquisition.instrument import load_instrument
    from nixel.imaging.api import create_app
    from nixel.imaging.service import ImagingService
    from nixel.imaging.store import DataFolder

    configured = load_instrument(instrument).with_endpoints(parse_endpoints(endpoint))
    folder = DataFolder(data_folder(data))
    listener = _inherited_socket(descriptor) or listen(host, port)
    with folder, listener:
        service = ImagingService(folder, configured, safety_socket)
        app = create_app(service, page=page or default_page(), hosts=() if host == "0.0.0.0" else (host,))  # noqa: S104
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3, lifespan="on")
        uvicorn.Server(config).run(sockets=[listener])


def openapi() -> None:
    """Print the HTTP interface's OpenAPI description."""
    import json

    from nixel.imaging.api.app import describe

    typer.echo(json.dumps(describe(), indent=2, sort_keys=True))
