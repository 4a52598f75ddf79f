"""`nixel hologram`: from a recorded hologram to a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.outputs import check_folder
from nixel.imaging.cli.typed import length
from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from nixel.imaging.holograms import HologramParameters, HologramResult


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
) -> None:
    """Reconstruct an in-line hologram: find its distance, write amplitude, phase, picture and record."""
    import logging

    from nixel.imaging.holograms import read_frame, reconstruct_hologram, write_result

    # What the TIFF reader logs about a damaged file, our own error says in words.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    parameters = _parameters(pixel_size, wavelength, medium_index, distance, distance_range)
    check_folder(out)
    frames = [read_frame(image), read_frame(background)]
    dark_frame = None if dark is None else read_frame(dark)
    with progress("hologram") as report:
        result = reconstruct_hologram(frames[0], frames[1], dark_frame, parameters, progress=report)
    write_result(result, out)
    _summarise(result, out)


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
