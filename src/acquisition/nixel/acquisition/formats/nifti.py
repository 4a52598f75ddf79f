"""NIfTI-1: volumes for medical viewers and for whatever reads nothing else."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_write
from nixel.acquisition.formats.images import ImageFileError
from nixel.acquisition.formats.volume_model import Volume, turned

if TYPE_CHECKING:
    import os

__all__ = ["read_nifti", "write_nifti"]

_MM = 1e-3
_UNITS = {"mm": 1e-3, "meter": 1.0, "micron": 1e-6, "unknown": _MM}
_TIMES = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
# NIfTI's world is right-anterior-superior, ours left-posterior-superior.
_TO_RAS = np.array([-1.0, -1.0, 1.0])
_LONGEST_SIDE, _LONGEST_NAME = 32767, 79  # a 16-bit integer; 80 bytes with the zero at their end
_SCANNER = 1  # the code of "coordinates of the scanner"


def write_nifti(path: str | os.PathLike[str], volume: Volume) -> None:
    """Write a volume as NIfTI-1, whole or not at all.

    Lengths are in mm; the affine (sform and qform, code 1) is that of x to the left and y to the back. Its numbers
    are single precision, so spacing and origin come back with a relative error of up to 6e-8. The same volume gives
    the same bytes.

    Parameters
    ----------
    path
        Where, ending in ``.nii`` or, compressed, ``.nii.gz``; a file of that name is replaced.
    volume
        What. Its name is kept in the 79 characters of ASCII that the format has for it.

    Raises
    ------
    ValueError
        If the volume is larger than the format can say.
    OSError
        If the file cannot be written.

    References
    ----------
    NIfTI-1 data format, nifti.nimh.nih.gov/nifti-1.
    """
    import nibabel

    path, data = Path(path), volume.data
    if max(data.shape) > _LONGEST_SIDE:
        raise ValueError(
            f"data: NIfTI-1 holds at most {_LONGEST_SIDE} voxels along an axis, found {data.shape}; write "
            "NRRD or OME-Zarr"
        )
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.array(volume.spacing[::-1]) / _MM * _TO_RAS)
    affine[:3, 3] = np.array(volume.origin[::-1]) / _MM * _TO_RAS
    # (z, y, x) with x fastest is (x, y, z) in Fortran's order: the same bytes, no copy.
    spatial = volume.frames.transpose(3, 2, 1, 0) if data.ndim == 4 else data.transpose(2, 1, 0)
    image: Any = nibabel.Nifti1Image(  # type: ignore[no-untyped-call]
        spatial, affine, dtype=data.dtype.newbyteorder("=")
    )
    image.header.set_data_dtype(data.dtype.newbyteorder("<"))
    image.set_sform(affine, code=_SCANNER)
    image.set_qform(affine, code=_SCANNER)
    image.header.set_xyzt_units("mm", "sec")
    if volume.interval is not None and data.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], volume.interval))
    image.header["descrip"] = volume.name.encode("ascii", "replace")[:_LONGEST_NAME]
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        if path.name.lower().endswith(".gz"):
            # No name and no time in it, which would differ from one writing to the next.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                image.to_stream(packed)
        else:
            image.to_stream(file)


def read_nifti(path: str | os.PathLike[str]) -> Volume:
    """Read a volume from NIfTI-1 or NIfTI-2.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file. Numbers that the file scales (``scl_slope``) come as float64; others as stored.
        Lengths without a unit are mm.

    Returns
    -------
    Volume

    Raises
    ------
    ImageFileError
        If the file is missing or damaged, or is no volume along three straight axes of space (and one of frames).
    """
    import nibabel

    path = Path(path)
    if not path.is_file():
        raise ImageFileError(f"{path}: there is no such file; check the name and the folder")
    try:
        image: Any = nibabel.load(path)
        header, affine = image.header, np.asarray(image.affine, dtype=np.float64)
        length, time = header.get_xyzt_units()
        data = np.asanyarray(image.dataobj)
    except Exception as error:  # its reader raises whatever it meets
        raise ImageFileError(f"{path}: expected a whole NIfTI file, found otherwise: {error}") from error
    try:
        if data.ndim not in (3, 4):
            raise ValueError(
                f"expected three axes of space and at most one of frames, found shape {data.shape}"
            )
        if length not in _UNITS or time not in _TIMES:
            raise ValueError(f"xyzt_units: expected lengths and times, found {length!r} and {time!r}")
        scale = _UNITS[length] * _TO_RAS
        volume, spacing, origin = turned(data, affine[:3, :3].T * scale, affine[:3, 3] * scale)
        interval = float(header.get_zooms()[3]) * _TIMES[time] if data.ndim == 4 else 0.0
        name = bytes(header["descrip"].item()).rstrip(b"\0").decode("ascii", "replace")
        return Volume(volume, spacing, origin, name, interval or None)
    except ValueError as error:
        raise ImageFileError(f"{path}: {error}") from error
