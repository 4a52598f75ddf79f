"""What all solvers of a system-matrix reconstruction ask of their input, and how they hand out the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.physics.arrays import Array, as_array, is_numpy, namespace
from nixel.physics.checks import check_non_negative

if TYPE_CHECKING:
    from nixel.reconstruction.mpi.rows import RowSource


def checked_matrix(matrix: RowSource) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Shape and NumPy dtype of a matrix (rows, voxels) of complex values.

    Raises
    ------
    ValueError
        If it is not complex and two-dimensional, or empty.
    """
    if not hasattr(matrix, "dtype"):
        raise ValueError(f"matrix: expected an array or what reads like one, found {type(matrix).__name__}")
    name = dtype_name(matrix)
    shape = tuple(matrix.shape)
    if len(shape) != 2 or name not in ("complex64", "complex128") or 0 in shape:
        raise ValueError(f"matrix: expected complex values of shape (rows, voxels), found {name} {shape}")
    return (int(shape[0]), int(shape[1])), np.dtype(name)


def dtype_name(array: Any) -> str:  # noqa: ANN401  an array of any library, or what reads like one
    """NumPy's name of an array's dtype: "complex64"."""
    text = str(array.dtype)
    return text.rpartition(".")[2]


def checked_columns(name: str, values: Array, length: int) -> Array:
    """Make a matrix (length, frames) of a column or several.

    Raises
    ------
    ValueError
        If the shape does not fit, there is no frame, or a value is not a finite number.
    """
    shape = tuple(values.shape)
    if len(shape) not in (1, 2) or shape[0] != length or 0 in shape:
        raise ValueError(f"{name}: expected shape ({length},) or ({length}, frames), found {shape}")
    if not dtype_name(values).startswith(("complex", "float")):
        raise ValueError(f"{name}: expected complex or floating-point values, found {dtype_name(values)}")
    xp = namespace(values)
    if not bool(xp.all(xp.isfinite(values))):
        raise ValueError(f"{name}: expected finite values, found NaN or infinity")
    return xp.reshape(values, (length, -1))


def checked_start(start: Array, voxels: int, frames: int) -> Array:
    """Make a matrix (voxels, frames) of where to begin.

    Raises
    ------
    ValueError
        If the shape does not fit, or a value is not a finite number.
    """
    columns = checked_columns("start", as_array(start), voxels)
    if columns.shape[1] != frames:
        raise ValueError(f"start: expected one column a frame, {frames}, found {columns.shape[1]}")
    return columns


def check_relative_lambda(value: float) -> None:
    """Refuse a regularisation that is negative or not finite."""
    check_non_negative("relative_lambda", value)


def check_block(value: int | None) -> None:
    """Refuse a number of rows that is none."""
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1
    ):
        raise ValueError(f"block: expected at least one row, found {value!r}")


def check_library(name: str, values: Array, example: Array) -> None:
    """Refuse an array of another library than the matrix'."""
    if is_numpy(values) and is_numpy(example):
        return
    if type(values).__module__ != type(example).__module__:
        raise ValueError(
            f"{name}: expected an array of the matrix' library, {type(example).__module__}, found one of "
            f"{type(values).__module__}"
        )


def check_iterations(value: int) -> None:
    """Refuse a negative number of iterations."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"iterations: expected an integer of zero or more, found {value!r}")


def check_constraints(real: bool, non_negative: bool) -> None:
    """Refuse a sign without an order."""
    if non_negative and not real:
        raise ValueError("non_negative: needs real, because complex numbers have no order")


def finished(x: Array, real: bool, single: bool) -> Array:
    """Give the result its shape: (voxels,) or (voxels, frames), real if asked for."""
    if real and dtype_name(x).startswith("complex"):
        x = namespace(x).real(x)
    x = x[:, 0] if single else x
    return np.ascontiguousarray(x) if is_numpy(x) else x
