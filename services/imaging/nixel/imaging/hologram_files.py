"""Frames from files, and a reconstructed hologram into a folder of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_folder, atomic_write, content_sha256
from nixel.acquisition.formats.images import ImageFileError, read_image, read_png_texts, write_png
from nixel.acquisition.formats.ome_tiff import write_ome_tiff
from nixel.acquisition.formats.ome_zarr_frames import read_recorded_frame
from nixel.acquisition.formats.volumes import Volume, write_volume
from nixel.imaging.curve_picture import Axis, draw_curves
from nixel.imaging.errors import UserError
from nixel.imaging.hologram_picture import draw_picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nixel.imaging.hologram_result import HologramResult
    from nixel.reconstruction.holography import AutofocusResult

SIMULATED = "Simulated"  # PNG text of a frame that no camera has recorded
ENDINGS = (".ome.tiff", ".nrrd", ".nii", ".nii.gz", ".ome.zarr")
_RECORDED = ".ome.zarr"
# Whatever an earlier result may consist of.
FILES = (
    *(f"{name}{ending}" for name in ("amplitude", "phase") for ending in ENDINGS),
    "focus.csv",
    "focus.png",
    "picture.png",
    "record.json",
)


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
    simulated
        Whether the file says that no camera has recorded it.
    """

    name: str
    sha256: str
    counts: NDArray[Any]
    simulated: bool = False


def read_frame(path: Path) -> Frame:
    """Read a grey frame and hash its file.

    Parameters
    ----------
    path
        An image file, or a recorded sequence (``.ome.zarr``), whose frame's number may follow after ``#``.

    Returns
    -------
    Frame

    Raises
    ------
    UserError
        If it is not a readable grey image.
    """
    try:
        name, _, number = path.name.partition("#")
        if name.endswith(_RECORDED):
            if number and not (number.isascii() and number.isdigit()):
                raise UserError(
                    f"{path}: expected a frame's number after #, such as {name}#0, found {number!r}"
                )
            counts = read_recorded_frame(path.with_name(name), int(number or 0))
            # An uncompressed chunk is a frame's bytes.
            return Frame(path.name, hashlib.sha256(counts.tobytes()).hexdigest(), counts)
        counts = read_image(path, grey=True)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except ImageFileError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read: {error.strerror}") from error
    return Frame(path.name, digest, counts, SIMULATED in read_png_texts(path))


def _write_focus(focus: AutofocusResult, folder: Path, texts: dict[str, str]) -> tuple[str, ...]:
    """Write the curve of the search for the distance, as numbers and as a picture; give their names."""
    rows = zip(focus.distances.tolist(), focus.criterion.tolist(), strict=True)
    lines = ["distance [m],criterion", *(f"{distance!r},{criterion!r}" for distance, criterion in rows)]
    (folder / "focus.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = focus.distance * 1e6
    picture = draw_curves(
        focus.distances * 1e6,
        [("criterion", focus.criterion)],
        Axis("distance from the sample to the recorded plane [um]"),
        Axis("concentration of the gradient; 2: nothing in focus"),
        mark=(found, f"{found:.2f} um +- {focus.uncertainty * 1e6:.2f} um"),
    )
    write_png(folder / "focus.png", picture, texts=texts)
    return "focus.csv", "focus.png"


def write_field(
    folder: Path,
    ending: str,
    field: NDArray[np.complexfloating[Any, Any]],
    phase: NDArray[np.floating[Any]],
    pixel_size: float,
    about: str,
    creator: str,
) -> tuple[str, str]:
    """Write amplitude and phase into a folder.

    Parameters
    ----------
    folder
        It exists.
    ending
        One of `ENDINGS`.
    field, phase
        (y, x); the phase wrapped or not, rad.
    pixel_size
        Metres.
    about, creator
        What it is of, and what made it.

    Returns
    -------
    tuple of str
        The files' names.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    names = (f"amplitude{ending}", f"phase{ending}")
    for name, channel, values in (
        (names[0], "Amplitude", np.abs(field)),
        (names[1], "Phase", phase),
    ):
        numbers = values.astype(np.float32)
        if ending == ENDINGS[0]:
            write_ome_tiff(
                folder / name,
                numbers,
                pixel_size,
                [channel],
                description=f"{channel} of {about}",
                creator=creator,
            )
        else:
            # A single plane has no step to the next; that of the pixels stands in.
            whole = Volume(numbers[None], (pixel_size,) * 3, name=f"{channel} of {about}")
            write_volume(folder / name, whole)
    return names


def write_result(result: HologramResult, out: Path, ending: str = ENDINGS[0]) -> None:
    """Write amplitude, phase, picture, the curve of the focus and record into a folder, all of them or nothing.

    Parameters
    ----------
    result
        From `reconstruct_hologram`.
    out
        The folder; it must not exist, be empty, or hold an earlier result of this function, which is
        replaced.
    ending
        One of `ENDINGS`: the format of amplitude and phase.

    Raises
    ------
    UserError
        If the folder cannot be written or holds anything else.
    """
    names = (f"amplitude{ending}", f"phase{ending}", "picture.png", "record.json")
    record, pixel_size = result.record, result.pixel_size
    creator = f"nixel {record['software']['versions']['nixel-imaging']}"
    about = f"{record['inputs']['hologram']['name']}, {result.distance * 1e6:.2f} µm from the recorded plane"
    try:
        with atomic_folder(out, replaceable=FILES) as folder:
            write_field(folder, ending, result.field, result.phase, pixel_size, about, creator)
            mark = (result.brightest.y, result.brightest.x)
            picture = draw_picture(result.field, result.phase, pixel_size, mark)
            write_png(folder / names[2], picture, texts={"Title": about, "Software": creator})
            written: tuple[str, ...] = names[:3]
            if result.focus is not None:
                written += _write_focus(result.focus, folder, {"Title": about, "Software": creator})
            outputs = {name: content_sha256(folder / name) for name in written}
            with atomic_write(folder / names[3]) as temporary:
                everything = record | {"outputs": outputs}
                temporary.write_text(
                    json.dumps(everything, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
                )
    except FileExistsError as error:
        raise UserError(f"--out {out}: {error}; name a new or an empty folder") from error
    except OSError as error:
        raise UserError(
            f"--out {out}: the folder cannot be written: {error.strerror or error}; name a folder whose "
            "parent exists and that you may write to"
        ) from error
