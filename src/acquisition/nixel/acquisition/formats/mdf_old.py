"""What MDF files from before version 2.1 have that no version of the standard has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nixel.acquisition.formats.mdf_contents import find
from nixel.acquisition.formats.mdf_model import MdfError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["as_matrices", "refuse_old_compression"]


def as_matrices(gradient: NDArray[Any], assumptions: list[str]) -> NDArray[Any]:
    """Take three numbers a period, shape (J, 3), as diagonals, and say so; three periods are one matrix."""
    if gradient.ndim != 2 or gradient.shape[1] != 3 or gradient.shape[0] == 3:
        return gradient
    assumptions.append("/acquisition/gradient has three numbers a period, assumed its diagonal")
    return gradient[:, :, None] * np.eye(3)


def refuse_old_compression(file: h5py.File, path: Path) -> None:
    """Refuse frames that were compressed before the standard said how.

    Raises
    ------
    MdfError
        They are.
    """
    other = "/measurement/isBasisTransformed"
    said = find(file, other)
    if isinstance(said, h5py.Dataset) and said.shape == () and said.dtype.kind in "iufb" and said[()]:
        raise MdfError(
            f"{path}: expected frames that are whole, or compressed as of version 2.1 (isSparsityTransformed), found "
            f"{other}, which is from before it. Convert it with MPIFiles.jl."
        )
