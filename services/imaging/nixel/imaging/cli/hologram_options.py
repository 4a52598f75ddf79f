"""What was typed for `nixel hologram`, turned into what is computed, or told which option is wrong and how."""

from pathlib import Path
from typing import TYPE_CHECKING

from nixel.imaging.cli.typed import length, one_of
from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from nixel.imaging.hologram_parameters import HologramParameters

METHODS = ("back-propagation", "total-variation", "projections", "multi-height")
SAMPLES = ("any", "absorbing", "phase")
FORMATS = ("ome.tiff", "nrrd", "nii", "nii.gz", "ome.zarr")
ORDERS = ("RGGB", "BGGR", "GRBG", "GBRG")
CHANNELS = ("all", "R", "G1", "G2", "B")
STARTS = ("contrast-transfer", "back-propagation")


def height_of(text: str) -> tuple[Path, float]:
    """A hologram and its distance."""
    path, at, far = text.rpartition("@")
    if not at or not path:
        raise UserError(
            f'--height: found "{text}"; expected a hologram and its distance, such as "second.png@350um"'
        )
    return Path(path), length("--height", far)


def method_of(asked: str | None, heights: int, distance: str) -> str:
    """Method that is meant; several heights have their own."""
    method = one_of("--method", asked or ("multi-height" if heights else "back-propagation"), *METHODS)
    if (method == "multi-height") != bool(heights):
        raise UserError(
            f"--method {method}: expected {'' if method == 'multi-height' else 'no '}other holograms, found "
            f"{heights}; give each as --height IMAGE@DISTANCE, which is for multi-height alone"
        )
    if heights and distance == "auto":
        raise UserError("--distance auto finds one distance; of several heights, say that of IMAGE, too")
    return method


def recording(
    pixel_size: str, wavelength: str, medium_index: str, distance: str, distance_range: str | None
) -> "HologramParameters":
    """Optics and distance."""
    from nixel.imaging.hologram_parameters import HologramParameters

    if distance_range is not None and distance != "auto":
        raise UserError(
            f"--distance-range says where --distance auto looks, but --distance is {distance}; leave one out"
        )
    return HologramParameters(
        pixel_size=length("--pixel-size", pixel_size),
        wavelength=length("--wavelength", wavelength),
        medium_index=index(medium_index),
        distance=None if distance == "auto" else length("--distance", distance),
        distance_range=None if distance_range is None else _range(distance_range),
    )


def check_camera(
    background: Path | None,
    bayer: str | None,
    channel: str,
    shifted: int,
    finer: int,
    heights: int,
    source: str | None,
    steady: bool,
) -> None:
    """Refuse options about the frames that do not go together."""
    if bayer is not None:
        one_of("--bayer", bayer, *ORDERS)
    one_of("--channel", channel, *CHANNELS)
    if channel != "all" and bayer is None:
        raise UserError(
            f"--channel {channel} is of a raw colour frame: say the order of its filters, such as --bayer RGGB"
        )
    if steady and background is None:
        raise UserError(
            "--steady compares with the light of a background: give --background, or leave it out"
        )
    if (finer > 1) != (shifted > 0):
        raise UserError(
            f"--finer {finer}: found {shifted} other frames; give at least {max(finer, 2) ** 2 - 1}, each with "
            "--shifted IMAGE, and how many times finer the pixels are to be, --finer 2 or more"
        )
    if shifted and shifted + 1 < finer**2:
        raise UserError(
            f"--finer {finer} takes {finer**2} frames or more, a fraction of a pixel apart, found {shifted + 1}; give "
            "each with --shifted IMAGE"
        )
    if heights and shifted:
        raise UserError("--shifted frames are all at one distance; leave out either --height or --shifted")
    if heights and source is not None:
        raise UserError(
            "--source-distance: a point source magnifies each height otherwise, which is not registered; "
            "leave out either --height or --source-distance"
        )


def check_method(
    method: str, sample: str, support: Path | None, regularisation: float | None, start: str | None
) -> None:
    """Refuse options of another method than the one that is meant."""
    single = ("total-variation", "projections")
    if regularisation == 0:
        raise UserError(
            "--regularisation: expected a weight above zero, found 0; --method projections has none"
        )
    for option, given, methods in (
        ("--sample", sample != "any", single),
        ("--support", support is not None, single),
        ("--regularisation", regularisation is not None, ("total-variation",)),
        ("--start", start is not None, ("multi-height",)),
    ):
        if given and method not in methods:
            raise UserError(f"{option} is of --method {' or '.join(methods)}, not of {method}; leave it out")


def index(text: str) -> float:
    """A refractive index."""
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
