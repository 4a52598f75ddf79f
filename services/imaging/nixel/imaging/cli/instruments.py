"""`nixel instruments`: what instruments there are, and whether a file is a good one."""

from typing import Annotated

import typer


def instruments(
    check: Annotated[
        list[str] | None, typer.Argument(help="Names or TOML files to check; all shipped ones if left out.")
    ] = None,
    ratings: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What sensors and parts are rated for, if not as shipped."),
    ] = None,
) -> None:
    """List the shipped instruments, or check instrument files."""
    import subprocess
    import sys

    from nixel.acquisition.instrument import load_instrument, shipped_instruments
    from nixel.acquisition.instrument_file import path_of

    rated = [] if ratings is None else ["--ratings", ratings]
    for name in check or shipped_instruments():
        loaded = load_instrument(name)
        # A microscope may do without the safety daemon, as far as its light can hurt nobody; a scanner's fields cannot.
        guarded = bool(loaded.safety) or loaded.instrument.kind == "scanner"
        if guarded:
            # The safety table is the safety daemon's: its own program says whether it would take it.
            verdict = subprocess.run(
                [sys.executable, "-m", "nixel.safety", "check", *rated, str(path_of(name))],
                capture_output=True,
                text=True,
                check=False,
            )
            if verdict.returncode != 0:
                typer.echo(verdict.stderr.strip(), err=True)
                raise typer.Exit(2)
        mark = " (simulated)" if loaded.simulated else ""
        typer.echo(f"{loaded.name}{mark}: {loaded.instrument.description}")
        typer.echo(
            f"  {loaded.instrument.kind}; devices: {', '.join(loaded.devices)}; {loaded.fingerprint()[:12]}"
        )
        if not guarded:
            typer.echo("  no [safety]: the safety daemon guards nothing of it")
