"""Volumes to and from files; the name's ending says in which format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nixel.acquisition.formats.images import ImageFileError
from nixel.acquisition.formats.volume_model import Volume

if TYPE_CHECKING:
    import os

__all__ = ["ENDINGS", "Volume", "ending", "read_volume", "write_volume"]

_NRRD, _NIFTI, _ZARR, _TIFF = (
    ("nrrd", "nhdr"),
    ("nii", "nii.gz"),
    ("ome.zarr", "zarr"),
    ("ome.tiff", "ome.tif"),
)
# The first of each format is what we call it.
ENDINGS = tuple(f".{format_[0]}" for format_ in (_NRRD, _NIFTI, _ZARR, _TIFF))


def ending(path: str | os.PathLike[str]) -> str:
    """Give the ending of a name that says which format is meant, such as ".nii.gz".

    Raises
    ------
    ValueError
        If it names none.
    """
    name = Path(path).name.lower()
    for known in sorted((*_NRRD, *_NIFTI, *_ZARR, *_TIFF), key=len, reverse=True):
        if name.endswith(f".{known}") and name != f".{known}":
            return f".{known}"
    raise ValueError(f"expected a name that ends in {', '.join(ENDINGS)} or .nii.gz, found {str(path)!r}")


def write_volume(path: str | os.PathLike[str], volume: Volume) -> None:
    """Write a volume in the format that the name's ending says, whole or not at all.

    Parameters
    ----------
    path
        Where: .nrrd, .nii, .nii.gz, .ome.zarr (a folder) or .ome.tiff. What is there of that name and kind is replaced.
    volume
        What.

    Raises
    ------
    ValueError
        If the ending names no format that is written, or the format cannot hold the volume.
    OSError
        If it cannot be written; FileExistsError if a folder of that name holds other things.
    """
    kind = ending(path)[1:]
    # The libraries are imported by the one who needs them: together they take most of a second.
    if kind == "nhdr":
        raise ValueError(f"expected one file for header and numbers, found {str(path)!r}; write .nrrd")
    if kind in _NRRD:
        from nixel.acquisition.formats.nrrd import write_nrrd as write
    elif kind in _NIFTI:
        from nixel.acquisition.formats.nifti import write_nifti as write
    elif kind in _ZARR:
        from nixel.acquisition.formats.ome_zarr import write_ome_zarr as write
    else:
        from nixel.acquisition.formats.ome_tiff_volume import write_ome_tiff_volume as write
    write(path, volume)


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a volume in the format that the name's ending says.

    Parameters
    ----------
    path
        .nrrd, .nhdr, .nii, .nii.gz, .ome.zarr, .zarr or .ome.tiff.

    Returns
    -------
    Volume

    Raises
    ------
    ImageFileError
        If it cannot be read; the message says which file, why, and what to do.
    """
    try:
        kind = ending(path)[1:]
    except ValueError as error:
        raise ImageFileError(str(error)) from None
    if kind in _NRRD:
        from nixel.acquisition.formats.nrrd import read_nrrd as read
    elif kind in _NIFTI:
        from nixel.acquisition.formats.nifti import read_nifti as read
    elif kind in _ZARR:
        from nixel.acquisition.formats.ome_zarr import read_ome_zarr as read
    else:
        from nixel.acquisition.formats.ome_tiff_volume import read_ome_tiff_volume as read
    return read(path)
