"""Thin samples, whose transmission is known, to make holograms of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.checks import check_number, check_positive

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES = ("disc", "bump", "cells")
_SPARSITY = 30.0  # squared sizes of the picture to a cell: about a tenth of it is covered


def thin_sample(
    kind: str,
    shape: tuple[int, int],
    spacing: float,
    *,
    size: float,
    absorption: float = 0.0,
    delay: float = 0.0,
    seed: int = 0,
) -> NDArray[np.complexfloating[Any, Any]]:
    """Complex amplitude transmission of a thin sample, 1 where there is none.

    Parameters
    ----------
    kind
        "disc": one in the middle, its edge a sample wide. "bump": a Gaussian one in the middle. "cells": discs of
        0.3 to 1.5 times the size, scattered over all of it; where they overlap, they absorb and delay one after
        the other, each by 0.3 to 1 times what is said.
    shape
        Rows and columns.
    spacing
        Between samples, metres.
    size
        Radius of the disc, standard deviation of the bump, metres.
    absorption
        Part of the light's amplitude that is taken away, 0 to 1.
    delay
        Phase, rad, of any sign.
    seed
        Where the cells lie.

    Returns
    -------
    ndarray, complex64, (y, x)

    Raises
    ------
    ValueError
        If there is no such sample, the shape is empty, or a number is out of its range.
    """
    if kind not in SAMPLES:
        raise ValueError(f"kind: expected {', '.join(SAMPLES[:-1])} or {SAMPLES[-1]}, found {kind!r}")
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape: expected rows and columns, each at least 1, found {shape!r}")
    check_positive("spacing", spacing, "m")
    check_positive("size", size, "m")
    check_number("delay", delay, "rad")
    if not 0 <= absorption <= 1:
        raise ValueError(f"absorption: expected 0 to 1, found {absorption!r}")
    rows, columns = ((np.arange(n) - (n - 1) / 2).astype(np.float32) * np.float32(spacing) for n in shape)
    field = np.ones(shape, np.complex64)
    if kind != "cells":
        squared = rows[:, None] ** 2 + columns[None, :] ** 2
        cover = (
            np.clip((size - np.sqrt(squared)) / spacing + 0.5, 0, 1)
            if kind == "disc"
            else np.exp(-squared / (2 * size**2))
        )
        return _behind(field, cover, absorption, delay)
    generator = np.random.default_rng(seed)
    area = shape[0] * shape[1] * spacing**2
    for _ in range(max(1, round(area / (_SPARSITY * size**2)))):
        y, x = (generator.uniform(axis[0], axis[-1]) for axis in (rows, columns))
        radius = size * generator.uniform(0.3, 1.5)
        strength = generator.uniform(0.3, 1.0)
        there = tuple(
            slice(*np.searchsorted(axis, (at - radius - spacing, at + radius + spacing)))
            for axis, at in ((rows, y), (columns, x))
        )
        r = np.hypot(rows[there[0], None] - y, columns[None, there[1]] - x)
        cover = np.clip((radius - r) / spacing + 0.5, 0, 1)
        field[there] = _behind(field[there], cover, strength * absorption, strength * delay)
    return field


def _behind(
    field: NDArray[Any], cover: NDArray[Any], absorption: float, delay: float
) -> NDArray[np.complexfloating[Any, Any]]:
    """Light behind something that covers each sample so much."""
    passed = (1 - absorption * cover) * np.exp(1j * delay * cover)
    return (field * passed).astype(np.complex64)
