"""The hologram job: frames in, field, pictures and record out."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_folder, atomic_write
from nixel.acquisition.formats.images import ImageFileError, read_image, write_png
from nixel.acquisition.formats.ome_tiff import write_ome_tiff
from nixel.imaging.errors import UserError
from nixel.imaging.hologram_picture import draw_picture
from nixel.imaging.provenance import running_system, software
from nixel.reconstruction.holography import (
    AutofocusResult,
    BrightestPoint,
    autofocus,
    back_propagate,
    correct,
    depth_of_field,
    find_brightest,
    search_distances,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Progress = Callable[[str, int, int], None]

FILES = ("amplitude.ome.tiff", "phase.ome.tiff", "picture.png", "record.json")
_BRIGHTEST_WITHIN = 8  # depths of field on either side of the distance


@dataclass(frozen=True)
class Frame:
    """A recorded frame and where it came from.

    Attributes
    ----------
    name
        File name without its folders: the same frame gives the same record wherever it lies.
    sha256
        Of the file, hexadecimal.
    counts
        (y, x), dtype as in the file.
    """

    name: str
    sha256: str
    counts: NDArray[Any]


@dataclass(frozen=True)
class HologramParameters:
    """How a hologram was recorded, and where to look for its focus.

    Attributes
    ----------
    pixel_size, wavelength
        Metres: in the plane of the hologram, and in vacuum.
    medium_index
        Refractive index between the sample and the recorded plane.
    distance
        From the sample to the recorded plane, metres; None: to be found.
    distance_range
        Nearest and farthest distance to look at, metres; None: what the geometry allows (`search_distances`).
    """

    pixel_size: float
    wavelength: float
    medium_index: float
    distance: float | None = None
    distance_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class HologramResult:
    """A reconstructed hologram.

    Attributes
    ----------
    field
        Complex field at the sample, (y, x), in units of the illuminating wave.
    distance
        Metres.
    focus
        How the distance was found; None if it was given.
    brightest
        The brightest point of the back-propagated contrast.
    record
        What `write_result` puts into record.json, without the hashes of the other files.
    """

    field: NDArray[np.complexfloating[Any, Any]]
    distance: float
    focus: AutofocusResult | None
    brightest: BrightestPoint
    record: dict[str, Any]


def read_frame(path: Path) -> Frame:
    """Read a grey frame and hash its file.

    Parameters
    ----------
    path
        An image file.

    Returns
    -------
    Frame

    Raises
    ------
    UserError
        If it is not a readable grey image.
    """
    try:
        counts = read_image(path, grey=True)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except ImageFileError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read: {error.strerror}") from error
    return Frame(path.name, digest, counts)


def reconstruct_hologram(
    hologram: Frame,
    background: Frame,
    dark: Frame | None,
    parameters: HologramParameters,
    *,
    progress: Progress | None = None,
) -> HologramResult:
    """Correct a hologram, find its distance, and compute the field at the sample.

    A function of its arguments: the same frames and parameters give the same result, bit for bit on one
    machine.

    Parameters
    ----------
    hologram, background, dark
        Frames of one shape; None for no dark frame.
    parameters
        See there.
    progress
        Called with (what is being done, steps done, steps in all).

    Returns
    -------
    HologramResult

    Raises
    ------
    UserError
        If the frames do not fit together, a parameter is out of its range, or nothing comes into focus.
    """
    _check_shapes(hologram, background, dark)
    shape = hologram.counts.shape
    _check_parameters(parameters, shape)
    optics: dict[str, float] = {
        "wavelength": parameters.wavelength,
        "pixel_size": parameters.pixel_size,
        "medium_index": parameters.medium_index,
    }
    notify = progress or (lambda _what, _done, _total: None)
    try:
        contrast = correct(hologram.counts, background.counts, None if dark is None else dark.counts)
        focus = None
        if parameters.distance is None:
            focus = autofocus(
                contrast,
                search_distances(shape, bounds=parameters.distance_range, **optics),
                progress=lambda done, total: notify("finding the distance", done, total),
                **optics,
            )
        distance = focus.distance if focus is not None else parameters.distance
        assert distance is not None
        depth = depth_of_field(shape, distance, **optics)
        near = distance + depth * np.arange(-_BRIGHTEST_WITHIN, _BRIGHTEST_WITHIN + 1)
        brightest = find_brightest(
            contrast,
            # The window reaches to the recorded plane, not behind it.
            np.unique(np.maximum(near, min(depth, distance) / 2)),
            progress=lambda done, total: notify("finding the brightest point", done, total),
            **optics,
        )
        field = back_propagate(contrast, distance, **optics)
    except ValueError as error:
        raise UserError(f"{hologram.name}: {error}") from error
    record = _record(hologram, background, dark, parameters, distance, focus, brightest)
    return HologramResult(field, distance, focus, brightest, record)


def write_result(result: HologramResult, out: Path) -> None:
    """Write amplitude, phase, picture and record into a folder, all of them or nothing.

    Parameters
    ----------
    result
        From `reconstruct_hologram`.
    out
        The folder; it must not exist, be empty, or hold an earlier result of this function, which is
        replaced.

    Raises
    ------
    UserError
        If the folder cannot be written or holds anything else.
    """
    record = result.record
    pixel_size = record["parameters"]["pixel_size"]["value"]
    creator = f"nixel {record['software']['versions']['nixel-imaging']}"
    about = f"{record['inputs']['hologram']['name']}, {result.distance * 1e6:.2f} µm from the recorded plane"
    try:
        with atomic_folder(out, replaceable=FILES) as folder:
            for name, channel, values in (
                (FILES[0], "Amplitude", np.abs(result.field)),
                (FILES[1], "Phase", np.angle(result.field)),
            ):
                write_ome_tiff(
                    folder / name,
                    values.astype(np.float32),
                    pixel_size,
                    [channel],
                    description=f"{channel} of {about}",
                    creator=creator,
                )
            picture = draw_picture(result.field, pixel_size, (result.brightest.y, result.brightest.x))
            write_png(folder / FILES[2], picture, texts={"Title": about, "Software": creator})
            outputs = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES[:3]}
            with atomic_write(folder / FILES[3]) as temporary:
                whole = record | {"outputs": outputs}
                temporary.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except FileExistsError as error:
        raise UserError(f"--out {out}: {error}; name a new or an empty folder") from error
    except OSError as error:
        raise UserError(
            f"--out {out}: the folder cannot be written: {error.strerror or error}; name a folder whose "
            "parent exists and that you may write to"
        ) from error


def farthest_distance(shape: tuple[int, int], parameters: HologramParameters) -> float:
    """Distance beyond which the hologram holds no picture: the finest detail is an eighth of its width.

    Parameters
    ----------
    shape
        Rows and columns.
    parameters
        See there.

    Returns
    -------
    float
        Metres.
    """
    width = min(shape) * parameters.pixel_size
    # wavelength z / width is the detail that an aperture as wide as the hologram resolves.
    return width**2 * parameters.medium_index / (8 * parameters.wavelength)


def _check_shapes(hologram: Frame, background: Frame, dark: Frame | None) -> None:
    rows, columns = hologram.counts.shape
    for what, frame in (("background", background), ("dark frame", dark)):
        if frame is not None and frame.counts.shape != (rows, columns):
            found = f"{frame.counts.shape[0]} x {frame.counts.shape[1]}"
            raise UserError(
                f"{frame.name}: the {what} is {found} pixels (rows x columns), but the hologram "
                f"{hologram.name} is {rows} x {columns}; record both with the same camera settings, or crop "
                "both alike"
            )


def _check_parameters(parameters: HologramParameters, shape: tuple[int, int]) -> None:
    for name, value in (("pixel size", parameters.pixel_size), ("wavelength", parameters.wavelength)):
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"the {name} must be positive, found {value:g} m")
    if not 1 <= parameters.medium_index <= 5:
        raise UserError(
            f"the medium index must be a refractive index between 1 (vacuum) and 5, found "
            f"{parameters.medium_index:g}; water has 1.33"
        )
    limit = farthest_distance(shape, parameters)
    asked = (parameters.distance,) if parameters.distance is not None else parameters.distance_range or ()
    for distance in asked:
        if not (math.isfinite(distance) and distance > 0):
            raise UserError(
                f"the distance must be positive (from the sample to the recorded plane), found {distance:g} m"
            )
        if distance > limit:
            raise UserError(
                f"the distance {distance:g} m is too far for this hologram: beyond {limit:.3g} m its "
                f"{shape[0]} x {shape[1]} pixels of {parameters.pixel_size:g} m hold no picture; check the "
                "distance, the pixel size and their units"
            )
    if parameters.distance_range is not None and parameters.distance_range[0] >= parameters.distance_range[1]:
        low, high = parameters.distance_range
        raise UserError(f"the distance range must run from near to far, found {low:g} m to {high:g} m")


def _record(
    hologram: Frame,
    background: Frame,
    dark: Frame | None,
    parameters: HologramParameters,
    distance: float,
    focus: AutofocusResult | None,
    brightest: BrightestPoint,
) -> dict[str, Any]:
    """Put together what it takes to make the picture again; no times, so that it comes out the same."""

    def about(frame: Frame) -> dict[str, Any]:
        return {
            "name": frame.name,
            "sha256": frame.sha256,
            "shape": list(frame.counts.shape),
            "dtype": str(frame.counts.dtype),
        }

    inputs = {"hologram": about(hologram), "background": about(background)}
    if dark is not None:
        inputs["dark"] = about(dark)
    found: dict[str, Any] = {"value": distance, "uncertainty": None, "unit": "m", "source": "given"}
    if focus is not None:
        found |= {
            "uncertainty": focus.uncertainty,
            "uncertainty_noise": focus.noise,
            "uncertainty_model": focus.model,
            "source": "autofocus",
            "searched": [float(focus.distances[0]), float(focus.distances[-1])],
        }
    asked = parameters.distance_range
    return {
        "kind": "hologram reconstruction",
        "version": 1,
        "software": software(),
        "system": running_system(),
        "simulated": False,
        "method": {
            "correction": "(hologram - dark) / (background - dark), divided by its mean",
            "propagation": "band-limited angular spectrum; the twin image is not suppressed",
            "autofocus": "concentration of the complex gradient, <|g|^4> / <|g|^2>^2",
            "brightest_point": f"within {_BRIGHTEST_WITHIN} depths of field of the distance",
        },
        "inputs": inputs,
        "parameters": {
            "pixel_size": {"value": parameters.pixel_size, "unit": "m"},
            "wavelength": {"value": parameters.wavelength, "unit": "m", "in": "vacuum"},
            "medium_index": {"value": parameters.medium_index, "unit": "1"},
            "distance": {"value": parameters.distance or "auto", "unit": "m"},
            "distance_range": {"value": None if asked is None else list(asked), "unit": "m"},
        },
        "distance": found,
        "brightest_point": {
            "x": brightest.x,
            "y": brightest.y,
            "z": brightest.z,
            "unit": "m",
            "axes": "x along the columns, y along the rows, from the first pixel's centre; "
            "z from the recorded plane",
            "intensity": brightest.intensity,
        },
    }
