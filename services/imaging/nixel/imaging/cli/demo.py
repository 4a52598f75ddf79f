"""`nixel demo`: the whole instrument on this machine, simulated, from the scan to the page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nixel.imaging.cli.common import Data, progress, this_command
from nixel.imaging.cli.serve import DEFAULT_PORT

if TYPE_CHECKING:
    from nixel.imaging.demo import Demo


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

    # Asked to end in whatever way, it ends its parts in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
        _summarise(running, folder.path, picture, once)
        if once:
            return
        typer.echo("nixel: serving until Ctrl-C")
        try:
            running.wait()
        except KeyboardInterrupt:
            typer.echo("\nnixel: de-energising and stopping")


def _summarise(running: "Demo", folder: Path, picture: dict[str, Any], once: bool) -> None:
    """Where everything is, and what to try next."""
    nixel = this_command()
    identity, page = f"picture-{picture['id']}", f"{running.url}/"
    if not running.has_page:
        page += "  (not built yet: `make page`, with Node 20.19 or newer)"
    lines = {
        "picture": folder / picture["preview"],
        "data": folder / picture["path"],
        "phantom": f"correlation {picture['correlation']:.3f} with the {picture['sample']} phantom",
        "again": f"{nixel} reproduce {identity} --data {folder}",
        "page": page,
    }
    if not once:
        control, socket = running.bench.endpoints["daq.control"], running.bench.safety_socket
        lines |= {
            "safety": f"{nixel} safety --socket {socket} status",
            "try": f"{nixel} simulate emergency-stop pull --at {control}",
        }
    typer.echo("")
    for name, text in lines.items():
        typer.echo(f"  {name:<10} {text}")
    typer.echo("")
