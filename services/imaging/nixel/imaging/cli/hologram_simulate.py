"""`nixel hologram simulate`: frames to try a reconstruction on."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.hologram_options import FORMATS, index
from nixel.imaging.cli.outputs import check_out, computing, make_record
from nixel.imaging.cli.typed import length, one_of
from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from nixel.imaging.hologram_simulation import SimulatedHologram

_LIGHT, _CAMERA, _SAMPLE = "The light and the distance", "The camera", "The sample"
_SAMPLES = ("cells", "disc", "bump")
_SENSORS = ("imx219", "monochrome", "ideal")


def simulate(
    out: Annotated[Path, typer.Option(help="Folder: new, or an earlier simulation.", metavar="DIR")],
    distance: Annotated[
        list[str] | None,
        typer.Option(
            help="From the sample to the camera, 1mm if left out; again for further heights.",
            metavar="1mm",
            rich_help_panel=_LIGHT,
        ),
    ] = None,
    wavelength: Annotated[
        str, typer.Option(help="Wavelength in vacuum.", metavar="532nm", rich_help_panel=_LIGHT)
    ] = "532nm",
    medium_index: Annotated[
        str, typer.Option(help="Refractive index of the medium.", metavar="1.33", rich_help_panel=_LIGHT)
    ] = "1",
    pixel_size: Annotated[
        str, typer.Option(help="Of the camera.", metavar="1.12um", rich_help_panel=_CAMERA)
    ] = "1.12um",
    shape: Annotated[
        str, typer.Option(help="Rows and columns of a frame.", metavar="256x256", rich_help_panel=_CAMERA)
    ] = "256x256",
    sensor: Annotated[
        str,
        typer.Option(
            help="The microscope's raw colour sensor (--bayer RGGB), the same without filters, or 16 bits without "
            "noise.",
            metavar="|".join(_SENSORS),
            rich_help_panel=_CAMERA,
        ),
    ] = "imx219",
    exposure: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=1,
            help="Part of the sensor's range that the brightest place fills.",
            metavar="0.75",
            rich_help_panel=_CAMERA,
        ),
    ] = 0.75,
    averages: Annotated[
        int,
        typer.Option(
            min=1,
            help="Exposures to the background and to the dark frame.",
            metavar="N",
            rich_help_panel=_CAMERA,
        ),
    ] = 16,
    shift: Annotated[
        list[str] | None,
        typer.Option(
            help="A further frame, the camera so many pixels aside along rows and columns; again for more.",
            metavar="0.5,0",
            rich_help_panel=_CAMERA,
        ),
    ] = None,
    sample: Annotated[
        str,
        typer.Option(
            help="Discs all over, one disc, or a smooth bump.",
            metavar="|".join(_SAMPLES),
            rich_help_panel=_SAMPLE,
        ),
    ] = "cells",
    size: Annotated[
        str | None,
        typer.Option(
            help="Radius of discs, deviation of the bump; 12 pixels if left out.",
            metavar="12um",
            rich_help_panel=_SAMPLE,
        ),
    ] = None,
    absorption: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Part of the amplitude that is taken away.",
            metavar="0.5",
            rich_help_panel=_SAMPLE,
        ),
    ] = 0.5,
    delay: Annotated[
        float, typer.Option("--phase", help="Delay in rad.", metavar="1", rich_help_panel=_SAMPLE)
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the cells and of the noise.", metavar="N")] = 0,
    format_: Annotated[
        str, typer.Option("--format", help="Of the sample's amplitude and phase.", metavar="|".join(FORMATS))
    ] = "ome.tiff",
    workers: Annotated[int, typer.Option(min=1, help="Threads.", metavar="N")] = 1,
) -> None:
    """Simulate holograms, background and dark frame of a camera, and write them with the sample's true field."""
    distances, shifts = distance or ["1mm"], shift or []
    pixel = length("--pixel-size", pixel_size)
    typed: dict[str, Any] = {
        "sample": one_of("--sample", sample, *_SAMPLES),
        "size": 12 * pixel if size is None else length("--size", size),
        "absorption": absorption,
        "delay": _finite("--phase", delay),
        "shape": _shape(shape),
        "pixel_size": pixel,
        "wavelength": length("--wavelength", wavelength),
        "medium_index": index(medium_index),
        "distances": tuple(length("--distance", each) for each in distances),
        "shifts": tuple(_shift(each) for each in shifts),
        "sensor": one_of("--sensor", sensor, *_SENSORS),
        "exposure": exposure,
        "averages": averages,
        "seed": seed,
    }
    ending = f".{one_of('--format', format_, *FORMATS)}"
    if len(set(typed["distances"])) < len(distances):
        raise UserError(f"--distance: expected heights that differ, found {', '.join(distances)}")
    if shifts and len(distances) > 1:
        raise UserError(
            "--shift frames are all at one distance; leave out either --shift or all but one --distance"
        )
    check_out(out, folder=True)
    from nixel.imaging.hologram_simulation import MOST_FRAMES, SimulatedHologram
    from nixel.imaging.hologram_simulation import simulate as run

    if 1 + max(len(distances), len(shifts)) > MOST_FRAMES:
        raise UserError(f"expected fewer than {MOST_FRAMES} frames, found {len(distances) + len(shifts)}")
    asked = SimulatedHologram(**typed)
    _check(asked)
    record = make_record("hologram simulation", {}, {**typed, "units": "m, rad, pixels"}, simulated=True)
    with progress("hologram") as report, computing(workers):
        try:
            names = run(asked, out, ending, record, workers=workers, progress=report)
        except FileExistsError as error:
            raise UserError(f"--out {out}: {error}; name a new or an empty folder") from error
        except OSError as error:
            raise UserError(
                f"--out {out}: the folder cannot be written: {error.strerror or error}; name another"
            ) from error
    for name in names:
        typer.echo(out / name)


def _check(asked: "SimulatedHologram") -> None:
    """Refuse a geometry that no hologram of that shape can be reconstructed in."""
    from nixel.imaging.hologram_parameters import HologramParameters, check_parameters

    check_parameters(
        HologramParameters(
            pixel_size=asked.pixel_size,
            wavelength=asked.wavelength,
            medium_index=asked.medium_index,
            distance=asked.distances[0],
            heights=asked.distances[1:],
        ),
        asked.shape,
    )


def _shape(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and int(part) >= 16 for part in parts):
        raise UserError(f'--shape: found "{text}"; expected rows and columns of 16 or more, such as 256x256')
    return int(parts[0]), int(parts[1])


def _shift(text: str) -> tuple[float, float]:
    parts = text.split(",")
    try:
        down, right = (float(part) for part in parts)
    except ValueError:
        raise UserError(
            f'--shift: found "{text}"; expected pixels along the rows and the columns, such as 0.5,0.25'
        ) from None
    return _finite("--shift", down), _finite("--shift", right)


def _finite(option: str, value: float) -> float:
    if not math.isfinite(value):
        raise UserError(f"{option}: expected a finite number, found {value!r}")
    return value
