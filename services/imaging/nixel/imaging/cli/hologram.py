"""`nixel hologram`: from a recorded hologram to a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.outputs import check_folder
from nixel.imaging.cli.typed import length, one_of
from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from nixel.imaging.holograms import HologramParameters, HologramResult


_METHODS = ("back-propagation", "total-variation", "projections", "multi-height")
_SAMPLES = ("any", "absorbing", "phase")
_FORMATS = ("ome.tiff", "nrrd", "nii", "nii.gz", "ome.zarr")
_HOW = "How the field is found"


def hologram(
    image: Annotated[Path, typer.Argument(help="The hologram: a grey PNG, TIFF or JPEG.", metavar="IMAGE")],
    background: Annotated[Path, typer.Option(help="The same without the sample.", metavar="BG")],
    pixel_size: Annotated[str, typer.Option(help="Pixel, in the plane of the sample.", metavar="0.0851um")],
    wavelength: Annotated[str, typer.Option(help="Wavelength in vacuum.", metavar="660nm")],
    out: Annotated[
        Path, typer.Option(help="Folder for the results: new, or an earlier result.", metavar="DIR")
    ],
    dark: Annotated[Path | None, typer.Option(help="The same without light.", metavar="DF")] = None,
    medium_index: Annotated[str, typer.Option(help="Refractive index of the medium.", metavar="1.33")] = "1",
    distance: Annotated[
        str, typer.Option(help="From the sample to the recorded plane, or auto.", metavar="auto|17um")
    ] = "auto",
    distance_range: Annotated[
        str | None,
        typer.Option(help="Where auto looks; else as far as the geometry allows.", metavar="5um:40um"),
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
            metavar="|".join(_METHODS),
            rich_help_panel=_HOW,
        ),
    ] = None,
    sample: Annotated[
        str, typer.Option(help="What is known of it.", metavar="|".join(_SAMPLES), rich_help_panel=_HOW)
    ] = "any",
    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Default: the method's own.", metavar="N", rich_help_panel=_HOW),
    ] = None,
    regularisation: Annotated[
        float, typer.Option(min=0, help="Of total-variation.", metavar="0.02", rich_help_panel=_HOW)
    ] = 0.02,
    unwrap: Annotated[
        bool, typer.Option("--unwrap", help="Take the jumps out of the phase.", rich_help_panel=_HOW)
    ] = False,
    memory: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Work in tiles that take no more; not of back-propagation.",
            metavar="MIB",
            rich_help_panel=_HOW,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads.", metavar="N", rich_help_panel=_HOW)] = 1,
    format_: Annotated[
        str, typer.Option("--format", help="Of amplitude and phase.", metavar="|".join(_FORMATS))
    ] = "ome.tiff",
) -> None:
    """Reconstruct an in-line hologram: find its distance, write amplitude, phase, picture and record."""
    import logging
    from dataclasses import replace

    from nixel.imaging.hologram_files import read_frame, write_result
    from nixel.imaging.holograms import reconstruct_hologram

    # What the TIFF reader logs about a damaged file, our own error says in words.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    others = [_height(text) for text in height or ()]
    parameters = replace(
        _parameters(pixel_size, wavelength, medium_index, distance, distance_range),
        heights=tuple(far for _, far in others),
        method=_method(method, others, distance),
        sample=one_of("--sample", sample, *_SAMPLES),
        iterations=iterations,
        regularisation=regularisation,
        unwrap=unwrap,
        memory=None if memory is None else memory * 2**20,
    )
    ending = f".{one_of('--format', format_, *_FORMATS)}"
    check_folder(out)
    frames = [read_frame(image), read_frame(background)]
    dark_frame = None if dark is None else read_frame(dark)
    with progress("hologram") as report:
        result = reconstruct_hologram(
            frames[0],
            frames[1],
            dark_frame,
            parameters,
            others=[read_frame(path) for path, _ in others],
            workers=workers,
            progress=report,
        )
    write_result(result, out, ending)
    _summarise(result, out)


def _height(text: str) -> tuple[Path, float]:
    """A hologram and its distance."""
    path, at, far = text.rpartition("@")
    if not at or not path:
        raise UserError(
            f'--height: found "{text}"; expected a hologram and its distance, such as "second.png@350um"'
        )
    return Path(path), length("--height", far)


def _method(asked: str | None, others: list[tuple[Path, float]], distance: str) -> str:
    method = one_of("--method", asked or ("multi-height" if others else "back-propagation"), *_METHODS)
    if (method == "multi-height") != bool(others):
        raise UserError(
            f"--method {method}: expected {'' if method == 'multi-height' else 'no '}other holograms, found "
            f"{len(others)}; give each as --height IMAGE@DISTANCE, which is for multi-height alone"
        )
    if others and distance == "auto":
        raise UserError("--distance auto finds one distance; of several heights, say that of IMAGE, too")
    return method


def _parameters(
    pixel_size: str, wavelength: str, medium_index: str, distance: str, distance_range: str | None
) -> "HologramParameters":
    """Turn what was typed into numbers, or say which option is wrong and how."""
    from nixel.imaging.holograms import HologramParameters

    if distance_range is not None and distance != "auto":
        raise UserError(
            f"--distance-range says where --distance auto looks, but --distance is {distance}; leave one out"
        )
    return HologramParameters(
        pixel_size=length("--pixel-size", pixel_size),
        wavelength=length("--wavelength", wavelength),
        medium_index=_index(medium_index),
        distance=None if distance == "auto" else length("--distance", distance),
        distance_range=None if distance_range is None else _range(distance_range),
    )


def _index(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(
            f'--medium-index: found "{text}"; expected a refractive index without a unit, '
            "such as 1.33 for water"
        ) from None


def _range(text: str) -> tuple[float, float]:
    near, colon, far = text.partition(":")
    if not colon:
        raise UserError(f'--distance-range: found "{text}"; expected two lengths such as "5um:40um"')
    low, high = length("--distance-range", near), length("--distance-range", far)
    if low >= high:
        raise UserError(f'--distance-range: found "{text}"; expected the nearer distance first')
    return low, high


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
    typer.echo(f"picture         {out / 'picture.png'}")
