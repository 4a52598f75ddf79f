"""`nixel plan` and `nixel run`: a sequence file, looked at and started."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nixel.imaging.cli.common import Url, progress
from nixel.imaging.client import DEFAULT_URL

if TYPE_CHECKING:
    from nixel.acquisition.sequences import MicroscopeSequence, ScannerSequence

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A microscope's useq.MDASequence (.json, .yaml), or a scanner's protocol (also .toml).",
    ),
]
_MINUTES, _HOURS = 120.0, 7200.0  # s, from which on they are told


def plan(
    file: File,
    url: Url = DEFAULT_URL,
    instrument: Annotated[
        str | None,
        typer.Option(help="A shipped instrument's name, or a TOML file, instead of a running service's."),
    ] = None,
) -> None:
    """Say what a sequence takes, before anything moves: duration, data, time on, heating."""
    sequence = _load(file)
    _preview(file, sequence, _planned(sequence, url, instrument))


def run(
    file: File,
    url: Url = DEFAULT_URL,
    yes: Annotated[bool, typer.Option("--yes", help="Begin without asking.")] = False,
) -> None:
    """Run a sequence on the instrument of a running service."""
    import sys

    from nixel.imaging.client import ServiceClient

    sequence = _load(file)
    _preview(file, sequence, _planned(sequence, url, None))
    # Who starts it by a script has looked already.
    if not yes and sys.stdin.isatty() and not typer.confirm("Begin?", default=True):
        raise typer.Exit(1)
    client = ServiceClient(url)
    request = sequence.request
    with progress(request["kind"]) as report:
        done = client.perform(request, report)
    for number in done["picture_ids"]:
        typer.echo(f"picture-{number}  {client.url}/api/v1/pictures/{number}/preview.png")
    for number in done["dataset_ids"]:
        typer.echo(f"dataset-{number}  {client.get(f'/datasets/{number}')['path']}")


def _load(file: Path) -> "MicroscopeSequence | ScannerSequence":
    from nixel.acquisition.sequences import load_sequence

    return load_sequence(file)


def _kind(sequence: "MicroscopeSequence | ScannerSequence") -> str:
    from nixel.acquisition.sequences import ScannerSequence

    return f"a {sequence.kind}" if isinstance(sequence, ScannerSequence) else "a microscope's sequence"


def _planned(
    sequence: "MicroscopeSequence | ScannerSequence", url: str, instrument: str | None
) -> dict[str, Any]:
    """The plan as the service's interface tells it, whoever made it."""
    if instrument is None:
        from nixel.imaging.client import ServiceClient

        answer: dict[str, Any] = ServiceClient(url).post("/plans", sequence.request)
        return answer
    from dataclasses import asdict

    from nixel.acquisition.instrument import load_instrument

    configured = load_instrument(instrument)
    return {"instrument": configured.name, **asdict(sequence.plan(configured))}


def _preview(file: Path, sequence: "MicroscopeSequence | ScannerSequence", plan: dict[str, Any]) -> None:
    heating = plan["heating"]
    warmth = (
        f"{heating['part']} from {heating['start']:.1f} to {heating['peak']:.1f} degC at most, by the estimate"
        if heating
        else "not estimated: the instrument file has no data for it"
    )
    lines = [
        f"instrument  {plan['instrument']}",
        f"duration    {_time(plan['duration'])}",
        f"frames      {plan['frames']}",
        f"data        {_size(plan['size'])}",
        f"on          {_time(plan['on_time'])} at a stretch at most, {plan['duty'] * 100:.3g} % of the time",
        f"heating     {warmth}",
        *(f"note        {note}" for note in plan["notes"]),
    ]
    typer.echo("\n  ".join([f"{file}: {_kind(sequence)}", *lines]))


def _time(seconds: float) -> str:
    if seconds < _MINUTES:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < _HOURS else f"{seconds / 3600:.3g} h"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
