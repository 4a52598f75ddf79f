"""`nixel mdf`: whether a file is MDF as the specification wants it, and what it holds."""

import json
from pathlib import Path
from typing import Annotated

import typer

mdf = typer.Typer(
    help="Check MDF files of any scanner, and tell what they hold.",
    no_args_is_help=True,
    add_completion=False,
)
File = Annotated[Path, typer.Argument(help="An MDF file.", metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def _printable(text: object) -> str:
    """A file's own words may hold what would steer the terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text)
    )


@mdf.command()
def check(file: File, as_json: AsJson = False) -> None:
    """Check a file against MDF 2.1: exit status 0 if it is good, 1 if not, 2 if it is no MDF file."""
    from nixel.acquisition.formats.mdf_inspect import inspect

    report = inspect("check", file)
    if as_json:
        typer.echo(json.dumps({"file": str(file), **report}, indent=2))
    else:
        for kind in ("error", "warning"):
            for finding in report[f"{kind}s"]:
                typer.echo(f"{kind}: {_printable(finding['path'])}")
                for name in ("expected", "found"):
                    typer.echo(f"  {name + ':':<10}{_printable(finding[name])}")
                typer.echo(f"  {'to do:':<10}{_printable(finding['remedy'])}")
        sizes = ", ".join(f"{letter} = {number}" for letter, number in report["sizes"].items())
        errors, warnings = len(report["errors"]), len(report["warnings"])
        verdict = "good" if not errors else "not as MDF 2.1 wants it"
        counted = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
        typer.echo(f"{_printable(file)}: {verdict} ({counted})" + (f"; {sizes}" if sizes else ""))
    if report["errors"]:
        raise typer.Exit(1)


@mdf.command()
def info(file: File, as_json: AsJson = False) -> None:
    """Tell what a file holds, and what was assumed for what it lacks."""
    from nixel.acquisition.formats.mdf_inspect import inspect

    told = inspect("info", file)
    if as_json:
        typer.echo(json.dumps({"file": str(file), **told}, indent=2))
        return
    for name, value in told.items():
        for line, text in enumerate(value if isinstance(value, list) else [value]):
            typer.echo(f"{'' if line else name:<22}  {_printable(text)}".rstrip())
