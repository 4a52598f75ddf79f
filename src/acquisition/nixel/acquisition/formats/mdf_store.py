"""From the fields of an MDF file to the file: checked before, whole or not at all, the same bytes for the same content.

HDF5 keeps no times here, and the uuid is derived from the content (RFC 9562, version 5).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nixel.acquisition.formats.atomic import atomic_write, sha256_file
from nixel.acquisition.formats.blocks import blocks
from nixel.acquisition.formats.mdf_check import check_contents
from nixel.acquisition.formats.mdf_contents import contents_of_fields
from nixel.acquisition.formats.mdf_fields import DATA
from nixel.acquisition.formats.mdf_model import DatasetInfo, MdfError, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["NAMESPACE", "store"]

NAMESPACE = uuid.UUID("6f5f3d6c-2d0c-5d0f-9c55-6a3f6c1d2b7e")


def _digest(fields: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for key in sorted(fields):
        value = fields[key]
        array = np.asarray(value)
        text = isinstance(value, str) or array.dtype == object
        content = json.dumps(array.tolist()).encode() if text else b""
        kind, size = ("text", len(content)) if text else (array.dtype.str, array.nbytes)
        digest.update(f"{key} {kind} {array.shape} {size}\n".encode())
        digest.update(content)
        if not text:
            for _, block in blocks(array):
                digest.update(block.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def store(
    path: Path,
    fields: dict[str, Any],
    kind: str,
    setting: Setting,
    provenance: Mapping[str, Any],
    extras: Mapping[str, Any] | None,
) -> DatasetInfo:
    """Write fields to a file that there is not yet.

    Parameters
    ----------
    path : Path
    fields : dict of str
        By path; the uuids and what follows are added.
    kind : str
        Of the dataset.
    setting : Setting
    provenance : mapping
        Stored as JSON.
    extras : mapping of str, or None
        Numbers and texts for the group ``/_nixel``.

    Returns
    -------
    DatasetInfo

    Raises
    ------
    MdfError
        The checker would find fault with it, or the file cannot be written; nothing is written then.
    """
    try:
        text = json.dumps(provenance, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise MdfError(f"provenance: expected what JSON can hold, found otherwise ({error})") from error
    fields["/_nixel/provenance"] = text
    for name, value in (extras or {}).items():
        fields[f"/_nixel/{name}"] = value if isinstance(value, str) else np.asarray(value)[()]
    digest = _digest(fields)
    fields["/experiment/uuid"] = str(uuid.uuid5(NAMESPACE, f"experiment {digest}"))
    fields["/uuid"] = str(uuid.uuid5(NAMESPACE, digest))
    wrong = check_contents(contents_of_fields(fields)).errors
    if wrong:
        raise MdfError("\n".join(["this would not be MDF 2.1, and is not written:", *map(str, wrong)]))
    try:
        with (
            atomic_write(path, replace=False) as part,
            h5py.File(part, "w", libver=("earliest", "v110")) as file,
        ):
            for key in sorted(fields):
                _put(file, key, fields[key])
    except FileExistsError as error:
        raise MdfError(
            f"{path}: there is a file already, which is never overwritten. Choose another name."
        ) from error
    except FileNotFoundError as error:
        raise MdfError(f"{path.parent}: there is no such folder. Make it, or choose another.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise MdfError(f"{path}: cannot be written: {reason}. Choose another folder or name.") from error
    shape = fields["/reconstruction/data" if kind == "reconstruction" else DATA].shape
    return DatasetInfo(path, sha256_file(path), fields["/uuid"], kind, setting.simulated, tuple(shape))


def _put(file: h5py.File, key: str, value: Any) -> None:  # noqa: ANN401 (text, number or array)
    if isinstance(value, str) or np.asarray(value).dtype == object:
        file.create_dataset(key, data=value, dtype=h5py.string_dtype())
    else:
        # No chunks and no filters: readers map the numbers into memory.
        array = np.asarray(value)
        stored = file.create_dataset(key, shape=array.shape, dtype=array.dtype)
        for index, block in blocks(array):
            stored[index] = block
