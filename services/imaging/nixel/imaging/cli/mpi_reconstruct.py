"""`nixel mpi reconstruct`: from a scan and a calibration to iron."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nixel.imaging.cli.cluster import HELP, METAVAR, cluster_at, where
from nixel.imaging.cli.common import progress
from nixel.imaging.cli.outputs import check_out, computing, make_record, write_outputs
from nixel.imaging.cli.typed import band, one_of
from nixel.imaging.errors import UserError

_METHODS = ("kaczmarz", "cgnr", "fista")
_WEIGHTINGS = ("whitening", "row norm", "none")
_BACKGROUNDS = ("blocks", "mean")
_SIGNAL, _ROWS, _SOLVER, _MACHINE = (
    "The scan",
    "The rows of the system matrix",
    "The solver",
    "The machine",
)


def reconstruct(
    scan: Annotated[Path, typer.Argument(help="The measurement, MDF.", metavar="SCAN")],
    calibration: Annotated[Path, typer.Option(help="The system matrix, MDF.", metavar="MDF")],
    out: Annotated[
        Path, typer.Option(help="The result: .nrrd, .nii, .nii.gz, .ome.zarr or .ome.tiff.", metavar="FILE")
    ],
    background: Annotated[
        str,
        typer.Option(
            help="Of the empty bore: means of blocks, interpolated in time, or one mean.",
            metavar="|".join(_BACKGROUNDS),
            rich_help_panel=_SIGNAL,
        ),
    ] = "blocks",
    leakage: Annotated[
        bool,
        typer.Option(
            "--leakage",
            help="Take out what does not repeat with the period, by joining each frame with its neighbours.",
            rich_help_panel=_SIGNAL,
        ),
    ] = False,
    snr_threshold: Annotated[
        float,
        typer.Option(
            min=0,
            help="Smallest signal-to-noise ratio of a frequency.",
            metavar="3",
            rich_help_panel=_ROWS,
        ),
    ] = 3.0,
    frequencies: Annotated[
        str,
        typer.Option(
            "--band", help="Lowest and highest frequency.", metavar="30kHz:1.25MHz", rich_help_panel=_ROWS
        ),
    ] = "30kHz:1.25MHz",
    max_order: Annotated[
        int | None,
        typer.Option(min=1, help="Highest mixing order of a frequency.", metavar="N", rich_help_panel=_ROWS),
    ] = None,
    best: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of these, the N with the largest ratio.", metavar="N", rich_help_panel=_ROWS
        ),
    ] = None,
    weighting: Annotated[
        str,
        typer.Option(
            help="By the noise of a row, by its norm, or none.",
            metavar="|".join(_WEIGHTINGS),
            rich_help_panel=_ROWS,
        ),
    ] = "whitening",
    method: Annotated[str, typer.Option(metavar="|".join(_METHODS), rich_help_panel=_SOLVER)] = "kaczmarz",
    iterations: Annotated[
        int, typer.Option(min=1, help="Sweeps or steps.", metavar="N", rich_help_panel=_SOLVER)
    ] = 50,
    relative_lambda: Annotated[
        float,
        typer.Option(
            min=0,
            help="Regularisation, of a column's mean energy.",
            metavar="0.01",
            rich_help_panel=_SOLVER,
        ),
    ] = 1e-2,
    l1: Annotated[
        float,
        typer.Option(
            min=0, help="Sparsity (fista); 1 leaves nothing.", metavar="0.01", rich_help_panel=_SOLVER
        ),
    ] = 0.0,
    total_variation: Annotated[
        float,
        typer.Option(min=0, help="Flat pieces with edges (fista).", metavar="0.01", rich_help_panel=_SOLVER),
    ] = 0.0,
    signed: Annotated[
        bool,
        typer.Option("--signed", help="Keep negative values; cgnr always does.", rich_help_panel=_SOLVER),
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="Threads of a process.", metavar="N", rich_help_panel=_MACHINE)
    ] = 1,
    memory: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of the matrix: a larger one is read from a file in blocks, which is slower.",
            metavar="MIB",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    cluster: Annotated[str | None, typer.Option(help=HELP, metavar=METAVAR, rich_help_panel=_MACHINE)] = None,
    block: Annotated[
        int,
        typer.Option(min=1, help="Frames that are solved together.", metavar="N", rich_help_panel=_MACHINE),
    ] = 64,
) -> None:
    """Reconstruct the iron of a scan, in mol/m^3, with a system matrix.

    A scan of several patches, and one with a field-free line at several angles, are known by their files.
    """
    from nixel.imaging.mpi_matrix import Choice
    from nixel.imaging.mpi_volume import Resources, Solving, solve

    one_of("--method", method, *_METHODS)
    one_of("--weighting", weighting, *_WEIGHTINGS)
    one_of("--background", background, *_BACKGROUNDS)
    if method != "fista" and (l1 or total_variation):
        raise UserError(f"--l1 and --total-variation are of --method fista, not of {method}; leave them out")
    if cluster is not None:
        where(cluster)
        if memory is not None:
            raise UserError(
                "--cluster: its workers keep the matrix in their memory; leave out either --cluster or --memory"
            )
    check_out(out, scan, calibration)
    choice = Choice(snr_threshold, band("--band", frequencies), max_order, best, weighting)
    solving = Solving(
        method,
        iterations,
        relative_lambda,
        l1,
        total_variation,
        signed,
        choice,
        background,
        leakage,
        block,
    )
    with progress("mpi") as report, computing(workers), cluster_at(cluster, workers) as running:
        resources = Resources(
            workers, None if memory is None else memory * 2**20, out.resolve().parent, running
        )
        solved = solve(scan, calibration, solving, resources, report)
    parameters: dict[str, Any] = {
        "method": method,
        "iterations": iterations,
        "relative_lambda": relative_lambda,
        "snr_threshold": snr_threshold,
        "band": {"value": list(choice.band), "unit": "Hz"},
        "max_order": max_order,
        "best": best,
        "weighting": weighting,
        "background": background,
        "leakage": leakage,
        "signed": signed or method == "cgnr",
        "block": block,
        **({"l1": l1, "total_variation": total_variation} if method == "fista" else {}),
    }
    record = make_record(
        "MPI reconstruction",
        {"scan": scan, "calibration": calibration},
        parameters,
        rows=solved.rows,
        periods=solved.patches,
        simulated=solved.simulated,
    )
    for path in write_outputs(out, solved.volume, record):
        typer.echo(path)
