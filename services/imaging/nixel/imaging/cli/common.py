"""What several commands share: where the data is, and how progress looks."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol

import typer

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="The data folder; $NIXEL_DATA, or nixel in the user's data home, if left out."
    ),
]
Url = Annotated[str, typer.Option("--url", help="The imaging service's address.")]


def data_folder(path: Path | None) -> Path:
    """The data folder that is meant."""
    from nixel.imaging.store.folder import default_data_folder

    return path if path is not None else default_data_folder()


def this_command() -> str:
    """How the person at the keyboard can call this command: by its name, or by its path where it is not found."""
    if shutil.which("nixel"):
        return "nixel"
    beside = Path(sys.executable).with_name("nixel")
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


class Report(Protocol):
    """Told how far something is."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say that of `total` steps of `stage`, `done` are done."""


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A progress bar on a terminal; elsewhere a line for each stage."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    if not sys.stderr.isatty():
        seen: list[str] = []

        def say(stage: str, done: int, total: int) -> None:  # noqa: ARG001
            if stage not in seen:
                seen.append(stage)
                typer.echo(f"  {title}: {stage}", err=True)

        yield say
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                for task in tasks.values():
                    bars.update(task, completed=bars.tasks[task].total)
                tasks[stage] = bars.add_task(f"{title}: {stage}", total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
        for task in tasks.values():
            bars.update(task, completed=bars.tasks[task].total)
