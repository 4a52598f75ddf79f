"""Raw pixel formats: how a sensor's digital numbers lie in memory, and how to get at them.

The names are the kernel's (``V4L2_PIX_FMT_SRGGB10P``); libcamera calls the same layouts alike, ``SRGGB10_CSI2P`` apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FORMATS", "RawFormat", "fourcc", "pack", "unpack"]

_ROWS = 32  # at a time: what is worked on stays in a core's cache


@dataclass(frozen=True)
class RawFormat:
    """One layout.

    Parameters
    ----------
    name : str
        As the kernel's, without its prefix.
    code : str
        Its four characters.
    bits : int
        Of a digital number.
    pattern : str
        Colours of the mosaic's first 2 x 2 pixels, row by row; empty without a mosaic.
    packed : bool
        Whether MIPI's packing is used: the high eight bits of four (of 10 bits) or two (of 12 bits) pixels each in a
        byte, then one byte with their low bits, the first pixel's lowest.
    """

    name: str
    code: str
    bits: int
    pattern: str
    packed: bool = False

    @property
    def dtype(self) -> type[np.uint8 | np.uint16]:
        """Of the unpacked pixels."""
        return np.uint8 if self.bits <= 8 else np.uint16

    @property
    def group(self) -> int:
        """Pixels that lie together."""
        return {10: 4, 12: 2}[self.bits] if self.packed else 1

    @property
    def group_bytes(self) -> int:
        """Bytes in which they lie."""
        if self.packed:
            return self.group + 1
        return 1 if self.bits <= 8 else 2

    def line(self, columns: int) -> int:
        """Bytes of a row of pixels, without what a device may add to it."""
        return -(-columns // self.group) * self.group_bytes


_MOSAICS = {
    "SRGGB": ("RGGB", {"8": "RGGB", "10": "RG10", "10P": "pRAA", "12": "RG12", "12P": "pRCC", "16": "RG16"}),
    "SBGGR": ("BGGR", {"8": "BA81", "10": "BG10", "10P": "pBAA", "12": "BG12", "12P": "pBCC", "16": "BYR2"}),
    "SGRBG": ("GRBG", {"8": "GRBG", "10": "BA10", "10P": "pgAA", "12": "BA12", "12P": "pgCC", "16": "GR16"}),
    "SGBRG": ("GBRG", {"8": "GBRG", "10": "GB10", "10P": "pGAA", "12": "GB12", "12P": "pGCC", "16": "GB16"}),
    "Y": ("", {"8": "GREY", "10": "Y10 ", "10P": "Y10P", "12": "Y12 ", "16": "Y16 "}),
}
FORMATS = MappingProxyType(
    {
        name: RawFormat(name, code, int(depth.rstrip("P")), pattern, depth.endswith("P"))
        for prefix, (pattern, codes) in _MOSAICS.items()
        for depth, code in codes.items()
        for name in ["GREY" if prefix + depth == "Y8" else prefix + depth]
    }
)


def fourcc(code: str) -> int:
    """Return a format's four characters as the number that the kernel takes them for."""
    return int.from_bytes(code.encode("ascii"), "little")


def unpack(
    data: memoryview | bytes | bytearray, layout: RawFormat, shape: tuple[int, int], stride: int
) -> NDArray[np.unsignedinteger[Any]]:
    """Take the digital numbers out of a frame's bytes.

    Parameters
    ----------
    data : buffer
        `stride` bytes for each row; the last row may end with its pixels.
    layout : RawFormat
    shape : tuple of int
        Rows and columns.
    stride : int
        Bytes from one row to the next.

    Returns
    -------
    array of uint8 or uint16, shape (y, x)
        A copy, that holds nothing of `data`.

    Raises
    ------
    ValueError
        There are too few bytes for such a frame.
    """
    rows, columns = shape
    line = layout.line(columns)
    if stride < line or len(data) < stride * (rows - 1) + line:
        raise ValueError(
            f"expected {rows} rows of {line} bytes, {stride} apart, found {len(data)} bytes of {layout.name}"
        )
    flat = np.frombuffer(data, np.uint8)
    # The last row's padding may be missing, so that the rows are a window on the bytes and no reshaping of them.
    lines = np.lib.stride_tricks.as_strided(flat, (rows, line), (stride, 1), writeable=False)
    if layout.packed:
        return _unpack_packed(lines, layout)[:, :columns]
    if layout.bits <= 8:
        return lines.copy()
    return lines.copy().view("<u2")


def _unpack_packed(lines: NDArray[np.uint8], layout: RawFormat) -> NDArray[np.unsignedinteger[Any]]:
    rows, groups, count = lines.shape[0], lines.shape[1] // layout.group_bytes, layout.group
    low = layout.bits - 8
    pixels = np.empty((rows, groups * count), np.uint16)
    for first in range(0, rows, _ROWS):
        block = lines[first : first + _ROWS].reshape(-1, groups, layout.group_bytes)
        rest = block[:, :, count]
        for place in range(count):
            out = pixels[first : first + _ROWS, place::count]
            np.left_shift(block[:, :, place], low, out=out, dtype=np.uint16)
            out |= (rest >> (low * place)) & ((1 << low) - 1)
    return pixels


def pack(pixels: NDArray[np.unsignedinteger[Any]], layout: RawFormat) -> bytes:
    """Put digital numbers into a frame's bytes, with no padding but that of the packing: what `unpack` undoes.

    Parameters
    ----------
    pixels : array of unsigned integers, shape (y, x)
    layout : RawFormat
    """
    if not layout.packed:
        return pixels.astype("u1" if layout.bits <= 8 else "<u2", copy=False).tobytes()
    rows, columns = pixels.shape
    count, low = layout.group, layout.bits - 8
    groups = -(-columns // count)
    padded = np.zeros((rows, groups * count), np.uint16)
    padded[:, :columns] = pixels
    lines = np.zeros((rows, groups, count + 1), np.uint8)
    for place in range(count):
        values = padded[:, place::count]
        lines[:, :, place] = values >> low
        lines[:, :, count] |= ((values & ((1 << low) - 1)) << (low * place)).astype(np.uint8)
    return lines.tobytes()
