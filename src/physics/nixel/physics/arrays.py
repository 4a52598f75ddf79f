"""Arrays of any library that follows the Python array API: NumPy, PyTorch, CuPy.

A function that does nothing but arithmetic and Fourier transforms runs where its arrays are. What is added here is
small: which library an array belongs to, and Fourier transforms that keep single precision and, for NumPy, take a
number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import array_api_compat
import numpy as np
import scipy.fft

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

# There is no type yet that all array libraries share.
Array: TypeAlias = Any


def namespace(*arrays: Array) -> ModuleType:
    """Find the library that all these arrays belong to.

    Parameters
    ----------
    *arrays
        Arrays of one library; numbers and None do not count.

    Returns
    -------
    module
        With the functions of the array API standard.

    Raises
    ------
    TypeError
        If they belong to several libraries, or none is an array.

    References
    ----------
    Python array API standard, 2023.12.
    """
    found: ModuleType = array_api_compat.array_namespace(*arrays)
    return found


def is_numpy(array: Array) -> bool:
    """Tell whether this is a NumPy array."""
    return isinstance(array, np.ndarray)


def as_array(value: Array) -> Array:
    """Leave an array of any library as it is; make a NumPy array of anything else."""
    return value if array_api_compat.is_array_api_obj(value) else np.asarray(value)


def to_numpy(array: Array) -> np.ndarray[Any, np.dtype[Any]]:
    """Bring an array of any library into the main memory as a NumPy array, without a copy where that is possible."""
    if is_numpy(array):
        numpy_array: np.ndarray[Any, np.dtype[Any]] = array
        return numpy_array
    try:
        return np.asarray(array)
    except (TypeError, RuntimeError):  # on a device that NumPy cannot read
        return np.asarray(array_api_compat.to_device(array, "cpu"))


def like(values: np.ndarray[Any, np.dtype[Any]], example: Array) -> Array:
    """Bring a NumPy array to the library and the device of `example`; its dtype stays."""
    if is_numpy(example):
        return values
    return namespace(example).asarray(values, device=array_api_compat.device(example))


def fftn(array: Array, shape: Sequence[int] | None, axes: Sequence[int], *, workers: int = 1) -> Array:
    """Discrete Fourier transform over `axes`, zero-padded (or cut) to `shape`, in the array's precision.

    Parameters
    ----------
    array
        Real or complex, of any library.
    shape
        Length along each of `axes`; None: as it is.
    axes
        To transform.
    workers
        Threads, for NumPy; other libraries have their own setting.

    Returns
    -------
    array
        Complex, of the same library.
    """
    if is_numpy(array):
        return scipy.fft.fftn(array, s=shape, axes=axes, workers=workers)
    return namespace(array).fft.fftn(array, s=shape, axes=axes)


def ifftn(array: Array, axes: Sequence[int], *, workers: int = 1, overwrite: bool = False) -> Array:
    """Inverse of `fftn`; `overwrite` allows that the array is used for the result."""
    if is_numpy(array):
        return scipy.fft.ifftn(array, axes=axes, workers=workers, overwrite_x=overwrite)
    return namespace(array).fft.ifftn(array, axes=axes)


def rfftn(array: Array, shape: Sequence[int] | None, axes: Sequence[int], *, workers: int = 1) -> Array:
    """Discrete Fourier transform of real values: the last of `axes` is halved. Else as `fftn`."""
    if is_numpy(array):
        return scipy.fft.rfftn(array, s=shape, axes=axes, workers=workers)
    return namespace(array).fft.rfftn(array, s=shape, axes=axes)


def irfftn(array: Array, shape: Sequence[int], axes: Sequence[int], *, workers: int = 1) -> Array:
    """Inverse of `rfftn`; `shape` is the result's length along each of `axes`."""
    if is_numpy(array):
        return scipy.fft.irfftn(array, s=shape, axes=axes, workers=workers)
    return namespace(array).fft.irfftn(array, s=shape, axes=axes)


def check_workers(workers: int) -> None:
    """Refuse a number of threads below one.

    Raises
    ------
    ValueError
        If it is not an integer of one or more.
    """
    if not isinstance(workers, (int, np.integer)) or isinstance(workers, bool) or workers < 1:
        raise ValueError(f"workers: expected a number of threads of 1 or more, found {workers!r}")
