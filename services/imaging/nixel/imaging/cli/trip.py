"""`nixel safety plot`: a picture of what the safety daemon recorded around a trip."""

from pathlib import Path
from typing import Annotated

import typer

from nixel.imaging.errors import UserError

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def plot(
    recording: Annotated[str, typer.Argument(metavar="FILE", help="A file, a number, or latest.")] = "latest",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PNG", help="Default: its name with .png, here.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, metavar="S", help="How much before the trip; else all of it.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the recordings are; else the daemon's.")
    ] = None,
) -> None:
    """Draw what was read, commanded and decided around a trip."""
    from PIL import Image

    from nixel.imaging.trip_picture import draw_trip
    from nixel.safety.cli.blackbox import find
    from nixel.safety.records.recording import RecordingError, read

    path = find(recording, folder)
    target = Path(f"{path.stem}.png") if out is None else out
    if target.suffix.lower() != ".png":
        raise UserError(f"--out {target}: expected a name that ends in .png")
    try:
        picture = draw_trip(read(path), seconds)
    except RecordingError as error:
        raise UserError(str(error)) from error
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    try:
        Image.fromarray(picture).save(target)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror}. Name another file with --out."
        ) from error
    typer.echo(target)
