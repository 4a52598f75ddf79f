"""Raw pixel formats, against their description bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from nixel.acquisition.cameras.raw import FORMATS, fourcc, pack, unpack


def numbers(shape, bits):
    return np.random.default_rng(1).integers(0, 1 << bits, shape).astype(np.uint8 if bits <= 8 else np.uint16)


def described(pixels, layout):
    """The bytes of a row, as the kernel's documentation says them, one pixel at a time."""
    row = bytearray()
    if layout.bits == 8:
        return bytes(int(value) for value in pixels)
    if not layout.packed:
        for value in pixels:
            row += int(value).to_bytes(2, "little")
        return bytes(row)
    count = {10: 4, 12: 2}[layout.bits]
    low = layout.bits - 8
    values = [int(value) for value in pixels] + [0] * (-len(pixels) % count)
    for first in range(0, len(values), count):
        group = values[first : first + count]
        row += bytes(value >> low for value in group)
        row.append(sum((value % (1 << low)) << (low * place) for place, value in enumerate(group)))
    return bytes(row)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shape", [(4, 8), (37, 6), (33, 65)])
@pytest.mark.parametrize("padding", [0, 12])
def test_digital_numbers_come_out_as_the_format_says(name, shape, padding):
    layout = FORMATS[name]
    pixels = numbers(shape, layout.bits)
    stride = layout.line(shape[1]) + padding
    data = b"".join(described(row, layout) + b"\xaa" * padding for row in pixels)
    found = unpack(data, layout, shape, stride)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)
    # A device may leave the last row's padding out.
    np.testing.assert_array_equal(unpack(data[: len(data) - padding], layout, shape, stride), pixels)
    assert pack(pixels, layout) == b"".join(described(row, layout) for row in pixels)


def test_the_frame_holds_nothing_of_the_memory_it_came_from():
    for name in ("GREY", "SRGGB10", "SRGGB10P"):
        layout = FORMATS[name]
        data = bytearray(pack(numbers((8, 8), layout.bits), layout))
        found = unpack(data, layout, (8, 8), layout.line(8))
        before = found.copy()
        data[:] = bytes(len(data))
        np.testing.assert_array_equal(found, before)


def test_a_frame_that_is_too_short_is_refused():
    layout = FORMATS["SRGGB10P"]
    data = bytes(layout.line(8) * 8)
    with pytest.raises(ValueError, match="8 rows of 10 bytes, 10 apart, found 79 bytes"):
        unpack(data[:-1], layout, (8, 8), layout.line(8))
    with pytest.raises(ValueError, match="9 apart"):
        unpack(data, layout, (8, 8), 9)


def test_codes_are_the_kernels():
    # linux/videodev2.h: v4l2_fourcc(a, b, c, d) is a | b << 8 | c << 16 | d << 24.
    assert fourcc("pRAA") == ord("p") | ord("R") << 8 | ord("A") << 16 | ord("A") << 24
    assert len({layout.code for layout in FORMATS.values()}) == len(FORMATS)
