"""What the parameters of a model must be, and how a refusal says so: name, what was expected, what was found."""

from __future__ import annotations

import math
import numbers
import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_number(name: str, value: object, unit: str = "") -> float:
    """Return a finite real number as float.

    Parameters
    ----------
    name
        Of the parameter, for the message.
    value
        What was given.
    unit
        In which it is expected; "" for a pure number.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is no real number, infinite or NaN.
    """
    found = _finite(value)
    if found is None:
        raise ValueError(f"{name}: expected a finite number{_in(unit)}, found {value!r}")
    return found


def check_positive(name: str, value: object, unit: str = "") -> float:
    """Return a finite number above zero as float; parameters as for `check_number`.

    Raises
    ------
    ValueError
        If it is no finite number above zero.
    """
    found = _finite(value)
    if found is None or found <= 0:
        raise ValueError(f"{name}: expected a positive number{_in(unit)}, found {value!r}")
    return found


def check_non_negative(name: str, value: object, unit: str = "") -> float:
    """Return a finite number of zero or more as float; parameters as for `check_number`.

    Raises
    ------
    ValueError
        If it is no finite number, or negative.
    """
    found = check_number(name, value, unit)
    if found < 0:
        raise ValueError(f"{name}: expected zero or more{unit and f' {unit}'}, found {value!r}")
    return found


def check_all_positive(unit: str = "", **values: object) -> None:
    """Refuse the first of the named values that is not positive; as `check_positive`, in one unit.

    Raises
    ------
    ValueError
        That names it.
    """
    for name, value in values.items():
        check_positive(name, value, unit)


def check_all_finite(unit: str = "", **values: object) -> None:
    """Refuse the first of the named values that is not finite; as `check_number`, in one unit.

    Raises
    ------
    ValueError
        That names it.
    """
    for name, value in values.items():
        check_number(name, value, unit)


def check_image_shape(shape: Sequence[int]) -> None:
    """Refuse what is not the shape of a non-empty (y, x) array.

    Raises
    ------
    ValueError
        If there are not two lengths, or one is below 1.
    """
    try:
        lengths = tuple(operator.index(length) for length in shape)
    except TypeError:
        lengths = ()
    if len(lengths) != 2 or min(lengths) < 1:
        raise ValueError(f"shape: expected rows and columns, each at least 1, found {shape!r}")


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        return None
    return float(value)


def _in(unit: str) -> str:
    return f" in {unit}" if unit else ""
