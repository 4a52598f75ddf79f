"""OME-TIFF: images with their physical size, for Fiji, napari, QuPath and their like."""

from __future__ import annotations

import hashlib
import math
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from nixel.acquisition.formats.atomic import atomic_write

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

_METRES_TO_UM = 1e6
_DTYPES = (np.uint8, np.uint16, np.float32, np.float64)


def write_ome_tiff(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    pixel_size: float,
    channels: Sequence[str],
    *,
    description: str | None = None,
    creator: str = "nixel",
) -> None:
    """Write an image of one or more channels as OME-TIFF, whole or not at all.

    The same arguments give the same bytes: there is no time in the file, and its UUID is made from them.

    Parameters
    ----------
    path
        Where, by convention ending in ``.ome.tiff``; a file of that name is replaced.
    array
        (y, x) or (channels, y, x); uint8, uint16, float32 or float64.
    pixel_size
        Metres on both axes. In the file it stands in micrometres, the unit that every reader understands.
    channels
        Name of each channel.
    description
        What the image shows, for whoever opens the file.
    creator
        The program and its version.

    Raises
    ------
    ValueError
        If the array is of another shape or dtype, the names are not one a channel, or the pixel size is not
        positive.
    OSError
        If the file cannot be written.

    References
    ----------
    OME-TIFF specification, docs.openmicroscopy.org/ome-model/latest/ome-tiff.
    """
    array = np.asarray(array)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape or array.dtype not in _DTYPES:
        raise ValueError(
            "an OME-TIFF of this writer holds (y, x) or (channels, y, x) of uint8, uint16, float32 or "
            f"float64; found {array.shape} {array.dtype}"
        )
    if len(channels) != len(array):
        raise ValueError(f"expected one name for each of {len(array)} channel(s), found {len(channels)}")
    if not (math.isfinite(pixel_size) and pixel_size > 0):
        raise ValueError(f"pixel_size must be positive and finite, found {pixel_size!r}")
    size = round(pixel_size * _METRES_TO_UM, 12)
    content = (array.shape, array.dtype.str, hashlib.sha256(array.tobytes()).hexdigest())
    metadata: dict[str, Any] = {
        "axes": "CYX",
        "PhysicalSizeX": size,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": size,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": list(channels)},
        "Creator": creator,
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, repr((content, size, list(channels), description)))),
    }
    if description is not None:
        metadata["Description"] = description
    per_centimetre = 1e-2 / pixel_size
    with atomic_write(path) as temporary:
        tifffile.imwrite(
            temporary,
            array,
            ome=True,
            photometric="minisblack",
            resolution=(per_centimetre, per_centimetre),
            resolutionunit="CENTIMETER",
            software=creator,
            metadata=metadata,
        )
