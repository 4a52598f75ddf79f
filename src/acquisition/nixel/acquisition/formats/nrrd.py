"""NRRD: volumes for 3D Slicer, ITK, Fiji and their like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_write
from nixel.acquisition.formats.images import ImageFileError
from nixel.acquisition.formats.volume_model import Volume, turned

if TYPE_CHECKING:
    import os

__all__ = ["read_nrrd", "write_nrrd"]

_MM = 1e-3
_TYPES = {
    "uint8": "uchar", "int8": "signed char", "uint16": "ushort", "int16": "short",
    "uint32": "uint", "int32": "int", "float32": "float", "float64": "double",
}  # fmt: skip
# The signs that turn (x, y, z) of a space to ours, left-posterior-superior.
_SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_UNITS = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "micron": 1e-6, "nm": 1e-9, "": _MM}


def write_nrrd(path: str | os.PathLike[str], volume: Volume) -> None:
    """Write a volume as NRRD, header and numbers in one file, whole or not at all.

    The numbers stand as they are (encoding raw, x fastest, little-endian), lengths in mm, in the space
    left-posterior-superior. The same volume gives the same bytes.

    Parameters
    ----------
    path
        Where, by convention ending in ``.nrrd``; a file of that name is replaced.
    volume
        What.

    Raises
    ------
    OSError
        If the file cannot be written.

    References
    ----------
    G. Kindlmann, Definition of NRRD file format, teem.sourceforge.net/nrrd/format.html.
    """
    data = volume.data
    sizes = data.shape[::-1]
    z, y, x = (_text(step) for step in volume.spacing)
    directions, kinds = [f"({x},0,0)", f"(0,{y},0)", f"(0,0,{z})"], ["domain"] * 3
    if data.ndim == 4:
        directions, kinds = [*directions, "none"], [*kinds, "list"]
    origin = ",".join(_text(place) for place in volume.origin[::-1])
    lines = [
        "NRRD0005",
        *([f"content: {volume.name}"] if volume.name else []),
        f"type: {_TYPES[data.dtype.newbyteorder('=').name]}",
        f"dimension: {data.ndim}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(size) for size in sizes)}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        *(["endian: little"] if data.dtype.itemsize > 1 else []),
        "encoding: raw",
        'space units: "mm" "mm" "mm"',
        f"space origin: ({origin})",
        *([f"frame interval:={volume.interval!r} s"] if volume.interval is not None else []),
    ]
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(("\n".join(lines) + "\n\n").encode())
        for plane in data.reshape(-1, *data.shape[-2:]):
            # Plane by plane, so that no copy of the whole is made where the memory has another order.
            file.write(np.ascontiguousarray(plane, dtype=data.dtype.newbyteorder("<")).data)


def _text(metres: float) -> str:
    """A length in mm, so that reading gives the same number to the last bits and people see no 0.30000000000000004."""
    return repr(float(f"{metres / _MM:.15g}"))


def read_nrrd(path: str | os.PathLike[str]) -> Volume:
    """Read a volume from NRRD.

    Parameters
    ----------
    path
        A ``.nrrd`` file, or a ``.nhdr`` header beside its numbers. Lengths without a unit are mm, as every reader
        takes them.

    Returns
    -------
    Volume

    Raises
    ------
    ImageFileError
        If the file is missing or damaged, or is no volume along three straight axes of space (and one of frames).
    """
    import nrrd

    path = Path(path)
    if not path.is_file():
        raise ImageFileError(f"{path}: there is no such file; check the name and the folder")
    try:
        data, header = nrrd.read(str(path), index_order="F")
    except Exception as error:  # its reader raises whatever it meets
        raise ImageFileError(f"{path}: expected a whole NRRD file, found otherwise: {error}") from error
    try:
        spatial, directions, origin = _geometry(header, data.ndim)
        # The axes of space first, then the one of frames.
        data = np.moveaxis(data, spatial, range(3))
        volume, spacing, first = turned(data, directions, origin)
        interval = str(header.get("frame interval", "")).removesuffix(" s")
        return Volume(
            volume, spacing, first, str(header.get("content", "")), float(interval) if interval else None
        )
    except ValueError as error:
        raise ImageFileError(f"{path}: {error}") from error


def _geometry(header: dict[str, Any], rank: int) -> tuple[list[int], Any, Any]:
    """Axes of space, their directions and the origin, in m and LPS."""
    if "space directions" in header:
        rows = [None if row is None or np.isnan(row).any() else row for row in header["space directions"]]
        spatial = [axis for axis, row in enumerate(rows) if row is not None]
        space = str(header.get("space", "left-posterior-superior")).lower()
        if space not in _SPACES:
            raise ValueError(f"space: expected one of {', '.join(_SPACES)}, found {space!r}")
        units = header.get("space units", [""] * 3)
        directions = np.array([rows[axis] for axis in spatial], dtype=np.float64)
        origin = np.asarray(header.get("space origin", np.zeros(3)), dtype=np.float64)
    else:
        spacings = np.asarray(header.get("spacings", [np.nan] * rank), dtype=np.float64)
        spatial = [axis for axis in range(rank) if np.isfinite(spacings[axis])]
        space, origin = "lps", np.zeros(3)
        directions = np.diag(spacings[spatial])
        units = [header.get("units", [""] * rank)[axis] for axis in spatial]
    if len(spatial) != 3 or rank > 4 or directions.shape != (3, 3):
        raise ValueError(
            f"expected three axes of space and at most one of frames, found {len(spatial)} of space among {rank}"
        )
    unknown = [unit for unit in units if unit not in _UNITS]
    if unknown:
        raise ValueError(
            f"space units: expected one of {', '.join(filter(None, _UNITS))}, found {unknown[0]!r}"
        )
    to_ours = np.array(_SPACES[space]) * np.array([_UNITS[unit] for unit in units])
    return spatial, directions * to_ours, origin * to_ours
