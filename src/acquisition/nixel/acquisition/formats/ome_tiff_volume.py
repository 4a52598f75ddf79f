"""Volumes in OME-TIFF: a page a plane."""

from __future__ import annotations

import hashlib
import re
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from nixel.acquisition.formats.atomic import atomic_write
from nixel.acquisition.formats.images import ImageFileError
from nixel.acquisition.formats.volume_model import Volume

if TYPE_CHECKING:
    import os

__all__ = ["read_ome_tiff_volume", "write_ome_tiff_volume"]

_UM = 1e-6
_LENGTHS = {"m": 1.0, "mm": 1e-3, "µm": 1e-6, "μm": 1e-6, "um": 1e-6, "nm": 1e-9}
_TIMES = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}


def write_ome_tiff_volume(path: str | os.PathLike[str], volume: Volume, *, creator: str = "nixel") -> None:
    """Write a volume as OME-TIFF, whole or not at all.

    Lengths are in micrometres. The format has no place for the origin, which is lost. The same arguments give the same
    bytes.

    Parameters
    ----------
    path
        Where, by convention ending in ``.ome.tiff``; a file of that name is replaced.
    volume
        What.
    creator
        The program and its version.

    Raises
    ------
    OSError
        If the file cannot be written.

    References
    ----------
    OME-TIFF specification, docs.openmicroscopy.org/ome-model/latest/ome-tiff.
    """
    data = volume.data
    metadata: dict[str, Any] = {"axes": "TZYX" if data.ndim == 4 else "ZYX", "Creator": creator}
    for axis, step in zip("ZYX", volume.spacing, strict=True):
        metadata |= {f"PhysicalSize{axis}": round(step / _UM, 12), f"PhysicalSize{axis}Unit": "µm"}
    if volume.interval is not None:
        metadata |= {"TimeIncrement": volume.interval, "TimeIncrementUnit": "s"}
    if volume.name:
        metadata["Description"] = volume.name
    digest = hashlib.sha256(np.ascontiguousarray(data).data).hexdigest()
    metadata["UUID"] = str(
        uuid.uuid5(uuid.NAMESPACE_OID, repr((data.shape, data.dtype.str, digest, metadata)))
    )
    with atomic_write(path) as temporary:
        tifffile.imwrite(
            temporary,
            data,
            ome=True,
            photometric="minisblack",
            resolution=(1e-2 / volume.spacing[2], 1e-2 / volume.spacing[1]),
            resolutionunit="CENTIMETER",
            software=creator,
            metadata=metadata,
        )


def read_ome_tiff_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a stack of planes from OME-TIFF.

    Parameters
    ----------
    path
        An OME-TIFF with the physical size of its voxels, of one channel.

    Returns
    -------
    Volume

    Raises
    ------
    ImageFileError
        If the file is missing or damaged, no OME-TIFF, or says no physical size.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageFileError(f"{path}: there is no such file; check the name and the folder")
    try:
        with tifffile.TiffFile(path) as file:
            text, series = file.ome_metadata, file.series[0]
            axes, data = series.get_axes(squeeze=False), series.asarray(squeeze=False)
    except Exception as error:  # its reader raises whatever it meets
        raise ImageFileError(f"{path}: expected a whole TIFF file, found otherwise: {error}") from error
    if text is None:
        raise ImageFileError(
            f"{path}: expected an OME-TIFF, which says the size of its voxels; found a TIFF without. Save it as "
            "OME-TIFF, NRRD, NIfTI or OME-Zarr"
        )
    try:
        return _volume(np.asarray(data), axes, text)
    except ValueError as error:
        raise ImageFileError(f"{path}: {error}") from error


def _volume(data: Any, axes: str, text: str) -> Volume:  # noqa: ANN401
    # The metadata are of whoever wrote the file: what a document type could make of them is not asked for.
    if re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise ValueError("expected OME metadata, found a document type declaration in them")
    try:
        root = ET.fromstring(text)  # noqa: S314
    except ET.ParseError as error:
        raise ValueError(f"expected OME metadata in XML, found otherwise ({error})") from None
    image = root.find("{*}Image")
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:
        raise ValueError("expected Image and Pixels in the OME metadata, found none")
    for axis in range(data.ndim - 1, -1, -1):
        if axes[axis] not in "TZYX":
            if data.shape[axis] != 1:
                raise ValueError(f"expected one channel, found {data.shape[axis]} along {axes[axis]!r}")
            data, axes = data.take(0, axis), axes[:axis] + axes[axis + 1 :]
    data = data.transpose(*(axes.index(axis) for axis in "TZYX" if axis in axes))
    if "Z" not in axes:
        data = data.reshape(*data.shape[:-2], 1, *data.shape[-2:])
    if "T" in axes and data.shape[0] == 1:
        data = data[0]
    spacing = []
    for name in "ZYX":
        size, unit = pixels.get(f"PhysicalSize{name}"), pixels.get(f"PhysicalSize{name}Unit", "µm")
        if size is None and name == "Z" and data.shape[-3] == 1:
            # A single plane has no neighbours to be away from.
            size, unit = pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm")
        if size is None or unit not in _LENGTHS:
            raise ValueError(f"PhysicalSize{name}: expected a length, found {size!r} {unit!r}")
        spacing.append(float(size) * _LENGTHS[unit])
    increment, unit = pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")
    about = image.findtext("{*}Description", "")
    return Volume(
        np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("=")),
        (spacing[0], spacing[1], spacing[2]),
        name=" ".join(about.split()),
        interval=None if increment is None or unit not in _TIMES else float(increment) * _TIMES[unit],
    )
