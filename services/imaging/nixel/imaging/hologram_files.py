"""Frames from files, and a reconstructed hologram into a folder of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_folder, atomic_write, content_sha256
from nixel.acquisition.formats.images import ImageFileError, read_image, write_png
from nixel.acquisition.formats.ome_tiff import write_ome_tiff
from nixel.acquisition.formats.volumes import Volume, write_volume
from nixel.imaging.errors import UserError
from nixel.imaging.hologram_picture import draw_picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nixel.imaging.holograms import HologramResult

ENDINGS = (".ome.tiff", ".nrrd", ".nii", ".nii.gz", ".ome.zarr")
# Whatever an earlier result may consist of.
FILES = (
    *(f"{name}{ending}" for name in ("amplitude", "phase") for ending in ENDINGS),
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
    """

    name: str
    sha256: str
    counts: NDArray[Any]


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


def write_result(result: HologramResult, out: Path, ending: str = ENDINGS[0]) -> None:
    """Write amplitude, phase, picture and record into a folder, all of them or nothing.

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
    record = result.record
    pixel_size = record["parameters"]["pixel_size"]["value"]
    creator = f"nixel {record['software']['versions']['nixel-imaging']}"
    about = f"{record['inputs']['hologram']['name']}, {result.distance * 1e6:.2f} µm from the recorded plane"
    try:
        with atomic_folder(out, replaceable=FILES) as folder:
            for name, channel, values in (
                (names[0], "Amplitude", np.abs(result.field)),
                (names[1], "Phase", result.phase),
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
            picture = draw_picture(result.field, pixel_size, (result.brightest.y, result.brightest.x))
            write_png(folder / names[2], picture, texts={"Title": about, "Software": creator})
            outputs = {name: content_sha256(folder / name) for name in names[:3]}
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
