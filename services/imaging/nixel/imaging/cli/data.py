"""`nixel runs|datasets|pictures|reproduce`: what a data folder holds, mending it, and making it again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nixel.imaging.cli.common import Data, Url, data_folder, progress
from nixel.imaging.client import DEFAULT_URL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from nixel.acquisition.finishing import Outcome
    from nixel.imaging.store import Database, DataFolder

runs = typer.Typer(
    help="List the runs of a data folder; pause, resume or cancel the one that a service works on.",
    add_completion=False,
)
datasets = typer.Typer(
    help="List the datasets of a data folder; repair what a crash left.", add_completion=False
)
RunNumber = Annotated[
    int | None, typer.Argument(metavar="[RUN]", help="Its number; the one that runs, if left out.")
]


def _open(data: Path | None) -> "tuple[DataFolder, Database]":
    """The data folder and its database, which must be there."""
    from nixel.imaging.errors import UserError
    from nixel.imaging.store import Database, DataFolder

    folder = DataFolder(data_folder(data))
    if not folder.database.is_file():
        raise UserError(
            f"{folder.path}: expected a nixel data folder, found no {folder.database.name} in it. Name the folder "
            "with --data DIR (`nixel demo` prints the one it uses)."
        )
    return folder, Database(folder.database)


def _table(title: str, columns: "Iterable[str]", rows: "Iterable[Iterable[object]]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)


def _when(instant: "datetime | None") -> str:
    return "" if instant is None else instant.astimezone().strftime("%Y-%m-%d %H:%M:%S")


@runs.callback(invoke_without_command=True)
def _list_runs(context: typer.Context, data: Data = None) -> None:
    """List the runs of a data folder."""
    if context.invoked_subcommand is not None:
        return
    from sqlalchemy import select

    from nixel.imaging.store import Run

    _, database = _open(data)
    with database.session() as session:
        rows = [
            (f"run-{run.id}", run.kind, run.state, _when(run.requested_at), run.message)
            for run in session.scalars(select(Run).order_by(Run.id))
        ]
    _table("Runs", ("run", "kind", "state", "asked for", "message"), rows)


@runs.command()
def pause(run: RunNumber = None, url: Url = DEFAULT_URL) -> None:
    """Let the run that measures wait, with the drive field off and the safety lease held."""
    _ask(run, url, "pause")


@runs.command()
def resume(run: RunNumber = None, url: Url = DEFAULT_URL) -> None:
    """Let a run that waits go on with its next frame."""
    _ask(run, url, "resume")


@runs.command()
def cancel(run: RunNumber = None, url: Url = DEFAULT_URL) -> None:
    """End a run; a scan keeps the frames that it has, as an incomplete dataset."""
    _ask(run, url, "cancel")


def _ask(run: int | None, url: str, what: str) -> None:
    """Ask a running service, and wait until the run does it."""
    from nixel.imaging.client import ServiceClient
    from nixel.imaging.errors import UserError

    client = ServiceClient(url)
    if run is None:
        active = [one["id"] for one in client.get("/runs") if one["state"] in ("running", "paused")]
        if not active:
            raise UserError(f"Nothing is running at {client.url}, so there is nothing to {what}.")
        run = active[0]
    client.post(f"/runs/{run}/{what}", {})
    before = {"pause": ("running",), "resume": ("paused",), "cancel": ("queued", "running", "paused")}[what]
    found = client.wait(run, before)
    typer.echo(f"run-{run}: {found['state']}" + (f": {found['message']}" if found["message"] else ""))


@datasets.callback(invoke_without_command=True)
def _list_datasets(context: typer.Context, data: Data = None) -> None:
    """List the datasets of a data folder."""
    if context.invoked_subcommand is not None:
        return
    from sqlalchemy import select

    from nixel.imaging.store import Dataset

    _, database = _open(data)
    with database.session() as session:
        rows = [
            (
                f"dataset-{d.id}",
                d.kind,
                f"run-{d.run_id}",
                "simulated" if d.simulated else "",
                d.path,
                d.sha256[:16],
            )
            for d in session.scalars(select(Dataset).order_by(Dataset.id))
        ]
    _table("Datasets", ("dataset", "kind", "run", "", "file", "SHA-256"), rows)


@datasets.command()
def repair(
    data: Data = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")] = False,
) -> None:
    """Finish the recordings that a crash left behind: make datasets of them, or discard what cannot be one.

    What is being written is left alone. Exit status 1 if a recording had to stay, or frames are damaged.
    """
    from nixel.imaging.repair import recorder_of, repair_recordings

    folder, database = _open(data)
    found = list(repair_recordings(folder, database, recorder_of(database), dry_run=dry_run))
    for outcome, number in found:
        typer.echo(_said(outcome, number, dry_run=dry_run))
    if not found:
        typer.echo("There is no recording that was left behind.")
    if any(outcome.result == "left" or outcome.damaged for outcome, _ in found):
        raise typer.Exit(1)


def _said(outcome: "Outcome", number: int | None, *, dry_run: bool) -> str:
    """One recording's fate, in a line."""
    would = "would be " if dry_run and outcome.result not in ("busy", "left") else ""
    results = {
        "incomplete": "finished as far as it goes",
        "busy": "left alone",
        "left": "LEFT AS IT IS",
    }
    name = f" -> {outcome.dataset.name}" if outcome.dataset is not None else ""
    entered = f" (dataset-{number})" if number is not None else ""
    return (
        f"{outcome.recording.name}: {would}{results.get(outcome.result, outcome.result)}{name}{entered}: "
        f"{outcome.words}"
    )


def pictures(data: Data = None) -> None:
    """List the pictures of a data folder."""
    from sqlalchemy import select

    from nixel.imaging.store import Picture

    _, database = _open(data)
    with database.session() as session:
        rows = [
            (
                f"picture-{p.id}",
                f"run-{p.run_id}",
                _when(p.created_at),
                "simulated" if p.simulated else "",
                p.path,
            )
            for p in session.scalars(select(Picture).order_by(Picture.id))
        ]
    _table("Pictures", ("picture", "run", "made", "", "file"), rows)


def reproduce(
    identity: Annotated[str, typer.Argument(metavar="ID", help="picture-N or dataset-N.")],
    data: Data = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Take the stored datasets; do not simulate them again.")
    ] = False,
) -> None:
    """Make a picture or a simulated dataset again, and compare it bit for bit."""
    from nixel.imaging.reproduce import reproduce as again

    folder, database = _open(data)
    with progress(f"reproducing {identity}") as report:
        result = again(folder, database, identity, from_stored=stored, report=report)
    for line in result.lines:
        typer.echo(line)
    if not result.identical:
        raise typer.Exit(1)
