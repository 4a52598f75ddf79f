"""What was really in the virtual bore: how well a picture shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.formats.mdf import MdfError, read_mdf
from nixel.physics.phantoms import phantom

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["correlation_with_phantom"]


def correlation_with_phantom(path: Path, name: str) -> float:
    """Pearson correlation of a picture with the phantom that was scanned.

    The phantom is averaged over each of the picture's voxels, the picture over its frames.

    Parameters
    ----------
    path : Path
        An MDF reconstruction.
    name : str
        Of the phantom.

    Returns
    -------
    float
        -1 to 1.

    Raises
    ------
    MdfError
        The file holds no picture.
    ValueError
        There is no such phantom.
    """
    picture = read_mdf(path).reconstruction
    if picture is None:
        raise MdfError(f"{path}: expected a reconstruction, found none")
    truth = phantom(name).rasterise(picture.grid)
    return float(np.corrcoef(picture.images().mean(axis=0).ravel(), truth.ravel())[0, 1])
