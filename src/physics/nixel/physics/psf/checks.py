"""What every point spread function asks of its numbers, and how it says so."""

from __future__ import annotations

import math
import numbers


def number(name: str, value: object, unit: str = "") -> float:
    """Return a finite real number as float.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number{unit and f' in {unit}'}, found {value!r}")
    return float(value)


def positive(name: str, value: object, unit: str = "") -> float:
    """Return a number above zero as float.

    Raises
    ------
    ValueError
        If it is not finite and positive.
    """
    found = number(name, value, unit)
    if found <= 0:
        raise ValueError(f"{name}: expected a positive number{unit and f' in {unit}'}, found {value!r}")
    return found


def non_negative(name: str, value: object, unit: str = "") -> float:
    """Return a number of zero or more as float.

    Raises
    ------
    ValueError
        If it is not finite, or negative.
    """
    found = number(name, value, unit)
    if found < 0:
        raise ValueError(f"{name}: expected zero or more{unit and f' {unit}'}, found {value!r}")
    return found
