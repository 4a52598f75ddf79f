"""`nixel mpi simulate`: files to try a reconstruction on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.mpi_trajectory import TOPOLOGIES, centres, check_fields, trajectory, usual
from nixel.imaging.cli.outputs import about_input, check_out, computing
from nixel.imaging.cli.typed import length, one_of, quantities, shape
from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from nixel.imaging.mpi_simulation import Simulated

_FIELDS, _SAMPLE, _BORE = "The fields", "The sample and its places", "The receive path"


def simulate(
    out: Annotated[Path, typer.Option(help="Folder: new, or an earlier simulation.", metavar="DIR")],
    subject: Annotated[
        str, typer.Option("--phantom", help="What is scanned.", metavar="dots", rich_help_panel=_SAMPLE)
    ] = "dots",
    size: Annotated[
        str,
        typer.Option(
            "--shape",
            help="Planes, rows, columns of the calibration.",
            metavar="1x25x25",
            rich_help_panel=_SAMPLE,
        ),
    ] = "1x25x25",
    extent: Annotated[
        str,
        typer.Option(
            "--field-of-view",
            help="Of the calibration, along z, y, x; of one plane its thickness first.",
            metavar="1mm,25mm,25mm",
            rich_help_panel=_SAMPLE,
        ),
    ] = "1mm,25mm,25mm",
    patches: Annotated[
        str | None,
        typer.Option(
            help="Places of the field-free point, along z, y, x; each sees a calibration's field of view.",
            metavar="1x2x2",
            rich_help_panel=_SAMPLE,
        ),
    ] = None,
    overlap: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.9,
            help="Part that neighbouring patches share.",
            metavar="0.2",
            rich_help_panel=_SAMPLE,
        ),
    ] = 0.0,
    topology: Annotated[
        str,
        typer.Option("--field-free", metavar="|".join(TOPOLOGIES), rich_help_panel=_FIELDS),
    ] = "point",
    lines: Annotated[
        str | None,
        typer.Option(
            help="Cartesian: x is swept, y (and z) rest at so many lines, a period each. Lissajous if left out.",
            metavar="25",
            rich_help_panel=_FIELDS,
        ),
    ] = None,
    angles: Annotated[
        int,
        typer.Option(
            min=2, help="Of the line, over half a turn; a period each.", metavar="N", rich_help_panel=_FIELDS
        ),
    ] = 30,
    rotation_divider: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="The line turns evenly while it is swept, so often: of the base frequency.",
            metavar="7500",
            rich_help_panel=_FIELDS,
        ),
    ] = None,
    drive_field: Annotated[
        str | None,
        typer.Option(
            help="Amplitudes along x, y and, in space, z, 12mT,12mT if left out; of a field-free line one, 16mT.",
            metavar="12mT,12mT",
            rich_help_panel=_FIELDS,
        ),
    ] = None,
    dividers: Annotated[
        str | None,
        typer.Option(
            help="Of the base frequency, x first, 102,96 if left out; with --lines of x alone, 102; of a field-free "
            "line one, 250.",
            metavar="102,96",
            rich_help_panel=_FIELDS,
        ),
    ] = None,
    base_frequency: Annotated[str, typer.Option(metavar="2.5MHz", rich_help_panel=_FIELDS)] = "2.5MHz",
    gradient: Annotated[
        str | None,
        typer.Option(
            help="Along z, 2.5T/m if left out; half of it, against it, along x and y. Of a line across it, 1.25T/m.",
            metavar="2.5T/m",
            rich_help_panel=_FIELDS,
        ),
    ] = None,
    core_diameter: Annotated[
        str, typer.Option(help="Of the particles; the median.", metavar="25nm", rich_help_panel=_SAMPLE)
    ] = "25nm",
    size_deviation: Annotated[
        float,
        typer.Option(
            min=0, help="Of the diameter's logarithm; 0: all alike.", metavar="0.1", rich_help_panel=_SAMPLE
        ),
    ] = 0.0,
    relaxation_time: Annotated[
        str,
        typer.Option(help="Debye's; 0s: particles follow at once.", metavar="2us", rich_help_panel=_SAMPLE),
    ] = "0s",
    noise: Annotated[
        str, typer.Option(help="Deviation of a sample.", metavar="1uV", rich_help_panel=_BORE)
    ] = "1uV",
    corner_frequency: Annotated[
        str,
        typer.Option(
            help="Below it the noise rises as 1/f; 0Hz: it is white.", metavar="10kHz", rich_help_panel=_BORE
        ),
    ] = "0Hz",
    feed_through: Annotated[
        str,
        typer.Option(
            help="Of the drive frequencies; a tenth of it of their harmonics.",
            metavar="10mV",
            rich_help_panel=_BORE,
        ),
    ] = "0V",
    drift: Annotated[
        float,
        typer.Option(
            help="Relative change of the feed-through as the scanner warms up, in a minute.",
            metavar="0.01",
            rich_help_panel=_BORE,
        ),
    ] = 0.0,
    transfer: Annotated[
        list[Path] | None,
        typer.Option(
            help="What the receive path makes of a voltage: frequency and complex number, as in the manual; of all "
            "channels, or once for each.",
            metavar="CSV",
            rich_help_panel=_BORE,
        ),
    ] = None,
    averages: Annotated[
        int, typer.Option(min=1, help="Periods to a frame.", metavar="N", rich_help_panel=_BORE)
    ] = 100,
    frames: Annotated[int, typer.Option(min=1, help="Of the scan.", metavar="N", rich_help_panel=_BORE)] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.", metavar="N")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads.", metavar="N")] = 1,
) -> None:
    """Simulate a calibration and a scan of a phantom, and write them as MDF."""
    check_out(out, folder=True)
    known = usual(one_of("--field-free", topology, *TOPOLOGIES), lines)
    typed: dict[str, Any] = {
        "phantom": subject,
        "shape": size,
        "field_of_view": extent,
        "patches": patches,
        "overlap": overlap,
        "field_free": topology,
        "lines": lines,
        "angles": angles if topology == "line" and rotation_divider is None else None,
        "rotation_divider": rotation_divider,
        "drive_field": drive_field or known["drive_field"],
        "dividers": dividers or known["dividers"],
        "base_frequency": base_frequency,
        "gradient": gradient or known["gradient"],
        "core_diameter": core_diameter,
        "size_deviation": size_deviation,
        "relaxation_time": relaxation_time,
        "noise": noise,
        "corner_frequency": corner_frequency,
        "feed_through": feed_through,
        "drift": drift,
        "transfer": [about_input(path) for path in transfer or ()],
        "averages": averages,
        "frames": frames,
        "seed": seed,
    }
    check_fields(typed)
    from nixel.imaging.mpi_simulation import FILES
    from nixel.imaging.mpi_simulation import simulate as run
    from nixel.imaging.provenance import running_system, software

    with progress("mpi") as report, computing(workers):
        asked = _asked(typed, transfer or [])
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


def _asked(typed: dict[str, Any], tables: list[Path]) -> "Simulated":
    """Turn what was typed into what is simulated, or say which option is wrong and how."""
    from nixel.imaging.mpi_simulation import Bore, Simulated
    from nixel.imaging.transfer_table import read_transfers
    from nixel.physics.grid import Grid
    from nixel.physics.mpi import Particles

    counts = shape("--shape", typed["shape"])
    lengths = [length("--field-of-view", part) for part in typed["field_of_view"].split(",")]
    axes = 2 if counts[0] == 1 else 3
    if len(lengths) != 3:
        raise UserError(
            f'--field-of-view: found "{typed["field_of_view"]}"; expected three lengths, of z, y and x'
        )
    (steep,) = quantities("--gradient", typed["gradient"], "T/m", 1)
    (deviation,) = quantities("--noise", typed["noise"], "V", 1)
    (corner,) = quantities("--corner-frequency", typed["corner_frequency"], "Hz", 1)
    (through,) = quantities("--feed-through", typed["feed_through"], "V", 1)
    (delay,) = quantities("--relaxation-time", typed["relaxation_time"], "s", 1)
    grid = Grid(counts[-axes:], tuple(lengths[-axes:]), lengths[0])
    line = typed["field_free"] == "line"
    drive = trajectory(typed, axes)
    point = (-steep / 2, -steep / 2, steep)
    return Simulated(
        grid=grid,
        drive=drive,
        gradient=(steep, steep, -steep) if line else point,
        particles=Particles(
            core_diameter=length("--core-diameter", typed["core_diameter"]),
            size_deviation=typed["size_deviation"],
            relaxation_time=delay,
        ),
        subject=typed["phantom"],
        averages=typed["averages"],
        frames=typed["frames"],
        bore=Bore(deviation, corner, through, typed["drift"], read_transfers(tables, axes)),
        seed=typed["seed"],
        centres=None if typed["patches"] is None else centres(typed, drive, point, grid),
    )
