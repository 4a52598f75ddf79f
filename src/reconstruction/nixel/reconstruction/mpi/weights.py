"""How much each row of a system matrix counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]


def whitening_weights(background: Complex) -> Array:
    """One over the standard deviation of the noise of each row, the largest weight one.

    With these, the least-squares solution is the most likely one for Gaussian noise that differs between rows.

    Parameters
    ----------
    background : array of complex, shape (background frames, rows)
        Noise of each row; at least two frames.

    Returns
    -------
    array of float, shape (rows,)
        In the precision of the background.

    Raises
    ------
    ValueError
        If there are fewer than two frames, or a row has no noise or noise that is not finite.
    """
    background = np.asarray(background)
    if background.ndim != 2 or len(background) < 2:
        raise ValueError(
            f"background: expected shape (background frames, rows) with two frames or more, found {background.shape}"
        )
    deviation = background - background.mean(axis=0)
    noise = np.sqrt(np.mean(np.abs(deviation) ** 2, axis=0))
    if not (np.isfinite(noise) & (noise > 0)).all():
        row = int(np.flatnonzero(~(np.isfinite(noise) & (noise > 0)))[0])
        raise ValueError(f"background: expected noise in every row, found {noise[row]} in row {row}")
    weights: Array = noise.min() / noise
    return weights


def row_norm_weights(matrix: Complex) -> Array:
    """One over the norm of each row, so that all frequencies count alike; zero for a row of zeros.

    Parameters
    ----------
    matrix : array of complex, shape (rows, voxels)

    Returns
    -------
    array of float, shape (rows,)
        In the precision and the inverse unit of the matrix.

    Raises
    ------
    ValueError
        If the shape is another, or a value is not finite.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2:
        raise ValueError(f"matrix: expected shape (rows, voxels), found {matrix.shape}")
    norm = np.linalg.norm(matrix, axis=1)
    if not np.isfinite(norm).all():
        raise ValueError("matrix: expected finite values, found NaN or infinity")
    weights: Array = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    return weights
