"""`nixel runs|datasets|pictures|reproduce`: what a data folder holds, and making it again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nixel.imaging.cli.common import Data, data_folder, progress

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from nixel.imaging.store import Database, DataFolder


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


def runs(data: Data = None) -> None:
    """List the runs of a data folder."""
    from sqlalchemy import select

    from nixel.imaging.store import Run

    _, database = _open(data)
    with database.session() as session:
        rows = [
            (f"run-{run.id}", run.kind, run.state, _when(run.requested_at), run.message)
            for run in session.scalars(select(Run).order_by(Run.id))
        ]
    _table("Runs", ("run", "kind", "state", "asked for", "message"), rows)


def datasets(data: Data = None) -> None:
    """List the datasets of a data folder."""
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
