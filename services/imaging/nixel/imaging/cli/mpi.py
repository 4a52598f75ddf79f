"""`nixel mpi`: from MDF files to volumes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.mpi_simulate import simulate
from nixel.imaging.cli.outputs import check_out, computing, make_record, write_outputs
from nixel.imaging.cli.typed import band, one_of, shape
from nixel.imaging.errors import UserError

mpi = typer.Typer(
    help="Simulate, look at a calibration, reconstruct a scan: from files to files.",
    no_args_is_help=True,
    add_completion=False,
)

_METHODS = ("kaczmarz", "cgnr", "fista")
_WEIGHTINGS = ("whitening", "row norm", "none")
mpi.command()(simulate)
Workers = Annotated[int, typer.Option(min=1, help="Threads.", metavar="N")]


@mpi.command()
def reconstruct(
    scan: Annotated[Path, typer.Argument(help="The measurement, MDF.", metavar="SCAN")],
    calibration: Annotated[Path, typer.Option(help="The system matrix, MDF.", metavar="MDF")],
    out: Annotated[
        Path, typer.Option(help="The result: .nrrd, .nii, .nii.gz, .ome.zarr or .ome.tiff.", metavar="FILE")
    ],
    method: Annotated[str, typer.Option(metavar="|".join(_METHODS))] = "kaczmarz",
    iterations: Annotated[int, typer.Option(min=1, help="Sweeps or steps.", metavar="N")] = 50,
    relative_lambda: Annotated[
        float, typer.Option(min=0, help="Regularisation, of a column's mean energy.", metavar="0.01")
    ] = 1e-2,
    l1: Annotated[
        float, typer.Option(min=0, help="Sparsity (fista); 1 leaves nothing.", metavar="0.01")
    ] = 0.0,
    total_variation: Annotated[
        float, typer.Option(min=0, help="Flat pieces with edges (fista).", metavar="0.01")
    ] = 0.0,
    snr_threshold: Annotated[
        float, typer.Option(min=0, help="Smallest signal-to-noise ratio of a frequency.", metavar="3")
    ] = 3.0,
    frequencies: Annotated[
        str, typer.Option("--band", help="Lowest and highest frequency.", metavar="30kHz:1.25MHz")
    ] = "30kHz:1.25MHz",
    weighting: Annotated[str, typer.Option(metavar="|".join(_WEIGHTINGS))] = "whitening",
    workers: Workers = 1,
) -> None:
    """Reconstruct the iron of a scan, in mol/m^3, with a system matrix."""
    from nixel.imaging.mpi_volume import Solving, solve

    one_of("--method", method, *_METHODS)
    one_of("--weighting", weighting, *_WEIGHTINGS)
    if method != "fista" and (l1 or total_variation):
        raise UserError(f"--l1 and --total-variation are of --method fista, not of {method}; leave them out")
    check_out(out, scan, calibration)
    solving = Solving(
        method,
        iterations,
        relative_lambda,
        l1,
        total_variation,
        snr_threshold,
        band("--band", frequencies),
        weighting,
    )
    with progress("mpi") as report, computing(workers):
        solved = solve(scan, calibration, solving, workers, report)
    parameters: dict[str, Any] = {
        "method": method,
        "iterations": iterations,
        "relative_lambda": relative_lambda,
        "snr_threshold": snr_threshold,
        "band": {"value": list(solving.band), "unit": "Hz"},
        "weighting": weighting,
        **({"l1": l1, "total_variation": total_variation} if method == "fista" else {}),
    }
    record = make_record(
        "MPI reconstruction",
        {"scan": scan, "calibration": calibration},
        parameters,
        rows=solved.rows,
        simulated=solved.simulated,
    )
    for path in write_outputs(out, solved.volume, record):
        typer.echo(path)


@mpi.command()
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
) -> None:
    """Make an x-space picture of a scan, without a system matrix."""
    check_out(out, scan)
    cells = shape("--shape", size)
    from nixel.imaging.mpi_xspace import xspace as run

    with progress("mpi") as report, computing(1):
        volume, simulated = run(scan, cells, fundamental=fundamental, progress=report)
    parameters = {"method": "x-space", "shape": list(cells), "fundamental": fundamental}
    record = make_record("MPI reconstruction", {"scan": scan}, parameters, simulated=simulated)
    for path in write_outputs(out, volume, record):
        typer.echo(path)


@mpi.command()
def snr(
    calibration: Annotated[Path, typer.Argument(help="A system matrix, MDF.", metavar="MDF")],
    best: Annotated[int, typer.Option(min=1, help="How many frequencies to list.", metavar="N")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="Write the ratio of every frequency there.", metavar="CSV")
    ] = None,
) -> None:
    """Tell the signal-to-noise ratio of a calibration's frequencies, as MPIFiles defines it."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from nixel.acquisition.formats.atomic import atomic_write
    from nixel.imaging.mpi_volume import frequencies, signal_to_noise_of

    with progress("mpi") as report, computing(1):
        matrix, ratios = signal_to_noise_of(calibration, report)
    hertz = frequencies(matrix)
    if out is not None:
        lines = ["channel,frequency number,frequency [Hz],signal-to-noise ratio"]
        lines += [
            f"{channel},{number},{hertz[number]!r},{ratio!r}"
            for channel, each in enumerate(ratios.tolist())
            for number, ratio in enumerate(each)
        ]
        try:
            with atomic_write(out) as temporary:
                temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
    size = matrix.calibration.size if matrix.calibration is not None else ()
    typer.echo(
        f"{' x '.join(map(str, size))} voxels, {ratios.shape[0]} channels, {ratios.shape[1]} frequencies"
    )
    for threshold in (1, 3, 10, 100):
        typer.echo(f"ratio above {threshold:>3}: {int((ratios > threshold).sum()):>6} rows")
    order = np.argsort(ratios, axis=None)[::-1][:best]
    table = Table("channel", "number", "frequency", "ratio", box=None, pad_edge=False)
    for channel, number in zip(*np.unravel_index(order, ratios.shape), strict=True):
        row = (str(channel), str(number), f"{hertz[number] / 1e3:.2f} kHz", f"{ratios[channel, number]:.1f}")
        table.add_row(*row)
    Console().print(table)
