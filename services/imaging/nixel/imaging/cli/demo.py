"""`nixel demo`: the whole instrument on this machine, simulated, from the scan to the page."""

from pathlib import Path
from typing import Annotated

import typer

from nixel.imaging.cli.common import Data, progress
from nixel.imaging.cli.serve import DEFAULT_PORT


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the picture.")] = False,
    port: Annotated[int, typer.Option(help="The page's port; 0 for any that is free.")] = DEFAULT_PORT,
    data: Data = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random: the same seed, the same bits.")] = 1,
) -> None:
    """Start a simulated scanner, its safety daemon and the imaging service; scan a phantom; serve the page."""
    import signal

    from nixel.imaging.demo import Demo
    from nixel.imaging.store.folder import DataFolder, default_data_folder

    folder = DataFolder(data if data is not None else default_data_folder() / "demo")
    with Demo(folder, port) as running:
        typer.echo(
            "nixel: the virtual scanner, the safety daemon and the imaging service are up (all simulated)"
        )
        running.arm()
        typer.echo("nixel: interlocks healthy; safety reset and armed, as an operator would")
        with progress("calibration") as report:
            calibration, measured = running.calibrate(seed, report)
        typer.echo(
            f"nixel: system matrix {'measured' if measured else 'of an earlier run taken'} (dataset-{calibration})"
        )
        with progress("scan") as report:
            picture = running.scan(seed, calibration, report)
        typer.echo("")
        typer.echo(f"  picture      {folder.path / picture['preview']}")
        typer.echo(f"  data         {folder.path / picture['path']}")
        typer.echo(
            f"  identity     picture-{picture['id']}  (nixel reproduce picture-{picture['id']} --data {folder.path})"
        )
        typer.echo(
            f"  phantom      correlation {picture['correlation']:.3f} with the {picture['sample']} phantom"
        )
        typer.echo(
            f"  page         {running.url}/"
            + ("" if running.has_page else "  (not built yet: `make page`, with Node 20.19 or newer)")
        )
        typer.echo("")
        if once:
            return
        typer.echo("nixel: serving until Ctrl-C")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            running.wait()
        except KeyboardInterrupt:
            typer.echo("\nnixel: de-energising and stopping")


__all__ = ["Path", "demo"]
