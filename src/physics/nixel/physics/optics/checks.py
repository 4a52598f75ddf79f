"""What the parameters of wave optics must be."""

from __future__ import annotations

import math


def require_positive(unit: str, **values: float) -> None:
    """Refuse lengths and indices that are not positive and finite.

    Raises
    ------
    ValueError
        Naming the first such value and the unit it is expected in ("" for a pure number).
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            in_unit = f" in {unit}" if unit else ""
            raise ValueError(f"{name}: expected a positive, finite number{in_unit}, found {value!r}")


def require_finite(unit: str, **values: float) -> None:
    """Refuse values that are infinite or no number.

    Raises
    ------
    ValueError
        Naming the first such value and the unit it is expected in ("" for a pure number).
    """
    for name, value in values.items():
        if not math.isfinite(value):
            in_unit = f" in {unit}" if unit else ""
            raise ValueError(f"{name}: expected a finite number{in_unit}, found {value!r}")


def require_shape(shape: tuple[int, int]) -> None:
    """Refuse what is not the shape of a non-empty (y, x) array.

    Raises
    ------
    ValueError
        If there are not two lengths, or one is below 1.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape: expected rows and columns, each at least 1, found {tuple(shape)!r}")
