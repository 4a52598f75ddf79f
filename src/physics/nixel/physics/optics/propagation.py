"""Propagation of a field through free space.

With NumPy the padded spectrum is never held whole. The rows are transformed along x, zero-padded; then, a few
columns at a time, padded along y, transformed, filtered, transformed back and cut; then the rows are
transformed back and cut. The rows of zeros are never transformed along x, which is a quarter of the work, and
what is held is a rows-by-padded-columns array, half of the padded spectrum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from nixel.physics.arrays import Array, as_array, check_workers, fftn, ifftn, is_numpy, like, namespace
from nixel.physics.blocks import blocks, in_order
from nixel.physics.optics.transfer import FreeSpace, padded_shape, unfold

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import DTypeLike, NDArray

_BLOCK_ROWS = 32
_BLOCK_COLUMNS = 32  # of 5000 values in single precision: 1.3 MB, which a core's cache holds


def propagate(
    field: Array,
    distance: float,
    *,
    wavelength: float,
    pixel_size: float,
    medium_index: float = 1.0,
    band_limit: bool = True,
    periodic: bool = False,
    workers: int = 1,
) -> Array:
    """Propagate a scalar field through a homogeneous medium by the band-limited angular spectrum.

    A padded grid is at least twice as long and wide as the field. Beyond field and result, NumPy arrays take
    the memory of half of it, (rows, padded columns), and 10 MB a thread.

    Parameters
    ----------
    field
        Complex or real amplitude, (y, x), any unit; float32, float64, complex64 or complex128; of any library
        that follows the Python array API.
    distance
        Metres along the light; negative propagates backwards. At 0 the field comes back unchanged.
    wavelength
        Wavelength in vacuum, metres.
    pixel_size
        Sampling interval on both axes, metres.
    medium_index
        Refractive index of the medium.
    band_limit
        Cut the waves that the grid cannot carry (see `transfer_function`), evanescent ones included.
    periodic
        False: the field is taken as zero outside, on a grid padded to at least 2n - 1 per axis (see
        `padded_shape`), so that nothing leaving on one side comes back on the other. True: the field repeats
        for ever.
    workers
        Threads, for NumPy arrays; the bits of the result do not depend on them.

    Returns
    -------
    array, (y, x)
        Of the field's library. complex64 for float32 and complex64, complex128 for float64 and complex128.
        Without the piston phase exp(ikz).

    Raises
    ------
    ValueError
        If the field is not two-dimensional, is empty, has another dtype or holds a non-finite value, or a
        parameter is not finite, or a length or the index not positive, or workers is below 1.

    References
    ----------
    Matsushima, Shimobaba, Optics Express 17, 19662 (2009).
    """
    field = as_array(field)
    check_workers(workers)
    dtype, numpy_dtype = _complex_dtypes(field)
    rows, columns = field.shape
    shape = (rows, columns) if periodic else padded_shape((rows, columns))
    space = FreeSpace.over(
        shape,
        distance,
        wavelength=wavelength,
        pixel_size=pixel_size,
        medium_index=medium_index,
        band_limit=band_limit,
        dtype=numpy_dtype,
    )
    _check_finite_field(field)
    if is_numpy(field):
        return field.astype(dtype) if distance == 0 else _by_blocks(field, space, shape, workers)
    library = namespace(field)
    if distance == 0:
        return library.astype(field, dtype, copy=True)
    transfer = like(unfold(space.quadrant(0, space.qx.shape[1]), shape), field)
    spectrum = fftn(library.astype(field, dtype, copy=False), shape, (0, 1)) * transfer
    return library.asarray(ifftn(spectrum, (0, 1))[:rows, :columns], copy=True)


def _complex_dtypes(field: Array) -> tuple[Any, DTypeLike]:
    """Check the field's shape and dtype; find the complex dtype of its precision in its library and in NumPy."""
    if field.ndim != 2 or 0 in field.shape:
        raise ValueError(f"field: expected a non-empty (y, x) array, found shape {tuple(field.shape)}")
    library = namespace(field)
    if field.dtype in (library.float32, library.complex64):
        return library.complex64, np.complex64
    if field.dtype in (library.float64, library.complex128):
        return library.complex128, np.complex128
    raise ValueError(f"field: expected float32, float64, complex64 or complex128, found {field.dtype}")


def _check_finite_field(field: Array) -> None:
    """Refuse NaN and infinity; a sum is finite only if all its terms are, and costs one pass without a copy."""
    library = namespace(field)
    with np.errstate(over="ignore", invalid="ignore"):
        total = library.sum(field)
    if not bool(library.isfinite(total)) and not bool(library.all(library.isfinite(field))):
        raise ValueError("field: expected finite values everywhere, found NaN or infinity")


def _by_blocks(
    field: NDArray[Any], space: FreeSpace, shape: tuple[int, int], workers: int
) -> NDArray[np.complexfloating[Any, Any]]:
    """Propagate a NumPy array a few rows, then a few columns, then a few rows at a time."""
    rows, columns = field.shape
    result = np.empty(field.shape, space.dtype)
    # Transformed along x only.
    half = np.empty((rows, shape[1]), space.dtype)

    def forth(first: int, last: int) -> None:
        block = half[first:last]
        block[:, :columns] = field[first:last]
        block[:, columns:] = 0
        _in_place(scipy.fft.fft, block, axis=1)

    def filtered(first: int, last: int) -> None:
        width = shape[1]
        # The columns of the negative frequencies, from right to left; 0 and the highest are their own.
        start, stop = max(first, 1), min(last, (width + 1) // 2)
        mirrored = slice(width - stop + 1, width - start + 1)
        if space.blocks(first):
            half[:, first:last] = 0
            half[:, mirrored] = 0
            return
        response = space.quadrant(first, last)
        _filter(half[:, first:last], response, shape[0])
        if start < stop:
            _filter(half[:, mirrored], response[:, start - first : stop - first][:, ::-1], shape[0])

    def back(first: int, last: int) -> None:
        block = half[first:last]
        _in_place(scipy.fft.ifft, block, axis=1)
        result[first:last] = block[:, :columns]

    _for_blocks(forth, rows, _BLOCK_ROWS, workers)
    _for_blocks(filtered, shape[1] // 2 + 1, _BLOCK_COLUMNS, workers)
    _for_blocks(back, rows, _BLOCK_ROWS, workers)
    return result


def _filter(columns: NDArray[Any], response: NDArray[Any], length: int) -> None:
    """Convolve some columns, in place, with what has this response at the frequencies 0 to length // 2."""
    rows, width = columns.shape
    block = np.empty((length, width), columns.dtype)
    block[:rows] = columns
    block[rows:] = 0
    _in_place(scipy.fft.fft, block, axis=0)
    middle = length // 2 + 1
    block[:middle] *= response
    block[middle:] *= response[1 : (length + 1) // 2][::-1]
    _in_place(scipy.fft.ifft, block, axis=0)
    columns[...] = block[:rows]


def _in_place(transform: Callable[..., NDArray[Any]], array: NDArray[Any], axis: int) -> None:
    """Transform along one axis into the same memory."""
    transformed = transform(array, axis=axis, overwrite_x=True)
    # SciPy may overwrite, but does not promise to.
    if not np.may_share_memory(transformed, array):
        array[...] = transformed


def _for_blocks(work: Callable[[int, int], None], length: int, block: int, workers: int) -> None:
    """Do the work for each range of at most `block` up to `length`, in so many threads."""
    for _ in in_order(lambda part: work(part.start, part.stop), blocks(length, block), workers):
        pass
