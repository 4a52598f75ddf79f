"""`nixel hologram IMAGE`: from a recorded hologram to a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.hologram_options import (
    CHANNELS,
    FORMATS,
    METHODS,
    ORDERS,
    SAMPLES,
    STARTS,
    check_camera,
    check_method,
    height_of,
    method_of,
    recording,
)
from nixel.imaging.cli.outputs import check_out, computing
from nixel.imaging.cli.typed import length, one_of
from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from nixel.imaging.hologram_result import HologramResult

_LIGHT, _CAMERA, _HOW = "The light and the distance", "The camera", "How the field is found"


def reconstruct(
    image: Annotated[
        Path,
        typer.Argument(
            help="The hologram: a grey PNG, TIFF or JPEG, or a frame of a recorded sequence, RUN.ome.zarr#0.",
            metavar="IMAGE",
        ),
    ],
    pixel_size: Annotated[
        str,
        typer.Option(
            help="Of the camera; in the plane of the sample, if a lens magnifies.",
            metavar="0.0851um",
            rich_help_panel=_CAMERA,
        ),
    ],
    wavelength: Annotated[
        str, typer.Option(help="Wavelength in vacuum.", metavar="660nm", rich_help_panel=_LIGHT)
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the results: new, or an earlier result.", metavar="DIR")
    ],
    background: Annotated[
        Path | None,
        typer.Option(
            help="The same without the sample; left out, the light is taken as even.",
            metavar="BG",
            rich_help_panel=_CAMERA,
        ),
    ] = None,
    dark: Annotated[
        Path | None, typer.Option(help="The same without light.", metavar="DF", rich_help_panel=_CAMERA)
    ] = None,
    steady: Annotated[
        bool,
        typer.Option(
            "--steady",
            help="The source was as bright with the sample as without: for a sample that absorbs much, and "
            "total-variation or projections.",
            rich_help_panel=_CAMERA,
        ),
    ] = False,
    bayer: Annotated[
        str | None,
        typer.Option(
            help="The frames are raw, of a colour camera with filters in this order.",
            metavar="|".join(ORDERS),
            rich_help_panel=_CAMERA,
        ),
    ] = None,
    channel: Annotated[
        str,
        typer.Option(
            help="Pixels to take: all, or those of one filter, which are twice as far apart.",
            metavar="|".join(CHANNELS),
            rich_help_panel=_CAMERA,
        ),
    ] = "all",
    shifted: Annotated[
        list[Path] | None,
        typer.Option(
            help="Another hologram, the camera a fraction of a pixel aside; again for more.",
            metavar="IMAGE",
            rich_help_panel=_CAMERA,
        ),
    ] = None,
    finer: Annotated[
        int,
        typer.Option(
            min=1,
            help="Make pixels so many times finer of the shifted holograms.",
            metavar="2",
            rich_help_panel=_CAMERA,
        ),
    ] = 1,
    medium_index: Annotated[
        str, typer.Option(help="Refractive index of the medium.", metavar="1.33", rich_help_panel=_LIGHT)
    ] = "1",
    source_distance: Annotated[
        str | None,
        typer.Option(
            help="From a point source to the camera; left out, the light is a plane wave.",
            metavar="5cm",
            rich_help_panel=_LIGHT,
        ),
    ] = None,
    distance: Annotated[
        str,
        typer.Option(
            help="From the sample to the recorded plane, or auto.",
            metavar="auto|17um",
            rich_help_panel=_LIGHT,
        ),
    ] = "auto",
    distance_range: Annotated[
        str | None,
        typer.Option(
            help="Where auto looks; else as far as the geometry allows.",
            metavar="5um:40um",
            rich_help_panel=_LIGHT,
        ),
    ] = None,
    height: Annotated[
        list[str] | None,
        typer.Option(
            help="Another hologram of the sample and its distance; again for more.",
            metavar="IMAGE@350um",
            rich_help_panel=_HOW,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Default: back-propagation, which keeps the twin image; multi-height with --height.",
            metavar="|".join(METHODS),
            rich_help_panel=_HOW,
        ),
    ] = None,
    sample: Annotated[
        str,
        typer.Option(
            help="What is known of it (total-variation, projections).",
            metavar="|".join(SAMPLES),
            rich_help_panel=_HOW,
        ),
    ] = "any",
    support: Annotated[
        Path | None,
        typer.Option(
            help="An image, black where there is surely no sample (total-variation, projections).",
            metavar="IMAGE",
            rich_help_panel=_HOW,
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Default: the method's own.", metavar="N", rich_help_panel=_HOW),
    ] = None,
    regularisation: Annotated[
        float | None,
        typer.Option(
            min=0, help="Weight of total-variation; 0.02 if left out.", metavar="0.02", rich_help_panel=_HOW
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Where multi-height begins; contrast-transfer if left out.",
            metavar="|".join(STARTS),
            rich_help_panel=_HOW,
        ),
    ] = None,
    unwrap: Annotated[
        bool, typer.Option("--unwrap", help="Take the jumps out of the phase.", rich_help_panel=_HOW)
    ] = False,
    memory: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Work in tiles that take no more than so many MiB.",
            metavar="MIB",
            rich_help_panel=_HOW,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads.", metavar="N", rich_help_panel=_HOW)] = 1,
    format_: Annotated[
        str, typer.Option("--format", help="Of amplitude and phase.", metavar="|".join(FORMATS))
    ] = "ome.tiff",
) -> None:
    """Reconstruct an in-line hologram: find its distance, write amplitude, phase, pictures and record.

    `nixel hologram simulate` makes holograms to try it on.
    """
    import logging
    from dataclasses import replace

    from nixel.imaging.hologram_files import read_frame, write_result
    from nixel.imaging.hologram_frames import Recorded
    from nixel.imaging.holograms import reconstruct_hologram

    # What the TIFF reader logs about a damaged file, our own error says in words.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    others, aside = [height_of(text) for text in height or ()], shifted or []
    meant = method_of(method, len(others), distance)
    check_camera(background, bayer, channel, len(aside), finer, len(others), source_distance, steady)
    check_method(meant, sample, support, regularisation, start)
    if iterations is not None and meant == "back-propagation":
        raise UserError("--iterations: back-propagation has none; leave it out, or choose another --method")
    parameters = replace(
        recording(pixel_size, wavelength, medium_index, distance, distance_range),
        source_distance=None if source_distance is None else length("--source-distance", source_distance),
        steady=steady,
        bayer=bayer,
        channel=channel,
        finer=finer,
        heights=tuple(far for _, far in others),
        method=meant,
        sample=one_of("--sample", sample, *SAMPLES),
        start=one_of("--start", start or STARTS[0], *STARTS).replace("-", "_"),
        iterations=iterations,
        regularisation=0.02 if regularisation is None else regularisation,
        unwrap=unwrap,
        memory=None if memory is None else memory * 2**20,
    )
    ending = f".{one_of('--format', format_, *FORMATS)}"
    check_out(out, folder=True)
    recorded = Recorded(
        read_frame(image),
        None if background is None else read_frame(background),
        None if dark is None else read_frame(dark),
        tuple(read_frame(path) for path, _ in others),
        tuple(read_frame(path) for path in aside),
        None if support is None else read_frame(support),
    )
    with progress("hologram") as report, computing(workers):
        result = reconstruct_hologram(recorded, parameters, workers=workers, progress=report)
    write_result(result, out, ending)
    _summarise(result, out)


def _summarise(result: "HologramResult", out: Path) -> None:
    """Say what was found and where the picture is."""
    um = 1e6
    if result.focus is None:
        typer.echo(f"distance        {result.distance * um:.2f} µm (given)")
    else:
        low, high = result.focus.distances[[0, -1]] * um
        typer.echo(
            f"distance        {result.distance * um:.2f} µm ± {result.focus.uncertainty * um:.2f} µm "
            f"(found between {low:.1f} µm and {high:.1f} µm)"
        )
    point = result.brightest
    where = ", ".join(
        f"{axis} {value * um:.2f} µm" for axis, value in (("x", point.x), ("y", point.y), ("z", point.z))
    )
    typer.echo(f"brightest point {where}")
    if "shifts" in result.record:
        shifts = "; ".join(f"{y:+.3f}, {x:+.3f}" for y, x in result.record["shifts"]["value"])
        typer.echo(f"shifts          {shifts} pixels (rows, columns)")
    typer.echo(f"pixel           {result.pixel_size * um:.4g} µm, in the sample")
    typer.echo(f"picture         {out / 'picture.png'}")
