"""`nixel mpi simulate`: files to try a reconstruction on."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.outputs import check_folder, computing
from nixel.imaging.cli.typed import length, quantities, shape
from nixel.imaging.errors import UserError


def simulate(
    out: Annotated[Path, typer.Option(help="Folder: new, or an earlier simulation.", metavar="DIR")],
    subject: Annotated[str, typer.Option("--phantom", help="What is scanned.", metavar="dots")] = "dots",
    size: Annotated[
        str, typer.Option("--shape", help="Planes, rows, columns of the calibration.", metavar="1x25x25")
    ] = "1x25x25",
    extent: Annotated[
        str,
        typer.Option("--field-of-view", help="Along z, y, x; of one plane its thickness first.", metavar="…"),
    ] = "1mm,25mm,25mm",
    drive_field: Annotated[
        str, typer.Option(help="Amplitudes along x, y and, in space, z.", metavar="12mT,12mT")
    ] = "12mT,12mT",
    dividers: Annotated[
        str, typer.Option(help="Of the base frequency, x first.", metavar="102,96")
    ] = "102,96",
    base_frequency: Annotated[str, typer.Option(metavar="2.5MHz")] = "2.5MHz",
    gradient: Annotated[
        str, typer.Option(help="Along z; half of it, against it, along x and y.", metavar="2.5T/m")
    ] = "2.5T/m",
    core_diameter: Annotated[str, typer.Option(help="Of the particles.", metavar="25nm")] = "25nm",
    noise: Annotated[str, typer.Option(help="Deviation of a sample.", metavar="1uV")] = "1uV",
    averages: Annotated[int, typer.Option(min=1, help="Periods to a frame.", metavar="N")] = 100,
    frames: Annotated[int, typer.Option(min=1, help="Of the scan.", metavar="N")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.", metavar="N")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads.", metavar="N")] = 1,
) -> None:
    """Simulate a calibration and a scan of a phantom, and write them as MDF."""
    check_folder(out)
    from nixel.imaging.mpi_simulation import FILES, Simulated
    from nixel.imaging.mpi_simulation import simulate as run
    from nixel.imaging.provenance import running_system, software
    from nixel.physics.grid import Grid
    from nixel.physics.mpi import DriveField, FieldFreePoint

    counts = shape("--shape", size)
    lengths = [length("--field-of-view", part) for part in extent.split(",")]
    amplitudes = quantities("--drive-field", drive_field, "T")
    divided = dividers.split(",")
    axes = 2 if counts[0] == 1 else 3
    if len(lengths) != 3:
        raise UserError(f'--field-of-view: found "{extent}"; expected three lengths, of z, y and x')
    if not all(part.strip().isascii() and part.strip().isdigit() for part in divided):
        raise UserError(f'--dividers: found "{dividers}"; expected whole numbers, such as 102,96')
    if not len(amplitudes) == len(divided) == axes:
        raise UserError(
            f"--shape {size} has {axes} axes: expected as many amplitudes and dividers, found --drive-field "
            f'"{drive_field}" and --dividers "{dividers}"'
        )
    (steep,) = quantities("--gradient", gradient, "T/m", 1)
    (base,) = quantities("--base-frequency", base_frequency, "Hz", 1)
    (deviation,) = quantities("--noise", noise, "V", 1)
    typed: dict[str, Any] = {
        "phantom": subject,
        "shape": size,
        "field_of_view": extent,
        "drive_field": drive_field,
        "dividers": dividers,
        "base_frequency": base_frequency,
        "gradient": gradient,
        "core_diameter": core_diameter,
        "noise": noise,
        "averages": averages,
        "frames": frames,
        "seed": seed,
    }
    with progress("mpi") as report, computing(workers):
        asked = Simulated(
            grid=Grid(counts[-axes:], tuple(lengths[-axes:]), lengths[0]),
            drive=DriveField(base, tuple(int(part) for part in divided), tuple(amplitudes)),
            selection=FieldFreePoint((-steep / 2, -steep / 2, steep)),
            core_diameter=length("--core-diameter", core_diameter),
            subject=subject,
            averages=averages,
            frames=frames,
            noise=deviation,
            seed=seed,
        )
        provenance = {
            "parameters": typed,
            "software": software(),
            "system": running_system(),
            "simulated": True,
        }
        try:
            run(asked, out, provenance, workers, report)
        except OSError as error:
            raise UserError(
                f"--out {out}: {error.strerror or error}; name a new or an empty folder"
            ) from error
    for name in FILES:
        typer.echo(out / name)
