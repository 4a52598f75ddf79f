"""What nixel notes in the MDF files that it writes, read without the data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py

from nixel.acquisition.formats.mdf_model import MdfError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Marks", "read_marks"]


@dataclass(frozen=True)
class Marks:
    """Notes of the writer.

    Parameters
    ----------
    provenance : mapping or None
    complete : bool
        Whether every frame is there that the run was to measure; a file that does not say otherwise is.
    why : str
        Why it is not.
    """

    provenance: Mapping[str, Any] | None
    complete: bool
    why: str


def read_marks(path: Path) -> Marks:
    """Read the notes in a file's ``/_nixel``.

    Raises
    ------
    MdfError
        It is no HDF5 file that can be read.
    """
    try:
        with h5py.File(path, "r") as file:
            provenance = file["/_nixel/provenance"].asstr()[()] if "/_nixel/provenance" in file else "null"
            complete = bool(file["/_nixel/complete"][()]) if "/_nixel/complete" in file else True
            why = str(file["/_nixel/reason"].asstr()[()]) if "/_nixel/reason" in file else ""
    except OSError as error:
        raise MdfError(f"{path}: expected an HDF5 file that is whole, found otherwise ({error})") from error
    return Marks(json.loads(provenance), complete, why)
