"""`nixel mpi xspace`: from a scan alone to a picture."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.outputs import check_out, computing, make_record, write_outputs
from nixel.imaging.cli.typed import length, quantities, shape
from nixel.imaging.errors import UserError

_LINE = "Of a field-free line"


def xspace(
    scan: Annotated[Path, typer.Argument(help="The measurement, MDF.", metavar="SCAN")],
    out: Annotated[
        Path, typer.Option(help="The result: .nrrd, .nii, .nii.gz, .ome.zarr or .ome.tiff.", metavar="FILE")
    ],
    size: Annotated[
        str, typer.Option("--shape", help="Planes, rows, columns of the field of view.", metavar="1x31x31")
    ] = "1x31x31",
    fundamental: Annotated[
        bool, typer.Option("--fundamental", help="The drive frequencies are measured, not filtered out.")
    ] = False,
    transfer: Annotated[
        list[Path] | None,
        typer.Option(
            help="What the receive path made of a voltage, as for nixel mpi simulate; it is undone.",
            metavar="CSV",
        ),
    ] = None,
    core_diameter: Annotated[
        str, typer.Option(help="Of the particles.", metavar="25nm", rich_help_panel=_LINE)
    ] = "25nm",
    sensitivity: Annotated[
        str,
        typer.Option(
            help="Of the receive coils, field for a current, for the unit of the result.",
            metavar='"1000 1/m"',
            rich_help_panel=_LINE,
        ),
    ] = "1000 1/m",
    thickness: Annotated[
        str, typer.Option(help="Of the slice that the iron is in.", metavar="1mm", rich_help_panel=_LINE)
    ] = "1mm",
    deblur: Annotated[
        bool,
        typer.Option(
            "--deblur/--no-deblur", help="Divide the particles' response out.", rich_help_panel=_LINE
        ),
    ] = True,
    regularisation: Annotated[
        float,
        typer.Option(
            help="Of that: the noise's power over the signal's.", metavar="0.1", rich_help_panel=_LINE
        ),
    ] = 0.1,
) -> None:
    """Make a picture of a scan without a system matrix.

    Of a field-free point, the x-space picture: iron blurred by the particles' response, in V s/T. Of a field-free line,
    the filtered back-projection of its line integrals, in mol/m^3.
    """
    check_out(out, scan)
    cells = shape("--shape", size)
    (coil,) = quantities("--sensitivity", sensitivity, "1/m", 1)
    diameter, slice_ = length("--core-diameter", core_diameter), length("--thickness", thickness)
    from nixel.acquisition.formats.mdf import read_mdf
    from nixel.imaging.transfer_table import read_transfers

    parameters: dict[str, Any] = {"shape": list(cells), "fundamental": fundamental}
    inputs = {"scan": scan} | {f"transfer {number}": path for number, path in enumerate(transfer or (), 1)}
    with progress("mpi") as report, computing(1):
        mdf = read_mdf(scan)
        received = read_transfers(transfer or (), mdf.setting.channels)
        if mdf.setting.topology == "FFL":
            from nixel.imaging.mpi_line import Projecting, back_projected
            from nixel.physics.mpi import Particles

            if cells[0] != 1:
                raise UserError(
                    f"--shape: expected one plane for the field-free line of {scan}, found {cells[0]}"
                )
            how = Projecting(
                Particles(core_diameter=diameter), coil, slice_, fundamental, deblur, regularisation, received
            )
            volume = back_projected(mdf, cells[1:], how, report)
            parameters |= {
                "method": "filtered back-projection",
                "core_diameter": {"value": diameter, "unit": "m"},
                "sensitivity": {"value": coil, "unit": "1/m"},
                "thickness": {"value": slice_, "unit": "m"},
                "deblur": deblur,
                "regularisation": regularisation,
            }
        else:
            from nixel.imaging.mpi_xspace import xspace as run

            volume = run(mdf, cells, fundamental=fundamental, transfer=received, progress=report)
            parameters |= {"method": "x-space"}
    record = make_record("MPI reconstruction", inputs, parameters, simulated=mdf.setting.simulated)
    for path in write_outputs(out, volume, record):
        typer.echo(path)
