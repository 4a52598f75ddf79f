"""`nixel scan`: a scan or a calibration by a running service."""

from typing import Annotated, Any

import typer

from nixel.imaging.cli.common import Url, progress
from nixel.imaging.client import DEFAULT_URL


def scan(
    url: Url = DEFAULT_URL,
    calibrate: Annotated[bool, typer.Option(help="Measure the system matrix instead of a scan.")] = False,
    averages: Annotated[int | None, typer.Option(help="Periods averaged into one frame.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames to measure.")] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="What is in the bore; for a virtual scanner the phantom: stenosis, dots."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of a simulated instrument's noise.")] = None,
) -> None:
    """Scan what is in the bore, and reconstruct it."""
    from nixel.imaging.client import ServiceClient

    settings: dict[str, Any] = {"averages": averages, "seed": seed}
    if not calibrate:
        settings |= {"frames": frames, "subject": subject}
    request: dict[str, Any] = {
        "kind": "calibration" if calibrate else "scan",
        "protocol": {name: value for name, value in settings.items() if value is not None},
    }
    client = ServiceClient(url)
    with progress(request["kind"]) as report:
        run = client.perform(request, report)
    for number in run["picture_ids"]:
        typer.echo(f"picture-{number}  {client.url}/api/v1/pictures/{number}/preview.png")
    if calibrate:
        typer.echo(f"dataset-{run['dataset_ids'][-1]}")
