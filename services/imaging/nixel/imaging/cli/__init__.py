"""The `nixel` command: a table of contents of what nixel does.

Heavy libraries are imported by the command that needs them, so that `nixel --help` answers at once.
"""

import os
import sys
from typing import Annotated

import typer

from nixel.imaging.cli.data import datasets, pictures, reproduce, runs
from nixel.imaging.cli.deconvolve import deconvolve
from nixel.imaging.cli.demo import demo
from nixel.imaging.cli.devices import devices
from nixel.imaging.cli.doctor import doctor
from nixel.imaging.cli.hologram import hologram
from nixel.imaging.cli.instruments import instruments
from nixel.imaging.cli.mdf import mdf
from nixel.imaging.cli.mpi import mpi
from nixel.imaging.cli.plugin import plugin
from nixel.imaging.cli.psf import psf
from nixel.imaging.cli.scan import scan
from nixel.imaging.cli.sequences import plan, run
from nixel.imaging.cli.serve import openapi, serve
from nixel.imaging.cli.simulate import simulate

app = typer.Typer(
    help="nixel: an imaging instrument, from the scan to a picture that can say what made it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)

_START, _LOOK, _COMPUTE, _CARE = "To begin", "Scans and pictures", "From files to files", "The instrument"


def _hand_over(module: str, context: typer.Context) -> None:
    """Become another distribution's own command line, so that there is one; it needs nothing of the imaging service."""
    os.execv(sys.executable, [sys.executable, "-m", module, *context.args])


def safety(context: typer.Context) -> None:
    """Talk to the safety daemon: status, explain, watch, stop, reset, arm, bypass, prove, history, blackbox, plot."""
    if context.args[:1] == ["plot"]:
        # The one that draws: the safety daemon's own package has no library for that.
        from nixel.imaging.cli.trip import app as draw

        draw(args=context.args[1:], prog_name="nixel safety plot")
    _hand_over("nixel.safety", context)


def support(context: typer.Context) -> None:
    """Put what a helper from afar needs into one file; no images, no secrets."""
    _hand_over("nixel.update.support", context)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nixel {version('nixel-imaging')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which nixel this is.")
    ] = False,
) -> None:
    pass


app.command(rich_help_panel=_START)(demo)
app.command(rich_help_panel=_LOOK)(scan)
app.command(rich_help_panel=_LOOK)(plan)
app.command(rich_help_panel=_LOOK)(run)
app.add_typer(runs, name="runs", rich_help_panel=_LOOK)
app.add_typer(datasets, name="datasets", rich_help_panel=_LOOK)
app.command(rich_help_panel=_LOOK)(pictures)
app.command(rich_help_panel=_LOOK)(reproduce)
app.add_typer(hologram, name="hologram", rich_help_panel=_COMPUTE)
app.command(rich_help_panel=_COMPUTE)(psf)
app.command(rich_help_panel=_COMPUTE)(deconvolve)
app.add_typer(mpi, name="mpi", rich_help_panel=_COMPUTE)
app.add_typer(mdf, name="mdf", rich_help_panel=_COMPUTE)
app.command(rich_help_panel=_CARE)(instruments)
app.add_typer(devices, name="devices", rich_help_panel=_CARE)
app.command(rich_help_panel=_CARE)(doctor)
app.add_typer(plugin, name="plugin", rich_help_panel=_CARE)
for handed_over in (safety, support):
    app.command(
        rich_help_panel=_CARE,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    )(handed_over)
app.command(rich_help_panel=_CARE)(serve)
app.add_typer(simulate, name="simulate", rich_help_panel=_CARE)
app.command(hidden=True)(openapi)


def _is_users(error: Exception) -> bool:
    """Whether an error speaks to the person at the keyboard (rather than of a fault in nixel)."""
    from nixel.acquisition.devices import DeviceError
    from nixel.acquisition.formats.images import ImageFileError
    from nixel.acquisition.formats.mdf import MdfError
    from nixel.acquisition.instrument import InstrumentError
    from nixel.acquisition.protocol import ProtocolError
    from nixel.acquisition.quantities import QuantityError
    from nixel.acquisition.recording import RecordingError
    from nixel.acquisition.scan import ScanAborted
    from nixel.acquisition.sequences import SequenceError
    from nixel.imaging.errors import UserError
    from nixel.safety.client import SafetyError

    known = (
        *(UserError, SafetyError, DeviceError, ScanAborted),
        *(
            InstrumentError,
            ProtocolError,
            QuantityError,
            ImageFileError,
            MdfError,
            RecordingError,
            SequenceError,
        ),
    )
    return isinstance(error, known)


def main() -> None:
    """Run the command; what a person can set right is said in one paragraph, with exit status 2."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        # The outermost edge: no traceback reaches a user, whatever happens.
        if _is_users(error):
            typer.echo(f"nixel: {error}", err=True)
            sys.exit(2)
        if os.environ.get("NIXEL_DEBUG"):
            raise
        typer.echo(
            f"nixel: an error of nixel's own, {type(error).__name__}: {error}. "
            "Please report it with what you did; NIXEL_DEBUG=1 shows where it happened.",
            err=True,
        )
        sys.exit(70)


__all__ = ["app", "main"]
