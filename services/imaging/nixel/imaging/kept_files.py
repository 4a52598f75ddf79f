"""Datasets on the disk, whatever their format: a file (MDF) or a folder (OME-Zarr)."""

import json
from pathlib import Path

from nixel.acquisition.formats.mdf_marks import Marks, read_marks
from nixel.imaging.errors import UserError


def marks_of(path: Path) -> Marks:
    """What nixel noted in a dataset that it wrote.

    Raises
    ------
    MdfError, UserError
        It is not whole, or none of nixel's.
    """
    if not path.is_dir():
        return read_marks(path)
    try:
        notes = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["nixel"]
        return Marks(notes["provenance"], bool(notes["complete"]), str(notes["end"]["reason"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected an OME-Zarr dataset of nixel's, found otherwise ({error}). Restore it from a copy."
        ) from error


def size_of(path: Path) -> int:
    """Bytes of a dataset."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
