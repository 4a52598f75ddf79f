"""Recorded frames as an OME-Zarr 0.5 image, without copying them: an uncompressed chunk is a frame's bytes."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_folder, sync_folder
from nixel.acquisition.formats.images import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike, NDArray

__all__ = ["FrameImage", "read_recorded_frame", "write_frames"]

_UM = 1e6  # micrometres in a metre
_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP)


@dataclass(frozen=True)
class FrameImage:
    """What an image of frames is.

    Parameters
    ----------
    counts : (int, int, int)
        Times, channels and planes: axes t, c and z.
    frame : (int, int)
        Rows and columns of a frame.
    dtype : dtype
        Of its pixels, unsigned and little-endian (or of one byte).
    name : str
    channels : tuple of str
        A label for each.
    spacing : (float, float, float)
        Of z, y and x, in m.
    interval : float, optional
        Between times, in s; None if they are counted only.
    attributes : mapping
        For the group's attribute ``nixel``: provenance, devices, counters, what each frame's journal line says.
    """

    counts: tuple[int, int, int]
    frame: tuple[int, int]
    dtype: DTypeLike
    name: str
    channels: tuple[str, ...]
    spacing: tuple[float, float, float]
    interval: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def write_frames(
    path: str | os.PathLike[str], image: FrameImage, frames: Mapping[tuple[int, int, int], Path]
) -> tuple[tuple[int, int, int], ...]:
    """Make an image of files that each hold a frame's bytes, whole or not at all.

    The files get a second name in the image and stay where they are, so that nothing is lost by a crash in between; on
    a file system without links they are copied.

    Parameters
    ----------
    path
        A folder that is not there yet, by convention ending in ``.ome.zarr``.
    image : FrameImage
    frames : mapping of (t, c, z) to Path
        Those that there are. What is missing reads as zeros, and is listed in the attribute.

    Returns
    -------
    tuple of (t, c, z)
        The missing ones.

    Raises
    ------
    FileExistsError
        There is something at `path`.
    ValueError
        A frame is not among the image's, or its file is of another size.
    OSError
        It cannot be written.

    References
    ----------
    Next-generation file format specification 0.5, ngff.openmicroscopy.org/0.5; Zarr core specification 3.
    """
    import zarr

    size = int(np.prod(image.frame)) * np.dtype(image.dtype).itemsize
    for place, file in frames.items():
        if not all(0 <= index < count for index, count in zip(place, image.counts, strict=True)):
            raise ValueError(f"{file}: expected a frame within (t, c, z) = {image.counts}, found {place}")
        if file.stat().st_size != size:
            raise ValueError(f"{file}: expected {size} bytes, found {file.stat().st_size}")
    missing = tuple(place for place in np.ndindex(*image.counts) if place not in frames)
    if Path(path).exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with atomic_folder(path) as folder:
        root = zarr.open_group(folder, mode="w", zarr_format=3)
        root.create_array(
            "0",
            shape=(*image.counts, *image.frame),
            dtype=image.dtype,
            chunks=(1, 1, 1, *image.frame),
            filters=(),
            compressors=(),
            fill_value=0,
            dimension_names=("t", "c", "z", "y", "x"),
        )
        root.attrs.update({"ome": _metadata(image), "nixel": {**image.attributes, "missing": missing}})
        folders = {folder, folder / "0"}
        for (t, c, z), file in frames.items():
            chunk = folder / f"0/c/{t}/{c}/{z}/0/0"
            chunk.parent.mkdir(parents=True, exist_ok=True)
            _second_name(file, chunk)
            folders.update(chunk.parents[:5])
        for file in (folder / "zarr.json", folder / "0/zarr.json"):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        for changed in folders:
            sync_folder(changed)
    return missing


def read_recorded_frame(path: str | os.PathLike[str], number: int) -> NDArray[Any]:
    """Read one frame of an image that `write_frames` has made.

    Parameters
    ----------
    path
        The image's folder.
    number : int
        From 0, in the order of the axes t, c and z, of which z runs fastest.

    Returns
    -------
    array, shape (y, x)
        As it was recorded.

    Raises
    ------
    ImageFileError
        There is no such image, or no such frame in it.
    """
    import zarr

    path = Path(path)
    if not path.is_dir():
        raise ImageFileError(f"{path}: there is no such folder; check the name")
    try:
        root = zarr.open_group(path, mode="r", zarr_format=3)
        stored: Any = root["0"]
        attributes: dict[str, Any] = dict(root.attrs)
        missing = [tuple(place) for place in attributes["nixel"]["missing"]]
        counts = stored.shape[:3]
        if stored.ndim != 5 or not 0 <= number < np.prod(counts):
            raise ImageFileError(
                f"{path}: expected a frame from 0 to {int(np.prod(counts)) - 1}, found {number}; choose one of them"
            )
        place = tuple(int(index) for index in np.unravel_index(number, counts))
        if place in missing:
            raise ImageFileError(
                f"{path}: frame {number} is missing: the run ended before it; choose another"
            )
        return np.asarray(stored[place])
    except ImageFileError:
        raise
    except (KeyError, TypeError, ValueError, OSError, RuntimeError) as error:
        raise ImageFileError(
            f"{path}: expected a recorded sequence (OME-Zarr), found otherwise ({error}); name the dataset of a run"
        ) from error


def _second_name(file: Path, name: Path) -> None:
    try:
        name.hardlink_to(file)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with file.open("rb") as source, name.open("xb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
            copy.flush()
            os.fsync(copy.fileno())


def _metadata(image: FrameImage) -> dict[str, Any]:
    time = {"name": "t", "type": "time", **({} if image.interval is None else {"unit": "second"})}
    space = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [image.interval or 1.0, 1.0, *(round(step * _UM, 12) for step in image.spacing)]
    top = float(np.iinfo(np.dtype(image.dtype)).max)
    window = {"min": 0.0, "max": top, "start": 0.0, "end": top}
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": image.name,
                "axes": [time, {"name": "c", "type": "channel"}, *space],
                "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
            }
        ],
        "omero": {
            "channels": [
                {"label": label, "color": "FFFFFF", "active": True, "window": window}
                for label in image.channels
            ]
        },
    }
