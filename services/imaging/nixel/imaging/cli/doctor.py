"""`nixel doctor`: why a library, a program or a .deb does not load, and what to do."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A library, a program or a .deb.")],
    within: Annotated[
        list[Path] | None,
        typer.Option(
            "--in", metavar="FOLDER", help="Look for what is missing here too, and below; repeat it."
        ),
    ] = None,
    host: Annotated[
        Path | None,
        typer.Option(metavar="PROGRAM", help="The program that is to load it, and brings symbols along."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs, as one JSON document.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Every symbol and place, not the first twelve.")
    ] = False,
) -> None:
    """Say why a library, a program or a .deb does not load; nothing of it is run.

    Ends with 0 if nothing is wrong with it, 1 if something is, 2 if it cannot be examined.
    """
    import json

    from nixel.acquisition.doctor.examine import Doctor, DoctorError
    from nixel.acquisition.doctor.report import as_json as for_programs
    from nixel.acquisition.doctor.report import as_text
    from nixel.imaging.errors import UserError

    try:
        report = Doctor(within or (), host).examine(file)
    except DoctorError as error:
        raise UserError(str(error)) from error
    typer.echo(
        json.dumps(for_programs(report), indent=2) if as_json else as_text(report, every=every), nl=as_json
    )
    if not report.healthy:
        raise typer.Exit(1)
