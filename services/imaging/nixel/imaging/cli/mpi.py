"""`nixel mpi`: from MDF files to volumes."""

import typer

from nixel.imaging.cli.mpi_reconstruct import reconstruct
from nixel.imaging.cli.mpi_simulate import simulate
from nixel.imaging.cli.mpi_snr import snr
from nixel.imaging.cli.mpi_xspace import xspace

mpi = typer.Typer(
    help="Simulate, look at a calibration, reconstruct a scan: from files to files.",
    no_args_is_help=True,
    add_completion=False,
)
for _command in (simulate, snr, reconstruct, xspace):
    mpi.command()(_command)
