"""BLAS called by address: without a copy of strided arrays, and with Python's lock released meanwhile.

SciPy's own wrappers of gemv take contiguous arrays only and keep the lock, so that two threads of Python would take
turns. The addresses are those that `scipy.linalg.cython_blas` gives to compiled code.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import cython_blas

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Gemv = Callable[..., None]

_GEMV_ARGUMENTS = 11


@cache
def gemv(dtype: np.dtype[Any], *, keep_lock: bool = False) -> Gemv | None:
    """Find ?gemv(trans, m, n, alpha, a, lda, x, incx, beta, y, incy) of complex numbers: eleven addresses.

    Parameters
    ----------
    dtype : dtype
        complex64 or complex128.
    keep_lock : bool
        Hold Python's lock during the call: for products that take less time than handing it over.

    Returns
    -------
    callable or None
        None where this SciPy has none that takes 32-bit integers.
    """
    capsule = cython_blas.__pyx_capi__.get(
        {"complex64": "cgemv", "complex128": "zgemv"}[np.dtype(dtype).name]
    )
    if capsule is None:
        return None
    name = _capsule("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)(capsule)
    types = name.decode().partition("(")[2].rstrip(")").split(", ")
    if len(types) != _GEMV_ARGUMENTS or types[1] != "int *":
        return None
    address = _capsule("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        capsule, name
    )
    kind = ctypes.PYFUNCTYPE if keep_lock else ctypes.CFUNCTYPE
    return kind(None, *[ctypes.c_void_p] * _GEMV_ARGUMENTS)(address)


def _capsule(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:  # noqa: ANN401  ctypes' own types
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


class Addresses:
    """Addresses of arguments, which stay alive as long as this does."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._kept: list[NDArray[Any]] = []

    def array(self, values: NDArray[Any]) -> ctypes.c_void_p:
        """Address of the first value of an array."""
        self._kept.append(values)
        return ctypes.c_void_p(values.ctypes.data)

    def integer(self, value: int) -> ctypes.c_void_p:
        """Address of an integer."""
        return self.array(np.array([value], dtype=np.intc))

    def number(self, value: complex) -> ctypes.c_void_p:
        """Address of a number of the arrays' type."""
        return self.array(np.array([value], dtype=self._dtype))

    def letter(self, value: bytes) -> ctypes.c_void_p:
        """Address of a letter."""
        return self.array(np.frombuffer(value, dtype=np.uint8))
